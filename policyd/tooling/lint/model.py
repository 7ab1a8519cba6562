"""Lint rules: their input and output.

A rule gets one API that loads without errors, checked and as written, and yields findings. It does
not handle suppressions and selections, and never raises.
"""

from __future__ import annotations

from collections.abc import Callable, Iterator, Mapping
from functools import cached_property
from typing import TypeVar

import msgspec

from policyd.diagnostics import Diagnostic, Edit, Label, Severity, Source, Span
from policyd.language import nodes, policy, walks
from policyd.language.cases import TestCase
from policyd.language.symbols import Located
from policyd.tokens.settings.dialect import Dialect

D = TypeVar("D", bound=nodes.Declaration)


class WrittenRule(msgspec.Struct, frozen=True):
    """A rule as checked and as written."""

    checked: policy.Rule
    node: nodes.Rule

    @property
    def name_label(self) -> Label:
        """The place where the rule is named."""
        return self.label(self.node.name.span)

    @property
    def as_reader(self) -> Label:
        """The same place, beside a finding in a condition that the rule reads."""
        return self.label(self.node.name.span, "in this rule")

    def label(self, span: Span, message: str = "") -> Label:
        return Label(self.checked.source, span, message)


class TestsOfApi(msgspec.Struct, frozen=True):
    """The tests of one API, and the names of the rules that they show where they apply."""

    cases: tuple[TestCase, ...]
    applied: frozenset[str]


class View(msgspec.Struct, frozen=True, dict=True):
    """One API under lint. `tests` is `None` where no tests were given to look at.

    `files` are its policy files, in order of their names. `dialects` are those of its issuers, by
    name; there are none where no configuration is known.
    """

    api: policy.Api
    files: tuple[nodes.File, ...]
    tests: TestsOfApi | None = None
    dialects: Mapping[str, Dialect] = msgspec.field(default_factory=dict)

    @cached_property
    def rules(self) -> tuple[WrittenRule, ...]:
        """All rules, sorted by name."""
        written = {one.node.name.text: one.node for one in self.declarations(nodes.Rule)}
        return tuple(WrittenRule(rule, written[rule.name]) for rule in self.api.rules)

    @cached_property
    def read_by_rules(self) -> frozenset[str]:
        """The paths of all facts that some rule reads, attributes aside."""
        return frozenset(fact.path for rule in self.api.rules for fact in walks.facts(rule.formula))

    @cached_property
    def home(self) -> Label:
        """The name of the API, in the file that declares its audience."""
        file = next(
            file
            for file in self.files
            if any(isinstance(one, nodes.Audience) for one in file.declarations)
        )
        return Label(file.source, file.api.span)

    def declarations(self, kind: type[D]) -> Iterator[Located[D]]:
        """All declarations of one kind, in the order of files and lines."""
        for file in self.files:
            for declaration in file.declarations:
                if isinstance(declaration, kind):
                    yield Located(declaration, file.source)


class Finding(msgspec.Struct, frozen=True):
    """What a rule says; the rule's code makes it a `Diagnostic`."""

    headline: str
    label: Label
    help: str
    secondary: tuple[Label, ...] = ()
    notes: tuple[str, ...] = ()
    fix: tuple[Edit, ...] = ()

    def diagnostic(self, code: str) -> Diagnostic:
        return Diagnostic(
            code,
            self.headline,
            self.label,
            self.secondary,
            self.help,
            self.notes,
            self.fix,
            Severity.WARNING,
        )


class LintRule(msgspec.Struct, frozen=True):
    """A lint rule: its code and check function. Rules that are not on by `default` run only when
    they are selected."""

    code: str
    check: Callable[[View], Iterator[Finding]]
    default: bool = True
    needs_tests: bool = False

    @property
    def name(self) -> str:
        """What the rule's module is called, in the spelling of the language."""
        return self.check.__module__.rpartition(".")[2].replace("_", "-")


def label_of(source: Source, node: nodes.Node, message: str = "") -> Label:
    """The place of a node."""
    return Label(source, node.span, message)
