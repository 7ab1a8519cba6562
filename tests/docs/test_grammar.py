"""The published grammar and its diagrams are the parser's, and the grammar reads the samples."""

from __future__ import annotations

import re
from functools import cache

import pytest
from lark import Lark
from lark.exceptions import UnexpectedInput

from scripts.grammar_docs import DIAGRAMS, EBNF, GRAMMAR, REFUSED, stale
from tests.support.documents import ROOT

TEXT = EBNF.read_text(encoding="utf-8").partition("*/")[2]
RULES = dict(re.findall(r"^(\w+) ::= ((?:.|\n +)*)$", TEXT, flags=re.MULTILINE))
SAMPLES = sorted((ROOT / "policies").rglob("*.policy"))


def test_is_up_to_date() -> None:
    assert stale() == []


def test_leaves_out_what_the_grammar_has_and_no_more() -> None:
    text = GRAMMAR.read_text(encoding="utf-8")
    for name in REFUSED:
        assert re.search(rf"^!?{name}:|-> {name}$", text, flags=re.MULTILINE), name


def test_every_name_is_defined_and_used() -> None:
    named = {
        name
        for body in RULES.values()
        if not body.startswith("/")
        for name in re.findall(r"\w+", re.sub(r'"[^"]*"', "", body))
    }
    assert named == RULES.keys() - {"file"}


def test_every_rule_has_a_diagram() -> None:
    drawn = {path.stem for path in DIAGRAMS.glob("*.svg")}
    assert drawn == {name for name in RULES if name.islower()} - {"file"}


@cache
def published() -> Lark:
    """A parser made of nothing but the published text."""
    grammar = re.sub(r" ::= ", ": ", TEXT) + '%ignore /[ \\t\\r\\n]+/\nCOMMENT.5: "//" /[^\\n]*/\n'
    # Tokens stand in the order of their reading, which Lark takes from numbers.
    tokens = [name for name, body in RULES.items() if body.startswith("/")]
    for number, name in enumerate(reversed(tokens)):
        priority = 0 if name == "NAME" else 10 + number
        grammar = grammar.replace(f"\n{name}: /", f"\n{name}.{priority}: /")
    return Lark(grammar + "%ignore COMMENT\n", parser="lalr", lexer="basic", start=STARTS)


STARTS = ["head", "declaration"]


def declarations(text: str) -> list[str]:
    """Cut a file where the header says that declarations begin."""
    pieces: list[str] = []
    documentation = ""
    for part in re.split(r"\n(?=[^\s}])", text):
        if part.startswith("//"):
            documentation += f"{part}\n"
        else:
            pieces.append(documentation + part)
            documentation = ""
    return pieces


@pytest.mark.parametrize("sample", SAMPLES, ids=lambda path: path.name)
def test_reads_the_samples(sample: str) -> None:
    head, *others = declarations((ROOT / sample).read_text(encoding="utf-8"))
    published().parse(head, start="head")
    for piece in others:
        published().parse(piece, start="declaration")


@pytest.mark.parametrize(
    "text",
    [
        "prove x: allow read on patient",
        "allow reads:read on patient\n    when scope read:patients",
        "allow reads: read on patient when scope a or",
        "allow reads: read of patient",
        "scope read: patients",
    ],
)
def test_reads_no_mistakes(text: str) -> None:
    with pytest.raises(UnexpectedInput):
        published().parse(text, start="declaration")
