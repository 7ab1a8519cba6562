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
