"""The figures of several workers, as one page.

Counters and histograms are added up. Of gauges, `_SUMS` are added up too, of `_LEAST` the least
counts, and of all others the greatest: of states the worse, of moments the earliest, of sizes what
all take together.

A counter of the page never falls while this process lives. What a worker had counted when it was
last asked stays in the sum after its end, where the next worker begins with zero; of one that does
not answer, that is what counts. What a worker counted between that and its end is lost.

Invariant: one thread calls this.
"""

from __future__ import annotations

import operator
from collections.abc import Callable, Iterable, Iterator
from typing import Final

import msgspec
from prometheus_client import ProcessCollector
from prometheus_client.core import CounterMetricFamily, GaugeMetricFamily, Metric
from prometheus_client.exposition import generate_latest
from prometheus_client.parser import text_string_to_metric_families
from prometheus_client.registry import Collector

_SUMS: Final = frozenset(
    {
        "policyd_decision_log_sink_lag",
        "policyd_decision_log_spool_bytes",
        "policyd_decision_log_waiting",
        "policyd_decision_log_waiting_bytes",
        "policyd_dpop_proofs",
        "policyd_token_cache_entries",
        "policyd_token_cache_bytes",
        "process_resident_memory_bytes",
        "process_virtual_memory_bytes",
    }
)
_LEAST: Final = frozenset(
    {
        "policyd_config_last_reload_success_timestamp_seconds",
        "policyd_config_last_reload_successful",
        "policyd_decision_log_writable",
        "policyd_keys",
        "policyd_keys_refreshed_timestamp_seconds",
        "policyd_policy_last_load_successful",
        "policyd_policy_last_look_timestamp_seconds",
        "policyd_policy_loaded_timestamp_seconds",
        "policyd_serving",
        "policyd_tls_certificate_expiry_timestamp_seconds",
        "policyd_tls_last_reload_successful",
        "process_max_fds",
        "process_start_time_seconds",
    }
)
_ADDED_UP: Final = frozenset({"counter", "histogram"})

#: Makes one value of two.
_Rule = Callable[[float, float], float]


class _Family(msgspec.Struct, frozen=True):
    """What has one name: values by the names and labels of their samples."""

    help: str
    type: str
    values: dict[tuple[str, tuple[tuple[str, str], ...]], float]


_Figures = dict[str, _Family]


class _Worker(msgspec.Struct):
    """The place of a worker: which `process` is in it, the first, second, and so on; how many of
    them `hung`; whether that answered when it was last asked; and what it said last."""

    process: int = 0
    hung: int = 0
    answers: bool = False
    said: _Figures = {}


class Merging(Collector):
    """Keeps what workers said last, and makes a page of it and of this process's own figures."""

    def __init__(self) -> None:
        self._workers: dict[int, _Worker] = {}
        self._ended: _Figures = {}
        self._process = ProcessCollector(registry=None)

    def take(self, number: int, process: int, text: str | None, hung: int = 0) -> None:
        """Take what worker `number` said of itself, `None` if it gave no answer.

        `process` counts the processes in that place, `hung` those that were ended for it.
        """
        worker = self._workers.setdefault(number, _Worker())
        if process < worker.process:
            return  # an answer that another one has overtaken
        if process > worker.process:
            self._ended = _combined((self._ended, _counts(worker.said)), _added)
            worker.process, worker.said = process, {}
        worker.hung = max(worker.hung, hung)
        worker.answers = text is not None
        if text is not None:
            said = _read(text_string_to_metric_families(text))
            # Of two answers that crossed, the later one has the greater counts.
            worker.said = _combined((_counts(worker.said), said), _greater)

    def text(self) -> bytes:
        """Return the page."""
        return generate_latest(self)

    def collect(self) -> Iterator[Metric]:
        """Yield each family of figures."""
        up = GaugeMetricFamily("policyd_worker_up", "Whether a worker answers.", labels=("worker",))
        starts = CounterMetricFamily(
            "policyd_worker_starts", "Processes started for a worker.", labels=("worker",)
        )
        hangs = CounterMetricFamily(
            "policyd_worker_hangs",
            "Processes of a worker that were ended because they hung.",
            labels=("worker",),
        )
        for number, worker in sorted(self._workers.items()):
            up.add_metric((str(number),), worker.answers)
            starts.add_metric((str(number),), worker.process)
            hangs.add_metric((str(number),), worker.hung)
        yield from (up, starts, hangs)
        each = [
            worker.said if worker.answers else _counts(worker.said)
            for worker in self._workers.values()
        ]
        own = _read(self._process.collect())
        for name, family in _combined((*each, self._ended, own), _together).items():
            metric = Metric(name, family.help, family.type)
            for (sample, labels), value in family.values.items():
                metric.add_sample(sample, dict(labels), value)
            yield metric


def _read(families: Iterable[Metric]) -> _Figures:
    return {
        family.name: _Family(
            family.documentation,
            family.type,
            {(one.name, tuple(one.labels.items())): one.value for one in family.samples},
        )
        for family in families
    }


def _counts(figures: _Figures) -> _Figures:
    """Return what of figures can only rise."""
    return {name: family for name, family in figures.items() if family.type in _ADDED_UP}


def _combined(several: Iterable[_Figures], rule: Callable[[str, str], _Rule]) -> _Figures:
    """Return figures as one; `rule` says by the name and type of a family how."""
    together: _Figures = {}
    for figures in several:
        for name, family in figures.items():
            one = together.setdefault(name, _Family(family.help, family.type, {}))
            make_one = rule(name, family.type)
            for key, value in family.values.items():
                one.values[key] = make_one(one.values[key], value) if key in one.values else value
    return together


def _added(_name: str, _type: str) -> _Rule:
    return operator.add


def _greater(_name: str, _type: str) -> _Rule:
    return max


def _together(name: str, type_: str) -> _Rule:
    if type_ in _ADDED_UP or name in _SUMS:
        return operator.add
    return min if name in _LEAST else max
