"""The types that declarations may name: those of the language, and the API's vocabularies.

A vocabulary (`values NAME: …`) closes the values of a string. Its name is a type like any other, so
it cannot be the name of one of the language's. All vocabularies are collected before the first type
is read, since the order of declarations never matters.
"""

from __future__ import annotations

from collections.abc import Callable

from policyd.diagnostics import Diagnostic, Edit, Label, Source
from policyd.language import nodes
from policyd.language.reporter import Report, renamed
from policyd.language.symbols import Symbols
from policyd.language.types import Type, Vocabulary

_TYPES = {type_.value: type_ for type_ in Type}
#: Words that stand for types, or for the beginning of one.
_TAKEN = frozenset({"set", "list", *(name.partition("<")[0] for name in _TYPES)})
_OTHER_NAMES = {
    "str": "string", "text": "string", "integer": "int", "number": "int",
    "float": "decimal", "double": "decimal", "money": "decimal", "numeric": "decimal",
    "boolean": "bool", "datetime": "time", "timestamp": "time", "date": "time",
    "ipaddr": "ip", "address": "ip",
}  # fmt: skip

#: Whether a name is the first of its kind; reports it where it is not.
IsNew = Callable[[str, nodes.Name, Source], bool]


class DeclaredTypes:
    """The types of one API."""

    def __init__(self, symbols: Symbols, report: Report, is_new: IsNew) -> None:
        self._symbols = symbols
        self._report = report
        self._is_new = is_new

    def collect(self) -> None:
        """Take the vocabularies into the table."""
        for file in self._symbols.files:
            for declaration in file.surroundings:
                if isinstance(declaration, nodes.Values):
                    self._vocabulary(declaration, file.source)

    def _vocabulary(self, node: nodes.Values, source: Source) -> None:
        name = node.name
        values: set[str] = set()
        for value in node.values:
            if value.value in values:
                self._report(
                    Diagnostic(
                        "P1024",
                        f'the value "{value.value}" is listed twice',
                        Label(source, value.span),
                        help="remove one of the two",
                    )
                )
            values.add(value.value)
        if name.text in _TAKEN:
            self._report(
                Diagnostic(
                    "P1030",
                    f"`{name.text}` is a type of the language",
                    Label(source, name.span),
                    help="give the vocabulary another name, such as `role`",
                )
            )
        elif self._is_new("vocabulary", name, source):
            self._symbols.vocabularies[name.text] = Vocabulary(name.text, frozenset(values))

    def read(self, node: nodes.TypeName, source: Source) -> tuple[Type, Vocabulary | None]:
        """Return what a type's name stands for. An unknown one is reported, and is a string."""
        written = node.name if node.element is None else f"{node.name}<{node.element}>"
        found = _TYPES.get(written)
        if found is not None:
            return found, None
        vocabulary = self._symbols.vocabularies.get(node.word.text)
        if vocabulary is not None and node.element is None:
            return Type.STRING, vocabulary
        if vocabulary is not None and node.name == "set":
            return Type.SET_OF_STRING, vocabulary
        if node.word.text not in self._symbols.broken:
            self._report(
                Diagnostic(
                    "P2001",
                    f"unknown type `{written}`",
                    Label(source, node.span),
                    help=self._help(node),
                    fix=self._fix(node, source),
                )
            )
        return Type.STRING, None

    def _fix(self, node: nodes.TypeName, source: Source) -> tuple[Edit, ...]:
        """Return what puts the type in question in place, where it means the same."""
        if node.element is not None:
            return ()
        near = self._symbols.closest(node.word.text, self._symbols.vocabularies)
        other = _OTHER_NAMES.get(node.name)
        return renamed(Label(source, node.span), node.name, other or near)

    def _help(self, node: nodes.TypeName) -> str:
        if node.name in ("list", "array") or (node.name == "set" and node.element is None):
            return "say of what: `set<string>`, `set<int>` or `set<ip>`"
        other = _OTHER_NAMES.get(node.name)
        if other is not None and node.element is None:
            return f"did you mean `{other}`?"
        vocabularies = self._symbols.vocabularies
        near = self._symbols.closest(node.word.text, vocabularies)
        if near is not None:
            return f"a similar vocabulary exists: `{near}`"
        return (
            "the types are "
            + ", ".join(f"`{name}`" for name in _TYPES)
            + ", and the vocabularies that `values NAME: …` declares"
        )
