"""A checked policy: every name is resolved, every operand has a type, and there are no errors.

The checker makes it from syntax trees; `program` evaluates it. Formulas form a directed acyclic
graph: a condition (`define`) used twice is one shared `NamedCondition` object, on all resources on
which it reads the same facts.

Literal values are Python values by type: `str`, `int`, `Decimal`, `bool`; a time is whole seconds
since the epoch; an `ip` is an `ipaddress.IPv4Address` or `IPv6Address`, or, as an element of a
literal list only, an `IPv4Network` or `IPv6Network`; a set is a tuple of distinct elements in
source order.
"""

from __future__ import annotations

from collections.abc import Iterable
from decimal import Decimal
from ipaddress import IPv4Address, IPv4Network, IPv6Address, IPv6Network
from typing import Literal as OneOf

import msgspec

from policyd.diagnostics import Label, Source, Span
from policyd.language.types import Fact, Type, Vocabulary

Scalar = str | int | Decimal | bool | IPv4Address | IPv6Address | IPv4Network | IPv6Network


class Literal(msgspec.Struct, frozen=True, gc=False):
    type: Type
    value: Scalar | tuple[Scalar, ...]


Operand = Fact | Literal


class _Formula(msgspec.Struct, frozen=True, eq=False, gc=False):
    """Base of formulas. `span` is the text that it stands for, in the file of its owner.

    The collector need not look at formulas: they are made from the inside out, and never changed.
    """

    span: Span


class Leaf(_Formula, frozen=True):
    """Base of tests: formulas that hold no other. What is about all of them alike matches this."""


class All(_Formula, frozen=True):
    """Kleene's `and` of two or more operands."""

    operands: tuple[Formula, ...]


class AnyOf(_Formula, frozen=True):
    """Kleene's `or` of two or more operands."""

    operands: tuple[Formula, ...]


class Not(_Formula, frozen=True):
    operand: Formula


class Always(Leaf, frozen=True):
    """True: `when true`, alone."""


class Granted(Leaf, frozen=True):
    """`scope NAME`; never unknown."""

    scope: str


class SubjectIs(Leaf, frozen=True):
    kind: OneOf["user", "application"]


class IsTrue(Leaf, frozen=True):
    """A boolean fact that stands alone."""

    fact: Fact


class Present(Leaf, frozen=True):
    """`x is present`; `x is missing` is `Not(Present(x))`."""

    fact: Fact


class Equal(Leaf, frozen=True):
    """`==`; `!=` is `Not(Equal)`. Operands have one type, which is no set."""

    left: Operand
    right: Operand


class Less(Leaf, frozen=True):
    """`<`, or `<=` when `or_equal`; `>` and `>=` with the operands exchanged. int, decimal or
    time."""

    left: Operand
    right: Operand
    or_equal: bool


class In(Leaf, frozen=True):
    """`left in right`: a scalar in a set."""

    left: Operand
    right: Operand


class HasAny(Leaf, frozen=True):
    """`left has any right`: some entry of `right` is had by `left`."""

    left: Operand
    right: Operand


class HasAll(Leaf, frozen=True):
    """`left has all right`: each entry of `right` is had by `left`."""

    left: Operand
    right: Operand


class StartsWith(Leaf, frozen=True):
    fact: Fact
    prefix: str


class EndsWith(Leaf, frozen=True):
    fact: Fact
    suffix: str


class WithinLast(Leaf, frozen=True):
    """`fact within last D`: now - seconds <= fact <= now + 60."""

    fact: Fact
    seconds: int


class WithinNext(Leaf, frozen=True):
    """`fact within next D`: now - 60 <= fact <= now + seconds."""

    fact: Fact
    seconds: int


class HasSome(_Formula, frozen=True):
    """`LIST has some (CONDITION)`: Kleene's `or` of the condition over the elements.

    The facts of origin `item` in `condition` are those of an element. There is no other `HasSome`
    in it, named conditions included, and none of these reads an element.
    """

    fact: Fact
    condition: Formula


class NamedCondition(_Formula, frozen=True):
    """A named condition (`define`), as it reads on a resource. `source` is its own file."""

    name: str
    source: Source
    formula: Formula


#: What a formula consists of in the end. The union is closed: each `match` over it, or over
#: `Formula`, ends in `assert_never`, so that mypy names every place that a new operator touches.
Test = (
    Always
    | Granted
    | SubjectIs
    | IsTrue
    | Present
    | Equal
    | Less
    | In
    | HasAny
    | HasAll
    | StartsWith
    | EndsWith
    | WithinLast
    | WithinNext
)
Formula = All | AnyOf | Not | NamedCondition | HasSome | Test

#: The value of a formula in three-valued logic (Kleene's strong tables); `None` is unknown.
Truth = bool | None


class ScopeDeclaration(msgspec.Struct, frozen=True):
    """`includes` are the scopes that the declaration names, and `included_at` is where; these may
    include others."""

    name: str
    description: str
    docs: tuple[str, ...]
    includes: tuple[str, ...] = ()
    included_at: tuple[Label, ...] = ()


