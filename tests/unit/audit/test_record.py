"""What stands in a decision record."""

from __future__ import annotations

import hashlib
import json

import msgspec
import pytest
from hypothesis import given
from hypothesis import strategies as st

from policyd.audit import Entry, Mask, Recorder
from policyd.audit.projection import Projection, Shown
from policyd.audit.schema import SCHEMA
from policyd.diagnostics import Source
from policyd.json_types import Json
from policyd.language import load
from policyd.language.policy import PolicySet
from policyd.language.types import TOKEN_FACTS
from policyd.reasons import Reason
from policyd.tokens.details import quote
from policyd.tokens.model import SenderProof, VerifiedToken
from policyd.tokens.refusals import ClaimInvalid, TokenRefused
from policyd.tokens.validator import Validator
from tests.support import proofs
from tests.support.asking import FakeAsk, active, asked_issuer, settle
from tests.support.audit import entry, verified_token
from tests.support.tokens import HEALTH, Clock, accepted_claims, refusal, token

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


def test_holds_what_applies_and_nothing_else() -> None:
    """Each key of an ordinary record; what has its default is left out."""
    assert record(entry(token=verified_token())).keys() == {
        *("type", "schema", "time", "decision_id", "effect", "reason", "revision", "api", "action"),
        *("resource_type", "rules", "resource_id", "attributes", "duration_us", "token"),
    }
    made = entry()
    nameless = msgspec.structs.replace(
        made, item=msgspec.structs.replace(made.item, resource_id="")
    )
    assert record(made).keys() - record(nameless).keys() == {"resource_id"}
    denied = msgspec.structs.replace(
        made,
        decision=msgspec.structs.replace(
            made.decision, allowed=False, reason=Reason.NO_RULE_ALLOWS
        ),
    )
    assert [record(one)["effect"] for one in (made, denied)] == ["allow", "deny"]
    assert "token" not in record(made)


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
    masked = record(made, mask)
    assert masked["userinfo"] == {"town": "Bern"}
    assert masked["masked"] == ["userinfo.email"]
    assert "userinfo" not in record(entry())


def test_a_path_that_leads_nowhere_is_no_claim() -> None:
    assert facts(verified_token({"employment": {}}))["claims"] == {}
    assert "ill_typed" not in record(entry(token=verified_token({"employment": {}})))


def test_a_claim_that_cannot_be_reached_is_named() -> None:
    """Rules do not take it for missing, so a reader must not either."""
    made = entry(token=verified_token({"employment": "Bern"}))
    decision = msgspec.structs.replace(made.decision, userinfo={"address": ["Bern"]})
    found = record(msgspec.structs.replace(made, decision=decision))
    assert found["ill_typed"] == ["token.office", "userinfo.town"]
    assert isinstance(found["token"], dict)
    assert found["token"]["claims"] == {}
    masked = record(made, Mask(frozenset({"token.office"})))
    assert masked["masked"] == ["token.office"]
    assert "ill_typed" not in masked


def test_the_identifier_of_a_token_is_hashed() -> None:
    found = facts(verified_token())
    assert found["jti_sha256"] == hashlib.sha256(b"jti-1").hexdigest()
    assert "jti-1" not in json.dumps(found)


def test_masks_what_it_is_told_to() -> None:
    mask = ("token.acr", "token.permissions", "token.roles", "token.scopes", "token.subject")
    made = entry(token=verified_token({"https://example.com/roles": ["a"], "acr": "x"}))
    found = record(made, Mask(frozenset({*mask, "resource.sealed", "token.office"})))
    assert "attributes" not in found
    assert isinstance(found["token"], dict)
    assert found["token"]["claims"] == {}
    assert not found["token"].keys() & {"acr", "permissions", "scopes", "sub", "subject"}
    # The office is masked too, and there is none.
    assert found["masked"] == sorted(["resource.sealed", "token.sub", *mask])


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
    details = msgspec.structs.replace(made.details, traceparent=traceparent)
    made = msgspec.structs.replace(made, details=details)
    assert record(made).get("trace_id") == trace_id


def test_a_masked_identifier_stays_out() -> None:
    found = facts(verified_token(), "token.jti", "token.issued_at")
    assert not found.keys() & {"jti_sha256", "issued_at"}


