"""One API's declarations to its checked policy.

Input are the parsed files of one API; output is the model that is evaluated, or findings. A finding
in one place does not hide findings elsewhere.

The meaning of a rule depends on the rule and on the other declarations. So if an API is checked
again and only rules changed, only the new rules are checked.
"""

from __future__ import annotations

from collections.abc import Iterator, Mapping, Sequence
from itertools import chain
from operator import attrgetter, is_
from typing import Final, TypeVar

import msgspec

from policyd.diagnostics import Diagnostic, Label, Source, Suggestions
from policyd.language import limits, nodes, policy
from policyd.language.action_attributes import check_reads
from policyd.language.lowering import ConditionLowering, Site
from policyd.language.nesting import height, references, too_deep
from policyd.language.parser import Parsed
from policyd.language.reporter import Report
from policyd.language.resolver import resolve
from policyd.language.routes import RouteChecker
from policyd.language.sharing import Lowered
from policyd.language.symbols import Located, Symbols

#: As many names as a finding lists.
_LISTED: Final = 10


class Checked(msgspec.Struct, frozen=True):
    """An API, and what it was made from.

    `surroundings` are all declarations but rules, `rules` the rules of each file, by the identity
    of its tree, and `lowered` the conditions.
    """

    api: policy.Api
    surroundings: tuple[nodes.Declaration, ...]
    rules: Mapping[int, tuple[nodes.File, list[policy.Rule]]]
    lowered: Lowered


def check(
    parsed: Sequence[Parsed],
    report: Report,
    suggestions: Suggestions,
    before: Checked | None = None,
) -> Checked:
    """Check one API. The result may be used only when nothing was reported as an error.

    `before` is what the same API came to, in which nothing was wrong: what is made of the very same
    nodes is taken from there.
    """
    symbols = resolve(parsed, report, suggestions)
    surroundings = tuple(one for file in symbols.files for one in file.surroundings)
    if before is not None and not _are_the_same(surroundings, before.surroundings):
        before = None
    checker = _Checker(symbols, report, before)
    by_file = checker.rules()
    checker.unused_conditions()
    rules = sorted(
        chain.from_iterable(rules for _, rules in by_file.values()),
        key=attrgetter("name", "resource"),
    )
    api = policy.Api(
        symbols.api,
        tuple(sorted(one.node.value.value for one in symbols.audiences)),
        _by_key(symbols.scopes),
        _by_key(symbols.claims),
        _by_key(symbols.userinfo),
        tuple(entry for _, entry in sorted(symbols.context.items())),
        _by_key(symbols.resources),
        tuple(one for one in rules if not isinstance(one, policy.Proof)),
        RouteChecker(symbols, report).check(),
        symbols.docs,
        _by_key(symbols.vocabularies),
        symbols.inclusion,
        tuple(one for one in rules if isinstance(one, policy.Proof)),
    )
    return Checked(api, surroundings, by_file, checker.lowered)


def _are_the_same(these: Sequence[object], those: Sequence[object]) -> bool:
    return len(these) == len(those) and all(map(is_, these, those))


V = TypeVar("V")


def _by_key(mapping: dict[str, V]) -> dict[str, V]:
    return dict(sorted(mapping.items()))


