"""What is asked and what is answered, as plain values; each field is that of `proto/`'s message."""

from __future__ import annotations

import re
import ssl
from base64 import urlsafe_b64encode
from collections.abc import Mapping, Sequence
from dataclasses import dataclass, field
from datetime import datetime
from hashlib import sha256

#: A JSON value. Numbers travel as binary64: write integers beyond 2**53 - 1 as texts.
Json = None | bool | int | float | str | Sequence["Json"] | Mapping[str, "Json"]

_CERTIFICATE = re.compile(r"-----BEGIN CERTIFICATE-----.*?-----END CERTIFICATE-----", re.DOTALL)


class AuthorizationFailed(Exception):
    """There is no answer. `code` is gRPC's status, `reason` policyd's own, where it gave one.

    It is no permission either: `allowed` is false here too.
    """

    allowed = False

    def __init__(self, code: str, message: str, reason: str = "") -> None:
        super().__init__(f"{code}: {message}")
        self.code = code
        self.message = message
        self.reason = reason


class QuestionInvalid(AuthorizationFailed):
    """The question cannot be sent as it is: a mistake of the calling program, never of its caller.

    The code is `INVALID_ARGUMENT`; `reason` is one that the daemon has for the same mistake.
    """

    def __init__(self, message: str, reason: str) -> None:
        super().__init__("INVALID_ARGUMENT", message, reason)


class AccessDenied(Exception):
    """The daemon answered, and the answer is no. Raised by `require` alone."""

    def __init__(self, answer: Answer) -> None:
        super().__init__(f"{answer.reason}: {answer.message}")
        self.answer = answer


@dataclass(frozen=True)
class Resource:
    """What the action is performed on. `properties` are the attributes that its type declares."""

    type: str
    id: str = ""
    properties: Mapping[str, Json] = field(default_factory=dict)


@dataclass(frozen=True)
class Proof:
    """What came along with a sender-bound token; see `SenderProof` for what each field means.

    `dpop_proofs` are the values of all `DPoP` header fields of the request, not of the first alone.
    """

    dpop_proofs: tuple[str, ...] = ()
    http_method: str = ""
    http_uri: str = ""
    client_certificate_sha256: str = ""


@dataclass(frozen=True)
class Question:
    """One question, with a token of its own; see `CheckRequest` for what each field means."""

    access_token: str
    action: str
    resource: Resource
    api: str = ""
    context: Mapping[str, Json] = field(default_factory=dict)
    proof: Proof | None = None
    request_id: str = ""


@dataclass(frozen=True)
class Subject:
    """Whom a verified token names, and what it grants.

    `kind` is `user`, `application`, or `None` for unknown.
    """

    subject: str
    issuer: str
    client: str
    kind: str | None
    scopes: tuple[str, ...] = ()
    scopes_truncated: bool = False
    expires_at: datetime | None = None
    actor: str = ""


@dataclass(frozen=True)
class Answer:
    """The daemon's answer; see `CheckResponse` for what each field means. Act on `allowed`.

    `if answer:` raises `TypeError`, since every answer would be true, a deny too.
    """

    allowed: bool
    reason: str
    message: str
    rules: tuple[str, ...]
    rules_truncated: bool
    missing_scopes: tuple[str, ...]
    http_status: int
    www_authenticate: str
    retry_after_seconds: int
    dpop_nonce: str
    subject: Subject | None
    decision_id: str
    policy_revision: str
    cacheable_until: datetime | None
    search_stopped: bool = False
    unknown_facts: tuple[str, ...] = ()
    policy_commit: str = ""

    def __bool__(self) -> bool:
        raise TypeError("an answer is no truth value: test its `allowed`")


@dataclass(frozen=True)
class PartialAnswer:
    """What is certain of a question with unknown facts; see `PartialCheckResponse`.

    `outcome` is `allow`, `deny` or `maybe`. A menu shows what is not `denied`; before it acts on
    a `maybe`, the program asks again with what it has learned. `answer` allows with `allow` alone.
    """

    outcome: str
    depends_on: tuple[str, ...]
    search_stopped: bool
    answer: Answer

    @property
    def denied(self) -> bool:
        """Whether it is denied, whatever the unknown facts are."""
        return self.outcome == "deny"

    def __bool__(self) -> bool:
        raise TypeError("a partial answer is no truth value: look at its `outcome`")


def thumbprint(certificate: str) -> str:
    """Return `client_certificate_sha256` of a certificate in PEM: of the first, if there are more.

    This is `x5t#S256` of RFC 8705, section 3.1. Raises `ValueError` where there is no certificate.
    """
    found = _CERTIFICATE.search(certificate)
    if found is None:
        raise ValueError("there is no certificate in it")
    digest = sha256(ssl.PEM_cert_to_DER_cert(found[0])).digest()
    return urlsafe_b64encode(digest).rstrip(b"=").decode("ascii")
