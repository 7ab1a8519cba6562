"""The even load of the soak, over a real daemon."""

from __future__ import annotations

from array import array

import pytest

from bench.load import LoadError, Method
from bench.servers import CHECK
from scripts.soak_flat import evenly
from tests.support.daemon import Daemon, check_request


def test_an_even_load_counts_answers_and_no_others(daemon: Daemon) -> None:
    host, _, port = daemon.addresses[0].rpartition(":")
    bodies = [check_request().SerializeToString()]
    latencies = array("d")
    evenly((host, int(port)), CHECK, bodies, 100.0, 0.2, latencies)
    assert latencies
    assert min(latencies) > 0
    with pytest.raises(LoadError, match="without the expected answer"):
        evenly((host, int(port)), Method(CHECK.path, b"?"), bodies, 100.0, 0.2, latencies)
