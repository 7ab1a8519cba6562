"""The decision log, as the configuration wants it."""

from __future__ import annotations

from collections.abc import Callable

from policyd.audit import DecisionLog, FileSink, Recorder, Sink, StandardOutput
from policyd.server.config.configuration import Configuration
from policyd.server.config.findings import ConfigurationInvalid
from policyd.server.counters import DecisionCounter
from policyd.server.recording import Keeper
from policyd.server.transport.interface import StatusCode
from policyd.server.wire.failures import ErrorReason, failure


def decision_log(
    configuration: Configuration,
    recorder: Recorder,
    clock: Callable[[], float],
    counter: DecisionCounter,
) -> DecisionLog:
    """Open the decision log; `counter` sees what goes through.

    Raises:
        ConfigurationInvalid: its file cannot be opened.
    """
    return DecisionLog(
        recorder,
        _sink(configuration),
        configuration.log_capacity,
        clock,
        counter.observe,
        capacity_bytes=configuration.log_capacity_bytes,
        durability=configuration.durability,
    )


def keeper(configuration: Configuration, log: DecisionLog) -> Keeper | None:
    """Return what answers wait for, `None` where they leave at once."""
    sync = configuration.durability == "sync"
    if not sync and configuration.when_full == "drop_oldest":
        return None
    refusal = failure(
        StatusCode.UNAVAILABLE,
        ErrorReason.LOG_UNAVAILABLE,
        "the decision log takes no records at the moment",
    )
    return Keeper(log, refusal, configuration.when_full, sync=sync)


def _sink(configuration: Configuration) -> Sink:
    path = configuration.decision_log
    if path is None:
        return StandardOutput()
    try:
        return FileSink(path)
    except OSError as error:
        headline = f"the decision log `{path}` cannot be written: {error.strerror}"
        raise ConfigurationInvalid.of("P5008", headline) from None
