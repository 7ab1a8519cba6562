"""What is said once, and what is said of each place."""

from __future__ import annotations

import pytest

from policyd.diagnostics import Source
from policyd.language import load
from policyd.language.loader import Loader
from policyd.language.policy import Rule

HEAD = """\
api a

audience "https://a.example"

resource bare {
    actions x
}

resource full {
    note: string
    actions x
}

resource other {
    actions x
}
"""


def codes(*texts: str) -> list[tuple[str, str]]:
    """Return the code and the file of each finding; each text is a file of the API."""
    sources = [Source(f"{number}.policy", f"api a\n\n{text}") for number, text in enumerate(texts)]
    found = load([Source("main.policy", HEAD), *sources]).diagnostics
    return [(one.code, one.primary.source.name) for one in found if one.primary is not None]


def test_what_is_wrong_with_a_condition_is_said_once_whatever_reads_it() -> None:
    condition = 'define noted as resource.note == "a"\n\n'
    rules = "".join(f"allow {on}: x on {on}\n    when noted\n\n" for on in ("bare", "other"))
    assert codes(condition + rules) == [("P1005", "0.policy")]


def test_two_things_wrong_with_it_in_one_place_are_both_said() -> None:
    condition = "define noted as resource.note\n\n"
    rules = "".join(f"allow {on}: x on {on}\n    when noted\n\n" for on in ("bare", "full"))
    assert codes(condition + rules) == [("P1005", "0.policy"), ("P2005", "0.policy")]


def test_the_same_mistake_at_the_same_place_of_two_files_is_two() -> None:
    first, second = (f"allow {name}: x on bore\n    when true\n" for name in ("one", "two"))
    assert codes(first, second) == [("P1001", "0.policy"), ("P1001", "1.policy")]


@pytest.mark.parametrize(
    ("declared", "instead"),
    [
        ("scope z", "scope w"),
        ("claim z: int", "claim w: int"),
        ("claim z: int", "claim z: string"),
        ('define z as resource.note == "a"', 'define w as resource.note == "a"'),
        ("context {\n    z: int\n}", "context {\n    w: int\n}"),
        ("context {\n    z: int\n}", ""),
    ],
)
@pytest.mark.parametrize("name", ["first.policy", "zlast.policy"])
def test_a_rule_is_looked_at_again_when_what_it_names_goes(
    declared: str, instead: str, name: str
) -> None:
    """Also where as many declarations stay, and the rule's own file does not change."""
    kind = declared.split()[0]
    named = {"scope": "scope z", "claim": "token.z > 1", "define": "z", "context": "context.z > 1"}
    description = ' "Z"' if kind == "scope" else ""
    rule = Source("rule.policy", f"api a\n\nallow z: x on full\n    when {named[kind]}\n")
    main = Source("main.policy", HEAD)
    loader = Loader()

    def load_with(declaration: str) -> list[str]:
        text = f"api a\n\n{declaration}{description if declaration else ''}\n"
        loaded = loader.load([main, rule, Source(name, text)])
        return [finding.code for finding in loaded.diagnostics]

    assert load_with(declared) == []
    assert load_with(instead) != []
    assert load_with(declared) == []


def test_a_rule_that_nothing_changed_around_is_the_same_object() -> None:
    def rules(changed: str) -> dict[str, Rule]:
        stays = Source("stays.policy", "api a\n\nallow stays: x on bare\n    when true\n")
        policies = loader.load([main, stays, Source("z.policy", f"api a\n\n{changed}")]).policies
        assert policies is not None
        return {rule.name: rule for rule in policies.apis["a"].rules}

    loader, main = Loader(), Source("main.policy", HEAD)
    before = rules("allow other: x on bare\n    when true\n")
    after = rules("allow other: x on other\n    when true\n")
    assert after["stays"] is before["stays"]
    assert after["other"] is not before["other"]
    anew = rules('scope s "S"\n')
    assert anew["stays"] is not after["stays"]


def rules_of(text: str) -> list[Rule]:
    loaded = load([Source("main.policy", HEAD), Source("rules.policy", f"api a\n\n{text}")])
    assert loaded.policies is not None, [one.headline for one in loaded.diagnostics]
    return list(loaded.policies.apis["a"].rules)


def test_a_rule_on_several_resources_is_one_on_each_under_one_name() -> None:
    made = rules_of("deny wall: any on any\n    when token.sub is missing\n")
    assert [(one.name, one.resource, one.actions) for one in made] == [
        ("wall", name, ("x",)) for name in ("bare", "full", "other")
    ]
    # What reads the same on each is made once.
    assert len({id(one.formula) for one in made}) == 1


def test_what_is_wrong_on_several_resources_is_said_once() -> None:
    assert codes('deny wall: any on any\n    when resource.note == "a"\n') == [
        ("P1005", "0.policy")
    ]


def test_rules_count_for_each_resource(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr("policyd.language.limits.RULES", 5)
    rules = "deny one: any on any\n\ndeny two: any on any\n\ndeny three: any on any\n"
    assert codes(rules) == [("P0015", "0.policy")]
    assert codes("deny one: any on any\n\ndeny two: x on bare, full\n") == []


def test_conditions_that_read_differently_on_many_resources_are_limited(
    monkeypatch: pytest.MonkeyPatch,
) -> None:
    monkeypatch.setattr("policyd.language.limits.TRIALS", 400)
    kinds = ("string", "int", "bool", "time", "ip")
    resources = "".join(
        f"resource r{number} {{\n    at: {kind}?\n    actions y\n}}\n\n"
        for number, kind in enumerate(kinds)
    )
    condition = " and ".join(["resource.at is present"] * 5)
    rules = resources + f"deny d: y on any\n    when {condition}\n"
    assert codes(rules) == [("P0015", "1.policy")] or codes(rules) == [("P0015", "0.policy")]
