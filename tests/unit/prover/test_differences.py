"""What two revisions answer differently."""

from __future__ import annotations

import pytest

from policyd.prover.differences import Revision, differences
from policyd.prover.universe import Side
from tests.support.program import policies

HEAD = """\
api things

audience "https://example.com/things"

scope use  "Use"
scope run  "Run"

values state: "open", "shut"

claim team: string?

resource thing {
    owner: string?
    state: state
    actions do
}
"""
RULE = "\nallow does: do on thing\n    when scope use and token.team == resource.owner\n"


def revision(text: str) -> Revision:
    api = policies(text).apis["things"]
    return Revision(Side(api, api.resources["thing"], "do"), api.rules)


def outcomes(old: str, new: str) -> list[tuple[str, str]]:
    """Return the pairs of answers that differ; each is confirmed."""
    found = differences(revision(old), revision(new))
    assert all(one.confirmed for one in found)
    return [(one.before.outcome, one.after.outcome) for one in found]


@pytest.mark.parametrize(
    ("rule", "expected"),
    [
        (RULE, []),
        # The same in other words.
        (RULE.replace("scope use and token.team", "scope use and not (token.team").replace(
            "== resource.owner", "!= resource.owner)"), []),
        (RULE.replace("scope use", "(scope use or scope run)"), [("deny", "allow")]),
        (RULE + "    unless scope run\n", [("allow", "deny")]),
        (RULE.replace("scope use", "scope run"), [("deny", "allow"), ("allow", "deny")]),
        (RULE.replace("==", "!="), [("deny", "allow"), ("allow", "deny")]),
        # It was unknown, and so it stays.
        (RULE + "    unless token.team is missing\n", []),
        (RULE + '\ndeny shut: do on thing\n    when resource.state == "shut"\n',
         [("allow", "deny")]),
    ],
)  # fmt: skip
def test_rules(rule: str, expected: list[tuple[str, str]]) -> None:
    assert outcomes(HEAD + RULE, HEAD + rule) == expected


def _teams(count: int, more: str = "") -> str:
    """Return a rule for each of many teams."""
    return "".join(
        f'\nallow team-{n:03}: do on thing\n    when scope use and token.team == "t{n}"{more}\n'
        for n in range(count)
    )


MANY = HEAD + _teams(90)
ALSO = "\nallow also: do on thing\n    when scope use and token.team {}\n"
CLOSED = "\ndeny closed: do on thing\n    when {}\n"


@pytest.mark.parametrize(
    ("old", "new", "expected"),
    [
        # What both allow already is no gain, and what both deny no loss.
        (MANY, MANY + ALSO.format('== "t77"'), []),
        (MANY, MANY + ALSO.format('== "t90"'), [("deny", "allow")]),
        (MANY + CLOSED.format("not (token.team is present)"),
         MANY + CLOSED.format("not (token.team is present)") + ALSO.format("is missing"), []),
        # A deny that goes matters where others allow: to one of the last, or to none.
        (MANY + CLOSED.format('scope run or token.team == "t89"'),
         MANY + CLOSED.format("scope run"), [("deny", "allow")]),
        (MANY + CLOSED.format('scope run or token.team == "t90"'),
         MANY + CLOSED.format("scope run or token.team is missing"), []),
        (HEAD + CLOSED.format("scope run"), HEAD, []),
        # Names and the order of operands make no difference.
        (MANY, MANY.replace("allow team-", "allow group-"), []),
        (MANY, HEAD + _teams(90).replace("scope use and token.team", "token.team").replace(
            '"\n', '" and scope use\n'), []),
    ],
)  # fmt: skip
def test_one_rule_of_many(old: str, new: str, expected: list[tuple[str, str]]) -> None:
    assert outcomes(old, new) == expected


def test_the_rules_that_decide_are_named_as_each_revision_does() -> None:
    old = MANY + CLOSED.format('scope run or token.team == "t89"')
    new = MANY.replace("allow team-", "allow group-") + CLOSED.format("scope run")
    (found,) = differences(revision(old), revision(new))
    assert found.before.rules == ("closed",)
    assert found.after.rules == ("group-089",)
    (back,) = differences(revision(new), revision(old))
    assert back.before.rules == ("group-089",)


def test_what_becomes_mandatory() -> None:
    claim = HEAD.replace("team: string?", "team: string")
    attribute = HEAD.replace("owner: string?", "owner: string")

    # A token without the claim is refused before anybody looks at the request.
    assert outcomes(HEAD + RULE, claim + RULE) == [("deny", "refused"), ("mistake", "refused")]
    assert outcomes(claim + RULE, HEAD + RULE) == [("refused", "deny"), ("refused", "mistake")]
    assert outcomes(HEAD + RULE, attribute + RULE) == [("deny", "mistake")]


def test_values_of_a_vocabulary() -> None:
    rule = "\nallow does: do on thing\n    when scope use\n"
    fewer = HEAD.replace('"open", "shut"', '"open"')
    more = HEAD.replace('"open", "shut"', '"open", "shut", "torn"')

    assert outcomes(HEAD + rule, fewer + rule) == [("allow", "mistake"), ("deny", "mistake")]
    assert ("mistake", "allow") in outcomes(HEAD + rule, more + rule)


def test_a_scope_that_includes_another() -> None:
    wider = HEAD.replace('"Run"', '"Run" includes use')

    assert outcomes(HEAD + RULE, wider + RULE) == [("deny", "allow")]


def test_a_claim_that_is_read_from_elsewhere() -> None:
    moved = HEAD.replace("team: string?", 'team: string? from "/team/name"')

    assert outcomes(HEAD + RULE, moved + RULE) == [("deny", "allow"), ("allow", "deny")]
