"""What one message can hold is bounded, and refused before it is made into objects."""

from __future__ import annotations

from collections.abc import Callable, Sequence

import pytest
from google.protobuf.message import Message
from google.protobuf.struct_pb2 import Struct, Value
from google.rpc.error_details_pb2 import BadRequest
from google.rpc.status_pb2 import Status
from hypothesis import given
from hypothesis import strategies as st

from policyd.config.request_limits import RequestLimits
from policyd.decision.errors import InvalidRequest, NotReady
from policyd.json_types import Json
from policyd.pdp.calls import CallFailed, StatusCode
from policyd.pdp.questions import LONGEST, MOST_PROOFS
from policyd.server.wire import convert, limits, structs, view
from policyd.server.wire.failures import refused as refusal
from policyd.server.wire.json_messages import error_details
from policyd.v1 import authorization_pb2 as messages
from policyd.v1 import explanation_pb2
from tests.support.wire import EMPTY, NULL, field, listed

FEW = RequestLimits(values=10, batch_items=3)
Read = Callable[[bytes], object]


def properties(struct: bytes) -> bytes:
    """Return a CheckRequest with these bytes as properties."""
    return field(4, field(1, b"patient") + field(3, struct))


def refused(read: Read, data: bytes) -> CallFailed:
    with pytest.raises(CallFailed) as failed:
        read(data)
    return failed.value


def violated(failed: CallFailed) -> list[str]:
    """Return the paths of the fields that an error names."""
    bad = BadRequest()
    for detail in Status.FromString(failed.details).details:
        detail.Unpack(bad)
    return [violation.field for violation in bad.field_violations]


# -- values ----------------------------------------------------------------------------------------


@pytest.mark.parametrize("value", [NULL, EMPTY, field(6, b""), field(3, b"text")])
def test_values_of_a_message_are_bounded_together(value: bytes) -> None:
    def read(data: bytes) -> object:
        return convert.check_request(data, FEW)

    read(properties(listed(value, 8)) + field(5, field(1, field(2, NULL))))
    failed = refused(read, properties(listed(value, 10)))
    assert failed.code is StatusCode.RESOURCE_EXHAUSTED
    assert violated(failed) == ["resource.properties"]
    assert "at most 10 values" in failed.message
    failed = refused(read, properties(listed(value, 7)) + field(5, listed(value, 3)))
    assert violated(failed) == ["context"]


def test_values_of_a_batch_are_bounded_together() -> None:
    item = field(5, field(3, field(3, listed(b"\x19" + b"\1" * 8, 4))))
    read = RequestLimits(values=10)

    assert len(convert.batch_check_request(item, read).ids) == 1
    structs._structs.clear()
    different = [field(5, field(3, field(3, listed(NULL, 4, bytes((n,)))))) for n in b"abc"]
    failed = refused(lambda data: convert.batch_check_request(data, read), b"".join(different))

    assert failed.code is StatusCode.RESOURCE_EXHAUSTED


