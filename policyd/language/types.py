"""The types of values, and the facts that a rule may read."""

from __future__ import annotations

from enum import StrEnum

import msgspec


class Type(StrEnum):
    STRING = "string"
    INT = "int"
    DECIMAL = "decimal"
    BOOL = "bool"
    TIME = "time"
    IP = "ip"
    SET_OF_STRING = "set<string>"
    SET_OF_INT = "set<int>"
    SET_OF_IP = "set<ip>"
    LIST = "list"

    @property
    def element(self) -> Type | None:
        """The type of a set's elements, `None` for a type that is no set."""
        return _ELEMENTS.get(self)


_ELEMENTS = {
    Type.SET_OF_STRING: Type.STRING,
    Type.SET_OF_INT: Type.INT,
    Type.SET_OF_IP: Type.IP,
}


class Vocabulary(msgspec.Struct, frozen=True, gc=False, cache_hash=True):
    """A closed set of texts under a name, `values NAME: …`: a type whose values are texts."""

    name: str
    values: frozenset[str]


class Origin(StrEnum):
    """Where a fact comes from."""

    TOKEN = "token"  # a name every token has, by the table of the language reference
    CLAIM = "claim"  # a claim that the API declares
    USERINFO = "userinfo"  # a claim that the issuer tells of the user on request
    RESOURCE = "resource"
    CONTEXT = "context"
    CLOCK = "clock"
    ITEM = "item"  # a field of an element of a list, within `has some`


class Fact(msgspec.Struct, frozen=True, gc=False, cache_hash=True):
    """Something that a condition can read. Equal facts have equal values within one call.

    `vocabulary` closes the values of a string, and the members of a set of strings. `record` is
    what each element of a list has.
    """

    origin: Origin
    name: str
    type: Type
    vocabulary: Vocabulary | None = None
    record: tuple[RecordField, ...] = ()

    @property
    def path(self) -> str:
        """The name as a policy spells it: `token.org_id`, `resource.id`, `context.ip`, `now`."""
        if self.origin is Origin.CLOCK:
            return self.name
        prefix = Origin.TOKEN if self.origin is Origin.CLAIM else self.origin
        return f"{prefix}.{self.name}"

    def field_number(self, item: Fact) -> int:
        """Return the place of a field among those of a list's elements."""
        return next(number for number, one in enumerate(self.record) if one.fact == item)

    @property
    def type_name(self) -> str:
        """The type as a policy spells it: `string`, `set<int>`, `job`, `set<role>`."""
        if self.vocabulary is None:
            return self.type
        name = self.vocabulary.name
        return name if self.type.element is None else f"set<{name}>"

    @property
    def drops_foreign(self) -> bool:
        """Whether members outside of the vocabulary are left out, since the set is a claim.

        An issuer's roles serve many APIs. Members of any other set are the caller's.
        """
        return self.vocabulary is not None and self.origin in (Origin.CLAIM, Origin.USERINFO)


class RecordField(msgspec.Struct, frozen=True, gc=False, cache_hash=True):
    """What an element of a list has: a fact of origin `item`, and the way to it in the element.

    `path` is `None` where the fact is the name under which the element stands in an object. Whether
    a field is `optional` makes no difference to conditions, since details of another kind have
    none; it tells which fields tests should show without a value.
    """

    fact: Fact
    path: tuple[str, ...] | None
    optional: bool = False


NOW = Fact(Origin.CLOCK, "now", Type.TIME)
RESOURCE_ID = Fact(Origin.RESOURCE, "id", Type.STRING)

#: What the name of an issuer begins with that is no issuer of tokens: an enforcement point that
#: asserts subjects.
ASSERTED = "asserted:"

#: `token.NAME` that every API can read without declaring it.
TOKEN_FACTS: dict[str, Fact] = {
    name: Fact(Origin.TOKEN, name, type_)
    for name, type_ in (
        ("scopes", Type.SET_OF_STRING),
        ("permissions", Type.SET_OF_STRING),
        ("subject", Type.STRING),
        ("sub", Type.STRING),
        ("iss", Type.STRING),
        ("jti", Type.STRING),
        ("client", Type.STRING),
        ("audience", Type.SET_OF_STRING),
        ("issued_at", Type.TIME),
        ("expires_at", Type.TIME),
        ("auth_time", Type.TIME),
        ("acr", Type.STRING),
        ("amr", Type.SET_OF_STRING),
        ("actor", Type.STRING),
    )
}
