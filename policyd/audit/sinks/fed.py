"""A `Sink`, such as a file or standard output, as a destination that is fed from the spool."""

from __future__ import annotations

from collections.abc import Sequence

from policyd.audit.sinks.destination import Outcome
from policyd.audit.sinks.sink import Sink


class FedSink:
    """Delivers to a sink. Records count as delivered when the sink has synced them to disk."""

    def __init__(self, sink: Sink) -> None:
        self._sink = sink
        self._begun = 0  # bytes of the next record that are already written
        self._unsettled = 0  # written records that may not be on disk yet

    def deliver(self, records: Sequence[bytes]) -> Outcome:
        """See `Destination`."""
        if not self._unsettled:
            self._sink.look()
            data = (b"\n".join(records) + b"\n")[self._begun :]
            taken = self._sink.write(data)
            self._unsettled = data.count(b"\n", 0, taken)
            ended = data.rfind(b"\n", 0, taken) + 1
            self._begun = taken - ended if ended else self._begun + taken
        if not self._sink.settle():
            return Outcome(0, self._why())
        settled, self._unsettled = self._unsettled, 0
        return Outcome(settled, None if settled == len(records) else self._why())

    def _why(self) -> str:
        return self._sink.problem or "no more is taken"

    def reopen(self) -> None:
        """See `Destination`."""
        self._sink.reopen()

    def close(self) -> None:
        """See `Destination`."""
        self._sink.close()
