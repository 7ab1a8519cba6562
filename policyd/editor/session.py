"""The session of one client: answers the protocol's requests from the analysis.

Input: requests of the protocol. Output: its answers; `server` transports both. A request about a
missing file, or about a place without a symbol, is answered by `None` or an empty list.

Invariants: one thread uses a session; other threads may only use the `analyses` that it returns.
The functions that read files, run tests and lint are passed in.
"""

from __future__ import annotations

from collections import defaultdict
from collections.abc import Callable, Iterable, Sequence
from pathlib import Path

import msgspec
from lsprotocol import types as lsp
from pygls.uris import from_fs_path, to_fs_path

from policyd.diagnostics import Diagnostic, Edit, Source, Span, has_errors
from policyd.editor.completion import complete
from policyd.editor.convert import Converter
from policyd.editor.fixes import all_fixes, fixes
from policyd.editor.hover import hover, reason_hover
from policyd.editor.index import Occurrence, Role
from policyd.editor.outline import outline
from policyd.editor.positions import Encoding, without_surrogates
from policyd.editor.rename import rename, renameable
from policyd.editor.workspace import Analysis, Document, Lint, Workspace, is_test
from policyd.language import case_nodes
from policyd.language.cases import TestCase
from policyd.language.formatter import format_source
from policyd.language.policy import PolicySet
from policyd.language.text import Read

RUN_TESTS = "policyd.runTests"


class Tools(msgspec.Struct, frozen=True):
    """The functions of other packages that the editor uses.

    `read` returns all policy and test files at or below a path, none if there is no such path, with
    the findings about their bytes. It raises a `PolicydError` if a file cannot be read.
    `run` runs tests, and returns a finding for each expectation that does not hold. `lint` finds
    style and safety problems in policies that load.
    """

    read: Callable[[Path], Iterable[Read]]
    run: Callable[[PolicySet, Sequence[TestCase]], Sequence[Diagnostic]]
    lint: Lint


class Spot(msgspec.Struct, frozen=True):
    """A place in a file that a request is about."""

    analysis: Analysis
    source: Source
    offset: int

    @property
    def place(self) -> Occurrence | None:
        return self.analysis.index.at(self.source.name, self.offset)


