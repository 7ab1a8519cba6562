"""The cook-book's recipes are whole, and what it says of hand-written checks is so."""

from __future__ import annotations

import re
from collections.abc import Callable, Iterator
from itertools import product
from pathlib import Path
from typing import cast

import pytest

from policyd.decision.model import Request
from policyd.diagnostics import Source
from policyd.json_types import Json
from policyd.language import load
from tests.support.commands import printed_by
from tests.support.documents import ROOT, fences
from tests.support.program import engine, token

PAGE = ROOT / "docs" / "cookbook.md"
SECTIONS = re.split(r"^## ", PAGE.read_text(encoding="utf-8"), flags=re.MULTILINE)[1:]
Values = dict[str, Json]


@pytest.mark.parametrize("section", SECTIONS, ids=lambda section: section.partition("\n")[0])
def test_a_recipe_is_whole(section: str) -> None:
    kinds = re.findall(r"^```(\w.*)$", section, flags=re.MULTILINE)
    assert {"policy", "policy test"} <= set(kinds)
    assert section.count("\n**Take care:** ") == 1
    assert section.rstrip().rpartition("\n\n")[2].startswith("**Take care:** ")


def test_there_are_recipes_for_twenty_situations() -> None:
    assert len(SECTIONS) >= 20


def test_the_contents_name_each_recipe() -> None:
    contents = PAGE.read_text(encoding="utf-8").partition("\n## ")[0]
    titles = [section.partition("\n")[0] for section in SECTIONS]
    anchors = [re.sub(r"[^a-z -]", "", title.lower()).replace(" ", "-") for title in titles]
    assert re.findall(r"\(#([^)]+)\)", contents) == anchors


def test_the_linter_has_nothing_to_say(tmp_path: Path) -> None:
    for fence in fences(PAGE):
        (api, *_) = re.findall(r"^api (\w+)$", fence.text, flags=re.MULTILINE) or [""]
        suffix = {"policy": ".policy", "policy test": "_test.policy"}.get(fence.kind)
        if suffix is not None:
            path = tmp_path / "policies" / api / f"{api}{suffix}"
            path.parent.mkdir(parents=True, exist_ok=True)
            path.write_text(fence.text, encoding="utf-8")
    printed = printed_by("policyd lint policies", tmp_path)
    assert printed == f"{2 * len(SECTIONS)} files: 0 errors, 0 warnings\n"


def situations() -> Iterator[tuple[str, Values, Values]]:
    """Yield scopes, claims and documents, in all combinations; `None` leaves one out."""
    scopes = ("", "edit:documents", "edit:documents:own", "read:documents edit:documents")
    names, editors = (None, "red", "blue"), (None, "ann", "bob")
    for scope, org, own_org, editor in product(scopes, names, names, editors):
        claims: Values = {"sub": "ann", "org_id": org}
        document: Values = {"org_id": own_org, "locked_by": editor}
        yield scope, present(claims), present(document)


def present(values: Values) -> Values:
    return {name: value for name, value in values.items() if value is not None}


def test_the_hand_written_check_has_the_two_holes_that_are_named() -> None:
    (check,) = (fence for fence in fences(PAGE) if fence.kind == "python check")
    names: dict[str, object] = {}
    exec(compile(check.text, str(check), "exec"), names)
    may_edit = cast(Callable[[Values, Values], bool], names["may_edit"])
    (policy,) = (
        fence
        for fence in fences(PAGE)
        if fence.kind == "policy" and "\napi documents\n" in fence.text
    )
    policies = load([Source("documents.policy", policy.text)]).policies
    assert policies is not None
    holes = set()
    for scope, claims, document in situations():
        verified = token(scope.split(), claims, subject="ann")
        request = Request("a.b.c", "documents", "edit", "document", "d1", document, {})
        allowed = engine(policies, verified).check(request).allowed
        if may_edit({**claims, "scope": scope}, document) is not allowed:
            assert not allowed
            no_organisation = "org_id" not in claims and "org_id" not in document
            assert no_organisation or scope == "edit:documents:own"
            holes.add((no_organisation, scope == "edit:documents:own"))
    assert holes == {(True, False), (False, True), (True, True)}
