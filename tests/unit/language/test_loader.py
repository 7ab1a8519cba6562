"""Sets of files: which of them are a policy set."""

from __future__ import annotations

import random

import pytest

from policyd.diagnostics import Source
from policyd.language import check_identity, limits, load, policy, walks

HEAD = 'api a\n\naudience "https://a.example"\n\nscope x "X"\n\nresource r {\n    actions read\n}\n'
RULE = "api a\n\nallow more: read on r when scope x\n"


def load_files(**files: str) -> list[str]:
    """The codes of what is wrong; `__` in a name stands for a slash."""
    loaded = load(
        [Source(name.replace("__", "/") + ".policy", text) for name, text in files.items()]
    )
    codes = [found.code for found in loaded.diagnostics]
    assert (loaded.policies is None) == bool(codes)
    return codes


def loaded(*texts: str) -> policy.PolicySet:
    result = load([Source(f"{index}.policy", text) for index, text in enumerate(texts)])
    assert result.diagnostics == ()
    assert result.policies is not None
    return result.policies


def test_several_files_are_one_policy() -> None:
    assert load_files(a__head=HEAD, a__sub__rule=RULE) == []


def test_the_order_of_files_does_not_matter() -> None:
    sources = [Source("a/head.policy", HEAD), Source("a/rule.policy", RULE)]
    revisions = set()
    for _ in range(5):
        random.shuffle(sources)
        result = load(sources)
        assert result.policies is not None
        revisions.add(result.policies.revision)
    assert len(revisions) == 1


def test_the_revision_follows_every_byte_and_every_name() -> None:
    def revision(name: str, text: str) -> str:
        result = load([Source(name, text)])
        assert result.policies is not None
        return result.policies.revision

    assert len({revision("a.policy", HEAD), revision("b.policy", HEAD),
                revision("a.policy", HEAD + "\n")}) == 3  # fmt: skip


def test_the_revision_does_not_depend_on_where_the_files_are() -> None:
    def revision(folder: str) -> str:
        result = load(
            [Source(f"{folder}a/head.policy", HEAD), Source(f"{folder}a/b/rule.policy", RULE)]
        )
        assert result.policies is not None
        return result.policies.revision

    assert revision("") == revision("/srv/policies/") == revision("policies/")


def test_a_set_needs_an_api() -> None:
    assert load_files() == ["P1017"]


def test_an_api_needs_an_audience() -> None:
    assert load_files(a=HEAD.replace('audience "https://a.example"\n', "")) == ["P1016"]


def test_a_broken_audience_is_reported_once() -> None:
    assert load_files(a=HEAD.replace('"https://a.example"', "https")) == ["P0008"]


def test_one_file_declares_the_audience() -> None:
    assert load_files(a__h=HEAD, a__i='api a\n\naudience "https://b.example"\n') == ["P1015"]


def test_a_file_stands_under_the_folder_of_its_api() -> None:
    assert load_files(a__head=HEAD, b__rule=RULE) == ["P1019"]
    assert load_files(a__head=HEAD, ab__rule=RULE) == ["P1019"]
    assert load_files(head=HEAD, b__rule=RULE) == []


def test_two_apis_share_no_audience() -> None:
    other = HEAD.replace("api a", "api b")
    assert load_files(a=HEAD, b=other) == ["P1018"]
    assert load_files(a=HEAD, b=other.replace("https://a.example", "https://b.example")) == []


def test_an_audience_is_not_the_name_of_another_api() -> None:
    other = HEAD.replace("api a", "api b")
    assert load_files(a=HEAD, b=other.replace("https://a.example", "a")) == ["P1018"]
    assert load_files(a=HEAD.replace("https://a.example", "a")) == []


def test_a_file_without_its_api_line_hides_no_other_error_and_adds_none() -> None:
    rule = "api a\n\nallow more: read on lost when scope x and scope y\n"
    lost = "resource lost {\n    actions read\n}\n"
    assert load_files(a__head=HEAD, a__lost=lost, a__rule=rule) == ["P0010", "P1003"]


