"""Errors that are kept as answers keep nothing of the message that they are about."""

from __future__ import annotations

import gc
import weakref

import pytest

from policyd.decision.errors import InvalidRequest
from policyd.decision.model import BatchItem, BatchRequest
from policyd.errors import PolicydError
from policyd.pdp.calls import CallFailed
from policyd.server.wire import convert
from tests.support.program import engine, policies, token
from tests.support.wire import EMPTY, field, listed


class Holder:
    """Something in a frame that an error came through."""


def test_what_an_error_came_through_goes_without_the_collector() -> None:
    """As with a message of half a MiB, of which there may be many until the collector comes by."""

    def fail() -> weakref.ref[Holder]:
        holder = Holder()
        reference = weakref.ref(holder)
        try:
            raise ValueError
        except ValueError:
            raise PolicydError(reference) from None

    def keep() -> tuple[PolicydError, weakref.ref[Holder]]:
        kept: list[PolicydError] = []
        try:
            fail()
        except PolicydError as error:
            kept.append(error.kept())
        return kept[0], kept[0].args[0]

    gc.disable()
    try:
        error, reference = keep()
        assert reference() is None
    finally:
        gc.enable()
    assert_bare(error)


def assert_bare(error: object) -> None:
    assert isinstance(error, PolicydError)
    assert error.__traceback__ is None
    assert error.__context__ is None


@pytest.mark.parametrize("bad", [listed(b"", 1), field(1, field(2, EMPTY * 1)) + listed(b"", 2)])
def test_items_and_questions_that_are_malformed(bad: bytes) -> None:
    batch = convert.batch_check_request(field(5, field(3, field(3, bad))))
    assert_bare(batch.malformed[0])
    assert isinstance(batch.malformed[0], CallFailed)
    stream = convert.check_stream_request(field(2, field(5, bad)))
    assert_bare(stream.request)


def test_mistakes_in_a_batch() -> None:
    text = (
        'api things\naudience "https://api.example/"\n'
        "resource thing {\n    size: int\n    actions look\n}\n"
    )
    asked = engine(policies(text), token(["x"]))
    items = [
        BatchItem("look", "thing"),
        BatchItem("look", "thin"),
        BatchItem("look", "thing", "\ud800"),
    ]
    answers = asked.check_batch(BatchRequest("t", "things", items))
    assert len(answers) == 3
    for answer in answers:
        assert isinstance(answer, InvalidRequest)
        assert_bare(answer)
