"""The daemon's own certificate and key: read, judged, and read again while it serves.

Input: the files of a listener's `tls`. Output: an `Identity` that can be served. Who renews a
certificate replaces the files, one after another or by a link that is swapped; new connections get
the new pair within a few seconds.

Invariants: a pair that does not fit, or a file that cannot be read, changes nothing: the last good
pair goes on, and log, `/readyz` and metrics tell. What counts is what the files hold, not their
dates.
"""

from __future__ import annotations

import logging
import time
from collections.abc import Callable, Iterator
from threading import Event, Lock, Thread
from typing import Final

from policyd.config.tls_files import Identity, TlsFiles, TlsUnusable, read_tls, utc

_log = logging.getLogger(__name__)
#: Seconds between two looks at the files.
LOOK_EVERY: Final = 2.0


class TlsIdentity:
    """An identity that follows its files. `clock` is in seconds since the epoch.

    `setting` is where the configuration names the files. Raises `TlsUnusable` where the files hold
    none to begin with.
    """

    def __init__(
        self, files: TlsFiles, clock: Callable[[], float] = time.time, setting: str = "server.tls"
    ) -> None:
        self._files = files
        self._setting = setting
        self._clock = clock
        self._looking = Lock()
        self._stop = Event()
        self._thread = Thread(target=self._run, name="tls", daemon=True)
        self._remarked: str | None = None
        self.served = read_tls(files)
        self.problem: str | None = None
        """Why the files as they are now are not served; `None` when they are."""
        self._remark()

    def identity(self) -> Identity:
        """Return what to serve: the same object for as long as nothing changed."""
        return self.served.identity

    def start(self) -> None:
        """Look at the files every few seconds."""
        self._thread.start()

    def stop(self) -> None:
        """Look no more."""
        self._stop.set()
        self._thread.join()

    def _run(self) -> None:
        while not self._stop.wait(LOOK_EVERY):
            try:
                self.look()
            except Exception:
                # A thread that ended in silence would serve an old certificate until it expires.
                _log.exception("looking at the TLS files failed; it goes on")

    def look(self) -> None:
        """Serve what the files hold, if that has changed and can be served."""
        with self._looking:
            try:
                found = read_tls(self._files)
            except TlsUnusable as error:
                self._failed(error)
                return
            if self.problem is not None:
                _log.info("the TLS files are in order again")
            self.problem = None
            if found.identity != self.served.identity:
                self.served = found
                _log.info(
                    "a new TLS certificate is in use", extra={"expires": utc(found.not_after)}
                )
            self._remark()

    def _failed(self, error: TlsUnusable) -> None:
        problem = f"`{self._setting}.{error.setting}`: {error}"
        if problem != self.problem:
            extra = {"problem": problem, "expires": utc(self.served.not_after)}
            _log.error("the TLS files cannot be used; the last good ones go on", extra=extra)
        self.problem = problem

    def _remark(self) -> None:
        """Tell once what is amiss with the time of the certificate that is served."""
        remark = self.served.remark(self._clock())
        if remark is not None and remark != self._remarked:
            extra = {"file": str(self._files.certificate), "problem": f"it {remark}"}
            _log.warning(f"the certificate of `{self._setting}` has to be renewed", extra=extra)
        self._remarked = remark

    def troubles(self) -> Iterator[str]:
        """Yield what is amiss though connections are served, or would be."""
        if self.problem is not None:
            yield f"the TLS files cannot be used, and the last good ones go on: {self.problem}"
        remark = self.served.remark(self._clock())
        if remark is not None:
            yield f"the TLS certificate (`{self._setting}.certificate`) {remark}"
