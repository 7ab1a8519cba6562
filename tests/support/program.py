"""Policies, tokens and questions for tests of the program and the decision.

`POLICY` declares facts of every type; the strategies draw rules and questions over them, small
enough that equal values meet.
"""

from __future__ import annotations

from collections.abc import Callable, Mapping, Sequence
from decimal import Decimal
from functools import cache
from ipaddress import ip_address, ip_network
from typing import Literal as OneOf

from hypothesis import strategies as st

from policyd.decision.engine import Engine
from policyd.decision.model import Request
from policyd.diagnostics.source import Source, Span
from policyd.json_types import Json
from policyd.language import load
from policyd.language.policy import (
    All,
    Always,
    AnyOf,
    Api,
    Attribute,
    ClaimDeclaration,
    EndsWith,
    Equal,
    Formula,
    Granted,
    HasAll,
    HasAny,
    HasSome,
    In,
    Inclusion,
    IsTrue,
    Less,
    Literal,
    NamedCondition,
    Not,
    Operand,
    PolicySet,
    Present,
    ResourceType,
    Rule,
    Scalar,
    ScopeDeclaration,
    StartsWith,
    SubjectIs,
    WithinLast,
    WithinNext,
)
from policyd.language.types import (
    NOW,
    RESOURCE_ID,
    TOKEN_FACTS,
    Fact,
    Origin,
    RecordField,
    Type,
    Vocabulary,
)
from policyd.program.interpreter import World
from policyd.tokens.model import (
    NO_PROOF,
    ResourceServer,
    SenderProof,
    SubjectKind,
    VerifiedToken,
    new_memo,
)

NOW_SECONDS = 1_700_000_000
AUDIENCE = "https://api.example/"
SOURCE = Source("generated.policy", "")
SPAN = Span(0, 0)


class FixedValidator:
    """Takes every text for the same verified token, or refuses it the same way."""

    def __init__(self, outcome: VerifiedToken | Exception) -> None:
        self.outcome = outcome
        self.asked: list[tuple[str, ResourceServer, float, SenderProof]] = []

    def verify(
        self,
        access_token: str,
        resource_server: ResourceServer,
        now: float,
        proof: SenderProof = NO_PROOF,
    ) -> VerifiedToken:
        self.asked.append((access_token, resource_server, now, proof))
        if isinstance(self.outcome, Exception):
            raise self.outcome
        return self.outcome

    def userinfo(
        self, token: VerifiedToken, access_token: str, now: float
    ) -> Mapping[str, Json] | None:
        return told(token)


def token(
    scopes: Sequence[str] = (),
    claims: dict[str, Json] | None = None,
    *,
    kind: SubjectKind | None = "user",
    permissions: Sequence[str] = (),
    subject: str | None = "user-1",
    client: str | None = "app-1",
    actor: str | None = None,
    issued_at: int | None = NOW_SECONDS - 60,
    expires_at: int = NOW_SECONDS + 3600,
    token_id: str | None = None,
    issuer: str = "https://issuer.example/",
) -> VerifiedToken:
    """Return a verified token."""
    return VerifiedToken(
        issuer=issuer,
        subject=subject,
        client=client,
        kind=kind,
        scopes=frozenset(scopes),
        permissions=frozenset(permissions),
        audience=frozenset({AUDIENCE}),
        actor=actor,
        issued_at=issued_at,
        not_before=None,
        expires_at=expires_at,
        token_id=token_id,
        key_id="key-1",
        algorithm="RS256",
        claims={} if claims is None else claims,
        memo=new_memo(),
    )


#: The member of a test token's payload that holds what its issuer would tell of the user. So one
#: value says all that there is to know of the subject.
TOLD = "told to whoever asks"


def told(token: VerifiedToken) -> Mapping[str, Json] | None:
    """Return what the issuer tells of a token's subject, `None` when it tells nothing."""
    found = token.claims.get(TOLD)
    return found if isinstance(found, dict) else None


def policies(*texts: str) -> PolicySet:
    """Load policy texts that have no errors."""
    loaded = load([Source(f"{number}.policy", text) for number, text in enumerate(texts)])
    assert loaded.policies is not None, [found.headline for found in loaded.diagnostics]
    return loaded.policies


def engine(
    loaded: PolicySet,
    outcome: VerifiedToken | Exception,
    clock: Callable[[], float] = lambda: NOW_SECONDS + 0.5,
) -> Engine:
    """Return an engine with these policies, to which every token text is `outcome`."""
    made = Engine(FixedValidator(outcome), clock)
    made.load(loaded)
    return made


