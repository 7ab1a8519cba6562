"""What else happens to a daemon of the soak: policies, keys, revocations and files change under it.

In turn, and again and again: a policy is replaced; the issuer signs with a new key, and an old one
goes; a token is revoked; the file of the decision log is moved away. Each must take effect while
the daemon serves, which it is asked for. A change ends the one of its kind before, so that there is
as much to hold at the end as at the beginning. The records of proper callers are counted in each
file that was moved away.
"""

from __future__ import annotations

import json
import os
import shutil
import signal
import time
from collections.abc import Callable, Sequence
from multiprocessing.sharedctypes import Synchronized
from multiprocessing.synchronize import Event
from pathlib import Path

import msgspec
from google.protobuf.struct_pb2 import Struct

from bench.load import LoadError, Method, run
from bench.material import API, HOUR, ISSUER, POLICIES, Material
from bench.servers import CHECK, Server
from policyd.v1 import authorization_pb2 as messages

#: Seconds between two changes, and until one must have taken effect.
EVERY, PATIENCE = 5.0, 60.0
#: Users from here on are the proper callers; by these bytes a record of theirs is known.
FIRST_PROPER = 10_000_000
_PROPER = b'"subject":"auth0|1'
#: How long tokens are good for: longer than the soak.
_LIFE = 12 * HOUR
_LOG = "decisions.ndjson"
#: Of the revocation list.
ENTRIES = 1000
_OPEN = Struct()
_OPEN.update({"sealed": False})
_ANYTHING = Method(CHECK.path)
_ALLOWED = Method(CHECK.path, b"ALLOWED")
_REVOKED = Method(CHECK.path, b"TOKEN_REVOKED")


class Tally(msgspec.Struct, frozen=True):
    """What the mix tells: `records` of proper callers in files that it moved away, `changes` that
    took effect, and those that `failed`."""

    records: Synchronized[int]
    changes: Synchronized[int]
    failed: Synchronized[int]


def lasting_tokens(material: Material, first: int, count: int) -> list[str]:
    """Return tokens that outlive the soak, with identifiers by which they can be revoked."""
    until = int(time.time()) + _LIFE
    return [
        material.sign(number, scope="read:patients", exp=until, jti=f"soak-{number}")
        for number in range(first, first + count)
    ]


def own_policies(folder: Path) -> Path:
    """Return a copy of the sample policies that may be changed."""
    policies = folder / "policies"
    shutil.copytree(POLICIES, policies, ignore=shutil.ignore_patterns("*_test.policy"))
    return policies


def count(path: Path) -> int:
    """Return how many records of proper callers a file of the decision log has."""
    with path.open("rb") as file:
        return sum(_PROPER in line for line in file)


class Mix:
    """Changes things under the daemon `server`, whose policies are the folder `policies`."""

    def __init__(self, server: Server, material: Material, policies: Path) -> None:
        self._pid = server.process.pid
        self._address = server.address
        self._folder = server.folder
        self._policy = policies / "health.policy"
        self._text = self._policy.read_text(encoding="utf-8")
        self._material = material
        self._new: list[Material] = []
        self._open = False
        self._turn = 0
        (self._token,) = lasting_tokens(material, 1, 1)

    def run(self, stop: Event, calm: Event, tally: Tally) -> None:
        """Make one change after the other until it is enough, and rest while it is `calm`."""
        os.nice(5)
        deeds: Sequence[Callable[[], int]] = (
            self.reload,
            self.rotate_keys,
            self.revoke,
            self.rotate_log,
        )
        while not stop.is_set():
            deed = deeds[self._turn % len(deeds)]
            self._turn += 1
            try:
                tally.records.value += deed()
                tally.changes.value += 1
            except (LoadError, OSError, TimeoutError) as problem:
                tally.failed.value += 1
                print(f"{deed.__name__}: {type(problem).__name__}: {problem}", flush=True)
            stop.wait(EVERY)
            while calm.is_set() and not stop.is_set():
                stop.wait(0.1)

    def reload(self) -> int:
        """Let everyone who reads records delete them too, or no more."""
        self._open = not self._open
        rule = "\nallow soak: delete on patient\n    when scope read:patients\n"
        _replace(self._policy, (self._text + rule * self._open).encode())
        self._until(_ALLOWED, self._open, "delete", self._token)
        return 0

    def rotate_keys(self) -> int:
        """Publish a new key beside the first and the last one; the one before that goes."""
        new = Material(key_id=f"soak-{self._turn}")
        self._new = [*self._new[-1:], new]
        sets = (json.loads(each.key_set)["keys"] for each in (self._material, *self._new))
        keys = [key for keys in sets for key in keys]
        _replace(self._folder / "jwks.json", json.dumps({"keys": keys}).encode())
        os.kill(self._pid, signal.SIGHUP)
        (token,) = lasting_tokens(new, 1, 1)
        self._until(_ALLOWED, True, "read", token)
        return 0

    def revoke(self) -> int:
        """Revoke another token, in place of the last one."""
        user = 1000 + self._turn
        (token,) = lasting_tokens(self._material, user, 1)
        self._until(_ALLOWED, True, "read", token)
        write_revocations(self._folder, f"soak-{user}")
        self._until(_REVOKED, True, "read", token)
        return 0

    def rotate_log(self) -> int:
        """Move the file away, and count what is in it when the daemon has another one."""
        log, old = self._folder / _LOG, self._folder / f"{_LOG}.1"
        log.rename(old)
        os.kill(self._pid, signal.SIGHUP)
        _wait(log.exists, "there is no new file of the decision log")
        size = -1
        # What was being written may go to the old one yet.
        while size != (size := old.stat().st_size):
            time.sleep(1.0)
        found = count(old)
        old.unlink()
        return found

    def _until(self, method: Method, holds: bool, action: str, token: str) -> None:
        body = messages.CheckRequest(
            access_token=token,
            api=API,
            action=action,
            resource=messages.Resource(type="patient", id="mix", properties=_OPEN),
        ).SerializeToString()

        def asked() -> bool:
            try:
                run(self._address, method, [body], calls=1)
            except LoadError:
                run(self._address, _ANYTHING, [body], calls=1)  # it answers at all
                return not holds
            return holds

        _wait(asked, "it took no effect")


def write_revocations(folder: Path, last: str) -> None:
    """Write a revocation list whose last entry is this token."""
    until = int(time.time()) + _LIFE
    entries = [*(f"other-{number}" for number in range(ENTRIES - 1)), last]
    lines = [json.dumps({"issuer": ISSUER, "jti": jti, "until": until}) for jti in entries]
    text = "\n".join([*lines, json.dumps({"end": len(lines)}), ""])
    _replace(folder / "revocations.ndjson", text.encode())


def _replace(path: Path, data: bytes) -> None:
    written = path.with_name(f".{path.name}.new")
    written.write_bytes(data)
    written.replace(path)


def _wait(holds: Callable[[], bool], otherwise: str) -> None:
    until = time.monotonic() + PATIENCE
    while not holds():
        if time.monotonic() > until:
            raise TimeoutError(f"{otherwise} within {PATIENCE:.0f} s")
        time.sleep(0.05)
