"""What stands in a decision record."""

from __future__ import annotations

import hashlib
import json

import msgspec
import pytest
from hypothesis import given
from hypothesis import strategies as st

from policyd.audit import Entry, Mask, Recorder
from policyd.diagnostics import Source
from policyd.language import load
from policyd.language.policy import PolicySet
from policyd.tokens.model import Json, VerifiedToken
from tests.support.audit import entry, verified_token

POLICY = """\
api health

audience "https://example.com/health-api"

scope read:patients "Read patient records"

claim roles:  set<string>? from "https://example.com/roles"
claim office: string? from "/employment/office"

userinfo town:  string? from "/address/locality"
userinfo email: string?

context {
    ip: ip?
}

resource patient {
    sealed: bool
    actions read
}

allow reads: read on patient
    when scope read:patients
"""


def policies(text: str = POLICY, revision: str = "r1") -> PolicySet:
    loaded = load([Source("health.policy", text)]).policies
    assert loaded is not None
    return msgspec.structs.replace(loaded, revision=revision)


def record(made: Entry, mask: Mask | None = None) -> dict[str, Json]:
    recorder = Recorder(mask or Mask())
    recorder.use(policies())
    (line,) = recorder.lines([made]).splitlines()
    decoded: dict[str, Json] = json.loads(line)
    return decoded


def facts(token: VerifiedToken, *masked: str) -> dict[str, Json]:
    found = record(entry(token=token), Mask(frozenset(masked)))["token"]
    assert isinstance(found, dict)
    return found


def test_holds_declared_attributes_only() -> None:
    assert record(entry(colour="red"))["attributes"] == {"sealed": False}


def test_holds_declared_claims_by_their_names() -> None:
    claims: dict[str, Json] = {
        "https://example.com/roles": ["a"],
        "employment": {"office": "Bern", "salary": 1},
        "email": "jane@example.com",
    }
    assert facts(verified_token(claims))["claims"] == {"roles": ["a"], "office": "Bern"}


def test_holds_what_rules_can_read_of_what_the_issuer_told() -> None:
    told: dict[str, Json] = {
        "address": {"locality": "Bern", "street": "Gasse 1"},
        "email": "jane@example.com",
        "phone": "1",
    }
    made = entry(token=verified_token())
    decision = msgspec.structs.replace(made.decision, userinfo=told)
    made = msgspec.structs.replace(made, decision=decision)
    mask = Mask(frozenset({"userinfo.email"}))
    assert record(made)["userinfo"] == {"town": "Bern", "email": "jane@example.com"}
    assert record(made, mask)["userinfo"] == {"town": "Bern", "email": "(masked)"}
    assert "userinfo" not in record(entry())


def test_a_path_that_leads_nowhere_is_no_claim() -> None:
    assert facts(verified_token({"employment": "Bern"}))["claims"] == {}


def test_the_identifier_of_a_token_is_hashed() -> None:
    found = facts(verified_token())
    assert found["jti_sha256"] == hashlib.sha256(b"jti-1").hexdigest()
    assert "jti-1" not in json.dumps(found)


def test_masks_what_it_is_told_to() -> None:
    masked = facts(
        verified_token({"https://example.com/roles": ["a"], "acr": "x"}),
        "token.roles",
        "token.subject",
        "token.scopes",
        "token.acr",
        "token.permissions",
    )
    assert masked["claims"] == {"roles": "(masked)"}
    assert masked["subject"] == masked["acr"] == "(masked)"
    assert masked["scopes"] == masked["permissions"] == "(masked)"


@pytest.mark.parametrize(
    ("traceparent", "trace_id"),
    [
        (f"00-{'ab' * 16}-{'cd' * 8}-01", "ab" * 16),
        (f"00-{'AB' * 16}-{'cd' * 8}-01", None),
        ("secret", None),
        ("", None),
    ],
)
def test_a_trace_is_named_by_its_identifier(traceparent: str, trace_id: str | None) -> None:
    made = entry()
    origin = msgspec.structs.replace(made.origin, traceparent=traceparent)
    made = msgspec.structs.replace(made, origin=origin)
    assert record(made).get("trace_id") == trace_id


def test_a_masked_identifier_stays_out() -> None:
    found = facts(verified_token(), "token.jti", "token.issued_at")
    assert found["jti_sha256"] == found["issued_at"] == "(masked)"


def test_a_subject_has_two_names_and_either_masks_it() -> None:
    claims: dict[str, Json] = {"sub": "another-name"}
    assert facts(verified_token(claims))["sub"] == "another-name"
    for name in ("token.sub", "token.subject"):
        found = facts(verified_token(claims), name)
        assert found["subject"] == found["sub"] == "(masked)"


def test_knows_which_masks_name_nothing() -> None:
    known = {"token.roles", "userinfo.email", "resource.id", "context.ip"}
    mask = Mask(frozenset({*known, "token.role", "token.email", "userinfo.roles", "now"}))
    assert mask.unknown(policies()) == ["now", "token.email", "token.role", "userinfo.roles"]


def test_an_unknown_revision_projects_nothing() -> None:
    (line,) = Recorder(Mask()).lines([entry(token=verified_token({"roles": 1}))]).splitlines()
    found = json.loads(line)
    assert "attributes" not in found
    assert found["token"]["claims"] == {}


def test_an_entry_is_read_by_the_declarations_that_decided_it() -> None:
    recorder = Recorder(Mask())
    recorder.use(policies())
    renamed = POLICY.replace("sealed: bool", "closed: bool")
    recorder.use(policies(renamed, "r2"))
    old = json.loads(recorder.lines([entry(closed=True)]))
    decision = msgspec.structs.replace(entry().decision, revision="r2")
    new = json.loads(
        recorder.lines([msgspec.structs.replace(entry(closed=True), decision=decision)])
    )
    assert (old["attributes"], new["attributes"]) == ({"sealed": False}, {"closed": True})


def test_forgets_old_revisions() -> None:
    recorder = Recorder(Mask())
    recorder.use(policies())
    for n in range(16):
        recorder.use(policies(revision=f"later-{n}"))
    assert "attributes" not in json.loads(recorder.lines([entry()]))


@given(st.text(), st.text(), st.recursive(st.none() | st.booleans() | st.text(), st.lists))
def test_whatever_a_caller_sends_is_one_line(
    resource_id: str, request_id: str, value: Json
) -> None:
    made = entry(sealed=value)
    item = msgspec.structs.replace(made.item, resource_id=resource_id)
    origin = msgspec.structs.replace(made.origin, request_id=request_id)
    made = msgspec.structs.replace(made, item=item, origin=origin)
    found = record(made)
    assert found.get("resource_id", "") == resource_id
    assert found["attributes"] == {"sealed": value}
