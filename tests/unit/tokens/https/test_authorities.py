"""Certificate authorities: which ones strict verification (Python 3.13) refuses, and why."""

from __future__ import annotations

import datetime as dt
import os
import ssl
from pathlib import Path

import pytest
from cryptography import x509
from cryptography.hazmat.primitives import hashes
from cryptography.hazmat.primitives.asymmetric import ec
from cryptography.hazmat.primitives.serialization import Encoding
from cryptography.x509.oid import NameOID

from policyd.tokens.assembly import open_issuers
from policyd.tokens.https.authorities import (
    Authorities,
    AuthoritiesUnusable,
    advice,
    read_authorities,
)
from policyd.tokens.settings.issuers import InvalidIssuerSettings
from tests.support.tokens import Clock, settings

BEGIN = dt.datetime(2026, 1, 1, tzinfo=dt.UTC)
USAGE = x509.KeyUsage(
    digital_signature=False,
    content_commitment=False,
    key_encipherment=False,
    data_encipherment=False,
    key_agreement=False,
    key_cert_sign=True,
    crl_sign=True,
    encipher_only=False,
    decipher_only=False,
)
SIGNS_NOTHING = x509.KeyUsage(
    digital_signature=True,
    content_commitment=False,
    key_encipherment=False,
    data_encipherment=False,
    key_agreement=False,
    key_cert_sign=False,
    crl_sign=False,
    encipher_only=False,
    decipher_only=False,
)


def authority(
    *,
    ca: bool = True,
    critical: bool = True,
    usage: x509.KeyUsage | None = USAGE,
    identifier: bool = True,
) -> bytes:
    key = ec.generate_private_key(ec.SECP256R1())
    name = x509.Name([x509.NameAttribute(NameOID.COMMON_NAME, "Our Root")])
    made = (
        x509.CertificateBuilder()
        .subject_name(name)
        .issuer_name(name)
        .public_key(key.public_key())
        .serial_number(1)
        .not_valid_before(BEGIN)
        .not_valid_after(BEGIN + dt.timedelta(days=3650))
        .add_extension(x509.BasicConstraints(ca=ca, path_length=None), critical=critical)
    )
    if usage is not None:
        made = made.add_extension(usage, critical=True)
    if identifier:
        found = x509.SubjectKeyIdentifier.from_public_key(key.public_key())
        made = made.add_extension(found, critical=False)
    return made.sign(key, hashes.SHA256()).public_bytes(Encoding.PEM)


def read(folder: Path, data: bytes, *, strict: bool = True) -> Authorities:
    path = folder / "ca.pem"
    path.write_bytes(data)
    return read_authorities(path, strict=lambda: strict)


def test_an_authority_by_the_letter_is_taken(tmp_path: Path) -> None:
    assert read(tmp_path, authority()) == Authorities((), usable=True)


@pytest.mark.parametrize(
    ("made", "lacks"),
    [
        (authority(critical=False), "`critical` in `basicConstraints`"),
        (authority(usage=None), "`keyUsage = keyCertSign`"),
        (authority(usage=SIGNS_NOTHING), "`keyUsage = keyCertSign`"),
        (authority(identifier=False), "`subjectKeyIdentifier = hash`"),
        (
            authority(usage=None, identifier=False),
            "`keyUsage = keyCertSign` and `subjectKeyIdentifier = hash`",
        ),
    ],
)
def test_what_an_authority_lacks_is_named(tmp_path: Path, made: bytes, lacks: str) -> None:
    found = read(tmp_path, made)

    (one,) = found.refused
    assert one.said == (
        f"Python 3.13 and newer refuse the authority CN=Our Root, which lacks {lacks} "
        "(RFC 5280, section 4.2.1)"
    )
    assert "openssl req -x509" in one.way_out
    assert not found.usable
    # An older Python takes it, and hears of it all the same.
    assert read(tmp_path, made, strict=False) == Authorities(found.refused, usable=True)


def test_one_that_is_taken_is_enough(tmp_path: Path) -> None:
    found = read(tmp_path, authority(identifier=False) + authority())

    assert found.usable
    assert len(found.refused) == 1


def test_a_servers_own_certificate_may_stand_for_it(tmp_path: Path) -> None:
    found = read(tmp_path, authority(ca=False))

    (one,) = found.refused
    assert "is no authority, and vouches for itself alone" in one.said
    assert found.usable


@pytest.mark.parametrize("data", [b"", b"garbage", authority()[:200]])
def test_what_holds_no_certificate_is_of_no_use(tmp_path: Path, data: bytes) -> None:
    with pytest.raises(AuthoritiesUnusable, match="holds no certificate in PEM"):
        read(tmp_path, data)


def test_a_file_that_is_away_is_named(tmp_path: Path) -> None:
    with pytest.raises(AuthoritiesUnusable, match="No such file"):
        read_authorities(tmp_path / "none.pem")


@pytest.mark.parametrize(
    ("code", "said"),
    [(85, "authorityKeyIdentifier"), (86, "subjectKeyIdentifier"), (92, "keyCertSign"), (10, None)],
)
def test_a_failed_handshake_has_a_way_out(code: int, said: str | None) -> None:
    problem = ssl.SSLCertVerificationError(1, "certificate verify failed")
    problem.verify_code = code

    found = advice(problem)

    assert found is None if said is None else said in str(found)


def test_what_is_no_file_is_not_waited_for(tmp_path: Path) -> None:
    os.mkfifo(tmp_path / "pipe")

    for path, kind in ((tmp_path / "pipe", "a pipe"), (Path("/dev/zero"), "a device")):
        with pytest.raises(AuthoritiesUnusable, match=f"it is {kind} and no file"):
            read_authorities(path)
        with pytest.raises(InvalidIssuerSettings, match=f"`ca_file` .*it is {kind} and no file"):
            open_issuers([settings(jwks_file=None, ca_file=str(path))], Clock())
