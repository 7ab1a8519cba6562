from __future__ import annotations

import pytest

from policyd.editor.index import Index, Kind, Occurrence, Role, Symbol
from tests.support.editor import FILES, MAIN, analysis, find

INDEX = analysis().index


def at(name: str, marked: str) -> Occurrence | None:
    return INDEX.at(name, find(FILES[name], marked))


def written(occurrence: Occurrence) -> str:
    return occurrence.source.text[occurrence.span.start : occurrence.span.end]


@pytest.mark.parametrize(
    ("name", "marked", "symbol", "text"),
    [
        ("/w/docs.policy", "api do|cs", Symbol("docs", Kind.API, "docs"), "docs"),
        (
            "/w/docs.policy",
            "when scope read|:docs and",
            Symbol("docs", Kind.SCOPE, "read:docs"),
            "read:docs",
        ),
        (
            "/w/docs.policy",
            '|"write:docs"',
            Symbol("docs", Kind.SCOPE, "write:docs"),
            '"write:docs"',
        ),
        ("/w/docs.policy", "to|ken.org_id", Symbol("docs", Kind.CLAIM, "org_id"), "org_id"),
        (
            "/w/docs.policy",
            "members: read| on",
            Symbol("docs", Kind.ACTION, "read", "document"),
            "read",
        ),
        (
            "/w/docs.policy",
            "on |folder\n",
            Symbol("docs", Kind.RESOURCE, "folder"),
            "folder",
        ),
        ("/w/more/rules.policy", "context.|ip", Symbol("docs", Kind.CONTEXT, "ip"), "ip"),
        ("/w/more/rules.policy", "userinfo.|town", Symbol("docs", Kind.USERINFO, "town"), "town"),
        ("/w/docs_test.policy", "{ to|wn:", Symbol("docs", Kind.USERINFO, "town"), "town"),
        (
            "/w/more/rules.policy",
            "when resource.sealed|",
            Symbol("docs", Kind.ATTRIBUTE, "sealed", "document"),
            "sealed",
        ),
        (
            "/w/more/rules.policy",
            "unless rec|ent",
            Symbol("docs", Kind.CONDITION, "recent"),
            "recent",
        ),
        (
            "/w/more/rules.policy",
            "token.auth|_time",
            Symbol("docs", Kind.FACT, "token.auth_time"),
            "token.auth_time",
        ),
        (
            "/w/docs_test.policy",
            "[rea|d:docs]",
            Symbol("docs", Kind.SCOPE, "read:docs"),
            "read:docs",
        ),
        ("/w/docs_test.policy", "], or|g_id", Symbol("docs", Kind.CLAIM, "org_id"), "org_id"),
        ("/w/docs_test.policy", "su|b:", Symbol("docs", Kind.FACT, "token.sub"), "sub"),
        ("/w/docs_test.policy", "{ i|p:", Symbol("docs", Kind.CONTEXT, "ip"), "ip"),
        ("/w/docs_test.policy", "by fold|ers", Symbol("docs", Kind.RULE, "folders"), "folders"),
        (
            "/w/docs_test.policy",
            'folder { org|_id: "a"',
            Symbol("docs", Kind.ATTRIBUTE, "org_id", "folder"),
            "org_id",
        ),
        (
            "/w/docs_test.policy",
            'test "mem|bers',
            Symbol("docs", Kind.TEST, "members read"),
            '"members read"',
        ),
    ],
)
def test_finds_what_stands_at_a_place(name: str, marked: str, symbol: Symbol, text: str) -> None:
    found = at(name, marked)
    assert found is not None
    assert found.symbols == (symbol,)
    assert written(found) == text


@pytest.mark.parametrize("marked", ["audi|ence", "Members |read", "when scope| read:docs and"])
def test_what_is_no_name_is_nothing(marked: str) -> None:
    assert at("/w/docs.policy", marked) is None


def test_a_condition_reads_the_attributes_of_all_resources_that_use_it() -> None:
    found = at("/w/docs.policy", "resource.or|g_id")
    assert found is not None
    assert [one.owner for one in found.symbols] == ["document", "folder"]


def test_an_unused_condition_reads_the_attributes_of_all_that_have_them() -> None:
    text = MAIN + "\ndefine odd as resource.sealed\n"
    index = analysis({"/w/docs.policy": text}).index
    found = index.at("/w/docs.policy", len(text) - 2)
    assert found is not None
    assert found.symbols == (Symbol("docs", Kind.ATTRIBUTE, "sealed", "document"),)


def test_a_condition_is_used_through_others() -> None:
    text = MAIN.replace(" and same_org\n\n", " and friend\n\n").replace(
        "and same_org\n", "and friend\n"
    )
    text += "\ndefine friend as same_org\n"
    found = analysis({"/w/docs.policy": text}).index.at(
        "/w/docs.policy", find(text, "resource.or|g_id")
    )
    assert found is not None
    assert [one.owner for one in found.symbols] == ["document", "folder"]


