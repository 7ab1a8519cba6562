"""What each dialect makes of the tokens that its issuer writes, and of one thing changed there."""

from __future__ import annotations

import json
from pathlib import Path

import msgspec
import pytest

from policyd.json_types import Json
from policyd.tokens.claims import facts
from policyd.tokens.model import VerifiedToken
from policyd.tokens.refusals import TokenRefused
from policyd.tokens.settings.dialect import Dialect, read_conditions
from tests.support.issuer_tokens import FOLDER, IssuerToken, fixture, fixtures, judge

TENANT = "aaaabbbb-0000-cccc-1111-dddd2222eeee"
GENUINE = fixtures("user", "machine")


def changed(dialect: str, name: str, *removed: str, **changes: Json) -> IssuerToken:
    one = fixture(dialect, name)
    kept = {claim: value for claim, value in one.claims.items() if claim not in removed}
    return msgspec.structs.replace(one, claims={**kept, **changes})


def read(dialect: str, name: str, *removed: str, **changes: Json) -> VerifiedToken:
    return judge(changed(dialect, name, *removed, **changes))


def reason(one: IssuerToken) -> str:
    with pytest.raises(TokenRefused) as caught:
        judge(one)
    return caught.value.reason


@pytest.mark.parametrize("one", GENUINE, ids=lambda one: f"{one.dialect}/{one.name}")
def test_is_accepted_and_tells_whose_it_is(one: IssuerToken) -> None:
    facts = judge(one)

    assert facts.client == (one.client or None)
    assert facts.kind == one.kind


@pytest.mark.parametrize("file", sorted(FOLDER.glob("*/*.json")), ids=lambda file: file.stem)
def test_says_where_its_shape_is_from(file: Path) -> None:
    source = json.loads(file.read_text(encoding="utf-8"))["source"]

    assert source["url"].startswith("https://")
    assert source["title"]
    assert source["as_of"][:2] == "20"


@pytest.mark.parametrize(
    ("dialect", "name", "subject", "token_id", "scopes", "permissions"),
    [
        ("auth0", "user", "auth0|6553da60a54af58e29493993", None, "read:patients", "read:patients"),
        (
            "auth0-rfc9068",
            "machine",
            "awZfdIir8YFdGZWkvCejDoUb7SjTDicx@clients",
            "t3nXHQsWmA9aKkJmCqB5Ws",
            "read:patients",
            None,
        ),
        (
            "okta",
            "user",
            "00uid4BxXw6I6TV4m0g3",
            "AT.MNAoEQ_jbKqoinrQo1D0XKjMX28U5d7ZszBceot7",
            "read:patients",
            None,
        ),
        (
            "okta",
            "machine",
            "0oabv6kx4qq6h1U5l0h7",
            "AT.nRkz-pD1BhYc6kLVZJvSKTYMqNQvA1BlVfR2cGxvH0E",
            "read:patients",
            None,
        ),
        (
            "entra",
            "user",
            f"{TENANT}/aaaaaaaa-0000-1111-2222-bbbbbbbbbbbb",
            "fqiBqXLPj0eQa82S-IYFAA",
            "patients.read",
            None,
        ),
        (
            "entra",
            "user_v1",
            f"{TENANT}/aaaaaaaa-0000-1111-2222-bbbbbbbbbbbb",
            "FVsGxYXI30-TuikuuUoFAA",
            "patients.read",
            None,
        ),
        (
            "entra",
            "machine",
            f"{TENANT}/cccccccc-3333-4444-5555-dddddddddddd",
            "GcnVH7-9bUmVb1m2jOAkAA",
            None,
            None,
        ),
        (
            "keycloak",
            "user",
            "7ddaf89f-69eb-4eca-a9ca-acba11211986",
            "onrtac:9f2dbd6f-6a2b-4f6a-9ea5-6d0d8a5e1f0b",
            "read:patients",
            None,
        ),
        (
            "cognito",
            "user",
            "aaaaaaaa-bbbb-cccc-dddd-eeeeeeeeeeee",
            "aaaaaaaa-bbbb-cccc-dddd-eeeeeeeeeeee",
            "https://example.com/health-api/patients.read",
            None,
        ),
    ],
)
def test_facts(
    dialect: str,
    name: str,
    subject: str,
    token_id: str | None,
    scopes: str | None,
    permissions: str | None,
) -> None:
    token = read(dialect, name)

    assert token.subject == subject
    assert token.token_id == token_id
    assert (scopes in token.scopes) if scopes else token.scopes == frozenset()
    assert token.permissions == (frozenset() if permissions is None else {permissions})


