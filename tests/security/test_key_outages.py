"""Key servers that fail in every way: shorter than `max_stale`, nobody notices; longer, all is off.

A real server misbehaves over real TLS; the clock is the test's. Beside it stands a server that
behaves: at each tick of the clock the decisions about the same questions must be the same, whole.
"""

from __future__ import annotations

from collections.abc import Iterator
from pathlib import Path

import msgspec
import pytest

from policyd.decision.engine import Engine
from policyd.decision.model import Decision, Request
from policyd.diagnostics import Source
from policyd.json_types import Json
from policyd.language import load
from policyd.tokens.https.fetch import Fetch
from policyd.tokens.keys.refresher import COOL_DOWN, DEFAULT_LIFE
from tests.support.documents import ROOT
from tests.support.https import Route, Server, body, fetcher, serving, slowly
from tests.support.keys import FetchedKeys, key_set_of, lasting_token, serve
from tests.support.tokens import NOW, accepted_claims, key, settings, token

MAX_STALE = settings().max_stale
OK = b"HTTP/1.1 200 OK\r\n"
POLICY = (ROOT / "policies" / "health" / "health.policy").read_text(encoding="utf-8")

garbage: list[Json] = [
    "text",
    {"kty": "oct", "k": "AAAA"},
    {"kty": "RSA", "n": "AQAB", "e": "AQAB", "kid": "short"},
    {"kty": "RSA", "n": "!", "e": "AQAB", "kid": "unreadable"},
    {"kty": "EC", "crv": "P-256", "x": "AA", "y": "AA", "kid": "off the curve"},
    {"kty": "unheard of"},
]

TOO_SLOW = "longer than"
OUTAGES: dict[str, tuple[Route | None, str]] = {
    "slow headers": (slowly(OK, b"X: y\r\n"), TOO_SLOW),
    "slow body": (slowly(OK + b"Content-Length: 1000\r\n\r\n", b" "), TOO_SLOW),
    "silence": (slowly(b"", b""), TOO_SLOW),
    "301": (body(b"", "301 Moved", Location="https://localhost/keys"), "redirects are not"),
    "500": (body(b"oh", "500 Oh"), "status 500"),
    "HTML": (body(b"<!doctype html><title>Sign in</title>"), "is not JSON"),
    "300 KB": (body(b" " * 300_000), "more than 262144 bytes"),
    "1,000 keys": (key_set_of([{"kty": "RSA"}] * 1000), "1000 keys, at most 100"),
    "garbage alone": (key_set_of(garbage), "no usable key"),
    "emptied": (key_set_of([]), "no usable key"),
    "gone": (None, "refused"),
}


LAST_GOOD = DEFAULT_LIFE + MAX_STALE - 10
TICKS = (*range(0, LAST_GOOD, 600), LAST_GOOD)


def question(text: str, action: str = "read", *, sealed: bool = False) -> Request:
    return Request(
        access_token=text,
        api="health",
        action=action,
        resource_type="patient",
        resource_id="p1",
        attributes={"sealed": sealed},
    )


def questions() -> list[Request]:
    """Return questions with every kind of answer that a key is asked for, and some others."""
    known = lasting_token(key())
    return [
        question(known),
        question(known, sealed=True),
        question(known, "delete"),
        question(lasting_token(key(), scope="openid")),
        question(lasting_token(key(), aud="https://elsewhere.example")),
        question(lasting_token(key(name="mallory"), jti="x").replace(".", "..", 1)),
        question(token({**accepted_claims(), "exp": int(NOW) + 1800})),
        question(".".join((*known.split(".")[:2], "AAAA"))),
        question(lasting_token(key(), at_hash="x")),
    ]


class World:
    """A server of keys, and an engine that decides by them."""

    def __init__(self, server: Server, fetch: Fetch) -> None:
        self.keys = FetchedKeys(server, fetch)
        of, clock = self.keys.validator, self.keys.clock
        self.engine = Engine(of, clock, trusted_until=of.trusted_until)
        policies = load([Source("health.policy", POLICY)]).policies
        assert policies is not None
        self.engine.load(policies)

    def renew_at(self, seconds: float) -> None:
        """Renew the keys, so many seconds after the beginning."""
        self.keys.clock.now = NOW + seconds
        self.keys.keys.refresh()

    def decisions(self, asked: list[Request]) -> list[dict[str, object]]:
        """Return whole decisions, in a form in which equal ones are equal."""
        return [_comparable(self.engine.check(one)) for one in asked]

    def reasons(self, asked: list[Request]) -> list[object]:
        return [decision["reason"] for decision in self.decisions(asked)]