def test_any_implies_each_action() -> None:
    found = at("/w/more/rules.policy", "an|y on")
    assert found is not None
    assert found.role is Role.IMPLIED
    assert {one.name for one in found.symbols} == {"read", "update", "delete"}


def test_uses_say_where_they_stand() -> None:
    symbol = Symbol("docs", Kind.CONDITION, "same_org")
    users = [one.user.name for one in INDEX.occurrences(symbol) if one.user is not None]
    assert users == ["members", "folders"]


def test_declarations_come_with_their_documentation() -> None:
    declared = INDEX.declared(Symbol("docs", Kind.ATTRIBUTE, "org_id", "document"))
    assert declared is not None
    assert (declared.text, declared.docs) == ("org_id: string", ("The owning organisation.",))
    assert INDEX.declared(Symbol("docs", Kind.CLAIM, "nothing")) is None


def test_lists_what_is_declared() -> None:
    def names(kind: Kind, owner: str | None = None) -> list[str]:
        return [one.place.symbols[0].name for one in INDEX.all("docs", kind, owner)]

    assert INDEX.apis() == ["docs"]
    assert names(Kind.SCOPE) == ["read:docs", "write:docs"]
    assert names(Kind.ACTION, "folder") == ["list", "read"]
    assert names(Kind.CONDITION) == ["nearby", "recent", "same_org"]
    assert names(Kind.USERINFO) == ["email", "town"]


def test_what_does_not_parse_hides_nothing_else() -> None:
    index = analysis({**FILES, "/w/docs.policy": f"{MAIN}\nallow broken read on\n"}).index
    assert isinstance(index, Index)
    assert index.at("/w/docs.policy", find(MAIN, "when scope read|:docs and")) is not None
    assert index.declared(Symbol("docs", Kind.RULE, "broken")) is None


def test_samples_are_whole() -> None:
    assert analysis().diagnostics == ()


ROUTED = f"""{MAIN}
route GET "/{{org_id}}/folders/{{id}}" as read on folder
"""


def test_a_route_uses_an_action_a_resource_and_attributes() -> None:
    index = analysis({"/w/docs.policy": ROUTED}).index

    def symbol(marked: str) -> Symbol | None:
        found = index.at("/w/docs.policy", find(ROUTED, marked))
        return None if found is None else found.symbols[0]

    assert symbol("as re|ad on folder\n") == Symbol("docs", Kind.ACTION, "read", "folder")
    assert symbol("as read on fol|der\n") == Symbol("docs", Kind.RESOURCE, "folder")
    assert symbol("{org|_id}") == Symbol("docs", Kind.ATTRIBUTE, "org_id", "folder")
    route = Symbol("docs", Kind.ROUTE, "GET /{org_id}/folders/{id}")
    assert symbol("fold|ers/") == route
    assert symbol("{i|d}") == route
    assert index.declared(route) is not None


FIXTURES = """\
api docs

define reader as token user { scope: [read:docs] }
define open as resource document "d1" { org_id: "a", sealed: false }

test "shared" {
    token reader { org_id: "b" }
    deny read on open { sealed: true } missing write:docs
}
"""


@pytest.mark.parametrize(
    ("marked", "symbol"),
    [
        ("token rea|der", Symbol("docs", Kind.FIXTURE, "reader", "/w/x_test.policy")),
        ("on op|en", Symbol("docs", Kind.FIXTURE, "open", "/w/x_test.policy")),
        ("deny re|ad", Symbol("docs", Kind.ACTION, "read", "document")),
        ("seal|ed: true", Symbol("docs", Kind.ATTRIBUTE, "sealed", "document")),
        ("missing |write:docs", Symbol("docs", Kind.SCOPE, "write:docs")),
        ("resource doc|ument", Symbol("docs", Kind.RESOURCE, "document")),
        ("seal|ed: false", Symbol("docs", Kind.ATTRIBUTE, "sealed", "document")),
        ("[re|ad:docs]", Symbol("docs", Kind.SCOPE, "read:docs")),
    ],
)
def test_a_fixture_stands_for_what_it_states(marked: str, symbol: Symbol) -> None:
    index = analysis({**FILES, "/w/x_test.policy": FIXTURES}).index
    found = index.at("/w/x_test.policy", find(FIXTURES, marked))
    assert found is not None
    assert found.symbols == (symbol,)


def test_any_resource_implies_those_that_have_an_action_of_the_rule() -> None:
    text = MAIN + "\ndeny wall: delete on any\n    when not same_org\n"
    index = analysis({"/w/docs.policy": text}).index
    found = index.at("/w/docs.policy", find(text, "delete on an|y"))
    assert found is not None
    assert found.role is Role.IMPLIED
    owners = {one.place.symbols[0].owner for one in index.all("docs", Kind.ACTION)
              if one.place.symbols[0].name == "delete"}  # fmt: skip
    assert {one.name for one in found.symbols} == owners
