"""One table of steps: whatever verifies a token derives its order from it, and misses no step."""

from __future__ import annotations

import pytest

from policyd.tokens.model import ResourceServer, SenderProof, VerifiedToken
from policyd.tokens.pipeline import PIPELINE, AtEachUse, Compared, Step
from policyd.tokens.refusals import TokenRevoked
from policyd.tokens.steps import Candidate, UseCheck
from policyd.tokens.trust import Trust
from policyd.tokens.validator import Validator
from tests.support.asking import FakeAsk, active, asked_issuer, settle
from tests.support.tokens import BILLING, HEALTH, NOW, Clock, issuer, reason, refusal, token, verify

PROOF = SenderProof(request_id="r-1")


class Added:
    """A step that is not in the table, which notes on which path it ran, and may refuse."""

    def __init__(self) -> None:
        self.ran: list[str] = []
        self.refuses = False

    def run(self, candidate: Candidate) -> None:
        assert candidate.text
        self._note("run")

    def compare(self, candidate: Candidate) -> None:
        assert candidate.audience.apis
        self._note("compared")

    def of(self, trust: Trust) -> UseCheck:
        assert trust.issuers

        def check(known: VerifiedToken, text: str, proof: SenderProof, now: float) -> None:
            assert (known.subject, text, proof, now) == ("auth0|123456", token(), PROOF, NOW)
            self._note("at each use")

        return check

    def _note(self, path: str) -> None:
        self.ran.append(path)
        if self.refuses:
            raise TokenRevoked("the added step says no")


def test_a_step_that_is_added_runs_for_a_token_that_is_remembered() -> None:
    added = Added()
    step = Step("added", added.run, AtEachUse(added.of), ("facts",))
    of = Validator([issuer()], steps=(*PIPELINE, step))

    first = of.verify(token(), HEALTH, NOW, PROOF)
    assert of.verify(token(), HEALTH, NOW, PROOF) is first
    assert added.ran == ["run", "at each use"]

    added.refuses = True
    with pytest.raises(TokenRevoked) as caught:
        of.verify(token(), HEALTH, NOW, PROOF)
    assert caught.value.token is first


def test_a_step_that_is_compared_runs_again_where_a_glance_cannot_tell() -> None:
    added = Added()
    step = Step("added", added.run, Compared(added.compare), ("audience",))
    place = [step.name for step in PIPELINE].index("binding")
    of = Validator([issuer()], steps=(*PIPELINE[:place], step, *PIPELINE[place:]))
    first = verify(token(), of)

    assert verify(token(), of) is first
    assert reason(token(), of, BILLING) == "AUDIENCE_MISMATCH"
    assert reason(token(), of, now=NOW + 930) == "TOKEN_EXPIRED"
    assert added.ran == ["run"]
    wider = ResourceServer(HEALTH.name, HEALTH.audiences | BILLING.audiences)
    assert verify(token(), of, wider) is first
    assert added.ran == ["run", "compared"]
    added.refuses = True
    assert refusal(token(), of, wider).token is first


@pytest.mark.parametrize("opaque", [True, False])
def test_a_step_that_is_added_judges_opaque_tokens_where_it_says_so(
    opaque: bool, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setenv("POLICYD_TEST_SECRET", "secret")
    added, clock = Added(), Clock()
    step = Step("added", added.run, None, ("facts",), opaque=opaque)
    of = Validator([asked_issuer(FakeAsk(active()), clock)], steps=(*PIPELINE, step))

    settle(of, "opaque", clock)
    for _ in range(2):
        of.verify("opaque", HEALTH, clock())

    assert added.ran == ["run", "run"] * opaque


def test_each_step_says_how_it_counts_for_a_remembered_token() -> None:
    """What is compared is known to `_verify_again`, whose glance stands for exactly these."""
    by_kind = {
        kind: [step.name for step in PIPELINE if isinstance(step.recheck, kind)]
        for kind in (Compared, AtEachUse)
    }

    assert by_kind[Compared] == ["api", "key", "kind", "time", "audience"]
    assert by_kind[AtEachUse] == ["binding", "revocation"]


def test_what_an_issuer_says_of_an_opaque_token_is_judged_like_the_claims_of_another() -> None:
    after = [step.name for step in PIPELINE].index("signature") + 1

    assert [step.opaque for step in PIPELINE] == [place >= after for place in range(len(PIPELINE))]


def test_a_comparison_behind_a_check_at_each_use_would_change_the_order() -> None:
    added = Added()
    step = Step("added", added.run, Compared(added.compare), ("audience",))

    with pytest.raises(ValueError, match="stands before one that is compared"):
        Validator([issuer()], steps=(*PIPELINE, step))
