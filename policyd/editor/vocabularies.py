"""What completion proposes of vocabularies: their names as types, and their values.

A proposal's detail holds the type of a fact as it was written, such as `job?` or `set<role>`.
"""

from __future__ import annotations

from collections.abc import Iterator, Sequence

from policyd.editor.index import Index, Kind
from policyd.editor.proposals import Proposal, keywords
from policyd.language import nodes
from policyd.language.types import Type

_TYPES = tuple(type_.value for type_ in Type)
_OPERATORS: dict[Type, tuple[str, ...]] = {
    Type.STRING: ("==", "!=", "in", "starts with", "ends with"),
    Type.INT: ("==", "!=", "<", "<=", ">", ">=", "in"),
    Type.DECIMAL: ("==", "!=", "<", "<=", ">", ">="),
    Type.BOOL: ("==", "!="),
    Type.TIME: ("within last", "within next", "==", "!=", "<", "<=", ">", ">="),
    Type.IP: ("in", "==", "!="),
    Type.LIST: ("has some",),
}
_SET_OPERATORS = ("has any", "has all")


def types(index: Index, api: str) -> Iterator[Proposal]:
    """Yield what may stand for a type."""
    yield from keywords(*_TYPES)
    names = [one.place.symbols[0].name for one in index.all(api, Kind.VOCABULARY)]
    for name in names:
        yield Proposal(name, Kind.VOCABULARY)
    for name in names:
        yield Proposal(f"set<{name}>", Kind.VOCABULARY)


def operators(detail: str) -> Sequence[str]:
    """Return the operators of a fact of such a type; a vocabulary's values are texts."""
    written = detail.rstrip("?")
    if written.startswith("set<"):
        return _SET_OPERATORS
    return _OPERATORS[Type(written) if written in _TYPES else Type.STRING]


def values(index: Index, api: str, detail: str) -> Iterator[Proposal]:
    """Yield the values of a fact of such a type, in quotes, where it is a vocabulary."""
    written = detail.rstrip("?").removeprefix("set<").rstrip(">")
    for declared in index.all(api, Kind.VOCABULARY):
        node = declared.node
        if declared.place.symbols[0].name == written and isinstance(node, nodes.Values):
            for value in node.values:
                text = declared.place.source.text[value.span.start : value.span.end]
                yield Proposal(text, Kind.VOCABULARY, f"of {written}")


def compared(tokens: Sequence[str]) -> str:
    """Return the fact with which the word after these tokens is compared; empty if there is none.

    The tokens are those of a condition that is just being written: `F ==`, `F in [ "a" ,`.
    """
    rest = list(tokens)
    if "[" in rest and "]" not in rest[_last("[", rest) :]:
        rest = rest[: _last("[", rest)]
    if rest[-2:-1] == ["has"] and rest[-1] in ("any", "all"):
        return rest[-3] if len(rest) > 2 else ""
    return rest[-2] if len(rest) > 1 and rest[-1] in ("==", "!=", "in") else ""


def _last(word: str, tokens: Sequence[str]) -> int:
    return max(at for at, token in enumerate(tokens) if token == word)