def test_a_subject_has_two_names_and_either_masks_it() -> None:
    claims: dict[str, Json] = {"sub": "another-name"}
    assert facts(verified_token(claims))["sub"] == "another-name"
    for name in ("token.sub", "token.subject"):
        found = record(entry(token=verified_token(claims)), Mask(frozenset({name})))
        assert isinstance(found["token"], dict)
        assert not found["token"].keys() & {"subject", "sub"}
        assert found["masked"] == ["token.sub", "token.subject"]


def test_knows_which_masks_name_nothing() -> None:
    known = {"token.roles", "userinfo.email", "resource.id", "resource.sealed", "context.ip"}
    wrong = {"token.role": "token.roles", "email": "userinfo.email", "now": None, "x.y.z": None}
    wrong |= {"office": "resource.office"}  # the first of two
    found = Mask(frozenset({*known, *wrong})).unknown(
        policies(POLICY.replace("sealed: bool", "sealed: bool\n    office: string?"))
    )
    assert [one.path for one in found] == ["email", "now", "office", "token.role", "x.y.z"]
    assert {one.path: one.meant for one in found} == wrong


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
    for n in range(15):
        recorder.use(policies(revision=f"later-{n}"))
    assert "attributes" in json.loads(recorder.lines([entry()]))
    recorder.use(policies())  # back in service, so it is the latest
    for n in range(15, 30):
        recorder.use(policies(revision=f"later-{n}"))
    assert "attributes" in json.loads(recorder.lines([entry()]))
    recorder.use(policies(revision="the last"))
    assert "attributes" not in json.loads(recorder.lines([entry()]))


def test_a_gap_is_a_line() -> None:
    line = Recorder(Mask()).gap(1_800_000_000.5, 7)
    assert line.endswith(b"}\n")
    assert json.loads(line) == {
        "type": "gap",
        "schema": SCHEMA,
        "time": "2027-01-15T08:00:00.500000Z",
        "dropped": 7,
    }


@given(st.text(), st.text(), st.recursive(st.none() | st.booleans() | st.text(), st.lists))
def test_whatever_a_caller_sends_is_one_line(
    resource_id: str, request_id: str, value: Json
) -> None:
    made = entry(sealed=value)
    item = msgspec.structs.replace(made.item, resource_id=resource_id)
    details = msgspec.structs.replace(made.details, request_id=request_id)
    made = msgspec.structs.replace(made, item=item, details=details)
    found = record(made)
    assert found.get("resource_id", "") == resource_id
    assert found["attributes"] == {"sealed": value}


def lightened(*entries: Entry) -> list[Entry]:
    recorder = Recorder(Mask())
    recorder.use(policies())
    return recorder.lightened(entries)


def test_what_no_rule_can_read_is_let_go() -> None:
    made = entry(token=verified_token({"email": "jane@example.com"}), note="x" * 10_000)
    details = msgspec.structs.replace(
        made.details, context={"ip": "192.0.2.1", "note": "y" * 10_000}
    )
    made = msgspec.structs.replace(made, details=details)
    (light,) = lightened(made)
    assert light.item.attributes == {"sealed": False}
    assert light.details.context == {"ip": "192.0.2.1"}
    assert record(light) == record(made)
    assert 0 < light.details.weight < 1000


def test_what_stays_is_weighed() -> None:
    one = entry(sealed=True)
    before = lightened(one)[0].details.weight
    details = msgspec.structs.replace(one.details, request_id="r" * 1000)
    item = msgspec.structs.replace(one.item, resource_id="p" * 1002)
    context = msgspec.structs.replace(one.details, context={"ip": "c" * 1000})
    for heavy in (
        msgspec.structs.replace(one, details=context),
        msgspec.structs.replace(one, details=details),
        msgspec.structs.replace(one, item=item),
        entry(sealed="s" * 1000),
    ):
        assert 8 * 990 <= lightened(heavy)[0].details.weight - before <= 8 * 1010
    (with_token,) = lightened(entry(token=verified_token({"email": "e" * 1000}), sealed=True))
    assert 1000 <= with_token.details.weight - before <= 1020


def test_the_weight_of_a_call_is_shared_by_its_entries() -> None:
    one = entry()
    item = msgspec.structs.replace(one.item, resource_id="p" * 1000)
    heavy = msgspec.structs.replace(one, item=item)
    light, other = lightened(heavy, one)
    assert light.details is other.details
    assert 8 * 500 < light.details.weight < 8 * 600


