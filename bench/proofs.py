"""P11 to P13: what proofs, differences and filters cost, in CPU time and beside what they go with.

A proof and a difference beside the load of the same text, which is done with each change; a filter
beside a check. The rules of P12 stand on one action, each with an organisation of its own and one
of eleven kinds of tests; one of them is changed. Their promises are proven from nothing: one that
all rules keep by the same part of their conditions, and one that each keeps by a part of its own.
"""

from __future__ import annotations

import time
from collections.abc import Callable
from pathlib import Path

import msgspec

from bench.report import Row, at_most, interleaved, ratio
from policyd.decision.engine import Engine
from policyd.decision.model import Request
from policyd.diagnostics import Source
from policyd.language import load
from policyd.language.cases import TestToken
from policyd.language.policy import PolicySet
from policyd.prover.differences import Revision, differences
from policyd.prover.promises import Prover
from policyd.prover.universe import Side
from policyd.tooling.subjects import TakenForGranted, stated_token

NOW = 1_800_000_000
SAMPLE = Path("policies") / "documents" / "documents.policy"
QUESTIONS = 2_000
_KINDS = (
    "resource.size < {n}",
    '"t{n}" in resource.tags',
    'token.roles has any ["r{n}", "s{n}"]',
    'resource.owner starts with "o{n}"',
    "resource.open",
    "resource.at within last {n}s",
    "token.tier >= {n}",
    'resource.owner == "x{n}"',
    "not resource.open",
    'resource.tags has all ["a{n}"]',
    'resource.owner ends with "e{n}"',
)
_HEAD = """\
api documents

audience "https://example.com/documents"

scope read:documents "Read documents"

claim org_id: string?
claim roles:  set<string>?
claim tier:   int?

resource document {
    owner: string?
    size:  int?
    tags:  set<string>?
    open:  bool?
    at:    time?
    actions read
}
"""
_ALIKE = """\
api documents

prove scoped: never allow read on document
    when not scope read:documents
"""
_EACH = """\
api documents

prove walled: never allow read on document
    when token.org_id is present and token.org_id starts with "other"
"""


def rows_of_proofs(rounds: int) -> list[Row]:
    """P11: the promises of a sample, and what a change of one of its rules does."""
    text = SAMPLE.read_text(encoding="utf-8")
    changed = text.replace("when scope share:documents and owner", "when scope share:documents")
    assert changed != text, "the sample has the rule that is changed"
    old, new = _policies(text), _policies(changed)
    found = interleaved(
        {
            "load": _timed(lambda: _policies(text)),
            "prove": _timed(lambda: _prove(old)),
            "diff": _timed(lambda: _differences(old, new, "document", "share")),
        },
        rounds,
        "ms",
    )
    return [
        Row("P11", "promises of a sample", at_most(50, "ms"), found["prove"]),
        Row("P11", "difference of an action of it", at_most(50, "ms"), found["diff"]),
        Row("P11", "promises / load of the text", None, ratio(found["prove"], found["load"])),
    ]


def rows_of_differences(rounds: int) -> list[Row]:
    """P12: the difference of many rules on one action, one of which is changed, and promises."""
    rows: list[Row] = []
    for count, most in ((1_000, 500), (10_000, 4_000)):
        texts = _many(count)
        alike, each = (_policies(*texts, one) for one in (_ALIKE, _EACH))
        changed = [one.replace('"org_5"', '"org_x"') for one in texts]
        old, new = _policies(*texts), _policies(*changed)
        found = interleaved(
            {
                "load": _timed(lambda texts=texts: _policies(*texts)),  # type: ignore[misc]
                "diff": _timed(
                    lambda old=old, new=new: _differences(old, new, "document", "read")  # type: ignore[misc]
                ),
                "alike": _timed(lambda alike=alike: _prove(alike)),  # type: ignore[misc]
                "each": _timed(lambda each=each: _prove(each)),  # type: ignore[misc]
            },
            rounds if count == 1_000 else 1,
            "ms",
        )
        name = f"difference of {count:,} rules on one action"
        rows.append(Row("P12", name, at_most(most, "ms"), found["diff"]))
        rows.append(Row("P12", f"{name} / load", None, ratio(found["diff"], found["load"])))
        for which, reasons in (("alike", "one reason"), ("each", "a reason each")):
            name = f"promise about {count:,} rules on one action, {reasons}"
            rows.append(Row("P12", name, at_most(most, "ms"), found[which]))
    return rows


def rows_of_filters(rounds: int) -> list[Row]:
    """P13: a filter of a sample, and beside it a check of one resource."""
    policies = _policies(SAMPLE.read_text(encoding="utf-8"))
    api = policies.apis["documents"]
    stated = TestToken(
        "user", {"scope": ["read:documents"], "subject": "ann", "org_id": "red", "groups": ["g"]}
    )
    engine = Engine(TakenForGranted(stated_token(stated, api, NOW)), lambda: float(NOW))
    engine.load(policies)
    asked = Request("t", "documents", "read", "document")
    given = {"org_id": "red", "owner": "ann"}
    check = msgspec.structs.replace(asked, resource_id="1", attributes=given)
    assert engine.check(check).allowed, "the benchmark's question is allowed"
    found = interleaved(
        {
            "check": _each(lambda: engine.check(check)),
            "filter": _each(lambda: engine.filter(asked)),
        },
        rounds,
        "us",
    )
    return [
        Row("P13", "filter of a sample", at_most(200, "us"), found["filter"]),
        Row("P13", "filter / check of one resource", None, ratio(found["filter"], found["check"])),
    ]


def _policies(*texts: str) -> PolicySet:
    loaded = load([Source(f"documents-{n}.policy", text) for n, text in enumerate(texts)])
    assert loaded.policies is not None, "the benchmark's policy loads"
    return loaded.policies


def _many(count: int) -> list[str]:
    """Return files of at most a thousand rules."""
    rules = [
        f"\nallow r{n}: read on document\n"
        f'    when scope read:documents and token.org_id == "org_{n}" and '
        f"{_KINDS[n % len(_KINDS)].format(n=n + 1)}\n"
        for n in range(count)
    ]
    parts = ["".join(rules[start : start + 1_000]) for start in range(0, count, 1_000)]
    return [_HEAD + parts[0], *(f"api documents\n{part}" for part in parts[1:])]


def _prove(policies: PolicySet) -> None:
    assert Prover().prove(policies) == (), "the benchmark's promises hold"


def _differences(old: PolicySet, new: PolicySet, resource: str, action: str) -> None:
    def revision(policies: PolicySet) -> Revision:
        api = policies.apis["documents"]
        rules = [one for one in api.rules if one.resource == resource and action in one.actions]
        return Revision(Side(api, api.resources[resource], action), tuple(rules))

    found = differences(revision(old), revision(new))
    assert found, "the benchmark's change makes a difference"
    assert all(one.confirmed for one in found)


def _timed(work: Callable[[], object]) -> Callable[[], float]:
    """Return a measurement of some work, in milliseconds of CPU time."""

    def measure() -> float:
        began = time.process_time()
        work()
        return (time.process_time() - began) * 1e3

    return measure


def _each(work: Callable[[], object]) -> Callable[[], float]:
    """Return a measurement of one of many, in microseconds of CPU time."""

    def measure() -> float:
        began = time.process_time()
        for _ in range(QUESTIONS):
            work()
        return (time.process_time() - began) / QUESTIONS * 1e6

    return measure
