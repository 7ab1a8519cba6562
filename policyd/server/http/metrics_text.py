"""Figures in Prometheus' text format, gathered when they are asked for.

Input: the parts of the daemon that know a figure. Output: the text. Names end in their unit;
moments are seconds since the epoch, so that their age is `time() - x` whenever that is asked.
"""

from __future__ import annotations

from collections.abc import Iterator
from itertools import accumulate

from prometheus_client import ProcessCollector
from prometheus_client.core import (
    CounterMetricFamily,
    GaugeMetricFamily,
    HistogramMetricFamily,
    Metric,
)
from prometheus_client.exposition import generate_latest
from prometheus_client.registry import Collector

from policyd import __version__
from policyd.audit.delivery import Delivery
from policyd.pdp.counters import BUCKETS, DecisionFigures
from policyd.server.state import DaemonState

CONTENT_TYPE = "text/plain; version=0.0.4; charset=utf-8"


class Exposition(Collector):
    """The figures of one daemon."""

    def __init__(self, state: DaemonState) -> None:
        self._state = state
        self._process = ProcessCollector(registry=None)

    def text(self) -> bytes:
        """Return all figures as they are now."""
        return generate_latest(self)

    def collect(self) -> Iterator[Metric]:
        """Yield each family of figures."""
        state = self._state
        yield _info("policyd_build", "The program.", {"version": __version__})
        yield _gauge("policyd_serving", "Whether checks are answered.", state.health.serving)
        yield from _decisions(state.decision_counter.figures)
        yield from _decision_log(state)
        yield from _token_cache(state)
        yield _gauge(
            "policyd_dpop_proofs",
            "DPoP proofs remembered, so that none counts twice.",
            state.constraints.proofs_remembered,
        )
        yield from _keys(state)
        yield from _policies(state)
        yield from _shadow(state)
        yield from _revocations(state)
        yield from _configuration(state)
        yield from _tls(state)
        yield from _connections(state)
        yield from self._process.collect()


def _decisions(figures: DecisionFigures) -> Iterator[Metric]:
    decisions = CounterMetricFamily(
        "policyd_decisions", "Decisions.", labels=("api", "effect", "reason")
    )
    for (api, reason), count in sorted(figures.decisions.items()):
        effect = "allow" if reason == "ALLOWED" else "deny"
        decisions.add_metric((api, effect, reason), count)
    yield decisions
    partials = CounterMetricFamily(
        "policyd_partial_checks",
        "Answers to questions with unknown facts.",
        labels=("api", "outcome"),
    )
    for (api, outcome), count in sorted(figures.partials.items()):
        partials.add_metric((api, outcome), count)
    yield partials
    validations = CounterMetricFamily(
        "policyd_token_validations",
        "Tokens validated for a decision: accepted, or refused with which reason.",
        labels=("result",),
    )
    for result, count in sorted(figures.validations.items()):
        validations.add_metric((result,), count)
    yield validations
    bounds = [*(repr(bound) for bound in BUCKETS), "+Inf"]
    yield HistogramMetricFamily(
        "policyd_check_duration_seconds",
        "How long decisions took, from the parsed question on.",
        buckets=list(zip(bounds, map(float, accumulate(figures.durations)), strict=True)),
        sum_value=figures.seconds,
    )


def _decision_log(state: DaemonState) -> Iterator[Metric]:
    log = state.decisions
    name = "policyd_decision_log"
    yield _gauge(f"{name}_writable", "Whether records can be written.", log.writable)
    yield _gauge(f"{name}_waiting", "Records that wait to be written.", log.waiting)
    yield _gauge(
        f"{name}_waiting_bytes", "The memory that they take, by estimate.", log.waiting_bytes
    )
    yield _counter(f"{name}_dropped", "Records that were never written.", log.dropped)
    yield _counter(f"{name}_denied", "Answers denied because no record could be taken.", log.denied)
    if state.delivery is not None:
        yield from _sinks(state.delivery)


