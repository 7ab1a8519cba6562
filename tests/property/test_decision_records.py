"""Records are joined from parts; together they are what one Struct would have been encoded to."""

from __future__ import annotations

from collections.abc import Mapping
from datetime import UTC, datetime
from hashlib import sha256

import msgspec
from hypothesis import given
from hypothesis import strategies as st

from policyd.audit import CallDetails, Entry, Mask, Recorder
from policyd.decision.model import BatchItem, Decision
from policyd.diagnostics import Source
from policyd.diagnostics.json_text import visible_json
from policyd.json_types import Json
from policyd.language import load
from policyd.reasons import Reason
from policyd.tokens.model import VerifiedToken
from tests.support.audit import verified_token

POLICY = """\
api health

audience "https://example.com/health-api"

scope read:patients "Read patient records"

claim office: string? from "/employment/office"

userinfo email: string?

context {
    ip:     ip?
    reason: string?
}

resource patient {
    sealed: bool
    ward:   string?
    actions read
}

allow reads: read on patient
    when scope read:patients
"""
FACTS = (
    *("resource.id", "resource.sealed", "resource.ward", "context.ip", "context.reason"),
    *("token.office", "token.subject", "token.jti", "userinfo.email"),
)
TRACE = "ab" * 16


class Record(msgspec.Struct, frozen=True, omit_defaults=True, tag="decision", tag_field="type"):
    """One line of the decision log, as a whole."""

    time: datetime
    decision_id: str
    effect: str
    reason: Reason
    revision: str
    api: str
    action: str
    resource_type: str
    rules: tuple[str, ...] = ()
    rules_truncated: bool = False
    missing_scopes: tuple[str, ...] = ()
    message: str = ""
    detail: str = ""
    unverified_iss: str | None = None
    unverified_kid: str | None = None
    resource_id: str = ""
    attributes: Mapping[str, Json] = {}
    duration_us: int | None = None
    request_id: str = ""
    trace_id: str = ""
    context: Mapping[str, Json] = {}
    token: Mapping[str, Json] | None = None
    userinfo: Mapping[str, Json] = {}


def record(entry: Entry, masked: frozenset[str]) -> Record:
    """Write down, fact by fact, what should stand in the record of an entry."""
    details, item, decision = entry.details, entry.item, entry.decision
    known = (decision.api, decision.revision) == ("health", "r1")

    def shown(holder: str, values: Mapping[str, Json], *names: str) -> dict[str, Json]:
        found = {name: values[name] for name in names if known and name in values}
        return {
            name: "(masked)" if f"{holder}.{name}" in masked else value
            for name, value in found.items()
        }

    of_patient = ("sealed", "ward") if item.resource_type == "patient" else ()
    hidden = item.resource_id and "resource.id" in masked
    told = decision.userinfo if decision.userinfo.get("email") is not None else {}
    return Record(
        time=datetime.fromtimestamp(details.time, UTC),
        decision_id=entry.decision_id,
        effect="allow" if decision.allowed else "deny",
        reason=decision.reason,
        revision=decision.revision,
        api=decision.api,
        action=item.action,
        resource_type=item.resource_type,
        rules=decision.rules,
        rules_truncated=decision.rules_truncated,
        missing_scopes=decision.missing_scopes,
        message=decision.message,
        detail=decision.detail,
        unverified_iss=decision.unverified_issuer,
        unverified_kid=decision.unverified_key_id,
        resource_id="(masked)" if hidden else item.resource_id,
        attributes=shown("resource", item.attributes, *of_patient),
        duration_us=int(details.duration * 1e6),
        request_id=details.request_id,
        trace_id=TRACE if details.traceparent else "",
        context=shown("context", details.context, "ip", "reason"),
        token=None if decision.token is None else facts(decision.token, masked, known=known),
        userinfo=shown("userinfo", told, "email"),
    )


