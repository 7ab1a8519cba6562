"""Rules whose findings depend on more than one file, and what findings say besides their place."""

from __future__ import annotations

from policyd.diagnostics import Source
from policyd.language import load
from policyd.tooling.lint import lint
from tests.support.catalogue import preamble
from tests.support.lint import SCOPE, allow, below_preamble, linted, pointed


def test_missing_documentation_of_the_api() -> None:
    text = 'api x\naudience "https://x.example/"\n/// Docs.\nresource r {\n    actions a\n}\n'
    (found,) = linted(text, selected={"P3038"})
    assert pointed(found) == "x"
    assert linted(f"/// Docs.\n{text}", selected={"P3038"}) == ()


def test_api_without_tests_is_reported_once() -> None:
    text = 'api x\naudience "https://x.example/"\n' + "resource r {\n    actions a\n}\n"
    rules = "allow b: a on r\n    when true\nallow c: a on r\n    when true\n"
    (found,) = linted(text + rules, tests="api x\n", selected={"P3041"})
    assert found.headline == "API `x` has no tests"
    assert linted(text + rules, tests=None, selected={"P3041"}) == ()


def test_untested_rules_are_those_that_no_test_shows_apply() -> None:
    text = (
        'api x\naudience "https://x.example/"\nresource r {\n    open: bool\n    actions a\n}\n'
        "allow b: a on r\n    when resource.open\n"
        "allow c: a on r\n    when not resource.open\n"
        'deny d: a on r\n    when subject is application\n    because "n"\n'
    )
    test = 'api x\ntest "t" {\n    token user { }\n    allow a on r { open: true } by b\n}\n'
    assert list(map(pointed, linted(text, tests=test, selected={"P3041"}))) == ["c", "d"]


def test_finding_stands_in_the_file_of_its_condition() -> None:
    """What a rule reads may be defined in another file, and is pointed at there, once."""
    head = Source("a.policy", f'{preamble()}\ndefine boss as token.sub == "auth0|ann"\n')
    rules = allow("boss") + allow("boss", name="two", actions="update")
    body = Source("b.policy", f"api health\n\n{rules}")
    policies = load([head, body]).policies
    assert policies is not None
    (found,) = lint(policies, [body, head], None, {"P3010"})
    assert found.primary is not None
    assert found.primary.source is head
    assert [label.source.name for label in found.secondary] == ["b.policy"]


def test_fix_of_a_scope_in_the_set() -> None:
    (found,) = below_preamble(allow('"read:patients" in token.scopes'), "P3035")
    assert [edit.text for edit in found.fix] == ['scope "read:patients"']


def test_help_names_the_better_name() -> None:
    (found,) = below_preamble(allow(SCOPE, name="readAllPatients"), "P3036")
    assert found.help == "call it `read-all-patients`"
    (found,) = below_preamble(allow(SCOPE, name="_1"), "P3036")
    assert found.help == "use lower case"