def _sinks(delivery: Delivery) -> Iterator[Metric]:
    """Yield what the spool holds, and how far each sink is."""
    name = "policyd_decision_log"
    yield _gauge(f"{name}_spool_bytes", "What the spool takes on the disk.", delivery.spool.size)
    lag = GaugeMetricFamily(
        f"{name}_sink_lag", "Records of the spool that wait for a sink.", labels=("sink",)
    )
    delivered = CounterMetricFamily(
        f"{name}_sink_delivered", "Records that a sink took.", labels=("sink",)
    )
    retried = CounterMetricFamily(
        f"{name}_sink_retried", "Tries to deliver that failed.", labels=("sink",)
    )
    parked = CounterMetricFamily(
        f"{name}_sink_parked", "Records that were refused, and parked.", labels=("sink",)
    )
    missing = CounterMetricFamily(
        f"{name}_sink_missing", "Records that a sink got a gap for.", labels=("sink",)
    )
    for courier in delivery.couriers:
        figures = courier.figures
        lag.add_metric((courier.name,), courier.lag)
        delivered.add_metric((courier.name,), figures.delivered)
        retried.add_metric((courier.name,), figures.retried)
        parked.add_metric((courier.name,), figures.parked)
        missing.add_metric((courier.name,), figures.missing)
    yield from (lag, delivered, retried, parked, missing)


def _token_cache(state: DaemonState) -> Iterator[Metric]:
    cache = state.validator.figures()
    name = "policyd_token_cache"
    yield _gauge(f"{name}_entries", "Verified tokens that are remembered.", cache.entries)
    yield _gauge(f"{name}_bytes", "The memory that they take, by estimate.", cache.bytes)
    yield _counter(f"{name}_hits", "Tokens that were remembered.", cache.hits)
    yield _counter(f"{name}_misses", "Tokens that were not.", cache.misses)
    yield _counter(f"{name}_evictions", "Tokens forgotten to make room.", cache.evictions)


def _keys(state: DaemonState) -> Iterator[Metric]:
    refreshes = CounterMetricFamily(
        "policyd_key_refreshes", "Attempts to fetch keys.", labels=("issuer", "result")
    )
    moments = GaugeMetricFamily(
        "policyd_keys_refreshed_timestamp_seconds",
        "When an issuer's keys were last fetched.",
        labels=("issuer",),
    )
    keys = GaugeMetricFamily("policyd_keys", "Keys that tokens verify with.", labels=("issuer",))
    for issuer in state.validator.issuers:
        name = issuer.settings.issuer
        counted = state.key_counter.of(name)
        refreshes.add_metric((name, "ok"), counted.renewed)
        refreshes.add_metric((name, "failed"), counted.failed)
        keys.add_metric((name,), counted.keys)
        if counted.renewed_at:
            moments.add_metric((name,), counted.renewed_at)
    yield from (refreshes, moments, keys)


def _policies(state: DaemonState) -> Iterator[Metric]:
    loads = state.policies.figures
    name = "policyd_policy"
    by_result = CounterMetricFamily(
        f"{name}_loads", "Policy sets that came, the first included.", labels=("result",)
    )
    by_result.add_metric(("ok",), loads.loaded)
    by_result.add_metric(("failed",), loads.failed)
    yield by_result
    yield _gauge(f"{name}_last_load_successful", "Whether the newest set serves.", loads.current)
    looks = state.policies.looks
    if looks.looked_at:
        yield _gauge(
            f"{name}_last_look_timestamp_seconds",
            "When changes were last looked for.",
            looks.looked_at,
        )
    yield _counter(f"{name}_failed_looks", "Looks that could not tell what is there.", looks.failed)
    yield from _steps(state)
    if loads.loaded_at:
        yield _gauge(
            f"{name}_loaded_timestamp_seconds", "When the serving set came.", loads.loaded_at
        )
        yield _gauge(f"{name}_load_duration_seconds", "How long it took to load.", loads.seconds)
        yield _gauge(f"{name}_rules", "Rules in service.", loads.rules)
    revision = state.revision
    if revision is not None:
        known = state.policies.provenance
        commit, ref = ("", "") if known is None else (known.commit, known.ref or known.label)
        labels = {"revision": revision, "commit": commit, "ref": ref}
        yield _info(name, "The policy set in service.", labels)


