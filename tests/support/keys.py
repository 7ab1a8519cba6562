"""An issuer whose keys come from a real HTTPS server, by a clock that the test moves."""

from __future__ import annotations

import json
from collections.abc import Sequence
from threading import Condition

from policyd.json_types import Json
from policyd.tokens import minting
from policyd.tokens.https.fetch import Fetch
from policyd.tokens.keys.refresher import RefreshedKeys, Renewal
from policyd.tokens.minting import PrivateKey
from policyd.tokens.validator import Validator
from tests.support.https import Route, Server, body
from tests.support.tokens import (
    Clock,
    accepted_claims,
    encoded,
    issuer,
    latest,
    settings,
    token,
)

#: What a failing test waits; far more than anything takes.
PATIENCE = 30.0


class FetchedKeys:
    """Keys from `server`, with a validator that believes them. `renewals` is what was reported."""

    def __init__(self, server: Server, fetch: Fetch, *, cache_entries: int = 100) -> None:
        self.server = server
        #: Whatever is here fetches next.
        self.fetch = fetch
        self.clock = Clock()
        self.renewals: list[Renewal] = []
        self._news = Condition()
        url = server.url("/keys")
        self.keys = RefreshedKeys(
            settings(), lambda: self.fetch(url), self.clock, self._report, uniform=latest
        )
        self.validator = Validator([issuer(self.keys)], cache_entries=cache_entries)

    def _report(self, renewal: Renewal) -> None:
        with self._news:
            self.renewals.append(renewal)
            self._news.notify_all()

    def wait_for_renewals(self, number: int) -> None:
        """Wait until that many attempts have ended, since the beginning."""
        with self._news:
            assert self._news.wait_for(lambda: len(self.renewals) >= number, PATIENCE)

    @property
    def fetches(self) -> int:
        """How often the server was asked."""
        return len(self.server.paths)


def serve(*keys: PrivateKey) -> Route:
    """Return a route that serves a key set."""
    return body(minting.key_set_text(*keys))


def key_set_of(members: Sequence[Json]) -> Route:
    """Return a route that serves these members, whatever they are, as a key set."""
    return body(json.dumps({"keys": members}).encode())


def lasting_token(by: PrivateKey, **changes: Json) -> str:
    """Return a token that outlives every outage of these tests: it is accepted for a day."""
    claims = accepted_claims(exp=int(Clock().now) + 86_400)
    return token({**claims, **changes}, by=by)


def invented(key_id: str, payload: str, signature: str) -> str:
    """Return a token that names a key that does not exist; made in no time."""
    header = encoded(f'{{"alg":"RS256","kid":"{key_id}"}}'.encode())
    return f"{header}.{payload}.{signature}"
