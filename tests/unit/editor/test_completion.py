from __future__ import annotations

import pytest

from policyd.diagnostics import Source
from policyd.editor.builtin import FACTS
from policyd.editor.completion import complete
from policyd.editor.index import Kind
from policyd.editor.proposals import Completion, Proposal
from policyd.language.routes import METHODS
from policyd.reasons import Reason
from tests.support.editor import FILES, MAIN, analysis

INDEX = analysis().index
HEAD = "api docs\n\n"
TOKEN = sorted(path for path in FACTS if path.startswith("token."))


def completed(text: str, name: str = "/w/new.policy") -> Completion:
    before, _, after = text.partition("|")
    return complete(INDEX, Source(name, before + after), len(before))


def proposed(text: str, name: str = "/w/new.policy") -> list[str]:
    return [one.text for one in completed(text, name).proposals]


SECTIONS = [
    "allow", "audience", "claim", "context", "define", "deny", "prove", "resource", "route",
    "scope",
    "userinfo", "values",
]  # fmt: skip
STRING = ["==", "!=", "in", "starts with", "ends with"]
AFTER = ["is present", "is missing", "and", "or"]
TYPES = [
    "string",
    "int",
    "decimal",
    "bool",
    "time",
    "ip",
    "set<string>",
    "set<int>",
    "set<ip>",
    "list",
]
OPERANDS = [
    "not",
    "scope",
    "subject is user",
    "subject is application",
    "subject is asserted",
    "nearby",
    "recent",
    "same_org",
]


@pytest.mark.parametrize(
    ("text", "expected"),
    [
        ("|", ["api"]),
        ("api |", ["docs"]),
        ("api docs |", []),
        (f"{HEAD}al|", SECTIONS),
        (f"{HEAD}|\nallow x: read on folder", SECTIONS),
        (f"{HEAD}scope |", []),
        (f"{HEAD}allow |", []),
        (f"{HEAD}allow x: |", ["delete", "list", "read", "update"]),
        (f"{HEAD}allow x:|", ["delete", "list", "read", "update"]),
        (f"{HEAD}deny x: |", ["any", "delete", "list", "read", "update"]),
        (f"{HEAD}deny x: read, |", ["delete", "list", "read", "update"]),
        (f"{HEAD}allow x: read |", ["on"]),
        (f"{HEAD}allow x: read on |", ["document", "folder"]),
        (f"{HEAD}allow x: read, list on |", ["folder"]),
        (f"{HEAD}allow x: fly on |", ["document", "folder"]),
        (f"{HEAD}deny x: any on |", ["any", "document", "folder"]),
        (f"{HEAD}allow x: read on document, |", ["folder"]),
        (f"{HEAD}allow x: read on folder |", ["when", "unless"]),
        (f"{HEAD}deny x: read on folder\n    |", ["when", "unless", "because"]),
        (f"{HEAD}deny x: read on folder\n    when recent\n    because |", []),
        (f"{HEAD}allow x: read on folder\n    when scope |", ["read:docs", "write:docs"]),
        (f"{HEAD}allow x: read on folder\n    when scope wri|", ["read:docs", "write:docs"]),
        (f"{HEAD}allow x: read on folder\n    when not scope read:|", ["read:docs", "write:docs"]),
        (f"{HEAD}define x as token.scopes has any [|", ["read:docs", "write:docs"]),
        (f"{HEAD}define x as token.scopes has all [read:docs, |", ["read:docs", "write:docs"]),
        (f"{HEAD}define x as token.amr has all [|", []),
        (f"{HEAD}define x as token.acr in [a, |", []),
        (f"{HEAD}define x |", ["as"]),
        (f"{HEAD}define |", []),
        (f"{HEAD}define x as subject |", ["is"]),
        (f"{HEAD}define x as subject is |", ["application", "asserted", "user"]),
        (f"{HEAD}define x as token.acr is |", ["missing", "present"]),
        (f"{HEAD}define x as token.amr has |", ["any", "all", "some"]),
        (f"{HEAD}define x as token.acr starts |", ["with"]),
        (f"{HEAD}define x as token.auth_time within |", ["last", "next"]),
        (f"{HEAD}define x as token.acr ends with |", []),
        (f"{HEAD}define x as token.amr |", ["has any", "has all", *AFTER]),
        (f"{HEAD}define x as token.org_id |", [*STRING, *AFTER]),
        (f"{HEAD}define x as recent |", ["and", "or"]),
        (f"{HEAD}define x as token.acr == token.org_id |", ["and", "or"]),
        (f"{HEAD}deny x: read on folder\n    when recent |", ["and", "or", "unless", "because"]),
        (f"{HEAD}claim x: |", TYPES),
        (f"{HEAD}claim x: string |", ["from", "of"]),
        (f"{HEAD}claim x: list? {{\n    a: string (|", ["from"]),
        (f"{HEAD}claim x: list? {{\n    a: string (from |", ["key"]),
        (f"{HEAD}claim x: list? {{\n    a: string |", []),
        (f"{HEAD}context {{\n    x: list? {{\n        a: string (from |", ["key"]),
        (f"{HEAD}context {{\n    x: string (from |", []),
        (f"{HEAD}resource x {{\n    a: string (from |", []),
        (f"{HEAD}claim |", []),
        (f"{HEAD}userinfo x: |", TYPES),
        (f"{HEAD}userinfo x: string |", ["from", "of"]),
        (f"{HEAD}define x as userinfo.town |", [*STRING, *AFTER]),
        (f"{HEAD}context {{\n    x: str|", TYPES),
        (f"{HEAD}resource x {{\n    |", ["actions"]),
        (f"{HEAD}audience |", []),
        (f"{HEAD}route |", list(METHODS)),
        (f"{HEAD}route GET |", []),
        (f'{HEAD}route GET "/x" |', ["as"]),
        (f'{HEAD}route GET "/x" as |', ["delete", "list", "read", "update"]),
        (f'{HEAD}route GET "/x" as list |', ["on"]),
        (f'{HEAD}route GET "/x" as list on |', ["folder"]),
        (f'{HEAD}route GET "/x" as list on folder |', []),
        (f"{HEAD}// al|", []),
        (f"{HEAD}/// allow x: |", []),
        (f'{HEAD}define x as token.acr == "to|', []),
        (f'{HEAD}audience "|"', []),
    ],
)  # fmt: skip
def test_proposes_what_may_stand_here(text: str, expected: list[str]) -> None:
    assert proposed(text) == expected


