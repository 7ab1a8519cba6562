"""Every code and reason has a page, and the pages' examples are what they say."""

from __future__ import annotations

from pathlib import Path

import pytest

from policyd.config.configuration import load_configuration
from policyd.config.findings import ConfigurationInvalid
from policyd.diagnostics import CODES, catalogue
from policyd.reasons import Reason
from policyd.tooling import lint
from tests.support.catalogue import UNNOTICED, Example, examples, findings

# What no example on a page can show: bytes, sizes, invisible characters, and what depends on the
# machine or on the configuration beside the policy.
WITHOUT_EXAMPLE = {
    "P0001", "P0002", "P0003", "P0014", "P0015", "P0027", "P0028", "P1017", "P1025", "P1040",
    "P5007",
    "P5008", "P5009", "P5013", "P5023", "P5024", "P5025", "P3104", "P3105", "P7002", "P7003",
}  # fmt: skip


def _page(name: str) -> str:
    page = catalogue.page(name)
    assert page is not None
    return page


def _examples(kind: str) -> list[str]:
    return [
        name
        for name in sorted(CODES)
        if any(example.kind == kind for example in examples(catalogue.page(name) or "").values())
    ]


def test_every_code_and_reason_has_a_page_and_nothing_else_has() -> None:
    assert set(catalogue.names()) == {*CODES, *Reason.__members__}


@pytest.mark.parametrize("code", sorted(CODES))
def test_page_begins_with_code_and_title(code: str) -> None:
    assert _page(code).startswith(f"# {code}: {CODES[code]}\n\n")


@pytest.mark.parametrize("reason", sorted(Reason.__members__))
def test_page_of_a_reason_says_what_to_do(reason: str) -> None:
    assert _page(reason).startswith(f"# {reason}: ")
    assert "\n## What to do\n" in _page(reason)


def test_pages_without_an_example_are_known() -> None:
    without = {code for code in CODES if not examples(_page(code))}
    assert without == WITHOUT_EXAMPLE


@pytest.mark.parametrize("code", _examples("policy"))
def test_policy_example_has_exactly_this_finding(code: str) -> None:
    shown = examples(_page(code))
    rule = code if code in lint.NAMES or code == UNNOTICED else ""
    assert [found.code for found in findings(shown[True], rule)] == [code]
    assert findings(shown[False], rule) == ()


@pytest.mark.parametrize("code", _examples("toml"))
def test_configuration_example_has_exactly_this_finding(code: str, tmp_path: Path) -> None:
    shown = examples(_page(code))
    (tmp_path / "policies").mkdir()
    with pytest.raises(ConfigurationInvalid) as caught:
        load_configuration(_written(shown[True], tmp_path))
    assert [found.code for found in caught.value.diagnostics] == [code]
    assert load_configuration(_written(shown[False], tmp_path)).issuers


def _written(example: Example, folder: Path) -> Path:
    path = folder / "policyd.toml"
    path.write_text(example.files[0].text, encoding="utf-8")
    return path


def test_unknown_page() -> None:
    assert catalogue.page("P9999") is None
    assert catalogue.page("README") is None
