"""Renames a symbol in all files of its policy set, tests included.

Input: an index, a place and the new name. Output: edits by file, or `RenameRefused`. An attribute
that a condition reads on several resources is renamed on all of them, because the text has only one
name.

Invariants: the renamed policies have no error that they did not have before; they are checked to
make sure. A claim is still read from the same path of the payload.
"""

from __future__ import annotations

from collections import Counter, defaultdict

from policyd.diagnostics import Diagnostic, Edit, Severity, Source, Span
from policyd.editor.index import Index, Kind, Occurrence, Role, Symbol
from policyd.editor.workspace import Analysis
from policyd.errors import PolicydError
from policyd.language import nodes, parse
from policyd.language.parser.tokens import quoted

Changes = dict[str, tuple[Edit, ...]]


class RenameRefused(PolicydError):
    """The new name is no name, is taken, or would make an error; or nothing can be renamed."""


def renameable(index: Index, place: Occurrence) -> None:
    """Raise `RenameRefused` where a place names nothing that a policy declares."""
    for symbol in place.symbols:
        if symbol.kind is Kind.FACT:
            raise RenameRefused(f"`{symbol.name}` is a name of the language")
        if symbol.kind in (Kind.TEST, Kind.ROUTE):
            raise RenameRefused(f"the text of a {symbol.kind} is edited where it stands")
        if index.declared(symbol) is None:
            raise RenameRefused(f"{symbol.kind} `{symbol.name}` is not declared")
    if place.role is Role.IMPLIED or not place.symbols:
        raise RenameRefused("`any` means every action of the resource, and cannot be renamed")


def rename(analysis: Analysis, place: Occurrence, name: str) -> Changes:
    """Return the edits that give the symbols of a place the name `name`."""
    index = analysis.index
    renameable(index, place)
    symbols = _together(index, place)
    old = place.symbols[0]
    if name == old.name:
        return {}
    _check_name(old.kind, name)
    for document in analysis.documents.values():
        if old.name in document.parsed.broken_words:
            raise RenameRefused(
                f"`{old.name}` stands in a declaration of {document.source.name} that does not "
                "parse: mend that first"
            )
    changes = _changes(index, symbols, name)
    _prove(analysis, changes)
    return changes


def _together(index: Index, place: Occurrence) -> set[Symbol]:
    """Return all symbols that have to change together."""
    found: set[Symbol] = set()
    stack = list(place.symbols)
    while stack:
        symbol = stack.pop()
        if symbol in found:
            continue
        found.add(symbol)
        for other in index.occurrences(symbol):
            if other.role is not Role.IMPLIED:
                stack.extend(other.symbols)
    return {symbol for symbol in found if index.declared(symbol) is not None}


def _check_name(kind: Kind, name: str) -> None:
    """Let the parser say whether a name is one; some may be written in quotes."""
    if kind in _QUOTABLE:
        _written(kind, name)
        return
    is_key = kind in (Kind.CLAIM, Kind.USERINFO, Kind.ATTRIBUTE, Kind.CONTEXT, Kind.FIELD)
    declaration = f"claim {name}: string" if is_key else f"define {name} as now is present"
    parsed = parse(Source("new.policy", f"api new\n{declaration}"))
    file = parsed.file
    if not parsed.diagnostics and file is not None and len(file.declarations) == 1:
        one = file.declarations[0]
        if isinstance(one, nodes.Claim | nodes.Define) and one.name.text == name:
            return
    raise RenameRefused(f"`{name}` cannot be a name of {_article(kind)}")


def _article(kind: Kind) -> str:
    return f"an {kind}" if kind[0] in "Aa" else f"a {kind}"


#: What may be called by a name in quotes, and a declaration of one.
_QUOTABLE = {
    Kind.SCOPE: 'scope {} "new"',
    Kind.ACTION: "resource new {{ actions {} }}",
    Kind.RESOURCE: "resource {} {{ actions new }}",
}


def _written(kind: Kind, name: str) -> str:
    """Return a name as a policy writes it: without quotes if it can be."""
    for written in (name, quoted(name)):
        declaration = _QUOTABLE[kind].format(written)
        parsed = parse(Source("new.policy", f"api new\n{declaration}"))
        if not parsed.diagnostics and parsed.file is not None:
            match parsed.file.declarations:
                case [nodes.Scope(name=nodes.Name(text=text))] if text == name:
                    return written
                case [nodes.Resource(actions=[nodes.Name(text=text)])] if (
                    kind is Kind.ACTION and text == name
                ):
                    return written
                case [nodes.Resource(name=nodes.Name(text=text))] if (
                    kind is Kind.RESOURCE and text == name
                ):
                    return written
    raise RenameRefused(f"`{name}` cannot be a name of {_article(kind)}")


def _changes(index: Index, symbols: set[Symbol], name: str) -> Changes:
    edits: defaultdict[str, dict[Span, Edit]] = defaultdict(dict)
    for symbol in symbols:
        for place in index.occurrences(symbol):
            if place.role is not Role.IMPLIED:
                text = place.source.text[place.span.start : place.span.end]
                written = name
                if symbol.kind in _QUOTABLE:
                    written = _written(symbol.kind, name)
                    keeps_quotes = symbol.kind is Kind.SCOPE and text.startswith('"')
                    if keeps_quotes and not written.startswith('"'):
                        written = f'"{written}"'
                edits[place.source.name][place.span] = Edit(place.span, written)
        declared = index.declared(symbol)
        if declared is not None and _is_read_by_name(declared.node):
            end = Span(declared.node.span.end, declared.node.span.end)
            edits[declared.place.source.name][end] = Edit(end, f' from "{symbol.name}"')
    return {file: tuple(sorted(found.values(), key=_start)) for file, found in edits.items()}


def _is_read_by_name(node: nodes.Node) -> bool:
    """Tell whether a claim stands in its payload under the name that it has in the policy."""
    return isinstance(node, nodes.Claim | nodes.Userinfo) and node.path is None


def _start(edit: Edit) -> Span:
    return edit.span


def _prove(analysis: Analysis, changes: Changes) -> None:
    """Refuse what would make an error, such as a name that is taken."""
    before = Counter(finding.code for finding in _errors(analysis))
    for finding in _errors(analysis.edited(changes)):
        before[finding.code] -= 1
        if before[finding.code] < 0:
            raise RenameRefused(finding.headline)


def _errors(analysis: Analysis) -> list[Diagnostic]:
    return [one for one in analysis.diagnostics if one.severity is Severity.ERROR]
