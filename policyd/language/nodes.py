"""The syntax tree: what was written and where, with no meaning in it.

Every node carries the `Span` of its text. Trees are immutable; the checker turns them into the
model of `policy.py`, the formatter prints them.
"""

from __future__ import annotations

import decimal
from functools import cached_property
from typing import Literal as OneOf

import msgspec

from policyd.diagnostics.source import Source, Span


class Node(msgspec.Struct, frozen=True, gc=False):
    """Base of all nodes."""

    span: Span


# -- leaves ------------------------------------------------------------------------------------


class Name(Node, frozen=True):
    """An identifier, a scope name or a dotted reference, as written, quotes removed.

    `quoted` tells of a scope whether it has quotes, and of an action or a resource whether it needs
    them: what could stand without them is the same name.
    """

    text: str
    quoted: bool = False


class Text(Node, frozen=True):
    """A string literal; `value` has its escapes resolved."""

    value: str


class Number(Node, frozen=True):
    """A whole number."""

    value: int


class Decimal(Node, frozen=True):
    """A number with a fraction of at most four digits."""

    value: decimal.Decimal


class Boolean(Node, frozen=True):
    value: bool


class Duration(Node, frozen=True):
    """A duration literal such as `15m`, in seconds; `text` is as written."""

    seconds: int
    text: str


class Reference(Node, frozen=True):
    """A name that stands for a value: `token.org_id`, `resource.id`, `now`, or a condition."""

    text: str


class List(Node, frozen=True):
    """A literal list, `[a, b]`."""

    items: tuple[Literal, ...]


#: A scope or a plain word may stand in a list without quotes; it then means the string of its text.
Literal = Text | Number | Decimal | Boolean | Duration | Name
Operand = Reference | Literal | List


# -- conditions --------------------------------------------------------------------------------


class And(Node, frozen=True):
    operands: tuple[Condition, ...]


class Or(Node, frozen=True):
    operands: tuple[Condition, ...]


class Not(Node, frozen=True):
    operand: Condition


class HasScope(Node, frozen=True):
    """`scope NAME`"""

    scope: Name


class SubjectIs(Node, frozen=True):
    """`subject is user`, `subject is application`, `subject is asserted`"""

    kind: Name


class BareReference(Node, frozen=True):
    """A reference that stands alone: a boolean fact or the name of a condition."""

    reference: Reference


class Is(Node, frozen=True):
    """`x is present`, `x is missing`"""

    reference: Reference
    state: Name


Operator = OneOf[
    "==", "!=", "<", "<=", ">", ">=",
    "in", "has any", "has all", "starts with", "ends with", "within last", "within next",
]  # fmt: skip


class Compare(Node, frozen=True):
    """A binary operator between two operands."""

    operator: Operator
    operator_span: Span
    left: Operand
    right: Operand


class HasSome(Node, frozen=True):
    """`LIST has some (CONDITION)`"""

    operand: Operand
    condition: Condition


class Always(Node, frozen=True):
    """`when true`"""


Condition = And | Or | Not | HasScope | SubjectIs | BareReference | Is | Compare | HasSome | Always


# -- declarations ------------------------------------------------------------------------------


class TypeName(Node, frozen=True):
    """`string`, `set<string>`, with `?` when the value may be missing.

    `word` is the name that may be a vocabulary's: the element's, or the only one.
    """

    name: str
    element: str | None
    optional: bool
    word: Name


class Declaration(Node, frozen=True):
    """Base of declarations. `docs` are the `///` lines before it, without the slashes."""

    docs: tuple[str, ...]


class Audience(Declaration, frozen=True):
    value: Text


class Scope(Declaration, frozen=True):
    """`scope NAME "TEXT" includes NAME, …`"""

    name: Name
    description: Text | None
    includes: tuple[Name, ...] = ()


class Values(Declaration, frozen=True):
    """`values NAME: "TEXT", …`: a vocabulary, whose name is a type."""

    name: Name
    values: tuple[Text, ...]


class Claim(Declaration, frozen=True):
    """`claim NAME: TYPE from "PATH" of "ISSUER" { … }`; the braces hold what each element of a list
    has."""

    name: Name
    type: TypeName
    path: Text | None
    issuer: Text | None
    record: Record | None


class Userinfo(Declaration, frozen=True):
    """`userinfo NAME: TYPE from "PATH" of "ISSUER"`: a claim that the issuer tells of the user on
    request."""

    name: Name
    type: TypeName
    path: Text | None
    issuer: Text | None
    record: Record | None


class Field(Declaration, frozen=True):
    """`NAME: TYPE (from "PATH", for ACTION …)`: an attribute of a resource, or an entry of the
    context. Without `actions`, an attribute is one of all its resource's actions."""

    name: Name
    type: TypeName
    path: Text | None
    from_key: bool
    record: Record | None
    actions: tuple[Name, ...] = ()


class Record(Node, frozen=True):
    """`{ NAME: TYPE (from key) … }`: what each element of a list has."""

    fields: tuple[Field, ...]


class Context(Declaration, frozen=True):
    fields: tuple[Field, ...]


class Resource(Declaration, frozen=True):
    name: Name
    fields: tuple[Field, ...]
    actions: tuple[Name, ...]
    actions_docs: tuple[str, ...] = ()


class Define(Declaration, frozen=True):
    name: Name
    condition: Condition


class Rule(Declaration, frozen=True):
    """`allow` or `deny`. `actions` or `resources` is `None` for `any`; then `any_span` or
    `any_resource_span` says where it stands."""

    effect: OneOf["allow", "deny"]
    name: Name
    actions: tuple[Name, ...] | None
    any_span: Span | None
    resources: tuple[Name, ...] | None
    any_resource_span: Span | None
    when: Condition | None
    unless: Condition | None
    because: Text | None

    @property
    def target_span(self) -> Span:
        """The place of the last resource, or of the `any` that stands for them."""
        if self.resources is None:
            assert self.any_resource_span is not None, "one of the two is there"
            return self.any_resource_span
        return self.resources[-1].span

    @property
    def target(self) -> str:
        """The resources as a reader names them: `movie, show`, or `any`."""
        return "any" if self.resources is None else ", ".join(one.text for one in self.resources)


class Proof(Rule, frozen=True):
    """`prove NAME: never allow ACTIONS on RESOURCES …`: a promise about all rules.

    It has the form of a deny: it names actions and resources, `any` too, and its condition is read
    as that of a deny.
    """


class Route(Declaration, frozen=True):
    """`route METHOD "TEMPLATE" as ACTION on RESOURCE`"""

    method: Name
    template: Text
    action: Name
    resource: Name


class File(msgspec.Struct, frozen=True, dict=True):
    """One parsed file: the API that it belongs to and its declarations in order."""

    source: Source
    docs: tuple[str, ...]
    api: Name
    declarations: tuple[Declaration, ...]

    @cached_property
    def rules(self) -> tuple[Rule, ...]:
        """The rules among the declarations, promises included."""
        return tuple(one for one in self.declarations if isinstance(one, Rule))

    @cached_property
    def surroundings(self) -> tuple[Declaration, ...]:
        """All declarations but rules and promises: what these may depend on."""
        return tuple(one for one in self.declarations if not isinstance(one, Rule))
