"""The files that a configuration names: each that is of no use is named, at its line."""

from __future__ import annotations

from pathlib import Path

import pytest

from policyd.config.configuration import examine
from policyd.diagnostics import Diagnostic
from policyd.tokens.minting import key_set_text
from tests.support.certificates import self_signed
from tests.support.tokens import key

HEAD = '[policies]\npath = "policies"\n'
ISSUER = '[[issuers]]\nissuer = "https://issuer.example/"\ndialect = "auth0"\n'
KEYS = f'{ISSUER}jwks_file = "jwks.json"\n'
TLS = '[server.tls]\ncertificate = "{}"\nprivate_key = "{}"\n'
ASKED = (
    '[issuers.introspection]\nendpoint = "https://issuer.example/introspect"\nclient_id = "us"\n'
)
REDIS = '[revocations.redis]\nurl = "rediss://redis.example"\n'


@pytest.fixture(autouse=True)
def folder(tmp_path: Path) -> Path:
    (tmp_path / "jwks.json").write_bytes(key_set_text(key()))
    (tmp_path / "garbage").write_bytes(b"garbage")
    pair = self_signed()
    (tmp_path / "cert.pem").write_bytes(pair.certificate)
    (tmp_path / "key.pem").write_bytes(pair.key)
    (tmp_path / "other.pem").write_bytes(self_signed().key)
    return tmp_path


def examined(folder: Path, text: str) -> tuple[bool, list[Diagnostic]]:
    (folder / "policyd.toml").write_text(HEAD + text)
    configuration, found = examine(folder / "policyd.toml", files=True)
    return configuration is not None, list(found)


def line(found: Diagnostic) -> str:
    assert found.primary is not None
    source = found.primary.source
    return source.line(source.position(found.primary.span.start).line)


def test_what_is_in_order_is_not_told(folder: Path) -> None:
    assert examined(folder, KEYS) == (True, [])


@pytest.mark.parametrize(
    ("text", "code", "says", "place"),
    [
        (f'{ISSUER}jwks_file = "no"', "P5008", "cannot be read: No such file", "jwks_file"),
        (f'{ISSUER}jwks_file = "garbage"', "P5008", "`jwks_file` cannot be used", "jwks_file"),
        (f'{ISSUER}jwks_file = "."', "P5008", "cannot be read: it is a directory", "jwks_file"),
        (
            f'[decision_log]\npath = "."\n{KEYS}',
            "P5008",
            "cannot be written: Is a directory",
            "path",
        ),
        (f'[decision_log]\npath = "no/x"\n{KEYS}', "P5008", "written: No such file", "path"),
        (f'[decision_log]\npath = "garbage/x"\n{KEYS}', "P5008", "Not a directory", "path"),
        (f'{ISSUER}ca_file = "no"', "P5006", "no`: No such file", "ca_file"),
        (f'{ISSUER}ca_file = "garbage"', "P5006", "holds no certificate in PEM", "ca_file"),
        (TLS.format("no", "key.pem") + KEYS, "P5008", "no`: No such file", "certificate"),
        (TLS.format("cert.pem", "no") + KEYS, "P5008", "no`: No such file", "private_key"),
        (TLS.format("garbage", "key.pem") + KEYS, "P5008", "no certificate", "certificate"),
        (TLS.format("cert.pem", "garbage") + KEYS, "P5008", "no private key", "private_key"),
        (TLS.format("cert.pem", "other.pem") + KEYS, "P5008", "not the certificate", "certificate"),
        (
            TLS.format("cert.pem", "key.pem") + 'client_authorities = "garbage"\n' + KEYS,
            "P5008",
            "no certificate in PEM",
            "client_authorities",
        ),
        (
            f'{KEYS}{ASKED}client_secret_file = "no"',
            "P5006",
            "`client_secret_file` cannot be read",
            "client_secret_file",
        ),
        (
            f'{KEYS}{ASKED}private_key_file = "garbage"',
            "P5006",
            "`private_key_file` is no private JWK",
            "private_key_file",
        ),
        (f'{REDIS}password_file = "no"\n{KEYS}', "P5008", "no`: No such file", "password_file"),
        (f'{REDIS}ca_file = "garbage"\n{KEYS}', "P5006", "no certificate in PEM", "ca_file"),
        (
            f'{REDIS}certificate = "cert.pem"\nprivate_key = "other.pem"\n{KEYS}',
            "P5008",
            "not the certificate",
            "certificate",
        ),
    ],
)
def test_a_file_of_no_use_is_named_at_its_line(
    folder: Path, text: str, code: str, says: str, place: str
) -> None:
    usable, found = examined(folder, text)

    (one,) = found
    assert not usable
    assert one.code == code
    assert says in one.headline
    assert line(one).startswith(f"{place} =")


def test_of_several_issuers_the_right_one_is_meant(folder: Path) -> None:
    second = ISSUER.replace("issuer.example", "other.example") + 'apis = ["b"]\njwks_file = "no"\n'

    _, found = examined(folder, f'{KEYS}apis = ["a"]\n{second}')

    (one,) = found
    assert one.primary is not None
    assert one.primary.source.position(one.primary.span.start).line == 12


def test_a_certificate_out_of_its_time_is_a_warning(folder: Path) -> None:
    usable, (one,) = examined(folder, TLS.format("cert.pem", "key.pem") + KEYS)

    assert usable
    assert "has expired: it ended at 2024-02-22T22:13:20Z" in one.headline
    assert line(one).startswith("certificate =")
