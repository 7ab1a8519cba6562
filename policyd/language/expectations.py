"""Test files to checked tests: every name is resolved, every value has its type.

Each expectation contains the token, userinfo, context and clock that apply at its place.
"""

from __future__ import annotations

from collections import defaultdict
from collections.abc import Collection, Container, Sequence
from typing import assert_never

import msgspec

from policyd.diagnostics import Diagnostic, Label, Source, Suggestions
from policyd.language import case_nodes, nodes, policy, walks
from policyd.language.action_attributes import lacked_by
from policyd.language.cases import JsonValue, TestCase, TestClaims, TestExpectation, TestToken
from policyd.language.findings import Findings
from policyd.language.fixtures import FixtureReader, TestResource
from policyd.language.literals import read_time
from policyd.language.parser import parse
from policyd.language.reporter import Reporter, similar
from policyd.language.types import NOW, Origin
from policyd.reasons import Reason


class LoadedTests(msgspec.Struct, frozen=True):
    """Use `tests` only when `diagnostics` holds no error. Diagnostics are sorted."""

    tests: tuple[TestCase, ...]
    diagnostics: tuple[Diagnostic, ...]


def load_tests(sources: Sequence[Source], policies: policy.PolicySet) -> LoadedTests:
    """Parse and check test files against the policies that they test."""
    found = Findings()
    tests: list[TestCase] = []
    titles: dict[tuple[str, str], Label] = {}
    suggestions = Suggestions()
    for source in sorted(sources, key=lambda one: one.name):
        parsed = parse(source)
        for finding in parsed.diagnostics:
            found.add(finding)
        if parsed.file is None:
            continue
        name = parsed.file.api
        api = policies.apis.get(name.text)
        if api is None:
            near = suggestions.closest(name.text, policies.apis)
            found.add(
                Diagnostic(
                    "P4009",
                    f"there is no API `{name.text}` to test",
                    Label(source, name.span),
                    help=f"did you mean `{near}`?" if near else None,
                )
            )
            continue
        declared = parsed.file.declarations
        fixtures = [one for one in declared if isinstance(one, case_nodes.Fixture)]
        reporter = Reporter(source, found.add)
        reader = FixtureReader(api, reporter, suggestions, fixtures)
        checker = _TestChecker(api, reporter, suggestions, reader, titles)
        tests.extend(
            checker.test(declaration)
            for declaration in declared
            if isinstance(declaration, case_nodes.Test)
        )
    return LoadedTests(tuple(tests), found.sorted())


class _State(msgspec.Struct):
    """What holds at a place in a test. `entries` are those of the context, also ill-typed ones."""

    token: TestToken | TestClaims | None = None
    userinfo: dict[str, JsonValue] = {}
    context: dict[str, JsonValue] = {}
    entries: frozenset[str] = frozenset()
    now: int | None = None


