"""The lines of the decision log: what the writer writes, and what every reader reads.

A line is a `DecisionRecord`, a `PartialRecord`, a `ShadowRecord` or a `GapRecord`, told apart by
`type`. What does not apply is left out. `docs/decision-log.schema.json` says the same as JSON
Schema (draft 2020-12).

`SCHEMA` rises when a field changes its meaning or goes away. A new field does not raise it, so
readers ignore what they do not know.
"""

from __future__ import annotations

from datetime import UTC, datetime
from math import floor
from typing import Annotated, Final, Generic, Literal, TypeVar

import msgspec
from msgspec import Meta

from policyd.errors import PolicydError
from policyd.reasons import Reason

SCHEMA: Final = 1

#: A JSON value: msgspec builds no decoder from a recursive alias such as `Json`.
Value = object
Moment = Annotated[datetime, Meta(tz=True)]
Fact = Annotated[str, Meta(description="a fact, as policies spell it", examples=["token.email"])]


Digest = Annotated[str, Meta(pattern="^[0-9a-f]{64}$", description="an HMAC-SHA-256")]


class TokenFacts(msgspec.Struct, frozen=True, omit_defaults=True, kw_only=True):
    """The token, as far as rules could read it. Times are seconds since the epoch.

    `sub` is left out where it equals the subject. `auth_time`, `acr` and `amr` are as the issuer
    wrote them. `claims` are those that the policy declares, by their declared names. `jti_sha256`
    is the SHA-256 of the identifier, in hexadecimal.
    """

    issuer: str | None = None
    subject: str | None = None
    sub: Value = None
    client: str | None = None
    kind: Literal["user", "application"] | None = None
    scopes: tuple[str, ...] | None = None
    permissions: tuple[str, ...] | None = None
    audience: tuple[str, ...] | None = None
    actor: str | None = None
    issued_at: int | None = None
    expires_at: int | None = None
    auth_time: Value = None
    acr: Value = None
    amr: Value = None
    jti_sha256: str | None = None
    key_id: str | None = None
    binding: str | None = None
    algorithm: str
    claims: dict[str, Value]


EffectT = TypeVar("EffectT")


class _Record(msgspec.Struct, Generic[EffectT], frozen=True, omit_defaults=True, tag_field="type"):
    """What was answered, and what it was made from.

    `commit` is the one that the policies came from, in full, where they came from a repository.
    `time` is the engine's clock when it decided: its second is the one that rules compared with,
    and it is cut to microseconds. `effect` and `reason` are what the caller got. `revision` is the
    policy set's. `unknown_facts` are the facts for want of which denies among `rules` applied.
    `masked` are facts that have a value, which a mask kept out: to a reader each is *not recorded*.
    (A refused token's issuer is named there in any case.) `hashed` has for some of them the
    HMAC-SHA-256 of the value as JSON, so that equal values are seen to be equal.
    `ill_typed` are declared claims that cannot be reached, because something other than an object
    is in the way. `sample_rate` is there where not all allows are recorded: the record stands for
    one divided by that many. `unverified_iss` and `unverified_kid` are claims of a refused token,
    quoted.
    """

    schema: int
    time: Moment
    decision_id: str
    effect: EffectT
    reason: Reason
    revision: str
    api: str
    action: str
    resource_type: str
    rules: tuple[str, ...] = ()
    rules_truncated: bool = False
    missing_scopes: tuple[str, ...] = ()
    commit: str = ""
    message: str = ""
    detail: str = ""
    unverified_iss: str | None = None
    unverified_kid: str | None = None
    unknown_facts: tuple[Fact, ...] = ()
    sample_rate: Annotated[float, Meta(gt=0, lt=1)] | None = None
    resource_id: str = ""
    attributes: dict[str, Value] = {}
    masked: tuple[Fact, ...] = ()
    ill_typed: tuple[Fact, ...] = ()
    hashed: dict[Fact, Digest] = {}
    duration_us: Annotated[int, Meta(ge=0)] | None = None
    caller: str = ""
    request_id: str = ""
    trace_id: str = ""
    context: dict[str, Value] = {}
    token: TokenFacts | None = None
    userinfo: dict[str, Value] = {}


class DecisionRecord(
    _Record[Literal["allow", "deny"]], frozen=True, omit_defaults=True, tag="decision"
):
    """A decision. The fields are those of `_Record`."""


class PartialRecord(
    _Record[Literal["allow", "deny", "maybe"]], frozen=True, omit_defaults=True, tag="partial"
):
    """What was certain of a question with unknown facts, which is no decision.

    `assumed_unknown` are the facts that were unknown, and `depends_on` those of them on which a
    `maybe` may depend. `search_stopped` says that the question was given up before its end.
    """

    assumed_unknown: tuple[Fact, ...] = ()
    depends_on: tuple[Fact, ...] = ()
    search_stopped: bool = False


