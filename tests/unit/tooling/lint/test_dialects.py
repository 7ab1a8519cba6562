"""What the linter says of issuers that a configuration names."""

from __future__ import annotations

from pathlib import Path

import pytest

from policyd.diagnostics import Diagnostic, Source
from policyd.language import load, load_tests
from policyd.tokens.settings.dialect_table import DIALECTS
from policyd.tooling.lint import lint

POLICY = """\
api demo

audience "https://demo.example"

scope read:r  "Read"

resource r {
    actions read
}

define person as subject is user

allow reads: read on r
    when scope read:r and person
"""
TESTS = """\
api demo

test "t" {
    token user { scope: [read:r] }
    allow read on r by reads
    {
    allow read on r by reads
}
"""
RAW = 'token from keycloak { typ: "Bearer", azp: "a", sub: "u", scope: "read:r", auth_time: 1 }'


def found(*dialects: str, raw: str = "", policy: str = POLICY) -> tuple[Diagnostic, ...]:
    tests = TESTS.replace(
        "    {\n    allow read on r by reads\n", f"    {raw}\n    allow read on r\n" if raw else ""
    )
    sources = [Source("demo.policy", policy), Source("demo_test.policy", tests)]
    loaded = load(sources[:1])
    assert loaded.policies is not None, loaded.diagnostics
    cases = load_tests(sources[1:], loaded.policies)
    assert cases.diagnostics == ()
    of_api = {"demo": {name: DIALECTS[name] for name in dialects}}
    return lint(loaded.policies, sources, cases.tests, {"P3104", "P3105"}, of_api)


def test_each_dialect_wants_a_test() -> None:
    (one,) = [one for one in found("keycloak", "auth0", raw=RAW) if one.code == "P3104"]
    assert one.headline == "no test of `demo` has a token as `auth0` writes it"
    assert [one.code for one in found("auth0", raw="")] == ["P3104"]
    assert found() == ()


@pytest.mark.parametrize(
    ("dialect", "untold"),
    [("keycloak", True), ("rfc9068", True), ("oidc", True), ("auth0", False), ("okta", False),
     ("entra", False), ("cognito", False)],
)  # fmt: skip
def test_users_that_a_dialect_does_not_mark(dialect: str, untold: bool) -> None:
    codes = [one.code for one in found(dialect)]
    assert ("P3105" in codes) is untold


def test_a_rule_that_asks_for_no_user_is_none_of_it() -> None:
    policy = POLICY.replace("subject is user", "subject is application")
    assert "P3105" not in [one.code for one in found("keycloak", policy=policy)]


def test_the_files_say_what_is_meant(tmp_path: Path) -> None:
    (one,) = [one for one in found("keycloak", raw=RAW) if one.code == "P3105"]
    assert one.headline == (
        "`reads` asks for a user, whom tokens of `keycloak` tell by `auth_time` alone"
    )
    assert one.notes == ("without it, `subject is user` is unknown, and no `allow` applies by it",)
