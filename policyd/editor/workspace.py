"""The policy files of a workspace, from disk or from the editor, and their analysis.

Input: texts by name. Output: `Analysis` objects, one for each policy set. A name is a path with
`/`, or another identifier of a document that is not on disk.

The files under one root are one set. If two unrelated subfolders of a folder both contain the file
that declares an API's audience (`staging/health`, `production/health`), each subfolder is a set of
its own. A document outside all roots is a set with the other files of its folder.

Invariants: one thread uses a workspace; analyses are made only on request; a file that did not
change is not parsed again.
"""

from __future__ import annotations

from collections import defaultdict
from collections.abc import Callable, Iterator, Mapping, Sequence
from functools import cached_property
from itertools import chain
from posixpath import dirname

import msgspec

from policyd.diagnostics import Diagnostic, Edit, Label, Source, Span, has_errors
from policyd.editor.index import Index
from policyd.editor.reading import read_index
from policyd.language import Loaded, LoadedTests, Parsed, load, load_tests, nodes, parse
from policyd.language.cases import TestCase
from policyd.language.parser import TEST_SUFFIX
from policyd.language.policy import PolicySet
from policyd.language.text import Read

Names = tuple[str, ...]


def is_test(name: str) -> bool:
    """Tell whether a file holds tests, by its name."""
    return name.endswith(TEST_SUFFIX)


#: What finds more in a set without errors: policies, all files, tests.
Lint = Callable[[PolicySet, Sequence[Source], Sequence[TestCase]], Sequence[Diagnostic]]


def nothing(*_: object) -> tuple[Diagnostic, ...]:
    """Find nothing."""
    return ()


class Document(msgspec.Struct, frozen=True):
    """A text and its tree; with what is wrong with the bytes that it was read from."""

    source: Source
    parsed: Parsed
    undecoded: tuple[Diagnostic, ...] = ()


class Analysis:
    """What one policy set says. Each part is worked out when it is first asked for."""

    def __init__(self, documents: Mapping[str, Document], lint: Lint = nothing) -> None:
        self.documents = documents
        self._lint = lint

    @cached_property
    def index(self) -> Index:
        """Who declares what, and who uses it."""
        files = (document.parsed.file for document in self.documents.values())
        return read_index(file for file in files if file is not None)

    @cached_property
    def loaded(self) -> Loaded:
        """What the daemon would load."""
        return load(self._sources(tests=False))

    @cached_property
    def tests(self) -> LoadedTests:
        """The tests; where the policies have errors, only what their texts alone show."""
        tests = self._sources(tests=True)
        if self.loaded.policies is not None:
            return load_tests(tests, self.loaded.policies)
        found = (self.documents[source.name].parsed.diagnostics for source in tests)
        return LoadedTests((), tuple(chain.from_iterable(found)))

    @cached_property
    def diagnostics(self) -> tuple[Diagnostic, ...]:
        """All findings. One that is about no place is shown at the top of the first file.

        What has errors is not linted.
        """
        sources = [document.source for document in self.documents.values()]
        top = Label(sources[0], Span(0, 0))
        found = [one for document in self.documents.values() for one in document.undecoded]
        found += (*self.loaded.diagnostics, *self.tests.diagnostics)
        if self.loaded.policies is not None and not has_errors(found):
            found += self._lint(self.loaded.policies, sources, self.tests.tests)
        return tuple(
            finding if finding.primary else msgspec.structs.replace(finding, primary=top)
            for finding in found
        )

    def edited(self, changes: Mapping[str, Sequence[Edit]]) -> Analysis:
        """Return what the set would say after edits to its files, the linter aside."""
        documents = dict(self.documents)
        for name, edits in changes.items():
            source = Source(name, apply(documents[name].source.text, edits))
            documents[name] = Document(source, parse(source))
        return Analysis(documents)

    def _sources(self, *, tests: bool) -> list[Source]:
        return [one.source for name, one in self.documents.items() if is_test(name) is tests]


def apply(text: str, edits: Sequence[Edit]) -> str:
    """Return a text after edits, which do not overlap."""
    for edit in sorted(edits, key=lambda one: one.span, reverse=True):
        text = text[: edit.span.start] + edit.text + text[edit.span.end :]
    return text


