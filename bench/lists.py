"""What `has some` over a list of records adds to a check: in process, CPU time, token included.

Two policies differ in one condition: whether one of eight authorization details fits the request,
the last one that is looked at. The token's facts are remembered, as they are for every token that
comes again.
"""

from __future__ import annotations

from collections.abc import Callable
from time import process_time

from bench.report import Row, at_most, difference, interleaved
from policyd.decision.engine import Engine
from policyd.decision.model import Request
from policyd.diagnostics import Source
from policyd.language import load
from policyd.language.cases import TestToken
from policyd.tooling.subjects import TakenForGranted, stated_token

RECORDS = 8
CALLS = 20_000
NOW = 1_800_000_000
TEXT = """\
api payments

audience "https://example.com/payments"

claim authorization_details: list? {
    type:    string
    actions: set<string>?
    iban:    string? (from "/creditorAccount/iban")
}

resource payment {
    iban: string
    actions initiate
}

allow initiates: initiate on payment
    when CONDITION
"""
PLAIN = 'token.iss == "https://issuer.example/"'
QUANTIFIED = (
    f'{PLAIN} and token.authorization_details has some (item.type == "payment_initiation" and '
    '"initiate" in item.actions and item.iban == resource.iban)'
)


def rows_of_lists(rounds: int) -> list[Row]:
    """Return what eight records cost, in microseconds a check."""
    candidates = {name: _asking(text) for name, text in (("with", QUANTIFIED), ("plain", PLAIN))}
    found = interleaved(candidates, rounds, "us")
    added = difference(found["with"], found["plain"])
    return [Row("P5", f"`has some` over {RECORDS} records, more a check", at_most(3, "us"), added)]


def _asking(condition: str) -> Callable[[], float]:
    """Return what measures a check by a policy with this condition."""
    policies = load([Source("payments.policy", TEXT.replace("CONDITION", condition))]).policies
    assert policies is not None, "the text loads"
    details = [
        {
            "type": "payment_initiation",
            "actions": ["initiate", "status"],
            "creditorAccount": {"iban": f"DE{number}"},
        }
        for number in range(RECORDS)
    ]
    stated = TestToken("user", {"authorization_details": details})  # type: ignore[dict-item]
    token = stated_token(stated, policies.apis["payments"], NOW)
    engine = Engine(TakenForGranted(token), lambda: NOW)
    engine.load(policies)
    request = Request("", "payments", "initiate", "payment", "p1", {"iban": f"DE{RECORDS - 1}"})
    assert engine.check(request).allowed, "the last record fits"

    def measure() -> float:
        began = process_time()
        for _ in range(CALLS):
            engine.check(request)
        return (process_time() - began) / CALLS * 1e6

    return measure
