"""Admission of newcomers: in a flood of connections, the kernel lets only some of them in.

To accept a connection, to shake hands, and to close it again takes a tenth of a millisecond and
more, in which nobody is answered. So while more have to be closed than is bearable, the kernel
drops half of the requests for a connection before the daemon hears of them. A caller's system
repeats such a request after a second (RFC 6298, section 2), and a flood that waits for a second is
none. Chance decides which are dropped, so callers whose requests were dropped together do not meet
the same end when they come back together.

Input: how many connections of a port had to be closed. Output: a filter on its listening socket,
and for how long it stood.
Other ports are as open as before, so an operator's own port answers during a flood of another.
"""

from __future__ import annotations

import logging
from typing import Final

from policyd.server.sockets import Tcp

_log = logging.getLogger(__name__)
#: Connections that may have to be closed in a second.
_BEARABLE: Final = 500.0
#: The part of the requests that is let in while there are more.
_PART: Final = 0.5


class Admission:
    """Lets in a part of the requests for connections at one port. For one thread.

    `holding` is whether it is a part only.
    """

    def __init__(self, listening: Tcp) -> None:
        self._listening = listening
        self._part = 1.0
        self._looked = 0.0
        self._failed = False
        self.holding = False

    def adjust(self, closed: int, now: float) -> float:
        """Let in all or a part, after so many were closed since the last time; `now` in seconds.

        Returns for how many seconds it was a part since then.
        """
        passed, self._looked = now - self._looked, now
        held_back = passed if self.holding else 0.0
        part = _PART if closed > _BEARABLE * passed else 1.0
        if part != self._part:
            self._part = part
            try:
                self._listening.admit(part)
                self.holding = part < 1.0
            except OSError as error:
                self.holding = False
                self._tell(error)
        return held_back

    def _tell(self, error: OSError) -> None:
        """Log the first failure: without the filter a flood costs more, and is borne as before."""
        if not self._failed:
            self._failed = True
            extra = {"port": self._listening.port, "error": str(error)}
            _log.warning("the kernel does not hold newcomers back", extra=extra)
