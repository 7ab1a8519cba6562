"""The reference names all that the language has, with an example each."""

from __future__ import annotations

import re

import pytest

from policyd.language import limits
from policyd.language.types import TOKEN_FACTS, Type
from tests.docs.test_grammar import RULES
from tests.support.documents import ROOT, fences

PAGE = ROOT / "docs" / "reference.md"
TEXT = PAGE.read_text(encoding="utf-8")
EXAMPLES = "\n".join(fence.text for fence in fences(PAGE))
SECTIONS = (
    re.findall(r'"(\w+)"', " ".join(RULES[name] for name in ("head", "effect")))
    + [
        name
        for name in re.findall(r"\w+", RULES["section"])
        if name not in ("rule", "proof", "test", "fixture")
    ]
    + ["prove"]
)
OPERATORS = [
    " ".join(re.findall(r'"([^"]+)"', alternative)) for alternative in RULES["operator"].split("|")
]


@pytest.mark.parametrize("section", SECTIONS)
def test_every_section(section: str) -> None:
    assert f"\n### {section}\n" in TEXT
    assert re.search(rf"^(\s|)*{section}\b", EXAMPLES, flags=re.MULTILINE)


@pytest.mark.parametrize("name", TOKEN_FACTS)
def test_every_name_of_the_token(name: str) -> None:
    assert f"| `token.{name}` | `{TOKEN_FACTS[name].type}` |" in TEXT
    assert f"token.{name}" in EXAMPLES


@pytest.mark.parametrize("type_", Type)
def test_every_type(type_: Type) -> None:
    assert f"\n### {'set' if type_.element else type_}\n" in TEXT
    assert re.search(rf": +{re.escape(type_)}\??\s", EXAMPLES)


@pytest.mark.parametrize("operator", [*OPERATORS, "is present", "is missing"])
def test_every_operator(operator: str) -> None:
    assert f"`{operator}`" in TEXT
    assert f" {operator} " in EXAMPLES or f" {operator}\n" in EXAMPLES


def test_the_limits() -> None:
    numbers = set(re.findall(r"[\d,]{2,}", TEXT.partition("\n## Limits\n")[2]))
    in_code = (
        *(limits.FILE_CHARACTERS, limits.FILE_TOKENS, limits.DECLARATION_TOKENS),
        *(limits.NAME_CHARACTERS, limits.TEXT_CHARACTERS, limits.NESTING, limits.OPERANDS),
        *(
            limits.LIST_ITEMS,
            limits.VALUES,
            limits.INCLUSIONS,
            limits.RULES,
            limits.TRIALS,
            limits.TRIAL,
        ),
    )
    assert numbers == {f"{number:,}" for number in in_code}
