"""The decision log, as the configuration wants it."""

from __future__ import annotations

from collections.abc import Callable
from typing import Final

from policyd.audit import DecisionLog, FileSink, Mask, Recorder, Sink, StandardOutput
from policyd.regular_file import read_regular
from policyd.server.config.configuration import Configuration
from policyd.server.config.findings import ConfigurationInvalid
from policyd.server.counters import DecisionCounter
from policyd.server.recording import Keeper
from policyd.server.transport.interface import StatusCode
from policyd.server.wire.failures import ErrorReason, failure

_SHORTEST_KEY: Final = 32
_LONGEST_KEY: Final = 16 * 1024


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


def log_mask(configuration: Configuration) -> Mask:
    """Return what stays out of the log, and the key of what is hashed there.

    Raises:
        ConfigurationInvalid: the key cannot be read, or is too short.
    """
    path = configuration.hash_key_file
    if path is None:
        return Mask(configuration.mask)
    try:
        key = read_regular(path, _LONGEST_KEY).strip()
    except OSError as error:
        headline = f"`hash_key_file` `{path}` cannot be read: {error.strerror}"
        raise ConfigurationInvalid.of("P5008", headline) from None
    if len(key) < _SHORTEST_KEY:
        headline = f"`hash_key_file` `{path}` has {len(key)} bytes, and {_SHORTEST_KEY} are needed"
        raise ConfigurationInvalid.of("P5008", headline)
    return Mask(configuration.mask, configuration.hashed, key)


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