# -- a policy of every type ----------------------------------------------------------------------

SCOPES = ("read:x", "write:x", "admin:x")
#: One of them includes another.
INCLUSION = Inclusion(
    {"admin:x": frozenset({"admin:x", "write:x"})}, {"admin:x": 0, "write:x": 1, "read:x": 2}
)
ACTIONS = ("look", "touch")
#: Allows are drawn more often, for most questions would end at a deny.
EFFECTS: tuple[OneOf["allow", "deny"], ...] = ("allow", "allow", "deny")

_NAMES = {
    Type.STRING: "text",
    Type.INT: "number",
    Type.DECIMAL: "amount",
    Type.BOOL: "flag",
    Type.TIME: "time",
    Type.IP: "ip",
    Type.SET_OF_STRING: "texts",
    Type.SET_OF_INT: "numbers",
    Type.SET_OF_IP: "ips",
}


#: Closes the values of one string and one set of each origin.
KIND = Vocabulary("kind", frozenset({"a", "b", "urn:mfa"}))
#: What the elements of lists have, of each type and of a vocabulary; two stand deeper.
RECORD = (
    *(
        RecordField(
            Fact(Origin.ITEM, name, type_),
            ("deep", name) if type_ in (Type.TIME, Type.SET_OF_STRING) else (name,),
        )
        for type_, name in _NAMES.items()
    ),
    RecordField(Fact(Origin.ITEM, "kinds", Type.SET_OF_STRING, KIND), ("kinds",)),
    RecordField(Fact(Origin.ITEM, "key", Type.STRING), None),
)
#: A fact of each origin stands under its type, or, if it has a vocabulary, under its name.
Key = Type | str


def _facts(origin: Origin, prefix: str) -> dict[Key, Fact]:
    found: dict[Key, Fact] = {
        type_: Fact(origin, prefix + name, type_) for type_, name in _NAMES.items()
    }
    found["kind"] = Fact(origin, prefix + "kind", Type.STRING, KIND)
    found["kinds"] = Fact(origin, prefix + "kinds", Type.SET_OF_STRING, KIND)
    found["list"] = Fact(origin, prefix + "list", Type.LIST, None, RECORD)
    return found


CLAIMS = _facts(Origin.CLAIM, "claimed_")
TOLD_CLAIMS = _facts(Origin.USERINFO, "told_")
ATTRIBUTES = _facts(Origin.RESOURCE, "")
ENTRIES = _facts(Origin.CONTEXT, "")

#: Claims at the top of their payload, but for two within objects; so attributes and entries.
PATHS = {
    fact.name: ("outer", "inner", fact.name) if fact.type in within else (fact.name,)
    for facts, within in (
        (CLAIMS, (Type.STRING, Type.IP)),
        (TOLD_CLAIMS, (Type.STRING, Type.IP)),
        (ATTRIBUTES, (Type.IP, Type.SET_OF_INT)),  # and so those of the context
    )
    for fact in facts.values()
}

_ALL = (
    *(facts[key] for key in CLAIMS for facts in (CLAIMS, TOLD_CLAIMS, ATTRIBUTES, ENTRIES)),
    *TOKEN_FACTS.values(),
    RESOURCE_ID,
    NOW,
)
FACTS: dict[Type, list[Fact]] = {
    type_: [fact for fact in _ALL if fact.type is type_] for type_ in Type
}

_ADDRESSES = ("10.0.0.1", "10.1.0.1", "::1", "2001:db8::1")
LITERALS: dict[Type, tuple[Scalar, ...]] = {
    Type.STRING: ("a", "b", "urn:mfa", *SCOPES),
    Type.INT: (0, 1, 2),
    Type.DECIMAL: (Decimal(0), Decimal("0.5"), Decimal("-1.0001"), Decimal(2**53)),
    Type.BOOL: (True, False),
    Type.TIME: (NOW_SECONDS - 90, NOW_SECONDS, NOW_SECONDS + 3),
    Type.IP: tuple(ip_address(text) for text in _ADDRESSES),
}
BLOCKS: tuple[Scalar, ...] = tuple(
    ip_network(text) for text in ("10.0.0.0/8", "10.0.0.0/24", "::/64", "0.0.0.0/0")
)