def test_a_condition_begins_with_a_name_or_a_fact() -> None:
    found = proposed(f"{HEAD}allow x: read on document\n    when |")
    assert found[: len(OPERANDS)] == OPERANDS
    assert set(found[len(OPERANDS) :]) == {
        *FACTS, "token.org_id", "token.teams", "userinfo.town", "userinfo.email", "context.ip",
        "resource.org_id", "resource.sealed",
    }  # fmt: skip
    assert proposed(f"{HEAD}define x as recent and (|")[0] == "scope"


def test_an_attribute_is_one_of_the_rule_s_resource() -> None:
    assert "resource.sealed" not in proposed(f"{HEAD}allow x: read on folder\n    when |")
    assert "resource.sealed" in proposed(f"{HEAD}define x as resource.|")


def test_a_comparison_goes_on_with_a_fact() -> None:
    found = proposed(f"{HEAD}allow x: read on folder\n    when token.org_id == res|")
    assert "resource.org_id" in found
    assert "recent" not in found
    assert "token.amr" in proposed(f"{HEAD}define x as token.teams has any tok|")


def test_replaces_the_whole_word_and_nothing_else() -> None:
    text = f"{HEAD}define x as token.or|"
    found = completed(text)
    assert found.span == (text.index("token"), len(text) - 1)
    text = f"{HEAD}define x as scope read:d|"
    assert completed(text).span.start == text.index("read")
    text = f"{HEAD}allow x:re|"
    assert completed(text).span.start == text.index("re|")


def test_works_in_the_middle_of_a_file() -> None:
    text = MAIN.replace("when scope read:docs and same_org", "when scope |")
    assert proposed(text) == ["read:docs", "write:docs"]


def test_tells_what_a_proposal_is() -> None:
    (one, _) = completed(f"{HEAD}define x as scope |").proposals
    assert one == Proposal("read:docs", Kind.SCOPE, "Read documents")
    found = {one.text: one for one in completed(f"{HEAD}define x as tok|").proposals}
    assert found["token.teams"].detail == "set<string>?"
    assert found["token.org_id"].docs == ("The organisation of the user.",)
    assert found["token.acr"] == Proposal(
        "token.acr", Kind.FACT, "string", ("The claim `acr`: how strong the login was.",)
    )
    found = {one.text: one for one in completed(f"{HEAD}allow x: |").proposals}
    assert found["read"].detail == "on document, folder"


