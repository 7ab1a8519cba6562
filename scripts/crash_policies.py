"""Kill the daemon at random moments of activations, and see what the next start serves.

`python -m scripts.crash_policies [--times 100] [--transport …] [--seed 1]`

The policies are in a repository. Each time there is a new commit, of two kinds in turn: one that
allows what is asked, one that does not. A daemon is started in one and the same folder, or waits
for the commit while it serves, and is killed (SIGKILL, with its processes) after a random while.
Then the repository is taken away, and a daemon is started again: it has only its state folder. It
must serve one whole revision: a commit that was made, with the answer and the revision that belong
to it, and no older one than was seen to serve. It ends with 1 where that does not hold.
"""

from __future__ import annotations

import argparse
import random
import signal
import sys
import tempfile
import time
from collections import Counter
from pathlib import Path

from tests.server.test_git import CLOSED, GOOD, GitSite
from tests.support.daemon import Caller, Daemon, check_request

#: Seconds from the start of a process, or from a push, to the kill: about twice an activation.
_STARTING, _SERVING = 1.6, 1.8


class Trial:
    """A site, the commits that were made, and what was seen to serve."""

    def __init__(self, folder: Path, transport: str, dice: random.Random) -> None:
        self._site = GitSite(folder, transport)
        self._dice = dice
        self._allows = {self._site.repository.head: True}
        self._order = [self._site.repository.head]
        self._served = 0  # the newest commit that was seen to serve, by its place
        self.found: Counter[str] = Counter()

    def begin(self) -> None:
        """Let the first commit serve once: without that there is nothing to remember."""
        with self._site.start() as daemon:
            self._look(daemon)

    def once(self) -> str:
        """Kill a daemon once; return what is wrong with the next start, or nothing."""
        if self._dice.random() < 0.5:
            self._commit()
            daemon = Daemon(self._site.folder, ())
            self._kill(daemon, self._dice.uniform(0, _STARTING))
        else:
            daemon = Daemon(self._site.folder, ())
            daemon.wait_for_log("serving")
            self._look(daemon)
            self._commit()
            self._kill(daemon, self._dice.uniform(0, _SERVING))
        return self._next_start()

    def _commit(self) -> None:
        number = len(self._order)
        text = f"{GOOD}// {number}\n" + (CLOSED if number % 2 else "")
        made = self._site.commit(text)
        self._allows[made] = not number % 2
        self._order.append(made)

    @staticmethod
    def _kill(daemon: Daemon, after: float) -> None:
        time.sleep(after)
        daemon.signal(signal.SIGKILL)
        daemon.end()

    def _next_start(self) -> str:
        repository = self._site.repository.bare
        away = repository.with_name("away")
        repository.rename(away)
        try:
            with self._site.start() as daemon:
                return self._look(daemon)
        except AssertionError as error:
            return f"it does not start: {error}"
        finally:
            away.rename(repository)

    def _look(self, daemon: Daemon) -> str:
        """See what serves; return what is wrong with that, or nothing."""
        with Caller(daemon.addresses[0]) as caller:
            answer = caller.check(check_request())
        commit = answer.policy_commit
        if commit not in self._allows:
            return f"it serves `{commit}`, which was never made"
        if answer.allowed is not self._allows[commit]:
            return f"it answers {answer.allowed} by {commit}"
        place = self._order.index(commit)
        if place < self._served:
            return f"it serves commit {place}, and commit {self._served} served before"
        self.found["the new commit" if place > self._served else "the one before"] += 1
        self._served = place
        left = [one.name for one in (self._site.folder / "state").glob("fetch-*")]
        alive = [name for name in left if Path(f"/proc/{name.split('-')[1]}").exists()]
        return f"{left} is left" if len(left) > len(alive) else ""


def run(folder: Path, times: int, transport: str = "event", seed: int = 1) -> tuple[str, list[str]]:
    """Kill so many daemons; return what the next ones served, and what was wrong."""
    trial = Trial(folder, transport, random.Random(seed))
    trial.begin()
    trial.found.clear()
    wrong = []
    for number in range(times):
        if problem := trial.once():
            wrong.append(f"kill {number}: {problem}")
        if sys.stderr.isatty():
            print(f"\r{number + 1} of {times}", end="", file=sys.stderr)
    return ", ".join(f"{number} × {what}" for what, number in trial.found.items()), wrong


def main() -> None:
    parser = argparse.ArgumentParser(description=(__doc__ or "").splitlines()[0])
    parser.add_argument("--times", type=int, default=100)
    parser.add_argument("--transport", choices=("event", "standard"), default="event")
    parser.add_argument("--seed", type=int, default=1)
    options = parser.parse_args()
    with tempfile.TemporaryDirectory() as name:
        found, wrong = run(Path(name), options.times, options.transport, options.seed)
    print(f"{options.times} kills; looked at, there served: {found}")
    print("\n".join(wrong) if wrong else "each next start served one whole revision")
    sys.exit(bool(wrong))


if __name__ == "__main__":
    main()
