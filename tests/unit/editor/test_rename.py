from __future__ import annotations

import re

import pytest

from policyd.diagnostics import Diagnostic
from policyd.editor.rename import RenameRefused, rename, renameable
from policyd.editor.workspace import apply
from tests.support.editor import FILES, MAIN, RULES, TESTS, analysis, find


def renamed(
    marked: str, name: str, file: str = "/w/docs.policy", files: dict[str, str] = FILES
) -> dict[str, str]:
    """Return the files that change, as they are afterwards."""
    one = analysis(files)
    place = one.index.at(file, find(files[file], marked))
    assert place is not None
    changes = rename(one, place, name)
    after: tuple[Diagnostic, ...] = one.edited(changes).diagnostics
    assert [each.code for each in after] == [each.code for each in one.diagnostics]
    return {each: apply(files[each], edits) for each, edits in changes.items()}


@pytest.mark.parametrize(
    ("file", "marked", "name", "replaced"),
    [
        ("/w/docs.policy", "api |docs", "papers", [("api docs", "api papers")]),
        (
            "/w/docs.policy",
            "resource f|older",
            "shelf",
            [("folder {", "shelf {"), ("on folder", "on shelf")],
        ),
        (
            "/w/docs.policy",
            "allow mem|bers",
            "colleagues",
            [("allow members", "allow colleagues"), ("by members", "by colleagues")],
        ),
        ("/w/docs.policy", "define same|_org", "at_home", [("same_org", "at_home")]),
        (
            "/w/docs.policy",
            "{\n    i|p: ip",
            "address",
            [("ip: ip", "address: ip"), ("{ ip:", "{ address:"), ("context.ip", "context.address")],
        ),
        (
            "/w/docs.policy",
            "userinfo to|wn",
            "city",
            [("userinfo town", "userinfo city"), ("{ town", "{ city"), ("o.town", "o.city")],
        ),
        ("/w/docs.policy", "read, li|st\n", "enumerate", [("list", "enumerate")]),
        ("/w/more/rules.policy", "define rec|ent", "fresh", [("recent", "fresh")]),
        (
            "/w/docs.policy",
            "\n    sea|led: bool",
            "locked",
            [
                ("    sealed: bool", "    locked: bool"),
                ("resource.sealed", "resource.locked"),
                (", sealed: false", ", locked: false"),
            ],
        ),
    ],
)
def test_changes_all_places_in_all_files(
    file: str, marked: str, name: str, replaced: list[tuple[str, str]]
) -> None:
    expected = dict(FILES)
    for old, new in replaced:
        expected = {each: text.replace(old, new) for each, text in expected.items()}
    assert {**FILES, **renamed(marked, name, file)} == expected


def test_an_action_of_one_resource_is_not_that_of_another() -> None:
    after = {**FILES, **renamed("actions re|ad, update", "open")}
    assert "actions open, update" in after["/w/docs.policy"]
    assert "actions read, list" in after["/w/docs.policy"]
    assert "members: open on document" in after["/w/docs.policy"]
    assert "folders: read, list on folder" in after["/w/docs.policy"]
    assert after["/w/docs_test.policy"].count("open on document") == 2
    assert "any on document" in FILES["/w/more/rules.policy"]
    assert after["/w/more/rules.policy"] == RULES


def test_an_attribute_that_a_condition_reads_on_two_resources_changes_on_both() -> None:
    after = renamed("resource.or|g_id", "owner")
    main = after["/w/docs.policy"]
    assert main.count("    owner: string") == 2
    assert "token.org_id == resource.owner" in main
    assert 'folder { owner: "a" }' in after["/w/docs_test.policy"]
    assert 'org_id: "a", sub' in after["/w/docs_test.policy"]


def test_a_route_s_parameter_changes_with_its_attribute() -> None:
    route = '\nroute GET "/{org_id}/{id}" as read on folder\n'
    after = renamed("resource.or|g_id", "owner", files={"/w/docs.policy": MAIN + route})
    assert 'route GET "/{owner}/{id}" as read on folder' in after["/w/docs.policy"]


def test_a_fixture_is_known_in_its_file_alone() -> None:
    shared = 'api docs\n\ndefine reader as token user { scope: [read:docs], org_id: "a" }\n'
    shared += '\ntest "%s" {\n    token reader\n    allow list on folder { org_id: "a" }\n}\n'
    files = {**FILES, "/w/a_test.policy": shared % "a", "/w/b_test.policy": shared % "b"}
    after = renamed("define rea|der", "guest", "/w/a_test.policy", files)
    assert after == {"/w/a_test.policy": files["/w/a_test.policy"].replace("reader", "guest")}


def test_a_claim_is_still_read_from_where_it_stands() -> None:
    after = renamed("claim org|_id", "tenant")
    assert 'claim tenant: string? from "org_id"\n' in after["/w/docs.policy"]
    assert 'tenant: "a"' in after["/w/docs_test.policy"]
    after = renamed("userinfo em|ail", "mail")
    assert 'userinfo mail: string? from "email"\n' in after["/w/docs.policy"]
    assert renamed("claim tea|ms", "crews") == {
        "/w/docs.policy": MAIN.replace("claim teams", "claim crews")
    }


