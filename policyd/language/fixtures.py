"""The tokens, requests and fixtures of a test file, as JSON values.

Input are the blocks of one test file; output are values by name, each of the type that the policy
declares. Invalid values are reported and left out.
"""

from __future__ import annotations

from collections.abc import Iterable, Sequence
from itertools import chain

import msgspec

from policyd.diagnostics import Span, Suggestions
from policyd.language import case_nodes, nodes, policy
from policyd.language.cases import Claim, JsonScalar, JsonValue, TestClaims, TestToken
from policyd.language.literals import json_number, read_decimal
from policyd.language.operands import report_foreign
from policyd.language.reporter import Reporter, similar
from policyd.language.resolver import OIDC_SCOPES
from policyd.language.scalars import read_scalar
from policyd.language.types import TOKEN_FACTS, Fact, Origin, Type

_SCOPE = Fact(Origin.TOKEN, "scope", Type.SET_OF_STRING)
_PERMISSIONS = TOKEN_FACTS["permissions"]
_KINDS = ("application", "user")


class TestResource(msgspec.Struct, frozen=True):
    """A resource of a test; `resource` is `None` if the policy declares none of this name.

    `given` are the names of all attributes in the test, including invalid ones.
    """

    resource: policy.ResourceType | None
    id: str
    attributes: dict[str, JsonValue]
    given: frozenset[str]