def in_test(text: str) -> list[str]:
    return proposed(f'{HEAD}test "t" {{\n    {text}', "/w/new_test.policy")


@pytest.mark.parametrize(
    ("text", "expected"),
    [
        ("|", ["allow", "at", "context", "deny", "token", "userinfo"]),
        ("to|", ["allow", "at", "context", "deny", "token", "userinfo"]),
        ("token |", ["user", "application"]),
        ("token { scope: [|", ["read:docs", "write:docs"]),
        ("token { scope: [read:docs, wr|", ["read:docs", "write:docs"]),
        ("token { amr: [|", []),
        ("token { scope: [read:docs] |", []),
        ("context { |", ["ip"]),
        ("userinfo { |", ["email", "town"]),
        ("token user { } userinfo { |", ["email", "town"]),
        ("allow |", ["delete", "list", "read", "update"]),
        ("allow read |", ["on", "by", "missing", "because"]),
        ("allow read on |", ["document", "folder"]),
        ("deny list on |", ["folder"]),
        ("allow read on document { |", ["org_id", "sealed"]),
        ("allow read on document { org_id: true, |", ["org_id", "sealed"]),
        ("allow read on document { sealed: |", ["true", "false"]),
        ("allow read on folder { org_id: true } |", ["by", "missing", "because"]),
        ("deny read on folder missing |", ["read:docs", "write:docs"]),
        ("allow read on folder by |", ["folders", "members", "sealed"]),
        ("allow read on folder by folders, |", ["folders", "members", "sealed"]),
        ("deny read on folder because |", [reason.value for reason in Reason]),
        ('at "2026-11-22T10:00:00Z" |', []),
        ("token user { scope: [] }\n    allow |", ["delete", "list", "read", "update"]),
        ("token user { }\n    |", ["allow", "at", "context", "deny", "token", "userinfo"]),
    ],
)
def test_proposes_what_a_test_may_hold(text: str, expected: list[str]) -> None:
    assert in_test(text) == expected


def test_a_token_holds_facts_and_claims() -> None:
    found = in_test("token { |")
    assert found[0] == "scope"
    facts = [path.removeprefix("token.") for path in TOKEN if path != "token.scopes"]
    assert sorted(found[1:]) == sorted([*facts, "org_id", "teams"])


def test_a_test_file_holds_tests() -> None:
    assert proposed(f"{HEAD}|", "/w/new_test.policy") == ["define", "test"]
    assert proposed(f'{HEAD}test "t" |', "/w/new_test.policy") == []


SHARED = """\
api docs

define reader as token user { scope: [read:docs] }
define open as resource document "d1" { org_id: "a", sealed: false }

"""


@pytest.mark.parametrize(
    ("text", "expected"),
    [
        ("define x as |", ["token", "resource"]),
        ("define x as token |", ["user", "application"]),
        ("define x as token { scope: [|", ["read:docs", "write:docs"]),
        ("define x as resource |", ["document", "folder"]),
        ("define x as resource folder { |", ["org_id"]),
        ("define x as resource folder {} |", []),
        ('test "t" {\n    token |', ["user", "application", "reader"]),
        ('test "t" {\n    token reader { scope: [|', ["read:docs", "write:docs"]),
        ('test "t" {\n    allow read on |', ["document", "folder", "open"]),
        ('test "t" {\n    allow read on open { |', ["org_id", "sealed"]),
    ],
)
def test_proposes_what_several_tests_share(text: str, expected: list[str]) -> None:
    before, _, after = (SHARED + text).partition("|")
    source = Source("/w/shared_test.policy", before + after)
    index = analysis({**FILES, "/w/shared_test.policy": SHARED}).index
    assert [one.text for one in complete(index, source, len(before)).proposals] == expected


