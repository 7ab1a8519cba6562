"""Test files to checked tests: every name found in the policy, every value of its type.

Each expectation comes out with the token, context and clock that hold where it stands.
"""

from __future__ import annotations

from collections import defaultdict
from collections.abc import Container, Sequence

import msgspec

from policyd.diagnostics import Diagnostic, Edit, Label, Source, Span, closest
from policyd.language import nodes, policy
from policyd.language.cases import JsonScalar, JsonValue, TestCase, TestExpectation, TestToken
from policyd.language.literals import read_address, read_time
from policyd.language.parser import parse
from policyd.language.resolver import OIDC_SCOPES
from policyd.language.symbols import Report
from policyd.language.types import NOW, TOKEN_FACTS, Fact, Origin, Type
from policyd.reasons import Reason

_SCOPE = Fact(Origin.TOKEN, "scope", Type.SET_OF_STRING)
_PERMISSIONS = TOKEN_FACTS["permissions"]


class LoadedTests(msgspec.Struct, frozen=True):
    """Use `tests` only when `diagnostics` holds no error. Diagnostics are sorted."""

    tests: tuple[TestCase, ...]
    diagnostics: tuple[Diagnostic, ...]


def load_tests(sources: Sequence[Source], policies: policy.PolicySet) -> LoadedTests:
    """Parse and check test files against the policies that they test."""
    found: list[Diagnostic] = []
    tests: list[TestCase] = []
    titles: dict[tuple[str, str], Label] = {}
    for source in sorted(sources, key=lambda one: one.name):
        parsed = parse(source)
        found.extend(parsed.diagnostics)
        if parsed.file is None:
            continue
        name = parsed.file.api
        api = policies.apis.get(name.text)
        if api is None:
            near = closest(name.text, policies.apis)
            found.append(
                Diagnostic(
                    "P4009",
                    f"there is no API `{name.text}` to test",
                    Label(source, name.span),
                    help=f"did you mean `{near}`?" if near else None,
                )
            )
            continue
        checker = _TestChecker(api, source, found.append, titles)
        tests.extend(
            checker.test(declaration)
            for declaration in parsed.file.declarations
            if isinstance(declaration, nodes.Test)
        )
    return LoadedTests(tuple(tests), tuple(sorted(found, key=lambda one: one.sort_key)))


class _State(msgspec.Struct):
    """What holds at a place in a test. `entries` are those of the context, also ill-typed ones."""

    token: TestToken | None = None
    context: dict[str, JsonValue] = {}
    entries: frozenset[str] = frozenset()
    now: int | None = None


