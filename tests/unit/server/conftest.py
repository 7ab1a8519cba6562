"""Handlers of the tests' own, served over each transport in turn."""

from __future__ import annotations

from collections.abc import Iterator
from contextlib import contextmanager

import pytest

from policyd.config.limits import Limits
from policyd.server.transport.interface import Methods, TransportFactory
from tests.support.daemon import Caller
from tests.support.transports import SURPLUS, TRANSPORTS, Serving


@pytest.fixture(params=TRANSPORTS)
def make(request: pytest.FixtureRequest) -> TransportFactory:
    """Each transport in turn."""
    name: str = request.param
    return TRANSPORTS[name]


@pytest.fixture
def serving(make: TransportFactory) -> Serving:
    @contextmanager
    def serve(methods: Methods, limits: Limits | None = None) -> Iterator[Caller]:
        transport = make(methods, limits or Limits(), SURPLUS)
        address = transport.bind("127.0.0.1:0")
        transport.start()
        try:
            with Caller(address) as caller:
                yield caller
        finally:
            transport.stop(grace=0)

    return serve
