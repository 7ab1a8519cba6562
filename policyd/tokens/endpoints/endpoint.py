"""One endpoint of an issuer that is asked about tokens: where it is, and what it answers.

Found by configuration or by the issuer's own document; asked within a time; its troubles told to
the log, once a while. It remembers nothing of tokens.
"""

from __future__ import annotations

import logging
import math
from collections.abc import Callable, Mapping
from threading import Lock
from time import monotonic
from typing import Final

from policyd.json_types import Json
from policyd.tokens import jws
from policyd.tokens.details import escaped, unquoted
from policyd.tokens.https.discovery import DiscoveryFailed, discover
from policyd.tokens.https.fetch import FetchFailed, HttpRequest, SendRequest
from policyd.tokens.refusals import TokenMalformed
from policyd.tokens.settings.issuers import IssuerSettings

#: For how long a discovered URL counts, and how often a trouble is told, in seconds.
DISCOVERED_FOR: Final = 600
TOLD_EVERY: Final = 60
_JSON: Final = "application/json"

_log = logging.getLogger(__name__)


class EndpointFailed(Exception):
    """The endpoint gave nothing usable. Its text is a detail, with marks (see `details`).

    `status` is the HTTP status where that was the reason.
    """

    def __init__(self, problem: str, status: int | None = None) -> None:
        super().__init__(problem)
        self.status = status


class Endpoint:
    """An endpoint; `member` is its name in discovery documents, `url` where it is, if known."""

    def __init__(
        self,
        settings: IssuerSettings,
        member: str,
        url: str | None,
        ask: SendRequest,
        timeout: float,
    ) -> None:
        self._settings = settings
        self._member = member
        self._configured = url
        self._ask = ask
        self._timeout = timeout
        self._found: tuple[str, float] = ("", -math.inf)
        self._told_at = -math.inf
        self._telling = Lock()

    def ask(
        self, request: Callable[[str], HttpRequest], describe: str
    ) -> tuple[Mapping[str, Json], int]:
        """Send the request that is made for the URL; return the JSON object, and its length.

        `describe` is what the answer is called in messages. Raises `EndpointFailed`.
        """
        deadline = monotonic() + self._timeout
        try:
            url = self._url(deadline)
            answer = self._ask(request(url), max(0.0, deadline - monotonic()))
            if answer.media_type != _JSON:
                raise EndpointFailed(
                    f"{escaped(url)}: answered {escaped(answer.media_type or 'without a type')}, "
                    f"expected {_JSON}"
                )
            return jws.read_object(answer.body, describe), len(answer.body)
        except FetchFailed as problem:
            raise EndpointFailed(str(problem), problem.status) from None
        except DiscoveryFailed as problem:
            raise EndpointFailed(str(problem)) from None
        except TokenMalformed as problem:
            raise EndpointFailed(problem.marked_detail) from None

    def tell(self, problem: str) -> None:
        """Tell the log of a trouble, a detail with marks, unless it was told of one lately."""
        with self._telling:
            now = monotonic()
            if now - self._told_at < TOLD_EVERY:
                return
            self._told_at = now
        _log.warning(
            "an issuer could not be asked about tokens",
            extra={
                "issuer": self._settings.issuer,
                "asked": self._member,
                "problem": unquoted(problem),
            },
        )

    def _url(self, deadline: float) -> str:
        if self._configured is not None:
            return self._configured
        url, until = self._found
        if monotonic() < until:
            return url
        headers = {"Accept": _JSON}
        url = discover(
            self._settings,
            lambda place: self._ask(HttpRequest(place, headers), max(0.0, deadline - monotonic())),
            self._member,
        )
        self._found = (url, monotonic() + DISCOVERED_FOR)
        return url
