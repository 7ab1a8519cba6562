"""From an OpenAPI document to a policy that loads, and back to the differences."""

from __future__ import annotations

import json
import sys
from pathlib import Path

import pytest

from policyd.diagnostics import Source
from policyd.language import load
from policyd.language.policy import PolicySet
from policyd.tokens.settings.dialect_table import DIALECTS
from policyd.tooling.starting.compare import WhichApi, compare
from policyd.tooling.starting.derive import skeleton_of
from policyd.tooling.starting.example import example
from policyd.tooling.starting.openapi import Document, DocumentUnusable, read_document
from policyd.tooling.starting.project import name_of
from policyd.tooling.starting.skeleton import problems, text_of_policy, text_of_tests

YAML = """\
openapi: 3.0.3
info: {title: "Pet Store"}
servers: [{url: "https://pets.example.com/v1"}]
components:
  securitySchemes:
    oauth:
      type: oauth2
      flows:
        authorizationCode:
          scopes:
            pets.read: Read pets
            pets.write: Change pets
            admin: All of it
            unused/scope: "nobody \\"needs\\" it"
security: [{oauth: [pets.read]}]
paths:
  /pets:
    get: {responses: {200: {description: ok}}}
    post: {security: [{oauth: [pets.write]}, {oauth: [admin, pets.read]}]}
  /pets/{petId}:
    get: {}
    delete: {security: [{oauth: [admin]}]}
  /pets/{petId}/adopt:
    post: {security: [{oauth: [pets.write, openid]}]}
  /owners/{ownerId}/pets:
    get: {}
  /owners/{ownerId}/pets/{petId}/photos/{n}:
    get: {security: [{oauth: []}]}
  /health:
    get: {security: []}
  /files/{name}.json:
    get: {}
"""


def document(folder: Path, text: str = YAML, name: str = "api.yaml") -> Document:
    path = folder / name
    path.write_text(text, encoding="utf-8")
    return read_document(path)


def as_json(**changes: object) -> str:
    values = {
        "openapi": "3.1.0",
        "info": {"title": "Records"},
        "components": {"securitySchemes": {"token": {"type": "http", "scheme": "Bearer"}}},
        "security": [{"token": []}],
        "paths": {"/records/{id}": {"get": {}, "put": {}}, "/records": {"get": {}}},
    }
    return json.dumps(values | changes)


def loaded(text: str) -> PolicySet:
    found = load([Source("new.policy", text)])
    assert found.policies is not None, found.diagnostics
    return found.policies


def test_routes_resources_and_scopes(tmp_path: Path) -> None:
    skeleton, notes = skeleton_of(document(tmp_path))
    text = text_of_policy(skeleton)
    (api,) = loaded(text).apis.values()
    assert api.name == "pet-store"
    assert api.audiences == ("https://pets.example.com/v1",)
    assert set(api.scopes) == {"pets.read", "pets.write", "admin", "unused/scope"}
    assert {f"{route.method} {route.template} {route.action} {route.resource}"
            for route in api.routes} == {
        "GET /v1/pets list pets",
        "POST /v1/pets create pets",
        "GET /v1/pets/{id} read pet",
        "DELETE /v1/pets/{id} delete pet",
        "POST /v1/pets/{id}/adopt adopt pet",
        "GET /v1/owners/{owner_id}/pets list owner-pets",
        "GET /v1/owners/{owner_id}/pets/{pet_id}/photos/{id} read photo",
    }  # fmt: skip
    assert "when (scope admin and scope pets.read) or scope pets.write\n" in text
    assert notes == (
        "left out: GET /v1/files/{name}.json has a parameter beside a word",
        "left out: GET /v1/health needs no token",
    )


@pytest.mark.parametrize("dialect", DIALECTS)
def test_what_is_written_has_no_findings(tmp_path: Path, dialect: str) -> None:
    for skeleton in (skeleton_of(document(tmp_path))[0], example("shop")):
        assert problems(text_of_policy(skeleton), text_of_tests(skeleton, dialect)) == ()


def test_a_scheme_without_scopes_gets_scopes_by_method(tmp_path: Path) -> None:
    skeleton, _ = skeleton_of(document(tmp_path, as_json(), "api.json"))
    assert set(skeleton.scopes) == {"read:record", "write:record"}
    assert problems(text_of_policy(skeleton), text_of_tests(skeleton, "rfc9068")) == ()


