"""What a caller sent along, as it is asked about: the access token and the proof of its sender.

Sources: RFC 6750, section 2.1; RFC 9449, sections 7.1 and 7.2.
"""

from __future__ import annotations

import re
from collections.abc import Sequence
from dataclasses import dataclass
from uuid import uuid4

from .values import Proof, QuestionInvalid

_AUTHORIZATION = re.compile(
    r"[ \t]*(?P<scheme>[A-Za-z0-9!#$%&'*+.^_`|~-]+) +(?P<token>.*)", re.DOTALL
)


def bare_token(given: object) -> str:
    """Return the token itself where it comes with `Bearer ` or with white space around it.

    A file that holds a token ends in a newline, and a header field begins with its scheme. What
    else is wrong with a token the daemon says. Raises `QuestionInvalid` for what is no text.
    """
    if given is None:
        return ""
    if not isinstance(given, str):
        what = "an access token is a text, and no " + type(given).__qualname__
        raise QuestionInvalid(what, "TOKEN_MALFORMED")
    token = given.strip()
    if " " not in token:  # so there is no scheme before it; the pattern would go through all of it
        return "" if len(token) == len("bearer") and token.lower() == "bearer" else token
    found = _AUTHORIZATION.fullmatch(token)
    if found is None:
        return token
    if found["scheme"].lower() == "bearer":
        return found["token"].strip()
    if found["scheme"].lower() == "dpop":
        raise QuestionInvalid(
            "the token has `DPoP ` before it: pass what follows, and the request's DPoP header "
            "fields as `proof`",
            "TOKEN_MALFORMED",
        )
    return token


@dataclass(frozen=True)
class Credentials:
    """What an HTTP request showed: its token, and the proof of its sender."""

    access_token: str
    proof: Proof | None = None


def credentials(
    authorization: Sequence[str],
    *,
    dpop: Sequence[str] = (),
    method: str = "",
    uri: str = "",
    certificate: str = "",
) -> Credentials:
    """Return what to ask about, given all header fields `Authorization` and `DPoP` of a request.

    `certificate` is the thumbprint of the sender's, where there is one. Under the scheme `Bearer`,
    a DPoP proof does not count: a token that is bound to a key must not be taken as a bearer token
    (RFC 9449, section 7.2). Under `DPoP`, its absence is an invalid proof. Any other scheme brings
    no token, and several fields bring one that the daemon refuses.
    """
    found = _AUTHORIZATION.fullmatch(authorization[0]) if len(authorization) == 1 else None
    scheme = found["scheme"].lower() if found else ""
    token = found["token"].strip(" \t") if found and scheme in ("bearer", "dpop") else ""
    if len(authorization) > 1:
        token = ", ".join(authorization)
    proofs = (tuple(dpop) or ("",)) if scheme == "dpop" else ()
    if not proofs and not certificate:
        return Credentials(token)
    return Credentials(token, Proof(proofs, method, uri, certificate))


def new_request_id() -> str:
    """Return a name for a request that nobody else can guess."""
    return uuid4().hex