def test_names_of_declarations_that_do_not_parse_are_not_missed() -> None:
    text = HEAD + "define admin as scope x &&\nallow a: read on r when admin and wrong\n"
    assert load_files(a=text) == ["P0004", "P1007"]


def test_nesting_counts_the_conditions_inside() -> None:
    half = limits.NESTING // 2
    deep = "not " * half
    text = HEAD + f"define one as {deep}scope x\ndefine two as {deep}one\n"
    assert load_files(a=text) == ["P0014"]
    assert load_files(a=text.replace("two as not not not", "two as")) == []
    assert load_files(a=text.replace("define two as", "allow two: read on r when")) == ["P0014"]


def test_rules_are_counted_over_all_files(monkeypatch: pytest.MonkeyPatch) -> None:
    """What is found stands where the limit is passed."""
    monkeypatch.setattr(limits, "RULES", 2)
    first = HEAD + "allow a: read on r when scope x\nallow b: read on r when scope x\n"
    assert load_files(a=first) == []
    more = f"{RULE}allow last: read on r when scope x\n"
    (found,) = load([Source("a.policy", first), Source("b.policy", more)]).diagnostics
    assert found.code == "P0015"
    assert found.primary is not None
    assert found.primary.source.name == "b.policy"
    assert more[slice(*found.primary.span)] == "more"


def test_a_rule_of_another_file_has_its_name_to_itself() -> None:
    again = RULE.replace("scope x", "scope lost")
    (found,) = load(
        [Source("a.policy", HEAD), Source("b.policy", RULE), Source("c.policy", again)]
    ).diagnostics
    assert found.code == "P1011"
    assert [each.source.name for each in (found.primary, *found.secondary) if each] == [
        "c.policy",
        "b.policy",
    ]


@pytest.mark.slow
def test_a_long_chain_of_conditions_is_refused_and_not_followed_into_the_ground() -> None:
    text = (
        HEAD
        + "".join(f"define c{n} as c{n + 1}\n" for n in range(5000))
        + "define c5000 as scope x\n"
    )
    assert "P0014" in load_files(a=text)


def test_shared_conditions_are_one_object_and_cost_no_more() -> None:
    text = HEAD + "define c0 as scope x\n"
    text += "".join(f"define c{n} as c{n - 1} and c{n - 1}\n" for n in range(1, 20))
    api = loaded(text + "allow a: read on r when c19\n").apis["a"]
    parts = sum(1 for _ in walks.walk(api.rules[0].formula))
    assert parts == 40


def test_when_and_unless_become_one_formula() -> None:
    api = loaded(
        HEAD
        + "deny d1: any on r\ndeny d2: any on r unless scope x\n"
        + "deny d3: any on r when scope x unless scope x\nallow a: read on r when true\n"
    ).apis["a"]
    shapes = {rule.name: type(rule.formula) for rule in api.rules}
    assert shapes == {"a": policy.Always, "d1": policy.Always, "d2": policy.Not, "d3": policy.All}


def test_rules_and_names_come_sorted() -> None:
    api = loaded(HEAD + RULE.partition("\n\n")[2] + "allow Z: read on r when scope x\n").apis["a"]
    assert [rule.name for rule in api.rules] == ["Z", "more"]


@pytest.mark.parametrize(
    ("condition", "codes"),
    [
        ('token.sub == "x"', ["P1025"]),
        ('token.client in ["x"]', ["P1025"]),
        ("token.actor is present", ["P1025"]),
        ('token.iss == "https://i.example/" and token.sub == "x"', []),
        ('token.iss in ["https://i.example/"] and (scope x or token.sub == "x")', []),
        ('not (token.iss == "https://i.example/" and token.sub == "x")', []),
        ('known and token.sub == "x"', []),
        ('token.iss == "https://i.example/" or token.sub == "x"', ["P1025"]),
        ('token.iss != "https://i.example/" and token.sub == "x"', ["P1025"]),
        ('token.iss is present and token.sub == "x"', ["P1025"]),
        ("scope x", []),
    ],
)
def test_with_several_issuers_an_identity_needs_its_issuer(
    condition: str, codes: list[str]
) -> None:
    known = 'define known as token.iss == "https://i.example/" or token.iss == "https://j.example/"'
    policies = loaded(HEAD + f"{known}\nallow a: read on r when {condition}\n")
    assert [found.code for found in check_identity(policies, {"a"})] == codes
    assert check_identity(policies, set()) == ()


