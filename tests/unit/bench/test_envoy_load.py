"""The header blocks of the load through Envoy are what HPACK says (RFC 7541, 5.1 and 6.2.2)."""

from __future__ import annotations

import pytest

from bench.peers.envoy_load import blocks


@pytest.mark.parametrize(
    ("token", "length"),
    [("a", b"\x08"), ("a" * 119, b"\x7e"), ("a" * 120, b"\x7f\x00"), ("a" * 1000, b"\x7f\xf0\x06")],
)
def test_a_token_stands_in_a_field_of_its_length(token: str, length: bytes) -> None:
    (block,) = blocks([token])
    begin = b"\x82\x86\x04\x12/patients/p0/false\x01\x09localhost\x0f\x08"
    assert block == begin + length + b"Bearer " + token.encode()


def test_a_sealed_record_is_another_path() -> None:
    assert b"/patients/p0/true" in blocks(["a"], sealed=True)[0]
