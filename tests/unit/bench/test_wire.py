"""The requests to a peer are protobuf, as protobuf's own library writes it."""

from __future__ import annotations

import pytest
from google.protobuf.struct_pb2 import ListValue, Value

from bench.peers.wire import field, flag, varint
from policyd.v1 import authorization_pb2 as messages


@pytest.mark.parametrize("length", [1, 127, 128, 20_000])
def test_a_text_of_any_length(length: int) -> None:
    text = "é" * length
    assert field(1, text) == messages.CheckRequest(access_token=text).SerializeToString()


def test_a_message_in_a_message() -> None:
    resource = messages.Resource(type="patient", id="p1")
    expected = messages.CheckRequest(resource=resource).SerializeToString()
    number = messages.CheckRequest.DESCRIPTOR.fields_by_name["resource"].number
    assert field(number, resource.SerializeToString()) == expected


@pytest.mark.parametrize("value", [True, False])
def test_a_truth_value(value: bool) -> None:
    expected = ListValue(values=[Value(bool_value=value)]).SerializeToString()
    assert field(1, flag(4, value=value)) == expected


@pytest.mark.parametrize(("value", "encoded"), [(0, b"\0"), (127, b"\x7f"), (300, b"\xac\x02")])
def test_a_number(value: int, encoded: bytes) -> None:
    assert varint(value) == encoded
