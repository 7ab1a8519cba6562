"""`Embedded`: a decision point in the process of the service that asks it.

Invariants: an answer exists only where one was decided; everything else raises
`AuthorizationFailed`, and there is no default that allows. Threads may share one. A process that
was forked from the one that opened it gets an error for each question: the threads that keep keys,
policies and revocations fresh do not live there.
"""

from __future__ import annotations

import logging
import os
import time
from collections.abc import Callable
from contextlib import ExitStack
from functools import partial
from pathlib import Path
from types import TracebackType
from typing import Final, Self

from policyd.config.configuration import Configuration, load_configuration
from policyd.config.request_limits import RequestLimits
from policyd.embedded.asks import Asks
from policyd.pdp.assembly import DecisionPoint, assemble_point
from policyd.pdp.calls import CallFailed, StatusCode
from policyd.pdp.decisions import LOG_UNAVAILABLE_MESSAGE
from policyd.pdp.failures import ErrorReason
from policyd.pdp.reconfiguration import warn
from policyd.pdp.running import look_again, masks_checked, start, watch

_log = logging.getLogger(__name__)
_WAIT_FOR_REVOCATIONS: Final = 2.0
_LOG_UNAVAILABLE: Final = CallFailed(
    StatusCode.UNAVAILABLE, LOG_UNAVAILABLE_MESSAGE, reason=ErrorReason.LOG_UNAVAILABLE
)


class Embedded(Asks):
    """Decides in this process, as a daemon with the same `policyd.toml` would.

    Threads may share one. Make one with `open`, once a process. Each method that asks raises
    `AuthorizationFailed` where there is no answer; those whose names begin with `a` are awaited,
    and hold up no event loop.
    """

    def __init__(self, point: DecisionPoint, timeout: float, running: ExitStack) -> None:
        """See `open`. `running` stops what runs."""
        server = point.configuration.server
        limits = RequestLimits(server.max_values, server.max_batch_items)
        holds_back = point.keeps is not None
        super().__init__(point.answering, point.mask, limits, timeout, holds_back=holds_back)
        self._point = point
        self._running = running

    @classmethod
    def open(
        cls,
        path: str | os.PathLike[str] = "policyd.toml",
        *,
        timeout: float = 5.0,
        clock: Callable[[], float] = time.time,
    ) -> Self:
        """Return a decision point that runs, by the configuration at `path`.

        It has policies then. It waits two seconds at most for keys and revocation lists; what they
        are needed for is refused until they are there, see `ready`. `timeout` is in seconds: so
        long a question waits for an issuer at most. `clock` gives seconds since the epoch.

        Raises:
            ConfigurationInvalid: the configuration has errors, or a file of it cannot be used.
            PoliciesRejected, SetRefused: the policies have errors, or must not serve.
            PoliciesUnreadable: they cannot be read, and none are remembered.
        """
        configuration = _configuration(Path(path), starting=True)
        reload = partial(_configuration, Path(path))
        point = assemble_point(configuration, reload, clock, _LOG_UNAVAILABLE)
        warn(configuration)
        with ExitStack() as running:
            start(point, running)
            with masks_checked(configuration):
                point.state.policies.load()
            watch(point, running)
            if not point.state.revocations.wait(_WAIT_FOR_REVOCATIONS):
                _log.warning("the revocation list is not there yet; tokens are refused until then")
            return cls(point, timeout, running.pop_all())

    def __enter__(self) -> Self:
        return self

    def __exit__(
        self,
        kind: type[BaseException] | None,
        error: BaseException | None,
        traceback: TracebackType | None,
    ) -> None:
        self.close()

    def close(self) -> None:
        """Decide nothing more, write what waits for the log, and stop the threads.

        In a forked process it does nothing: all of that is of the one that opened it.
        """
        if os.getpid() == self._process and not self._closed:
            self._closed = True
            self._running.close()

    def ready(self) -> bool:
        """Tell whether it decides by what is current: policies that are not older than
        `max_staleness` allows, all revocation lists, and keys of every issuer."""
        state = self._point.state
        return (
            os.getpid() == self._process
            and not self._closed
            and state.engine.snapshot is not None
            and state.policies.too_old(time.time()) is None
            and all(one.loaded for one in state.revocations.figures().values())
            and all(one.keys.snapshot is not None for one in state.validator.issuers)
        )

    def troubles(self) -> list[str]:
        """Return what is amiss, in sentences, though questions are answered or would be."""
        state = self._point.state
        old = state.policies.too_old(time.time())
        return [*([] if old is None else [old]), *state.troubles()]

    @property
    def revision(self) -> str:
        """The revision of the policies that decide."""
        return self._point.state.revision or ""

    def reload(self) -> None:
        """Read the configuration again, and open the log's files anew, as a daemon does at SIGHUP.

        Changed policies and revocations need no call: they are watched. The log says what cannot be
        taken over. Raises nothing.
        """
        self._usable()
        look_again(self._point)


def _configuration(path: Path, *, starting: bool = False) -> Configuration:
    return load_configuration(path, files=True, starting=starting, listening=False)
