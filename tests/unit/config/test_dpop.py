"""`[dpop]` and `require_binding`: what is read, and what is a finding."""

from __future__ import annotations

from pathlib import Path

import pytest

from policyd.config.configuration import Configuration, load_configuration
from policyd.config.findings import ConfigurationInvalid
from policyd.tokens.settings.dpop import DEFAULTS, DpopSettings
from policyd.tokens.settings.issuers import InvalidIssuerSettings
from tests.support.tokens import ISSUER, settings

HEAD = '[policies]\npath = "policies"\n'
TRUSTED = f'[[issuers]]\nissuer = "{ISSUER}"\ndialect = "auth0"\njwks_file = "jwks.json"\n'


def configured(tmp_path: Path, dpop: str, issuer: str = "") -> Configuration:
    path = tmp_path / "policyd.toml"
    path.write_text(f"{HEAD}{dpop}\n{TRUSTED}{issuer}")
    return load_configuration(path)


def finding(tmp_path: Path, dpop: str, issuer: str = "") -> tuple[str, str, str]:
    """Return of the one finding code, headline, and the line that is pointed at."""
    with pytest.raises(ConfigurationInvalid) as caught:
        configured(tmp_path, dpop, issuer)
    (found,) = caught.value.diagnostics
    assert found.primary is not None
    source, span = found.primary.source, found.primary.span
    line = source.text[source.text.rfind("\n", 0, span.start) + 1 :].partition("\n")[0]
    return found.code, found.headline, line


def test_the_defaults(tmp_path: Path) -> None:
    made = configured(tmp_path, "")
    assert made.dpop == DEFAULTS
    assert made.issuers[0].require_binding is False


def test_all_that_can_be_said(tmp_path: Path) -> None:
    (tmp_path / "secret").write_bytes(b"x" * 40 + b"\n")
    made = configured(
        tmp_path,
        '[dpop]\nmax_age = 30\nleeway = 0\nalgorithms = ["ES256"]\nnonce = true\n'
        'nonce_secret_file = "secret"\nnonce_lifetime = 60\nreplay_entries = 5\n'
        "replay_per_key = 2\n",
    )
    assert made.dpop == DpopSettings(
        max_age=30,
        leeway=0,
        algorithms=("ES256",),
        nonce=True,
        nonce_secret=b"x" * 40,
        nonce_lifetime=60,
        replay_entries=5,
        replay_per_key=2,
    )


@pytest.mark.parametrize(
    ("line", "code", "said"),
    [
        ("max_age = 0", "P5004", "`dpop.max_age` must lie from 1 to 600, found 0"),
        ('algorithms = ["HS256"]', "P5004", "`dpop.algorithms` has 'HS256'"),
        ('nonce_secret_file = "short"', "P5004", "must hold at least 32 bytes"),
        ('nonce_secret_file = "none"', "P5008", "`none`: No such file or directory"),
        ("max_ages = 1", "P5002", "unknown key `dpop.max_ages`"),
        ("nonce = 1", "P5004", "`dpop.nonce` does not fit"),
    ],
)
def test_what_makes_no_sense(tmp_path: Path, line: str, code: str, said: str) -> None:
    (tmp_path / "short").write_bytes(b" " + b"x" * 31 + b"\n")
    found = finding(tmp_path, f"[dpop]\n{line}\n")
    assert (found[0], found[2]) == (code, line)
    assert said in found[1]


@pytest.mark.parametrize("value", ["false", '"dpop"', '"mtls"', '"any"'])
def test_what_an_issuer_may_have_to_do(tmp_path: Path, value: str) -> None:
    made = configured(tmp_path, "", f"require_binding = {value}\n")
    expected: object = False if value == "false" else value.strip('"')
    assert made.issuers[0].require_binding == expected


@pytest.mark.parametrize("value", ["true", '"DPoP"', '""', "1"])
def test_what_no_issuer_can_do(tmp_path: Path, value: str) -> None:
    line = f"require_binding = {value}"
    found = finding(tmp_path, "", line + "\n")
    assert (found[0], found[2]) == ("P5004", line)


def test_settings_are_checked_without_a_configuration_too() -> None:
    with pytest.raises(InvalidIssuerSettings, match="`require_binding` must be false") as found:
        settings(require_binding="yes")
    assert found.value.setting == "require_binding"
