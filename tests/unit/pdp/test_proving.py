"""The process that proves promises: its answers, and what becomes of one that takes too much."""

from __future__ import annotations

import os
import signal
import subprocess
import sys
import weakref
from collections.abc import Iterator
from concurrent.futures import ThreadPoolExecutor
from contextlib import contextmanager

import pytest

from policyd.diagnostics import Source
from policyd.language import load
from policyd.language.policy import Proof
from policyd.pdp.proving import HelperProver, ProverEnded, _end, ended
from policyd.prover.axioms import Premises
from policyd.prover.promises import Prover
from tests.support.pigeons import PIGEONS


@contextmanager
def proving(seconds: float, memory: int) -> Iterator[HelperProver]:
    prover = HelperProver(seconds, memory)
    try:
        yield prover
    finally:
        prover.stop()


def promises(text: str) -> list[Proof]:
    loaded = load([Source("birds.policy", text)])
    assert loaded.policies is not None, [one.headline for one in loaded.diagnostics]
    return [one for api in loaded.policies.apis.values() for one in api.proofs]


def test_past_its_time_the_promise_is_named() -> None:
    with proving(0.05, 2**32) as prover, pytest.raises(ProverEnded) as problem:
        prover.prove([Source("birds.policy", PIGEONS)], Premises())
    assert "longer than 0.05 seconds" in str(problem.value)


def test_past_its_memory() -> None:
    with proving(60.0, 160 * 2**20) as prover, pytest.raises(ProverEnded) as problem:
        prover._answer(b"x" * (160 * 2**20))
    assert "needs more than 160 MiB of memory" in str(problem.value)


def test_the_next_set_gets_another_process() -> None:
    with proving(60.0, 2**32) as prover:
        kept = PIGEONS.partition("\nprove grounded")[0]
        assert prover.prove([Source("birds.policy", kept)], Premises()) == ()
        assert prover._process is not None
        prover._process.kill()
        with pytest.raises(ProverEnded, match="ended with"):
            prover.prove([Source("birds.policy", kept)], Premises())
        assert prover.prove([Source("birds.policy", kept)], Premises()) == ()


def test_a_process_that_ends_within_a_line_has_ended() -> None:
    with proving(60.0, 2**32) as prover:
        half = ["sh", "-c", 'read question; printf \'{"type":"answ\'; exit 3']
        started = subprocess.Popen(half, stdin=subprocess.PIPE, stdout=subprocess.PIPE)
        prover._process = started
        prover._forgotten = weakref.finalize(prover, _end, started)
        with pytest.raises(ProverEnded, match="ended with"):
            prover.prove([Source("birds.policy", PIGEONS)], Premises())


def test_the_process_outlives_the_thread_that_began_it() -> None:
    kept = Source("birds.policy", PIGEONS.partition("\nprove grounded")[0])
    with proving(60.0, 2**32) as prover:
        with ThreadPoolExecutor(1) as elsewhere:
            assert elsewhere.submit(prover.prove, [kept], Premises()).result() == ()
        first = prover._process
        assert prover.prove([kept], Premises()) == ()
        assert prover._process is first


def test_a_process_without_a_daemon_ends_when_its_time_is_over() -> None:
    slow = "import time\nfrom policyd.pdp.proving import _in_time\n"
    slow += "for _ in _in_time([b'quick', b'slow'], 1):\n    time.sleep(0 if _ == b'quick' else 60)"
    ended_by = subprocess.run([sys.executable, "-c", slow], check=False).returncode
    assert ended_by == -signal.SIGALRM


def test_a_process_of_a_daemon_that_is_very_nice_stays_so() -> None:
    """Another user than root may not lower it: the process would end before it proves anything."""
    asked = "import os\nfrom policyd.pdp.proving import _stand_back\n"
    asked += "os.setpriority(os.PRIO_PROCESS, 0, 19)\n_stand_back()\n"
    asked += "print(os.getpriority(os.PRIO_PROCESS, 0))"
    done = subprocess.run([sys.executable, "-c", asked], capture_output=True, check=True)
    assert int(done.stdout) == 19


def test_a_process_stands_back_once_checks_are_answered() -> None:
    kept = [Source("birds.policy", PIGEONS.partition("\nprove grounded")[0])]
    here = os.getpriority(os.PRIO_PROCESS, 0)
    with proving(60.0, 2**32) as prover:
        found = []
        for urgent in (True, True, False, True):
            prover.prove(kept, Premises(), urgent=urgent)
            assert prover._process is not None
            found.append(os.getpriority(os.PRIO_PROCESS, prover._process.pid))
    back = max(15, here)
    assert found == [here, here, back, back]


def test_what_the_process_finds_is_as_found_here() -> None:
    text = PIGEONS.partition("\nprove grounded")[0].replace("never allow sit", "never allow fly")
    text = text.replace("scope fly and apart", "scope fly")
    source = Source("birds.policy", text)
    loaded = load([source])
    assert loaded.policies is not None
    with proving(60.0, 2**32) as prover:
        (found,) = prover.findings([source], loaded.policies, Premises(), urgent=False)
    assert (found,) == Prover().prove(loaded.policies)
    assert found.promise == "easy"
    assert "allow fly on bird" in found.counterexample


def test_a_process_that_ended_is_a_finding() -> None:
    source = Source("birds.policy", PIGEONS)
    loaded = load([source])
    assert loaded.policies is not None
    with HelperProver(0.01) as prover:
        (found,) = prover.findings([source], loaded.policies, Premises(), urgent=False)
    assert found.code == "P7003"
    assert found.notes == ("it takes longer than 0.01 seconds",)


def test_the_finding_is_about_the_promise_it_was_at() -> None:
    text = PIGEONS
    with proving(60.0, 2**32) as prover:
        (found,) = prover.prove([Source("birds.policy", text)], Premises())
    assert found.code == "P7002"
    assert "`grounded`" in found.headline
    easy, grounded = promises(text)
    with proving(0.4, 2**32) as prover, pytest.raises(ProverEnded) as problem:
        prover.prove([Source("birds.policy", text)], Premises())
    at = problem.value.at
    told = ended([easy, grounded], problem.value)
    assert told.code == ("P7003" if at is None else "P7002")
    assert "longer than 0.4 seconds" in told.notes[0]
