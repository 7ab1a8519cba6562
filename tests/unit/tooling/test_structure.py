"""What is written in another way in two policy sets."""

from __future__ import annotations

import pytest

from policyd.tooling.structure import Part, StructuralChange, structural_changes
from tests.support.logs import POLICY, loaded

FULL = (
    POLICY.replace("scope read", 'values role: "doctor", "nurse"\n\nscope read', 1)
    .replace("set<string>?", "set<role>?")
    .replace("deny sealed", 'define trusted as "doctor" in token.roles\n\ndeny sealed')
    .replace('unless "doctor" in token.roles', "unless trusted")
)


def changes(old: str, new: str) -> list[StructuralChange]:
    return list(structural_changes(loaded(old), loaded(new)))


def only(old: str, new: str) -> StructuralChange:
    (one,) = changes(old, new)
    return one


def replaced(old: str, new: str, text: str = POLICY) -> str:
    assert old in text
    return text.replace(old, new)


def test_nothing_is_changed_by_white_space_at_the_ends() -> None:
    assert (
        changes(
            POLICY,
            replaced("allow writes: update on patient\n", "allow writes: update on patient  \n\n"),
        )
        == []
    )


def test_rules() -> None:
    more = POLICY + "\nallow more: update on patient\n    when scope read:patients\n"
    added = only(POLICY, more)
    assert (added.part, added.change) == (Part("health", "rule", "more"), "added")
    assert added.before == ""
    assert added.sentence == "health: rule `more` is new"
    assert only(more, POLICY).sentence == "health: rule `more` is gone"
    found = only(POLICY, replaced('unless "doctor"', 'unless "surgeon"'))
    assert found.sentence == "health: rule `sealed` is written in another way"
    assert found.lines == (
        '- unless "doctor" in token.roles',
        '+ unless "surgeon" in token.roles',
    )


@pytest.mark.parametrize(
    ("old", "new", "said"),
    [
        (
            "claim roles: set<string>?",
            "claim roles: set<string>",
            'health: claim `roles` was `set<string>? from "/realm_access/roles"`, '
            'is `set<string> from "/realm_access/roles"` (read by `sealed`)',
        ),
        (
            "sealed: bool",
            "sealed: bool?",
            "health: attribute of `patient` `sealed` was `bool`, is `bool?` (read by `sealed`)",
        ),
        ("    ip: ip?", "    ip: string?", "health: context `ip` was `ip?`, is `string?`"),
        (
            '"Read"',
            '"Read all"',
            'health: scope `read:patients` was `"Read"`, is `"Read all"` (read by `reads`)',
        ),
        (
            "actions read, update",
            "actions read, update, list",
            "health: action of `patient` `list` is new",
        ),
    ],
)
def test_declarations_and_the_rules_that_read_them(old: str, new: str, said: str) -> None:
    assert only(POLICY, replaced(old, new)).sentence == said


def test_apis() -> None:
    other = loaded(replaced("api health", "api other"))
    found = [one.sentence for one in structural_changes(loaded(), other)]
    assert found == ["API `health` is gone", "API `other` is new"]


def test_a_vocabulary_tells_its_values() -> None:
    found = only(FULL, replaced('"nurse"', '"clerk", "porter"', FULL))
    assert found.part == Part("health", "vocabulary", "role")
    assert found.sentence == (
        "health: vocabulary `role` gains `clerk` and `porter` and loses `nurse` (read by `sealed`)"
    )


def test_a_condition_names_the_rules_that_use_it() -> None:
    found = only(FULL, replaced('as "doctor" in', 'as "nurse" in', FULL))
    assert found.sentence == (
        "health: condition `trusted` is written in another way (read by `sealed`)"
    )
    assert found.lines == ('- "doctor" in token.roles', '+ "nurse" in token.roles')


def test_long_texts_and_many_names_are_cut_short() -> None:
    many = ", ".join(f'"r{number}"' for number in range(50))
    found = only(FULL, replaced('"nurse"', f'"nurse", {many}', FULL))
    assert found.sentence.count("`r") == 9, "eight of them, and the vocabulary"
    assert "and 42 more" in found.sentence
    tests = "\n        or ".join(f'resource.ward == "{number}"' for number in range(50))
    longer = replaced("when resource.sealed\n", f"when resource.sealed\n        or {tests}\n")
    lines = only(POLICY, longer).lines
    assert len(lines) == 41
    assert lines[-1].endswith(" lines more")
