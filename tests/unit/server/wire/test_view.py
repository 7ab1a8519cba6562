"""The view of requests reads what protobuf reads, however a message is cut on the wire."""

from __future__ import annotations

import pytest
from google.protobuf import descriptor_pool
from google.protobuf.struct_pb2 import Struct
from hypothesis import given
from hypothesis import strategies as st

from policyd.json_types import Json
from policyd.pdp.calls import CallFailed, StatusCode
from policyd.server.wire import convert, structs, view
from policyd.v1 import authorization_pb2 as messages
from policyd.v1 import explanation_pb2

NAMES = st.text("abc", min_size=1, max_size=2)
VALUES = st.booleans() | st.text("xyz", max_size=3) | st.integers(-9, 9).map(float)
OBJECTS: st.SearchStrategy[dict[str, Json]] = st.dictionaries(NAMES, VALUES, max_size=3)


def struct(values: dict[str, Json]) -> Struct:
    made = Struct()
    made.update(values)
    return made


def request(properties: dict[str, Json], context: dict[str, Json]) -> messages.CheckRequest:
    resource = messages.Resource(type="patient", id="p1", properties=struct(properties))
    return messages.CheckRequest(action="read", resource=resource, context=struct(context))


def test_the_view_has_each_message_and_field_of_the_contract() -> None:
    pool = descriptor_pool.Default()
    seen = pool.FindFileByName(view.FILE).message_types_by_name
    explain = explanation_pb2.ExplainRequest.DESCRIPTOR
    stated = {**messages.DESCRIPTOR.message_types_by_name, "ExplainRequest": explain}

    assert {name: set(each.fields_by_name) for name, each in seen.items()} == {
        name: set(each.fields_by_name) for name, each in stated.items()
    }
    for name, message in stated.items():
        numbers = {field.name: field.number for field in message.fields}
        assert {field.name: field.number for field in seen[name].fields} == numbers


@given(OBJECTS, OBJECTS, OBJECTS, OBJECTS)
def test_a_message_that_comes_in_pieces_is_merged_as_protobuf_does(
    one: dict[str, Json], two: dict[str, Json], three: dict[str, Json], four: dict[str, Json]
) -> None:
    data = request(one, two).SerializeToString() + request(three, four).SerializeToString()
    merged = messages.CheckRequest.FromString(data)

    read = convert.check_request(data)

    assert read.attributes == dict(merged.resource.properties)
    assert read.context == dict(merged.context)


def test_the_same_bytes_are_read_once() -> None:
    data = request({"sealed": True}, {"ip": "192.0.2.1"}).SerializeToString()

    one, two = convert.check_request(data), convert.check_request(data)

    assert one.attributes is two.attributes
    assert one.context is two.context


def test_what_is_remembered_is_bounded() -> None:
    structs._structs.clear()
    for number in range(structs._STRUCTS_KEPT + 10):
        convert.check_request(request({"n": float(number)}, {}).SerializeToString())
    convert.check_request(request({"long": "x" * 300}, {}).SerializeToString())

    assert 0 < len(structs._structs) <= structs._STRUCTS_KEPT
    assert max(map(len, structs._structs)) <= structs._LONGEST_KEPT


@pytest.mark.parametrize("field", ["properties", "context"])
def test_bytes_that_are_no_struct_are_no_message(field: str) -> None:
    bad = b"\x0a\xff"
    whole = request({}, {}).SerializeToString()
    if field == "context":
        number = messages.CheckRequest.DESCRIPTOR.fields_by_name["context"].number
        whole += bytes((number << 3 | 2, len(bad))) + bad
    else:
        inner = messages.Resource.DESCRIPTOR.fields_by_name["properties"].number
        resource = bytes((inner << 3 | 2, len(bad))) + bad
        outer = messages.CheckRequest.DESCRIPTOR.fields_by_name["resource"].number
        whole += bytes((outer << 3 | 2, len(resource))) + resource

    with pytest.raises(CallFailed) as failed:
        convert.check_request(whole)

    assert failed.value.code is StatusCode.INVALID_ARGUMENT
    assert "not a policyd.v1.CheckRequest message" in failed.value.message
