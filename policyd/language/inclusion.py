"""Scopes that include others: `scope write:docs "…" includes read:docs`.

Output: for each scope that includes others, all that it grants. A scope that includes itself, by
way of others too, is reported, and so are inclusions beyond the limit: their number can grow with
the square of the text.
"""

from __future__ import annotations

from collections.abc import Callable, Mapping, Sequence

from policyd.diagnostics import Diagnostic, Label
from policyd.language import limits, nodes, policy
from policyd.language.reporter import Report
from policyd.language.symbols import Located, Symbols

_Edges = Mapping[str, Sequence[str]]


def inclusion(
    symbols: Symbols, declared: Mapping[str, Located[nodes.Scope]], report: Report
) -> policy.Inclusion:
    """Work out what scopes include; `declared` are they by name, in the order of the files."""
    edges = {name: _included(symbols, one, declared, report) for name, one in declared.items()}
    circle = _circle(edges)
    if circle:
        report(_circular(circle, declared))
        return policy.Inclusion()

    def beyond(name: str) -> None:
        report(_too_many(declared[name]))

    return of_edges(edges, beyond)


def of_edges(edges: _Edges, beyond: Callable[[str], None] = lambda _: None) -> policy.Inclusion:
    """Work out what scopes include; `edges` are those that each names, in the order of declaration,
    and there is no circle.

    `beyond` is told at which scope the limit is passed; nothing includes anything then.
    """
    granted = _granted(edges, beyond)
    backwards = list(edges)[::-1]
    ordered = sorted(backwards, key=lambda name: -len(granted.get(name, ())))
    return policy.Inclusion(granted, {name: number for number, name in enumerate(ordered)})


def _included(
    symbols: Symbols,
    one: Located[nodes.Scope],
    declared: Mapping[str, Located[nodes.Scope]],
    report: Report,
) -> list[str]:
    """Return the declared scopes that one names, and report the others."""
    seen: dict[str, None] = {}
    for name in one.node.includes:
        if name.text in seen:
            report(
                Diagnostic(
                    "P1024",
                    f"scope `{name.text}` is listed twice",
                    one.label(name.span),
                    help="remove one of the two",
                )
            )
        elif name.text in declared:
            seen[name.text] = None
        else:
            symbols.report_unknown(
                report, "P1003", "scope", name.text, one.label(name.span), declared,
                otherwise=f'declare it: `scope {name.text} "…"`',
            )  # fmt: skip
    return list(seen)


def _circle(edges: _Edges) -> list[str]:
    """Return the scopes of a circle, each of which includes the next; none where there is none."""
    done: set[str] = set()
    for start in edges:
        path: list[str] = []
        on_path: set[str] = set()
        stack: list[tuple[str, bool]] = [(start, False)]
        while stack:
            name, leaving = stack.pop()
            if leaving:
                on_path.remove(path.pop())
                done.add(name)
            elif name in on_path:
                return path[path.index(name) :]
            elif name not in done:
                path.append(name)
                on_path.add(name)
                stack.append((name, True))
                stack.extend((other, False) for other in reversed(edges[name]))
    return []


def _circular(circle: Sequence[str], declared: Mapping[str, Located[nodes.Scope]]) -> Diagnostic:
    first, *others = (declared[name] for name in circle)
    way = " includes ".join(f"`{name}`" for name in [*circle[:_SHOWN], circle[0]])
    return Diagnostic(
        "P1032",
        f"scope `{circle[0]}` includes itself" + (f": {way}" if len(circle) <= _SHOWN else ""),
        first.label(first.node.name.span),
        tuple(one.label(one.node.name.span, "by way of this") for one in others[:_SHOWN]),
        help="remove one of the inclusions",
    )


#: As many scopes of a circle as a finding names.
_SHOWN = 5


def _granted(edges: _Edges, beyond: Callable[[str], None]) -> dict[str, frozenset[str]]:
    """Return what each scope grants that includes others; there is no circle."""
    granted: dict[str, frozenset[str]] = {}
    left = limits.INCLUSIONS
    for start in edges:
        stack = [start]
        while stack:
            name = stack[-1]
            below = [one for one in edges[name] if edges[one] and one not in granted]
            if name in granted or not edges[name]:
                stack.pop()
            elif below:
                stack.extend(below)
            else:
                inner = (granted.get(one, frozenset((one,))) for one in edges[name])
                granted[name] = frozenset((name,)).union(*inner)
                left -= len(granted[name]) - 1
                if left < 0:
                    beyond(name)
                    return {}
    return granted


def _too_many(one: Located[nodes.Scope]) -> Diagnostic:
    return Diagnostic(
        "P0015",
        f"more than {limits.INCLUSIONS:,} scopes are included in others",
        Label(one.source, one.node.name.span),
        help="let fewer scopes include others",
    )