def test_lines_come_in_portions_that_memory_holds() -> None:
    recorder = Recorder(Mask())
    recorder.use(policies())
    entries = [entry(f"d-{n}", sealed="s" * 300_000) for n in range(10)]
    portions = list(recorder.portions(entries))
    assert [number for _, number in portions] == [4, 4, 2]
    assert b"".join(lines for lines, _ in portions) == recorder.lines(entries)
    assert all(lines.count(b"\n") == number for lines, number in portions)


def test_the_context_that_each_record_repeats_counts_for_its_portion() -> None:
    recorder = Recorder(Mask())
    recorder.use(policies())
    made = entry()
    details = msgspec.structs.replace(made.details, context={"ip": "c" * 300_000})
    entries = [msgspec.structs.replace(made, details=details)] * 9
    assert [number for _, number in recorder.portions(entries)] == [4, 4, 1]


def test_a_token_is_encoded_once(monkeypatch: pytest.MonkeyPatch) -> None:
    recorder = Recorder(Mask())
    recorder.use(policies())
    encoded: list[VerifiedToken] = []
    original = Projection.token

    def noting(projection: Projection, one: VerifiedToken) -> Shown:
        encoded.append(one)
        return original(projection, one)

    monkeypatch.setattr(Projection, "token", noting)
    made = entry(token=verified_token())
    assert recorder.lines([made]) == recorder.lines([made])
    assert len(encoded) == 1


# -- the memory of tokens --------------------------------------------------------------------------


def test_a_token_that_takes_anothers_place_in_memory_is_another() -> None:
    recorder = Recorder(Mask())
    recorder.use(policies())
    for n in range(50):  # each token is gone, its identity free, when the next one is made
        made = entry(token=msgspec.structs.replace(verified_token(), subject=f"user-{n}"))
        assert json.loads(recorder.lines([made]))["token"]["subject"] == f"user-{n}"


def test_one_token_is_read_by_the_declarations_of_each_revision() -> None:
    recorder = Recorder(Mask())
    recorder.use(policies())
    recorder.use(policies(POLICY.replace("claim office", "claim desk"), "r2"))
    old = entry(token=verified_token({"employment": {"office": "Bern"}}))
    decision = msgspec.structs.replace(old.decision, revision="r2")
    new = msgspec.structs.replace(old, decision=decision)
    claims = [json.loads(recorder.lines([one]))["token"]["claims"] for one in (old, new, old)]
    assert claims == [{"office": "Bern"}, {"desk": "Bern"}, {"office": "Bern"}]


def test_records_of_one_call_may_be_of_two_revisions() -> None:
    recorder = Recorder(Mask())
    recorder.use(policies())
    recorder.use(policies(POLICY.replace("claim office", "claim desk"), "r2"))
    old = entry(token=verified_token({"employment": {"office": "Bern"}}))
    decision = msgspec.structs.replace(old.decision, revision="r2")
    new = msgspec.structs.replace(old, decision=decision)
    lines = [json.loads(line) for line in recorder.lines([old, new]).splitlines()]
    assert [list(line["token"]["claims"]) for line in lines] == [["office"], ["desk"]]


def test_one_decision_may_be_about_several_resources() -> None:
    recorder = Recorder(Mask())
    text = POLICY.replace(
        "    sealed: bool\n", "    sealed: bool\n    colour: string? (for paint)\n"
    )
    recorder.use(policies(text.replace("actions read", "actions read, paint")))
    one = entry(colour="red")

    def about(**changes: object) -> Entry:
        item = msgspec.structs.replace(one.item, **changes)
        return msgspec.structs.replace(one, item=item)

    entries = [one, about(action="paint"), about(resource_type="page"), one, about(resource_id="")]
    assert len({entry.decision is one.decision for entry in entries}) == 1
    alone = [recorder.lines([entry]) for entry in entries]
    assert recorder.lines(entries) == b"".join(alone)
    assert [b"red" in line for line in alone] == [False, True, False, False, False]


