"""The daemon serves a bundle: from the publication to the answer, and what may go wrong."""

from __future__ import annotations

import json
import shutil
import time
from collections.abc import Callable, Iterator
from pathlib import Path

import pytest

from tests.server.test_admin import policyd
from tests.support.bundles import (
    PRINCIPAL,
    BundleServer,
    allowed,
    bundle_server,
    made,
    signed,
)
from tests.support.daemon import ISSUER, PATIENCE, Caller, Site, check_request
from tests.support.documents import ROOT
from tests.support.git import ssh_key
from tests.support.hostile_archives import ATTACKS
from tests.support.transports import ONE_TRANSPORT

pytestmark = ONE_TRANSPORT

GOOD = (ROOT / "policies/health/health.policy").read_bytes()
CLOSED = GOOD + b'\ndeny closed: any on patient\n    because "closed"\n'
PLACE = "/bundles/orders.tar.gz"
UNREADABLE = "the policies cannot be read; the old ones keep serving"


class BundleSite(Site):
    """A site whose policies are in a bundle, signed, on a server."""

    def __init__(self, folder: Path, transport: str, server: BundleServer) -> None:
        super().__init__(folder, transport)
        shutil.rmtree(self.policies)
        self.server = server
        self.key = ssh_key(folder, "ci")
        self.signers = allowed(folder / "signers", f"{PRINCIPAL} {self.key.public}")
        self.publish(1, GOOD)
        (folder / "policyd.toml").write_text(
            f'[policies.bundle]\nname = "orders"\nurl = "{server.url(PLACE)}"\n'
            f'ca_file = "{server.ca_file}"\nallowed_signers_file = "signers"\ninterval = 1\n'
            f'[server]\nlisten = ["127.0.0.1:0"]\ntransport = "{transport}"\ndrain = 0\n'
            'admin_listen = ["unix:admin.sock"]\n[http]\nlisten = ["127.0.0.1:0"]\n'
            '[decision_log]\npath = "decisions.ndjson"\n'
            f'[[issuers]]\nissuer = "{ISSUER}"\ndialect = "auth0"\njwks_file = "jwks.json"\n'
        )

    def publish(self, sequence: int, text: bytes, name: str = "orders") -> None:
        data = made(sequence, {"health.policy": text}, name)
        self.server.publish(PLACE, data, signed(self.folder, data, self.key))


@pytest.fixture
def server(tmp_path: Path) -> Iterator[BundleServer]:
    with bundle_server(tmp_path / "server") as started:
        yield started


@pytest.fixture
def site(tmp_path: Path, transport: str, server: BundleServer) -> BundleSite:
    return BundleSite(tmp_path, transport, server)


def wait_until(so: Callable[[], bool]) -> None:
    until = time.monotonic() + PATIENCE
    while not so():
        assert time.monotonic() < until
        time.sleep(0.02)


def allows(caller: Caller) -> bool:
    return caller.check(check_request()).allowed


@pytest.mark.slow
def test_a_bundle_serves_and_is_named_everywhere(site: BundleSite) -> None:
    with site.start() as daemon, Caller(daemon.addresses[0]) as caller:
        assert allows(caller)
        site.publish(2, CLOSED)
        wait_until(lambda: not allows(caller))
        line = daemon.wait_for_log("policies loaded", lambda one: one["bundle"] == "orders@2")
        assert line["signer"] == PRINCIPAL
        assert 'ref="orders@2",revision="' in daemon.page("/metrics")
        shown = policyd(site.folder, "status", "--activations", "5").stdout
        assert f"bundle orders@2, commit 0123456789ab, {site.server.url(PLACE)}" in shown
        assert f"signed by {PRINCIPAL}" in shown
        assert "made " in shown
        assert "activated  orders@1" in shown
        told = json.loads(policyd(site.folder, "status", "--format", "json").stdout)
        provenance = told["policies"]["provenance"]
        assert (provenance["name"], provenance["sequence"]) == ("orders", 2)
    journal = (site.folder / "state/journal.ndjson").read_text().splitlines()
    assert [json.loads(one)["provenance"]["sequence"] for one in journal] == [1, 2]


