"""Converts findings, places and proposals to the types of the protocol."""

from __future__ import annotations

from collections.abc import Callable, Iterable, Mapping, Sequence

from lsprotocol import types as lsp

from policyd.diagnostics import Diagnostic, Edit, Label, Severity, Source, Span
from policyd.editor.fixes import Fix
from policyd.editor.index import Kind, Occurrence
from policyd.editor.outline import Item
from policyd.editor.positions import CodeUnitPosition, Encoding, Positions
from policyd.editor.proposals import Completion, Proposal

_SYMBOLS = {
    Kind.API: lsp.SymbolKind.Namespace,
    Kind.SCOPE: lsp.SymbolKind.Key,
    Kind.VOCABULARY: lsp.SymbolKind.Enum,
    Kind.CLAIM: lsp.SymbolKind.Property,
    Kind.USERINFO: lsp.SymbolKind.Property,
    Kind.CONTEXT: lsp.SymbolKind.Variable,
    Kind.RESOURCE: lsp.SymbolKind.Class,
    Kind.ATTRIBUTE: lsp.SymbolKind.Field,
    Kind.FIELD: lsp.SymbolKind.Field,
    Kind.ACTION: lsp.SymbolKind.Method,
    Kind.CONDITION: lsp.SymbolKind.Function,
    Kind.RULE: lsp.SymbolKind.Event,
    Kind.ROUTE: lsp.SymbolKind.Interface,
    Kind.TEST: lsp.SymbolKind.Event,
    Kind.FIXTURE: lsp.SymbolKind.Constant,
    Kind.FACT: lsp.SymbolKind.Constant,
}
_COMPLETIONS = {
    Kind.API: lsp.CompletionItemKind.Module,
    Kind.SCOPE: lsp.CompletionItemKind.Value,
    Kind.VOCABULARY: lsp.CompletionItemKind.Enum,
    Kind.CLAIM: lsp.CompletionItemKind.Property,
    Kind.USERINFO: lsp.CompletionItemKind.Property,
    Kind.CONTEXT: lsp.CompletionItemKind.Variable,
    Kind.RESOURCE: lsp.CompletionItemKind.Class,
    Kind.ATTRIBUTE: lsp.CompletionItemKind.Field,
    Kind.FIELD: lsp.CompletionItemKind.Field,
    Kind.ACTION: lsp.CompletionItemKind.Method,
    Kind.CONDITION: lsp.CompletionItemKind.Function,
    Kind.RULE: lsp.CompletionItemKind.Event,
    Kind.ROUTE: lsp.CompletionItemKind.Interface,
    Kind.TEST: lsp.CompletionItemKind.Event,
    Kind.FIXTURE: lsp.CompletionItemKind.Constant,
    Kind.FACT: lsp.CompletionItemKind.Constant,
}
_SEVERITIES = {
    Severity.ERROR: lsp.DiagnosticSeverity.Error,
    Severity.WARNING: lsp.DiagnosticSeverity.Warning,
}


