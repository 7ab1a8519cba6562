"""A list in memory: which tokens it refuses, and what it says when it cannot tell."""

from __future__ import annotations

import threading

import pytest

from policyd.json_types import Json
from policyd.tokens.refusals import RevocationsUnavailable, TokenRevoked
from policyd.tokens.revocation.model import Revocation, RevocationKind
from policyd.tokens.revocation.revocation_list import ClaimNames, RevocationList, elapsed, has_ended
from policyd.tokens.revocation.revocations import NOTHING_REVOKED, CombinedRevocations
from tests.support.revocations import FAR, answer, revoked, revoked_token, seen
from tests.support.tokens import NOW, Clock

OTHER = "https://other.example/"


def current(*entries: Revocation, names: ClaimNames | None = None) -> RevocationList:
    """Return a list that its source vouches for."""
    made = RevocationList(names=names, clock=Clock(0))
    made.replace(entries)
    made.confirm()
    return made


def test_a_token_by_its_id() -> None:
    made = current(revoked_token("a"))
    assert answer(made, seen("a")) == "TOKEN_REVOKED"
    assert answer(made, seen("b")) == ""
    assert answer(made, seen(None)) == ""


@pytest.mark.parametrize(
    ("kind", "facts", "claims"),
    [
        (RevocationKind.SUBJECT, {"subject": "x"}, {}),
        (RevocationKind.CLIENT, {"client": "x"}, {}),
        (RevocationKind.SESSION, {}, {"sid": "x"}),
        (RevocationKind.ORGANISATION, {}, {"org_id": "x"}),
        (RevocationKind.ORGANISATION, {}, {"tid": "x"}),
    ],
)
def test_everything_issued_before(
    kind: RevocationKind, facts: dict[str, str], claims: dict[str, Json]
) -> None:
    made = current(revoked(kind, "x", 1000))
    assert answer(made, seen(**facts, issued_at=999, claims=claims)) == "TOKEN_REVOKED"
    assert answer(made, seen(**facts, issued_at=None, claims=claims)) == "TOKEN_REVOKED"
    assert answer(made, seen(**facts, issued_at=1000, claims=claims)) == ""
    others = dict.fromkeys(facts, "y")
    other_claims: dict[str, Json] = dict.fromkeys(claims, "y")
    assert answer(made, seen(**others, issued_at=999, claims=other_claims)) == ""
    assert answer(made, seen(issued_at=999)) == ""


@pytest.mark.parametrize("kind", RevocationKind)
def test_an_entry_is_about_one_issuer_and_one_kind(kind: RevocationKind) -> None:
    """Two issuers may use one name, and one name may be a subject's and a client's."""
    entry = (
        revoked_token("x", issuer=OTHER)
        if kind is RevocationKind.TOKEN
        else revoked(kind, "x", issuer=OTHER)
    )
    token = {
        RevocationKind.TOKEN: seen("x"),
        RevocationKind.SUBJECT: seen(subject="x"),
        RevocationKind.CLIENT: seen(client="x"),
        RevocationKind.SESSION: seen(claims={"sid": "x"}),
        RevocationKind.ORGANISATION: seen(claims={"org_id": "x"}),
    }
    made = current(entry)
    assert {answer(made, one) for one in token.values()} == {""}
    made = current(
        Revocation(seen().issuer, kind, "x", entry.until, entry.issued_before),
    )
    refused = [one for one, of_kind in token.items() if answer(made, of_kind)]
    assert refused == [kind]


@pytest.mark.parametrize("claim", ["acme", ["other", "acme"], {"acme": {"id": "1"}}, [{"acme": 1}]])
def test_shapes_of_an_organisation(claim: Json) -> None:
    names = ClaimNames(organisation=("organization",))
    made = current(revoked(RevocationKind.ORGANISATION, "acme"), names=names)
    assert answer(made, seen(claims={"organization": claim})) == "TOKEN_REVOKED"


@pytest.mark.parametrize("claim", [None, "acm", [], {}, [["acme"]], 4, True])
def test_what_names_no_organisation_of_the_list(claim: Json) -> None:
    made = current(revoked(RevocationKind.ORGANISATION, "acme"))
    assert answer(made, seen(claims={"org_id": claim})) == ""


def test_an_organisation_that_is_a_number() -> None:
    made = current(revoked(RevocationKind.ORGANISATION, "42"))
    assert answer(made, seen(claims={"org_id": 42})) == "TOKEN_REVOKED"


def test_the_detail_says_by_what_and_why() -> None:
    made = current(
        revoked_token("a", reason="stolen\nlaptop"), revoked(RevocationKind.SUBJECT, "u1", 1000)
    )
    with pytest.raises(TokenRevoked) as caught:
        made.check(seen("a"), NOW)
    assert str(caught.value) == r"the token was revoked: 'stolen\nlaptop'"
    with pytest.raises(TokenRevoked) as caught:
        made.check(seen(subject="u1", issued_at=1), NOW)
    assert str(caught.value) == (
        "its subject was revoked, for tokens issued before 1970-01-01T00:16:40Z"
    )


