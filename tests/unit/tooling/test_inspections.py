from __future__ import annotations

import pytest

from policyd.json_types import Json
from policyd.tokens.inspection import Inspection, StepReport
from policyd.tooling.inspections import inspection_text

NOW = 1_800_000_000.0
FAILED = StepReport("time", "valid now", "failed", "too old \x1b[1m", "TOKEN_EXPIRED")


def _shown(**claims: Json) -> str:
    return inspection_text(Inspection((FAILED,), {"alg": "ES256"}, claims, None, now=NOW))


@pytest.mark.parametrize(
    ("exp", "shown"),
    [
        (1_700_000_000, "  exp: 1700000000  (2023-11-14T22:13:20Z, 1157 d ago)\n"),
        (1_800_000_000, "  exp: 1800000000  (2027-01-15T08:00:00Z, 0 s ago)\n"),
        (1_800_007_199, "  exp: 1800007199  (2027-01-15T09:59:59Z, in 1 h)\n"),
        (1.5, "  exp: 1.5  (1970-01-01T00:00:01Z, 20833 d ago)\n"),
        (10**30, f"  exp: {10**30}\n"),
        ("soon", '  exp: "soon"\n'),
        (True, "  exp: true\n"),
    ],
)
def test_times_are_shown_as_dates_where_they_are(exp: Json, shown: str) -> None:
    assert shown in _shown(exp=exp)


def test_steps_and_answer() -> None:
    lines = _shown(sub="a\u202eb").splitlines()
    assert lines == [
        "header",
        '  alg: "ES256"',
        "claims",
        '  sub: "a\\u{202e}b"',
        "token, as it says of itself: no signature was verified",
        "  could be    no access token",
        "steps",
        "  FAILED   time       valid now",
        "                      TOKEN_EXPIRED: too old \\u{1b}[1m",
        "answer   refused: TOKEN_EXPIRED",
        "         The client gets a new token. If all tokens seem expired, compare the",
        "         clocks of the machines.",
        "         More: policyd explain TOKEN_EXPIRED",
    ]
