"""What policies from Git cost a daemon where there is much: commits, bytes, daemons, polls.

`python -m scripts.git_limits [commits|large|fleet|poll …] [--number N]`

- `commits`: a thousand commits within a minute. The newest must serve; memory, descriptors, threads
  and files must not grow.
- `large`: a repository with a gigabyte beside a small folder of policies. In the history it costs
  nothing; in the newest commit it is refused, and what served goes on; the daemon's memory stays.
- `fleet`: twenty daemons that start at once and ask one server. Their polls must spread.
- `poll`: the processor time of the daemon for a look that finds nothing.

Each part prints what it found, and ends with 1 where that does not hold.
"""

from __future__ import annotations

import argparse
import os
import re
import socket
import sys
import tempfile
import threading
import time
from collections import Counter
from collections.abc import Callable, Iterator
from contextlib import ExitStack, contextmanager
from pathlib import Path
from typing import TypeVar

from tests.server.test_git import GOOD, GitSite
from tests.support.daemon import Caller, Daemon, check_request
from tests.support.git import Repository, git_daemon

T = TypeVar("T")
_TICKS = os.sysconf("SC_CLK_TCK")
_MEGABYTE = 1_000_000
#: Megabytes that git adds and pushes at a time.
_STEP = 50
_PATIENCE = 180.0
#: What may come on top after a thousand commits: the allocator's, not the commits'.
_SPARE_MEGABYTES = 16.0
_SPARE_DESCRIPTORS = 2


def main() -> None:
    parts: dict[str, Callable[[int | None], bool]] = {
        "commits": _commits,
        "large": _large,
        "fleet": _fleet,
        "poll": _poll,
    }
    parser = argparse.ArgumentParser(description=(__doc__ or "").splitlines()[0])
    parser.add_argument("parts", nargs="*", metavar="PART", help=f"{', '.join(parts)}; or all")
    parser.add_argument("--number", type=int, help="of commits, megabytes, daemons or polls")
    options = parser.parse_args()
    if unknown := set(options.parts) - parts.keys():
        parser.error(f"no such part: {', '.join(sorted(unknown))}")
    well = [parts[name](options.number) for name in options.parts or parts]
    sys.exit(not all(well))


# -- commits -------------------------------------------------------------------------------------


def _commits(number: int | None) -> bool:
    number = number or 1000
    with _site() as site, site.start() as daemon, Caller(daemon.addresses[0]) as caller:
        for one in range(20):
            last = site.commit(f"{GOOD}// warm {one}\n")
        _until_serves(caller, last)
        before = _weigh(daemon)
        began = time.monotonic()
        last = _commit_many(site.repository, number)
        took = time.monotonic() - began
        _until_serves(caller, last)
        late = time.monotonic() - began - took
        after = _weigh(daemon)
        sets = len(list((site.folder / "state/sets").iterdir()))
        left = len(list((site.folder / "state").glob("fetch-*")))
    print(f"{number} commits in {took:.0f} s; the newest served {late:.1f} s after the last")
    print(f"before  {before}\nafter   {after}, {sets} sets kept, {left} folders of fetches left")
    return (
        after.megabytes - before.megabytes <= _SPARE_MEGABYTES
        and after.descriptors - before.descriptors <= _SPARE_DESCRIPTORS
        and after.threads <= before.threads + 1
        and sets <= 10
        and left == 0
    )


def _commit_many(repository: Repository, number: int) -> str:
    """Commit many times within a minute, each change pushed by itself."""
    pause = 60.0 / number
    began = time.monotonic()
    made = ""
    for one in range(number):
        made = repository.commit({"policies/health.policy": f"{GOOD}// {one}\n"})
        rest = began + pause * (one + 1) - time.monotonic()
        if rest > 0:
            time.sleep(rest)
    return made


# -- a large repository --------------------------------------------------------------------------


def _large(number: int | None) -> bool:
    with _site() as site, git_daemon(site.repository) as url, ExitStack() as stack:
        site.use(url)
        small = site.repository.head
        daemon = stack.enter_context(site.start())
        caller = stack.enter_context(Caller(daemon.addresses[0]))
        before = _weigh(daemon)
        _add_large_files(site.repository, number or 1000)
        size = sum(one.stat().st_size for one in site.repository.bare.rglob("*") if one.is_file())
        print(f"a repository of {size / _MEGABYTE:,.0f} MB beside {len(GOOD) / 1000:.0f} kB")
        began = time.monotonic()
        troubles = _until(daemon.troubles)
        print(f"in the newest commit, after {time.monotonic() - began:.1f} s: {troubles[0]}")
        kept = caller.check(check_request()).policy_commit == small
        print(f"what served goes on: {kept}; {_weigh(daemon)}")
        site.repository.git("rm", "--quiet", "-r", "large")
        began = time.monotonic()
        _until_serves(caller, site.commit(f"{GOOD}// without\n"))
        print(
            f"in the history alone, the next commit serves after {time.monotonic() - began:.1f} s"
        )
        after = _weigh(daemon)
        left = len(list((site.folder / "state").glob("fetch-*/*")))
        print(f"before  {before}\nafter   {after}")
    return kept and after.peak - before.megabytes <= _SPARE_MEGABYTES and left <= 1


def _until(found: Callable[[], list[T]]) -> list[T]:
    """Wait until something is found, and return it."""
    until = time.monotonic() + _PATIENCE
    while not (seen := found()):
        if time.monotonic() > until:
            raise SystemExit("what was waited for did not come")
        time.sleep(0.2)
    return seen


