"""Chooses the transport: the configured one, if it passes its self-test."""

from __future__ import annotations

import logging

from policyd.server.transport.event import EventTransport
from policyd.server.transport.interface import TransportFactory
from policyd.server.transport.selftest import problem_of
from policyd.server.transport.standard import StandardTransport

_log = logging.getLogger(__name__)


def choose(name: str) -> TransportFactory:
    """Return the transport `event` or `standard`; the former only if it passes its self-test."""
    if name == "standard":
        return StandardTransport
    problem = problem_of(EventTransport)
    if problem is None:
        return EventTransport
    _log.warning(
        "the event transport does not work with this grpcio; serving over the standard one",
        extra={"problem": problem},
    )
    return StandardTransport