class Converter:
    """Converts for one client. `uri` gives the URI that the client knows a file by."""

    def __init__(self, encoding: Encoding, uri: Callable[[str], str]) -> None:
        self._encoding = encoding
        self._uri = uri
        self._latest: tuple[Source, Positions] | None = None

    # -- places ------------------------------------------------------------------------------

    def offset(self, source: Source, position: lsp.Position) -> int:
        """Return the offset of a position."""
        return self._positions(source).offset(CodeUnitPosition(position.line, position.character))

    def span(self, source: Source, range_: lsp.Range) -> Span:
        """Return the span of a range."""
        return Span(self.offset(source, range_.start), self.offset(source, range_.end))

    def range(self, source: Source, span: Span) -> lsp.Range:
        """Return the range of a span."""
        return lsp.Range(self._position(source, span.start), self._position(source, span.end))

    def location(self, source: Source, span: Span) -> lsp.Location:
        """Return a place with the file that it is in."""
        return lsp.Location(self._uri(source.name), self.range(source, span))

    def locations(self, places: Iterable[Occurrence]) -> list[lsp.Location]:
        """Return the places of names."""
        return [self.location(place.source, place.span) for place in places]

    def _position(self, source: Source, offset: int) -> lsp.Position:
        return lsp.Position(*self._positions(source).position(offset))

    def _positions(self, source: Source) -> Positions:
        # Places come file by file, so one file's lines are enough to remember.
        if self._latest is None or self._latest[0] is not source:
            self._latest = (source, Positions(source.text, self._encoding))
        return self._latest[1]

    # -- findings and edits ------------------------------------------------------------------

    def diagnostic(self, found: Diagnostic) -> lsp.Diagnostic:
        """Return a finding that has a place."""
        assert found.primary is not None  # those about no place were given one
        label = found.primary
        said = [found.headline, label.message, *(f"note: {note}" for note in found.remarks)]
        if found.help is not None:
            said.append(f"help: {found.help}")
        return lsp.Diagnostic(
            range=self.range(label.source, label.span),
            message="\n".join(part for part in said if part),
            severity=_SEVERITIES[found.severity],
            code=found.code,
            source="policyd",
            related_information=[self._related(one) for one in found.secondary] or None,
        )

    def _related(self, label: Label) -> lsp.DiagnosticRelatedInformation:
        location = self.location(label.source, label.span)
        return lsp.DiagnosticRelatedInformation(location, label.message or "see here")

    def text_edits(self, source: Source, edits: Sequence[Edit]) -> list[lsp.TextEdit]:
        """Return edits to one file."""
        return [lsp.TextEdit(self.range(source, edit.span), edit.text) for edit in edits]

    def workspace_edit(
        self, sources: Mapping[str, Source], changes: Mapping[str, Sequence[Edit]]
    ) -> lsp.WorkspaceEdit:
        """Return edits to several files."""
        return lsp.WorkspaceEdit(
            changes={
                self._uri(name): self.text_edits(sources[name], edits)
                for name, edits in changes.items()
            }
        )

    def fix(self, source: Source, fix: Fix) -> lsp.CodeAction:
        """Return a repair to be chosen."""
        return lsp.CodeAction(
            fix.title,
            kind=lsp.CodeActionKind.QuickFix,
            diagnostics=[self.diagnostic(fix.finding)],
            is_preferred=True,
            edit=self.workspace_edit({source.name: source}, {source.name: fix.edits}),
        )

    # -- names -------------------------------------------------------------------------------

    def completion(self, source: Source, found: Completion) -> lsp.CompletionList:
        """Return proposals in their order."""
        range_ = self.range(source, found.span)
        items = [self._proposal(one, number, range_) for number, one in enumerate(found.proposals)]
        return lsp.CompletionList(is_incomplete=False, items=items)

    @staticmethod
    def _proposal(found: Proposal, number: int, range_: lsp.Range) -> lsp.CompletionItem:
        kind = lsp.CompletionItemKind.Keyword if found.kind is None else _COMPLETIONS[found.kind]
        docs = lsp.MarkupContent(lsp.MarkupKind.Markdown, "\n".join(found.docs))
        return lsp.CompletionItem(
            found.text,
            kind=kind,
            detail=found.detail or None,
            documentation=docs if found.docs else None,
            sort_text=f"{number:05}",
            text_edit=lsp.TextEdit(range_, found.text),
        )

    def symbol(self, source: Source, item: Item) -> lsp.DocumentSymbol:
        """Return a declaration with what it holds."""
        return lsp.DocumentSymbol(
            item.name,
            _SYMBOLS[item.kind],
            self.range(source, item.span),
            self.range(source, item.name_span),
            detail=item.detail or None,
            children=[self.symbol(source, child) for child in item.children] or None,
        )
