"""Whatever a text is while it is being written, the editor has an answer."""

from __future__ import annotations

from hypothesis import given
from hypothesis import strategies as st

from policyd.diagnostics import Source, Span
from policyd.editor.completion import complete
from policyd.editor.fixes import all_fixes
from policyd.editor.hover import hover
from policyd.editor.outline import outline
from policyd.editor.rename import RenameRefused, rename
from policyd.editor.workspace import Analysis, Document, apply
from policyd.language import parse
from tests.support.documents import ROOT
from tests.support.editor import FILES

_TEXTS = [path.read_text("utf-8") for path in sorted((ROOT / "policies").rglob("*.policy"))]
_TEXTS += FILES.values()
_SCRAPS = [
    "",
    "\n",
    " ",
    "{",
    "}",
    "[",
    '"',
    ":",
    ".",
    "scope ",
    "token.",
    "when ",
    "//",
    "é𝄞",
    "a",
]


@st.composite
def torn(draw: st.DrawFn) -> tuple[Source, int]:
    """A sample with some pieces cut out and others put in, and an offset in it."""
    text = draw(st.sampled_from(_TEXTS))
    for _ in range(draw(st.integers(1, 4))):
        start = draw(st.integers(0, len(text)))
        end = min(len(text), start + draw(st.integers(0, 30)))
        text = text[:start] + draw(st.sampled_from(_SCRAPS)) + text[end:]
    name = draw(st.sampled_from(["/w/a.policy", "/w/a_test.policy"]))
    return Source(name, text), draw(st.integers(0, len(text)))


@given(torn())
def test_a_torn_text_is_answered(case: tuple[Source, int]) -> None:
    source, offset = case
    parsed = parse(source)
    analysis = Analysis({source.name: Document(source, parsed)})
    found = complete(analysis.index, source, offset)
    assert 0 <= found.span.start <= found.span.end == offset
    assert all(one.primary is not None for one in analysis.diagnostics)
    apply(source.text, all_fixes(analysis.diagnostics, source.name))
    if parsed.file is not None:
        for item in outline(parsed.file):
            assert _inside(item.name_span, item.span)
            assert all(_inside(child.span, item.span) for child in item.children)
    place = analysis.index.at(source.name, offset)
    if place is not None:
        assert _inside(place.span, place.whole)
        assert place.whole.start <= offset <= place.whole.end
        assert hover(analysis.index, place)
        _rename(analysis, source, place.span)


def _inside(inner: Span, outer: Span) -> bool:
    return outer.start <= inner.start <= inner.end <= outer.end


def _rename(analysis: Analysis, source: Source, span: Span) -> None:
    """Rename what stands there: it is refused, or makes no error and mends none."""
    place = analysis.index.at(source.name, span.start)
    assert place is not None
    try:
        changes = rename(analysis, place, "zz")
    except RenameRefused:
        return
    after = analysis.edited(changes)
    assert after.documents[source.name].source.text != source.text
    errors = sorted(one.code for one in analysis.diagnostics)
    assert sorted(one.code for one in after.diagnostics) == errors
