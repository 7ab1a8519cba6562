"""CONTRIBUTING's lists name files that exist, and all that exists already stands in them."""

from __future__ import annotations

import re
from collections.abc import Iterator
from pathlib import Path
from typing import get_args

import msgspec
import pytest

from policyd.language.policy import Formula
from policyd.tokens.settings.dialect_table import DIALECTS
from policyd.tooling.lint.rules import RULES

ROOT = Path(__file__).resolve().parents[2]
TEXT = (ROOT / "CONTRIBUTING.md").read_text(encoding="utf-8")
#: What the class of a formula is not named in: text, tree and editor know the operator by its sign.
BY_SIGN = {"grammar.lark", "nodes.py", "conditions.py", "completion.py", "cases", "semantics.md"}


class Added(msgspec.Struct, frozen=True):
    """Something that was added by one of the lists, and the words that it is known by."""

    section: str
    name: str
    words: tuple[str, ...]
    code: str = ""


def lists() -> dict[str, list[list[str]]]:
    """The paths that begin the lines of each list; a line may name one or the other."""
    found: dict[str, list[list[str]]] = {}
    for section in TEXT.split("\n### ")[1:]:
        title, _, body = section.partition("\n")
        lines = re.findall(r"^- (`[^`]+`(?: or `[^`]+`)*)", body, re.M)
        found[title] = [line.strip("`").split("` or `") for line in lines]
    return found


def existing() -> Iterator[Added]:
    for rule in RULES:
        name = rule.check.__module__.rpartition(".")[2]
        yield Added("A lint rule", name, (rule.code, name), rule.code)
    for dialect in DIALECTS:
        yield Added("A dialect", dialect, (f'"{dialect}"', f"`{dialect}`"))
    for service in ("admin", "authorization", "explanation"):
        yield Added("A service", service, (service, service.capitalize()))
    for formula in get_args(Formula):
        yield Added("An operator", formula.__name__, (formula.__name__,))
    for sink, name, said in (
        ("file", "FileSink", "path"),
        ("stdout", "StandardOutput", "stdout"),
        ("http", "HttpDestination", "http"),
        ("otlp", "OtlpForm", "otlp"),
    ):
        yield Added("A sink of the decision log", sink, (name, said))
    for source in ("file", "redis"):
        yield Added("A source of revocations", source, (source, source.capitalize()))


def test_every_way_to_add_is_listed() -> None:
    assert set(lists()) == {one.section for one in existing()}


def test_what_exists_is_all_that_exists() -> None:
    """Where a package is the registry, its modules are counted."""
    known = {(one.section, one.name) for one in existing()}
    for section, folder, others in (
        ("A lint rule", "policyd/tooling/lint/rules", set()),
        (
            "A sink of the decision log",
            "policyd/audit/sinks",
            {"sink", "destination", "fed", "rotation"},
        ),
    ):
        modules = {path.stem for path in (ROOT / folder).glob("[!_]*.py")} - others
        assert {name for of, name in known if of == section} == modules
    protos = {path.stem for path in (ROOT / "proto/policyd/v1").glob("*.proto")}
    assert {name for of, name in known if of == "A service"} == protos


#: What stands in `build/` a command makes.
PATHS = {
    path for path in re.findall(r"`([\w./-]+/[\w./-]*)`", TEXT) if not path.startswith("build/")
}


@pytest.mark.parametrize("path", sorted(PATHS))
def test_each_path_exists(path: str) -> None:
    assert list(ROOT.glob(re.sub("NAME|CODE", "*", path)))


@pytest.mark.parametrize("added", list(existing()), ids=lambda one: f"{one.section}: {one.name}")
def test_what_exists_stands_where_the_list_says(added: Added) -> None:
    for one_or_other in lists()[added.section]:
        assert any(stands_in(added, listed) for listed in one_or_other), one_or_other


def stands_in(added: Added, listed: str) -> bool:
    path = ROOT / listed.replace("NAME", added.name).replace("CODE", added.code)
    if "NAME" in listed or "CODE" in listed:
        return path.exists() or "test_NAME" in listed
    return is_free(added, path) or any(word in text for text in texts(path) for word in added.words)


def is_free(added: Added, path: Path) -> bool:
    """What need not say anything of it."""
    if added.section == "A dialect":
        # Rows that tell all; dialects after a standard, whose tests are those of the standard.
        return path.name == "writing.py" or added.name in ("rfc9068", "oidc")
    return added.section == "An operator" and path.name in BY_SIGN


def texts(path: Path) -> Iterator[str]:
    for one in sorted(path.rglob("*")) if path.is_dir() else [path]:
        if one.is_file() and one.suffix != ".pyc":
            yield one.read_text(encoding="utf-8")


@pytest.mark.parametrize("target", re.findall(r"`make ([a-z]+)`", TEXT))
def test_each_command_exists(target: str) -> None:
    makefile = (ROOT / "Makefile").read_text(encoding="utf-8")
    assert re.search(rf"^{target}:", makefile, re.M)
