"""A line of the decision log, to be decided again: `policyd eval --decision`.

A record holds what the rules of its API could read, and nothing else. So the same question can be
put to the policies of today, with the clock and the token of then. What a mask kept out of the
record is said, and counts as missing.
"""

from __future__ import annotations

from collections.abc import Mapping
from datetime import datetime
from typing import cast

import msgspec

from policyd.audit.projection import MASKED
from policyd.decision.model import Request
from policyd.errors import PolicydError
from policyd.json_types import Json, put
from policyd.language.policy import Api, PolicySet
from policyd.tokens.model import VerifiedToken, new_memo


class RecordUnusable(PolicydError):
    """The text is no record of a decision that can be made again."""


class _Token(msgspec.Struct, frozen=True):
    """The part of a record that is about the token; names are those of `audit.projection`."""

    issuer: str = ""
    subject: str | None = None
    sub: str | None = None
    client: str | None = None
    kind: str | None = None
    scopes: list[str] = []
    permissions: list[str] = []
    audience: list[str] = []
    actor: str | None = None
    issued_at: int | str | None = None
    expires_at: int | str | None = None
    auth_time: object = None
    acr: object = None
    amr: object = None
    key_id: str | None = None
    algorithm: str = ""
    claims: dict[str, object] = {}


class Record(msgspec.Struct, frozen=True):
    """A record, as far as it is read here."""

    type: str
    time: datetime
    decision_id: str
    effect: str
    reason: str
    revision: str
    api: str
    action: str
    resource_type: str
    resource_id: str = ""
    rules: list[str] = []
    message: str = ""
    detail: str = ""
    attributes: dict[str, object] = {}
    context: dict[str, object] = {}
    token: _Token | None = None
    userinfo: dict[str, object] = {}


class RecordedQuestion(msgspec.Struct, frozen=True):
    """What a record asked. `masked` are the facts that a mask kept out of it."""

    api: Api
    request: Request
    token: VerifiedToken
    userinfo: Mapping[str, Json]
    now: float
    masked: tuple[str, ...]


def read_record(data: bytes) -> Record:
    """Read one line of the log. Raises `RecordUnusable`."""
    lines = [line for line in data.splitlines() if line.strip()]
    if len(lines) != 1:
        raise RecordUnusable(
            f"one line of the decision log is wanted, and there are {len(lines)}: "
            "choose it by its decision_id, such as with grep"
        )
    try:
        record = msgspec.json.decode(lines[0], type=Record)
    except msgspec.MsgspecError as problem:
        raise RecordUnusable(f"the line is no record of a decision: {problem}") from None
    if record.type != "decision":
        raise RecordUnusable(f"the line is a `{record.type}`, no decision")
    return record


def question_of(record: Record, policies: PolicySet) -> RecordedQuestion:
    """Return what a record asked. Raises `RecordUnusable` where it cannot be asked again."""
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
    masked: list[str] = []
    now = record.time.timestamp()
    request = Request(
        access_token="",
        api=record.api,
        action=record.action,
        resource_type=record.resource_type,
        resource_id=_text(record.resource_id, "resource.id", masked) or "",
        attributes=_clear(record.attributes, "resource", masked),
        context=_clear(record.context, "context", masked),
    )
    token = _token(record.token, api, int(now), masked)
    userinfo: dict[str, Json] = {}
    for name, value in _clear(record.userinfo, "userinfo", masked).items():
        if name in api.userinfo:
            put(userinfo, api.userinfo[name].path, value)
    return RecordedQuestion(api, request, token, userinfo, now, tuple(masked))


def _token(stated: _Token, api: Api, now: int, masked: list[str]) -> VerifiedToken:
    subject = _text(stated.subject, "token.subject", masked)
    sub = _text(stated.sub, "token.sub", masked) or subject
    payload: dict[str, Json] = {} if sub is None else {"sub": sub}
    for name, value in (("auth_time", stated.auth_time), ("acr", stated.acr), ("amr", stated.amr)):
        if value == MASKED:
            masked.append(f"token.{name}")
        elif value is not None:
            payload[name] = cast(Json, value)  # decoded from JSON
    for name, value in _clear(stated.claims, "token", masked).items():
        if name in api.claims:
            put(payload, api.claims[name].path, value)
    kind = stated.kind
    return VerifiedToken(
        issuer=_text(stated.issuer, "token.iss", masked) or "",
        subject=subject,
        client=_text(stated.client, "token.client", masked),
        kind="user" if kind == "user" else "application" if kind == "application" else None,
        scopes=frozenset(stated.scopes),
        permissions=frozenset(stated.permissions),
        audience=frozenset(stated.audience),
        actor=_text(stated.actor, "token.actor", masked),
        issued_at=stated.issued_at if isinstance(stated.issued_at, int) else None,
        not_before=None,
        expires_at=stated.expires_at if isinstance(stated.expires_at, int) else now + 1,
        token_id=None,
        key_id=stated.key_id,
        algorithm=stated.algorithm,
        claims=payload,
        memo=new_memo(),
    )


def _clear(values: Mapping[str, object], root: str, masked: list[str]) -> dict[str, Json]:
    """Return the values that are not masked, at any depth; note the others."""
    clear: dict[str, Json] = {}
    for name, value in values.items():
        if value == MASKED:
            masked.append(f"{root}.{name}")
        elif isinstance(value, dict):
            clear[name] = _clear(value, f"{root}.{name}", masked)
        else:
            clear[name] = cast(Json, value)  # decoded from JSON
    return clear


def _text(value: str | None, path: str, masked: list[str]) -> str | None:
    if value != MASKED:
        return value
    masked.append(path)
    return None
