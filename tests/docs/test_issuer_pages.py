"""The pages of the issuers, word by word in an empty folder: up to an allowed and a denied call.

A key of one's own stands in for the issuer, and its tokens are those of the issuer's dialect.
"""

from __future__ import annotations

from pathlib import Path

import pytest

from policyd.tokens.settings.dialect_table import DIALECTS
from tests.support.commands import environment, printed_by, sessions
from tests.support.documents import FOLLOWED, ROOT, fences
from tests.support.ports import free_port
from tests.support.word_by_word import reading

PAGES = [name for name in FOLLOWED if name != "tutorial.md"]
page = pytest.mark.parametrize("name", PAGES)


def test_each_issuer_with_a_page_has_a_dialect_and_a_section_of_tokens() -> None:
    tokens = (ROOT / "docs" / "tokens.md").read_text(encoding="utf-8")
    for name in PAGES:
        assert Path(name).stem in DIALECTS
        assert f"({name})" in tokens


@pytest.mark.slow
@page
def test_word_by_word(name: str, tmp_path: Path) -> None:
    with reading(tmp_path, environment()) as reader:
        reader.follow(fences(ROOT / "docs" / name), str(free_port()))
    assert printed_by("policyd fmt --check policies", tmp_path) == "1 file, 0 to format\n"
    assert printed_by("policyd check --config policyd.toml", tmp_path).endswith(
        "1 file: 0 errors, 0 warnings\n"
    )


@page
def test_ends_with_an_allowed_and_a_denied_call(name: str) -> None:
    shown = [out for fence in fences(ROOT / "docs" / name) for _, out in sessions(fence.text)]
    decisions = [one.split()[1] for one in shown if one.startswith("decision:")]
    assert decisions == ["allow", "deny"]


@page
def test_every_block_is_a_file_or_typed(name: str) -> None:
    for fence in fences(ROOT / "docs" / name):
        assert fence.file is not None or sessions(fence.text), fence