def test_records_of_one_call_may_differ_in_their_ends() -> None:
    """Token, userinfo and API are those of each item; context and time those of each call."""
    recorder = Recorder(Mask())
    health, shop = (
        policies(),
        policies(POLICY.replace("api health", "api shop").replace("ip:", "x:")),
    )
    recorder.use(msgspec.structs.replace(health, apis=health.apis | shop.apis))
    first = entry(token=verified_token())
    details = msgspec.structs.replace(first.details, context={"ip": "192.0.2.1"}, request_id="one")
    first = msgspec.structs.replace(first, details=details)

    def changed(**changes: object) -> Entry:
        decision = msgspec.structs.replace(first.decision, **changes)
        return msgspec.structs.replace(first, decision=decision)

    other_call = msgspec.structs.replace(
        first, details=msgspec.structs.replace(details, request_id="two")
    )
    different = [
        changed(token=msgspec.structs.replace(verified_token(), subject="user-2")),
        changed(userinfo={"email": "jane@example.com"}),
        changed(api="shop"),
        changed(time=1_800_000_001.0),
        other_call,
    ]
    for one in different:
        alone = [recorder.lines([each]) for each in (first, one, first)]
        assert recorder.lines([first, one, first]) == b"".join(alone)
        assert len(set(alone)) == 2


# -- masks -----------------------------------------------------------------------------------------

FACTS = {
    "token.iss": {"issuer"},
    "token.subject": {"subject", "sub"},
    "token.sub": {"subject", "sub"},
    "token.client": {"client"},
    "token.scopes": {"scopes"},
    "token.permissions": {"permissions"},
    "token.audience": {"audience"},
    "token.actor": {"actor"},
    "token.issued_at": {"issued_at"},
    "token.expires_at": {"expires_at"},
    "token.auth_time": {"auth_time"},
    "token.acr": {"acr"},
    "token.amr": {"amr"},
    "token.jti": {"jti_sha256"},
}


@pytest.mark.parametrize("path", FACTS)
def test_each_fact_of_a_token_is_masked_by_its_name_and_no_other_is(path: str) -> None:
    claims: dict[str, Json] = {"sub": "other", "acr": "a", "amr": ["b"], "auth_time": 7}
    token = msgspec.structs.replace(verified_token(claims), actor="actor-1")
    plain, masked = facts(token), facts(token, path)
    assert masked["kind"] == "user"
    assert plain.keys() - masked.keys() == FACTS[path]
    assert plain.items() >= masked.items()


def test_what_a_token_does_not_have_is_left_out() -> None:
    nameless = msgspec.structs.replace(verified_token(), token_id=None)
    assert facts(verified_token()).keys() - facts(nameless).keys() == {"jti_sha256"}
    assert facts(verified_token({"sub": "user-1"})).keys() == {
        *("issuer", "subject", "client", "kind", "scopes", "permissions", "audience", "issued_at"),
        *("expires_at", "jti_sha256", "key_id", "algorithm", "claims"),
    }


def test_every_fact_of_a_token_has_a_mask() -> None:
    assert FACTS.keys() == {fact.path for fact in TOKEN_FACTS.values()}


def test_nothing_that_a_caller_sends_hides_in_a_line() -> None:
    hidden = "\x7f\x9b\u2028\u202e\u200b\U000e0041"
    made = entry(token=verified_token({"https://example.com/roles": [hidden]}), sealed=hidden)
    recorder = Recorder(Mask())
    recorder.use(policies())
    data = recorder.lines([made])
    assert data.isascii()
    assert b"\x7f" not in data
    assert json.loads(data)["token"]["claims"]["roles"] == [hidden]


# -- masks of what a refusal cites -----------------------------------------------------------------


def refused(refusal: TokenRefused, *masks: str, api: str = "health") -> dict[str, Json]:
    made = entry()
    decision = msgspec.structs.replace(
        made.decision,
        allowed=False,
        api=api,
        reason=Reason(refusal.reason),
        detail=str(refusal),
        marked_detail=refusal.marked_detail,
        unverified_issuer="'https://issuer.example/'",
    )
    return record(msgspec.structs.replace(made, decision=decision), Mask(frozenset(masks)))


ROLES = "https://example.com/roles"


@pytest.mark.parametrize(
    ("cites", "mask", "hides"),
    [
        (("aud",), "token.audience", True),
        (("aud",), "token.subject", False),
        (("sub", "token.subject"), "token.sub", True),
        (("oid", "token.subject"), "token.subject", True),
        (("scp", "token.scopes"), "token.scopes", True),
        ((ROLES,), "token.roles", True),
        (("employment",), "token.office", True),
        (("employment",), "token.roles", False),
        ((), "token.roles", True),
        ((), "resource.sealed", True),
        (("aud",), "context.ip", False),
    ],
)
def test_a_mask_covers_what_a_refusal_cites(cites: tuple[str, ...], mask: str, hides: bool) -> None:
    refusal = ClaimInvalid(f"it must be another, found {quote('secret', *cites)}; mend it")
    assert str(refusal) == "it must be another, found 'secret'; mend it"
    expected = "it must be another, found (masked); mend it" if hides else str(refusal)
    assert refused(refusal, mask)["detail"] == expected