def _add_large_files(repository: Repository, megabytes: int) -> None:
    """Commit files that nothing compresses, beside the policies; push them bit by bit, and then
    the branch that serves."""
    folder = repository.work / "large"
    folder.mkdir(exist_ok=True)
    repository.hold_large_files()
    for step in range(max(1, megabytes // _STEP)):
        for number in range(_STEP // 10):
            (folder / f"{step}-{number}").write_bytes(os.urandom(10 * _MEGABYTE))
        repository.commit(push=False)
        repository.push("HEAD:large")
    repository.push()


# -- a fleet -------------------------------------------------------------------------------------


def _fleet(number: int | None) -> bool:
    number, interval, seconds = number or 20, 5.0, 60.0
    with ExitStack() as stack:
        site = stack.enter_context(_site())
        url = stack.enter_context(git_daemon(site.repository))
        arrivals: list[float] = []
        port = stack.enter_context(_proxy(int(url.split(":")[2].split("/")[0]), arrivals))
        through = re.sub(r":\d+/", f":{port}/", url)
        site.use(through)
        path = site.folder / "policyd.toml"
        text = path.read_text().replace("interval = 1\n", f"interval = {interval}\n")
        daemons = []
        for one in range(number):
            folder = site.folder / f"daemon{one}"
            folder.mkdir()
            (folder / "policyd.toml").write_text(text)
            (folder / "jwks.json").write_bytes((site.folder / "jwks.json").read_bytes())
            daemons.append(Daemon(folder, ()))
            stack.callback(daemons[-1].end)
        _until(lambda: [True] if all(map(_serves, daemons)) else [])
        arrivals.clear()
        began = time.monotonic()
        time.sleep(seconds)
        found = sorted(one - began for one in arrivals)
    each = Counter(int(one) for one in found)
    busiest, fair = max(each.values()), len(found) / seconds
    print(f"{number} daemons, a look every {interval:g} s: {len(found)} in {seconds:g} s")
    print("arrivals a second: " + " ".join(str(each[second]) for second in range(int(seconds))))
    print(f"{fair:.1f} a second on average, {busiest} in the busiest")
    return busiest <= number / 2


def _serves(daemon: Daemon) -> bool:
    return any(line.get("message") == "serving" for line in daemon.log)


@contextmanager
def _proxy(to: int, arrivals: list[float]) -> Iterator[int]:
    """Pass connections on to a port, and note when each arrives."""
    with socket.create_server(("127.0.0.1", 0)) as server:

        def serve() -> None:
            while True:
                try:
                    caller, _ = server.accept()
                except OSError:
                    return
                arrivals.append(time.monotonic())
                onward = socket.create_connection(("127.0.0.1", to))
                for pair in ((caller, onward), (onward, caller)):
                    threading.Thread(target=_pump, args=pair, daemon=True).start()

        threading.Thread(target=serve, daemon=True).start()
        yield server.getsockname()[1]


def _pump(source: socket.socket, target: socket.socket) -> None:
    while True:
        try:
            data = source.recv(65536)
            if not data:
                target.shutdown(socket.SHUT_WR)
                return
            target.sendall(data)
        except OSError:
            return


# -- idle polls ----------------------------------------------------------------------------------


def _poll(number: int | None) -> bool:
    number = number or 60
    with _site() as site, site.start() as daemon:
        busy = _processor_time(daemon, number)
        before = _weigh(daemon)
        again = _processor_time(daemon, number)
        after = _weigh(daemon)
        path = site.folder / "policyd.toml"
        path.write_text(path.read_text().replace("interval = 1\n", "interval = 86400\n"))
        daemon.end()
        with site.start() as another:
            idle = _processor_time(another, number)
    each = [(one - idle) / number * 1000 for one in (busy, again)]
    print(
        f"{number} looks that find nothing: {each[0]:.2f} and {each[1]:.2f} ms of the daemon each"
    )
    print(f"between them {before}, then {after}")
    return max(each) < 2.0 and after.megabytes - before.megabytes < 1.0


def _processor_time(daemon: Daemon, seconds: float) -> float:
    """Return the processor time of the daemon itself, children left out, over some seconds."""
    before = _ticks(daemon)
    time.sleep(seconds)
    return (_ticks(daemon) - before) / _TICKS


def _ticks(daemon: Daemon) -> int:
    fields = Path(f"/proc/{daemon.process.pid}/stat").read_text().rpartition(")")[2].split()
    return int(fields[11]) + int(fields[12])


# -- what all parts share ------------------------------------------------------------------------


class _Weight:
    """What a daemon takes."""

    def __init__(self, pid: int) -> None:
        status = Path(f"/proc/{pid}/status").read_text()
        found = dict(re.findall(r"^(\w+):\s+(\d+)", status, re.MULTILINE))
        self.megabytes = int(found["VmRSS"]) / 1000
        self.peak = int(found["VmHWM"]) / 1000
        self.threads = int(found["Threads"])
        self.descriptors = len(list(Path(f"/proc/{pid}/fd").iterdir()))

    def __str__(self) -> str:
        return (
            f"{self.megabytes:.1f} MB (at most {self.peak:.1f}), {self.descriptors} descriptors, "
            f"{self.threads} threads"
        )


def _weigh(daemon: Daemon) -> _Weight:
    return _Weight(daemon.process.pid)


@contextmanager
def _site() -> Iterator[GitSite]:
    with tempfile.TemporaryDirectory(prefix="policyd-git-") as name:
        yield GitSite(Path(name), "event")


def _until_serves(caller: Caller, commit: str) -> None:
    until = time.monotonic() + _PATIENCE
    while caller.check(check_request()).policy_commit != commit:
        if time.monotonic() > until:
            raise SystemExit(f"{commit} does not serve after {_PATIENCE:.0f} s")
        time.sleep(0.1)


if __name__ == "__main__":
    main()