# --- the marks ----------------------------------------------------------------------------------


@pytest.mark.parametrize(
    ("dialect", "name", "mark"),
    [
        ("okta", "user", "cid"),
        ("okta", "machine", "cid"),
        ("entra", "user", "azp"),
        ("entra", "machine", "azpacr"),
        ("entra", "machine_v1", "appid"),
        ("entra", "machine_v1", "appidacr"),
        ("keycloak", "machine", "typ"),
        ("cognito", "machine", "token_use"),
    ],
)
def test_without_its_mark_it_is_no_access_token(dialect: str, name: str, mark: str) -> None:
    assert reason(changed(dialect, name, mark)) in ("TOKEN_TYPE", "ID_TOKEN")


@pytest.mark.parametrize(
    ("dialect", "changes", "expected"),
    [
        ("keycloak", {"typ": "bearer"}, "TOKEN_TYPE"),
        ("keycloak", {"typ": "Refresh"}, "TOKEN_TYPE"),
        ("keycloak", {"typ": ["Bearer"]}, "TOKEN_TYPE"),
        ("keycloak", {"typ": "ID"}, "ID_TOKEN"),
        ("cognito", {"token_use": "id"}, "ID_TOKEN"),
        ("cognito", {"token_use": "Access"}, "TOKEN_TYPE"),
        ("okta", {"jti": "ID.1"}, "ID_TOKEN"),
        ("entra", {"at_hash": "x"}, "ID_TOKEN"),
    ],
)
def test_a_mark_is_exactly_itself(dialect: str, changes: dict[str, Json], expected: str) -> None:
    assert reason(changed(dialect, "machine", **changes)) == expected


def test_a_kubernetes_token_is_its_service_accounts() -> None:
    facts = read("kubernetes", "machine")
    assert facts.subject == "system:serviceaccount:clinic:intake"
    assert (facts.client, facts.scopes) == (None, frozenset())
    assert reason(changed("kubernetes", "machine", "kubernetes.io")) == "TOKEN_TYPE"
    assert reason(changed("kubernetes", "machine", aud=["https://other.example"])) == (
        "AUDIENCE_MISMATCH"
    )


@pytest.mark.parametrize("dialect", ["entra", "keycloak", "cognito"])
def test_a_decisive_mark_outweighs_what_may_be_in_either_kind(dialect: str) -> None:
    one = fixture(dialect, "user")
    audience: Json = [*one.audiences, one.client]

    assert read(dialect, "user", nonce="n", aud=audience).client == one.client


def test_a_mark_that_is_not_decisive_does_not() -> None:
    assert reason(changed("okta", "user", nonce="n")) == "ID_TOKEN"
    client = fixture("okta", "user").client
    assert reason(changed("okta", "user", aud=["api://health", client])) == "ID_TOKEN"


# --- facts, one thing changed -------------------------------------------------------------------


def test_an_okta_user_is_uid_and_without_it_sub() -> None:
    assert read("okta", "user", "uid").subject == "jane@example.com"
    assert reason(changed("okta", "user", uid=7)) == "CLAIM_INVALID"


def test_an_entra_principal_is_its_tenant_and_object() -> None:
    assert reason(changed("entra", "user", "oid")) == "CLAIM_MISSING"
    assert reason(changed("entra", "user", "tid")) == "CLAIM_MISSING"
    assert reason(changed("entra", "user", tid="a/b")) == "CLAIM_INVALID"
    assert read("entra", "user", oid="a/b").subject == f"{TENANT}/a/b"
    assert reason(changed("entra", "user", tid=5)) == "CLAIM_INVALID"


@pytest.mark.parametrize("kind", ["user", "user_v1", "machine", "machine_v1"])
def test_an_entra_token_is_of_the_tenant_that_its_issuer_names(kind: str) -> None:
    """Else its subject would be another tenant's user."""
    assert reason(changed("entra", kind, tid="99998888-0000-cccc-1111-dddd2222eeee")) == (
        "CLAIM_INVALID"
    )
    assert reason(changed("entra", kind, tid=TENANT.upper())) == "CLAIM_INVALID"


