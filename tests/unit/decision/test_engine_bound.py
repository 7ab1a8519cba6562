"""What the engine answers where tokens are bound to their senders."""

from __future__ import annotations

from collections.abc import Iterator

import msgspec
import pytest

from policyd.decision.challenge import Challenger, Protection
from policyd.decision.engine import Engine
from policyd.decision.model import BatchItem, BatchRequest, Request
from policyd.language.policy import Api
from policyd.tokens.model import Binding, SenderProof, VerifiedToken
from policyd.tokens.refusals import (
    DpopNonceNeeded,
    DpopProofInvalid,
    DpopProofsExhausted,
    TokenBindingInvalid,
    TokenExpired,
    TokenMissing,
    TokenRefused,
)
from tests.support.program import NOW_SECONDS, FixedValidator, policies, token

POLICY = """
api shop
audience "https://shop.example/"
scope buy "Buy"
resource thing {
    actions look, buy, wait
}
allow look: look on thing
    when true
allow buy: buy on thing
    when scope buy
allow wait: wait on thing
    when now < "2023-11-14T22:13:22Z"
"""
NONCE = f"nonce of {NOW_SECONDS}"
PROOF = SenderProof(("a.b.c",), "GET", "https://shop.example/")
PLAIN = token()
DPOP = msgspec.structs.replace(PLAIN, binding=Binding("dpop", "x"))
MTLS = msgspec.structs.replace(PLAIN, binding=Binding("mtls", "x"))


def asked(action: str = "look", proof: SenderProof = PROOF) -> Request:
    return Request("t", "shop", action, "thing", proof=proof)


class Asking(Challenger):
    """Offers both schemes, and asks for a nonce that shows the time."""

    def __init__(self, *, nonces: bool) -> None:
        self._nonces = nonces

    def protection(self, api: Api) -> Protection:
        metadata = f"https://{api.name}.example/metadata"
        return Protection(api.name, ("Bearer", "DPoP"), ("ES256",), metadata)

    def dpop_nonce(self, now: float) -> str | None:
        return f"nonce of {now}" if self._nonces else None


def engine(outcome: VerifiedToken | Exception, *, nonces: bool = True) -> Engine:
    made = Engine(
        FixedValidator(outcome),
        lambda: NOW_SECONDS,
        challenger=Asking(nonces=nonces),
    )
    made.load(policies(POLICY))
    return made


@pytest.mark.parametrize("action", ["look", "wait"])
def test_an_answer_about_a_bound_token_may_not_be_kept(action: str) -> None:
    """The proof is for one request, and so is the answer."""
    kept = engine(PLAIN).check(asked(action))
    assert kept.cacheable_until is not None
    for bound in (DPOP, MTLS):
        answer = engine(bound).check(asked(action))
        assert (answer.allowed, answer.cacheable_until) == (kept.allowed, None)
        items = [BatchItem(action, "thing")]
        (first,) = engine(bound).check_batch(BatchRequest("t", "shop", items, proof=PROOF))
        assert first == answer
        assert engine(bound).explain(asked(action)).decision == answer


def test_a_nonce_goes_along_with_each_answer_under_dpop() -> None:
    assert engine(DPOP).check(asked()).dpop_nonce == NONCE
    assert engine(DPOP).check(asked("buy")).dpop_nonce == NONCE
    for other in (PLAIN, MTLS):
        assert engine(other).check(asked()).dpop_nonce == ""
    assert engine(DPOP, nonces=False).check(asked()).dpop_nonce == ""


def test_a_refusal_under_dpop_has_the_next_nonce_too() -> None:
    for refusal in (DpopNonceNeeded("x"), DpopProofInvalid("x"), TokenBindingInvalid("x")):
        assert engine(refusal).check(asked()).dpop_nonce == NONCE
        assert engine(refusal, nonces=False).check(asked()).dpop_nonce == ""
    assert engine(TokenExpired("x")).check(Request("t", "shop", "look", "thing")).dpop_nonce == ""


@pytest.mark.parametrize(
    ("refusal", "error", "status"),
    [
        (TokenBindingInvalid("x"), "invalid_token", 401),
        (DpopProofInvalid("x"), "invalid_dpop_proof", 401),
        (DpopNonceNeeded("x"), "use_dpop_nonce", 401),
        (TokenExpired("x"), "invalid_token", 401),
        (DpopProofsExhausted("x", retry_after=7), None, 503),
    ],
)
def test_the_error_code_says_whose_fault_it_is(
    refusal: TokenRefused, error: str | None, status: int
) -> None:
    answer = engine(refusal).check(asked())
    assert answer.http_status == status
    if error is None:
        assert (answer.www_authenticate, answer.retry_after) == ("", 7)
    else:
        assert answer.www_authenticate.startswith(f'DPoP realm="shop", error="{error}"')


def test_the_scheme_is_the_tokens_own() -> None:
    schemes = [
        engine(outcome).check(asked(action, proof)).www_authenticate.split(" ")[0]
        for outcome, action, proof in (
            (DPOP, "buy", PROOF),
            (MTLS, "buy", SenderProof()),
            (PLAIN, "buy", SenderProof()),
            (_of(DPOP), "look", SenderProof()),
            (_of(MTLS), "look", SenderProof()),
        )
    ]
    assert schemes == ["DPoP", "Bearer", "Bearer", "DPoP", "Bearer"]


def _of(known: VerifiedToken) -> TokenRefused:
    refusal = TokenExpired("x")
    refusal.token = known
    return refusal


def test_who_brings_nothing_is_offered_all_schemes() -> None:
    answer = engine(TokenMissing("x")).check(asked(proof=SenderProof()))
    metadata = 'resource_metadata="https://shop.example/metadata"'
    assert answer.www_authenticate == (
        f'Bearer realm="shop", {metadata}, DPoP realm="shop", algs="ES256", {metadata}'
    )
    assert answer.api == "shop"


def test_challenges_follow_when_the_issuers_change() -> None:
    turns: Iterator[tuple[str, ...]] = iter([("ES256",), ("EdDSA",)])

    class Turning(Challenger):
        def protection(self, api: Api) -> Protection:
            return Protection(api.name, ("DPoP",), next(turns))

    made = Engine(FixedValidator(TokenMissing("x")), lambda: NOW_SECONDS, challenger=Turning())
    made.challenge_anew()  # nothing is loaded, so there is nothing to do
    made.load(policies(POLICY))
    before = made.snapshot
    assert made.check(asked()).www_authenticate == 'DPoP realm="shop", algs="ES256"'
    made.challenge_anew()
    assert made.check(asked()).www_authenticate == 'DPoP realm="shop", algs="EdDSA"'
    after = made.snapshot
    assert before is not None
    assert after is not None
    assert after.program is before.program
