"""Counting: what is counted once, where durations go, and what the page says."""

from __future__ import annotations

import msgspec
import pytest
from prometheus_client.parser import text_string_to_metric_families

from policyd.audit import CallDetails, Entry
from policyd.decision.model import Decision, Partial
from policyd.pdp.counters import BUCKETS, DecisionCounter, KeyCounter, KeyFigures
from policyd.reasons import Reason
from policyd.tokens.keys.refresher import Renewal
from tests.support.audit import entry
from tests.support.documents import ROOT
from tests.support.state import Rig, StaleSources
from tests.support.tokens import Clock, settings


def made(reason: Reason, duration: float = 1e-5, details: CallDetails | None = None) -> Entry:
    """Return a decision of a call of its own, or of the call that is given."""
    decision = Decision(reason is Reason.ALLOWED, reason, "", "health", "r", 1.0)
    return msgspec.structs.replace(
        entry("d"), details=details or CallDetails(duration), decision=decision
    )


def test_counts_decisions_by_api_and_reason() -> None:
    counter = DecisionCounter()
    counter.observe([made(Reason.ALLOWED), made(Reason.ALLOWED)])
    counter.observe([made(Reason.TOKEN_EXPIRED)])
    figures = counter.figures
    assert figures.decisions == {
        ("health", Reason.ALLOWED): 2,
        ("health", Reason.TOKEN_EXPIRED): 1,
    }
    assert figures.validations == {"ACCEPTED": 2, "TOKEN_EXPIRED": 1}


def test_counts_the_token_of_a_batch_once() -> None:
    counter = DecisionCounter()
    call, other = CallDetails(1e-5), CallDetails(1e-5)
    counter.observe([made(Reason.ALLOWED, details=call), made(Reason.DENIED_BY_RULE, details=call)])
    counter.observe(
        [made(Reason.NO_RULE_ALLOWS, details=call), made(Reason.ALLOWED, details=other)]
    )
    assert counter.figures.validations == {"ACCEPTED": 2}
    assert sum(counter.figures.decisions.values()) == 4


@pytest.mark.parametrize("reason", Reason)
def test_knows_refused_tokens_from_denied_requests(reason: Reason) -> None:
    counter = DecisionCounter()
    counter.observe([made(reason)])
    of_rules = ("ALLOWED", "NO_RULE_ALLOWS", "DENIED_BY_RULE", "INSUFFICIENT_SCOPE")
    more = (
        "INSUFFICIENT_USER_AUTHENTICATION",
        "INSUFFICIENT_AUTHORIZATION_DETAILS",
        "UNDECIDED",
    )
    by_rules = reason in (*of_rules, *more)
    assert counter.figures.validations == {"ACCEPTED" if by_rules else reason: 1}


def test_counts_partial_answers_apart_from_decisions() -> None:
    counter = DecisionCounter()
    maybe = made(Reason.UNDECIDED)
    partial = msgspec.structs.replace(maybe.decision, partial=Partial("maybe"))
    counter.observe([made(Reason.ALLOWED), msgspec.structs.replace(maybe, decision=partial)])
    assert [reason for _, reason in counter.figures.decisions] == [Reason.ALLOWED]
    assert [outcome for _, outcome in counter.figures.partials] == ["maybe"]


def test_sorts_durations_into_buckets() -> None:
    counter = DecisionCounter()
    durations = (0.0, BUCKETS[0], BUCKETS[0] + 1e-9, BUCKETS[-1], 2.0)
    counter.observe([made(Reason.ALLOWED, at) for at in durations])
    figures = counter.figures
    assert figures.durations == (2, 1, *[0] * (len(BUCKETS) - 3), 1, 1)
    assert figures.seconds == sum(durations)


def test_counts_renewals_of_keys_and_hands_them_on() -> None:
    clock, seen = Clock(), list[Renewal]()
    counter = KeyCounter(seen.append, clock)
    good = Renewal("a", 2, changed=True, skipped=(), problem=None)
    bad = msgspec.structs.replace(good, problem="down")
    counter.report(good)
    clock.move(60)
    counter.report(bad)
    counter.report(bad)
    assert counter.of("a") == KeyFigures(renewed=1, failed=2, renewed_at=clock() - 60, keys=2)
    assert counter.of("b") == KeyFigures()
    assert seen == [good, bad, bad]


