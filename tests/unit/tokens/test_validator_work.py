"""The validator's background work, what of it changes with the issuers, and its figures."""

from __future__ import annotations

from threading import Event, Timer

import pytest

from policyd.tokens.https.fetch import Document
from policyd.tokens.keys.refresher import RefreshedKeys
from policyd.tokens.keys.source import FixedKeys
from policyd.tokens.model import SenderProof, VerifiedToken
from policyd.tokens.proof.constraints import SenderConstraints
from policyd.tokens.refusals import TokenBindingInvalid, TokenRevoked
from policyd.tokens.settings.issuers import InvalidIssuerSettings
from policyd.tokens.trust import Issuer
from policyd.tokens.validator import CacheFigures
from tests.support.tokens import (
    HEALTH,
    NOW,
    Clock,
    FakeFetch,
    accepted_claims,
    issuer,
    key,
    key_set,
    reason,
    settings,
    token,
    validator,
    verify,
)

APIS = frozenset(("health",))
OTHER = "https://other.example/"


class RecordingKeys(FixedKeys):
    """Keys that note what is asked of them, and that come in time or do not."""

    def __init__(self, *, in_time: bool = True) -> None:
        super().__init__(key_set())
        self.asked: list[str] = []
        self.patience: list[float] = []
        self._in_time = in_time

    def start(self) -> None:
        self.asked.append("start")

    def stop(self) -> None:
        self.asked.append("stop")

    def wait(self, seconds: float) -> bool:
        self.patience.append(seconds)
        return self._in_time


def test_the_keys_of_every_issuer_are_started_and_stopped() -> None:
    keys = RecordingKeys(), RecordingKeys()
    of = validator(
        issuer(keys[0], apis=APIS), issuer(keys[1], issuer="https://other.example/", apis=APIS)
    )

    of.start()
    assert [each.asked for each in keys] == [["start"], ["start"]]
    of.stop()
    assert [each.asked for each in keys] == [["start", "stop"], ["start", "stop"]]


def test_all_issuers_share_the_time_that_there_is_to_wait() -> None:
    late, early = RecordingKeys(in_time=False), RecordingKeys()
    of = validator(
        issuer(late, apis=APIS), issuer(early, issuer="https://other.example/", apis=APIS)
    )

    assert not of.wait_for_keys(1000)
    (first,), (second,) = late.patience, early.patience
    assert 900 < second <= first <= 1000


def test_time_that_has_run_out_is_not_negative() -> None:
    keys = RecordingKeys()

    assert validator(issuer(keys)).wait_for_keys(-1)
    assert keys.patience == [0]


def test_an_issuer_that_keeps_others_waiting_does_not_hide_that_they_came() -> None:
    """Fetches run side by side: the last look at each is at the end of the time, not before."""
    first, second = Event(), Event()

    def fetching(released: Event, then: Event | None = None) -> RefreshedKeys:
        def fetch() -> Document:
            assert released.wait(10)
            if then is not None:
                then.set()
            return FakeFetch(key())()

        return RefreshedKeys(settings(), fetch, Clock(), lambda _: None)

    late, early = fetching(first), fetching(second, then=first)
    of = validator(issuer(late, apis=APIS), issuer(early, issuer=OTHER, apis=APIS))
    of.start()
    Timer(0, second.set).start()

    assert of.wait_for_keys(10)
    of.stop()


def two() -> tuple[Issuer, Issuer]:
    return (
        issuer(RecordingKeys(), apis=APIS),
        issuer(RecordingKeys(), issuer=OTHER, apis=APIS),
    )


def asked(of: Issuer) -> list[str]:
    assert isinstance(of.keys, RecordingKeys)
    return of.keys.asked


def test_issuers_come_and_go_with_their_keys() -> None:
    (ours, theirs), theirs_changed = two(), two()[1]
    of = validator(ours)
    foreign = token(accepted_claims(iss=OTHER))
    of.start()

    assert reason(foreign, of) == "ISSUER_UNKNOWN"
    of.configure((ours, theirs))
    assert of.issuers == (ours, theirs)
    assert verify(foreign, of).issuer == OTHER
    assert asked(theirs) == ["start"]
    of.configure((ours, theirs_changed))
    assert (asked(theirs), asked(theirs_changed)) == (["start", "stop"], ["start"])
    of.configure((ours,))
    assert reason(foreign, of) == "ISSUER_UNKNOWN"
    assert "stop" not in asked(ours)
    of.stop()
    assert asked(ours)[-1] == "stop"


def test_without_background_work_a_change_starts_none() -> None:
    ours, theirs = two()
    of = validator(ours)

    of.configure((theirs,))

    assert asked(theirs) == []
    of.start()
    assert asked(theirs) == ["start"]


def test_what_was_remembered_of_other_settings_does_not_count() -> None:
    """The keys stay; the one setting that changed decides at the next use."""
    keys = FixedKeys(key_set())
    of = validator(issuer(keys))
    text = token()
    assert verify(text, of) is verify(text, of)

    of.configure((issuer(keys, apis=frozenset(("billing",))),))
    assert reason(text, of) == "ISSUER_UNKNOWN"
    of.configure((issuer(keys),))
    assert verify(text, of) is verify(text, of)


def test_an_answer_about_an_issuer_that_went_is_kept_for_no_time() -> None:
    of = validator()
    verified = of.verify(token(), HEALTH, NOW)
    assert of.trusted_until(verified) > NOW

    of.configure(two()[1:])

    assert of.trusted_until(verified) == 0


def test_issuers_that_do_not_go_together_change_nothing() -> None:
    of = validator()
    before = of.issuers

    with pytest.raises(InvalidIssuerSettings, match="`apis`"):
        of.configure((issuer(), issuer()))

    assert of.issuers == before
    assert verify(token(), of).issuer == settings().issuer


def test_the_cache_tells_what_came_of_the_tokens() -> None:
    of = validator(cache_entries=2)
    texts = [token(accepted_claims(sub=str(number))) for number in range(3)]
    for text in (texts[0], texts[0], texts[1], texts[0], texts[2], texts[0]):
        verify(text, of)
    reason("garbage", of)
    reason("A" * 20_000, of)
    figures = of.figures()

    assert figures == CacheFigures(entries=2, bytes=figures.bytes, hits=2, misses=6, evictions=2)
    assert 2000 < figures.bytes < 20_000


def test_entries_that_leave_for_want_of_bytes_are_evictions() -> None:
    of = validator(cache_bytes=8000)
    for number in range(10):
        verify(token(accepted_claims(sub=str(number))), of)

    assert of.figures().evictions == 10 - of.figures().entries > 0


def test_a_remembered_token_is_revoked_all_the_same() -> None:
    class Revoking:
        revoked = False

        def check(self, token: VerifiedToken, now: float) -> None:
            if self.revoked:
                raise TokenRevoked("it is on the list")

    revocations = Revoking()
    of = validator(revocations=revocations)
    text = token()
    verify(text, of)
    revocations.revoked = True

    assert reason(text, of) == "TOKEN_REVOKED"
    assert of.figures().hits == 1


def test_a_remembered_token_needs_its_proof_at_each_use() -> None:
    class Named(SenderConstraints):
        def check(
            self, token: VerifiedToken, access_token: str, proof: SenderProof, now: float
        ) -> None:
            if proof.request_id != "shown":
                raise TokenBindingInvalid("no proof")

    of = validator(constraints=Named())
    text = token()
    of.verify(text, HEALTH, NOW, SenderProof(request_id="shown"))

    assert reason(text, of) == "TOKEN_BINDING_INVALID"
    assert of.figures().hits == 1
