"""What quotes of a refusal's detail say of themselves, so that a mask can cover them.

Modules that refuse tokens quote with `quote`, `configured` or `parameter`. `escaped` says nothing
of where a value is from; there it serves members of a record that have masks of their own.
"""

from __future__ import annotations

import ast
from collections.abc import Iterator
from pathlib import Path

import pytest

from policyd import tokens

ROOT = Path(tokens.__file__).parent
MODULES = sorted(
    [
        *ROOT.glob("claims/*.py"),
        *ROOT.glob("proof/*.py"),
        ROOT / "introspection" / "introspector.py",
        ROOT / "introspection_pipeline.py",
        ROOT / "steps.py",
        ROOT / "userinfo.py",
        ROOT / "validator.py",
    ]
)
SILENT = {"escaped", "escaped_member", "ascii", "repr"}


def silent_quotes(tree: ast.AST) -> Iterator[int]:
    """Yield the line of each quote that does not say where it is from."""
    for node in ast.walk(tree):
        if isinstance(node, ast.Assign) and all(
            isinstance(one, ast.Attribute) and one.attr.startswith("unverified_")
            for one in node.targets
        ):
            node.value = ast.Constant(None)  # such a member has a mask of its own
    for node in ast.walk(tree):
        if isinstance(node, ast.Name) and node.id in SILENT:
            yield node.lineno
        if isinstance(node, ast.FormattedValue) and node.conversion in map(ord, "ar"):
            yield node.lineno


@pytest.mark.parametrize("module", MODULES, ids=lambda path: str(path.relative_to(ROOT)))
def test_each_quote_says_where_it_is_from(module: Path) -> None:
    assert list(silent_quotes(ast.parse(module.read_text()))) == []


@pytest.mark.parametrize(
    ("text", "found"),
    [
        ('raise Refused(f"found {escaped(value)}")', 1),
        ('raise Refused(f"found {value!r}")', 1),
        ('raise Refused(f"found {quote(value)}")', 0),
        ("refusal.unverified_issuer = escaped(value)", 0),
        ("refusal.other = escaped(value)", 1),
    ],
)
def test_finds_quotes_that_do_not(text: str, found: int) -> None:
    assert len(list(silent_quotes(ast.parse(text)))) == found
