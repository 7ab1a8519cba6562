"""Declarations and uses in a policy set: the names of all files, by place and symbol.

Text that does not parse is not in the index. A misspelt name is a use of an undeclared symbol.
`reading` makes the index from syntax trees.

A place can refer to several symbols: `resource.sealed` in a condition that is used on two resources
reads the attribute of both.
"""

from __future__ import annotations

import re
from collections import defaultdict
from collections.abc import Iterator, Mapping, Sequence
from enum import Enum, StrEnum
from functools import cached_property

import msgspec

from policyd.diagnostics import Source, Span
from policyd.language import nodes

_DOCS = re.compile(r"\A(?:\s*///[^\n]*\n)+\s*")


class Kind(StrEnum):
    """What a symbol is, in the words of the language."""

    API = "API"
    SCOPE = "scope"
    VOCABULARY = "vocabulary"
    CLAIM = "claim"
    USERINFO = "userinfo claim"
    CONTEXT = "context entry"
    RESOURCE = "resource"
    ATTRIBUTE = "attribute"
    FIELD = "field"
    ACTION = "action"
    CONDITION = "condition"
    RULE = "rule"
    ROUTE = "route"
    TEST = "test"
    FIXTURE = "fixture"
    FACT = "fact"  # what needs no declaration: `token.sub`, `resource.id`, `now`


class Symbol(msgspec.Struct, frozen=True, order=True):
    """A name and what it names.

    `owner` is the resource of an attribute or action, the list of a field, and the file of a
    fixture. The list is called as in a condition, and after a space by its resource if it has one.
    """

    api: str
    kind: Kind
    name: str
    owner: str = ""


class Role(Enum):
    """Why a symbol stands at a place."""

    DECLARED = "declared"
    USED = "used"
    IMPLIED = "implied"  # by `any`


class Occurrence(msgspec.Struct, frozen=True, eq=False):
    """A place that stands for symbols.

    `span` is the name itself, which a renaming replaces, quotes included; `whole` is what a reader
    points at, such as all of `token.org_id`. `user` is the rule, condition, route or test around
    it.
    """

    source: Source
    span: Span
    whole: Span
    symbols: tuple[Symbol, ...]
    role: Role
    user: Symbol | None = None


class Declared(msgspec.Struct, frozen=True, eq=False):
    """Where a symbol is declared: the place of its name, its node, and its documentation."""

    place: Occurrence
    node: nodes.Node
    docs: tuple[str, ...]

    @property
    def text(self) -> str:
        """The declaration as written, without the documentation above it."""
        written = self.place.source.text[self.node.span.start : self.node.span.end]
        return _DOCS.sub("", written)


class Index:
    """All occurrences in a policy set. Each is found by place or by symbol."""

    def __init__(self) -> None:
        self._by_file: defaultdict[str, list[Occurrence]] = defaultdict(list)
        self._by_symbol: defaultdict[Symbol, list[Occurrence]] = defaultdict(list)
        self._declared: dict[Symbol, Declared] = {}

    def add(self, occurrence: Occurrence) -> None:
        """Take note of an occurrence."""
        self._by_file[occurrence.source.name].append(occurrence)
        for symbol in occurrence.symbols:
            self._by_symbol[symbol].append(occurrence)

    def declare(self, symbol: Symbol, declared: Declared) -> None:
        """Take note of a declaration; the first one of a symbol counts."""
        self.add(declared.place)
        self._declared.setdefault(symbol, declared)

    def at(self, name: str, offset: int) -> Occurrence | None:
        """Return what stands at an offset of a file, or ends there."""
        found = [one for one in self._by_file[name] if one.whole.start <= offset <= one.whole.end]
        # Where one ends and the next begins, the next is meant.
        return max(found, key=lambda one: one.whole.start, default=None)

    def occurrences(self, symbol: Symbol) -> Sequence[Occurrence]:
        """Return all places of a symbol, declarations included, in the order of the files."""
        return self._by_symbol.get(symbol, ())

    def declared(self, symbol: Symbol) -> Declared | None:
        """Return the declaration of a symbol, if it has one."""
        return self._declared.get(symbol)

    @cached_property
    def _by_kind(self) -> Mapping[tuple[str, Kind], Sequence[Declared]]:
        found: defaultdict[tuple[str, Kind], list[Declared]] = defaultdict(list)
        for symbol, declared in sorted(self._declared.items()):
            found[symbol.api, symbol.kind].append(declared)
        return found

    def all(self, api: str, kind: Kind, owner: str | None = None) -> Iterator[Declared]:
        """Yield what an API declares of a kind, by name; of one resource, if `owner` is given."""
        for declared in self._by_kind.get((api, kind), ()):
            if owner is None or declared.place.symbols[0].owner == owner:
                yield declared

    def apis(self) -> list[str]:
        """Return the names of all APIs, sorted."""
        return sorted(symbol.name for symbol in self._declared if symbol.kind is Kind.API)
