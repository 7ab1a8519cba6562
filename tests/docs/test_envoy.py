"""The page on Envoy, word by word: a block `console envoy` is run through the real one.

`$TOKEN` is in the environment, and the port that is printed in the page stands for Envoy's.
"""

from __future__ import annotations

import subprocess
from collections.abc import Iterator

import pytest

from tests.server.test_gateways import POLICY as ORDERS
from tests.support.commands import environment, matches, sessions
from tests.support.daemon import Site, access_token
from tests.support.documents import ROOT, fences
from tests.support.envoy import Stack, stack
from tests.support.ports import free_port

FENCES = [fence for fence in fences(ROOT / "docs" / "envoy.md") if fence.kind == "console envoy"]
PORT = "127.0.0.1:8000"


@pytest.fixture(scope="module")
def whole(tmp_path_factory: pytest.TempPathFactory) -> Iterator[Stack]:
    site, port = Site(tmp_path_factory.mktemp("daemon")), free_port()
    site.policy.write_text(ORDERS)
    site.listen(f'address = "127.0.0.1:{port}"\nservices = ["envoy"]')
    with stack(site, tmp_path_factory.mktemp("envoy"), port) as running:
        yield running


@pytest.mark.parametrize("fence", FENCES, ids=str)
def test_commands_print_what_is_shown(whole: Stack, fence: object) -> None:
    (text,) = [one.text for one in FENCES if one is fence]
    for command, shown in sessions(text):
        done = subprocess.run(
            ["sh", "-c", command.replace(PORT, whole.plain)],
            env={**environment(), "TOKEN": access_token()},
            capture_output=True,
            text=True,
            timeout=60,
            check=False,
        )
        assert matches(shown, done.stdout.replace("\r", "")), (command, done.stdout, done.stderr)