def _shadow(state: DaemonState) -> Iterator[Metric]:
    shadow = state.shadow
    if shadow is None:
        return
    name, figures = "policyd_shadow", shadow.judge.figures
    checks = CounterMetricFamily(
        f"{name}_checks",
        "Checks that the shadow policies decided too, and what came of it.",
        labels=("api", "result"),
    )
    for (api, result), count in sorted(figures.checks.items()):
        checks.add_metric((api, result.replace(" ", "_")), count)
    yield checks
    yield _counter(f"{name}_dropped", "Chosen checks that found no room.", figures.dropped)
    yield _counter(
        f"{name}_records_dropped", "Records of the shadow never written.", figures.unwritten
    )
    yield _counter(
        f"{name}_failed", "Checks that it could not decide, for a defect.", figures.failed
    )
    loads = shadow.policies.figures
    yield _gauge(
        f"{name}_last_load_successful", "Whether the newest shadow set is in use.", loads.current
    )
    if figures.revision:
        known = shadow.policies.provenance
        commit, ref = ("", "") if known is None else (known.commit, known.ref)
        labels = {"revision": figures.revision, "commit": commit, "ref": ref}
        yield _info(f"{name}_policy", "The shadow policies in use.", labels)


def _steps(state: DaemonState) -> Iterator[Metric]:
    name = "policyd_activation_step"
    runs = CounterMetricFamily(
        f"{name}s", "Steps of activations of policy sets.", labels=("step", "result")
    )
    seconds = CounterMetricFamily(
        f"{name}_seconds", "How long these steps took in all.", labels=("step",)
    )
    for step, figures in state.policies.steps.items():
        runs.add_metric((step, "ok"), figures.runs - figures.failed)
        runs.add_metric((step, "failed"), figures.failed)
        seconds.add_metric((step,), figures.seconds)
    yield from (runs, seconds)


def _revocations(state: DaemonState) -> Iterator[Metric]:
    name = "policyd_revocations"
    entries = GaugeMetricFamily(name, "Revocations in force.", labels=("source", "kind"))
    ages = GaugeMetricFamily(
        f"{name}_age_seconds",
        "How long ago a source last vouched for its list.",
        labels=("source",),
    )
    stale = GaugeMetricFamily(f"{name}_stale", "Whether that is too long ago.", labels=("source",))
    for source, figures in state.revocations.figures().items():
        for kind, count in figures.entries.items():
            entries.add_metric((source, kind), count)
        if figures.age is not None:
            ages.add_metric((source,), figures.age)
        stale.add_metric((source,), figures.stale)
    yield from (entries, ages, stale)


def _configuration(state: DaemonState) -> Iterator[Metric]:
    if state.reconfiguration is None:
        return
    figures = state.reconfiguration.figures
    name = "policyd_config_last_reload"
    yield _gauge(
        f"{name}_successful",
        "Whether the configuration was taken over when it was last read.",
        figures.problem is None,
    )
    yield _gauge(f"{name}_success_timestamp_seconds", "When it last was.", figures.succeeded_at)


def _tls(state: DaemonState) -> Iterator[Metric]:
    if not state.tls:
        return
    name = "policyd_tls"
    yield _gauge(
        f"{name}_certificate_expiry_timestamp_seconds",
        "When the certificate that is served expires.",
        min(identity.served.not_after for identity in state.tls),
    )
    yield _gauge(
        f"{name}_last_reload_successful",
        "Whether what the TLS files hold is served.",
        all(identity.problem is None for identity in state.tls),
    )


def _connections(state: DaemonState) -> Iterator[Metric]:
    name = "policyd_connections"
    closed = CounterMetricFamily(
        f"{name}_closed", "Connections closed since there were too many.", labels=("port",)
    )
    seconds = CounterMetricFamily(
        f"{name}_held_back_seconds",
        "How long the kernel dropped requests for connections in all.",
        labels=("port",),
    )
    holding = GaugeMetricFamily(f"{name}_held_back", "Whether it does now.", labels=("port",))
    for port, figures in state.connection_counter.figures.items():
        closed.add_metric((str(port),), figures.closed)
        seconds.add_metric((str(port),), figures.held_back)
        holding.add_metric((str(port),), figures.holding)
    yield from (closed, seconds, holding)


def _counter(name: str, help_: str, value: float) -> Metric:
    return CounterMetricFamily(name, help_, value=value)


def _gauge(name: str, help_: str, value: float) -> Metric:
    return GaugeMetricFamily(name, help_, value=float(value))


def _info(name: str, help_: str, values: dict[str, str]) -> Metric:
    """Return a figure that is always 1, for what its labels say."""
    family = GaugeMetricFamily(f"{name}_info", help_, labels=tuple(values))
    family.add_metric(tuple(values.values()), 1)
    return family
