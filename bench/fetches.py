"""P6g: checks while policies are fetched from Git, and what a look costs that finds nothing.

The repository is served by `git daemon`, and holds 100 MB beside the policies. Each fetch takes all
of it: the daemon keeps no history. The checks are asked one at a time, from when the process that
fetches has begun to read until the daemon says that the commit serves. The processor time of a look
is that of the daemon's own process, in which nothing is fetched.
"""

from __future__ import annotations

import os
import tempfile
import time
from pathlib import Path

from bench.load import run
from bench.material import POLICIES, Material
from bench.reload import LOADED, PATIENCE, loads
from bench.report import Figure, Row, at_most, percentile, ratio
from bench.servers import CHECK, Server, daemon, insist_on_allow, requests, until_serving
from tests.support.git import Repository, git_daemon

MEGABYTES = 100
STEADY = 2.0
#: How many looks are weighed at a time, one a second.
LOOKS = 20
_BEGUN = 1_000_000


def rows_of_fetches(material: Material, rounds: int) -> list[Row]:
    """P6g, over daemons of its own."""
    quiet, busy, took = [], [], []
    with tempfile.TemporaryDirectory(prefix="bench-git-") as name:
        repository = _repository(Path(name))
        with (
            git_daemon(repository) as url,
            daemon(material, environment=_settings(url, 1)) as server,
        ):
            until_serving(server)
            bodies = requests(material.tokens)
            insist_on_allow(server, bodies[0])
            run(server.address, CHECK, bodies, calls=len(bodies))  # warms the tokens' cache
            for number in range(rounds):
                quiet.append(_checks(server, bodies, time.monotonic() + STEADY))
                seconds, p99 = _fetch(server, bodies, repository, number)
                took.append(seconds)
                busy.append(p99)
        looks = [_cost_of_a_look(material, repository) for _ in range(rounds)]
    still, fetching = Figure(tuple(quiet), "ms"), Figure(tuple(busy), "ms")
    return [
        Row(
            "P6g", f"a fetch of {MEGABYTES} MB, and its activation", None, Figure(tuple(took), "s")
        ),
        Row("P6g", "p99 of checks, one at a time", None, still),
        Row("P6g", "the same while it fetches; none fails", None, fetching),
        Row("P6g", "p99 fetching / quiet", at_most(1.3), ratio(fetching, still)),
        Row(
            "P6g",
            "CPU of the daemon for a look that finds nothing",
            at_most(2, "ms"),
            Figure(tuple(looks), "ms"),
        ),
    ]


def _settings(url: str, interval: int) -> dict[str, str]:
    begin = "POLICYD_POLICIES__GIT__"
    return {
        f"{begin}URL": url,
        f"{begin}REF": "main",
        f"{begin}PATH": "policies",
        f"{begin}INTERVAL": str(interval),
    }


def _repository(folder: Path) -> Repository:
    """Make a repository with the sample policies, beside bytes that nothing compresses."""
    repository = Repository(folder)
    repository.hold_large_files()
    large = repository.work / "large"
    large.mkdir()
    for number in range(MEGABYTES):
        (large / str(number)).write_bytes(os.urandom(1_000_000))
    repository.commit({"policies/health.policy": _text("at first")})
    return repository


def _text(remark: str) -> str:
    return (POLICIES / "health.policy").read_text(encoding="utf-8") + f"\n// {remark}\n"


def _checks(server: Server, bodies: list[bytes], end: float) -> float:
    measured = run(
        server.address, CHECK, bodies, calls=10**9, enough=lambda: time.monotonic() > end
    )
    return percentile(measured.latencies, 0.99) * 1000


def _fetch(
    server: Server, bodies: list[bytes], repository: Repository, number: int
) -> tuple[float, float]:
    """Push a commit; return the seconds from the first bytes until it serves, and the 99th
    percentile of the checks in them, in milliseconds."""
    before = len(loads(server))
    repository.commit({"policies/health.policy": _text(f"change {number}")})
    until = time.monotonic() + PATIENCE
    while not _is_fetching(server.folder / "state"):
        if time.monotonic() > until:
            raise RuntimeError(f"nothing is fetched: {server.errors[-2000:]}")
    log = server.folder / "stderr"
    size, began = log.stat().st_size, time.monotonic()

    def serves() -> bool:
        if time.monotonic() > until:
            raise RuntimeError(f"`{LOADED}` does not come: {server.errors[-2000:]}")
        return log.stat().st_size > size and len(loads(server)) > before

    measured = run(server.address, CHECK, bodies, calls=10**9, enough=serves)
    return time.monotonic() - began, percentile(measured.latencies, 0.99) * 1000


def _is_fetching(state: Path) -> bool:
    """Tell whether the process that fetches has begun to write what it reads."""
    try:
        files = list(state.glob("fetch-*/scratch/**/*"))
        return any(one.is_file() and one.stat().st_size > _BEGUN for one in files)
    except FileNotFoundError:  # it was removed meanwhile
        return False


def _cost_of_a_look(material: Material, repository: Repository) -> float:
    """Return the milliseconds of a look, over what the daemon takes without any."""
    seconds = {}
    for interval in (1, 86_400):
        with (
            git_daemon(repository) as url,
            daemon(material, environment=_settings(url, interval)) as server,
        ):
            until_serving(server)
            time.sleep(STEADY)
            before = server.cpu_seconds()
            time.sleep(LOOKS)
            seconds[interval] = server.cpu_seconds() - before
    return (seconds[1] - seconds[86_400]) / LOOKS * 1000
