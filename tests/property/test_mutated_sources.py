"""Twenty thousand mutated sources give a policy or findings that point into the text.

The mutations are drawn from a seed, so that a failure can be seen again. `POLICYD_MUTATIONS` is
their number; a million take some twenty minutes on one core.
"""

from __future__ import annotations

import os
import random
from collections import Counter
from pathlib import Path

from policyd.diagnostics import CODES, Source
from policyd.language import load, load_tests
from policyd.language.parser import TEST_SUFFIX

_ROOT = Path(__file__).parents[2]
_SEED = 20_261_122

POLICY = """/// Things.
api a

audience "https://a.example"

scope read:x   "Read"
scope write:x  "Write" // a comment

claim org:    string?
claim groups: set<string>? from "/realm/groups"

userinfo town: string? from "/address/locality"
context { ip: ip? }

resource r {
    org: string
    n:   int?
    actions read, write
}

define mine as token.org == resource.org
define near as context.ip in ["10.0.0.0/8"]

allow reads: read on r
    when scope read:x and (mine or token.groups has any ["a", "b"])

deny shut: any on r
    when resource.n > 5 and token.auth_time within last 15m
    unless near
    because "closed"

route GET "/r/{org}/{id}" as read on r
"""
TESTS = """api a

test "t" {
    at "2026-11-22T10:00:00Z"
    token user { scope: [read:x], org: "o", groups: ["a"] }
    userinfo { town: "Bern" }
    context { ip: "10.0.0.1" }
    allow read on r "1" { org: "o", n: 7 } by reads because ALLOWED
    deny  write on r { org: "p" }
}
"""
_PARTS = sorted(
    {*POLICY.split(), *TESTS.split(), "\n", "    ", '"', "\\", "/", "é", "\x00", "(", "{", "}"}
)


def mutated(text: str, dice: random.Random) -> str:
    """The text with one to four edits: something cut, doubled, moved, or put in."""
    for _ in range(dice.randint(1, 4)):
        start = dice.randint(0, len(text))
        end = min(len(text), start + dice.randint(0, 40))
        piece = text[start:end]
        edit = dice.randrange(5)
        if edit == 0:
            text = text[:start] + text[end:]
        elif edit == 1:
            text = text[:end] + piece + text[end:]
        elif edit == 2:
            place = dice.randint(0, len(text))
            text = text[:place] + piece + text[place:]
        elif edit == 3:
            text = text[:start] + dice.choice(_PARTS) + text[start:]
        else:
            text = text[:start] + chr(dice.randrange(0x20, 0x2FF)) + text[start + 1 :]
    return text


def test_mutated_sources_give_a_policy_or_findings() -> None:
    number = int(os.environ.get("POLICYD_MUTATIONS", "6000"))
    dice = random.Random(_SEED)
    sound = load([Source("a.policy", POLICY)])
    assert sound.policies is not None
    outcomes: Counter[str] = Counter()
    for turn in range(number):
        if turn % 4:
            source = Source("a.policy", mutated(POLICY, dice))
            loaded = load([source])
            assert (loaded.policies is None) == bool(loaded.diagnostics)
            found = loaded.diagnostics
        else:
            source = Source(f"a{TEST_SUFFIX}", mutated(TESTS, dice))
            found = load_tests([source], sound.policies).diagnostics
        for one in found:
            assert one.code in CODES
            if one.primary is not None:
                assert 0 <= one.primary.span.start <= one.primary.span.end <= len(source.text)
        outcomes[found[0].code if found else "no finding"] += 1
    assert outcomes.total() == number
    # All of it was met: sources that are sound, and mistakes of each stage.
    assert outcomes["no finding"] > 0
    assert {code[:2] for code in outcomes} >= {"P0", "P1", "P2", "P4"}
    print(f"\n{number:,} mutated sources; the first findings: {dict(outcomes.most_common(8))}")
