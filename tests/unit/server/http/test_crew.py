"""The pages of all workers, from workers that answer, hang, start and end."""

from __future__ import annotations

import asyncio
import json
import queue
from collections.abc import Callable, Iterator
from contextlib import ExitStack
from http import HTTPStatus

import pytest

from policyd.json_types import Json
from policyd.pdp.calls import CallFailed, start_deferred
from policyd.server.http.crew import CrewPages, Readiness, summed_up
from policyd.server.http.relay import NoPage, RelayedPages, ask
from policyd.server.http.server import HttpServer, Request, Response, plain
from policyd.server.line import Line

SERVES: dict[str, Json] = {"ready": True, "reasons": [], "troubles": [], "revision": "r1"}
STARTS: dict[str, Json] = {
    "ready": False,
    "reasons": ["the daemon is starting"],
    "troubles": [],
    "revision": None,
}


CACHED = (("Cache-Control", "public"),)


class Crew:
    """Workers that say what they are told to, and one page for them."""

    def __init__(self, running: ExitStack, workers: int) -> None:
        self._running = running
        self.pages = CrewPages(workers, patience=0.5)

    def join(self, number: int, readiness: dict[str, Json], decisions: int = 0) -> None:
        """Put a worker in a place."""

        def answer(request: Request) -> Response:
            if request.path == "/readyz":
                return Response(HTTPStatus.OK, "application/json", json.dumps(readiness).encode())
            if request.path == "/metrics":
                counted = f"# TYPE policyd_x_total counter\npolicyd_x_total {decisions}\n"
                return Response(HTTPStatus.OK, "text/plain", counted.encode())
            if request.path.endswith("/a"):
                return Response(HTTPStatus.OK, "text/plain", request.host.encode(), CACHED)
            return plain(HTTPStatus.NOT_FOUND)

        server = HttpServer(answer)
        server.start()
        self._running.callback(server.stop)
        server.adopt(self.hang(number))

    def hang(self, number: int) -> Line:
        """Put a worker in a place that answers nothing; return its end of the line."""
        ours, theirs = Line.pair()
        self._running.callback(ours.close)
        self.pages.joined(number, ours)
        return theirs

    def get(self, path: str, host: str = "") -> Response:
        return asyncio.run(self.pages.answer(Request(path, host)))

    def ready(self) -> tuple[int, dict[str, Json]]:
        response = self.get("/readyz")
        document: dict[str, Json] = json.loads(response.body)
        return response.status, document


@pytest.fixture
def crew() -> Iterator[Callable[[int], Crew]]:
    with ExitStack() as running:
        yield lambda workers: Crew(running, workers)


def test_ready_once_all_are(crew: Callable[[int], Crew]) -> None:
    two = crew(2)
    two.join(0, SERVES)
    status, said = two.ready()
    assert (status, said["ready"]) == (503, False)
    ended = "no answer: its process has ended, and another one is started"
    assert said["reasons"] == [f"worker 1: {ended}"]
    two.join(1, STARTS)
    assert two.ready()[1]["reasons"] == ["worker 1: the daemon is starting"]
    two.join(1, SERVES)
    assert two.ready() == (200, SERVES)


def test_one_that_hangs_holds_up_nothing(crew: Callable[[int], Crew]) -> None:
    two = crew(2)
    two.join(0, SERVES, decisions=3)
    silent = two.hang(1)
    assert two.ready()[1]["reasons"] == ["worker 1: no answer: nothing within 0.5 seconds"]
    page = two.get("/metrics").body.decode()
    assert "policyd_x_total 3.0" in page
    assert 'policyd_worker_up{worker="1"} 0.0' in page
    silent.close()
    assert two.ready()[0] == 503


def test_an_end_shows_at_once(crew: Callable[[int], Crew]) -> None:
    two = crew(2)
    two.join(0, SERVES, decisions=3)
    two.join(1, SERVES, decisions=4)
    assert "policyd_x_total 7.0" in two.get("/metrics").body.decode()
    two.pages.left(1)
    assert two.ready()[0] == 503
    assert "policyd_x_total 7.0" in two.get("/metrics").body.decode()
    two.join(1, SERVES, decisions=1)
    assert "policyd_x_total 8.0" in two.get("/metrics").body.decode()


def test_other_pages(crew: Callable[[int], Crew]) -> None:
    one = crew(1)
    described = "/.well-known/oauth-protected-resource/a"
    assert one.get(described).status == 503
    one.join(0, SERVES)
    answer = one.get(described, "there.example")
    assert (answer.body, answer.headers) == (b"there.example", CACHED)
    assert one.get("/healthz").status == 200
    assert one.get("/nothing").status == 404


def test_what_only_some_say_is_said_with_their_number() -> None:
    both = {0: Readiness(True, troubles=("full",), revision="a")}
    both[1] = Readiness(True, troubles=("full", "slow"), revision="b")
    starting = {**both, 1: Readiness(ready=False)}
    assert summed_up(starting).revision == "a"
    together = summed_up(both)
    assert together.troubles == (
        "full",
        "worker 1: slow",
        "the workers serve different policies (worker 0: a, worker 1: b)",
    )
    assert (together.ready, together.revision) == (True, None)


def test_an_answer_that_is_cut_off_is_none() -> None:
    ours, theirs = Line.pair()

    async def cut() -> None:
        asking = asyncio.ensure_future(ask(ours, Request("/")))
        while (connection := theirs.accept()) is None:
            await asyncio.sleep(0)
        await asyncio.get_running_loop().sock_recv(connection, 1000)
        connection.sendall(b"HTTP/1.1 200 OK\r\nContent-Length: 10\r\n\r\nhalf")
        connection.close()
        with pytest.raises(NoPage, match="cut off"):
            await asking

    asyncio.run(cut())
    ours.close()
    theirs.close()


def test_a_worker_asks_for_the_pages_of_all(crew: Callable[[int], Crew]) -> None:
    one = crew(1)
    one.join(0, SERVES)
    with ExitStack() as running:
        first, worker = HttpServer(one.pages.answer), HttpServer(lambda _: plain(HTTPStatus.OK))
        for server in (first, worker):
            server.start()
            running.callback(server.stop)
        near, far = Line.pair()
        first.adopt(far)
        answers: queue.SimpleQueue[Response | CallFailed] = queue.SimpleQueue()
        start_deferred(RelayedPages(worker, near).answer(Request("/readyz")), answers.put)
        answer = answers.get(timeout=30)
        assert isinstance(answer, Response)
        assert json.loads(answer.body) == SERVES
        near.close()