class Session:
    """The state that one client sees."""

    def __init__(self, tools: Tools, roots: Sequence[str], encoding: Encoding) -> None:
        self._tools = tools
        self._roots = [_name(root).rstrip("/") for root in roots]
        self._workspace = Workspace(self._roots, tools.lint)
        self._uris: dict[str, str] = {}
        self._converter = Converter(encoding, self._uri)
        self._failures: tuple[Diagnostic, ...] = ()
        self._findings: tuple[Diagnostic, ...] = ()

    def _uri(self, name: str) -> str:
        """Return a file's URI, as the client writes it if it has written it."""
        return self._uris.get(name) or from_fs_path(name) or name

    # -- files -------------------------------------------------------------------------------

    def refresh(self, uri: str) -> None:
        """Read a file, or all files of a folder, again; or find a file gone.

        Files that are hidden are left out. Raises what `Tools.read` raises.
        """
        name = _name(uri)
        self._failures = ()
        self._workspace.remove(name)
        roots = [root for root in self._roots if name == root or name.startswith(f"{root}/")]
        if any("/." not in name.removeprefix(root) for root in roots):
            for read in self._tools.read(Path(name)):
                self._workspace.put(read)

    def edit(self, uri: str, text: str) -> None:
        """Take a document as it is in the editor."""
        name = _name(uri)
        self._failures = ()
        self._uris[name] = uri
        self._workspace.edit(Source(name, without_surrogates(text)))

    def close(self, uri: str) -> None:
        """Let a document be as it is on disk."""
        self._workspace.close(_name(uri))

    # -- findings ----------------------------------------------------------------------------

    def analyses(self) -> tuple[Analysis, ...]:
        """Return the analyses of all policy sets as they are now."""
        return self._workspace.analyses()

    def diagnostics(self, findings: Iterable[Diagnostic]) -> dict[str, list[lsp.Diagnostic]]:
        """Take what was found in all files; return it by URI, with the tests that failed."""
        found: defaultdict[str, list[lsp.Diagnostic]] = defaultdict(list)
        self._findings = tuple(findings)
        for finding in sorted((*self._findings, *self._failures), key=lambda one: one.sort_key):
            if finding.primary is not None:
                uri = self._uri(finding.primary.source.name)
                found[uri].append(self._converter.diagnostic(finding))
        return dict(found)

    def actions(self, uri: str, range_: lsp.Range) -> list[lsp.CodeAction]:
        """Return the repairs of what was found in a range, and that of all findings in the file.

        They are those of the latest `diagnostics`, if that was about the text as it is now.
        """
        document = self._document(uri)
        if document is None:
            return []
        source = document.source
        span = self._converter.span(source, range_)
        findings = [one for one in self._findings if one.primary and one.primary.source is source]
        found = [self._converter.fix(source, one) for one in fixes(findings, source.name, span)]
        together = all_fixes(findings, source.name)
        if together:
            edit = self._converter.workspace_edit({source.name: source}, {source.name: together})
            found.append(
                lsp.CodeAction(
                    "Mend all that is certain", kind=lsp.CodeActionKind.SourceFixAll, edit=edit
                )
            )
        return found

    # -- names -------------------------------------------------------------------------------

    def hover(self, uri: str, position: lsp.Position) -> lsp.Hover | None:
        """Return what there is to say about a name."""
        spot = self._spot(uri, position)
        if spot is None:
            return None
        place, text, range_ = spot.place, None, None
        if place is not None:
            text = hover(spot.analysis.index, place)
            range_ = self._converter.range(spot.source, place.whole)
        elif (file := spot.analysis.documents[spot.source.name].parsed.file) is not None:
            text = reason_hover(file, spot.offset)
        if not text:
            return None
        return lsp.Hover(lsp.MarkupContent(lsp.MarkupKind.Markdown, text), range_)

    def definition(self, uri: str, position: lsp.Position) -> list[lsp.Location]:
        """Return where the symbols at a place are declared."""
        spot = self._spot(uri, position)
        if spot is None or spot.place is None:
            return []
        found = (spot.analysis.index.declared(symbol) for symbol in spot.place.symbols)
        return self._converter.locations(one.place for one in found if one is not None)

    def references(self, uri: str, position: lsp.Position, *, declared: bool) -> list[lsp.Location]:
        """Return where the symbols at a place are used, and, if wanted, declared."""
        spot = self._spot(uri, position)
        if spot is None or spot.place is None:
            return []
        index = spot.analysis.index
        places = {
            place
            for symbol in spot.place.symbols
            for place in index.occurrences(symbol)
            if declared or place.role is not Role.DECLARED
        }
        in_order = sorted(places, key=lambda place: (place.source.name, place.span))
        return self._converter.locations(in_order)

    def rename_range(self, uri: str, position: lsp.Position) -> lsp.PrepareRenamePlaceholder | None:
        """Return the name that would be replaced. Raises `RenameRefused`."""
        spot = self._spot(uri, position)
        if spot is None or spot.place is None:
            return None
        renameable(spot.analysis.index, spot.place)
        range_ = self._converter.range(spot.source, spot.place.span)
        return lsp.PrepareRenamePlaceholder(range_, spot.place.symbols[0].name)

    def rename(self, uri: str, position: lsp.Position, name: str) -> lsp.WorkspaceEdit | None:
        """Return the edits that give a symbol another name. Raises `RenameRefused`."""
        spot = self._spot(uri, position)
        if spot is None or spot.place is None:
            return None
        changes = rename(spot.analysis, spot.place, name)
        sources = {name: one.source for name, one in spot.analysis.documents.items()}
        return self._converter.workspace_edit(sources, changes)

    def completion(self, uri: str, position: lsp.Position) -> lsp.CompletionList | None:
        """Return what may stand at a place."""
        spot = self._spot(uri, position)
        if spot is None:
            return None
        found = complete(spot.analysis.index, spot.source, spot.offset)
        return self._converter.completion(spot.source, found)

    # -- files as a whole --------------------------------------------------------------------

    def formatting(self, uri: str) -> list[lsp.TextEdit] | None:
        """Return the edit that formats a file; `None` where it has errors.

        Raises `FormatterError`.
        """
        document = self._document(uri)
        if document is None:
            return None
        source = document.source
        text = format_source(source).text
        if text is None:
            return None
        edits = [] if text == source.text else [Edit(Span(0, len(source.text)), text)]
        return self._converter.text_edits(source, edits)

    def symbols(self, uri: str) -> list[lsp.DocumentSymbol]:
        """Return what a file declares."""
        document = self._document(uri)
        if document is None or document.parsed.file is None:
            return []
        return [
            self._converter.symbol(document.source, item) for item in outline(document.parsed.file)
        ]

    # -- tests -------------------------------------------------------------------------------

    def lenses(self, uri: str) -> list[lsp.CodeLens]:
        """Return a command above each test that runs it, and one above the file for all."""
        document = self._document(uri)
        file = None if document is None else document.parsed.file
        if document is None or file is None or not is_test(document.source.name):
            return []
        lenses = [self._lens(document, file.api.span, "Run all tests", [uri, None])]
        for one in file.declarations:
            if isinstance(one, case_nodes.Test):
                lens = self._lens(document, one.title.span, "Run test", [uri, one.title.value])
                lenses.append(lens)
        return lenses

    def _lens(
        self, document: Document, span: Span, title: str, arguments: list[str | None]
    ) -> lsp.CodeLens:
        command = lsp.Command(title, RUN_TESTS, arguments=list(arguments))
        return lsp.CodeLens(self._converter.range(document.source, span), command)

    def run_tests(self, uri: str, title: str | None = None) -> lsp.ShowMessageParams:
        """Run a file's tests, or the one of this title, and return what to tell the user.

        What does not hold is among the findings until a file changes.
        """
        analysis = self._analysis(uri)
        policies = None if analysis is None else analysis.loaded.policies
        if analysis is None or policies is None or has_errors(analysis.diagnostics):
            return lsp.ShowMessageParams(
                lsp.MessageType.Warning, "No test was run: the policies or tests have errors."
            )
        cases = [
            case
            for case in analysis.tests.tests
            if case.source.name == _name(uri) and title in (None, case.title)
        ]
        found = tuple(self._tools.run(policies, cases))
        before = [one for one in self._failures if not _is_of(one, cases)]
        self._failures = (*before, *found)
        number = sum(len(case.expectations) for case in cases)
        if found:
            text = f"{len(found)} of {_counted(number, 'expectation')} did not hold."
            return lsp.ShowMessageParams(lsp.MessageType.Error, text)
        text = f"{_counted(len(cases), 'test')} passed: {_counted(number, 'expectation')}."
        return lsp.ShowMessageParams(lsp.MessageType.Info, text)

    # -- finding things ----------------------------------------------------------------------

    def _document(self, uri: str) -> Document | None:
        return self._workspace.document(_name(uri))

    def _analysis(self, uri: str) -> Analysis | None:
        return self._workspace.analysis(_name(uri))

    def _spot(self, uri: str, position: lsp.Position) -> Spot | None:
        analysis = self._analysis(uri)
        if analysis is None:
            return None
        source = analysis.documents[_name(uri)].source
        return Spot(analysis, source, self._converter.offset(source, position))


def _name(uri: str) -> str:
    """Return the name of a file: its path, or the URI of what is on no disk."""
    if not uri.startswith("file:"):
        return uri
    path = to_fs_path(uri)
    return uri if path is None else Path(path).as_posix()


def _is_of(found: Diagnostic, cases: Iterable[TestCase]) -> bool:
    """Tell whether a finding is about one of these tests."""
    label = found.primary
    return label is not None and any(
        case.source.name == label.source.name
        and case.span.start <= label.span.start < case.span.end
        for case in cases
    )


def _counted(number: int, word: str) -> str:
    return f"{number} {word}" if number == 1 else f"{number} {word}s"
