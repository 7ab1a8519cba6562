"""A spool with the couriers that empty it. It is the decision log's sink if there are several
destinations, or one that can be unreachable."""

from __future__ import annotations

import logging
import time
from collections.abc import Iterator, Sequence
from typing import Final

from policyd.audit.courier import Courier
from policyd.audit.spool import Spool

_log = logging.getLogger(__name__)
#: Seconds for the last attempts of all couriers together, when the daemon stops.
_LAST: Final = 5.0


class Delivery:
    """Writes to the spool; couriers deliver from there. It is a `Sink`."""

    def __init__(
        self,
        spool: Spool,
        couriers: Sequence[Courier],
        left: Sequence[Delivery] = (),
        last: float = _LAST,
    ) -> None:
        """`left` are couriers of spools whose worker processes no longer exist."""
        self.spool = spool
        self.couriers = tuple(couriers)
        self._left = tuple(left)
        self._last = last
        spool.acknowledged = self._acknowledged

    def _acknowledged(self) -> int:
        return min(courier.position for courier in self.couriers)

    @property
    def problem(self) -> str | None:
        """See `Sink`."""
        return self.spool.problem or next(self._troubles(), None)

    def _troubles(self) -> Iterator[str]:
        for one in self._left:
            yield from one._troubles()
        for courier in self.couriers:
            problem = courier.problem
            if problem is not None:
                lag = courier.lag
                waiting = "1 record waits" if lag == 1 else f"{lag:,} records wait"
                yield f"the sink `{courier.name}`: {problem}; {waiting} for it"

    def start(self) -> None:
        """See `Sink`."""
        for one in self._left:
            one.start()
        for courier in self.couriers:
            courier.start()

    def write(self, data: bytes) -> int:
        """See `Sink`."""
        return self.spool.write(data)

    def settle(self) -> bool:
        """See `Sink`."""
        return self.spool.settle()

    def look(self) -> None:
        """See `Sink`."""
        self.spool.look()
        for one in self._left:
            one.look()

    def reopen(self) -> None:
        """See `Sink`."""
        for one in self._left:
            one.reopen()
        for courier in self.couriers:
            courier.reopen()

    def close(self) -> None:
        """See `Sink`. Undelivered records stay in the spool for the next start."""
        until = time.monotonic() + self._last
        for one in self._left:
            one.close()
        for courier in self.couriers:
            courier.stop()
        for courier in self.couriers:
            if not courier.join(max(0.0, until - time.monotonic())):
                about = {"sink": courier.name, "left": courier.lag}
                _log.warning("a sink did not end in time; the next start goes on", extra=about)
        # While a courier still runs, no other process may use the folder; the lock ends with this
        # process.
        self.spool.close(keep_lock=not all(courier.join(0) for courier in self.couriers))
