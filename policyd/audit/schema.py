"""The lines of the decision log, for the writer and every reader.

A line is a `DecisionRecord`, a `PartialRecord`, a `ShadowRecord` or a `GapRecord`, distinguished by
`type`. Fields that do not apply are left out. `docs/decision-log.schema.json` says the same as JSON
Schema (draft 2020-12).

`SCHEMA` rises when a field changes its meaning or goes away. A new field does not raise it, so
readers ignore fields that they do not know.
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
    """The answer, and the values that led to it.

    `commit` is the full id of the policies' commit, if they came from a repository. `time` is the
    engine's clock when it decided, truncated to microseconds; rules compared with its whole second.
    `effect` and `reason` are what the caller got. `revision` is the policy set's. `unknown_facts`
    are the missing or ill-typed facts that made denies among `rules` apply. `masked` are facts with
    a masked value: to a reader, each is *not recorded*. (For a refused token, a masked issuer is
    always listed.) `hashed` has for some of them the HMAC-SHA-256 of the value as JSON, so that
    readers can tell which values are equal. `ill_typed` are declared claims that cannot be reached,
    because something other than an object is in the way. `sample_rate` is present if allows are
    sampled: the record counts for `1 / sample_rate` decisions. `unverified_iss` and
    `unverified_kid` are claims of a refused token, quoted.
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
    """The answer to a question with unknown facts, which is not a decision.

    `assumed_unknown` are the facts that were unknown, and `depends_on` those of them on which a
    `maybe` may depend. `search_stopped` says that policyd gave up the search.
    """

    assumed_unknown: tuple[Fact, ...] = ()
    depends_on: tuple[Fact, ...] = ()
    search_stopped: bool = False


class ShadowRecord(
    msgspec.Struct, frozen=True, omit_defaults=True, kw_only=True, tag_field="type", tag="shadow"
):
    """A decision that the shadow policies would have made differently. No caller got that answer.

    All fields up to `commit` are those of the decision's record, which has the same `decision_id`.
    `shadow_answers` are the answers of the shadow policies: one, or several if the answer depends
    on a fact that is not recorded; none of them is the actual decision. `mistake` means that they
    would have rejected the request as the caller's mistake, `refused` that they would have refused
    the token. `shadow_rules` are the rules that decide it. `sample_rate` is the share of decisions
    that the shadow decides too: the record counts for `1 / sample_rate` of them.
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
    """The place and number of missing records: they were dropped for lack of room, or lost by
    damage."""

    schema: int
    time: Moment
    dropped: Annotated[int, Meta(ge=1)]


Line = DecisionRecord | PartialRecord | ShadowRecord | GapRecord


def moment(time: float) -> datetime:
    """Truncate seconds since the epoch to microseconds. Rounding could yield the next second."""
    second = floor(time)
    return datetime.fromtimestamp(second, UTC).replace(microsecond=int((time - second) * 1_000_000))


def gap_line(time: float, dropped: int) -> bytes:
    """Return a line, without line feed, which says that `dropped` records are missing here."""
    return msgspec.json.encode(GapRecord(SCHEMA, moment(time), dropped))


#: Why a line is unusable: it is truncated, or not from policyd, or of another version of the
#: schema, or does not follow the schema, or is longer than any record, or cannot be decompressed.
Fault = Literal["torn", "foreign", "version", "malformed", "long", "damaged"]


class LineUnusable(PolicydError):
    """A line is not a record, or has a schema that this version does not know."""

    def __init__(self, fault: Fault, text: str) -> None:
        super().__init__(text)
        self.fault = fault


class _Versioned(msgspec.Struct, frozen=True):
    schema: int | None = None


_version = msgspec.json.Decoder(_Versioned)
_decoder: msgspec.json.Decoder[Line] = msgspec.json.Decoder(Line)
#: The exceptions of reading a line.
UNREADABLE: Final = (msgspec.MsgspecError, UnicodeDecodeError, RecursionError)


def read_line(line: bytes) -> Line:
    """Read one line of the log. Raises `LineUnusable`, with the reason."""
    check_version(line)
    try:
        return _decoder.decode(line)
    except UNREADABLE as problem:
        raise LineUnusable(
            "malformed", f"the line is no record of the decision log: {problem}"
        ) from None


def check_version(line: bytes) -> None:
    """Check that a line has this version of the schema. Raises `LineUnusable`."""
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