GOOD: dict[Type, list[Json]] = {
    Type.STRING: ["a", "b", "urn:mfa", "é", ""],
    Type.INT: [0, 1, 2.0, -(2**53 - 1)],
    Type.DECIMAL: [0, 0.5, "0.50", 2.0, -1.0001, "-1.0001", 2**53, float(2**53), "-0"],
    Type.BOOL: [True, False],
    Type.TIME: [
        NOW_SECONDS,
        NOW_SECONDS - 90.5,
        NOW_SECONDS + 60,
        "2023-11-14T22:13:20Z",
        "2023-11-14T23:13:22.999+01:00",
    ],
    Type.IP: [*_ADDRESSES, "::ffff:10.0.0.1", "0:0:0:0:0:0:0:1"],
}
_ELEMENTS: list[dict[str, Json]] = [
    {},
    {"text": "a", "number": 1, "flag": True, "kinds": ["a", "foreign"]},
    {"text": "b", "number": 2, "flag": False, "deep": {"time": NOW_SECONDS, "texts": ["a"]}},
    {"text": 1, "number": 0, "deep": "in the way", "ip": "10.0.0.1", "amount": 1.5},
    {"text": "a", "flag": None, "ips": ["::1"], "kinds": ["b"], "deep": {"time": "no time"}},
]
_SINGLE: list[Json] = [[one] for one in _ELEMENTS]
GOOD[Type.LIST] = [
    [],
    *_SINGLE,
    [*_ELEMENTS[1:3]],
    [*_ELEMENTS],
    {"a": _ELEMENTS[1], "b": _ELEMENTS[2]},
    {},
    [_ELEMENTS[2]] * 64,
]
BAD: dict[Type, list[Json]] = {
    Type.LIST: ["a", [1], [None], {"a": 1}, [{}] * 65],
    Type.STRING: [1, True, ["a"], {}, "\ud800"],
    Type.INT: ["1", True, 1.5, 2**53, [], {}],
    Type.DECIMAL: [
        *("", "1.", ".5", "01", "+1", "1e2", "0.00001", " 1", "9007199254740992.0001", "1" * 30),
        *(True, 0.00001, 1e-7, 1e16, 2**53 + 1, float("nan"), float("inf"), [], {}),
    ],
    Type.BOOL: [0, 1, "true", [], {}],
    Type.TIME: ["", "2023-11-14t22:13:20Z", "2023-11-14T22:13:60Z", 1e300, -1e12, True, [], {}],
    Type.IP: ["", "10.0.0.01", "10.0.0.1/32", "fe80::1%eth0", "10.0.0.1:80", 1, [], {}],
}


def api_of(rules: Sequence[Rule], required: frozenset[Fact] = frozenset()) -> Api:
    def claims(facts: dict[Key, Fact]) -> dict[str, ClaimDeclaration]:
        return {
            fact.name: ClaimDeclaration(fact, PATHS[fact.name], fact not in required, ())
            for fact in sorted(facts.values(), key=lambda fact: fact.name)
        }

    def fields(facts: dict[Key, Fact]) -> tuple[Attribute, ...]:
        return tuple(
            Attribute(fact, fact not in required, (), PATHS[fact.name]) for fact in facts.values()
        )

    return Api(
        name="generated",
        audiences=(AUDIENCE,),
        scopes={
            name: ScopeDeclaration(
                name, "", (), tuple(sorted(INCLUSION.granted.get(name, set()) - {name}))
            )
            for name in sorted(SCOPES)
        },
        claims=claims(CLAIMS),
        userinfo=claims(TOLD_CLAIMS),
        context=fields(ENTRIES),
        resources={"thing": ResourceType("thing", fields(ATTRIBUTES), ACTIONS, ())},
        rules=tuple(sorted(rules, key=lambda rule: rule.name)),
        routes=(),
        docs=(),
        vocabularies={KIND.name: KIND},
        inclusion=INCLUSION,
    )


def rule(
    name: str,
    effect: OneOf["allow", "deny"],
    formula: Formula,
    *,
    actions: tuple[str, ...] = ("look",),
    because: str | None = None,
) -> Rule:
    """Return a rule about `thing`."""
    return Rule(effect, name, "thing", actions, formula, because, (), SOURCE, SPAN)


def policy_set(api: Api) -> PolicySet:
    return PolicySet(apis={api.name: api}, revision="0123456789abcdef")


# -- formulas ------------------------------------------------------------------------------------

SCALARS = (Type.STRING, Type.INT, Type.DECIMAL, Type.BOOL, Type.TIME, Type.IP)
SETS = (Type.SET_OF_STRING, Type.SET_OF_INT, Type.SET_OF_IP)