def test_names_in_quotes_are_proposed_as_they_are_written() -> None:
    text = MAIN + '\nresource "a/b" {\n    at: string?\n    actions "x/y", read\n}\n'
    index = analysis({"/w/docs.policy": text}).index

    def after(words: str) -> list[str]:
        source = Source("/w/new.policy", f"{HEAD}{words}")
        return [one.text for one in complete(index, source, len(source.text)).proposals]

    assert '"x/y"' in after("allow z: ")
    assert after('allow z: "x/y" on ') == ['"a/b"']
    assert "resource.at" in after('allow z: "x/y" on "a/b"\n    when ')
    assert "resource.sealed" not in after('allow z: "x/y" on "a/b"\n    when ')


LISTS = """
claim details: list? {
    type:  string
    limit: int?
}

define fits as token.details has some (item.type == "a" and item.limit > 5)
"""


def test_fields_of_a_list_are_proposed_within_has_some() -> None:
    index = analysis({"/w/docs.policy": MAIN + LISTS}).index

    def after(words: str) -> list[str]:
        source = Source("/w/new.policy", f"{HEAD}{words}")
        return [one.text for one in complete(index, source, len(source.text)).proposals]

    assert {"item.type", "item.limit"} <= set(after("define x as token.details has some ("))
    assert "item.type" in after("define x as token.details has some (item.limit > 5 and ")
    assert "item.type" not in after("define x as token.details has some (item.limit > 5) and ")
    assert "has some" in after("define x as token.details ")
    assert after("define x as token.details has some (item.limit ")[:2] == ["==", "!="]


def test_an_attribute_is_for_actions_of_its_resource() -> None:
    index = analysis().index

    def after(words: str) -> list[str]:
        source = Source("/w/docs.policy", f"{HEAD}resource document {{\n    {words}")
        return [one.text for one in complete(index, source, len(source.text)).proposals]

    assert after("note: string (") == ["from", "for"]
    assert after("note: string (for ") == ["delete", "read", "update"]
    assert after("note: string (for read ") == ["delete", "update"]
    assert after('note: string (from "/a", for read ') == ["delete", "update"]
    assert after('note: string (from "/a", ') == ["for"]
    assert after("lines: list {\n        sku: string (") == ["from"]


def test_attributes_that_the_action_at_hand_lacks_are_not_proposed() -> None:
    declared = """
resource loan {
    branch: string
    why:    string (for cancel)
    until:  time   (for extend "x/y")
    actions read, cancel, extend, "x/y"
}
"""
    index = analysis({"/w/docs.policy": MAIN + declared}).index

    def after(words: str, name: str = "/w/new.policy") -> list[str]:
        source = Source(name, f"{HEAD}{words}")
        return [one.text for one in complete(index, source, len(source.text)).proposals]

    def attributes(words: str) -> list[str]:
        return [one for one in after(words) if one in known]

    known = ("resource.branch", "resource.why", "resource.until")
    assert attributes("allow a: read on loan when ") == ["resource.branch"]
    assert attributes("allow a: cancel on loan when ") == ["resource.branch", "resource.why"]
    assert attributes('deny a: extend, "x/y" on loan when not ') == [
        "resource.branch",
        "resource.until",
    ]
    assert attributes("deny a: cancel, extend on loan when ") == ["resource.branch"]
    assert attributes("deny a: any on loan when ") == ["resource.branch"]
    assert set(attributes("define a as ")) == set(known)

    def keys(line: str) -> list[str]:
        return after(f'test "a" {{\n    {line}', "/w/new_test.policy")

    assert keys("allow read on loan { ") == ["branch"]
    assert keys('deny "x/y" on loan "1" { ') == ["branch", "until"]
    assert set(after("define x as resource loan { ", "/w/new_test.policy")) == {
        "branch",
        "why",
        "until",
    }


def test_a_promise_is_completed_as_a_deny_is() -> None:
    index = analysis().index

    def after(words: str) -> list[str]:
        source = Source("/w/new.policy", f"{HEAD}{words}")
        return [one.text for one in complete(index, source, len(source.text)).proposals]

    assert "prove" in after("")
    assert after("prove p: ") == ["never allow"]
    assert after("prove p: never ") == ["allow"]
    assert {"any", "read"} <= set(after("prove p: never allow "))
    assert {"any", "document"} <= set(after("prove p: never allow read on "))
    assert after("prove p: never allow read on document ") == ["when", "unless"]
    assert "resource.sealed" in after("prove p: never allow read on document\n    when ")
