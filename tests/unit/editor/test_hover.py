from __future__ import annotations

import pytest

from policyd.editor.builtin import FACTS
from policyd.editor.hover import hover, reason_hover
from policyd.language.types import NOW, RESOURCE_ID, TOKEN_FACTS
from tests.support.editor import FILES, MAIN, TESTS, analysis, find

ANALYSIS = analysis()


def said(name: str, marked: str) -> str:
    place = ANALYSIS.index.at(name, find(FILES[name], marked))
    assert place is not None
    return hover(ANALYSIS.index, place)


def test_shows_declaration_documentation_and_users() -> None:
    assert said("/w/docs.policy", "token.or|g_id") == (
        "```policy\nclaim org_id: string?\n```\n\nThe organisation of the user.\n\n"
        "Used by condition `same_org`; 1 test."
    )


@pytest.mark.parametrize(
    ("name", "marked", "parts"),
    [
        ("/w/docs.policy", "api do|cs", ["api docs", "3 rules, 1 test"]),
        (
            "/w/docs.policy",
            "when scope read|:docs",
            ['scope read:docs "Read documents"', "Used by rules `members`, `folders`; 1 test."],
        ),
        (
            "/w/docs.policy",
            "resource.or|g_id",
            ["resource document { org_id: string }", "\n---\n", "resource folder { org_id"],
        ),
        ("/w/docs.policy", "actions re|ad, update", ["resource document { actions read }"]),
        (
            "/w/more/rules.policy",
            "context.|ip",
            ["context { ip: ip? }", "Used by rule `sealed`; 1 test."],
        ),
        (
            "/w/more/rules.policy",
            "userinfo.|town",
            ["userinfo town: string? from", "Where the user lives.", "condition `nearby`; 1 test."],
        ),
        (
            "/w/more/rules.policy",
            "deny sea|led",
            ["deny sealed: any on document\n", "No test expects it by name."],
        ),
        ("/w/more/rules.policy", "an|y on", ["actions read", "actions update", "actions delete"]),
        (
            "/w/more/rules.policy",
            "token.auth|_time",
            ["token.auth_time: time", "when the user logged in", "condition `recent`"],
        ),
        ("/w/docs_test.policy", "members re|ad", ['test "members read" {', "by folders"]),
        ("/w/docs_test.policy", "by mem|bers", ["allow members: read on document"]),
    ],
)
def test_says_what_there_is_to_say(name: str, marked: str, parts: list[str]) -> None:
    text = said(name, marked)
    for part in parts:
        assert part in text


def test_says_that_a_name_is_not_declared() -> None:
    text = MAIN.replace("token.org_id", "token.org")
    index = analysis({"/w/docs.policy": text}).index
    place = index.at("/w/docs.policy", find(text, "token.or|g ="))
    assert place is not None
    assert hover(index, place).startswith("claim `org` is not declared")


def test_a_long_declaration_is_cut() -> None:
    lines = "".join(f"    a{n}: string?\n" for n in range(20))
    text = MAIN.replace("resource folder {\n", f"resource folder {{\n{lines}")
    index = analysis({"/w/docs.policy": text}).index
    place = index.at("/w/docs.policy", find(text, "resource fol|der"))
    assert place is not None
    assert "    a10: string?\n    …\n```" in hover(index, place)


def test_many_users_are_cut() -> None:
    rules = "".join(
        f"allow rule-{n}: read on folder\n    when scope write:docs\n\n" for n in range(12)
    )
    index = analysis({"/w/docs.policy": f"{MAIN}\n{rules}"}).index
    place = index.at("/w/docs.policy", find(MAIN, "scope wri|te:docs"))
    assert place is not None
    assert "`rule-6` and 5 more." in hover(index, place)


def test_nothing_uses_it() -> None:
    place = ANALYSIS.index.at("/w/docs.policy", find(MAIN, "claim te|ams"))
    assert place is not None
    assert hover(ANALYSIS.index, place).endswith("Used by nothing.")


def test_a_route_is_a_user() -> None:
    text = f'{MAIN}\nroute GET "/{{org_id}}/{{id}}" as read on folder\n'
    index = analysis({"/w/docs.policy": text}).index
    place = index.at("/w/docs.policy", find(text, "{org|_id}"))
    assert place is not None
    assert "Used by condition `same_org`; route `GET /{org_id}/{id}`." in hover(index, place)
    place = index.at("/w/docs.policy", find(text, "GET |"))
    assert place is not None
    assert hover(index, place).startswith('```policy\nroute GET "/{org_id}/{id}" as read on folder')


def test_a_reason_shows_its_page() -> None:
    file = ANALYSIS.documents["/w/docs_test.policy"].parsed.file
    assert file is not None
    page = reason_hover(file, find(TESTS, "NO_RULE|_ALLOWS"))
    assert page is not None
    assert "NO_RULE_ALLOWS" in page
    assert reason_hover(file, 0) is None


def test_every_fact_of_the_language_has_its_sentence() -> None:
    assert {path: type_ for path, (type_, _) in FACTS.items()} == {
        fact.path: fact.type for fact in (*TOKEN_FACTS.values(), RESOURCE_ID, NOW)
    }