def _fact(*types: Type) -> st.SearchStrategy[Fact]:
    return st.sampled_from([fact for type_ in types for fact in FACTS[type_]])


def _operand(type_: Type) -> st.SearchStrategy[Operand]:
    literal = st.sampled_from(LITERALS[type_]).map(lambda value: Literal(type_, value))
    return st.one_of(_fact(type_), literal)


def _set(type_: Type) -> st.SearchStrategy[Operand]:
    element = type_.element
    assert element is not None
    pool = LITERALS[element] + (BLOCKS if element is Type.IP else ())
    literal = st.lists(st.sampled_from(pool), unique=True, max_size=3).map(
        lambda values: Literal(type_, tuple(values))
    )
    return st.one_of(_fact(type_), literal)


@st.composite
def _comparisons(draw: st.DrawFn) -> Formula:
    shape = draw(st.sampled_from(["equal", "less", "in", "has any", "has all"]))
    if shape == "equal":
        type_ = draw(st.sampled_from(SCALARS))
        return Equal(SPAN, draw(_operand(type_)), draw(_operand(type_)))
    if shape == "less":
        type_ = draw(st.sampled_from([Type.INT, Type.DECIMAL, Type.TIME]))
        return Less(SPAN, draw(_operand(type_)), draw(_operand(type_)), draw(st.booleans()))
    type_ = draw(st.sampled_from(SETS))
    if shape == "in":
        assert type_.element is not None
        return In(SPAN, draw(_operand(type_.element)), draw(_set(type_)))
    make = HasAny if shape == "has any" else HasAll
    return make(SPAN, draw(_fact(type_)), draw(_set(type_)))


def leaves(*, presence: bool) -> st.SearchStrategy[Formula]:
    """Draw a test, or a `has some`."""
    text = st.sampled_from(["a", "b", "urn:", "read"])
    leaves: list[st.SearchStrategy[Formula]] = [
        st.builds(Granted, st.just(SPAN), st.sampled_from(SCOPES)),
        st.builds(SubjectIs, st.just(SPAN), st.sampled_from(["user", "application"])),
        st.builds(IsTrue, st.just(SPAN), _fact(Type.BOOL)),
        st.builds(StartsWith, st.just(SPAN), _fact(Type.STRING), text),
        st.builds(EndsWith, st.just(SPAN), _fact(Type.STRING), text),
        st.builds(WithinLast, st.just(SPAN), _fact(Type.TIME), st.sampled_from([1, 90, 3600])),
        st.builds(WithinNext, st.just(SPAN), _fact(Type.TIME), st.sampled_from([1, 90, 3600])),
        _comparisons(),
        _comparisons(),
        st.just(Always(SPAN)),
    ]
    if presence:
        leaves.append(st.builds(Present, st.just(SPAN), _fact(*Type)))
    leaves.append(
        st.builds(HasSome, st.just(SPAN), _fact(Type.LIST), _of_an_element(presence=presence))
    )
    return st.one_of(leaves)


def _of_an_element(*, presence: bool) -> st.SearchStrategy[Formula]:
    """Draw a condition about the element of a list, and about other facts beside it."""

    def field(*types: Type) -> st.SearchStrategy[Fact]:
        return st.sampled_from([one.fact for one in RECORD if one.fact.type in types])

    def equal(type_: Type) -> st.SearchStrategy[Formula]:
        return st.builds(Equal, st.just(SPAN), field(type_), _operand(type_))

    leaves = [
        *(equal(type_) for type_ in SCALARS if type_ is not Type.DECIMAL),
        st.builds(IsTrue, st.just(SPAN), field(Type.BOOL)),
        st.builds(Less, st.just(SPAN), field(Type.INT), _operand(Type.INT), st.booleans()),
        st.builds(Less, st.just(SPAN), _operand(Type.TIME), field(Type.TIME), st.booleans()),
        st.builds(In, st.just(SPAN), _operand(Type.STRING), field(Type.SET_OF_STRING)),
        st.builds(HasAny, st.just(SPAN), field(Type.SET_OF_STRING), _set(Type.SET_OF_STRING)),
        st.builds(WithinLast, st.just(SPAN), field(Type.TIME), st.sampled_from([1, 90, 3600])),
        st.builds(Granted, st.just(SPAN), st.sampled_from(SCOPES)),
        st.builds(IsTrue, st.just(SPAN), _fact(Type.BOOL)),
    ]
    if presence:
        leaves.append(st.builds(Present, st.just(SPAN), field(*Type)))

    def grow(inner: st.SearchStrategy[Formula]) -> st.SearchStrategy[Formula]:
        operands = st.lists(inner, min_size=2, max_size=3).map(tuple)
        return st.one_of(
            st.builds(All, st.just(SPAN), operands),
            st.builds(AnyOf, st.just(SPAN), operands),
            st.builds(Not, st.just(SPAN), inner),
        )

    return st.recursive(st.one_of(leaves), grow, max_leaves=4)


