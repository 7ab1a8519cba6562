"""Logs of decisions, written by the engine and the recorder of the daemon, without a daemon."""

from __future__ import annotations

from collections.abc import Iterable, Mapping, Sequence

import msgspec

from policyd.audit import CallDetails, Entry, Mask, Recorder
from policyd.decision.engine import Engine
from policyd.decision.model import BatchItem, Request
from policyd.diagnostics import Source
from policyd.json_types import Json
from policyd.language import load
from policyd.language.policy import PolicySet
from policyd.tokens.claims import facts
from policyd.tokens.refusals import TokenRefused
from policyd.tooling.subjects import TakenForGranted

NOW = 1_800_000_000
POLICY = """\
api health

audience "https://example.com/health-api"

scope read:patients  "Read"
scope write:patients "Write"

claim roles: set<string>? from "/realm_access/roles"

context {
    ip: ip?
}

resource patient {
    sealed: bool
    ward:   string?
    actions read, update
}

allow reads: read on patient
    when scope read:patients

allow writes: update on patient
    when scope write:patients

deny sealed: any on patient
    when resource.sealed
    unless "doctor" in token.roles
"""
CLAIMS: Mapping[str, Json] = {
    "iss": "https://issuer.example/",
    "azp": "app",
    "aud": "https://example.com/health-api",
    "exp": NOW + 3600,
    "iat": NOW - 60,
    "scope": "read:patients",
    "realm_access": {"roles": ["doctor"]},
}


class Question(msgspec.Struct, frozen=True):
    """A question about the API of `POLICY`, `at` so many seconds after `NOW`. With a `refusal`, its
    token is refused."""

    subject: str = "u-1"
    action: str = "read"
    sealed: bool = False
    roles: Sequence[str] = ("doctor",)
    attributes: Mapping[str, Json] = {}
    context: Mapping[str, Json] = {}
    claims: Mapping[str, Json] = {}
    at: float = 0
    refusal: TokenRefused | None = None


def loaded(text: str = POLICY) -> PolicySet:
    """Load one policy."""
    found = load([Source("health.policy", text)])
    assert found.policies is not None, found.diagnostics
    return found.policies


def log_lines(
    questions: Iterable[Question], text: str = POLICY, masks: Iterable[str] = ()
) -> list[bytes]:
    """Decide questions by a policy, and return the lines of its log, each with its line feed."""
    policies = loaded(text)
    recorder = Recorder(Mask(frozenset(masks)))
    recorder.use(policies)
    return [recorder.lines([entry]) for entry in log_entries(questions, policies)]


def log_entries(questions: Iterable[Question], policies: PolicySet) -> list[Entry]:
    """Decide questions by policies, and return the entries of its log."""
    now = [0.0]
    validator = TakenForGranted()
    engine = Engine(validator, lambda: now[0])
    engine.load(policies)
    entries = []
    for number, one in enumerate(questions):
        roles: dict[str, Json] = {"roles": [*one.roles]}
        claims: dict[str, Json] = {**CLAIMS, "sub": one.subject, "realm_access": roles}
        validator.token = one.refusal or facts.read("oidc", {}, {**claims, **one.claims})
        now[0] = NOW + one.at
        attributes = {"sealed": one.sealed, **one.attributes}
        request = Request(
            access_token="",
            api="health",
            action=one.action,
            resource_type="patient",
            resource_id=f"p{number}",
            attributes=attributes,
            context=one.context,
        )
        decision = engine.check(request)
        item = BatchItem(one.action, "patient", request.resource_id, attributes)
        details = CallDetails(0.000_042, "caller", context=one.context)
        entries.append(Entry(details, f"d-{number}", item, decision))
    return entries
