"""Promises proven in a helper process: no check waits for a proof, and no proof takes too much.

The solver holds the interpreter's lock while it searches. So the daemon passes the texts of a
loading set to a process, which loads them by the same code, and remembers its proofs of each rule.
The set serves once that process reports that no promise is broken. Where checks are answered
meanwhile, the process has a low priority.
`policyd check` asks such a process too, and so has the same limits and the same answers.

Messages are lines of JSON: texts by name and the premises one way, and the other way the place of
each promise before it is looked at, and in the end the findings. The process may take so much
memory, and so much time for a set. Past that it ends, the promise it was at is undecided, the set
is refused, and the next one gets a new process. It ends by itself when the daemon has ended: at the
end of its input, or a little after its time where it is at a proof.
"""

from __future__ import annotations

import math
import os
import resource
import signal
import subprocess
import sys
import threading
import weakref
from collections.abc import Iterable, Iterator, Sequence
from contextlib import suppress
from typing import IO, Final, Self

import msgspec

from policyd.diagnostics import Label, Source, Span
from policyd.errors import PolicydError
from policyd.language import Loader
from policyd.language.policy import PolicySet, Proof
from policyd.prover.axioms import Premises
from policyd.prover.promises import Found, Prover, undecided, unproven
from policyd.prover.universe import Side

#: The niceness of the process beside checks (setpriority(2)).
_NICE: Final = 15
#: What it may take: bytes of address space, and seconds of the clock for each set. A hundred
#: thousand rules on one action take 3 GB.
MEMORY: Final = 4 * 1024**3
SECONDS: Final = 120.0
#: The exit status of a process that may not have more memory.
_NO_MEMORY: Final = 71
#: Seconds that it has beyond, before the kernel ends it, if the daemon did not.
_GRACE: Final = 10


class Asking(msgspec.Struct, frozen=True, tag="asking"):
    """The place of the promise that is looked at next, and the action on a resource."""

    source: str
    start: int
    action: str
    resource: str


class ProverEnded(PolicydError):
    """The proving process ended without an answer, when it was at a promise, if at any."""

    def __init__(self, problem: str, at: Asking | None = None) -> None:
        super().__init__(problem)
        self.at = at


class Ask(msgspec.Struct, frozen=True):
    """A set: texts by name, and the premises of its proofs. With `urgent`, no check is answered
    until it is proven."""

    texts: dict[str, str]
    premises: Premises
    urgent: bool


class Finding(msgspec.Struct, frozen=True):
    """A finding about a promise, as it is sent between processes."""

    code: str
    headline: str
    source: str
    start: int
    end: int
    notes: tuple[str, ...]
    help: str | None
    counterexample: str
    promise: str


class Answer(msgspec.Struct, frozen=True, tag="answer"):
    """What is found about the promises of a set."""

    findings: list[Finding]


class HelperProver:
    """Proves in a separate process, which starts when it is first needed.

    The process may take `seconds` of the clock for a set, and `memory` bytes of address space.
    """

    def __init__(self, seconds: float = SECONDS, memory: int = MEMORY) -> None:
        self._seconds = seconds
        self._memory = memory
        self._process: subprocess.Popen[bytes] | None = None
        self._forgotten: weakref.finalize[[subprocess.Popen[bytes]], HelperProver] | None = None
        self._stopped = False
        self._change = threading.Lock()

    def __enter__(self) -> Self:
        return self

    def __exit__(self, *_: object) -> None:
        self.stop()

    def findings(
        self,
        sources: Sequence[Source],
        policies: PolicySet,
        premises: Premises,
        *,
        urgent: bool,
    ) -> tuple[Found, ...]:
        """Return the findings about the promises of policies, which these sources are; if the
        process ended, that is one. For `urgent` see `Ask`."""
        promised = [proof for api in policies.apis.values() for proof in api.proofs]
        if not promised:
            return ()
        try:
            return self.prove(sources, premises, urgent=urgent)
        except ProverEnded as problem:
            return (ended(promised, problem),)

    def prove(
        self, sources: Sequence[Source], premises: Premises, *, urgent: bool = False
    ) -> tuple[Found, ...]:
        """Return the findings about the promises of valid sources. Raises `ProverEnded`."""
        texts = {source.name: source.text for source in sources}
        answer = self._answer(msgspec.json.encode(Ask(texts, premises, urgent)))
        by_name = {source.name: source for source in sources}
        return tuple(_found(one, by_name[one.source]) for one in answer)

    def _answer(self, question: bytes) -> list[Finding]:
        process = self._started()
        assert process.stdin is not None, "it was started with a pipe"
        assert process.stdout is not None, "it was started with a pipe"
        late = threading.Event()

        def end() -> None:
            late.set()
            process.kill()

        at: Asking | None = None
        timer = threading.Timer(self._seconds, end)
        timer.start()
        try:
            process.stdin.write(question + b"\n")
            process.stdin.flush()
            for line in process.stdout:
                told = msgspec.json.decode(line, type=Asking | Answer)
                if isinstance(told, Answer):
                    return told.findings
                at = told
        except (OSError, msgspec.DecodeError):  # it has ended, which its status tells more of
            pass
        finally:
            timer.cancel()
        status = self._end()
        if late.is_set():
            raise ProverEnded(f"it takes longer than {self._seconds:g} seconds", at)
        if status == _NO_MEMORY:
            raise ProverEnded(f"it needs more than {self._memory // 1024**2:,} MiB of memory", at)
        raise ProverEnded(f"the process that proves promises ended with {status}", at)

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
                command = [sys.executable, "-P", "-m", "policyd.pdp.proving"]
                command += [str(self._memory), str(math.ceil(self._seconds) + _GRACE)]
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


