"""Starts the process that fetches: one process for each look, killed at its timeout.

Input: a `Request`, of which each source has its own kind. Output: an `Answer`, and files in a
folder. The output is not trusted: the source checks it.

Invariants: the process has limits of memory, processor time and file size (`helping`), no
environment but its path, and dies with the daemon. A secret reaches it over a pipe, never as an
argument.
"""

from __future__ import annotations

import os
import signal
import subprocess
import sys
from contextlib import suppress
from typing import Final, TypeVar

import msgspec

from policyd.sources.policies.model import PoliciesUnreadable
from policyd.sources.policies.steps import Step

#: The longest answer, in bytes.
_LONGEST: Final = 64 * 1024
_PASSED: Final = ("PATH", "LANG", "LC_ALL", "TZ", "SSL_CERT_FILE", "SSL_CERT_DIR")

AnswerT = TypeVar("AnswerT", bound="Answer")


class Request(msgspec.Struct, frozen=True, kw_only=True):
    """What every process is told: the folder for its files, and its limits.

    `seconds` bounds its time, and its processor time; `max_bytes` and `max_files` bound the
    policies, `largest_file` the bytes of a file that it writes.
    """

    folder: str
    seconds: float = 60.0
    max_bytes: int = 0
    max_files: int = 0
    largest_file: int = 0


class Answer(msgspec.Struct, frozen=True):
    """The name of the source's current state.

    `problem` says why its files cannot be used or, without an `id`, why the source did not answer.
    """

    id: str = ""
    problem: str = ""


class Helper:
    """Starts one process at a time, and can end the running one."""

    def __init__(self, module: str) -> None:
        """`module` is the module that a process runs; it calls `helping.answer`."""
        self._module = module
        self._process: subprocess.Popen[bytes] | None = None
        self._stopped = False

    def ask(self, request: Request, shape: type[AnswerT]) -> AnswerT:
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
            answer = msgspec.json.decode(output, type=shape)
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

    def give_up(self) -> None:
        """End the running process, if there is one; its `ask` raises `PoliciesUnreadable`."""
        process = self._process
        if process is not None and process.returncode is None:
            with suppress(ProcessLookupError):
                os.killpg(process.pid, signal.SIGKILL)

    def _start(self) -> subprocess.Popen[bytes]:
        # -P: nothing is imported from the working directory. -I would ignore the virtual
        # environment.
        self._process = subprocess.Popen(
            [sys.executable, "-P", "-m", self._module],
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
