"""What scopes include, and how far."""

from __future__ import annotations

from policyd.diagnostics import Diagnostic, Source
from policyd.language import limits, load
from policyd.language.policy import Api

HEAD = 'api a\n\naudience "https://a.example"\n\n'


def api(*scopes: str) -> Api:
    loaded = load([Source("a.policy", HEAD + "\n".join(scopes))])
    assert loaded.policies is not None, loaded.diagnostics
    return loaded.policies.apis["a"]


def findings(*scopes: str) -> tuple[Diagnostic, ...]:
    return load([Source("a.policy", HEAD + "\n".join(scopes))]).diagnostics


def test_what_each_grants() -> None:
    inclusion = api(
        'scope a "A" includes b, c', 'scope b "B" includes d', 'scope c "C"', 'scope d "D"'
    ).inclusion
    assert inclusion.granted == {"a": {"a", "b", "c", "d"}, "b": {"b", "d"}}
    assert inclusion.closed(frozenset({"b", "x"})) == {"b", "d", "x"}
    assert inclusion.ordered("abcd") == ["a", "b", "d", "c"]


def test_the_order_is_that_of_files_and_then_of_lines() -> None:
    files = [
        Source("b.policy", 'api a\n\nscope z "Z"\n'),
        Source("a.policy", HEAD + 'scope y "Y"\nscope x "X"\n'),
    ]
    loaded = load(files)
    assert loaded.policies is not None
    assert loaded.policies.apis["a"].inclusion.ordered("xyz") == ["z", "x", "y"]


def test_a_circle_names_its_scopes() -> None:
    (found,) = findings(
        'scope a "A" includes b', 'scope b "B" includes c', 'scope c "C" includes b'
    )
    assert found.code == "P1032"
    assert found.headline == "scope `b` includes itself: `b` includes `c` includes `b`"


def test_a_long_chain_is_too_much() -> None:
    """What a chain includes grows with the square of its length."""
    size = 1_000
    chain = [f'scope s{n} "S" includes s{n + 1}' for n in range(size)]
    (found,) = findings(*chain, f'scope s{size} "S"')
    assert found.code == "P0015"
    few = [f'scope s{n} "S" includes s{n + 1}' for n in range(400)]
    assert findings(*few, 'scope s400 "S"') == ()


def test_many_in_one_are_not() -> None:
    size = min(10_000, limits.INCLUSIONS)
    scopes = [f"s{n}" for n in range(size)]
    declared = [f'scope {name} "S"' for name in scopes]
    assert findings(*declared, f'scope all "All" includes {", ".join(scopes)}') == ()