def ended(promises: Sequence[Proof], problem: ProverEnded) -> Found:
    """Return the finding about the promise at which the process ended."""
    at = problem.at
    if at is not None:
        for promise in promises:
            if (promise.source.name, promise.span.start) == (at.source, at.start):
                return undecided(promise, f"`{at.action}` on `{at.resource}`: {problem}")
    return unproven(promises[0], str(problem))


def _found(told: Finding, source: Source) -> Found:
    label = Label(source, Span(told.start, told.end))
    return Found(
        told.code,
        told.headline,
        label,
        notes=told.notes,
        help=told.help,
        counterexample=told.counterexample,
        promise=told.promise,
    )


def _finding(found: Found) -> Finding:
    assert found.primary is not None, "a promise has a place"
    return Finding(
        found.code,
        found.headline,
        found.primary.source.name,
        *found.primary.span,
        found.notes,
        found.help,
        found.counterexample,
        found.promise,
    )


def serve(questions: Iterable[bytes], answers: IO[bytes]) -> None:
    """Answer questions until the input ends: the main function of the helper process."""

    def tell(message: Asking | Answer) -> None:
        answers.write(msgspec.json.encode(message) + b"\n")
        answers.flush()

    def before(side: Side, promise: Proof) -> None:
        name, start = promise.source.name, promise.span.start
        tell(Asking(name, start, side.action, side.resource.name))

    loader, prover = Loader(), Prover(before=before)
    for line in questions:
        ask = msgspec.json.decode(line, type=Ask)
        if not ask.urgent:
            _stand_back()
        if ask.premises != prover.premises:
            prover = Prover(ask.premises, before=before)
        loaded = loader.load([Source(name, text) for name, text in ask.texts.items()])
        assert loaded.policies is not None, "only sets that load are handed over"
        tell(Answer([_finding(one) for one in prover.prove(loaded.policies)]))


def _in_time(questions: Iterable[bytes], seconds: int) -> Iterator[bytes]:
    """Have the kernel end this process if a question takes longer than that.

    The daemon, which would end it earlier, may be gone; and no thread of this process could: the
    solver holds the interpreter's lock.
    """
    for question in questions:
        signal.alarm(seconds)
        yield question
        signal.alarm(0)


def _bound(memory: int) -> None:
    """Limit this process."""
    _, hard = resource.getrlimit(resource.RLIMIT_AS)
    most = memory if hard == resource.RLIM_INFINITY else min(memory, hard)
    resource.setrlimit(resource.RLIMIT_AS, (most, most))
    resource.setrlimit(resource.RLIMIT_CORE, (0, 0))


def _stand_back() -> None:
    """Let checks go first, for good: only root may lower a niceness again."""
    os.setpriority(os.PRIO_PROCESS, 0, max(_NICE, os.getpriority(os.PRIO_PROCESS, 0)))


if __name__ == "__main__":
    _bound(int(sys.argv[1]))
    try:
        serve(_in_time(sys.stdin.buffer, int(sys.argv[2])), sys.stdout.buffer)
    except MemoryError:
        os._exit(_NO_MEMORY)  # what is left of it may need memory to end