@pytest.mark.slow
def test_what_is_refused_changes_nothing_and_is_visible(site: BundleSite) -> None:
    with site.start() as daemon, Caller(daemon.addresses[0]) as caller:

        def refused(step: str, said: str) -> None:
            line = daemon.wait_for_log(UNREADABLE, lambda one: said in str(one["error"]))
            assert line["step"] == step
            assert allows(caller)
            wait_until(lambda: any(said in one for one in daemon.troubles()))

        data = made(2, {"health.policy": CLOSED})
        site.server.publish(PLACE, data)
        refused("verify", "bundle orders@2 of https://127.0.0.1")
        site.publish(2, CLOSED, "billing")
        refused("verify", "it is for `billing`, and `name` is `orders` here")
        hostile = ATTACKS["a bomb of 100 MiB in a file"]()
        site.server.publish(PLACE, hostile, signed(site.folder, hostile, site.key))
        refused("read", "its policy files hold more than 16,777,216 bytes (`max_bytes`)")
        site.publish(3, GOOD + b"\nallow broken: nothing on nobody\n")
        line = daemon.wait_for_log("the changed policies have errors; the old ones keep serving")
        assert "orders@3/health.policy:" in str(line["places"])
        site.publish(4, CLOSED)
        wait_until(lambda: not allows(caller))
        wait_until(lambda: daemon.troubles() == [])


@pytest.mark.slow
def test_an_older_bundle_serves_when_an_operator_says_so(site: BundleSite) -> None:
    site.publish(5, GOOD)
    with site.start() as daemon, Caller(daemon.addresses[0]) as caller:
        site.publish(4, CLOSED)
        line = daemon.wait_for_log(UNREADABLE)
        assert "run `policyd activate orders@4`" in str(line["error"])
        assert allows(caller)
        done = policyd(site.folder, "activate", "orders@4")
        assert done.stdout.startswith("bundle orders@4 serves, as revision ")
        assert not allows(caller)
        done = policyd(site.folder, "activate", "orders@5")
        assert done.stdout.startswith("bundle orders@5 serves, as revision ")
        assert allows(caller)
        (trouble,) = [one for one in daemon.troubles() if "an operator chose" in one]
        assert trouble.startswith("an operator chose bundle orders@5 over orders@4, which https://")


@pytest.mark.slow
def test_a_shadow_decides_by_the_next_bundle(site: BundleSite) -> None:
    following = made(1, {"health.policy": CLOSED})
    place = "/bundles/next.tar.gz"
    site.server.publish(place, following, signed(site.folder, following, site.key))
    site.publish(9, GOOD)
    path = site.folder / "policyd.toml"
    shadow = f'[policies.shadow]\nsample = 1.0\nbundle = "{site.server.url(place)}"\n'
    path.write_text(shadow + path.read_text())
    with site.start() as daemon, Caller(daemon.addresses[0]) as caller:

        def shown() -> str:
            assert allows(caller)
            return policyd(site.folder, "shadow").stdout

        wait_until(lambda: "allowed by" in shown())
        assert f"bundle orders@1, commit 0123456789ab, {site.server.url(place)}" in shown()


@pytest.mark.slow
def test_without_its_server_the_daemon_starts_with_what_served_last(
    tmp_path: Path, transport: str
) -> None:
    with bundle_server(tmp_path / "server") as server:
        site = BundleSite(tmp_path, transport, server)
        site.publish(2, CLOSED)
        with site.start() as daemon, Caller(daemon.addresses[0]) as caller:
            assert not allows(caller)
    with site.start() as daemon, Caller(daemon.addresses[0]) as caller:
        line = daemon.wait_for_log(
            "there are no good policies; those that served last serve, stale"
        )
        assert (line["bundle"], line["step"]) == ("orders@2", "fetch")
        assert not allows(caller)
        assert any("Connection refused" in one for one in daemon.troubles())


def test_what_is_too_old_does_not_serve(tmp_path: Path, transport: str) -> None:
    with bundle_server(tmp_path / "server") as server:
        site = BundleSite(tmp_path, transport, server)
        path = tmp_path / "policyd.toml"
        path.write_text("[policies]\nmax_staleness = 2\n" + path.read_text())
        with site.start() as daemon:
            daemon.wait_for_log("serving")
            server.close()
            daemon.wait_for_log("the policies are too old; not serving")
