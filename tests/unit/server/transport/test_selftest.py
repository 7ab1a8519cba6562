"""The trial of the event transport, and what is served over when it fails."""

from __future__ import annotations

import logging
import tempfile

import pytest

from policyd.config.limits import Limits
from policyd.pdp.calls import CallFailed
from policyd.server.transport import choice
from policyd.server.transport.event import EventTransport
from policyd.server.transport.interface import (
    CurrentIdentity,
    Exchange,
    Methods,
    TransportFactory,
    Unary,
)
from policyd.server.transport.selftest import problem_of
from policyd.server.transport.standard import StandardTransport
from tests.support.transports import TRANSPORTS


class Spoilt:
    """A transport that fails in one respect: `spoil` changes the table that it serves."""

    def __init__(self, methods: Methods, limits: Limits, surplus: CallFailed) -> None:
        self._inner = StandardTransport(self.spoil(dict(methods)), limits, surplus)

    def spoil(self, methods: Methods) -> Methods:
        return methods

    def bind(self, address: str, identity: CurrentIdentity | None = None) -> str:
        return self._inner.bind(address, identity)

    def start(self) -> None:
        self._inner.start()

    def stop(self, grace: float) -> None:
        self._inner.stop(grace)


class AnswersWrongly(Spoilt):
    def spoil(self, methods: Methods) -> Methods:
        return {**methods, "/try/Echo": Unary(lambda _message, _call: b"")}


class RefusesNothing(Spoilt):
    def spoil(self, methods: Methods) -> Methods:
        return {**methods, "/try/Fail": Unary(lambda message, _call: message)}


class ForgetsLaterAnswers(Spoilt):
    def spoil(self, methods: Methods) -> Methods:
        return {**methods, "/try/Later": Unary(lambda _message, _call: b"")}


class StreamsWrongly(Spoilt):
    def spoil(self, methods: Methods) -> Methods:
        return {**methods, "/try/Exchange": Exchange(lambda _message, _call: b"")}


class Missing:
    """A transport whose layer below is not there."""

    def __init__(self, methods: Methods, limits: Limits, surplus: CallFailed) -> None:
        raise AttributeError("no such attribute: CompletionQueue")


@pytest.mark.parametrize("make", TRANSPORTS.values(), ids=TRANSPORTS)
def test_what_works_passes(make: TransportFactory) -> None:
    assert problem_of(make) is None


@pytest.mark.parametrize(
    ("make", "problem"),
    [
        (AnswersWrongly, "answers a unary call"),
        (RefusesNothing, "refuses a call"),
        (ForgetsLaterAnswers, "answers later"),
        (StreamsWrongly, "answers a stream"),
        (Missing, "AttributeError: no such attribute: CompletionQueue"),
    ],
)
def test_what_does_not_work_is_told(make: TransportFactory, problem: str) -> None:
    found = problem_of(make)
    assert found is not None
    assert found.endswith(problem)


def test_what_is_asked_for_is_served_over() -> None:
    assert choice.choose("standard") is StandardTransport
    assert choice.choose("event") is EventTransport


def test_what_fails_its_trial_is_not_served_over(
    monkeypatch: pytest.MonkeyPatch, caplog: pytest.LogCaptureFixture
) -> None:
    monkeypatch.setattr(choice, "EventTransport", Missing)
    with caplog.at_level(logging.WARNING):
        assert choice.choose("event") is StandardTransport
    (record,) = caplog.records
    assert "serving over the standard one" in record.message
    assert "CompletionQueue" in vars(record)["problem"]


def test_it_needs_no_folder_that_can_be_written_to(monkeypatch: pytest.MonkeyPatch) -> None:
    """As in a container with a read-only root, where the event transport serves too."""
    monkeypatch.setattr(tempfile, "tempdir", None)
    monkeypatch.setattr(tempfile, "_candidate_tempdir_list", list)
    assert problem_of(EventTransport) is None
