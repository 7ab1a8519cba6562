"""On which resources a condition is the same: what of it depends on the resource at all.

A condition is lowered for a resource, since `resource.x` means something else on each. Where it
reads the same facts on two of them, its formula is the same, and one is made for both.
"""

from __future__ import annotations

from collections.abc import Callable

import msgspec

from policyd.diagnostics import Diagnostic, Label, Source
from policyd.language import limits, nodes, policy
from policyd.language.symbols import Located, Symbols
from policyd.language.types import RESOURCE_ID, Fact

#: A condition by its name, the attributes that it reads itself, and the identities of the
#: conditions that it names. An attribute is a fact, or a name where the resource lacks it.
Reading = tuple[str, tuple[Fact | str | None, ...], tuple[int, ...]]


class Lowered(msgspec.Struct):
    """The conditions of one API that are lowered: by name and resource, and by how they read there.

    `left` is how many more characters may be lowered. The first reading of each condition costs
    nothing, since it is in proportion to the text.
    """

    on: dict[tuple[str, str | None], policy.NamedCondition] = {}
    readings: dict[Reading, policy.NamedCondition] = {}
    firsts: dict[str, policy.NamedCondition] = {}
    left: int = msgspec.field(default_factory=lambda: limits.TRIALS)

    def copy(self) -> Lowered:
        return Lowered(dict(self.on), dict(self.readings), dict(self.firsts), self.left)

    def find(self, reading: Reading) -> policy.NamedCondition | None:
        """Return what reads like this. With nothing left, it may read differently."""
        name, facts, inner = reading
        first = self.firsts.get(name)
        if first is None:
            return None
        self.left -= limits.TRIAL + len(facts) + len(inner)
        found = self.readings.get(reading)
        if found is None:
            self.left -= first.span.end - first.span.start
        return first if self.left < 0 else found

    def keep(self, reading: Reading, made: policy.NamedCondition) -> None:
        self.firsts.setdefault(made.name, made)
        self.readings[reading] = made


class Named(msgspec.Struct, frozen=True):
    """The names in one condition: of attributes, and of the other conditions; and whether it has a
    `has some`."""

    attributes: tuple[str, ...]
    conditions: tuple[str, ...]
    quantifies: bool = False


def named(condition: nodes.Condition) -> Named:
    """Return what a condition names, each once, in its order."""
    attributes: dict[str, None] = {}
    conditions: dict[str, None] = {}
    quantifies = False
    stack: list[nodes.Condition] = [condition]
    while stack:
        read: tuple[nodes.Operand, ...] = ()
        match stack.pop():
            case nodes.And(operands=operands) | nodes.Or(operands=operands):
                stack.extend(reversed(operands))
            case nodes.Not(operand=operand):
                stack.append(operand)
            case nodes.HasSome(operand=one, condition=inner):
                read = (one,)
                quantifies = True
                stack.append(inner)
            case nodes.BareReference(reference=reference):
                read = (reference,)
                if "." not in reference.text:
                    conditions[reference.text] = None
            case nodes.Is(reference=reference):
                read = (reference,)
            case nodes.Compare(left=left, right=right):
                read = (left, right)
        for one in read:
            if isinstance(one, nodes.Reference) and one.text.startswith("resource."):
                attributes[one.text.removeprefix("resource.")] = None
    attributes.pop(RESOURCE_ID.name, None)  # the same on each
    return Named(tuple(attributes), tuple(conditions), quantifies)


class Readings:
    """Says how conditions read on resources."""

    def __init__(self, symbols: Symbols) -> None:
        self._symbols = symbols
        self._named: dict[str, Named] = {}
        self._unnamed: dict[int, Named] = {}
        self._depends: dict[str, bool] = {}
        self._quantifies: dict[str, bool] = {}

    def names(self, name: str) -> Named:
        """Return what a condition names, each once."""
        known = self._named.get(name)
        if known is None:
            known = self._named[name] = named(self._symbols.conditions[name].node.condition)
        return known

    def depends(self, name: str) -> bool:
        """Tell whether a condition, or one that it names, reads an attribute of a resource."""
        known = self._depends.get(name)
        if known is None:
            inside = self.names(name)
            known = self._depends[name] = bool(inside.attributes) or any(
                self.depends(one) for one in inside.conditions if one in self._symbols.conditions
            )
        return known

    def quantifies(self, name: str) -> bool:
        """Tell whether a condition, or one that it names, has a `has some`."""
        known = self._quantifies.get(name)
        if known is None:
            inside = self.names(name)
            known = self._quantifies[name] = inside.quantifies or any(
                self.quantifies(one) for one in inside.conditions if one in self._symbols.conditions
            )
        return known

    def of(
        self,
        name: str,
        resource: policy.ResourceType | None,
        lowered: Callable[[str], policy.NamedCondition],
    ) -> Reading:
        """Return how a condition reads; `lowered` returns another one for the same resource."""
        return self._of(name, self.names(name), resource, lowered)

    def of_condition(
        self,
        name: str,
        condition: nodes.Condition,
        resource: policy.ResourceType | None,
        lowered: Callable[[str], policy.NamedCondition],
    ) -> Reading:
        """Return the same of a condition of the rule `name`, which lives as long as this does."""
        known = self._unnamed.get(id(condition))
        if known is None:
            known = self._unnamed[id(condition)] = named(condition)
        return self._of(name, known, resource, lowered)

    def _of(
        self,
        name: str,
        known: Named,
        resource: policy.ResourceType | None,
        lowered: Callable[[str], policy.NamedCondition],
    ) -> Reading:
        symbols = self._symbols
        facts = tuple(
            None if resource is None else symbols.attribute(resource, one) or one
            for one in known.attributes
        )
        inner = tuple(id(lowered(one)) for one in known.conditions if one in symbols.conditions)
        return name, facts, inner


def differs_too_often(one: Located[nodes.Define]) -> Diagnostic:
    """The finding about a condition that would have to be lowered for yet another resource."""
    return Diagnostic(
        "P0015",
        f"condition `{one.node.name.text}`, or those before it, read differently on too many "
        "resources",
        one.label(one.node.name.span),
        help="give the attributes that it reads one type on all resources, or write shorter "
        "conditions",
    )


def rule_differs_too_often(rule: nodes.Rule, source: Source) -> Diagnostic:
    """The same of a rule on several resources."""
    return Diagnostic(
        "P0015",
        f"rule `{rule.name.text}`, or those before it, read differently on too many resources",
        Label(source, rule.name.span),
        help="give the attributes that it reads one type on all resources, or list fewer of them",
    )
