"""Turns a line of the decision log into a question: `policyd eval --decision`.

A record holds only what the rules of its API could read. So the same question can be put to other
policies, with the recorded clock and token. Masked facts are reported, and count as missing. A
token's identifier is recorded only as its SHA-256, which is used instead.
"""

from __future__ import annotations

from collections.abc import Iterable, Mapping, Sequence
from math import floor
from typing import cast

import msgspec

from policyd.audit.schema import (
    DecisionRecord,
    LineUnusable,
    PartialRecord,
    ShadowRecord,
    TokenFacts,
    read_line,
)
from policyd.decision.model import Request
from policyd.errors import PolicydError
from policyd.json_types import Json, put
from policyd.language.policy import Api, Attribute, ClaimDeclaration, PolicySet
from policyd.tokens.model import VerifiedToken, new_memo


class RecordUnusable(PolicydError):
    """The text is not a record of a decision that can be repeated."""


class RecordedQuestion(msgspec.Struct, frozen=True):
    """The question of a record. `masked` are its masked facts."""

    api: Api
    request: Request
    token: VerifiedToken
    userinfo: Mapping[str, Json]
    now: float
    masked: tuple[str, ...]


def read_record(data: bytes) -> DecisionRecord:
    """Read one line of the log. Raises `RecordUnusable`."""
    lines = [line for line in data.splitlines() if line.strip()]
    if len(lines) != 1:
        raise RecordUnusable(
            f"one line of the decision log is wanted, and there are {len(lines)}: "
            "choose it by its decision_id, such as with grep"
        )
    try:
        record = read_line(lines[0])
    except LineUnusable as problem:
        raise RecordUnusable(str(problem)) from None
    if isinstance(record, PartialRecord):
        raise RecordUnusable("the line answers a question with unknown facts; it is no decision")
    if isinstance(record, ShadowRecord):
        raise RecordUnusable(
            "the line says what the shadow policies would have decided; the decision's own line "
            f"has the same decision_id, {record.decision_id}"
        )
    if not isinstance(record, DecisionRecord):
        raise RecordUnusable("the line says that records are missing here; it is no decision")
    return record


def question_of(record: DecisionRecord, policies: PolicySet) -> RecordedQuestion:
    """Return the question of a record. Raises `RecordUnusable` if it cannot be asked again."""
    api = policies.apis.get(record.api)
    if api is None:
        known = ", ".join(policies.apis)
        raise RecordUnusable(f"the record is about the API {record.api}; there are {known}")
    if record.token is None:
        detail = f": {record.detail}" if record.detail else ""
        raise RecordUnusable(
            f"the token was refused as {record.reason}{detail}; no rule was asked, and the record "
            "does not hold the token"
        )
    now = record.time.timestamp()
    resource = api.resources.get(record.resource_type)
    declared = () if resource is None else resource.attributes
    request = Request(
        access_token="",
        api=record.api,
        action=record.action,
        resource_type=record.resource_type,
        resource_id=record.resource_id,
        attributes=at_their_paths(record.attributes, declared, ()),
        context=at_their_paths(record.context, api.context, ()),
    )
    claims = at_their_paths(record.token.claims, api.claims.values(), record.ill_typed)
    userinfo = at_their_paths(record.userinfo, api.userinfo.values(), record.ill_typed)
    token = verified(record.token, claims, floor(now))
    return RecordedQuestion(api, request, token, userinfo, now, record.masked)


def verified(stated: TokenFacts, claims: dict[str, Json], now: int) -> VerifiedToken:
    """Return the recorded token at a time in seconds; `claims` are at their paths."""
    sub = stated.subject if stated.sub is None else stated.sub
    own = {"sub": sub, "auth_time": stated.auth_time, "acr": stated.acr, "amr": stated.amr}
    known = {name: _json(value) for name, value in own.items() if value is not None}
    return VerifiedToken(
        issuer=stated.issuer or "",
        subject=stated.subject,
        client=stated.client,
        kind=stated.kind,
        scopes=frozenset(stated.scopes or ()),
        permissions=frozenset(stated.permissions or ()),
        audience=frozenset(stated.audience or ()),
        actor=stated.actor,
        issued_at=stated.issued_at,
        not_before=None,
        expires_at=now + 1 if stated.expires_at is None else stated.expires_at,
        token_id=stated.jti_sha256,
        key_id=stated.key_id,
        algorithm=stated.algorithm,
        claims={**claims, **known},
        memo=new_memo(),
    )


def at_their_paths(
    values: Mapping[str, object],
    declared: Iterable[ClaimDeclaration | Attribute],
    ill_typed: Sequence[str],
) -> dict[str, Json]:
    """Put values at the paths where they were read; for unknown ones, put an object, which no claim
    may be."""
    payload: dict[str, Json] = {}
    for one in declared:
        if one.fact.path in ill_typed:
            put(payload, one.path, {})
        elif one.fact.name in values:
            put(payload, one.path, _json(values[one.fact.name]))
    return payload


def _json(value: object) -> Json:
    return cast(Json, value)  # decoded from JSON