class ShadowRecord(
    msgspec.Struct, frozen=True, omit_defaults=True, kw_only=True, tag_field="type", tag="shadow"
):
    """A decision that the shadow policies would have made in another way. Nobody got that answer.

    All fields up to `commit` are those of the decision's record, which has the same `decision_id`.
    `shadow_answers` are what the shadow policies answer: one, or several of which none is what was
    decided, where a fact is not recorded on which it depends. `mistake` means that they would have
    refused the request as the caller's mistake, `refused` the token. `shadow_rules` are the rules
    that decide it. `sample_rate` is the share of decisions that are decided again: the record
    stands for one divided by that many.
    """

    schema: int
    time: Moment
    decision_id: str
    effect: Literal["allow", "deny"]
    reason: Reason
    revision: str
    api: str
    action: str
    resource_type: str
    rules: tuple[str, ...] = ()
    commit: str = ""
    shadow_answers: tuple[Literal["allow", "deny", "refused", "mistake"], ...]
    shadow_rules: tuple[str, ...] = ()
    shadow_revision: str
    shadow_commit: str = ""
    sample_rate: Annotated[float, Meta(gt=0, le=1)]


class GapRecord(msgspec.Struct, frozen=True, tag_field="type", tag="gap"):
    """Where records are missing, and how many: there was no more room for those that waited, or
    what held them was damaged."""

    schema: int
    time: Moment
    dropped: Annotated[int, Meta(ge=1)]


Line = DecisionRecord | PartialRecord | ShadowRecord | GapRecord


def moment(time: float) -> datetime:
    """Cut seconds since the epoch to microseconds: rounding could make them of the next second."""
    second = floor(time)
    return datetime.fromtimestamp(second, UTC).replace(microsecond=int((time - second) * 1_000_000))


def gap_line(time: float, dropped: int) -> bytes:
    """Return a line, without its line feed, which says that `dropped` records are missing here."""
    return msgspec.json.encode(GapRecord(SCHEMA, moment(time), dropped))


#: Why a line is of no use: it ends too early, or is none of policyd's, or of another version of the
#: schema, or is not what that says, or is longer than any record, or cannot be decompressed.
Fault = Literal["torn", "foreign", "version", "malformed", "long", "damaged"]


class LineUnusable(PolicydError):
    """A line is no record, or one of a schema that this version does not know."""

    def __init__(self, fault: Fault, text: str) -> None:
        super().__init__(text)
        self.fault = fault


class _Versioned(msgspec.Struct, frozen=True):
    schema: int | None = None


_version = msgspec.json.Decoder(_Versioned)
_decoder: msgspec.json.Decoder[Line] = msgspec.json.Decoder(Line)
#: What reading a line may raise.
UNREADABLE: Final = (msgspec.MsgspecError, UnicodeDecodeError, RecursionError)


def read_line(line: bytes) -> Line:
    """Read one line of the log. Raises `LineUnusable`, which says why."""
    check_version(line)
    try:
        return _decoder.decode(line)
    except UNREADABLE as problem:
        raise LineUnusable(
            "malformed", f"the line is no record of the decision log: {problem}"
        ) from None


def check_version(line: bytes) -> None:
    """Find out whether a line says that it has this schema. Raises `LineUnusable`."""
    try:
        schema = _version.decode(line).schema
    except UNREADABLE as problem:
        fault: Fault = "torn" if "truncated" in str(problem) else "foreign"
        said = "ends within a record" if fault == "torn" else "is no record of the decision log"
        raise LineUnusable(fault, f"the line {said}: {problem}") from None
    if schema is None:
        said = "the line names no `schema`, so it is no record of policyd's"
        raise LineUnusable("foreign", said)
    if schema != SCHEMA:
        said = f"the record has schema {schema}; this version reads {SCHEMA}"
        raise LineUnusable("version", said)


def _any(of: type) -> dict[str, object]:
    """Describe `Value`."""
    if of is not object:
        raise NotImplementedError(of)
    return {"description": "any JSON value"}


def json_schema() -> dict[str, object]:
    """Return the lines' description as JSON Schema (draft 2020-12)."""
    described = msgspec.json.schema(Line, schema_hook=_any)
    for definition in described["$defs"].values():
        if "description" in definition:
            definition["description"] = " ".join(definition["description"].split())
    return {
        "$schema": "https://json-schema.org/draft/2020-12/schema",
        "title": "A line of policyd's decision log",
        **described,
    }
