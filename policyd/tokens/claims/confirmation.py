"""The claim `cnf`: to which key a token is bound (RFC 7800, section 3.1).

Input: the claim's value. Output: a `Binding`. Two members are known, and a token has exactly one
of them: `jkt` (RFC 9449, section 6.1) and `x5t#S256` (RFC 8705, section 3.1). Whatever else stands
there binds the token to something that policyd cannot check, which makes it unusable: reading it as
a bearer token would undo what the issuer did.
"""

from __future__ import annotations

from collections.abc import Mapping
from typing import Final

from policyd.json_types import Json
from policyd.tokens import jws
from policyd.tokens.details import quote
from policyd.tokens.model import Binding, BindingMethod
from policyd.tokens.refusals import TokenMalformed

_METHODS: Final[Mapping[str, BindingMethod]] = {"jkt": "dpop", "x5t#S256": "mtls"}
_CNF: Final = "cnf"
_THUMBPRINT_CHARACTERS: Final = 43  # of 32 bytes, without padding


def read_binding(confirmation: Json) -> Binding:
    """Read the value of `cnf`."""
    if not isinstance(confirmation, dict):
        return _unusable(f"`cnf` must be an object, found {quote(confirmation, _CNF)}")
    if len(confirmation) != 1:
        return _unusable(
            f"`cnf` must have one member, `jkt` or `x5t#S256`, found {_names(confirmation)}"
        )
    ((name, thumbprint),) = confirmation.items()
    method = _METHODS.get(name)
    if method is None:
        return _unusable(
            f"`cnf` has {quote(name, _CNF)}; known are `jkt` (DPoP) and `x5t#S256` (mutual TLS)"
        )
    if not isinstance(thumbprint, str) or not is_thumbprint(thumbprint):
        return _unusable(
            f"`cnf` has a `{name}` that is no base64url of 32 bytes: {quote(thumbprint, _CNF)}"
        )
    return Binding(method, thumbprint)


def is_thumbprint(text: str) -> bool:
    """Tell whether `text` is the canonical base64url of a SHA-256."""
    if len(text) != _THUMBPRINT_CHARACTERS or not text.isascii():
        return False
    try:
        jws.decode_segment(text.encode("ascii"), "thumbprint")
    except TokenMalformed:
        return False
    return True


def _unusable(problem: str) -> Binding:
    return Binding("unusable", problem=problem)


def _names(members: Mapping[str, Json]) -> str:
    return ", ".join(quote(name, _CNF) for name in list(members)[:4]) or "none"