class FixtureReader:
    """Reads the blocks of one test file. Fixtures are known from the beginning."""

    def __init__(
        self,
        api: policy.Api,
        reporter: Reporter,
        suggestions: Suggestions,
        fixtures: Iterable[case_nodes.Fixture],
    ) -> None:
        self._api = api
        self._reporter = reporter
        self._suggestions = suggestions
        self._tokens: dict[str, TestToken | TestClaims] = {}
        self._resources: dict[str, TestResource] = {}
        for fixture in fixtures:
            self._fixture(fixture)

    # -- fixtures ----------------------------------------------------------------------------

    def _fixture(self, node: case_nodes.Fixture) -> None:
        name = node.name.text
        if name in self._tokens or name in self._resources:
            self._reporter.error("P1010", f"fixture `{name}` is declared twice", node.name.span)
        elif name in _KINDS:
            self._reporter.error("P1010", f"`token {name}` says whose token it is", node.name.span)
        elif name in self._api.resources:
            self._reporter.error("P1010", f"`{name}` is a resource of the API", node.name.span)
        match node.value:
            case case_nodes.TokenBlock() as block:
                if block.kind is not None and block.kind.text in self._tokens:
                    self._reporter.error(
                        "P4011",
                        f"fixture `{name}` builds on `{block.kind.text}`",
                        block.kind.span,
                        help="a fixture cannot extend another, but a test can: `token NAME { … }`",
                    )
                    self._tokens[name] = self._tokens[block.kind.text]
                else:
                    self._tokens[name] = self.token(block)
            case case_nodes.ClaimsBlock() as claims:
                self._tokens[name] = self.claims(claims)
            case case_nodes.ResourceValue() as value:
                found = self._resource(value.resource, ())
                self._resources[name] = self._filled(
                    value, TestResource(found, "", {}, frozenset())
                )

    # -- tokens ------------------------------------------------------------------------------

    def token(self, node: case_nodes.TokenBlock) -> TestToken | TestClaims:
        """Return the token of a block; what the block gives replaces what its fixture gave."""
        facts = {
            "scope": _SCOPE,
            **{name: fact for name, fact in TOKEN_FACTS.items() if name != "scopes"},
            **{name: claim.fact for name, claim in self._api.claims.items()},
        }
        values = self.values(node.pairs, facts, "token fact")
        if node.kind is None:
            return TestToken(None, values)
        match node.kind.text:
            case "user" | "application" as kind:
                return TestToken(kind, values)
            case name if name in self._tokens:
                fixture = self._tokens[name]
                if isinstance(fixture, TestClaims):
                    if node.pairs:
                        self._reporter.error(
                            "P4011",
                            f"token `{name}` has fixed claims, and nothing can be added",
                            node.pairs[0].span,
                            help="write all claims: `token from DIALECT { … }`",
                        )
                    return fixture
                return TestToken(fixture.kind, {**fixture.values, **values})
            case name:
                near = self._suggestions.closest(name, chain(_KINDS, self._tokens))
                self._reporter.error(
                    "P4011",
                    f"there is no token `{name}` here",
                    node.kind.span,
                    help=f"did you mean `{near}`?"
                    if near
                    else f"`token user {{ … }}`, `token application {{ … }}`, or, after "
                    f"`define {name} as token {{ … }}`, `token {name}`",
                )
                return TestToken(None, values)

    def claims(self, node: case_nodes.ClaimsBlock) -> TestClaims:
        """Return the payload of a token, as its issuer writes it."""
        return TestClaims(node.dialect.text, self._object(node.claims))

    def _object(self, node: case_nodes.Object) -> dict[str, Claim]:
        found: dict[str, Claim] = {}
        for member in node.members:
            key = member.key.text if isinstance(member.key, nodes.Name) else member.key.value
            if key in found:
                self._reporter.error("P1024", f"`{key}` is given twice", member.key.span)
            found[key] = self._claim(member.value)
        return found

    def _claim(self, node: case_nodes.JsonNode) -> Claim:
        match node:
            case case_nodes.Object():
                return self._object(node)
            case case_nodes.Array(items=items):
                return [self._claim(item) for item in items]
            case nodes.Text(value=text):
                return text
            case nodes.Number(value=number):
                return number
            case nodes.Decimal(value=decimal):
                return json_number(decimal)
            case nodes.Boolean(value=boolean):
                return boolean
        self._reporter.error("P4005", "JSON has texts, numbers, `true` and `false`", node.span)
        return ""

    # -- resources ---------------------------------------------------------------------------

    def described(self, node: case_nodes.Expectation) -> TestResource:
        """Return the resource of an expectation, likewise."""
        fixture = self._resources.get(node.resource.text)
        if fixture is None:
            found = self._resource(node.resource, self._resources)
            fixture = TestResource(found, "", {}, frozenset())
        return self._filled(node, fixture)

    def _resource(self, name: nodes.Name, fixtures: Iterable[str]) -> policy.ResourceType | None:
        found = self._api.resources.get(name.text)
        if found is None:
            near = self._suggestions.closest(name.text, chain(self._api.resources, fixtures))
            self._reporter.error(
                "P1001",
                f"unknown resource `{name.text}`",
                name.span,
                help=similar("resource", near),
            )
        return found

    def _filled(
        self, node: case_nodes.Expectation | case_nodes.ResourceValue, base: TestResource
    ) -> TestResource:
        identifier = base.id if node.id is None else node.id.value
        if base.resource is None:
            return TestResource(None, identifier, {}, frozenset())
        facts = {one.fact.name: one.fact for one in base.resource.attributes}
        stated = self.values(node.attributes, facts, f"attribute of `{base.resource.name}`")
        given = base.given.union(pair.key.text for pair in node.attributes)
        return TestResource(base.resource, identifier, {**base.attributes, **stated}, given)

    # -- values ------------------------------------------------------------------------------

    def values(
        self, pairs: Sequence[case_nodes.Pair], facts: dict[str, Fact], kind: str
    ) -> dict[str, JsonValue]:
        """Return the values of a block by name."""
        values: dict[str, JsonValue] = {}
        for pair in pairs:
            name = pair.key.text
            fact = facts.get(name)
            if fact is None:
                near = self._suggestions.closest(name, facts)
                self._reporter.error(
                    "P4006",
                    f"unknown {kind} `{name}`",
                    pair.key.span,
                    help=similar("one", near),
                )
                continue
            if name in values:
                self._reporter.error("P1024", f"`{name}` is given twice", pair.key.span)
            value = self._value(pair.value, fact)
            if value is not None:
                values[name] = value
        return values

    def _value(
        self, node: nodes.Literal | nodes.List | case_nodes.Object | case_nodes.Array, fact: Fact
    ) -> JsonValue | None:
        if fact.type is Type.LIST:
            return self._records(node, fact)
        if isinstance(node, case_nodes.Object | case_nodes.Array):
            self._wrong_type(fact, node.span)
            return None
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

    def _records(
        self, node: nodes.Literal | nodes.List | case_nodes.Object | case_nodes.Array, fact: Fact
    ) -> JsonValue | None:
        """Return a list of records, which is stated as the JSON that it is."""
        if isinstance(node, case_nodes.Object | case_nodes.Array):
            return self._claim(node)
        if isinstance(node, nodes.List) and not node.items:
            return []
        self._wrong_type(fact, node.span)
        return None

    def _scalar(self, node: nodes.Literal, fact: Fact, type_: Type) -> JsonScalar | None:
        if isinstance(node, nodes.Name) and fact in (_SCOPE, _PERMISSIONS):
            return self.scope(node.text, node.span) if fact == _SCOPE else node.text
        if isinstance(node, nodes.Text) and type_ is Type.DECIMAL:
            return self._decimal_text(node, fact)
        value = read_scalar(node, type_, self._reporter, lambda: self._wrong_type(fact, node.span))
        if value is None:
            return None
        vocabulary = fact.vocabulary
        # Members of a claim may be foreign: they are dropped.
        foreign_allowed = fact.type.element is not None and fact.drops_foreign
        if vocabulary is not None and value not in vocabulary.values and not foreign_allowed:
            near = self._suggestions.closest(str(value), vocabulary.values)
            report_foreign(self._reporter, "P4005", node.span, str(value), vocabulary, near)
            return None
        # What a test states is JSON: a time or an address stays as it is written.
        assert not isinstance(node, nodes.Name | nodes.Duration), "these are values of no type"
        if isinstance(node, nodes.Text) and fact == _SCOPE:
            return self.scope(node.value, node.span)
        return json_number(node.value) if isinstance(node, nodes.Decimal) else node.value

    def _decimal_text(self, node: nodes.Text, fact: Fact) -> str | None:
        """Return the text of a decimal, which JSON may carry instead of a number."""
        try:
            read_decimal(node.value)
        except ValueError:
            self._wrong_type(fact, node.span)
            return None
        return node.value

    def scope(self, name: str, span: Span) -> str:
        """Return a scope that the API declares, or an OpenID Connect one."""
        if name not in self._api.scopes and name not in OIDC_SCOPES:
            near = self._suggestions.closest(name, self._api.scopes)
            self._reporter.error(
                "P1003",
                f"unknown scope `{name}`",
                span,
                help=similar("scope", near),
            )
        return name

    def _wrong_type(self, fact: Fact, span: Span) -> None:
        self._reporter.error("P4005", f"`{fact.name}` has type `{fact.type_name}`", span)
