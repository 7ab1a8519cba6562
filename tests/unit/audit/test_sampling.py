"""Which allows are recorded."""

from __future__ import annotations

import json

import msgspec
import pytest

from policyd.audit import DecisionLog, Entry, Mask, Recorder, Sampling
from tests.support.audit import MemorySink, entry


def denied(name: str) -> Entry:
    made = entry(name)
    return msgspec.structs.replace(
        made, decision=msgspec.structs.replace(made.decision, allowed=False)
    )


def of_api(name: str, api: str) -> Entry:
    made = entry(name)
    return msgspec.structs.replace(made, decision=msgspec.structs.replace(made.decision, api=api))


def recorded(sampling: Sampling, *entries: Entry) -> list[dict[str, object]]:
    sink = MemorySink()
    log = DecisionLog(Recorder(Mask(), sampling), sink, capacity=100_000)
    log.extend(entries, 0)
    log.drain()
    assert (log.waiting, log.dropped) == (0, 0)
    return [json.loads(line) for line in sink.data.splitlines()]


@pytest.mark.parametrize("rate", [0.01, 0.25, 0.9])
def test_the_share_is_what_was_asked_for_and_stands_in_each_record(rate: float) -> None:
    found = recorded(Sampling(rate), *(entry(f"d-{number}") for number in range(10_000)))
    assert abs(len(found) - 10_000 * rate) < 4 * (10_000 * rate * (1 - rate)) ** 0.5
    assert {one["sample_rate"] for one in found} == {rate}


def test_denies_are_always_recorded() -> None:
    found = recorded(Sampling(1e-9), *(denied(f"d-{number}") for number in range(100)))
    assert len(found) == 100
    assert not any("sample_rate" in one for one in found)


def test_without_sampling_there_is_no_rate() -> None:
    (found,) = recorded(Sampling(), entry())
    assert "sample_rate" not in found


def test_the_choice_is_the_identifiers() -> None:
    names = [f"d-{number}" for number in range(1000)]
    few, many = Sampling(0.1), Sampling(0.5)
    chosen = [name for name in names if few.keeps("health", name)]
    assert chosen == [name for name in names if few.keeps("health", name)]
    assert all(many.keeps("health", name) for name in chosen)


def test_apis_have_rates_of_their_own() -> None:
    sampling = Sampling(1e-9, {"health": 1.0})
    assert not sampling.keeps_all
    found = recorded(
        sampling, *(of_api(f"d-{n}", api) for n in range(20) for api in ("a", "health"))
    )
    assert {one["api"] for one in found} == {"health"}
    assert len(found) == 20
    assert "sample_rate" not in found[0]
