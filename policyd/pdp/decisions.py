"""The decision log, as the configuration wants it."""

from __future__ import annotations

from collections.abc import Callable, Iterator, Sequence
from functools import partial
from pathlib import Path
from typing import Final

from policyd.audit import DecisionLog, Entry, FileSink, Mask, Recorder, Sink, StandardOutput
from policyd.audit.courier import Courier
from policyd.audit.delivery import Delivery
from policyd.audit.sinks import Destination, FedSink
from policyd.audit.sinks.http import HttpDestination
from policyd.audit.sinks.rotation import Rotator
from policyd.audit.spool import Spool
from policyd.config.configuration import Configuration
from policyd.config.decision_log import (
    DecisionLogSettings,
    FileSettings,
    OtlpSettings,
    OutputSettings,
    SinkSettings,
    SpoolSettings,
)
from policyd.config.findings import ConfigurationInvalid
from policyd.pdp.calls import CallFailed
from policyd.pdp.recording import Keeper
from policyd.regular_file import read_regular

#: What calls are told while the log takes no records.
LOG_UNAVAILABLE_MESSAGE: Final = "the decision log takes no records at the moment"
_SHORTEST_KEY: Final = 32
_LONGEST_KEY: Final = 16 * 1024
#: Sees entries on their way to the log.
Observe = Callable[[Sequence[Entry]], None]


def decision_log(
    configuration: Configuration,
    recorder: Recorder,
    clock: Callable[[], float],
    observers: Sequence[Observe],
) -> tuple[DecisionLog, Delivery | None]:
    """Open the decision log, with what delivers from its spool, if it has one; `observers` see what
    goes through.

    Raises:
        ConfigurationInvalid: a file, a folder or what a server is reached with cannot be used.
    """
    settings = configuration.decision_log
    delivery = None if settings.spool is None else _delivery(settings, settings.spool, clock)
    log = DecisionLog(
        recorder,
        _direct(settings.sinks[0]) if delivery is None else delivery,
        settings.capacity,
        clock,
        partial(_observed, observers),
        capacity_bytes=settings.capacity_bytes,
        durability=settings.durability,
    )
    return log, delivery


def _observed(observers: Sequence[Observe], entries: Sequence[Entry]) -> None:
    for observe in observers:
        observe(entries)


def log_mask(configuration: Configuration) -> Mask:
    """Return what stays out of the log, and the key of what is hashed there.

    Raises:
        ConfigurationInvalid: the key cannot be read, or is too short.
    """
    path = configuration.decision_log.hash_key_file
    if path is None:
        return Mask(configuration.decision_log.mask)
    try:
        key = read_regular(path, _LONGEST_KEY).strip()
    except OSError as error:
        headline = f"`hash_key_file` `{path}` cannot be read: {error.strerror}"
        raise ConfigurationInvalid.of("P5008", headline) from None
    if len(key) < _SHORTEST_KEY:
        headline = f"`hash_key_file` `{path}` has {len(key)} bytes, and {_SHORTEST_KEY} are needed"
        raise ConfigurationInvalid.of("P5008", headline)
    return Mask(configuration.decision_log.mask, configuration.decision_log.hashed, key)


def keeper(configuration: Configuration, log: DecisionLog, refusal: CallFailed) -> Keeper | None:
    """Return what answers wait for, `None` where they leave at once.

    `refusal` is what calls fail with while the log takes no records.
    """
    settings = configuration.decision_log
    sync = settings.durability == "sync"
    if not sync and settings.when_full == "drop_oldest":
        return None
    return Keeper(log, refusal, settings.when_full, sync=sync)


def _delivery(
    settings: DecisionLogSettings, spool: SpoolSettings, clock: Callable[[], float]
) -> Delivery:
    """Open the spool of this process, and those that processes left which there are no more."""
    own = spool.folder / str(spool.worker)
    left = _left(spool) if spool.worker == 0 else ()
    return _fed(settings, own, clock, [_fed(settings, folder, clock) for folder in left])


def _left(spool: SpoolSettings) -> Iterator[Path]:
    """Yield the folders of workers that are not started any more."""
    for folder in sorted(spool.folder.glob("[0-9]*")):
        if folder.name.isdigit() and int(folder.name) >= spool.workers:
            yield folder


def _fed(
    settings: DecisionLogSettings,
    folder: Path,
    clock: Callable[[], float],
    left: Sequence[Delivery] = (),
) -> Delivery:
    assert settings.spool is not None
    drops = settings.when_full == "drop_oldest"
    try:
        spool = Spool(folder, settings.spool.max_bytes, drops=drops)
        couriers = [
            Courier(sink.name, _destination(sink, clock), spool, sink.batches, clock)
            for sink in settings.sinks
        ]
    except BlockingIOError:
        headline = f"the spool `{folder}` is in use by another process"
        help_ = "give each daemon a folder of its own: `[decision_log] spool`"
        raise ConfigurationInvalid.of("P5008", headline, help_) from None
    except OSError as error:
        headline = f"the spool `{folder}` cannot be used: {error.strerror}"
        help_ = "set `[decision_log] spool` to a folder that the daemon may write"
        raise ConfigurationInvalid.of("P5008", headline, help_) from None
    return Delivery(spool, couriers, left)


def _destination(sink: SinkSettings, clock: Callable[[], float]) -> Destination:
    """Return what a courier delivers to."""
    if isinstance(sink.to, FileSettings | OutputSettings):
        return FedSink(_direct(sink))
    try:
        if isinstance(sink.to, OtlpSettings):
            # The library costs a daemon without such a sink nothing.
            from policyd.audit.sinks.otlp import OtlpForm

            return HttpDestination(sink.to.http, clock, OtlpForm())
        return HttpDestination(sink.to, clock)
    except OSError as error:
        headline = f"the sink `{sink.name}` cannot be used: {error.strerror or error}"
        raise ConfigurationInvalid.of("P5008", headline) from None


def _direct(sink: SinkSettings) -> Sink:
    if not isinstance(sink.to, FileSettings):
        return StandardOutput()
    rotation = sink.to.rotation
    rotates = rotation.size is not None or rotation.age is not None
    rotator = Rotator(sink.to.path, rotation) if rotates else None
    try:
        return FileSink(sink.to.path, rotator=rotator)
    except OSError as error:
        headline = f"the decision log `{sink.to.path}` cannot be written: {error.strerror}"
        raise ConfigurationInvalid.of("P5008", headline) from None