def _formulas(*, presence: bool) -> st.SearchStrategy[Formula]:
    # Stands for a named condition, which `_named` puts in its place.
    references = [NamedCondition(SPAN, str(number), SOURCE, Always(SPAN)) for number in range(3)]

    def grow(inner: st.SearchStrategy[Formula]) -> st.SearchStrategy[Formula]:
        operands = st.lists(inner, min_size=2, max_size=3).map(tuple)
        return st.one_of(
            st.builds(All, st.just(SPAN), operands),
            st.builds(AnyOf, st.just(SPAN), operands),
            st.builds(Not, st.just(SPAN), inner),
        )

    drawn = st.one_of(leaves(presence=presence), st.sampled_from(references))
    return st.recursive(drawn, grow, max_leaves=6)


# Made once: strategies are expensive to make, and cheap to draw from.
_WITH_PRESENCE = _formulas(presence=True)
_WITHOUT_PRESENCE = _formulas(presence=False)


def _named(formula: Formula, known: Sequence[NamedCondition]) -> Formula:
    """Put named conditions in the places of references; where there are none, a scope."""
    match formula:
        case All(operands=operands) | AnyOf(operands=operands):
            return type(formula)(SPAN, tuple(_named(operand, known) for operand in operands))
        case Not(operand=operand):
            return Not(SPAN, _named(operand, known))
        case NamedCondition(name=number):
            return known[int(number) % len(known)] if known else Granted(SPAN, SCOPES[0])
        case _:
            return formula


@st.composite
def apis(draw: st.DrawFn, *, presence: bool = True) -> Api:
    """Draw a policy: some conditions that build on each other, and some rules."""
    formulas = _WITH_PRESENCE if presence else _WITHOUT_PRESENCE
    conditions: list[NamedCondition] = []
    for number in range(draw(_UP_TO_3)):
        inner = _named(draw(formulas), conditions)
        conditions.append(NamedCondition(SPAN, f"condition_{number}", SOURCE, inner))
    rules = []
    for number in range(1 + draw(_UP_TO_3)):
        effect = draw(_EFFECTS)
        formula = _named(draw(formulas), conditions)
        because = f"because {number}" if effect == "deny" else None
        rules.append(
            rule(f"rule-{number}", effect, formula, actions=draw(_ACTIONS), because=because)
        )
    return api_of(rules, draw(_REQUIRED))


_UP_TO_3 = st.integers(0, 3)
_EFFECTS = st.sampled_from(EFFECTS)
_ACTIONS = st.sampled_from([ACTIONS, ACTIONS[:1], ACTIONS[1:]])
_REQUIRED = st.frozensets(
    st.sampled_from(
        [fact for facts in (CLAIMS, TOLD_CLAIMS, ATTRIBUTES, ENTRIES) for fact in facts.values()]
    ),
    max_size=2,
)


# -- questions -----------------------------------------------------------------------------------


def good_of(fact: Fact) -> list[Json]:
    """Return JSON values of a fact."""
    if fact.vocabulary is None:
        return good_values(fact.type)
    values: list[Json] = [*sorted(fact.vocabulary.values)]
    if fact.type.element is None:
        return values
    lists: list[Json] = [[], values[:1], values[1:], values]
    foreign: list[Json] = [["é", ""], ["other", *values[:2]]]
    return lists + foreign if fact.drops_foreign else lists


def bad_of(fact: Fact) -> list[Json]:
    """Return JSON values that are none of a fact."""
    bad = bad_values(fact.type)
    if fact.vocabulary is None:
        return bad
    foreign: list[Json] = ["A", "é", ""]
    if fact.type.element is None:
        return bad + foreign
    return bad if fact.drops_foreign else [*bad, ["é"], ["a", "other"]]


def good_values(type_: Type) -> list[Json]:
    """Return JSON values of a type."""
    element = type_.element
    if element is None:
        return GOOD[type_]
    pool = GOOD[element]
    lists: list[Json] = [[], pool[:1], pool[1:2], pool[:2], [pool[0], pool[0], pool[-1]], pool]
    return lists


