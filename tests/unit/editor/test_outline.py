from __future__ import annotations

from policyd.diagnostics import Source
from policyd.editor.index import Kind
from policyd.editor.outline import outline
from policyd.language import nodes, parse
from tests.support.editor import RULES, analysis

ANALYSIS = analysis()


def file(name: str) -> nodes.File:
    found = ANALYSIS.documents[name].parsed.file
    assert found is not None
    return found


def test_lists_the_declarations_in_order() -> None:
    found = [(one.kind, one.name, one.detail) for one in outline(file("/w/docs.policy"))]
    assert found == [
        (Kind.SCOPE, "read:docs", "Read documents"),
        (Kind.SCOPE, "write:docs", "Change documents"),
        (Kind.CLAIM, "org_id", "string?"),
        (Kind.CLAIM, "teams", "set<string>?"),
        (Kind.USERINFO, "town", "string?"),
        (Kind.USERINFO, "email", "string?"),
        (Kind.CONTEXT, "ip", "ip?"),
        (Kind.RESOURCE, "document", "resource"),
        (Kind.RESOURCE, "folder", "resource"),
        (Kind.CONDITION, "same_org", ""),
        (Kind.RULE, "members", "allow read on document"),
        (Kind.RULE, "folders", "allow read, list on folder"),
    ]


def test_a_resource_holds_its_attributes_and_actions() -> None:
    document = outline(file("/w/docs.policy"))[7]
    assert [(one.kind, one.name) for one in document.children] == [
        (Kind.ATTRIBUTE, "org_id"),
        (Kind.ATTRIBUTE, "sealed"),
        (Kind.ACTION, "read"),
        (Kind.ACTION, "update"),
        (Kind.ACTION, "delete"),
    ]


def test_spans_are_of_the_whole_and_of_the_name() -> None:
    deny = outline(file("/w/more/rules.policy"))[-1]
    assert deny.detail == "deny any on document"
    assert RULES[slice(*deny.name_span)] == "sealed"
    assert RULES[slice(*deny.span)].startswith("deny sealed")
    assert RULES[slice(*deny.span)].endswith('because "sealed"')


def test_a_route_goes_by_its_method_and_template() -> None:
    text = 'api x\n\nroute GET "/a/{id}" as read on a\n'
    parsed = parse(Source("x.policy", text)).file
    assert parsed is not None
    (route,) = outline(parsed)
    assert (route.name, route.detail) == ("GET /a/{id}", "read on a")


def test_a_fixture_tells_what_it_is() -> None:
    text = "api x\n\ndefine a as token { }\ndefine b as resource c\n"
    parsed = parse(Source("x_test.policy", text)).file
    assert parsed is not None
    found = [(one.kind, one.name, one.detail) for one in outline(parsed)]
    assert found == [(Kind.FIXTURE, "a", "token"), (Kind.FIXTURE, "b", "c")]


def test_a_test_goes_by_its_title() -> None:
    (one,) = outline(file("/w/docs_test.policy"))
    assert (one.kind, one.name) == (Kind.TEST, "members read")
