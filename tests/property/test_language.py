"""Whatever the text, the answer is a policy or a finding that points into the text."""

from __future__ import annotations

from pathlib import Path

from hypothesis import example, given
from hypothesis import strategies as st

from policyd.diagnostics import CODES, Source
from policyd.language import Loaded, load, load_tests
from policyd.language.text import read

_ROOT = Path(__file__).parents[2]
_SAMPLES = [
    path.read_text(encoding="utf-8")
    for folder in ("policies/health", "policies/documents", "tests/golden/checks")
    for path in sorted((_ROOT / folder).glob("*.policy"))
]
_PARTS = sorted({part for sample in _SAMPLES for part in sample.split()} | {"\n", "    ", '"', "/"})
_HEALTH = load([Source("a.policy", (_ROOT / "policies/health/health.policy").read_text("utf-8"))])
assert _HEALTH.policies is not None
_POLICIES = _HEALTH.policies
_WORDS = st.sampled_from(_PARTS)


def assert_sound(loaded: Loaded) -> None:
    assert (loaded.policies is None) == bool(loaded.diagnostics)
    for found in loaded.diagnostics:
        assert found.code in CODES
        if found.primary is not None:
            span = found.primary.span
            assert 0 <= span.start <= span.end <= len(found.primary.source.text)
        for edit in found.fix:
            assert 0 <= edit.span.start <= edit.span.end


@st.composite
def mutated(draw: st.DrawFn) -> str:
    """A sample with a few edits: something cut, doubled, replaced or put in."""
    text = draw(st.sampled_from(_SAMPLES))
    for _ in range(draw(st.integers(1, 4))):
        start = draw(st.integers(0, len(text)))
        end = min(len(text), start + draw(st.integers(0, 30)))
        middle = draw(
            st.one_of(st.just(""), _WORDS, st.just(text[start:end] * 2), st.text(max_size=3))
        )
        text = text[:start] + middle + text[end:]
    return text


@given(mutated())
def test_mutated_policies(text: str) -> None:
    assert_sound(load([Source("a.policy", text)]))


@given(st.lists(_WORDS, max_size=60).map(" ".join))
@example("api a api")
def test_words_in_any_order(text: str) -> None:
    assert_sound(load([Source("a.policy", "api a\n" + text)]))


@given(st.binary(max_size=200))
def test_any_bytes(data: bytes) -> None:
    result = read("a.policy", data)
    if not result.diagnostics:
        assert_sound(load([result.source]))


@given(mutated())
def test_mutated_tests(text: str) -> None:
    for found in load_tests([Source("a_test.policy", text)], _POLICIES).diagnostics:
        assert found.code in CODES
