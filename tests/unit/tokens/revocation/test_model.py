"""What a revocation is, and that two about one thing add up whatever their order."""

from __future__ import annotations

import msgspec
import pytest
from hypothesis import given
from hypothesis import strategies as st

from policyd.tokens.revocation.model import (
    LATEST,
    LONGEST_ISSUER,
    LONGEST_REASON,
    LONGEST_VALUE,
    InvalidRevocation,
    Revocation,
    RevocationKind,
    merged,
)
from tests.support.revocations import revoked, revoked_token

TIMES = st.integers(0, 50)
REASONS = st.sampled_from(["", "a", "b"])
ABOUT_ONE_SUBJECT = st.builds(
    lambda before, until, reason: revoked(
        RevocationKind.SUBJECT, "u1", before, until=until, reason=reason
    ),
    TIMES,
    TIMES,
    REASONS,
)
ABOUT_ONE_TOKEN = st.builds(
    lambda until, reason: revoked_token(until=until, reason=reason), TIMES, REASONS
)
GROUPS = st.one_of(
    st.tuples(ABOUT_ONE_SUBJECT, ABOUT_ONE_SUBJECT, ABOUT_ONE_SUBJECT),
    st.tuples(ABOUT_ONE_TOKEN, ABOUT_ONE_TOKEN, ABOUT_ONE_TOKEN),
)


@given(GROUPS)
def test_merging_needs_no_order(three: tuple[Revocation, Revocation, Revocation]) -> None:
    a, b, c = three
    assert merged(a, b) == merged(b, a)
    assert merged(merged(a, b), c) == merged(a, merged(b, c))
    assert merged(a, a) == a


@given(GROUPS, st.one_of(st.none(), TIMES))
def test_what_is_merged_revokes_what_either_did(
    three: tuple[Revocation, Revocation, Revocation], issued_at: int | None
) -> None:
    a, b, _ = three
    both = merged(a, b)
    assert both.revokes(issued_at) == (a.revokes(issued_at) or b.revokes(issued_at))
    assert both.until == max(a.until, b.until)


@pytest.mark.parametrize(("issued_at", "is_revoked"), [(99, True), (100, False), (None, True)])
def test_issued_before_a_time(issued_at: int | None, is_revoked: bool) -> None:
    """A token that hides its age counts as old."""
    assert revoked(RevocationKind.CLIENT, "c", 100).revokes(issued_at) is is_revoked


@pytest.mark.parametrize(
    ("changes", "said"),
    [
        ({"issuer": ""}, "`issuer`"),
        ({"issuer": "x" * (LONGEST_ISSUER + 1)}, "`issuer`"),
        ({"value": ""}, "`subject`"),
        ({"value": "x" * (LONGEST_VALUE + 1)}, "`subject`"),
        ({"reason": "x" * (LONGEST_REASON + 1)}, "`reason`"),
        ({"until": -1}, "`until`"),
        ({"until": LATEST + 1}, "`until`"),
        ({"issued_before": None}, "needs `issued_before`"),
        ({"issued_before": -1}, "`issued_before`"),
        ({"issued_before": LATEST + 1}, "`issued_before`"),
        ({"kind": RevocationKind.TOKEN}, "not for a `jti`"),
    ],
)
def test_what_makes_no_sense(changes: dict[str, object], said: str) -> None:
    good = revoked(RevocationKind.SUBJECT, "u1")
    with pytest.raises(InvalidRevocation, match=said):
        Revocation(**(msgspec.structs.asdict(good) | changes))


def test_the_limits_themselves_are_allowed() -> None:
    longest = revoked(
        RevocationKind.SUBJECT,
        "x" * LONGEST_VALUE,
        LATEST,
        issuer="x" * LONGEST_ISSUER,
        until=LATEST,
        reason="x" * LONGEST_REASON,
    )
    assert longest.revokes(LATEST - 1)


def test_what_need_not_be_said() -> None:
    made = Revocation("https://issuer.example/", RevocationKind.TOKEN, "t-1", 1000)

    assert (made.issued_before, made.reason) == (None, "")
    with pytest.raises(InvalidRevocation, match="a `subject` needs `issued_before` beside it"):
        Revocation("https://issuer.example/", RevocationKind.SUBJECT, "u-1", 1000)
