"""References between conditions: their order, their depth, and circles.

A condition that nests too deep or depends on itself is reported and removed from the table, so that
later walks over conditions terminate and stay within Python's stack.
"""

from __future__ import annotations

from collections.abc import Iterator

from policyd.diagnostics import Diagnostic, Label
from policyd.language import limits, nodes
from policyd.language.reporter import Report
from policyd.language.symbols import Symbols


def references(condition: nodes.Condition) -> Iterator[nodes.Reference]:
    """The names without a dot that stand alone in a condition, which may name conditions."""
    stack: list[nodes.Condition] = [condition]
    while stack:
        match stack.pop():
            case nodes.And(operands=operands) | nodes.Or(operands=operands):
                stack.extend(reversed(operands))
            case nodes.Not(operand=operand):
                stack.append(operand)
            case nodes.HasSome(condition=inner):
                stack.append(inner)
            case nodes.BareReference(reference=reference) if "." not in reference.text:
                yield reference


def height(condition: nodes.Condition, heights: dict[str, int]) -> int:
    """How deep a condition nests, the conditions that it names included."""
    match condition:
        case nodes.And(operands=operands) | nodes.Or(operands=operands):
            return 1 + max(height(operand, heights) for operand in operands)
        case nodes.Not(operand=operand):
            return 1 + height(operand, heights)
        case nodes.HasSome(condition=inner):
            return 1 + height(inner, heights)
        case nodes.BareReference(reference=reference) if reference.text in heights:
            return 1 + heights[reference.text]
    return 0


def order_conditions(symbols: Symbols, report: Report) -> None:
    """Find circles among conditions, and how deep each nests.

    Leaves `symbols.heights`, in which what a condition names comes before it.
    """
    edges = {
        name: [
            reference.text
            for reference in references(one.node.condition)
            if reference.text in symbols.conditions
        ]
        for name, one in symbols.conditions.items()
    }
    done: dict[str, int] = {}
    for start in edges:
        path: list[str] = []
        on_path: set[str] = set()
        stack: list[tuple[str, bool]] = [(start, False)]
        while stack:
            name, leaving = stack.pop()
            if leaving:
                path.pop()
                on_path.remove(name)
                if name in symbols.conditions:
                    done[name] = _checked_height(symbols, name, done, report)
                continue
            if name in done or name not in symbols.conditions:
                continue
            if name in on_path:
                _report_cycle(symbols, path[path.index(name) :], report)
                continue
            path.append(name)
            on_path.add(name)
            stack.append((name, True))
            stack.extend((other, False) for other in reversed(edges[name]))
    symbols.heights = done


def _checked_height(symbols: Symbols, name: str, heights: dict[str, int], report: Report) -> int:
    one = symbols.conditions[name]
    found = height(one.node.condition, heights)
    if found > limits.NESTING:
        report(too_deep(f"condition `{name}`", one.label(one.node.name.span)))
        del symbols.conditions[name]
        symbols.broken.add(name)
        return 0
    return found


def too_deep(what: str, label: Label) -> Diagnostic:
    """The finding about a condition whose named parts nest too deep in all."""
    return Diagnostic(
        "P0014",
        f"{what} nests deeper than {limits.NESTING} levels, the conditions in it included",
        label,
        help="join more operands on one level",
    )


def _report_cycle(symbols: Symbols, cycle: list[str], report: Report) -> None:
    shift = cycle.index(min(cycle))
    cycle = cycle[shift:] + cycle[:shift]
    first = symbols.conditions[cycle[0]]
    report(
        Diagnostic(
            "P1012",
            f"condition `{cycle[0]}` defines itself: "
            + " → ".join(f"`{name}`" for name in [*cycle, cycle[0]]),
            first.label(first.node.name.span),
            tuple(
                symbols.conditions[name].label(symbols.conditions[name].node.name.span)
                for name in cycle[1:]
            ),
            help="break the circle: define one of them without the others",
        )
    )
    for name in cycle:
        del symbols.conditions[name]
        symbols.broken.add(name)
