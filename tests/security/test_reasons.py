"""Every reason of the contract is reached, by an engine with a real policy and real tokens.

One question a reason, which differs from one that is answered ALLOWED in what its line says. What
takes an issuer to ask, or a list of revocations that does not load, is shown by the tests of the
daemon that `ELSEWHERE` names.
"""

from __future__ import annotations

from collections.abc import Mapping

import msgspec
import pytest

from policyd.decision.engine import Engine
from policyd.decision.model import Decision, Request
from policyd.diagnostics import Source
from policyd.json_types import Json
from policyd.language import load
from policyd.language.policy import PolicySet
from policyd.reasons import Reason
from policyd.tokens.keys.refresher import RefreshedKeys
from policyd.tokens.model import VerifiedToken
from policyd.tokens.refusals import TokenRevoked
from policyd.tokens.trust import Issuer
from policyd.tokens.validator import Validator
from tests.support.documents import ROOT
from tests.support.tokens import (
    ISSUER,
    NOW,
    Clock,
    FakeFetch,
    accepted_claims,
    issuer,
    key,
    segments,
    settings,
    token,
    unsigned,
    without,
)

ELSEWHERE: Mapping[Reason, str] = {
    Reason.TOKEN_INACTIVE: "tests/server/test_introspection.py",
    Reason.INTROSPECTION_UNAVAILABLE: "tests/server/test_introspection.py",
    Reason.REVOCATIONS_UNAVAILABLE: "tests/server/test_revocation.py",
    Reason.UNDECIDED: "tests/server/test_python_client.py",
    Reason.LOG_UNAVAILABLE: "tests/server/test_decision_log.py",
}
STALE, NEVER = "https://stale.example/", "https://never.example/"
SPEAKS = frozenset(("health",))
POLICY = """\
api health

audience "https://example.com/health-api"

scope read:patients   "Read"
scope write:patients  "Write"

claim authorization_details: list? {
    type: string
}

resource patient {
    sealed: bool
    actions read, update, delete, open, share
}

allow shares: share on patient
    when token.authorization_details has some (item.type == "share")

allow reads: read on patient
    when scope read:patients

allow writes: update on patient
    when scope write:patients

allow opens: open on patient
    when token.acr == "urn:example:mfa"

deny sealed: any on patient
    when resource.sealed
"""


class OneRevoked:
    """Holds one `jti`."""

    def check(self, token: VerifiedToken, now: float) -> None:
        if token.token_id == "revoked":
            raise TokenRevoked("it is on the list")


def policies() -> PolicySet:
    loaded = load([Source("health.policy", POLICY)])
    assert loaded.policies is not None, loaded.diagnostics
    return loaded.policies


def other(name: str, clock: Clock, *, is_there: bool) -> Issuer:
    """Return an issuer whose key server answers once, or never."""
    fetch = FakeFetch(key(name="other"))
    keys = RefreshedKeys(settings(issuer=name), fetch, clock, lambda _: None)
    if is_there:
        keys.refresh()
    fetch.fail()
    keys.refresh()
    return issuer(keys, issuer=name, apis=SPEAKS)


@pytest.fixture(scope="module")
def engine() -> Engine:
    clock = Clock()
    issuers = (
        issuer(apis=SPEAKS),
        other(STALE, clock, is_there=True),
        other(NEVER, clock, is_there=False),
    )
    made = Engine(Validator(issuers, revocations=OneRevoked()), clock)
    made.load(policies())
    return made


def changed(**claims: Json) -> str:
    return token(accepted_claims(**claims))


TEXTS: Mapping[Reason, str] = {
    Reason.ALLOWED: token(),
    Reason.TOKEN_MISSING: "",
    Reason.TOKEN_MALFORMED: token() + "=",
    Reason.TOKEN_TOO_LARGE: "A" * 20_000,
    Reason.TOKEN_ENCRYPTED: "a.b.c.d.e",
    Reason.ID_TOKEN: changed(at_hash="x"),
    Reason.TOKEN_TYPE: token(header={"typ": "logout+jwt"}),
    Reason.ALGORITHM_NOT_ALLOWED: unsigned({"alg": "none"}),
    Reason.ISSUER_UNKNOWN: changed(iss=ISSUER.removesuffix("/")),
    Reason.KEY_UNKNOWN: token(header={"kid": "unknown"}),
    Reason.KEYS_REFRESHING: token(
        accepted_claims(iss=STALE), by=key(name="other"), header={"kid": "newer"}
    ),
    Reason.KEYS_UNAVAILABLE: token(accepted_claims(iss=NEVER), by=key(name="other")),
    Reason.SIGNATURE_INVALID: ".".join((*segments(changed(sub="x"))[:2], segments(token())[2])),
    Reason.TOKEN_EXPIRED: changed(exp=int(NOW) - 60),
    Reason.TOKEN_NOT_YET_VALID: changed(nbf=int(NOW) + 60),
    Reason.AUDIENCE_MISMATCH: changed(aud="https://elsewhere.example"),
    Reason.CLAIM_MISSING: token(without(accepted_claims(), "exp")),
    Reason.CLAIM_INVALID: changed(scope="a\u00a0b"),
    Reason.TOKEN_REVOKED: changed(jti="revoked"),
    Reason.TOKEN_BINDING_INVALID: changed(cnf={"jkt": "x"}),
}
QUESTION = Request(
    access_token=token(),
    api="health",
    action="read",
    resource_type="patient",
    resource_id="p1",
    attributes={"sealed": False},
)
QUESTIONS: Mapping[Reason, Request] = {
    Reason.NO_RULE_ALLOWS: msgspec.structs.replace(QUESTION, action="delete"),
    Reason.DENIED_BY_RULE: msgspec.structs.replace(QUESTION, attributes={"sealed": True}),
    Reason.INSUFFICIENT_SCOPE: msgspec.structs.replace(QUESTION, action="update"),
    Reason.INSUFFICIENT_USER_AUTHENTICATION: msgspec.structs.replace(QUESTION, action="open"),
    Reason.INSUFFICIENT_AUTHORIZATION_DETAILS: msgspec.structs.replace(QUESTION, action="share"),
    **{
        reason: msgspec.structs.replace(QUESTION, access_token=text)
        for reason, text in TEXTS.items()
    },
}


@pytest.mark.parametrize("reason", sorted(Reason))
def test_each_reason_is_reached(reason: Reason, engine: Engine) -> None:
    assert engine.check(QUESTION).allowed
    if reason in ELSEWHERE:
        assert reason not in QUESTIONS
        assert reason in (ROOT / ELSEWHERE[reason]).read_text(encoding="utf-8")
        return

    decision: Decision = engine.check(QUESTIONS[reason])

    assert decision.reason == reason
    assert decision.allowed is (reason is Reason.ALLOWED)
