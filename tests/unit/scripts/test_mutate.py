"""The mutation tool finds what it promises to break."""

from __future__ import annotations

import ast

import msgspec
import pytest

from scripts import mutations
from scripts.mutate import PLAN, ROOT, Plan, _sampled
from scripts.mutations import Kind, Target, mutants


def changes(source: str, *kinds: Kind, names: tuple[str, ...] = ("*",)) -> list[str]:
    target = Target("module.py", kinds, ("tests",), names)
    return [mutant.change for mutant in mutants(target, source)]


def texts(source: str, kind: Kind) -> list[str]:
    return [mutant.text for mutant in mutants(Target("module.py", (kind,), ()), source)]


@pytest.mark.parametrize(
    ("source", "change"),
    [
        ("STEPS = (first, second)", "without the entry `second`"),
        ("def f(x):\n    check(x)", "without `check(x)`"),
        ("def f(x):\n    if x:\n        raise E", "without `if x: raise E`"),
        ("def f(x):\n    if x:\n        return 1\n    return 2", "without `if x: return 1`"),
        ("def f(x):\n    return x and y", "`x and y` without `y`"),
    ],
)
def test_drops(source: str, change: str) -> None:
    assert change in changes(source, "drop")


@pytest.mark.parametrize(
    ("expression", "flipped"),
    [
        ("a and b", "a or b"),
        ("not a", "a"),
        ("a == b", "a != b"),
        ("a < b", "a <= b"),
        ("a < b", "a >= b"),
        ("a is None", "a is not None"),
        ("a in b", "a not in b"),
        ("any(a)", "all(a)"),
        ("True", "False"),
        ("None", "True"),
        ("a - b", "a + b"),
        ("ast.And()", "ast.Or()"),
        ("0 < a <= 9", "0 < a < 9"),
    ],
)
def test_flips(expression: str, flipped: str) -> None:
    assert f"def f():\n    return {flipped}" in texts(f"def f():\n    return {expression}", "flip")


@pytest.mark.parametrize(
    ("expression", "flipped"), [("True", "None"), ("False", "None"), ("None", "False")]
)
def test_exchanges_truth_with_what_is_unknown(expression: str, flipped: str) -> None:
    source = f"def f():\n    return {expression}"
    assert texts(source, "unknown") == [f"def f():\n    return {flipped}"]


def test_leaves_types_and_parameters_alone() -> None:
    source = "def f(x: int | None = None) -> None:\n    y: bool | None = x"
    assert changes(source, "drop", "flip") == []
    source = "Report = Callable[[int], None]"
    assert changes(source, "drop", "flip") == []


def test_leaves_alone_what_only_breaks_the_language() -> None:
    assert changes("class A:\n    __slots__ = ('a', 'b')", "drop") == []
    assert changes("def f():\n    a, b = b, a", "drop") == []
    assert changes("def f():\n    raise A from None", "flip") == []


def test_a_sample_is_of_each_target_and_the_same_each_time() -> None:
    target = Target("module.py", ("flip",), ())
    found = list(mutants(target, "def f():\n    return [True, True, True, True, True]"))
    sample = _sampled(found, 2, 7)
    assert len(sample) == 2
    assert sample == _sampled(found, 2, 7) == sorted(sample, key=found.index)
    assert _sampled(found, None, 7) == _sampled(found, 5, 7) == found


def test_keeps_to_the_names_it_was_given() -> None:
    source = "class A:\n    def f(self):\n        return not a\n\ndef g():\n    return not b"
    assert changes(source, "flip", names=("A.*",)) == ["`not a` -> `a` in `return not a`"]


def test_restores_the_tree_after_each_change() -> None:
    source = "def f():\n    return a and (not b)"
    assert all(text != source and text.count("\n") == 1 for text in texts(source, "flip"))


def test_each_target_its_tests_and_each_equivalent_exist() -> None:
    plan = msgspec.toml.decode(PLAN.read_bytes(), type=Plan)
    found: set[tuple[str, str, str]] = set()
    for target in plan.target:
        tree = ast.parse((ROOT / target.module).read_text(encoding="utf-8"))
        here = {
            (target.module, name, change.text)
            for name, _, change in mutations.changes(target, tree)
        }
        assert here, target.module
        found |= here
        for test in target.tests:
            assert (ROOT / test).exists(), test
    for same in plan.equivalent:
        assert same.reason, same
        assert (same.module, same.name, same.change) in found, f"no longer there: {same}"
