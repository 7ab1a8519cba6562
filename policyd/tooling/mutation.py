"""Runs the tests on changed policies, and reports the changes that no test notices.

Input: a policy set whose tests hold, and the tests. Output: each mutant that survives them.
"""

from __future__ import annotations

from collections.abc import Callable, Iterable, Sequence

import msgspec

from policyd.diagnostics import Diagnostic, Severity
from policyd.language.cases import TestCase
from policyd.language.policy import PolicySet
from policyd.tooling.mutant import Mutant
from policyd.tooling.mutants import mutants
from policyd.tooling.runner import Runner

_SHOWN = 60


class Trial(msgspec.Struct, frozen=True):
    """How many mutants were tried, and those that no test noticed, in the order of the source."""

    tried: int
    survivors: tuple[Mutant, ...]


_Try = tuple[Mutant, list[TestCase]]


def try_tests(
    policies: PolicySet,
    cases: Iterable[TestCase],
    shown: Callable[[Iterable[_Try], int], Iterable[_Try]] | None = None,
) -> Trial:
    """Run the tests of each API on all its mutants.

    The tests must hold on the unchanged policies. Only the compiled policy decides them, and a
    mutant is finished at the first test that notices it. `shown` sees each one before it is tried.
    """
    listed = tuple(cases)
    tries: list[_Try] = []
    for name, api in policies.apis.items():
        own = [case for case in listed if case.api == name]
        tries += ((mutant, own) for mutant in mutants(api))
    seen = tries if shown is None else shown(tries, len(tries))
    survivors = [mutant for mutant, own in seen if _survives(mutant, own)]
    return Trial(len(tries), tuple(sorted(survivors, key=lambda one: finding(one).sort_key)))


def _survives(mutant: Mutant, cases: Sequence[TestCase]) -> bool:
    runner = Runner(PolicySet({mutant.api.name: mutant.api}, revision="mutant"))
    return all(
        runner.holds(case, expectation) for case in cases for expectation in case.expectations
    )


def finding(survivor: Mutant) -> Diagnostic:
    """Return the finding about a mutant that survived."""
    label = survivor.label
    written = " ".join(label.source.text[slice(*label.span)].split())
    shown = written if len(written) <= _SHOWN else written[: _SHOWN - 1] + "…"
    inside = "" if written == survivor.owner else f" in `{survivor.owner}`"
    return Diagnostic(
        "P4012",
        f"no test notices `{shown}` {label.message}{inside}",
        label,
        severity=Severity.WARNING,
    )
