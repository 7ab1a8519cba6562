"""The pages on HTTP, gateways and AuthZEN, word by word, against a daemon that has them.

A block `console http` is run with `$TOKEN` in the environment, and the port that is printed in the
page stands for the daemon's.
"""

from __future__ import annotations

import shutil
import subprocess
from collections.abc import Iterator

import pytest

from tests.server.test_gateways import POLICY as ORDERS
from tests.support.commands import environment, matches, sessions
from tests.support.daemon import AUDIENCE, Daemon, Site, access_token
from tests.support.documents import ROOT, fences
from tests.support.web import addresses

PAGES = [ROOT / "docs" / name for name in ("http.md", "gateways.md", "authzen.md", "calling.md")]
FENCES = [fence for page in PAGES for fence in fences(page) if fence.kind == "console http"]
PORT = "127.0.0.1:8183"


@pytest.fixture(scope="module")
def daemon(tmp_path_factory: pytest.TempPathFactory) -> Iterator[Daemon]:
    site = Site(tmp_path_factory.mktemp("daemon"))
    (site.policies / "orders.policy").write_text(ORDERS.replace("health-api", "orders-api"))
    site.listen('address = "127.0.0.1:0"\nservices = ["connect", "authzen", "forward-auth"]')
    with site.start() as running:
        yield running


@pytest.mark.parametrize("fence", FENCES, ids=str)
def test_commands_print_what_is_shown(daemon: Daemon, fence: object) -> None:
    assert shutil.which("curl"), "apt-get install curl"
    (address,) = addresses(daemon)
    (text,) = [one.text for one in FENCES if one is fence]
    token = access_token(aud=[AUDIENCE, AUDIENCE.replace("health", "orders")])
    for command, shown in sessions(text):
        done = subprocess.run(
            ["sh", "-c", command.replace(PORT, address)],
            env={**environment(), "TOKEN": token},
            capture_output=True,
            text=True,
            timeout=60,
            check=False,
        )
        assert matches(shown, done.stdout.replace("\r", "")), (command, done.stdout, done.stderr)
