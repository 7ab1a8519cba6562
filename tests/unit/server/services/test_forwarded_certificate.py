"""The certificate of a gateway's caller, as each gateway writes it."""

from __future__ import annotations

import base64
import ssl
from urllib.parse import quote

import pytest

from policyd.client import thumbprint
from policyd.server.services.forwarded_certificate import certificate_thumbprint
from tests.support.certificates import self_signed

PAIR, OTHER = self_signed(), self_signed("other")
PEM, DER = PAIR.certificate.decode(), ssl.PEM_cert_to_DER_cert(PAIR.certificate.decode())
BASE64 = base64.b64encode(DER).decode()


@pytest.mark.parametrize(
    "written",
    [
        quote(PEM),  # nginx
        quote(PEM + OTHER.certificate.decode()),
        BASE64,  # Caddy
        f" {BASE64} ",
        quote(BASE64, safe=""),  # Traefik
        quote(f"{BASE64},{base64.b64encode(b'another').decode()}", safe=""),
        f":{BASE64}:",  # RFC 9440
        f"{BASE64},".ljust(16 * 1024, "A"),
    ],
)
def test_each_form_is_read(written: str) -> None:
    assert certificate_thumbprint(written) == thumbprint(PEM)


@pytest.mark.parametrize("written", ["", "  "])
def test_no_certificate_is_none(written: str) -> None:
    assert certificate_thumbprint(written) == ""


@pytest.mark.parametrize(
    "written",
    [
        "none",
        "-----BEGIN CERTIFICATE-----",
        quote(PEM.replace("A", "!")),
        BASE64[:-8],
        f":{BASE64}",
        f":{BASE64}A",
        f"A{BASE64}:",
        f"{BASE64},".ljust(16 * 1024 + 1, "A"),
        base64.b64encode(b"no DER").decode(),
        "A" * 20_000,
        "%",
        "\xff",
    ],
)
def test_what_is_no_certificate_is_refused(written: str) -> None:
    with pytest.raises(ValueError, match="certificate"):
        certificate_thumbprint(written)
