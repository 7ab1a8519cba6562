"""Runs policy tests in several processes: for suites of many thousand expectations.

Each process loads the same texts and runs a share of the tests. It returns decisions and coverage,
which are plain data. This process evaluates an expectation that did not hold once more, for its
traces. So the result is that of `run_tests`, in the same order.
"""

from __future__ import annotations

from collections.abc import Callable, Iterable, Sequence
from concurrent.futures import ProcessPoolExecutor
from itertools import pairwise
from multiprocessing import get_context

from policyd.decision.model import Decision
from policyd.diagnostics import Source
from policyd.errors import InternalError
from policyd.language import load, load_tests
from policyd.language.cases import TestCase
from policyd.language.parser import TEST_SUFFIX
from policyd.language.policy import PolicySet
from policyd.tooling.coverage import Seen, measure
from policyd.tooling.issuing import Issuing
from policyd.tooling.runner import ExpectationResult, Run, Runner

#: Shares for each process: small ones even out tests that take long.
_SHARES = 4
_DEFAULTS = Issuing()

#: Yields what comes, and shows how many of the number have come.
Shown = Callable[[Iterable["_Share"], int], Iterable["_Share"]]

_Result = tuple[Decision | None, tuple[str, ...]]

_Share = tuple[list[_Result], Seen]


def run_tests_in_parallel(
    policies: PolicySet,
    cases: Sequence[TestCase],
    sources: Sequence[Source],
    jobs: int,
    shown: Shown | None = None,
    issuing: Issuing = _DEFAULTS,
) -> Run:
    """Run the tests in `jobs` processes; `sources` are the texts that policies and tests come from.

    `shown` sees each share of the tests as it is finished. Raises `EvaluatorsDisagree`.
    """
    number = max(1, min(len(cases), jobs * _SHARES))
    bounds = [len(cases) * part // number for part in range(number + 1)]
    shares = list(pairwise(bounds))
    texts = [(source.name, source.text) for source in sources]
    # A process that is started anew inherits no lock and no thread of this one.
    with ProcessPoolExecutor(jobs, get_context("spawn")) as pool:
        coming = pool.map(run_share, [texts] * len(shares), shares, [issuing] * len(shares))
        finished = list(coming if shown is None else shown(coming, len(shares)))
    runner = Runner(policies, issuing)
    results: list[ExpectationResult] = []
    for (start, end), (ran, seen) in zip(shares, finished, strict=True):
        runner.seen.update(seen)
        asked = [(case, one) for case in cases[start:end] for one in case.expectations]
        for (case, expectation), (decision, problems) in zip(asked, ran, strict=True):
            if problems:
                results.append(runner.evaluate(case, expectation))
            else:
                results.append(ExpectationResult(case, expectation, decision, problems))
    return Run(tuple(results), measure(policies, runner.seen))


def run_share(
    texts: list[tuple[str, str]], share: tuple[int, int], issuing: Issuing = _DEFAULTS
) -> tuple[list[_Result], Seen]:
    """Run the tests `[start, end)`, in a process of its own."""
    sources = [Source(name, text) for name, text in texts]
    loaded = load([source for source in sources if not source.name.endswith(TEST_SUFFIX)])
    if loaded.policies is None:
        raise InternalError("a policy that loaded does not load again")
    tests = load_tests(
        [source for source in sources if source.name.endswith(TEST_SUFFIX)], loaded.policies
    ).tests
    runner = Runner(loaded.policies, issuing)
    results = [
        runner.evaluate(case, expectation)
        for case in tests[slice(*share)]
        for expectation in case.expectations
    ]
    return [(one.decision, one.problems) for one in results], runner.seen
