"""A value of a vocabulary that no rule names."""

from __future__ import annotations

from collections import defaultdict
from collections.abc import Iterator

from policyd.analysis.formulas import operands
from policyd.language import nodes, policy, walks
from policyd.language.types import Fact
from policyd.tooling.lint.model import Finding, LintRule, View, label_of

_SHOWN = 3


def check(view: View) -> Iterator[Finding]:
    named, compared = _named(view)
    for declared in view.declarations(nodes.Values):
        name = declared.node.name.text
        if name in compared:
            continue
        unused = [one for one in declared.node.values if one.value not in named[name]]
        if not unused:
            continue
        values = ", ".join(f'"{one.value}"' for one in unused[:_SHOWN])
        more = f" and {len(unused) - _SHOWN} more" if len(unused) > _SHOWN else ""
        yield Finding(
            f"no rule names {values}{more} of `{name}`",
            label_of(declared.source, unused[0]),
            "use it in a rule, or remove it; one that stands for all others is kept: "
            "`// lint: allow P3030 (why)`",
        )


def _named(view: View) -> tuple[dict[str, set[str]], set[str]]:
    """Return the values that rules name of each vocabulary, and the vocabularies of which a fact is
    compared with another one, which names none and means all."""
    named: defaultdict[str, set[str]] = defaultdict(set)
    compared: set[str] = set()
    for rule in view.rules:
        for one in walks.walk(rule.checked.formula):
            facts = [each for each in operands(one) if isinstance(each, Fact)]
            for fact in facts:
                if fact.vocabulary is None:
                    continue
                if len(facts) > 1:
                    compared.add(fact.vocabulary.name)
                named[fact.vocabulary.name].update(_texts(one, fact.vocabulary.values))
    return named, compared


def _texts(formula: policy.Formula, values: frozenset[str]) -> Iterator[str]:
    """Yield the values that a test names, those with an affix among them."""
    match formula:
        case policy.StartsWith(prefix=prefix):
            yield from (value for value in values if value.startswith(prefix))
        case policy.EndsWith(suffix=suffix):
            yield from (value for value in values if value.endswith(suffix))
    for operand in operands(formula):
        if isinstance(operand, policy.Literal):
            items = operand.value if isinstance(operand.value, tuple) else (operand.value,)
            yield from (item for item in items if isinstance(item, str))


RULE = LintRule("P3030", check)
