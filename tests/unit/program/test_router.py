"""From a method and a path to a question: what fits, what is refused, what is not found."""

from __future__ import annotations

import pytest

from policyd.diagnostics import Source
from policyd.language import load
from policyd.program.router import PathRefused, Router

POLICY = """api a

audience "https://a.example"

scope x "X"

resource things {
    actions list
}

resource thing {
    owner: string?
    number: int?
    open: bool?
    actions read, write
}

route GET "/"                    as list on things
route GET "/things"              as list on things
route GET "/things/{id}"         as read on thing
route GET "/things/mine"         as list on things
route PUT "/things/{id}"         as write on thing
route PUT "/things/mine/all"     as write on thing
route GET "/{owner}/things/{id}" as read on thing
route GET "/things/{id}/first"   as read on thing
route GET "/n/{number}"          as read on thing
route GET "/o/{open}"            as read on thing
"""


@pytest.fixture(scope="module")
def router() -> Router:
    loaded = load([Source("a.policy", POLICY)])
    assert loaded.policies is not None
    return Router(loaded.policies.apis["a"].routes)


@pytest.mark.parametrize(
    ("method", "path", "template", "resource_id", "attributes"),
    [
        ("GET", "/", "/", "", {}),
        ("GET", "/things", "/things", "", {}),
        ("GET", "/things/7", "/things/{id}", "7", {}),
        ("GET", "/things/mine", "/things/mine", "", {}),
        ("PUT", "/things/mine", "/things/{id}", "mine", {}),
        ("GET", "/ann/things/7", "/{owner}/things/{id}", "7", {"owner": "ann"}),
        ("GET", "/things/things/7", "/{owner}/things/{id}", "7", {"owner": "things"}),
        ("GET", "/things/7/first", "/things/{id}/first", "7", {}),
        ("GET", "/things/a%20b%25", "/things/{id}", "a b%", {}),
        ("GET", "/things/%C3%A9", "/things/{id}", "é", {}),
        ("GET", "/things/%2541", "/things/{id}", "%41", {}),  # decoded once
        ("GET", "/n/-12", "/n/{number}", "", {"number": -12}),
        ("GET", "/o/true", "/o/{open}", "", {"open": True}),
        ("GET", "/o/false", "/o/{open}", "", {"open": False}),
    ],
)
def test_a_request_finds_its_route(
    router: Router, method: str, path: str, template: str, resource_id: str,
    attributes: dict[str, object],
) -> None:  # fmt: skip
    found = router.match(method, path)
    assert found is not None
    assert (found.route.template, found.resource_id) == (template, resource_id)
    assert found.attributes == attributes


@pytest.mark.parametrize(
    ("method", "path"),
    [("POST", "/things"), ("get", "/things"), ("GET", "/Things"), ("GET", "/things/7/8/9"),
     ("GET", "/none/at/all/here")],
)  # fmt: skip
def test_what_fits_no_route_is_not_found(router: Router, method: str, path: str) -> None:
    assert router.match(method, path) is None


@pytest.mark.parametrize(
    "path",
    ["", "things", "//things", "/things/", "/things//7", "/./things", "/things/..",
     "/things/%2E%2E", "/things/%2F", "/things/a%2Fb", "/things/a%5Cb", "/things/a\\b",
     "/things/7;v=1",
     "/things/%00", "/things/%0A", "/things?x=1", "/things#x", "/%74hings", "/things/%c3%a9",
     "/things/%C3", "/things/%", "/things/%4", "/things/%zz", "/things/a b", "/things/é",
     "/n/1.5", "/n/01", "/n/1e3", "/n/12345678901234567", "/o/True", "/o/1"],
)  # fmt: skip
def test_a_path_that_is_not_in_normal_form_is_refused(router: Router, path: str) -> None:
    with pytest.raises(PathRefused):
        router.match("GET", path)


def test_an_api_without_routes_has_none() -> None:
    assert Router(()).match("GET", "/") is None
