"""ARCHITECTURE.md names what is there, and everything that the project depends on."""

from __future__ import annotations

import ast
import re
import sys
import tomllib

import pytest

from tests.support.documents import ROOT

TEXT = (ROOT / "ARCHITECTURE.md").read_text(encoding="utf-8")
PACKAGE = ROOT / "policyd"
NAMED = sorted(set(re.findall(r"`([a-z0-9_]+(?:/[a-z0-9_.]*)+)`", TEXT)))
#: What a package is imported as, where it is not its name.
MODULES = {
    "googleapis-common-protos": "google",
    "grpcio": "grpc",
    "prometheus-client": "prometheus_client",
    "grpcio-health-checking": "grpc_health",
    "grpcio-reflection": "grpc_reflection",
    "opentelemetry-exporter-otlp": "opentelemetry",
    "opentelemetry-proto": "opentelemetry",
    "opentelemetry-sdk": "opentelemetry",
    "protobuf": "google",
    "Pygments": "pygments",
    "PyJWT": "jwt",
    "PyYAML": "yaml",
    "python-sat": "pysat",
}


def section(title: str) -> str:
    return TEXT.partition(f"\n## {title}\n")[2].partition("\n## ")[0]


@pytest.mark.parametrize("path", NAMED)
def test_paths_exist(path: str) -> None:
    stages = (PACKAGE / name for name in ("audit", "language", "tokens", "pdp", "server"))
    folders = (PACKAGE, ROOT, ROOT / "tests", *stages)
    assert any((folder / path).exists() for folder in folders)


def test_names_each_package() -> None:
    packages = {path.parent.name for path in PACKAGE.glob("*/__init__.py")}
    named = set(re.findall(r"`(\w+)/`", section("Floors")))
    assert packages <= named


def test_names_each_folder_of_tests() -> None:
    (paragraph,) = re.findall(r"^`tests/` has .*$", TEXT, re.MULTILINE)
    names = {path.name for path in (ROOT / "tests").iterdir() if path.is_dir()}
    folders = {name for name in names if name[0] not in "_."}
    assert folders | {"tests"} == set(re.findall(r"`(\w+)/`", paragraph.partition(" `proto/`")[0]))


def test_gives_a_reason_for_each_dependency() -> None:
    rows = re.findall(r"^\| ([^|]+) \| [^|]+ \|$", section("Dependencies"), re.MULTILINE)
    explained = {name.strip() for row in rows for name in row.split(",")}
    assert explained - {"package", "---"} == dependencies()


def test_depends_on_what_it_imports_and_on_nothing_else() -> None:
    modules = {MODULES.get(name, name) for name in dependencies()}
    imported = {
        name
        for path in PACKAGE.rglob("*.py")
        for node in ast.walk(ast.parse(path.read_text(encoding="utf-8")))
        for name in imports(node)
    }
    assert imported - sys.stdlib_module_names - {"policyd"} == modules


def dependencies() -> set[str]:
    project = tomllib.loads((ROOT / "pyproject.toml").read_text(encoding="utf-8"))["project"]
    extras = project["optional-dependencies"].values()
    requirements = [*project["dependencies"], *(name for extra in extras for name in extra)]
    return {re.split(r"[<>=\[]", requirement)[0] for requirement in requirements}


def imports(node: ast.AST) -> list[str]:
    """Return the top-level names that a statement imports."""
    match node:
        case ast.Import(names=names):
            return [alias.name.partition(".")[0] for alias in names]
        case ast.ImportFrom(module=str(module), level=0):
            return [module.partition(".")[0]]
    return []
