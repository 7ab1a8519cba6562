"""Each declared claim beside what a token has of it."""

from __future__ import annotations

from policyd.diagnostics import Source
from policyd.json_types import Json
from policyd.language import load
from policyd.tooling.declared_claims import declared_claims, declared_lines

POLICY = """\
api health

audience "https://example.com/health-api"

claim level: int
claim org:   string? from "https://example.com/org"
claim roles: set<string>? from "/realm_access/roles"
claim team:  string?

resource patient {
    actions read
}

allow reads: read on patient
    when "doctor" in token.roles
"""


def lines(claims: dict[str, Json], text: str = POLICY) -> list[str]:
    loaded = load([Source("health.policy", text)])
    assert loaded.policies is not None, loaded.diagnostics
    return list(declared_lines(declared_claims(loaded.policies.apis["health"], claims)))


def test_found_missing_and_ill_typed_with_their_places() -> None:
    shown = lines({"level": "high", "realm_access": {"roles": ["doctor"]}, "teams": "red"})
    assert shown == [
        "declared by the API",
        '  ill-typed token.level int, looked for at level: "high"',
        "  missing   token.org   string?, looked for at https://example.com/org",
        '  found     token.roles set<string>?, looked for at /realm_access/roles: ["doctor"]',
        "  missing   token.team  string?, looked for at team",
        "            the token has `teams`",
    ]


def test_a_namespace_of_another_spelling_is_named() -> None:
    shown = lines({"level": 1, "https://other.example/org": "red"})
    assert "            the token has `https://other.example/org`" in shown


def test_nothing_declared_is_nothing_said() -> None:
    assert list(declared_lines(())) == []


def test_what_a_token_holds_does_not_speak_to_the_terminal() -> None:
    shown = lines({"level": "\x1b[2J" + "x" * 100})
    assert shown[1].endswith("…")
    assert "\x1b" not in shown[1]
