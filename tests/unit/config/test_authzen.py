"""The table `[authzen]`: a URL that is one, and nobody who could say that it is anybody."""

from __future__ import annotations

from pathlib import Path

import pytest

from tests.unit.config.test_configuration import configured
from tests.unit.config.test_reach import MUTUAL, headlines, table

ASSERTED = '[authzen]\nasserted = ["health"]\n'
SERVICES = '["authzen"]'


def test_defaults(tmp_path: Path) -> None:
    made = configured(tmp_path, table(services=SERVICES)).authzen
    assert (made.policy_decision_point, made.api, made.asserted) == (None, "", ())
    assert not made.asserted_scopes


@pytest.mark.parametrize("url", ["pdp", "http://pdp.example", "https://pdp.example/?a", "https://"])
def test_the_decision_point_is_an_https_url(tmp_path: Path, url: str) -> None:
    text = f'{table(services=SERVICES)}[authzen]\npolicy_decision_point = "{url}"\n'
    ((code, headline),) = headlines(tmp_path, text)
    assert (code, headline) == ("P5004", f"`{url}` is no URL of a decision point")


@pytest.mark.parametrize(
    ("lines", "address", "services", "refused"),
    [
        ("", "127.0.0.1:1", SERVICES, True),
        ("", "unix:s", SERVICES, False),
        ('token_file = "t"', "127.0.0.1:1", SERVICES, False),
        (MUTUAL, "127.0.0.1:1", SERVICES, False),
        ("insecure = true", "127.0.0.1:1", SERVICES, False),
        ("", "127.0.0.1:1", '["connect"]', False),
    ],
)
def test_whoever_asserts_is_known(
    tmp_path: Path, lines: str, address: str, services: str, refused: bool
) -> None:
    found = headlines(tmp_path, table(lines, address, services) + ASSERTED)
    assert [code for code, _ in found] == ["P5004"] * refused