def test_the_page_before_anything_happened() -> None:
    figures = Rig().figures()
    assert figures["policyd_serving"] == 0
    assert figures['policyd_policy_loads_total{result="ok"}'] == 0
    assert figures["policyd_policy_last_load_successful"] == 0
    assert figures["policyd_check_duration_seconds_count"] == 0
    assert not any(name.startswith("policyd_policy_info") for name in figures)
    assert not any("timestamp" in name for name in figures)


def test_the_page_shows_what_happened() -> None:
    rig = Rig()
    rig.policies.load()
    rig.health.become(serving=True)
    for reason in (Reason.ALLOWED, Reason.TOKEN_EXPIRED, Reason.ALLOWED):
        rig.log.append(made(reason))
    waiting = rig.figures()
    rig.log.drain()
    rig.keys.report(Renewal(settings().issuer, 3, changed=True, skipped=(), problem=None))
    figures = rig.figures()
    assert waiting["policyd_decision_log_waiting"] == 1
    assert figures["policyd_decision_log_waiting"] == 0
    assert figures["policyd_decision_log_dropped_total"] == 2
    assert figures['policyd_decisions_total{api="health",effect="allow",reason="ALLOWED"}'] == 1
    assert figures['policyd_check_duration_seconds_bucket{le="1e-05"}'] == 1
    assert figures['policyd_check_duration_seconds_bucket{le="+Inf"}'] == 1
    assert figures[f'policyd_keys{{issuer="{settings().issuer}"}}'] == 3
    assert figures["policyd_policy_rules"] == 6
    snapshot = rig.engine.snapshot
    assert snapshot is not None
    labels = f'commit="",ref="",revision="{snapshot.revision}"'
    assert figures[f"policyd_policy_info{{{labels}}}"] == 1


def test_the_page_is_what_prometheus_reads() -> None:
    rig = Rig()
    rig.policies.load()
    rig.counter.observe([made(Reason.DENIED_BY_RULE)])
    families = {one.name: one for one in text_string_to_metric_families(rig.page.text().decode())}
    assert families["policyd_decisions"].type == "counter"
    assert families["policyd_decisions"].samples[0].labels == {
        "api": "health",
        "effect": "deny",
        "reason": "DENIED_BY_RULE",
    }
    assert families["policyd_check_duration_seconds"].type == "histogram"


def test_the_documentation_names_each_figure() -> None:
    rig = Rig(revocations=StaleSources())
    rig.policies.load()
    rig.keys.report(Renewal(settings().issuer, 3, changed=True, skipped=(), problem=None))
    families = text_string_to_metric_families(rig.page.text().decode())
    page = (ROOT / "docs" / "metrics.md").read_text(encoding="utf-8")
    for family in families:
        name = f"{family.name}_total" if family.type == "counter" else family.name
        assert f"`{name}`" in page or name.startswith("process_"), name


def test_the_page_shows_what_was_done_against_floods_of_connections() -> None:
    rig = Rig()
    rig.state.connection_counter.count(8181, 40, 0.0, holding=True)
    rig.state.connection_counter.count(8181, 2, 0.25, holding=True)
    figures = rig.figures()
    assert figures['policyd_connections_closed_total{port="8181"}'] == 42
    assert figures['policyd_connections_held_back{port="8181"}'] == 1
    assert figures['policyd_connections_held_back_seconds_total{port="8181"}'] == 0.25


def test_the_page_shows_revocations() -> None:
    figures = Rig(revocations=StaleSources()).figures()
    assert figures['policyd_revocations{kind="jti",source="file"}'] == 2
    assert figures['policyd_revocations{kind="subject",source="file"}'] == 1
    assert figures['policyd_revocations_age_seconds{source="file"}'] == 301.5
    assert figures['policyd_revocations_stale{source="file"}'] == 1
    assert figures['policyd_revocations_stale{source="redis"}'] == 0
    assert 'policyd_revocations_age_seconds{source="redis"}' not in figures