@pytest.mark.parametrize(
    ("text", "said"),
    [
        ("{}", "`openapi` is missing"),
        ('{"swagger": "2.0"}', "Swagger 2"),
        ('{"openapi": "3.1.0"}', "no operation asks for a bearer token"),
        ("{", "no JSON"),
        ("a: [", "no YAML"),
        ("- 1", "no OpenAPI 3 document"),
        ("[" * 100_000, "no "),
        ('{"a":' * 100_000, "no JSON"),
        (as_json(paths=[1]), "no operation asks"),
        (as_json(components={"securitySchemes": []}), "no operation asks"),
        (as_json(security="x"), "no operation asks"),
    ],
)
def test_what_is_no_document(tmp_path: Path, text: str, said: str) -> None:
    with pytest.raises(DocumentUnusable, match=said):
        skeleton_of(document(tmp_path, text))


def test_files_that_cannot_be_read(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    with pytest.raises(DocumentUnusable, match="No such file"):
        read_document(tmp_path / "none.yaml")
    with pytest.raises(DocumentUnusable, match="directory"):
        read_document(tmp_path)
    (tmp_path / "latin.yaml").write_bytes(b"title: \xe9")
    with pytest.raises(DocumentUnusable, match="not UTF-8"):
        read_document(tmp_path / "latin.yaml")
    monkeypatch.setitem(sys.modules, "yaml", None)
    with pytest.raises(DocumentUnusable, match=r"install `policyd\[openapi\]`, or give JSON"):
        document(tmp_path)


def test_nothing_differs_from_what_was_made(tmp_path: Path) -> None:
    made = document(tmp_path, YAML.replace("  /files/{name}.json:\n    get: {}\n", ""))
    source = Source("new.policy", text_of_policy(skeleton_of(made)[0]))
    assert compare(made, loaded(source.text), [source]) == ()
    # A gateway may take the servers' path away.
    short = Source("new.policy", source.text.replace('"/v1/', '"/'))
    assert compare(made, loaded(short.text), [short]) == ()


def test_differences(tmp_path: Path) -> None:
    made = document(tmp_path)
    text = text_of_policy(skeleton_of(made)[0])
    text = text.replace('GET    "/v1/pets/{id}"', 'GET    "/v1/pet/{id}"')
    source = Source("new.policy", text.replace("pets.read", "pets.raed"))
    found = compare(made, loaded(source.text), [source])
    assert [(one.code, one.headline) for one in found] == [
        ("P5023", "no route of `pet-store` leads from GET /v1/files/{name}.json"),
        ("P5023", "no route of `pet-store` leads from GET /v1/pets/{petId}"),
        ("P5025", f"{made.source.name} has no operation GET /v1/pet/{{id}}"),
        (
            "P5024",
            f"`pet-store` declares no scope `pets.read`, which {made.source.name} names",
        ),
        ("P5024", f"{made.source.name} names no scope `pets.raed`"),
    ]
    by_hand, missing, route, here, there = found
    assert by_hand.help is not None
    assert by_hand.help.startswith("a route's parameter is a whole segment")
    assert missing.help is not None
    assert missing.help.startswith('add `route GET "/v1/pets/{petId}" as ACTION on RESOURCE`')
    assert route.help == "did you mean GET /v1/pets/{petId}?"
    assert here.help == "did you mean `pets.raed`? Else declare it: `scope pets.read`"
    assert there.help == "did you mean `pets.read`?"
    assert missing.primary is not None
    place = made.source.position(missing.primary.span.start)
    assert made.source.line(place.line).strip() == "get: {}"
    assert there.primary is not None
    assert source.text[slice(*there.primary.span)] == "pets.raed"


def test_of_several_apis_the_one_of_that_name(tmp_path: Path) -> None:
    made = document(tmp_path, as_json(), "api.json")
    records = text_of_policy(skeleton_of(made)[0])
    shop = text_of_policy(example("shop"))
    both = load([Source("records.policy", records), Source("shop.policy", shop)])
    assert both.policies is not None
    assert compare(made, both.policies, []) == ()
    other = document(tmp_path, as_json(info={"title": "Nothing"}), "api.json")
    with pytest.raises(WhichApi, match="names none of the APIs records, shop"):
        compare(other, both.policies, [])


@pytest.mark.parametrize(
    ("text", "name"),
    [("Pet Store, v1", "pet-store-v1"), ("", "api"), ("42", "api-42"), ("été", "t")],
)
def test_names_of_apis(text: str, name: str) -> None:
    assert name_of(text) == name