def test_adding_merges_and_replacing_does_not() -> None:
    made = current(revoked(RevocationKind.SUBJECT, "u1", 1000))
    made.add([revoked(RevocationKind.SUBJECT, "u1", 500), revoked_token("a")])
    assert answer(made, seen(subject="u1", issued_at=999)) == "TOKEN_REVOKED"
    assert answer(made, seen("a")) == "TOKEN_REVOKED"
    made.replace([revoked(RevocationKind.SUBJECT, "u1", 500)])
    assert answer(made, seen(subject="u1", issued_at=999)) == ""
    assert answer(made, seen("a")) == ""


def test_before_it_was_loaded_every_token_is_refused() -> None:
    for deny in (True, False):
        made = RevocationList(deny_when_stale=deny, clock=Clock(0))
        with pytest.raises(RevocationsUnavailable, match="has not been loaded yet") as caught:
            made.check(seen(), NOW)
        assert caught.value.retry_after == 5
        assert not made.wait(0)
        made.confirm()
        assert made.wait(0)
        assert answer(made, seen()) == ""


def test_a_stale_list_refuses_every_token() -> None:
    clock = Clock(1000)
    made = RevocationList(max_staleness=300, clock=clock)
    made.add([revoked_token("a")])
    made.confirm()
    clock.move(299)
    assert (answer(made, seen("a")), answer(made, seen("b"))) == ("TOKEN_REVOKED", "")
    made.fail("the network is down")
    clock.move(1)
    with pytest.raises(RevocationsUnavailable, match=r"300 s old.*`max_staleness`.*network"):
        made.check(seen("b"), NOW)
    made.confirm()
    assert answer(made, seen("b")) == ""


def test_age_counts_from_the_last_word_of_the_source() -> None:
    clock = Clock(1000)
    made = RevocationList(max_staleness=300, clock=clock)
    made.confirm()

    for seconds, stale in ((0, False), (299, False), (1, True)):
        clock.move(seconds)
        assert made.stale is stale


def test_a_stale_list_is_relied_on_where_it_may_be() -> None:
    clock = Clock(1000)
    made = RevocationList(max_staleness=300, deny_when_stale=False, clock=clock)
    made.add([revoked_token("a")])
    made.confirm()
    clock.move(10_000)
    assert made.stale
    assert (answer(made, seen("a")), answer(made, seen("b"))) == ("TOKEN_REVOKED", "")


def test_the_time_of_day_makes_nothing_stale() -> None:
    """A clock that is set back must not make an old list look new."""
    made = current()
    assert answer(made, seen(), now=0) == answer(made, seen(), now=NOW * 2) == ""


def test_what_ended_is_let_go_when_nobody_can_hold_such_a_token() -> None:
    made = current(revoked_token("a", until=1000), revoked_token("b", until=FAR))
    made.forget(1000 + 300)
    assert answer(made, seen("a")) == "TOKEN_REVOKED"
    made.forget(1000 + 301)
    assert answer(made, seen("a")) == ""
    assert answer(made, seen("b")) == "TOKEN_REVOKED"
    assert [entry.value for entry in made] == ["b"]
    made.add([revoked_token("c", until=2000)])
    made.forget(2301)
    assert [entry.value for entry in made] == ["b"]


def test_has_ended() -> None:
    assert not has_ended(revoked_token(until=1000), 1300)
    assert has_ended(revoked_token(until=1000), 1301)


def test_figures() -> None:
    clock = Clock(1000)
    made = RevocationList(max_staleness=60, clock=clock)
    figures = made.figures()
    assert (figures.loaded, figures.stale, figures.age, figures.problem) == (
        False,
        True,
        None,
        None,
    )
    made.add([revoked_token("a"), revoked_token("a"), revoked_token("b", issuer=OTHER)])
    made.add([revoked(RevocationKind.SESSION, "s")])
    made.confirm()
    clock.move(60)
    made.fail("gone")
    figures = made.figures()
    assert (figures.loaded, figures.stale, figures.age, figures.problem) == (
        True,
        True,
        60,
        "gone",
    )
    assert figures.entries == {
        "jti": 2,
        "subject": 0,
        "client": 0,
        "session": 1,
        "organisation": 0,
    }
    made.confirm()
    assert made.figures().problem is None


def test_several_lists() -> None:
    first, second = current(revoked_token("a")), current(revoked_token("b"))
    both = CombinedRevocations([first, second])
    assert [answer(both, seen(jti)) for jti in "abc"] == ["TOKEN_REVOKED", "TOKEN_REVOKED", ""]
    both = CombinedRevocations([first, RevocationList(clock=Clock(0))])
    assert answer(both, seen("c")) == "REVOCATIONS_UNAVAILABLE"


def test_without_a_list_nothing_is_revoked() -> None:
    assert answer(NOTHING_REVOKED, seen("a")) == ""


def test_elapsed_goes_on() -> None:
    assert elapsed() <= elapsed()


def test_readers_see_what_was_added_while_others_are_added() -> None:
    made = current()
    added, wrong = [0], []
    done = threading.Event()

    def read() -> None:
        while not done.is_set():
            upto = added[0]
            if upto and answer(made, seen(str(upto))) != "TOKEN_REVOKED":
                wrong.append(upto)

    readers = [threading.Thread(target=read) for _ in range(3)]
    for reader in readers:
        reader.start()
    for number in range(1, 20_001):
        made.add([revoked_token(str(number))])
        added[0] = number
    done.set()
    for reader in readers:
        reader.join()
    assert wrong == []