class _Checker:
    def __init__(self, symbols: Symbols, report: Report, before: Checked | None) -> None:
        self._symbols = symbols
        self._seen: set[tuple[str, int, int, str]] = set()
        self._forward = report
        self._known = {} if before is None else before.rules
        known = None if before is None else before.lowered
        self._lowering = ConditionLowering(symbols, self._report, known)
        self._fits_nowhere: set[str] = set()
        self._actions_of: dict[str, frozenset[str]] = {}
        self._limited: dict[str, bool] = {}
        self._every_action: frozenset[str] | None = None

    def _report(self, found: Diagnostic) -> None:
        """A condition is read for several resources; what is wrong with it is said once."""
        assert found.primary is not None
        key = (found.primary.source.name, *found.primary.span, found.code)
        if key not in self._seen:
            self._seen.add(key)
            self._forward(found)

    @property
    def lowered(self) -> Lowered:
        """All conditions that were lowered."""
        return self._lowering.lowered

    def rules(self) -> dict[int, tuple[nodes.File, list[policy.Rule]]]:
        """Check the rules of each file that was not there before.

        A rule on several resources is one for each of them, under one name. What is past the limit
        is reported, and not made.
        """
        found: dict[int, tuple[nodes.File, list[policy.Rule]]] = {}
        left = limits.RULES
        for file, written in self._symbols.rules:
            made = self._known.get(id(file))
            if made is None:
                rules: list[policy.Rule] = []
                for node in written:
                    rules += self._rule(node, file.source, left - len(rules))
                    if len(rules) > left:
                        break
                made = (file, rules)
            found[id(file)] = made
            if len(made[1]) > left:
                self._too_many_rules(file, made[1][left])
                break
            left -= len(made[1])
        return found

    def _too_many_rules(self, file: nodes.File, first: policy.Rule) -> None:
        name = next(node.name for node in file.rules if node.name.text == first.name)
        self._report(
            Diagnostic(
                "P0015",
                f"API `{self._symbols.api}` has more than {limits.RULES:,} rules",
                Label(file.source, name.span),
                help="a rule on several resources counts once for each of them",
            )
        )

    def _rule(self, node: nodes.Rule, source: Source, most: int) -> list[policy.Rule]:
        """Return the rule on each of its resources, up to one more than `most`."""
        because = None if node.because is None else node.because.value
        made: list[policy.Rule] = []
        for name, resource, actions in self._targets(node, source):
            user = Label(source, node.name.span, f"used for `{name}` here")
            formula = self._formula(node, Site(source, resource, user))
            kind = policy.Proof if isinstance(node, nodes.Proof) else policy.Rule
            rule = kind(
                node.effect, node.name.text, name, actions, formula, because,
                node.docs, source, node.span,
            )  # fmt: skip
            if resource is not None and self._is_limited(resource):
                check_reads(rule, node, resource, self._report)
            made.append(rule)
            if len(made) > most:
                break
        if not made:  # there is no resource to check it on
            self._formula(node, Site(source, None))
        return made

    def _is_limited(self, resource: policy.ResourceType) -> bool:
        """Tell whether some of its actions lack some of its attributes."""
        known = self._limited.get(resource.name)
        if known is None:
            known = self._limited[resource.name] = bool(resource.limited)
        return known

    def _targets(
        self, node: nodes.Rule, source: Source
    ) -> Iterator[tuple[str, policy.ResourceType | None, tuple[str, ...]]]:
        """Yield the resources that a rule is for, each with those of its actions that are meant."""
        if node.resources is None:
            yield from self._everywhere(node, source)
            return
        seen: set[str] = set()
        for name in node.resources:
            if name.text in seen:
                self._report(
                    Diagnostic(
                        "P1024",
                        f"resource `{name.text}` is listed twice",
                        Label(source, name.span),
                        help="remove one of the two",
                    )
                )
                continue
            seen.add(name.text)
            resource = self._resource(name, source)
            yield name.text, resource, self._actions(node, resource, source)

    def _everywhere(
        self, node: nodes.Rule, source: Source
    ) -> Iterator[tuple[str, policy.ResourceType, tuple[str, ...]]]:
        """Yield the resources that `any` stands for: those that have one of the actions."""
        declared = self._symbols.resources.values()
        if node.actions is None:
            yield from ((one.name, one, one.actions) for one in declared)
            return
        named = self._named_once(node.actions, source)
        if self._every_action is None:
            self._every_action = frozenset(action for one in declared for action in one.actions)
        for name in node.actions:
            if name.text not in self._every_action:
                self._symbols.report_unknown(
                    self._report, "P1002", "action", name.text,
                    Label(source, name.span, "not declared"), self._every_action,
                    on=" on any resource",
                )  # fmt: skip
        for resource in declared:
            actions = tuple(one for one in named if one in self._declared_actions(resource))
            if actions:
                yield resource.name, resource, actions

    def _resource(self, name: nodes.Name, source: Source) -> policy.ResourceType | None:
        found = self._symbols.resources.get(name.text)
        if found is None:
            self._symbols.report_unknown(
                self._report, "P1001", "resource", name.text,
                Label(source, name.span, "not declared"), self._symbols.resources,
                otherwise=f"declare it: `resource {name.text} {{ actions … }}`",
            )  # fmt: skip
        return found

    def _actions(
        self, node: nodes.Rule, resource: policy.ResourceType | None, source: Source
    ) -> tuple[str, ...]:
        if resource is None:
            return ()
        if node.actions is None:
            return resource.actions
        declared = self._declared_actions(resource)
        for name in node.actions:
            if name.text not in declared:
                self._symbols.report_unknown(
                    self._report, "P1002", "action", name.text,
                    Label(source, name.span, "not declared"), resource.actions,
                    on=f" on resource `{resource.name}`",
                    otherwise=f"`{resource.name}` has {_listed(resource.actions)}",
                )  # fmt: skip
        return self._named_once(node.actions, source)

    def _declared_actions(self, resource: policy.ResourceType) -> frozenset[str]:
        declared = self._actions_of.get(resource.name)
        if declared is None:
            declared = self._actions_of[resource.name] = frozenset(resource.actions)
        return declared

    def _named_once(self, actions: Sequence[nodes.Name], source: Source) -> tuple[str, ...]:
        """Return the actions, sorted; one that is listed twice is reported."""
        seen: set[str] = set()
        for name in actions:
            if name.text in seen:
                self._report(
                    Diagnostic(
                        "P1024",
                        f"action `{name.text}` is listed twice",
                        Label(source, name.span),
                        help="remove one of the two",
                    )
                )
            seen.add(name.text)
        return tuple(sorted(seen))

    def _formula(self, node: nodes.Rule, site: Site) -> policy.Formula:
        """`when C unless D` means `C and not D` (docs/semantics.md)."""
        parts: list[policy.Formula] = []
        for written, negated in ((node.when, False), (node.unless, True)):
            if written is None:
                continue
            if height(written, self._symbols.heights) > limits.NESTING:
                label = Label(site.source, node.name.span)
                self._report(too_deep(f"rule `{node.name.text}`", label))
                continue
            formula = self._lowering.of_rule(node, written, site)
            if negated:  # `unless D` is wider than D: a `not` of its own, and no `!=`
                before = node.target_span if node.when is None else node.when.span
                formula = policy.Not(before.to(written.span), formula)
            parts.append(formula)
        if not parts:
            return policy.Always(node.span)
        return parts[0] if len(parts) == 1 else policy.All(node.span, tuple(parts))

    def unused_conditions(self) -> None:
        """Check the conditions that no rule uses: each must fit a resource (docs/semantics.md)."""
        probes = [
            _Probe(self._symbols, resource)
            for resource in self._symbols.resources.values() or (None,)
        ]
        used = self.lowered.firsts
        left = limits.TRIALS
        for name in self._symbols.heights:  # what a condition names comes before it
            one = self._symbols.conditions.get(name)
            if one is None or name in used:
                continue
            span = one.node.condition.span
            left -= (span.end - span.start + limits.TRIAL) * len(probes)
            if left < 0:
                self._report(
                    Diagnostic(
                        "P0015",
                        "this condition is unused, and so are too many others to check them all",
                        one.label(one.node.name.span),
                        help="remove unused conditions",
                    )
                )
                return
            self._unused_condition(name, one, probes)

    def _unused_condition(
        self, name: str, one: Located[nodes.Define], probes: Sequence[_Probe]
    ) -> None:
        attempts = [probe.attempt(name, one) for probe in probes]
        if not all(attempts):
            return
        named = {reference.text for reference in references(one.node.condition)}
        is_new = self._fits_nowhere.isdisjoint(named)
        self._fits_nowhere.add(name)
        if not is_new:  # said of what it names
            return
        # Where all attributes are there, what is wrong is wrong in itself.
        certain = next((found for found in attempts if not _lacks_attribute(found)), None)
        if certain is not None:
            for finding in certain:
                self._report(finding)
            return
        notes = [
            f"on `{probe.resource.name}`: {attempt[0].headline}"
            for probe, attempt in zip(probes, attempts, strict=True)
            if probe.resource is not None
        ]
        self._report(
            Diagnostic(
                "P2014",
                f"condition `{name}` fits no resource",
                one.label(one.node.name.span),
                notes=tuple(notes[:5]),
                help="declare what it reads, or remove it",
            )
        )


class _Probe:
    """Tries conditions on one resource, each once."""

    def __init__(self, symbols: Symbols, resource: policy.ResourceType | None) -> None:
        self.resource = resource
        self._found: list[Diagnostic] = []
        self._lowering = ConditionLowering(symbols, self._found.append)
        self._unfit: dict[str, list[Diagnostic]] = {}

    def attempt(self, name: str, one: Located[nodes.Define]) -> list[Diagnostic]:
        """What is wrong with a condition on this resource; nothing when it fits.

        What a condition names has been tried before it, and what does not fit takes along
        whatever names it.
        """
        self._found.clear()
        self._lowering.condition(name, Site(one.source, self.resource))
        found = list(self._found)
        for reference in references(one.node.condition):
            found.extend(self._unfit.get(reference.text, ()))
        if found:
            self._unfit[name] = found
        return found


def _lacks_attribute(found: Sequence[Diagnostic]) -> bool:
    return any(finding.code == "P1005" for finding in found)


def _listed(names: Sequence[str]) -> str:
    more = f" and {len(names) - _LISTED} more" if len(names) > _LISTED else ""
    return (", ".join(f"`{name}`" for name in names[:_LISTED]) or "none") + more