def test_without_declarations_any_claim_may_be_masked() -> None:
    refusal = ClaimInvalid(f"found {quote('secret', 'employment')}")
    assert refused(refusal, "token.office", api="other")["detail"] == "found (masked)"
    assert refused(refusal, "token.subject", api="other")["detail"] == "found 'secret'"


def test_a_value_cannot_end_its_mark() -> None:
    refusal = ClaimInvalid(f"found {quote(chr(3) + 'a' + chr(2), 'aud')}")
    assert refused(refusal, "token.audience")["detail"] == "found (masked)"


def test_what_a_refused_token_says_of_its_issuer_is_masked_too() -> None:
    refusal = ClaimInvalid("it is wrong")
    assert refused(refusal)["unverified_iss"] == "'https://issuer.example/'"
    assert "unverified_iss" not in refused(refusal, "token.iss")
    assert refused(refusal, "token.iss")["masked"] == ["token.iss"]
    assert refused(refusal, "token.iss")["detail"] == "it is wrong"


WRONG: dict[str, Json] = {
    "sub": 7_654_321,
    "aud": [7_654_321],
    "scope": 7_654_321,
    "exp": "7654321",
    "iat": "7654321",
    "act": "7654321",
    "iss": "https://7654321.example/",
    "jti": 7_654_321,
}
MASKS = {
    "sub": "token.subject",
    "aud": "token.audience",
    "scope": "token.scopes",
    "exp": "token.expires_at",
    "iat": "token.issued_at",
    "act": "token.actor",
    "iss": "token.iss",
    "jti": "token.jti",
}


@pytest.mark.parametrize("claim", WRONG)
def test_no_masked_claim_is_in_the_detail_of_its_refusal(claim: str) -> None:
    found = refusal(token(accepted_claims(**{claim: WRONG[claim]})))
    masked = str(refused(found, MASKS[claim])["detail"])
    assert "7654321" in str(found)
    assert "7654321" not in masked
    assert "(masked)" in masked


PROOFS: list[SenderProof] = [
    proofs.sent(proofs.proof(htu="https://api.example/patients/7654321")),
    proofs.sent(proofs.proof(), http_uri="https://api.example/patients/7654321"),
    proofs.sent(proofs.proof(), http_uri="/patients/7654321"),
    proofs.sent(proofs.proof(htm="7654321")),
    proofs.sent(proofs.proof(jti={"7654321": 1})),
    proofs.sent(proofs.proof(iat="7654321")),
    proofs.sent(proofs.proof(iat=-7654321)),
    proofs.sent(proofs.proof(ath="7654321")),
    proofs.sent(proofs.proof(header={"typ": "7654321"})),
    proofs.sent(proofs.proof(header={"alg": "7654321"})),
]


@pytest.mark.parametrize("mask", ["resource.id", "token.subject"])
@pytest.mark.parametrize("came", PROOFS)
def test_any_mask_covers_what_a_proof_says(came: SenderProof, mask: str) -> None:
    found = proofs.refuse(proofs.bound_token(), came)
    assert "7654321" in str(found)
    assert "7654321" not in str(refused(found, mask)["detail"])


@pytest.mark.parametrize("answer", [{"iss": "7654321"}, {"active": "7654321"}])
def test_a_mask_covers_what_an_issuer_answered(
    answer: dict[str, Json], monkeypatch: pytest.MonkeyPatch, caplog: pytest.LogCaptureFixture
) -> None:
    monkeypatch.setenv("POLICYD_TEST_SECRET", "secret")
    clock = Clock()
    asked = Validator([asked_issuer(FakeAsk(active(**answer)), clock)])
    settle(asked, "opaque", clock)
    with pytest.raises(TokenRefused) as caught:
        asked.verify("opaque", HEALTH, clock())
    assert "7654321" in str(caught.value)
    assert "7654321" not in str(refused(caught.value, "token.iss", "resource.id")["detail"])
    # The daemon's own log knows no masks.
    (told,) = caplog.records
    assert "(not shown here)" in str(vars(told)["problem"])