def _comparable(decision: Decision) -> dict[str, object]:
    token = decision.token
    verified = None if token is None else {**msgspec.structs.asdict(token), "memo": None}
    return {**msgspec.structs.asdict(decision), "token": verified}


@pytest.fixture
def steady(folder: Path, fetch: Fetch) -> Iterator[World]:
    """A world in which nothing goes wrong."""
    with serving(folder / "localhost.pem", {"/keys": serve(key())}) as server:
        yield World(server, fetch)


@pytest.mark.parametrize("outage", sorted(OUTAGES))
def test_an_outage_changes_no_decision_until_it_is_too_long(
    outage: str, server: Server, folder: Path, fetch: Fetch, steady: World
) -> None:
    route, problem = OUTAGES[outage]
    world, asked = World(server, fetch), questions()
    world.renew_at(0)
    assert "ALLOWED" in world.reasons(asked)
    if problem == TOO_SLOW:
        world.keys.fetch = fetcher(folder, seconds=0.2)
    if route is not None:
        server.routes["/keys"] = route
    else:
        server.close()

    compared = 0
    for seconds in TICKS:
        for each in (world, steady):
            each.renew_at(seconds)
        assert world.decisions(asked) == steady.decisions(asked), seconds
        compared += len(asked)
    problems = [str(renewal.problem) for renewal in world.keys.renewals[1:]]
    assert len(problems) == len(TICKS)
    assert all(problem in each for each in problems), problems
    print(f"{outage}: {compared} decisions compared, {len(problems)} attempts failed")

    world.renew_at(DEFAULT_LIFE + MAX_STALE)
    unavailable = world.engine.check(asked[0])
    assert (unavailable.reason, unavailable.http_status) == ("KEYS_UNAVAILABLE", 503)
    assert not unavailable.allowed
    assert unavailable.retry_after == COOL_DOWN
    world.renew_at(7200)
    assert "ALLOWED" not in world.reasons(asked)


def test_after_two_hours_the_keys_come_back(server: Server, fetch: Fetch, steady: World) -> None:
    world, asked = World(server, fetch), questions()
    world.renew_at(0)
    steady.renew_at(0)
    server.routes["/keys"] = body(b"oh", "503 Busy")
    for seconds in range(600, 7200, 600):
        world.renew_at(seconds)
    assert world.reasons(asked[:1]) == ["KEYS_UNAVAILABLE"]
    server.routes["/keys"] = serve(key())

    for each in (world, steady):
        each.renew_at(7200)

    assert world.decisions(asked) == steady.decisions(asked)
    assert world.reasons(asked[:1]) == ["ALLOWED"]


def test_a_server_that_was_never_there_leaves_everybody_outside(
    server: Server, fetch: Fetch
) -> None:
    world = World(server, fetch)
    server.close()
    world.renew_at(0)

    assert world.reasons(questions()[:1]) == ["KEYS_UNAVAILABLE"]


def test_garbage_beside_good_keys_is_skipped(server: Server, fetch: Fetch) -> None:
    world, asked = World(server, fetch), questions()
    world.renew_at(0)
    before = world.reasons(asked)
    server.routes["/keys"] = key_set_of([*garbage, key().public_jwk(), *garbage])

    world.renew_at(600)

    renewal = world.keys.renewals[-1]
    assert (renewal.problem, renewal.keys, len(renewal.skipped)) == (None, 1, 2 * len(garbage))
    assert renewal.changed
    assert world.reasons(asked[:6]) == before[:6]
    world.renew_at(1200)
    assert not world.keys.renewals[-1].changed


def test_a_rotation_in_the_middle_of_an_outage_waits_for_its_end(
    server: Server, fetch: Fetch
) -> None:
    """While attempts fail nobody can know whether the new key is genuine: come again."""
    world, new = World(server, fetch), [question(lasting_token(key(name="new")))]
    world.renew_at(0)
    server.routes["/keys"] = body(b"oh", "500 Oh")
    world.renew_at(600)
    assert world.reasons(new) == ["KEYS_REFRESHING"]
    server.routes["/keys"] = serve(key(), key(name="new"))

    world.renew_at(660)

    assert world.reasons(new) == ["ALLOWED"]
