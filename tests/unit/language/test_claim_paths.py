"""Paths of claims that probably mean something else."""

from __future__ import annotations

import pytest

from policyd.diagnostics import Severity, Source
from policyd.language import load

HEAD = 'api a\n\naudience "https://a.example"\n\n'


def warned(text: str) -> list[tuple[str, str | None]]:
    loaded = load([Source("a.policy", HEAD + text)])
    assert loaded.policies is not None, loaded.diagnostics
    assert {one.severity for one in loaded.diagnostics} <= {Severity.WARNING}
    return [(one.code, one.help) for one in loaded.diagnostics]


def pointer(path: str) -> str:
    return f'a claim within objects has a JSON Pointer (RFC 6901): `"{path}"`'


@pytest.mark.parametrize(
    ("written", "meant"),
    [
        ("realm_access.roles", "/realm_access/roles"),
        ("$.realm_access.roles", "/realm_access/roles"),
        ("$.roles", "/roles"),
        ("$roles", "/roles"),
        ("resource_access.my-app.roles", "/resource_access/my-app/roles"),
    ],
)
def test_a_name_with_dots(written: str, meant: str) -> None:
    assert warned(f'claim x: string? from "{written}"') == [("P1034", pointer(meant))]


@pytest.mark.parametrize(
    "written",
    ["roles", "cognito:groups", "https://example.com/roles", "a..b", "example.com/role", "a.1 b"],
)
def test_an_ordinary_name(written: str) -> None:
    assert warned(f'claim x: string? from "{written}"') == []


@pytest.mark.parametrize("path", ["/groups/0", "/0", "/a/12/b", "/a/-"])
def test_a_step_like_an_index(path: str) -> None:
    assert [code for code, _ in warned(f'claim x: string? from "{path}"')] == ["P1036"]


@pytest.mark.parametrize("path", ["/groups/a0", "/0a", "/a/1b"])
def test_a_step_with_a_number_in_it(path: str) -> None:
    assert warned(f'claim x: string? from "{path}"') == []


@pytest.mark.parametrize(
    ("text", "codes"),
    [
        ('claim x: string? from "/a/b"\nclaim y: int? from "/a/b"', ["P1038"]),
        ('claim x: string? from "/a"\nclaim a: int?', ["P1038"]),
        ('claim x: set<string>? from "/a/b"\nclaim y: string? from "/a"', ["P1038"]),
        ('claim x: string? from "/a/b"\nclaim y: string? from "/a/c"', []),
        ('claim x: string? from "/a/b"\nuserinfo y: string? from "/a/b"', []),
        (
            'claim x: string? from "a" of "https://one"\nclaim y: string? from "a" of "https://two"',
            [],
        ),
        ('claim x: string? from "a" of "https://one"\nclaim y: string? from "a"', ["P1038"]),
    ],
)
def test_two_claims_on_one_path(text: str, codes: list[str]) -> None:
    assert [code for code, _ in warned(text)] == codes
