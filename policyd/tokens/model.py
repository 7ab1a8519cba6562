"""What the rest of policyd knows of tokens."""

from __future__ import annotations

from collections.abc import Mapping
from typing import Final
from typing import Literal as OneOf

import msgspec

from policyd.json_types import Json

SubjectKind = OneOf["user", "application"]
BindingMethod = OneOf["dpop", "mtls", "unusable"]


class ResourceServer(msgspec.Struct, frozen=True):
    """An API as tokens see it: its name, for the issuers' `apis`, and its audiences."""

    name: str
    audiences: frozenset[str]


class SenderProof(msgspec.Struct, frozen=True):
    """The proof that came with a token: shows that the sender holds the key it is bound to.

    `dpop_proofs` are the values of the HTTP field `DPoP`, `http_method` and `http_uri` the request
    that they are for (RFC 9449). `client_certificate_sha256` is the thumbprint of the certificate
    that the sender presented over mutual TLS: base64url of the SHA-256 of its DER (RFC 8705,
    section 3.1). `request_id` tells one request from another: within one, a proof may be shown
    several times. It must come from the enforcement point itself, never from its caller.
    """

    dpop_proofs: tuple[str, ...] = ()
    http_method: str = ""
    http_uri: str = ""
    client_certificate_sha256: str = ""
    request_id: str = ""


#: The slots of `VerifiedToken.memo`.
FACTS_MEMO, RESPONSE_MEMO, SEEN_MEMO = 0, 1, 2


def new_memo() -> list[object]:
    """Return a memo without anything in it."""
    return [None, None, None]


NO_PROOF: Final = SenderProof()


class Binding(msgspec.Struct, frozen=True):
    """The key that a token is bound to: what its `cnf` says (RFC 7800).

    `thumbprint` is base64url of a SHA-256: with `dpop` that of the sender's public key as a JWK
    (RFC 7638), with `mtls` that of the DER of its certificate. `unusable` is a `cnf` that says
    anything else; `problem` tells what, and nobody may use such a token.
    """

    method: BindingMethod
    thumbprint: str = ""
    problem: str = ""


class VerifiedToken(msgspec.Struct, frozen=True, eq=False):
    """An access token whose signature, kind, and dialect have been verified.

    Time, audience and the other facts that change without the bytes changing are verified at every
    use, by the validator. Times are whole seconds since the epoch. `None` means that the token does
    not tell. `claims` is the whole payload. `memo` has a slot for each later stage that derives
    something from this token and itself alone (`FACTS_MEMO`, `RESPONSE_MEMO`, `SEEN_MEMO`), set in
    one assignment. `binding` is there when the token is bound to its sender.
    """

    issuer: str
    subject: str | None
    client: str | None
    kind: SubjectKind | None
    scopes: frozenset[str]
    permissions: frozenset[str]
    audience: frozenset[str]
    actor: str | None
    issued_at: int | None
    not_before: int | None
    expires_at: int
    token_id: str | None
    key_id: str | None
    algorithm: str
    claims: Mapping[str, Json]
    memo: list[object]
    binding: Binding | None = None