class _TestChecker:
    def __init__(
        self,
        api: policy.Api,
        reporter: Reporter,
        suggestions: Suggestions,
        reader: FixtureReader,
        titles: dict[tuple[str, str], Label],
    ) -> None:
        self._api = api
        self._reporter = reporter
        self._suggestions = suggestions
        self._reader = reader
        self._titles = titles
        self._rules = {rule.name: rule for rule in api.rules}
        self._timed: defaultdict[tuple[str, str], set[policy.Operand]] = defaultdict(set)
        for rule in api.rules:
            for action in rule.actions:
                self._timed[rule.resource, action].update(_timed_operands(rule.formula))

    def test(self, node: case_nodes.Test) -> TestCase:
        title = node.title.value
        label = self._reporter.label(node.title.span)
        first = self._titles.setdefault((self._api.name, title), label)
        if first is not label:
            self._reporter.error("P1010", f'test "{title}" is declared twice', node.title.span)
        state = _State()
        expectations = []
        for item in node.items:
            match item:
                case case_nodes.TokenBlock():
                    state.token = self._reader.token(item)
                case case_nodes.ClaimsBlock():
                    state.token = self._reader.claims(item)
                case case_nodes.UserinfoBlock(pairs=pairs):
                    facts = {name: claim.fact for name, claim in self._api.userinfo.items()}
                    state.userinfo = self._reader.values(pairs, facts, "userinfo claim")
                case case_nodes.ContextBlock(pairs=pairs):
                    facts = {entry.fact.name: entry.fact for entry in self._api.context}
                    state.context = self._reader.values(pairs, facts, "context entry")
                    state.entries = frozenset(pair.key.text for pair in pairs)
                case case_nodes.Clock(time=time):
                    state.now = self._clock(time)
                case case_nodes.Expectation():
                    expectations.append(self._expectation(item, state))
        if not expectations:
            self._reporter.error(
                "P4008",
                f'test "{title}" expects nothing',
                node.title.span,
                help="add a line: `allow ACTION on RESOURCE` or `deny ACTION on RESOURCE`",
            )
        return TestCase(
            self._api.name, title, node.docs, tuple(expectations), self._reporter.source, node.span
        )

    # -- blocks ------------------------------------------------------------------------------

    def _clock(self, time: nodes.Text) -> int | None:
        try:
            return read_time(time.value)
        except ValueError as error:
            self._reporter.error(
                "P2004", f'"{time.value}" is not a time', time.span, help=str(error)
            )
            return None

    # -- expectations ------------------------------------------------------------------------

    def _expectation(self, node: case_nodes.Expectation, state: _State) -> TestExpectation:
        described = self._reader.described(node)
        resource = described.resource
        if resource is not None:
            self._check_action(node, resource)
            self._check_stated(node, resource)
            had = [one for one in resource.attributes if one.is_for(node.action.text)]
            self._check_required(node, had, described.given, "attribute")
        self._check_required(node, self._api.context, state.entries, "context entry")
        if state.token is None:
            self._reporter.error(
                "P4001",
                "there is no token here",
                node.span,
                help="put a `token { … }` block before it",
            )
        name = node.resource.text if resource is None else resource.name
        if state.now is None and self._reads_clock(name, node.action.text, state, described):
            self._reporter.error(
                "P4002",
                f"the rules for `{node.action.text}` on `{name}` read the clock",
                node.span,
                help='set it: `at "2026-11-22T10:00:00Z"`',
            )
        return TestExpectation(
            node.effect,
            node.action.text,
            name,
            described.id,
            described.attributes,
            state.context,
            state.token or TestToken(None, {}),
            state.userinfo,
            state.now,
            tuple(sorted({self._known("P4004", "rule", name, self._rules) for name in node.by})),
            tuple(sorted({self._reader.scope(scope.text, scope.span) for scope in node.missing})),
            None
            if node.reason is None
            else self._known("P4003", "reason", node.reason, Reason.__members__),
            node.span,
        )

    def _reads_clock(
        self, resource: str, action: str, state: _State, described: TestResource
    ) -> bool:
        """Whether the rules compare the clock with something that is there."""
        if isinstance(state.token, TestClaims):  # what they come to, the dialect says
            return bool(self._timed[resource, action])
        token = state.token.values if state.token else {}
        given = {
            Origin.TOKEN: token,
            Origin.CLAIM: token,
            Origin.USERINFO: state.userinfo,
            Origin.RESOURCE: described.attributes,
            Origin.CONTEXT: state.context,
        }
        return any(
            isinstance(operand, policy.Literal)
            or operand == NOW
            or operand.origin is Origin.ITEM
            or operand.name in given[operand.origin]
            for operand in self._timed[resource, action]
        )

    def _check_action(self, node: case_nodes.Expectation, resource: policy.ResourceType) -> None:
        if node.action.text not in resource.actions:
            near = self._suggestions.closest(node.action.text, resource.actions)
            self._reporter.error(
                "P1002",
                f"unknown action `{node.action.text}` on resource `{resource.name}`",
                node.action.span,
                help=similar("action", near),
            )

    def _check_stated(self, node: case_nodes.Expectation, resource: policy.ResourceType) -> None:
        """A fixture may hold what is for other actions; a line that states it expects too much."""
        stated = {pair.key.text: pair.key for pair in node.attributes}
        for attribute in resource.limited:
            key = stated.get(attribute.fact.name)
            if key is not None and lacked_by(attribute, (node.action.text,), resource):
                actions = ", ".join(f"`{action}`" for action in attribute.actions)
                self._reporter.error(
                    "P4006",
                    f"`{node.action.text}` on `{resource.name}` has no attribute `{key.text}`",
                    key.span,
                    help=f"it is declared for {actions}; a value for another action is not read",
                )

    def _check_required(
        self,
        node: case_nodes.Expectation,
        declared: Sequence[policy.Attribute],
        given: Container[str],
        kind: str,
    ) -> None:
        missing = [
            one.fact.name for one in declared if not one.optional and one.fact.name not in given
        ]
        if missing:
            self._reporter.error(
                "P4007",
                f"the request lacks the required {kind} `{missing[0]}`",
                node.span,
                help="a service that left it out would get INVALID_ARGUMENT",
            )

    def _known(self, code: str, kind: str, name: nodes.Name, known: Collection[str]) -> str:
        if name.text not in known:
            near = self._suggestions.closest(name.text, known)
            self._reporter.error(
                code,
                f"unknown {kind} `{name.text}`",
                name.span,
                help=similar(kind, near),
            )
        return name.text


def _timed_operands(formula: policy.Formula) -> set[policy.Operand]:
    """What a formula compares with the clock."""
    found: set[policy.Operand] = set()
    for one in walks.walk(formula):
        match one:
            case policy.WithinLast(fact=fact) | policy.WithinNext(fact=fact):
                found.add(fact)
            case policy.Equal(left=left, right=right) | policy.Less(left=left, right=right):
                if NOW in (left, right):
                    found.add(right if left == NOW else left)
            case policy.In() | policy.HasAny() | policy.HasAll():
                pass  # no set holds the time
            case policy.Always() | policy.Granted() | policy.SubjectIs() | policy.IsTrue():
                pass
            case policy.Present() | policy.StartsWith() | policy.EndsWith():
                pass
            case policy.All() | policy.AnyOf() | policy.Not() | policy.NamedCondition():
                pass
            case policy.HasSome():
                pass  # what is within it comes by itself
            case _:
                assert_never(one)
    return found