class Inclusion(msgspec.Struct, frozen=True, eq=False):
    """Which scopes an application has that was granted one, and which are the least of several.

    `granted` is for scopes that include others: these, whatever they include, and itself. `order`
    is that in which the search for missing scopes tries to do without: what includes before what it
    includes, the last declared first.
    """

    granted: dict[str, frozenset[str]] = {}
    order: dict[str, int] = {}

    def closed(self, scopes: frozenset[str]) -> frozenset[str]:
        """Return the scopes and all that they include."""
        if not self.granted:
            return scopes
        return scopes.union(*(self.granted[one] for one in scopes if one in self.granted))

    def ordered(self, scopes: Iterable[str]) -> list[str]:
        """Return scopes in the order in which the search for missing ones leaves them out."""
        return sorted(scopes, key=lambda one: (self.order.get(one, 0), one))


class ClaimDeclaration(msgspec.Struct, frozen=True):
    """A claim of the token, or one about the user that its issuer tells on request.

    `path` is the way into the payload: `("https://example.com/roles",)` or, from a JSON Pointer
    (RFC 6901), `("realm_access", "roles")`. Array indices are not followed.

    A claim of one `issuer`, who is named `at` a place, is missing in the tokens of all others,
    which need not have it.
    """

    fact: Fact
    path: tuple[str, ...]
    optional: bool
    docs: tuple[str, ...]
    issuer: str | None = None
    at: Label | None = None

    @property
    def may_be_missing(self) -> bool:
        """Whether a token that is accepted may lack it."""
        return self.optional or self.issuer is not None

    @property
    def is_details(self) -> bool:
        """Whether these are the token's rich authorization details (RFC 9396)."""
        return self.path == ("authorization_details",) and self.fact.type is Type.LIST


class Attribute(msgspec.Struct, frozen=True):
    """A resource's attribute or an entry of the context.

    `path` is the way to it in what the caller passes, as that of a claim in its payload. Only
    requests for `actions` have it, or those for all of its resource where `actions` is empty.
    """

    fact: Fact
    optional: bool
    docs: tuple[str, ...]
    path: tuple[str, ...]
    actions: tuple[str, ...] = ()

    def is_for(self, action: str) -> bool:
        """Tell whether requests for an action of its resource have it."""
        return not self.actions or action in self.actions

    @property
    def is_pointed_at(self) -> bool:
        """Whether it stands elsewhere than under its own name."""
        return self.path != (self.fact.name,)


class ResourceType(msgspec.Struct, frozen=True):
    name: str
    attributes: tuple[Attribute, ...]
    actions: tuple[str, ...]
    docs: tuple[str, ...]

    @property
    def limited(self) -> tuple[Attribute, ...]:
        """The attributes that are not for all actions."""
        return tuple(one for one in self.attributes if one.actions)


class Rule(msgspec.Struct, frozen=True, eq=False):
    """`formula` is the whole condition, `when C unless D` being `All(C, Not(D))`.

    A rule that is written for several resources is one of these for each, under one name.
    """

    effect: OneOf["allow", "deny"]
    name: str
    resource: str
    actions: tuple[str, ...]
    formula: Formula
    because: str | None
    docs: tuple[str, ...]
    source: Source
    span: Span


class Proof(Rule, frozen=True, eq=False):
    """A promise: nothing is allowed while `formula` is true or unknown.

    It has the form of a deny, decides nothing, and is none of an API's rules.
    """


class Parameter(msgspec.Struct, frozen=True):
    """`{name}` in a path: one segment, which fills the resource's id or an attribute.

    `path` is the way to the attribute in what a caller passes.
    """

    name: str
    fact: Fact
    path: tuple[str, ...]


#: A segment of a path template: a literal, or a parameter.
Segment = str | Parameter


class Route(msgspec.Struct, frozen=True, eq=False):
    """From an HTTP method and path to an action on a resource."""

    method: str
    template: str
    segments: tuple[Segment, ...]
    action: str
    resource: str
    docs: tuple[str, ...]
    source: Source
    span: Span


class Api(msgspec.Struct, frozen=True, eq=False):
    """One resource server's policy. Mappings are sorted by key, rules by name and
    resource (code points)."""

    name: str
    audiences: tuple[str, ...]
    scopes: dict[str, ScopeDeclaration]
    claims: dict[str, ClaimDeclaration]
    userinfo: dict[str, ClaimDeclaration]
    context: tuple[Attribute, ...]
    resources: dict[str, ResourceType]
    rules: tuple[Rule, ...]
    routes: tuple[Route, ...]
    docs: tuple[str, ...]
    vocabularies: dict[str, Vocabulary] = {}
    inclusion: Inclusion = Inclusion()
    proofs: tuple[Proof, ...] = ()


class PolicySet(msgspec.Struct, frozen=True, eq=False):
    """All APIs of one load. `revision` is a digest of the files' names and bytes."""

    apis: dict[str, Api]
    revision: str
