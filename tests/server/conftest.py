"""A daemon that the tests of this folder share, one a module, and folders for their own."""

from __future__ import annotations

from collections.abc import Iterator
from pathlib import Path

import pytest

from tests.support.daemon import Caller, Daemon, Site
from tests.support.transports import CHOSEN


@pytest.fixture(scope="module", params=CHOSEN)
def transport(request: pytest.FixtureRequest) -> str:
    """The transport that a daemon serves over: see `tests.support.transports`."""
    name: str = request.param
    return name


@pytest.fixture
def site(tmp_path: Path, transport: str) -> Site:
    """A folder for a daemon of the test's own."""
    return Site(tmp_path, transport)


@pytest.fixture(scope="module")
def shared_site(tmp_path_factory: pytest.TempPathFactory, transport: str) -> Site:
    """The folder of the shared daemon; its second listener explains."""
    shared = Site(tmp_path_factory.mktemp("daemon"), transport)
    shared.configure(
        'explain_listen = ["127.0.0.1:0"]\ndefault_api = "health"\nmax_batch_items = 50\n'
        "max_message_bytes = 100_000\nmax_streams = 4"
    )
    return shared


@pytest.fixture(scope="module")
def daemon(shared_site: Site) -> Iterator[Daemon]:
    """The shared daemon. A test must leave it as it was."""
    with shared_site.start() as running:
        yield running


@pytest.fixture
def caller(daemon: Daemon) -> Iterator[Caller]:
    """A connection to the shared daemon."""
    with Caller(daemon.addresses[0]) as connection:
        yield connection


@pytest.fixture
def explain_caller(daemon: Daemon) -> Iterator[Caller]:
    """A connection to the shared daemon's listener that explains."""
    with Caller(daemon.addresses[1]) as connection:
        yield connection
