"""The text of a detail: what it quotes is escaped, and marked so that a log can mask it.

Whatever a detail quotes says where it is from. `quote` escapes what a token, a proof, a request or
an issuer's answer holds, and marks of which claims it is a value (`masked_detail`). `configured` is
for what the operator wrote, `parameter` for what a token's header says of the token itself; neither
is ever masked. `escaped` says nothing of that, so modules that refuse tokens do not quote with it.
"""

from __future__ import annotations

import json
import re
from collections.abc import Callable, Mapping, Sequence

from policyd.json_types import Json

_LONGEST = 80


def escaped(value: object) -> str:
    """Return `value` for a log: escaped, ASCII only, cut to 80 characters.

    Text stands in single quotes; whatever else JSON knows stands as JSON writes it.
    """
    # JSON may leave DEL as it is.
    text = value if isinstance(value, str) else json.dumps(value).replace("\x7f", r"\u007f")
    cut = text[:_LONGEST]
    shortened = ascii(cut) if isinstance(value, str) else cut
    return shortened + ("..." if len(text) > _LONGEST else "")


def configured(value: str) -> str:
    """Return `escaped(value)` for what a configuration or a policy holds."""
    return escaped(value)


def parameter(value: Json) -> str:
    """Return `escaped(value)` for a parameter of a token's header, such as `kid`: no claim."""
    return escaped(value)


def escaped_path(path: str) -> str:
    """Return the path of a file for a log, whole: what tells files apart stands at the end."""
    return ascii(path)


def escaped_member(members: Mapping[str, Json], name: str) -> str:
    """Return a member of an object as `escaped` does, `nothing` where it is missing."""
    return escaped(members[name]) if name in members else "nothing"


# A mark: begin, names of claims with a separator between, the text, end. All four are controls,
# which `escaped` never writes, so no value can begin or end one.
_BEGIN, _SEPARATOR, _TEXT, _END = "\x02", "\x1e", "\x1f", "\x03"
_MARKED = re.compile(f"{_BEGIN}([^{_TEXT}]*){_TEXT}([^{_END}]*){_END}")


def quote(value: object, *claims: str) -> str:
    """Return `escaped(value)` for a detail, marked as a value of these claims of the token."""
    return marked(escaped(value), *claims)


def quote_member(members: Mapping[str, Json], name: str, *claims: str) -> str:
    """Return a member of an object as `quote` does, `nothing` where it is missing."""
    return quote(members[name], *claims) if name in members else "nothing"


def marked(text: str, *claims: str) -> str:
    """Return text for a detail, marked as telling values of these claims.

    Beside claims, facts that policies read may be named: `token.subject`. No name at all means that
    nobody can say what it tells, so that any mask covers it.
    """
    return f"{_BEGIN}{_SEPARATOR.join(claims)}{_TEXT}{text}{_END}"


def unmarked(detail: str) -> str:
    """Return the text of a detail without its marks."""
    return _MARKED.sub(r"\2", detail)


def unquoted(detail: str) -> str:
    """Return the text of a detail without what it cites, for a log that knows no masks."""
    return _MARKED.sub("(not shown here)", detail)


def masked_detail(detail: str, covers: Callable[[Sequence[str]], bool], mask: str) -> str:
    """Return the marked text of a refusal with `mask` for what tells values of claims covered.

    `covers` is asked with the names of each mark, as `marked` was given them.
    """

    def shown_or_masked(match: re.Match[str]) -> str:
        return mask if covers([*filter(None, match[1].split(_SEPARATOR))]) else match[2]

    return _MARKED.sub(shown_or_masked, detail)