def bad_values(type_: Type) -> list[Json]:
    """Return JSON values that are none of a type."""
    element = type_.element
    if element is None:
        return BAD[type_]
    mixed: list[Json] = [[GOOD[element][0], bad] for bad in [*BAD[element], None]]
    return [*mixed, GOOD[element][0], {}]


@st.composite
def _members(
    draw: st.DrawFn, facts: tuple[Fact, ...], ill_typed: bool, always: frozenset[Fact]
) -> dict[str, Json]:
    """Draw an object: a member is absent, null, of its type, or, if `ill_typed`, of another."""
    members: dict[str, Json] = {}
    for fact in facts:
        for value in draw(_choices(fact, ill_typed, fact in always)):
            members[fact.name] = value
    return members


@cache
def _choices(fact: Fact, ill_typed: bool, always: bool) -> st.SearchStrategy[tuple[Json, ...]]:
    choices: list[tuple[Json, ...]] = [(value,) for value in good_of(fact)]
    if not always:
        choices += [(), (), (None,)]
    if ill_typed:
        choices += [(value,) for value in bad_of(fact)]
    return st.sampled_from(choices)


def payload(claims: dict[str, Json]) -> dict[str, Json]:
    """Put claims where `PATHS` says."""
    placed: dict[str, Json] = {}
    for name, value in claims.items():
        holder = placed
        *outer, last = PATHS.get(name, (name,))
        for step in outer:
            inner = holder.setdefault(step, {})
            assert isinstance(inner, dict)
            holder = inner
        holder[last] = value
    return placed


@st.composite
def questions(
    draw: st.DrawFn, api: Api, *, ill_typed: bool = True
) -> tuple[VerifiedToken, Request]:
    """Draw a token and a request. Ill-typed are claims often, attributes and context rarely."""
    demanded = frozenset(
        [claim.fact for claim in api.claims.values() if not claim.optional]
        + [claim.fact for claim in api.userinfo.values() if not claim.optional]
        + [each.fact for each in api.context if not each.optional]
        + [each.fact for each in api.resources["thing"].attributes if not each.optional]
    )
    careless = ill_typed and draw(_ONE_IN_TEN) == 0
    fields = frozenset() if careless else demanded
    claims = payload(draw(_members(_CLAIMED, ill_typed, demanded)))
    if ill_typed and draw(_ONE_IN_TEN) == 0:
        claims["outer"] = draw(_IN_THE_WAY)
    if draw(_ONE_IN_TEN) or not demanded.isdisjoint(TOLD_CLAIMS.values()):
        claims[TOLD] = payload(draw(_members(tuple(TOLD_CLAIMS.values()), ill_typed, demanded)))
    made = token(
        draw(_SCOPES),
        claims,
        kind=draw(_KINDS),
        permissions=draw(_SCOPES),
        subject=draw(_TEXTS),
        client=draw(_TEXTS),
        actor=draw(_TEXTS),
        issued_at=draw(_ISSUED),
        token_id=draw(_TEXTS),
    )
    request = Request(
        access_token="a.b.c",
        api="generated",
        action=draw(_ACTION),
        resource_type="thing",
        resource_id=draw(_IDS),
        attributes=payload(draw(_members(tuple(ATTRIBUTES.values()), careless, fields))),
        context=payload(draw(_members(tuple(ENTRIES.values()), careless, fields))),
    )
    return made, request


def world(token: VerifiedToken, request: Request) -> World:
    """Return the same question as the interpreter takes it."""
    return World(
        token=token,
        resource_id=request.resource_id,
        attributes=request.attributes,
        context=request.context,
        now=NOW_SECONDS,
        userinfo=told(token) or {},
    )


_CLAIMED = (
    *CLAIMS.values(),
    *(TOKEN_FACTS[name] for name in ("sub", "acr", "amr", "auth_time")),
)
_ONE_IN_TEN = st.integers(0, 9)
_OBSTACLES: list[Json] = [None, "text", [], {"inner": []}]
_IN_THE_WAY = st.sampled_from(_OBSTACLES)
_SCOPES = st.sampled_from([SCOPES[:size] for size in range(4)] + [SCOPES[1:], SCOPES[2:]])
_KINDS: st.SearchStrategy[SubjectKind | None] = st.sampled_from(["user", "application", None])
_TEXTS = st.sampled_from([None, "a", "b"])
_ISSUED = st.sampled_from([None, NOW_SECONDS - 90])
_ACTION = st.sampled_from(ACTIONS)
_IDS = st.sampled_from(["", "a", "b"])