@pytest.mark.parametrize(
    "struct",
    [
        listed(NULL, 100_000),
        listed(EMPTY, 100_000),
        field(1, field(1, b"a") + field(2, NULL)) * 100_000,  # one name, again and again
        field(9, b"") * 400_000,  # fields that nobody knows
        field(1, field(2, (EMPTY + field(6, b"")) * 100_000)),  # a value that changes its kind
    ],
)
def test_a_large_struct_is_refused_before_protobuf_reads_it(
    struct: bytes, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(structs, "Struct", None)
    failed = refused(convert.check_request, properties(struct))
    assert failed.code is StatusCode.RESOURCE_EXHAUSTED


def test_counting_stops_at_the_limit() -> None:
    class Counted(bytes):
        looked_at = 0

        def __getitem__(self, key: object) -> int:  # type: ignore[override]
            Counted.looked_at += 1
            return super().__getitem__(key)  # type: ignore[call-overload, no-any-return]

    assert limits.has_more_values(Counted(listed(NULL, 100_000)), 100)
    # Two bytes a field, tag and length, and a few that are longer.
    assert Counted.looked_at < 2 * 4 * 100 + 50


JSON: st.SearchStrategy[Json] = st.recursive(
    st.none() | st.booleans() | st.integers(-9, 9).map(float) | st.text("a\n*2"),
    lambda inner: st.lists(inner, max_size=4) | st.dictionaries(st.text("ab"), inner, max_size=4),
)


def values_in(json: Json) -> int:
    if isinstance(json, dict):
        return 1 + sum(map(values_in, json.values()))
    return 1 + (sum(map(values_in, json)) if isinstance(json, list) else 0)


@given(st.dictionaries(st.text("ab"), JSON, max_size=4))
def test_what_has_few_values_is_never_refused(json: dict[str, Json]) -> None:
    struct = Struct()
    struct.update(json)
    held = values_in(json) - 1
    assert not limits.has_more_values(struct.SerializeToString(), held)
    structs.Structs(held).read([struct.SerializeToString()], "")


#: Fields that nobody knows, of each kind that protobuf has.
UNKNOWN = (
    b"\x48\x00",  # a number of one byte
    b"\x48\x80\x01",
    b"\x48" + b"\xff" * 9 + b"\x01",  # and of ten, the longest
    b"\x49" + b"\x0a" * 8,
    b"\x4d" + b"\x0a" * 4,
    field(9, b"\x0a" * 127),
    field(9, b"\x0a" * 128),
    field(9, b"\x0a" * 427),
    field(9, b"\x0a" * 20_011),
    b"\x82\x01\x00",  # whose tag takes two bytes
)


@pytest.mark.parametrize("unknown", UNKNOWN)
def test_every_field_counts_and_no_byte_twice(unknown: bytes) -> None:
    """Also what follows a message within the message, which ends where its bytes do."""
    entry = field(1, field(1, b"a") + field(2, field(6, field(1, EMPTY) * 3)))
    whole = unknown + entry + unknown + entry + field(1, field(2, field(5, entry))) + unknown
    number = 3 * (1 + 3 + 3 * 2) + 3 + 3
    assert not limits.has_more_fields(whole, number, limits._STRUCT)
    assert limits.has_more_fields(whole, number - 1, limits._STRUCT)


@given(st.binary())
def test_counting_fields_ends_whatever_the_bytes(data: bytes) -> None:
    assert not limits.has_more_values(data, len(data))


def test_a_number_without_end_is_malformed() -> None:
    assert not limits.has_more_values(b"\x0a" + b"\xff" * 1_000_000, 10)


def nested(levels: int, *, in_list: bool) -> Struct:
    value = Value(null_value=0)  # type: ignore[arg-type]
    for _ in range(levels):
        outer = Value()
        if in_list:
            outer.list_value.values.append(value)
        else:
            outer.struct_value.fields["a"].CopyFrom(value)
        value = outer
    return Struct(fields={"a": value})


@pytest.mark.parametrize("in_list", [True, False])
def test_depth_is_bounded(in_list: bool) -> None:
    def read(levels: int) -> object:
        message = messages.CheckRequest(context=nested(levels, in_list=in_list))
        return convert.check_request(message.SerializeToString())

    read(structs.DEEPEST - 1)
    with pytest.raises(CallFailed, match="nested deeper than 32 levels"):
        read(structs.DEEPEST)


def test_a_path_is_spelled_only_for_an_error() -> None:
    """One long name over many values: their number times its length would be quadratic."""
    spelled: list[str] = []
    path = structs._path

    def spell(outer: str, steps: Sequence[str]) -> str:
        spelled.append(path(outer, steps))
        return spelled[-1]

    many = field(1, field(1, b"k" * 20_000) + field(2, field(6, field(1, EMPTY) * 9_000)))
    with pytest.MonkeyPatch.context() as patched:
        patched.setattr(structs, "_path", spell)
        convert.check_request(properties(many))
        assert spelled == []
        bad = field(1, field(1, b"k" * 20_000) + field(2, field(6, field(1, b""))))
        failed = refused(convert.check_request, properties(bad))
    assert len(spelled) == 1
    assert failed.message.startswith("resource.properties.kkk")
    assert len(failed.message) < 300


# -- what repeats ----------------------------------------------------------------------------------


@pytest.mark.parametrize("item", [b"", field(2, b""), field(3, b""), field(3, field(3, b""))])
def test_items_are_counted_before_they_are_read(
    item: bytes, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(view, "BATCH_CHECK_REQUEST", None)
    failed = refused(convert.batch_check_request, field(5, item) * 2_000)
    assert failed.code is StatusCode.RESOURCE_EXHAUSTED
    assert "at most 1000 items" in failed.message
    spelled_longer = b"\xaa\x00" + field(5, item)[1:]
    failed = refused(convert.batch_check_request, spelled_longer * 2_000)
    assert failed.code is StatusCode.RESOURCE_EXHAUSTED


def test_items_up_to_the_limit_are_read() -> None:
    def read(data: bytes) -> object:
        return convert.batch_check_request(data, FEW)

    item = field(5, field(1, b"*" * 80))  # whose name looks like the beginnings of items
    assert len(convert.batch_check_request(item * 3, FEW).ids) == 3
    assert refused(read, item * 4).code is StatusCode.RESOURCE_EXHAUSTED


def test_pieces_of_a_struct_and_proofs_are_bounded() -> None:
    convert.check_request(field(5, b"") * structs.MOST_PARTS)
    failed = refused(convert.check_request, field(5, b"") * (structs.MOST_PARTS + 1))
    assert violated(failed) == ["context"]
    proof = field(1, b"a.b.c")
    convert.check_request(field(7, proof * MOST_PROOFS))
    failed = refused(convert.check_request, field(7, proof * (MOST_PROOFS + 1)))
    assert violated(failed) == ["proof.dpop_proofs"]


@pytest.mark.parametrize("field_name", ["api", "action", "resource_type", "request_id"])
def test_texts_of_a_filter_are_bounded(field_name: str) -> None:
    message = messages.FilterRequest()
    setattr(message, field_name, "a" * LONGEST[field_name])
    convert.filter_request(message.SerializeToString())
    setattr(message, field_name, "a" * (LONGEST[field_name] + 1))
    failed = refused(convert.filter_request, message.SerializeToString())
    assert failed.code is StatusCode.INVALID_ARGUMENT
    assert violated(failed) == [field_name]


# -- texts -----------------------------------------------------------------------------------------


def question(path: str, text: str) -> messages.CheckRequest:
    message = messages.CheckRequest()
    *outer, last = path.split(".")
    holder = message
    for name in outer:
        holder = getattr(holder, name)
    setattr(holder, last, text)
    return message


@pytest.mark.parametrize(
    "path", sorted(LONGEST.keys() - {"id", "assumed_unknown", "resource_type"})
)
@pytest.mark.parametrize("letter", ["a", "é"])
def test_texts_are_bounded(path: str, letter: str) -> None:
    fits = question(path, letter * LONGEST[path])
    convert.check_request(fits.SerializeToString())
    long = question(path, letter * (LONGEST[path] + 1))
    failed = refused(convert.check_request, long.SerializeToString())
    assert failed.code is StatusCode.INVALID_ARGUMENT
    assert violated(failed) == [path]
    assert f"has {LONGEST[path] + 1} characters, the limit is {LONGEST[path]}" in failed.message
    explain = explanation_pb2.ExplainRequest(request=long)
    assert violated(refused(convert.explain_request, explain.SerializeToString())) == [
        f"request.{path}"
    ]
    stream = messages.CheckStreamRequest(id="1", request=long)
    outcome = convert.check_stream_request(stream.SerializeToString()).request
    assert isinstance(outcome, CallFailed)
    assert violated(outcome) == [f"request.{path}"]


def test_a_long_token_lets_no_other_text_be_long() -> None:
    message = question("request_id", "r" * 600)
    message.access_token = "t" * 5_000
    assert violated(refused(convert.check_request, message.SerializeToString())) == ["request_id"]


def test_texts_of_a_batch_are_bounded() -> None:
    batch = messages.BatchCheckRequest()
    batch.items.add(id="1", action="a" * 257)
    batch.items.add(id="2", action="a")
    read = convert.batch_check_request(batch.SerializeToString())
    assert {place: violated(failed) for place, failed in read.malformed.items()} == {0: ["action"]}
    assert [item.action for item in read.request.items] == ["a"]
    assert read.ids == ["1", "2"]
    batch.items.add(id="x" * 513)
    failed = refused(convert.batch_check_request, batch.SerializeToString())
    assert violated(failed) == ["items.2.id"]
    for name, most in (("request_id", 512), ("api", 2048)):
        long = messages.BatchCheckRequest(**{name: "x" * (most + 1)})  # type: ignore[arg-type]
        assert violated(refused(convert.batch_check_request, long.SerializeToString())) == [name]


def test_the_name_of_a_streams_question_is_bounded() -> None:
    message = messages.CheckStreamRequest(id="x" * 513)
    assert violated(refused(convert.check_stream_request, message.SerializeToString())) == ["id"]


LONG = "a" * 10_000
BAD = Struct(fields={"n": Value(number_value=float("nan"))})
MANY = Struct(fields={f"n{number}": Value(bool_value=True) for number in range(11)})


@pytest.mark.parametrize(
    ("read", "message", "reason", "path", "said"),
    [
        (
            convert.check_request, messages.CheckRequest(api=LONG),
            "FIELD_TOO_LONG", "api", "has 10000 characters, the limit is 2048",
        ),
        (
            convert.explain_request,
            explanation_pb2.ExplainRequest(request=messages.CheckRequest(action=LONG)),
            "FIELD_TOO_LONG", "request.action", "has 10000 characters, the limit is 256",
        ),
        (
            convert.check_request,
            messages.CheckRequest(proof=messages.SenderProof(dpop_proofs=["a"] * 101)),
            "FIELD_TOO_LONG", "proof.dpop_proofs",
            "holds 101 proofs, at most 100 are looked at",
        ),
        (
            convert.check_request, messages.CheckRequest(context=BAD),
            "VALUE_INVALID", "context.n", "NaN and infinite numbers are no JSON values",
        ),
        (
            lambda data: convert.check_request(data, FEW), messages.CheckRequest(context=MANY),
            "TOO_MANY_VALUES", "context",
            "properties and context of one message hold at most 10 values together, "
            "those in lists and objects counted; here are more",
        ),
        (
            lambda data: convert.batch_check_request(data, FEW),
            messages.BatchCheckRequest(items=[messages.BatchCheckItem()] * 4),
            "BATCH_TOO_LARGE", "items", "a batch holds at most 3 items, this one more",
        ),
    ],
)  # fmt: skip
def test_an_error_says_which_field_and_why(
    read: Read, message: Message, reason: str, path: str, said: str
) -> None:
    info, bad = error_details(refused(read, message.SerializeToString()))
    assert info["debug"] == {"reason": reason, "domain": "policyd"}
    assert bad["debug"] == {"fieldViolations": [{"field": path, "description": said}]}


@pytest.mark.parametrize("path", ["action", "resource.type", "resource.id"])
def test_a_text_of_an_item_that_is_too_long_is_that_items_own_mistake(path: str) -> None:
    item = messages.BatchCheckItem()
    at: Message = item.resource if path.startswith("resource.") else item
    setattr(at, path.rpartition(".")[2], LONG)
    request = messages.BatchCheckRequest(items=[messages.BatchCheckItem(), item])
    batch = convert.batch_check_request(request.SerializeToString())
    assert len(batch.request.items) == 1
    assert violated(batch.malformed[1]) == [path]


@pytest.mark.parametrize(
    ("read", "message", "path"),
    [
        (convert.check_request, messages.CheckRequest(context=BAD), "context.n"),
        (
            convert.explain_request,
            explanation_pb2.ExplainRequest(request=messages.CheckRequest(context=BAD)),
            "request.context.n",
        ),
        (convert.batch_check_request, messages.BatchCheckRequest(context=BAD), "context.n"),
    ],
)
def test_a_value_is_named_by_where_it_stands_in_the_whole_message(
    read: Read, message: Message, path: str
) -> None:
    assert violated(refused(read, message.SerializeToString())) == [path]


def test_why_there_is_no_decision_is_told_with_its_field_and_a_suggestion() -> None:
    mistake = InvalidRequest("action", "no such action", "UNKNOWN_ACTION", "read")
    info, bad = error_details(refusal(mistake, "request."))
    assert info["debug"] == {
        "reason": "UNKNOWN_ACTION",
        "domain": "policyd",
        "metadata": {"field": "request.action", "suggestion": "read"},
    }
    description = "no such action; did you mean `read`?"
    expected = {"fieldViolations": [{"field": "request.action", "description": description}]}
    assert bad["debug"] == expected
    plain = InvalidRequest("action", "no such action", "UNKNOWN_ACTION")
    assert error_details(refusal(plain))[0]["debug"] == {
        "reason": "UNKNOWN_ACTION",
        "domain": "policyd",
        "metadata": {"field": "action"},
    }
    failed = refusal(NotReady())
    assert failed.code is StatusCode.UNAVAILABLE
    (info,) = error_details(failed)
    assert info["debug"] == {"reason": "POLICY_NOT_LOADED", "domain": "policyd"}


def test_what_is_wrong_with_the_message_as_a_whole_names_no_field() -> None:
    info, bad = error_details(refused(convert.check_request, b"\xff"))
    assert info["debug"] == {"reason": "MESSAGE_MALFORMED", "domain": "policyd"}
    description = "not a policyd.v1.CheckRequest message"
    assert bad["debug"] == {"fieldViolations": [{"description": description}]}
    info, bad = error_details(refused(convert.check_request, field(5, b"") * 1000))
    assert info["debug"] == {"reason": "VALUE_INVALID", "domain": "policyd"}
    said = f"comes in 1000 pieces, at most {structs.MOST_PARTS} are put together"
    assert bad["debug"] == {"fieldViolations": [{"field": "context", "description": said}]}


def test_items_with_the_same_properties_count_once() -> None:
    structs._structs.clear()
    item = field(5, field(3, field(3, listed(NULL, 6))))
    assert len(convert.batch_check_request(item * 3, FEW).request.items) == 3


def test_no_more_structs_are_kept_than_so_many(monkeypatch: pytest.MonkeyPatch) -> None:
    structs._structs.clear()
    monkeypatch.setattr(structs, "_STRUCTS_KEPT", 3)
    for number in range(20):
        convert.check_request(field(5, listed(NULL, 1, b"n%d" % number)))
        assert 1 <= len(structs._structs) <= 3
