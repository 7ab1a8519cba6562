from __future__ import annotations

import json
from pathlib import Path

import pytest

from tests.support.cli import Run
from tests.support.tooling import POLICY, write

POLICIES = POLICY + (
    'route GET "/invoices" as list on invoice\n'
    'route PUT "/invoices/{id}/{number}" as view on invoice\n'
)


def test_the_table(policyd: Run, tmp_path: Path) -> None:
    write(tmp_path, health=POLICIES)
    result = policyd("routes", tmp_path)
    assert result.code == 0
    assert result.out == (
        "API     METHOD  PATH                     ACTION  RESOURCE\n"
        "health  GET     /invoices                list    invoice\n"
        "health  PUT     /invoices/{id}/{number}  view    invoice\n"
    )
    assert result.err == "1 file: 2 routes\n"


def test_json(policyd: Run, tmp_path: Path) -> None:
    write(tmp_path, health=POLICIES)
    routes = json.loads(policyd("routes", tmp_path, "--format", "json").out)["routes"]
    assert routes[1] == {
        "api": "health", "method": "PUT", "path": "/invoices/{id}/{number}", "action": "view",
        "resource": "invoice",
    }  # fmt: skip


def test_where_a_request_leads(policyd: Run, tmp_path: Path) -> None:
    write(tmp_path, health=POLICIES)
    result = policyd("routes", tmp_path, "--request", "PUT", "/invoices/a%20b/7")
    assert result.code == 0
    assert result.out.endswith('    resource.id = "a b"\n    resource.number = 7\n')


@pytest.mark.parametrize(
    ("target", "code", "said"),
    [
        ("/none", 1, "no route fits PUT /none"),
        ("/invoices//x", 2, "empty segment"),
        ("/invoices/%c3%a9/7", 2, "write `%C3%A9`, upper-case"),
        ("/invoices/a/7?x=1", 2, "without the query"),
    ],
)
def test_a_request_that_leads_nowhere(
    policyd: Run, tmp_path: Path, target: str, code: int, said: str
) -> None:
    write(tmp_path, health=POLICIES)
    result = policyd("routes", tmp_path, "--request", "PUT", target)
    assert (result.code, result.out) == (code, "")
    assert said in result.err


def test_a_method_in_lower_case_is_named(policyd: Run, tmp_path: Path) -> None:
    write(tmp_path, health=POLICIES)
    result = policyd("routes", tmp_path, "--request", "put", "/none")
    assert "no route fits put /none; methods are upper-case: PUT" in result.err


def test_policies_with_an_error(policyd: Run, tmp_path: Path) -> None:
    write(tmp_path, health=POLICY + 'route GET "invoices" as list on invoice\n')
    result = policyd("routes", tmp_path)
    assert result.code == 1
    assert "P1027" in result.out


def test_policies_without_routes(policyd: Run, tmp_path: Path) -> None:
    write(tmp_path, health=POLICY)
    result = policyd("routes", tmp_path)
    assert (result.code, result.out, result.err) == (0, "", "1 file: 0 routes\n")
