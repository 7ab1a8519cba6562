"""Records are joined from parts; together they are what one Struct would have been encoded to."""

from __future__ import annotations

import hmac
from collections.abc import Mapping
from datetime import UTC, datetime, timedelta
from hashlib import sha256

import msgspec
from hypothesis import given
from hypothesis import strategies as st

from policyd.audit import CallDetails, Entry, Mask, Recorder
from policyd.audit.schema import DecisionRecord, TokenFacts, read_line
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


KEY = b"0123456789abcdef0123456789abcdef"


def digest(value: Json) -> str:
    text = msgspec.json.encode(value, order="deterministic")
    return hmac.new(KEY, text, "sha256").hexdigest()


def record(entry: Entry, masks: frozenset[str], hashes: bool) -> DecisionRecord:
    """Write down, fact by fact, what should stand in the record of an entry; with `hashes`, each
    masked fact is hashed."""
    details, item, decision = entry.details, entry.item, entry.decision
    known = (decision.api, decision.revision) == ("health", "r1")
    masked: set[str] = set()
    hashed: dict[str, str] = {}

    def shown(holder: str, values: Mapping[str, Json], *names: str) -> dict[str, object]:
        found = {name: values[name] for name in names if known and name in values}
        masked.update(masks & {f"{holder}.{name}" for name in found})
        for name, value in found.items():
            if f"{holder}.{name}" in masks and value is not None:
                hashed[f"{holder}.{name}"] = digest(value)
        return {name: value for name, value in found.items() if f"{holder}.{name}" not in masks}

    of_patient = ("sealed", "ward") if item.resource_type == "patient" else ()
    if item.resource_id:
        masked |= masks & {"resource.id"}
        if "resource.id" in masks:
            hashed["resource.id"] = digest(item.resource_id)
    told = decision.userinfo if decision.userinfo.get("email") is not None else {}
    token, unreachable = None, False
    if decision.token is not None:
        token = facts(decision.token, masks, known=known)
        masked |= masks & {"token.subject", "token.jti"}
        masked |= {"token.sub"} if "token.subject" in masks else set()
        if "token.subject" in masks:
            hashed |= dict.fromkeys(("token.sub", "token.subject"), digest(decision.token.subject))
        if "token.jti" in masks:
            assert decision.token.token_id is not None
            hashed["token.jti"] = digest(sha256(decision.token.token_id.encode()).hexdigest())
        employment = decision.token.claims.get("employment")
        masked |= masks & {"token.office"} if known and employment is not None else set()
        if "token.office" in masked and isinstance(employment, dict):
            hashed["token.office"] = digest(employment["office"])
        unreachable = known and isinstance(employment, str) and "token.office" not in masks
    return DecisionRecord(
        schema=1,
        time=datetime(1970, 1, 1, tzinfo=UTC) + timedelta(microseconds=int(decision.time * 1e6)),
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
        resource_id="" if "resource.id" in masks else item.resource_id,
        attributes=shown("resource", item.attributes, *of_patient),
        duration_us=int(details.duration * 1e6),
        request_id=details.request_id,
        trace_id=TRACE if details.traceparent else "",
        context=shown("context", details.context, "ip", "reason"),
        token=token,
        userinfo=shown("userinfo", told, "email"),
        masked=tuple(sorted(masked)),
        ill_typed=("token.office",) if unreachable else (),
        hashed=dict(sorted(hashed.items())) if hashes else {},
    )


def facts(token: VerifiedToken, masks: frozenset[str], *, known: bool) -> TokenFacts:
    """Return what a record says of one of `TOKENS`."""
    assert token.token_id is not None
    office = token.claims.get("employment")
    claims: dict[str, object] = {}
    if known and isinstance(office, dict) and "token.office" not in masks:
        claims["office"] = office["office"]
    return TokenFacts(
        issuer=token.issuer,
        subject=None if "token.subject" in masks else token.subject,
        client=token.client,
        kind=token.kind,
        scopes=tuple(sorted(token.scopes)),
        permissions=(),
        audience=tuple(token.audience),
        issued_at=token.issued_at,
        expires_at=token.expires_at,
        jti_sha256=None if "token.jti" in masks else sha256(token.token_id.encode()).hexdigest(),
        key_id=token.key_id,
        algorithm=token.algorithm,
        claims=claims,
    )


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
    lambda subject, employment: msgspec.structs.replace(
        verified_token({} if employment is None else {"employment": employment}), subject=subject
    ),
    TEXT.filter(bool),
    st.none() | TEXT | st.fixed_dictionaries({"office": TEXT.filter(bool)}),
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
    time=st.integers(0, 10**15).map(lambda number: number / 2**18),
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


@given(chunks(), st.frozensets(st.sampled_from(FACTS)), st.booleans())
def test_records_are_encoded_as_if_each_were_by_itself(
    entries: list[Entry], masked: frozenset[str], hashes: bool
) -> None:
    policies = load([Source("health.policy", POLICY)]).policies
    assert policies is not None
    recorder = Recorder(Mask(masked, masked if hashes else frozenset(), KEY))
    recorder.use(msgspec.structs.replace(policies, revision="r1"))
    whole = msgspec.json.Encoder().encode_lines(
        [record(entry, masked, hashes) for entry in entries]
    )
    expected = visible_json(whole)
    for _ in range(2):  # written, and remembered
        assert recorder.lines(entries) == expected
    for entry, line in zip(entries, expected.splitlines(), strict=True):
        assert read_line(line) == record(entry, masked, hashes)
