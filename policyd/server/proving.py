"""Promises proven in a helper process, so that no check waits for a proof.

The solver holds the interpreter's lock while it searches. So the daemon passes the texts of a
loading set to a process of low priority, which loads them by the same code, and remembers its
proofs of each rule. The set serves once that process reports that no promise is broken.

Messages are lines of JSON: texts by name and the premises one way, findings the other. If the
process ends, for example for lack of memory, nothing is proven: the set is refused, and the next
one gets a new process.
"""

from __future__ import annotations

import os
import subprocess
import sys
import threading
import weakref
from collections.abc import Iterable, Sequence
from contextlib import suppress
from typing import IO

import msgspec

from policyd.diagnostics import Diagnostic, Label, Source, Span
from policyd.errors import PolicydError
from policyd.language import Loader
from policyd.prover.axioms import Premises
from policyd.prover.promises import Prover

#: The niceness of the process (setpriority(2)).
_NICE = 15


class ProverEnded(PolicydError):
    """The proving process ended without an answer."""


class Ask(msgspec.Struct, frozen=True):
    """A set: texts by name, and the premises of its proofs."""

    texts: dict[str, str]
    premises: Premises


class Finding(msgspec.Struct, frozen=True):
    """A finding about a promise, as it is sent between processes."""

    code: str
    headline: str
    source: str
    start: int
    end: int
    notes: tuple[str, ...]
    help: str | None


class HelperProver:
    """Proves in a separate process, which starts when it is first needed."""

    def __init__(self) -> None:
        self._process: subprocess.Popen[bytes] | None = None
        self._forgotten: weakref.finalize[[subprocess.Popen[bytes]], HelperProver] | None = None
        self._stopped = False
        self._change = threading.Lock()

    def prove(self, sources: Sequence[Source], premises: Premises) -> tuple[Diagnostic, ...]:
        """Return the findings about the promises of valid sources. Raises `ProverEnded`."""
        texts = {source.name: source.text for source in sources}
        answer = self._answer(msgspec.json.encode(Ask(texts, premises)))
        by_name = {source.name: source for source in sources}
        return tuple(_diagnostic(one, by_name[one.source]) for one in answer)

    def _answer(self, question: bytes) -> list[Finding]:
        process = self._started()
        assert process.stdin is not None, "it was started with a pipe"
        assert process.stdout is not None, "it was started with a pipe"
        try:
            process.stdin.write(question + b"\n")
            process.stdin.flush()
            line = process.stdout.readline()
        except OSError:
            line = b""
        if not line:
            status = self._end()
            raise ProverEnded(f"the process that proves promises ended with {status}")
        return msgspec.json.decode(line, type=list[Finding])

    def stop(self) -> None:
        """End the process, and abandon a running proof."""
        self._stopped = True
        self._end()

    def _started(self) -> subprocess.Popen[bytes]:
        with self._change:
            if self._stopped:
                raise ProverEnded("the daemon stops")
            if self._process is None:
                # -P: nothing is imported from the working directory.
                command = [sys.executable, "-P", "-m", "policyd.server.proving"]
                # A separate session, so that Ctrl-C at a terminal reaches only the daemon.
                self._process = subprocess.Popen(
                    command,
                    stdin=subprocess.PIPE,
                    stdout=subprocess.PIPE,
                    start_new_session=True,
                )
                # If this object is dropped without `stop`, the process still ends.
                self._forgotten = weakref.finalize(self, _end, self._process)
            return self._process

    def _end(self) -> int | None:
        with self._change:
            process, self._process = self._process, None
            if process is None or self._forgotten is None:
                return None
            self._forgotten.detach()
            return _end(process)


def _end(process: subprocess.Popen[bytes]) -> int:
    process.kill()
    for pipe in (process.stdin, process.stdout):
        if pipe is not None:
            with suppress(OSError):  # unsent data is no longer needed
                pipe.close()
    return process.wait()


def _diagnostic(found: Finding, source: Source) -> Diagnostic:
    label = Label(source, Span(found.start, found.end))
    return Diagnostic(found.code, found.headline, label, notes=found.notes, help=found.help)


def _finding(found: Diagnostic) -> Finding:
    assert found.primary is not None, "a promise has a place"
    return Finding(
        found.code,
        found.headline,
        found.primary.source.name,
        *found.primary.span,
        found.notes,
        found.help,
    )


def serve(questions: Iterable[bytes], answers: IO[bytes]) -> None:
    """Answer questions until the input ends: the main function of the helper process."""
    loader, prover = Loader(), Prover()
    for line in questions:
        ask = msgspec.json.decode(line, type=Ask)
        if ask.premises != prover.premises:
            prover = Prover(ask.premises)
        loaded = loader.load([Source(name, text) for name, text in ask.texts.items()])
        assert loaded.policies is not None, "only sets that load are handed over"
        found = [_finding(one) for one in prover.prove(loaded.policies)]
        answers.write(msgspec.json.encode(found) + b"\n")
        answers.flush()


if __name__ == "__main__":
    os.setpriority(os.PRIO_PROCESS, 0, _NICE)
    serve(sys.stdin.buffer, sys.stdout.buffer)