class Workspace:
    """The files of some roots, and what the editor has open, which counts instead."""

    def __init__(self, roots: Sequence[str] = (), lint: Lint = nothing) -> None:
        # A longer root comes first, so that a file belongs to the innermost.
        self._roots = sorted((root.rstrip("/") for root in roots), key=len, reverse=True)
        self._lint = lint
        self._disk: dict[str, Read] = {}
        self._open: dict[str, Read] = {}
        self._documents: dict[str, Document] = {}
        self._analyses: dict[Names, Analysis] = {}

    def put(self, read: Read) -> None:
        """Take note of a file's text on disk."""
        self._disk[read.source.name] = read

    def remove(self, name: str) -> None:
        """Take note that a file is on disk no more."""
        self._disk.pop(name, None)

    def edit(self, source: Source) -> None:
        """Take note of a document's text in the editor."""
        self._open[source.name] = Read(source, ())

    def close(self, name: str) -> None:
        """Take note that the editor has closed a document: the text on disk counts again."""
        self._open.pop(name, None)

    def document(self, name: str) -> Document | None:
        """Return one file alone, if there is such a file."""
        return self._read().get(name)

    def analysis(self, name: str) -> Analysis | None:
        """Return the analysis of the set that a file belongs to."""
        return next((one for one in self.analyses() if name in one.documents), None)

    def analyses(self) -> tuple[Analysis, ...]:
        """Return an analysis for each policy set."""
        documents = self._read()
        known = self._analyses
        self._analyses = {}
        for names in map(tuple, self._sets(documents)):
            parts = {name: documents[name] for name in names}
            before = known.get(names)
            same = before is not None and all(
                before.documents[name] is part for name, part in parts.items()
            )
            self._analyses[names] = (
                before if before is not None and same else Analysis(parts, self._lint)
            )
        return tuple(self._analyses.values())

    def _read(self) -> dict[str, Document]:
        """Parse what has changed."""
        known = self._documents
        self._documents = {}
        for name, read in sorted({**self._disk, **self._open}.items()):
            document = known.get(name)
            if document is None or document.source.text != read.source.text:
                parsed = parse(read.source)
                undecoded = (one for one in read.diagnostics if one not in parsed.diagnostics)
                document = Document(read.source, parsed, tuple(undecoded))
            self._documents[name] = document
        return self._documents

    def _sets(self, documents: Mapping[str, Document]) -> Iterator[list[str]]:
        under: defaultdict[str, list[str]] = defaultdict(list)
        for name in documents:
            root = next((one for one in self._roots if _is_below(name, one)), dirname(name))
            under[root].append(name)
        homes = {name: _api_declared(document) for name, document in documents.items()}
        for root, names in under.items():
            yield from _split(names, homes, len(root) + 1 if root else 0)


def _api_declared(document: Document) -> str | None:
    """Return the API whose audience a file declares."""
    file = document.parsed.file
    if file is None or not any(isinstance(one, nodes.Audience) for one in file.declarations):
        return None
    return file.api.text


def _split(names: list[str], homes: Mapping[str, str | None], depth: int) -> Iterator[list[str]]:
    """Yield the sets among files of one folder, whose path has `depth` characters."""
    folders: defaultdict[str, list[str]] = defaultdict(list)
    for name in names:
        folder, slash, _ = name[depth:].partition("/")
        folders[folder if slash else ""].append(name)
    if set(folders) == {""} or not _has_two_homes(names, homes):
        yield names
        return
    for folder, inside in folders.items():
        if folder:
            yield from _split(inside, homes, depth + len(folder) + 1)
        else:
            yield inside


def _has_two_homes(names: list[str], homes: Mapping[str, str | None]) -> bool:
    """Tell whether an API declares its audience in two folders neither of which is in the other."""
    by_api: defaultdict[str, set[str]] = defaultdict(set)
    for name in names:
        api = homes[name]
        if api is not None:
            by_api[api].add(dirname(name))
    return any(
        not _is_below(one, other) and not _is_below(other, one)
        for folders in by_api.values()
        for one in folders
        for other in folders
        if one != other
    )


def _is_below(name: str, folder: str) -> bool:
    return name.startswith(folder.rstrip("/") + "/")