def test_conditions_without_use_are_tried_so_often_and_no_more(
    monkeypatch: pytest.MonkeyPatch,
) -> None:
    """Each is tried on each resource: of 140 kB that were four million trials."""
    resources = "".join(f"\nresource r{n} {{\n    actions read\n}}\n" for n in range(20))
    unused = "".join(f'\ndefine c{n} as token.sub == "{n}"\n' for n in range(5))
    text = f'api a\n\naudience "a"\n{resources}{unused}'
    each = (len('token.sub == "0"') + limits.TRIAL) * 20
    monkeypatch.setattr(limits, "TRIALS", 5 * each)
    assert load([Source("a.policy", text)]).diagnostics == ()
    monkeypatch.setattr(limits, "TRIALS", 5 * each - 1)
    (found,) = load([Source("a.policy", text)]).diagnostics
    assert (found.code, found.primary is not None) == ("P0015", True)
    assert found.primary is not None
    start, end = found.primary.span
    assert text[start:end] == "c4"


def _conditions(text: str) -> list[policy.NamedCondition]:
    (api,) = loaded(text).apis.values()
    return [rule.formula for rule in api.rules if isinstance(rule.formula, policy.NamedCondition)]


def _on_each(condition: str, *resources: str) -> str:
    declared = "".join(
        f"\nresource r{n} {{\n    {fields}\n    actions read\n}}\n"
        f"\nallow a{n}: read on r{n} when c\n"
        for n, fields in enumerate(resources)
    )
    return f'api a\n\naudience "a"\n\ndefine c as {condition}\n{declared}'


@pytest.mark.parametrize(
    ("condition", "resources", "different"),
    [
        ('token.sub == "x"', ("x: int", "x: string", "y: int"), 1),
        ('resource.id == "x"', ("x: int", "x: string", "y: int"), 1),
        ("resource.x is present", ("x: int?", "x: int", "x: int\n    y: int"), 1),
        ("resource.x is present", ("x: int", "x: string", "x: int"), 2),
        ("resource.x is present or resource.y", ("x: int\n y: bool", "x: bool\n y: bool"), 2),
        ("d and d", ("x: int", "x: string", "x: int"), 2),
        ("e and not e", ("x: int", "x: string", "x: int"), 1),
    ],
)
def test_a_condition_is_lowered_once_for_all_resources_on_which_it_reads_the_same(
    condition: str, resources: tuple[str, ...], different: int
) -> None:
    inner = '\ndefine d as resource.x is present\n\ndefine e as token.sub == "x"\n'
    found = _conditions(_on_each(condition, *resources) + inner)
    assert len(found) == len(resources)
    assert len(set(map(id, found))) == different


def test_an_attribute_that_one_resource_lacks_is_found_there() -> None:
    for resources in (("x: int", "y: int"), ("y: int", "x: int"), ("x: int", "y: int", "y: int")):
        text = _on_each("resource.x is present", *resources)
        found = load([Source("a.policy", text)]).diagnostics
        assert [one.code for one in found] == ["P1005"], resources


def test_a_condition_reads_differently_so_often_and_no_more(
    monkeypatch: pytest.MonkeyPatch,
) -> None:
    condition = "resource.x is present"
    text = _on_each(condition, "x: int", "x: string", "x: bool", "x: ip")
    again = len(condition) + limits.TRIAL + 1
    monkeypatch.setattr(limits, "TRIALS", 3 * again)
    assert load([Source("a.policy", text)]).diagnostics == ()
    monkeypatch.setattr(limits, "TRIALS", 3 * again - 1)
    (found,) = load([Source("a.policy", text)]).diagnostics
    assert (found.code, "condition `c`" in found.headline) == ("P0015", True)
