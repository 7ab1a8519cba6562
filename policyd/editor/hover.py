"""What an editor shows of a name: its declaration, its documentation, and who uses it.

Input: an index and a place in it. Output: Markdown.
"""

from __future__ import annotations

from collections import defaultdict
from collections.abc import Iterable, Sequence

from policyd.diagnostics import catalogue
from policyd.editor.builtin import FACTS
from policyd.editor.index import Index, Kind, Occurrence, Role, Symbol
from policyd.language import case_nodes, nodes
from policyd.reasons import Reason

#: Of a longer declaration only the beginning is shown, and of more names only so many.
_LINES = 12
_NAMES = 8
_USERS = {
    Kind.RULE: "rule",
    Kind.CONDITION: "condition",
    Kind.ROUTE: "route",
    Kind.FIXTURE: "fixture",
    Kind.SCOPE: "scope",
    Kind.CLAIM: "claim",
    Kind.USERINFO: "userinfo claim",
    Kind.CONTEXT: "context entry",
    Kind.ATTRIBUTE: "attribute",
    Kind.TEST: "test",
}


def hover(index: Index, place: Occurrence) -> str:
    """Return what there is to say about the symbols of a place."""
    return "\n\n---\n\n".join(_symbol(index, symbol) for symbol in place.symbols)


def reason_hover(file: nodes.File, offset: int) -> str | None:
    """Return the catalogue's page of the reason that a test expects at an offset, if one does."""
    for declaration in file.declarations:
        if isinstance(declaration, case_nodes.Test):
            for item in declaration.items:
                if isinstance(item, case_nodes.Expectation) and item.reason is not None:
                    start, end = item.reason.span
                    if start <= offset <= end and item.reason.text in Reason.__members__:
                        return catalogue.page(item.reason.text)
    return None


def _symbol(index: Index, symbol: Symbol) -> str:
    declared = index.declared(symbol)
    parts = []
    if declared is not None:
        parts.append(_fenced(_headline(symbol, declared.text)))
        parts.append("\n".join(declared.docs))
    elif symbol.name in FACTS and symbol.kind is Kind.FACT:
        type_, text = FACTS[symbol.name]
        parts += [_fenced(f"{symbol.name}: {type_}"), text]
    else:
        parts.append(f"{symbol.kind} `{symbol.name}` is not declared")
    parts.append(_usage(index, symbol))
    return "\n\n".join(part for part in parts if part)


def _headline(symbol: Symbol, text: str) -> str:
    match symbol.kind:
        case Kind.ATTRIBUTE:
            return f"resource {symbol.owner} {{ {text} }}"
        case Kind.FIELD:
            return f"{symbol.owner.partition(' ')[0]} {{ {text} }}"
        case Kind.CONTEXT:
            return f"context {{ {text} }}"
        case Kind.ACTION:
            return f"resource {symbol.owner} {{ actions {text} }}"
        case Kind.API:
            return f"api {text}"
    lines = text.splitlines()
    return "\n".join([*lines[:_LINES], "    …"] if len(lines) > _LINES else lines)


def _fenced(text: str) -> str:
    return f"```policy\n{text}\n```"


def _usage(index: Index, symbol: Symbol) -> str:
    """Say who uses a symbol; of an API, what it is made of."""
    if symbol.kind is Kind.API:
        rules = sum(1 for _ in index.all(symbol.api, Kind.RULE))
        tests = sum(1 for _ in index.all(symbol.api, Kind.TEST))
        return f"{_counted(rules, 'rule')}, {_counted(tests, 'test')}"
    if symbol.kind in (Kind.TEST, Kind.ROUTE):
        return ""
    by_kind: defaultdict[Kind, dict[str, None]] = defaultdict(dict)
    for place in index.occurrences(symbol):
        if place.role is not Role.DECLARED and place.user is not None:
            by_kind[place.user.kind][_name(place.user)] = None
    said = [
        f"{word}{'s' if len(names) > 1 else ''} {_listed(names)}"
        for kind, word in _USERS.items()
        if kind is not Kind.TEST and (names := list(by_kind[kind]))
    ]
    if by_kind[Kind.TEST]:
        said.append(_counted(len(by_kind[Kind.TEST]), "test"))
    if said:
        return f"Used by {'; '.join(said)}."
    return "No test expects it by name." if symbol.kind is Kind.RULE else "Used by nothing."


def _name(user: Symbol) -> str:
    return f"{user.owner}.{user.name}" if user.kind is Kind.ATTRIBUTE else user.name


def _listed(names: Sequence[str]) -> str:
    shown = _quoted(names[:_NAMES])
    return f"{shown} and {len(names) - _NAMES} more" if len(names) > _NAMES else shown


def _quoted(names: Iterable[str]) -> str:
    return ", ".join(f"`{name}`" for name in names)


def _counted(number: int, word: str) -> str:
    return f"{number} {word}" if number == 1 else f"{number} {word}s"