def facts(token: VerifiedToken, masked: frozenset[str], *, known: bool) -> dict[str, Json]:
    """Return what a record says of one of `TOKENS`."""
    assert token.token_id is not None
    office = token.claims.get("employment")
    claims: dict[str, Json] = {}
    if known and isinstance(office, dict):
        claims["office"] = "(masked)" if "token.office" in masked else office["office"]
    return {
        "issuer": token.issuer,
        "subject": "(masked)" if "token.subject" in masked else token.subject,
        "client": token.client,
        "kind": token.kind,
        "scopes": [*sorted(token.scopes)],
        "permissions": [],
        "audience": [*token.audience],
        "issued_at": token.issued_at,
        "expires_at": token.expires_at,
        "jti_sha256": "(masked)"
        if "token.jti" in masked
        else sha256(token.token_id.encode()).hexdigest(),
        "key_id": token.key_id,
        "algorithm": token.algorithm,
        "claims": claims,
    }


TEXT = st.text(st.characters(exclude_categories=["Cs"]), max_size=20)
NAMES = st.lists(TEXT, max_size=3).map(tuple)
JSON: st.SearchStrategy[Json] = st.recursive(
    st.none() | st.booleans() | TEXT | st.floats(allow_nan=False, allow_infinity=False),
    lambda inner: st.lists(inner, max_size=3) | st.dictionaries(TEXT, inner, max_size=3),
    max_leaves=5,
)


def mappings(*names: str) -> st.SearchStrategy[Mapping[str, Json]]:
    return st.dictionaries(st.sampled_from(names), JSON)


TOKENS = st.builds(
    lambda subject, office: msgspec.structs.replace(
        verified_token({"employment": {"office": office}} if office else {}), subject=subject
    ),
    TEXT.filter(bool),
    TEXT,
)
ITEMS = st.builds(
    BatchItem,
    st.just("read") | TEXT,
    st.just("patient") | TEXT,
    TEXT,
    mappings("sealed", "ward", "undeclared"),
)
DECISIONS = st.builds(
    Decision,
    allowed=st.booleans(),
    reason=st.sampled_from(Reason),
    message=TEXT,
    api=st.just("health") | TEXT,
    revision=st.just("r1") | TEXT,
    rules=NAMES,
    rules_truncated=st.booleans(),
    missing_scopes=NAMES,
    token=st.none() | TOKENS,
    detail=TEXT,
    unverified_issuer=st.none() | TEXT,
    unverified_key_id=st.none() | TEXT,
    userinfo=mappings("email", "undeclared"),
)
ORIGINS = st.builds(
    CallDetails,
    time=st.floats(0, 4e9),
    duration=st.floats(0, 100),
    request_id=TEXT,
    context=mappings("ip", "reason", "undeclared"),
    traceparent=st.sampled_from(["", f"00-{TRACE}-{'cd' * 8}-01"]),
)


@st.composite
def chunks(draw: st.DrawFn) -> list[Entry]:
    """Return entries that have origins, decisions, items and their attributes in common."""
    origins, decisions, items = (
        draw(st.lists(each, min_size=1, max_size=3)) for each in (ORIGINS, DECISIONS, ITEMS)
    )
    item, decision = items[0], decisions[0]
    items.append(msgspec.structs.replace(item, resource_id=draw(TEXT), resource_type=draw(TEXT)))
    for name, others in (("token", TOKENS), ("api", TEXT), ("revision", TEXT), ("detail", TEXT)):
        decisions.append(msgspec.structs.replace(decision, **{name: draw(others)}))
    return draw(
        st.lists(
            st.builds(
                Entry,
                st.sampled_from(origins),
                TEXT,
                st.sampled_from(items),
                st.sampled_from(decisions),
            ),
            max_size=12,
        )
    )


@given(chunks(), st.frozensets(st.sampled_from(FACTS)))
def test_records_are_encoded_as_if_each_were_by_itself(
    entries: list[Entry], masked: frozenset[str]
) -> None:
    policies = load([Source("health.policy", POLICY)]).policies
    assert policies is not None
    recorder = Recorder(Mask(masked))
    recorder.use(msgspec.structs.replace(policies, revision="r1"))
    whole = msgspec.json.Encoder().encode_lines([record(entry, masked) for entry in entries])
    expected = visible_json(whole)
    for _ in range(2):  # written, and remembered
        assert recorder.lines(entries) == expected
