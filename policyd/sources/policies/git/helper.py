"""Starts the process that fetches: one process for each look, killed at its timeout.

Input: a `Request`. Output: an `Answer`, and the objects of a commit as files in a folder, each
under its name. The output is not trusted: `Exported` checks each object against its name.

Invariants: the process has limits of memory, processor time and file size, no environment but its
path, and dies with the daemon. A secret reaches it over a pipe, never as an argument.
"""

from __future__ import annotations

import os
import signal
import subprocess
import sys
from contextlib import suppress
from pathlib import Path
from typing import Final

import msgspec

from policyd.regular_file import TooLong, read_regular
from policyd.sources.policies.git.objects import ObjectMalformed, unpacked
from policyd.sources.policies.model import PoliciesUnreadable
from policyd.sources.policies.steps import Step

#: The longest answer, in bytes.
_LONGEST: Final = 64 * 1024
_PASSED: Final = ("PATH", "LANG", "LC_ALL", "TZ", "SSL_CERT_FILE", "SSL_CERT_DIR")


class Request(msgspec.Struct, frozen=True):
    """What to look for.

    `ref` is a branch, a tag, a full name of a ref, or a commit. If it names `known`, nothing is
    fetched. With an `ancestor`, the commits on a path to it are fetched too, if there is a path.
    The objects go to `folder`.
    """

    url: str
    ref: str
    path: str
    folder: str
    known: str = ""
    ancestor: str = ""
    username: str = ""
    password: str = ""
    ssh_key_file: str = ""
    known_hosts_file: str = ""
    ca_file: str = ""
    seconds: float = 60.0
    max_bytes: int = 0
    max_files: int = 0
    max_fetch_bytes: int = 0


class Answer(msgspec.Struct, frozen=True):
    """The object that the ref names, a commit or a tag.

    `problem` says why its files cannot be used or, without an `id`, why the ref could not be
    resolved.
    """

    id: str = ""
    problem: str = ""


class Exported:
    """The objects that the process wrote to a folder, each checked against its name."""

    def __init__(self, folder: Path) -> None:
        self._folder = folder

    def read(self, id_: str, longest: int) -> tuple[str, bytes]:
        """Return kind and content of an object. Raises `ObjectMalformed`, `PoliciesUnreadable`."""
        try:
            # An object's header is shorter than 32 bytes.
            data = read_regular(self._folder / id_, longest + 32)
        except TooLong:
            raise PoliciesUnreadable(
                f"the object {id_} holds more than {longest:,} bytes"
            ) from None
        except OSError as error:
            raise ObjectMalformed(f"the object {id_} was not fetched: {error.strerror}") from None
        return unpacked(id_, data)

    def has(self, id_: str) -> bool:
        """Tell whether an object is there."""
        return (self._folder / id_).exists()


class Helper:
    """Starts one process at a time, and can end the running one."""

    def __init__(self) -> None:
        self._process: subprocess.Popen[bytes] | None = None
        self._stopped = False

    def ask(self, request: Request) -> Answer:
        """Start a process for the request, and return its answer.

        Raises `PoliciesUnreadable` if the process reports a problem, times out or dies.
        """
        process = self._start()
        try:
            output, errors = process.communicate(msgspec.json.encode(request), request.seconds)
        except subprocess.TimeoutExpired:
            raise _unfetched(f"it took more than {request.seconds:g} s (`timeout`)") from None
        finally:
            self._end(process)
        if self._stopped:
            raise _unfetched("the daemon stops")
        if process.returncode or len(output) > _LONGEST:
            raise _unfetched(_end_of(process.returncode, errors))
        try:
            answer = msgspec.json.decode(output, type=Answer)
        except msgspec.DecodeError:
            raise _unfetched("the process that fetches gave no answer") from None
        if answer.problem and not answer.id:
            raise _unfetched(answer.problem)
        return answer

    def stop(self) -> None:
        """End the running process, and start no more."""
        self._stopped = True
        process = self._process
        if process is not None:
            self._end(process)

    def _start(self) -> subprocess.Popen[bytes]:
        # -P: nothing is imported from the working directory. -I would ignore the virtual
        # environment.
        self._process = subprocess.Popen(
            [sys.executable, "-P", "-m", "policyd.sources.policies.git.fetching"],
            stdin=subprocess.PIPE,
            stdout=subprocess.PIPE,
            stderr=subprocess.PIPE,
            env={name: os.environ[name] for name in _PASSED if name in os.environ},
            start_new_session=True,
        )
        return self._process

    def _end(self, process: subprocess.Popen[bytes]) -> None:
        """Kill the process and its children, which share its session."""
        with suppress(ProcessLookupError):
            os.killpg(process.pid, signal.SIGKILL)
        process.wait()
        for pipe in (process.stdin, process.stdout, process.stderr):
            if pipe is not None and not pipe.closed:
                pipe.close()


def _end_of(code: int, errors: bytes) -> str:
    said = errors.decode(errors="replace").strip().splitlines()
    last = f": {said[-1][:500]}" if said else ""
    if code == -signal.SIGXCPU:
        return "the process that fetches used more processor time than it may"
    return f"the process that fetches ended with {code}{last}"


def _unfetched(problem: str) -> PoliciesUnreadable:
    return PoliciesUnreadable(problem, Step.FETCH)
