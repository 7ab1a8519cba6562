"""A real HTTPS server on loopback that serves a key set, until a test has it do otherwise."""

from __future__ import annotations

from collections.abc import Iterator
from pathlib import Path

import pytest

from policyd.tokens import minting
from policyd.tokens.https.fetch import Fetch
from tests.support.https import (
    Server,
    body,
    fetcher,
    serving,
    write_authority,
    write_certificate,
)
from tests.support.tokens import key


@pytest.fixture(scope="session")
def folder(tmp_path_factory: pytest.TempPathFactory) -> Path:
    path = tmp_path_factory.mktemp("tls")
    write_authority(path / "ca.pem")
    write_certificate(path / "localhost.pem")
    write_certificate(path / "elsewhere.pem", "elsewhere.example")
    return path


@pytest.fixture
def server(folder: Path) -> Iterator[Server]:
    keys = body(minting.key_set_text(key()))
    with serving(folder / "localhost.pem", {"/keys": keys}) as running:
        yield running


@pytest.fixture
def fetch(folder: Path) -> Fetch:
    return fetcher(folder)