@pytest.mark.parametrize(
    ("name", "bare", "quoted"),
    [("docs:read", "docs:read", '"docs:read"'), ("docs/read", '"docs/read"', '"docs/read"')],
)
def test_a_scope_is_quoted_where_it_must_be(name: str, bare: str, quoted: str) -> None:
    text = MAIN.replace('[read:docs, "write:docs"]', '["read:docs", "write:docs"]')
    after = renamed('scope re|ad:docs "', name, files={**FILES, "/w/docs.policy": text})
    assert f'scope {bare} "Read' in after["/w/docs.policy"]
    assert f"when scope {bare} and" in after["/w/docs.policy"]
    assert f"any [{quoted}," in after["/w/docs.policy"]
    assert f"scope: [{bare}]" in after["/w/docs_test.policy"]


def test_the_same_name_is_no_change() -> None:
    assert renamed("allow mem|bers", "members") == {}


@pytest.mark.parametrize(
    ("file", "marked", "name", "said"),
    [
        ("/w/docs.policy", "allow mem|bers", "folders", "rule `folders` is declared twice"),
        ("/w/docs.policy", "claim org|_id", "sub", "every token has `token.sub`"),
        ("/w/docs.policy", "define same|_org", "now", "`now` is the clock"),
        ("/w/docs.policy", "define same|_org", "and", "cannot be a name of a condition"),
        ("/w/docs.policy", "define same|_org", "two words", "cannot be a name of a condition"),
        ("/w/docs.policy", "define same|_org", "a as now is present\ndefine b", "cannot be a name"),
        ("/w/docs.policy", "resource.or|g_id", "1st", "cannot be a name of an attribute"),
        (
            "/w/docs.policy",
            'scope re|ad:docs "',
            "write:docs",
            "scope `write:docs` is declared twice",
        ),
        ("/w/docs.policy", 'scope re|ad:docs "', "", '"" is not a scope'),
        ("/w/docs.policy", 'scope re|ad:docs "', "a\nb", "cannot be a name of a scope"),
        ("/w/docs.policy", 'scope re|ad:docs "', "openid", "`openid` is an OpenID Connect scope"),
        ("/w/more/rules.policy", "token.auth|_time", "login", "is a name of the language"),
        ("/w/more/rules.policy", "an|y on", "all", "`any` means every action"),
        ("/w/docs_test.policy", "mem|bers read", "x", "the text of a test is edited"),
    ],
)
def test_refuses(file: str, marked: str, name: str, said: str) -> None:
    with pytest.raises(RenameRefused, match=said):
        renamed(marked, name, file)


def test_refuses_what_nobody_declares() -> None:
    text = MAIN.replace("token.org_id", "token.org")
    with pytest.raises(RenameRefused, match="claim `org` is not declared"):
        renamed("token.or|g =", "x", files={"/w/docs.policy": text})


def test_refuses_while_a_broken_declaration_mentions_it() -> None:
    files = {**FILES, "/w/docs.policy": f"{MAIN}\ndefine odd as same_org or or\n"}
    with pytest.raises(RenameRefused, match=r"/w/docs.policy that does not parse"):
        renamed("define same|_org", "home", files=files)


def test_other_errors_do_not_hinder_it() -> None:
    files = {**FILES, "/w/docs.policy": f"{MAIN}\ndefine odd as token.nothing or or\n"}
    assert "define home as" in renamed("define same|_org", "home", files=files)["/w/docs.policy"]


def test_what_can_be_renamed_is_told_beforehand() -> None:
    one = analysis()
    place = one.index.at("/w/docs_test.policy", find(TESTS, "[rea|d:docs]"))
    assert place is not None
    renameable(one.index, place)


def test_an_action_of_a_rule_on_two_resources_changes_on_both() -> None:
    text = MAIN + "\ndeny gone: read on document, folder\n    when false_friend\n"
    text += "\ndefine false_friend as same_org\n"
    changed = analysis({"/w/docs.policy": text})
    place = changed.index.at("/w/docs.policy", find(text, "deny gone: re|ad on"))
    assert place is not None
    edits = rename(changed, place, "look")["/w/docs.policy"]
    assert {text[slice(*edit.span)] for edit in edits} == {"read"}
    declared = re.findall(r"actions.*\bread\b", text)
    assert len(declared) == 2
    assert sum("actions" in text.splitlines()[text.count("\n", 0, edit.span.start)]
               for edit in edits) == 2  # fmt: skip


@pytest.mark.parametrize(
    ("marked", "name", "written"),
    [
        ("actions re|ad, update", "docs/read", '"docs/read"'),
        ("resource f|older", "a folder", '"a folder"'),
        ("actions re|ad, update", "look", "look"),
        ("actions re|ad, update", 'a"b', '"a\\"b"'),
    ],
)
def test_what_others_name_is_quoted_where_it_must_be(marked: str, name: str, written: str) -> None:
    assert written in renamed(marked, name)["/w/docs.policy"]


def test_a_field_of_a_list_changes_where_it_is_read() -> None:
    text = (
        MAIN
        + """
claim details: list? {
    kind: string
}

define fits as token.details has some (item.kind == "a" or item.kind == "b")
"""
    )
    changed = analysis({"/w/docs.policy": text})
    place = changed.index.at("/w/docs.policy", find(text, "(item.ki|nd"))
    assert place is not None
    edits = rename(changed, place, "sort")["/w/docs.policy"]
    assert [text[slice(*edit.span)] for edit in edits] == ["kind"] * 3
    assert {edit.text for edit in edits} == {"sort"}


def test_an_action_is_renamed_where_an_attribute_is_for_it() -> None:
    text = MAIN.replace("sealed: bool", "sealed: bool (for read update delete)")
    after = renamed("actions |read, update", "see", files={**FILES, "/w/docs.policy": text})
    assert "sealed: bool (for see update delete)" in after["/w/docs.policy"]
