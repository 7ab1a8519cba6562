"""The declarations of one API, by name: the resolver makes them, the checker reads them."""

from __future__ import annotations

from collections.abc import Iterable, Sequence
from typing import Generic, TypeVar

import msgspec

from policyd.diagnostics import Diagnostic, Label, Source, Span, Suggestions
from policyd.language import nodes, policy
from policyd.language.reporter import Report, renamed, similar
from policyd.language.types import Fact, Vocabulary

N = TypeVar("N", bound=nodes.Node)


class Located(msgspec.Struct, Generic[N], frozen=True):
    """A node and the file that it stands in."""

    node: N
    source: Source

    def label(self, span: Span, message: str = "") -> Label:
        return Label(self.source, span, message)


class Symbols(msgspec.Struct):
    """What one API declares, by name; its rules by the file they stand in.

    `attributes` are those of the resources that were asked for, by resource and name. `broken` are
    words of what did not parse, and `suggestions` those of the whole load.
    """

    api: str
    docs: tuple[str, ...]
    files: list[nodes.File]
    broken: set[str]
    suggestions: Suggestions
    audiences: list[Located[nodes.Audience]] = []
    scopes: dict[str, policy.ScopeDeclaration] = {}
    inclusion: policy.Inclusion = policy.Inclusion()
    vocabularies: dict[str, Vocabulary] = {}
    claims: dict[str, policy.ClaimDeclaration] = {}
    userinfo: dict[str, policy.ClaimDeclaration] = {}
    context: dict[str, policy.Attribute] = {}
    resources: dict[str, policy.ResourceType] = {}
    conditions: dict[str, Located[nodes.Define]] = {}
    rules: list[tuple[nodes.File, Sequence[nodes.Rule]]] = []
    routes: list[Located[nodes.Route]] = []
    heights: dict[str, int] = {}
    attributes: dict[str, dict[str, Fact]] = {}

    def attribute(self, resource: policy.ResourceType, name: str) -> Fact | None:
        """Return the attribute of this name that a resource declares."""
        declared = self.attributes.get(resource.name)
        if declared is None:
            declared = {one.fact.name: one.fact for one in resource.attributes}
            self.attributes[resource.name] = declared
        return declared.get(name)

    def closest(self, word: str, candidates: Iterable[str]) -> str | None:
        """Return what was meant by an unknown name, as `Suggestions` has it."""
        return self.suggestions.closest(word, candidates)

    def report_unknown(
        self, report: Report, code: str, kind: str, name: str, label: Label,
        known: Iterable[str], *, on: str = "", secondary: tuple[Label, ...] = (),
        otherwise: str | None = None,
    ) -> None:  # fmt: skip
        """Report a name of a kind that nothing declares, with the one that was meant.

        Nothing is said where what declares it may not have parsed. `otherwise` is the help where no
        name is near.
        """
        if name not in self.broken:
            near = self.closest(name, known)
            help = similar(kind.split()[-1], near, otherwise)
            headline = f"unknown {kind} `{name}`{on}"
            fix = renamed(label, name, near)
            report(Diagnostic(code, headline, label, secondary, help=help, fix=fix))
