"""Whether decisions are to be traced with OpenTelemetry, as its standard variables say.

Input: the environment. Output: what decisions are shown to, or nothing. Without the variables, or
without the extra `otel`, nothing of OpenTelemetry is imported.

Source: OpenTelemetry Environment Variable Specification.
"""

from __future__ import annotations

import logging
from collections.abc import Mapping, Sequence
from importlib.util import find_spec
from typing import Final, Protocol

from policyd.audit import Entry

_log = logging.getLogger(__name__)

_OFF: Final = "OTEL_SDK_DISABLED"
_EXPORTER: Final = "OTEL_TRACES_EXPORTER"
_ENDPOINTS: Final = ("OTEL_EXPORTER_OTLP_ENDPOINT", "OTEL_EXPORTER_OTLP_TRACES_ENDPOINT")
_OTLP: Final = "otlp"
_PACKAGES: Final = ("opentelemetry.sdk", "opentelemetry.exporter.otlp")


class Tracing(Protocol):
    """Makes spans of decisions."""

    def start(self) -> None: ...

    def observe(self, entries: Sequence[Entry]) -> None:
        """Take decisions, and return without waiting."""
        ...

    def close(self) -> None: ...


def asked_for(environment: Mapping[str, str]) -> bool:
    """Tell whether the variables ask for traces: by an endpoint, or by name."""
    if environment.get(_OFF, "").strip().lower() == "true":
        return False
    exporter = environment.get(_EXPORTER, "").strip()
    if exporter:
        if exporter not in (_OTLP, "none"):
            _log.warning("traces are exported by OTLP alone", extra={_EXPORTER: exporter})
        return exporter == _OTLP
    return any(environment.get(name) for name in _ENDPOINTS)


def open_tracing(environment: Mapping[str, str]) -> Tracing | None:
    """Return what makes spans of decisions, `None` if they are not asked for or cannot be made.

    The log says in one line why they cannot.
    """
    if not asked_for(environment):
        return None
    if not all(map(_is_there, _PACKAGES)):
        _log.warning("OTEL_… variables ask for traces: for these, install `policyd[otel]`")
        return None
    from policyd.server.spans import SpansUnusable, open_spans

    try:
        return open_spans(environment)
    except SpansUnusable as error:
        _log.error("there are no traces", extra={"error": str(error)})
        return None


def _is_there(package: str) -> bool:
    try:
        return find_spec(package) is not None
    except ModuleNotFoundError:  # nor is what holds it
        return False
