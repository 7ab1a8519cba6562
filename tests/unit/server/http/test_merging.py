"""The figures of several workers as one page."""

from __future__ import annotations

import re

from hypothesis import given
from hypothesis import strategies as st

from policyd.server.http.merging import _LEAST, _SUMS, Merging
from tests.support.documents import ROOT

Sample = tuple[str, str]


def text(decisions: int, waiting: int = 0, writable: int = 1, rules: int = 3) -> str:
    """Return the page of a worker, abridged."""
    return (
        "# HELP policyd_decisions_total Decisions.\n"
        "# TYPE policyd_decisions_total counter\n"
        f'policyd_decisions_total{{api="a",effect="allow",reason="ALLOWED"}} {decisions}\n'
        "# HELP policyd_check_duration_seconds How long.\n"
        "# TYPE policyd_check_duration_seconds histogram\n"
        f'policyd_check_duration_seconds_bucket{{le="0.1"}} {decisions}\n'
        f'policyd_check_duration_seconds_bucket{{le="+Inf"}} {decisions}\n'
        f"policyd_check_duration_seconds_count {decisions}\n"
        f"policyd_check_duration_seconds_sum {decisions / 2}\n"
        "# HELP policyd_decision_log_waiting Records.\n"
        "# TYPE policyd_decision_log_waiting gauge\n"
        f"policyd_decision_log_waiting {waiting}\n"
        "# HELP policyd_decision_log_writable Whether.\n"
        "# TYPE policyd_decision_log_writable gauge\n"
        f"policyd_decision_log_writable {writable}\n"
        "# HELP policyd_policy_rules Rules.\n"
        "# TYPE policyd_policy_rules gauge\n"
        f"policyd_policy_rules {rules}\n"
    )


def figures(merging: Merging) -> dict[str, float]:
    lines = [line for line in merging.text().decode().splitlines() if not line.startswith("#")]
    return {name: float(value) for name, _, value in (line.rpartition(" ") for line in lines)}


def decisions(merging: Merging) -> float:
    return figures(merging)['policyd_decisions_total{api="a",effect="allow",reason="ALLOWED"}']


def test_counts_are_added_and_gauges_follow_their_rule() -> None:
    merging = Merging()
    merging.take(0, 1, text(5, waiting=2, writable=1, rules=3))
    merging.take(1, 1, text(7, waiting=4, writable=0, rules=4))
    found = figures(merging)
    assert decisions(merging) == 12
    assert found['policyd_check_duration_seconds_bucket{le="+Inf"}'] == 12
    assert found["policyd_check_duration_seconds_sum"] == 6
    assert found["policyd_decision_log_waiting"] == 6  # a sum
    assert found["policyd_decision_log_writable"] == 0  # the least
    assert found["policyd_policy_rules"] == 4  # the greatest
    assert found['policyd_worker_up{worker="0"}'] == 1
    assert found["process_cpu_seconds_total"] > 0  # of the process that shows the page


def test_one_that_hangs_keeps_its_counts_and_has_no_state() -> None:
    merging = Merging()
    merging.take(0, 1, text(5, waiting=2))
    merging.take(1, 1, text(7, waiting=4, writable=0))
    merging.take(1, 1, None)
    found = figures(merging)
    assert decisions(merging) == 12
    assert (found["policyd_decision_log_waiting"], found["policyd_decision_log_writable"]) == (2, 1)
    assert found['policyd_worker_up{worker="1"}'] == 0


def test_a_replaced_worker_takes_nothing_away() -> None:
    merging = Merging()
    merging.take(0, 1, text(5))
    merging.take(0, 1, None)
    merging.take(0, 2, None)
    assert decisions(merging) == 5
    merging.take(0, 2, text(1))
    assert decisions(merging) == 6
    assert figures(merging)['policyd_worker_starts_total{worker="0"}'] == 2


def test_an_answer_that_another_has_overtaken_changes_nothing() -> None:
    merging = Merging()
    merging.take(0, 1, text(5))
    merging.take(0, 2, text(1))
    merging.take(0, 1, text(6))  # of the process before, late
    assert decisions(merging) == 6
    merging.take(0, 2, text(4))
    merging.take(0, 2, text(3))  # crossed with the one before
    assert decisions(merging) == 9


def test_what_has_never_answered_is_shown_as_such() -> None:
    merging = Merging()
    merging.take(0, 1, None)
    assert figures(merging)['policyd_worker_up{worker="0"}'] == 0


#: What becomes of a worker: it decides so often, hangs, or is replaced.
_STEPS = st.lists(
    st.tuples(st.integers(0, 2), st.sampled_from(["decides", "hangs", "dies"]), st.integers(0, 9))
)


@given(_STEPS)
def test_no_count_ever_falls_and_none_counts_twice(steps: list[tuple[int, str, int]]) -> None:
    merging, counted, process = Merging(), [0, 0, 0], [1, 1, 1]
    shown = made = 0.0
    for number, what, times in steps:
        if what == "dies":
            process[number] += 1
            counted[number] = 0
            continue
        counted[number] += times
        made += times
        merging.take(number, process[number], None if what == "hangs" else text(counted[number]))
        key = 'policyd_decisions_total{api="a",effect="allow",reason="ALLOWED"}'
        now = figures(merging).get(key, 0.0)
        assert shown <= now <= made
        shown = now


def test_each_gauge_has_a_rule_on_the_page() -> None:
    """The greatest is the rule for what no set names; the page lists the others."""
    page = (ROOT / "docs" / "metrics.md").read_text()
    section = page.partition("## Several workers")[2].partition("\n## ")[0]
    added, _, least = section.partition("least")
    assert set(re.findall(r"`((?:policyd|process)_\w+)`", added)) >= _SUMS
    assert set(re.findall(r"`((?:policyd|process)_\w+)`", least)) >= _LEAST


def test_rules_are_of_gauges_that_there_are() -> None:
    page = (ROOT / "docs" / "metrics.md").read_text()
    table = set(re.findall(r"^\| `(policyd_\w+)`", page, re.M))
    named = {name for name in _SUMS | _LEAST if name.startswith("policyd_")}
    assert named <= table
    assert not any(name.endswith("_total") for name in named)