def test_a_principal_is_named_in_the_first_way_whose_claims_are_all_there() -> None:
    row = Dialect(at_jwt=True, subject=(("tenant", "user"), ("account",)))
    claims: dict[str, Json] = {"iss": "i", "exp": 9, "aud": "a", "tenant": "t", "account": "me"}

    assert facts.read(row, {}, {**claims, "user": "u"}).subject == "t/u"
    assert facts.read(row, {}, claims).subject == "me"
    del claims["account"]
    assert facts.read(row, {}, claims).subject is None


def test_entra_claims_that_name_two_applications_contradict_each_other() -> None:
    assert reason(changed("entra", "user", appid="another")) == "CLAIM_INVALID"


@pytest.mark.parametrize(
    ("dialect", "scope"),
    [
        ("okta", "read:patients"),
        ("okta", ["read:patients", 7]),
        ("okta", ["two words"]),
        ("okta", [""]),
        ("okta", None),
        ("entra", ["patients.read"]),
        ("keycloak", ["read:patients"]),
    ],
)
def test_scopes_have_the_form_of_their_dialect(dialect: str, scope: Json) -> None:
    name = "scope" if dialect == "keycloak" else "scp"

    assert reason(changed(dialect, "user", **{name: scope})) == "CLAIM_INVALID"


def test_a_list_of_scopes_is_not_split() -> None:
    assert read("okta", "user", scp=["a", "b", "a"]).scopes == {"a", "b"}
    assert read("okta", "user", scp=[]).scopes == frozenset()
    assert read("okta", "user", "scp", scope="read").scopes == frozenset()


def test_a_dialect_may_take_either_form() -> None:
    row = Dialect(marks=read_conditions("marks", [{"scp": True}]), scope="scp", scope_form="either")
    claims: dict[str, Json] = {"iss": "i", "exp": 9, "aud": "a"}

    assert facts.read(row, {}, {**claims, "scp": "a b"}).scopes == {"a", "b"}
    assert facts.read(row, {}, {**claims, "scp": ["a", "b"]}).scopes == {"a", "b"}
    with pytest.raises(TokenRefused, match="or a list"):
        facts.read(row, {}, {**claims, "scp": 7})


@pytest.mark.parametrize(
    ("dialect", "name", "removed", "changes", "expected"),
    [
        ("okta", "user", ("uid", "auth_time"), {}, None),
        ("okta", "machine", (), {"uid": "00u1"}, None),
        ("entra", "machine", (), {"scp": "a"}, "user"),
        ("entra", "machine_v1", (), {"scp": "a"}, None),
        ("entra", "machine", (), {"sub": "another"}, None),
        ("entra", "machine", (), {"sub": "another", "idtyp": "app"}, "application"),
        ("entra", "user", ("scp",), {}, None),
        ("entra", "user", ("scp",), {"idtyp": "user"}, "user"),
        ("keycloak", "user", ("auth_time",), {}, None),
        ("keycloak", "machine", ("client_id",), {}, None),
        ("keycloak", "machine", ("client_id",), {"clientId": "importer"}, "application"),
        ("keycloak", "machine", (), {"client_id": "another"}, None),
        ("keycloak", "machine", (), {"auth_time": 0}, "application"),
        ("keycloak", "machine", (), {"auth_time": 1}, None),
        ("cognito", "user", ("username",), {}, None),
        ("cognito", "machine", (), {"username": "jane"}, None),
    ],
)
def test_user_or_application_by_the_signs_of_the_dialect(
    dialect: str,
    name: str,
    removed: tuple[str, ...],
    changes: dict[str, Json],
    expected: str | None,
) -> None:
    assert read(dialect, name, *removed, **changes).kind == expected


@pytest.mark.parametrize(
    ("dialect", "required"),
    [
        ("okta", ("sub",)),
        ("entra", ("sub", "tid", "oid")),
        ("keycloak", ()),
        ("cognito", ("sub", "client_id")),
        ("kubernetes", ("sub", "iat")),
    ],
)
def test_required_claims(dialect: str, required: tuple[str, ...]) -> None:
    for name in required:
        assert reason(changed(dialect, "machine", name)) == "CLAIM_MISSING"


@pytest.mark.parametrize("jti", [7, "", None, ["x"]])
def test_an_identifier_that_is_not_the_dialects_own_is_text_too(jti: Json) -> None:
    """Entra's tokens are told apart by `uti`; RFC 7519 says what a `jti` is all the same."""
    assert read("entra", "user", jti="x").token_id != "x"

    assert reason(changed("entra", "user", jti=jti)) == "CLAIM_INVALID"
