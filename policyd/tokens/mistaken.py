"""What was sent in a token's place, in words: for texts that cannot be one, and are well known.

Input: a text that was found to be no token. Output: what it is and what to send, or `None`.
Nothing is made acceptable here.
"""

from __future__ import annotations

import re
from typing import Final

#: Values of variables that hold no token, just as the languages of clients write them: in other
#: letters it may be an opaque token.
NOTHING: Final = frozenset(("null", "undefined", "NaN", "None", "nil", "[object Object]"))
_FIELD: Final = re.compile(r"(authorization|dpop)\s*:", re.IGNORECASE).match
#: Schemes of `Authorization` (RFC 9110, section 11.1), as they begin a field's value.
_SCHEME: Final = re.compile(
    r"(bearer|dpop|basic|token|jwt|digest|negotiate)(?:[\s:]|$)", re.I
).match
_QUOTES: Final = "\"'`\u201c\u201d"
_BASIC: Final = "basic"


def meant(text: str) -> str | None:
    """Say what a text is that was taken for a token, if that is certain."""
    bare = text.strip()
    if not bare:
        return "the token is white space alone"
    if bare in NOTHING:
        return (
            f"the token is the word `{bare}`: the client had none, and wrote the empty value of "
            "its variable in its place"
        )
    if bare[0] in _QUOTES or bare[-1] in _QUOTES:
        return "the token stands in quotes: pass on what stands between them"
    if _FIELD(bare) is not None:
        return "the token has the name of its header field in front: pass on the token alone"
    scheme = _SCHEME(bare)
    if scheme is not None:
        return _of_scheme(scheme[1], bare[scheme.end() :].strip())
    if bare != text:
        return "the token has white space around it: pass on the token alone"
    if bare.startswith("{"):
        return (
            "the token is JSON: pass on the text of the token alone, such as `access_token` of it"
        )
    return None


def _of_scheme(scheme: str, rest: str) -> str:
    if scheme.lower() == _BASIC:
        return f"the token has `{scheme} ` in front: that is a user and a password, and no token"
    if not rest:
        return f"the token is the word `{scheme}` alone: the client sent nothing after it"
    return f"the token has `{scheme} ` in front: pass on what follows it alone"