class _TestChecker:
    def __init__(
        self,
        api: policy.Api,
        source: Source,
        report: Report,
        titles: dict[tuple[str, str], Label],
    ) -> None:
        self._api = api
        self._source = source
        self._report = report
        self._titles = titles
        self._rules = {rule.name: rule for rule in api.rules}
        self._timed: defaultdict[tuple[str, str], set[policy.Operand]] = defaultdict(set)
        for rule in api.rules:
            for action in rule.actions:
                self._timed[rule.resource, action].update(_timed_operands(rule.formula))

    def test(self, node: nodes.Test) -> TestCase:
        title = node.title.value
        label = Label(self._source, node.title.span)
        first = self._titles.setdefault((self._api.name, title), label)
        if first is not label:
            self._error("P1010", f'test "{title}" is declared twice', node.title.span)
        state = _State()
        expectations = []
        for item in node.items:
            match item:
                case nodes.TokenBlock():
                    state.token = self._token(item)
                case nodes.ContextBlock(pairs=pairs):
                    facts = {entry.fact.name: entry.fact for entry in self._api.context}
                    state.context = self._values(pairs, facts, "context entry")
                    state.entries = frozenset(pair.key.text for pair in pairs)
                case nodes.Clock(time=time):
                    state.now = self._clock(time)
                case nodes.Expectation():
                    expectations.append(self._expectation(item, state))
        if not expectations:
            self._error(
                "P4008",
                f'test "{title}" expects nothing',
                node.title.span,
                advice="add a line: `allow ACTION on RESOURCE` or `deny ACTION on RESOURCE`",
            )
        return TestCase(
            self._api.name, title, node.docs, tuple(expectations), self._source, node.span
        )

    # -- blocks ------------------------------------------------------------------------------

    def _token(self, node: nodes.TokenBlock) -> TestToken:
        facts = {
            "scope": _SCOPE,
            **{name: fact for name, fact in TOKEN_FACTS.items() if name != "scopes"},
            **{name: claim.fact for name, claim in self._api.claims.items()},
        }
        values = self._values(node.pairs, facts, "token fact")
        if node.kind is None or node.kind.text not in ("user", "application"):
            if node.kind is not None:
                self._error(
                    "P1009",
                    f"a subject is no `{node.kind.text}`",
                    node.kind.span,
                    advice="`token user { … }` or `token application { … }`",
                )
            return TestToken(None, values)
        return TestToken("user" if node.kind.text == "user" else "application", values)

    def _clock(self, time: nodes.Text) -> int | None:
        try:
            return read_time(time.value)
        except ValueError as error:
            self._error("P2004", f'"{time.value}" is no time', time.span, advice=str(error))
            return None

    # -- expectations ------------------------------------------------------------------------

    def _expectation(self, node: nodes.Expectation, state: _State) -> TestExpectation:
        resource = self._resource(node)
        attributes: dict[str, JsonValue] = {}
        if resource is not None:
            facts = {one.fact.name: one.fact for one in resource.attributes}
            attributes = self._values(node.attributes, facts, f"attribute of `{resource.name}`")
            given = {pair.key.text for pair in node.attributes}
            self._check_required(node, resource.attributes, given, "attribute")
        self._check_required(node, self._api.context, state.entries, "context entry")
        if state.token is None:
            self._error(
                "P4001",
                "there is no token here",
                node.span,
                advice="put a `token { … }` block before it",
            )
        if state.now is None and self._reads_clock(node, state, attributes):
            self._error(
                "P4002",
                f"the rules for `{node.action.text}` on `{node.resource.text}` read the clock",
                node.span,
                advice='set it: `at "2026-11-22T10:00:00Z"`',
            )
        return TestExpectation(
            node.effect,
            node.action.text,
            node.resource.text,
            node.id.value if node.id else "",
            attributes,
            state.context,
            state.token or TestToken(None, {}),
            state.now,
            tuple(sorted({self._rule(name) for name in node.by})),
            None if node.reason is None else self._reason(node.reason),
            node.span,
        )

    def _reads_clock(
        self, node: nodes.Expectation, state: _State, attributes: dict[str, JsonValue]
    ) -> bool:
        """Whether the rules compare the clock with something that is there."""
        token = state.token.values if state.token else {}
        given = {
            Origin.TOKEN: token,
            Origin.CLAIM: token,
            Origin.RESOURCE: attributes,
            Origin.CONTEXT: state.context,
        }
        return any(
            isinstance(operand, policy.Literal)
            or operand == NOW
            or operand.name in given[operand.origin]
            for operand in self._timed[node.resource.text, node.action.text]
        )

    def _resource(self, node: nodes.Expectation) -> policy.ResourceType | None:
        found = self._api.resources.get(node.resource.text)
        if found is None:
            near = closest(node.resource.text, self._api.resources)
            self._error(
                "P1001",
                f"unknown resource `{node.resource.text}`",
                node.resource.span,
                advice=f"a similar resource exists: `{near}`" if near else None,
            )
        elif node.action.text not in found.actions:
            near = closest(node.action.text, found.actions)
            self._error(
                "P1002",
                f"unknown action `{node.action.text}` on resource `{found.name}`",
                node.action.span,
                advice=f"a similar action exists: `{near}`" if near else None,
            )
        return found

    def _check_required(
        self,
        node: nodes.Expectation,
        declared: Sequence[policy.Attribute],
        given: Container[str],
        kind: str,
    ) -> None:
        missing = [
            one.fact.name for one in declared if not one.optional and one.fact.name not in given
        ]
        if missing:
            self._error(
                "P4007",
                f"the request lacks the required {kind} `{missing[0]}`",
                node.span,
                advice="a service that left it out would get INVALID_ARGUMENT",
            )

    def _rule(self, name: nodes.Name) -> str:
        if name.text not in self._rules:
            near = closest(name.text, self._rules)
            self._error(
                "P4004",
                f"unknown rule `{name.text}`",
                name.span,
                advice=f"a similar rule exists: `{near}`" if near else None,
            )
        return name.text

    def _reason(self, name: nodes.Name) -> str:
        if name.text not in Reason.__members__:
            near = closest(name.text, Reason.__members__)
            self._error(
                "P4003",
                f"unknown reason `{name.text}`",
                name.span,
                advice=f"a similar reason exists: `{near}`" if near else None,
            )
        return name.text

    # -- values ------------------------------------------------------------------------------

    def _values(
        self, pairs: Sequence[nodes.Pair], facts: dict[str, Fact], kind: str
    ) -> dict[str, JsonValue]:
        values: dict[str, JsonValue] = {}
        for pair in pairs:
            name = pair.key.text
            fact = facts.get(name)
            if fact is None:
                near = closest(name, facts)
                self._error(
                    "P4006",
                    f"unknown {kind} `{name}`",
                    pair.key.span,
                    advice=f"a similar one exists: `{near}`" if near else None,
                )
                continue
            if name in values:
                self._error("P1024", f"`{name}` is given twice", pair.key.span)
            value = self._value(pair.value, fact)
            if value is not None:
                values[name] = value
        return values

    def _value(self, node: nodes.Literal | nodes.List, fact: Fact) -> JsonValue | None:
        element = fact.type.element
        if element is None:
            if isinstance(node, nodes.List):
                self._wrong_type(fact, node.span)
                return None
            return self._scalar(node, fact, fact.type)
        if not isinstance(node, nodes.List):
            self._wrong_type(fact, node.span)
            return None
        items = [self._scalar(item, fact, element) for item in node.items]
        return [item for item in items if item is not None]

    def _scalar(self, node: nodes.Literal, fact: Fact, type_: Type) -> JsonScalar | None:
        match node:
            case nodes.Name(text=text) if fact in (_SCOPE, _PERMISSIONS):
                return self._scope(text, node.span) if fact == _SCOPE else text
            case nodes.Name(text=text, span=span):
                self._error(
                    "P2010",
                    f"`{text}` stands without quotes",
                    span,
                    advice=f'write `"{text}"`',
                    fix=(Edit(span, f'"{text}"'),),
                )
                return None
            case nodes.Text(value=text, span=span) if type_ is Type.STRING:
                return self._scope(text, span) if fact == _SCOPE else text
            case nodes.Text(value=text, span=span) if type_ in (Type.TIME, Type.IP):
                try:
                    read_time(text) if type_ is Type.TIME else read_address(text)
                except ValueError as error:
                    self._error("P2004", f'"{text}" is no `{type_}`', span, advice=str(error))
                return text
            case nodes.Number(value=number) if type_ is Type.INT:
                return number
            case nodes.Boolean(value=boolean) if type_ is Type.BOOL:
                return boolean
        self._wrong_type(fact, node.span)
        return None

    def _scope(self, name: str, span: Span) -> str:
        if name not in self._api.scopes and name not in OIDC_SCOPES:
            near = closest(name, self._api.scopes)
            self._error(
                "P1003",
                f"unknown scope `{name}`",
                span,
                advice=f"a similar scope exists: `{near}`" if near else None,
            )
        return name

    def _wrong_type(self, fact: Fact, span: Span) -> None:
        self._error("P4005", f"`{fact.name}` has type `{fact.type}`", span)

    def _error(
        self,
        code: str,
        headline: str,
        span: Span,
        *,
        advice: str | None = None,
        fix: tuple[Edit, ...] = (),
    ) -> None:
        self._report(Diagnostic(code, headline, Label(self._source, span), help=advice, fix=fix))


def _timed_operands(formula: policy.Formula) -> set[policy.Operand]:
    """What a formula compares with the clock."""
    found: set[policy.Operand] = set()
    for one in policy.walk(formula):
        match one:
            case policy.WithinLast(fact=fact):
                found.add(fact)
            case policy.Equal(left=left, right=right) | policy.Less(left=left, right=right):
                if NOW in (left, right):
                    found.add(right if left == NOW else left)
    return found
