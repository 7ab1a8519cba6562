"""What `scripts.deploy_unit` runs in the system that it boots, once policyd serves there.

It needs policyd alone, and no file of this repository but itself. It prints what it saw, and ends
with 0 if all was as it should be.
"""

from __future__ import annotations

import subprocess
import sys
import time
from pathlib import Path

import grpc

from policyd.v1 import authorization_pb2 as messages

FOLDER = Path("/etc/policyd")
SOCKET = "unix:/run/policyd/policyd.sock"
CONFINED = ("DynamicUser=yes", "ProtectSystem=strict", "MemoryDenyWriteExecute=yes")
PATIENCE = 30.0
#: `Seccomp` of proc(5): calls are filtered.
FILTERED = "2"


def main() -> None:
    begun = _shown("ActiveState", "MainPID", *(one.partition("=")[0] for one in CONFINED))
    if begun["ActiveState"] != "active":
        print(
            f"unit: {begun['ActiveState']}\n{_run('journalctl', '--unit', 'policyd', '--no-pager')}"
        )
        sys.exit(1)
    held = [one for one in CONFINED if begun[one.partition("=")[0]] == one.partition("=")[2]]
    lines = Path(f"/proc/{begun['MainPID']}/status").read_text().splitlines()
    status = {name: rest.split() for name, _, rest in (line.partition(":") for line in lines)}
    user, filtered = status["Uid"][0], status["Seccomp"] == [FILTERED]
    print(
        f"unit: {begun['ActiveState']}, user {user}, calls filtered {filtered}, {', '.join(held)}"
    )

    first = _allowed()
    told = _reloads_what_is_wrong()
    second = _allowed()
    print(f"unit: allowed {first}; a reload says what is wrong {told}, and it serves on {second}")

    same = _shown("MainPID")["MainPID"] == begun["MainPID"]
    _systemctl("stop", "policyd")
    ended = _shown("ActiveState", "Result", "ExecMainStatus")
    print(f"unit: stopped: {ended['ActiveState']}, {ended['Result']}, {ended['ExecMainStatus']}")
    fine = begun["ActiveState"] == "active" and user != "0" and filtered and same
    fine = fine and held == list(CONFINED) and first and told and second
    sys.exit(not fine or list(ended.values()) != ["inactive", "success", "0"])


def _systemctl(*arguments: str) -> str:
    return _run("systemctl", *arguments)


def _run(*command: str) -> str:
    return subprocess.run(command, stdout=subprocess.PIPE, text=True, check=True).stdout


def _shown(*names: str) -> dict[str, str]:
    """Return properties of the unit, in the order of `names`."""
    lines = _systemctl("show", "policyd", *(f"--property={name}" for name in names)).splitlines()
    found = dict(line.split("=", 1) for line in lines)
    return {name: found[name] for name in names}


def _allowed() -> bool:
    with grpc.insecure_channel(SOCKET) as channel:
        call: grpc.UnaryUnaryMultiCallable[bytes, bytes] = channel.unary_unary(
            "/policyd.v1.AuthorizationService/Check"
        )
        answer = call((FOLDER / "request.bin").read_bytes(), timeout=PATIENCE)
    return messages.CheckResponse.FromString(answer).allowed


def _reloads_what_is_wrong() -> bool:
    """Reload a configuration with an unknown key; tell whether the unit's status names it."""
    path = FOLDER / "policyd.toml"
    right = path.read_text()
    path.write_text(f"unknown_key = 1\n{right}")
    _systemctl("reload", "policyd")
    limit = time.monotonic() + PATIENCE
    try:
        while "unknown_key" not in (said := _shown("StatusText")["StatusText"]):
            if time.monotonic() > limit:
                print(f"unit: the status is {said}")
                return False
            time.sleep(0.1)
        return True
    finally:
        path.write_text(right)


if __name__ == "__main__":
    main()
