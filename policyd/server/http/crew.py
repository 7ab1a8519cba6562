"""The pages of a daemon with several workers, as its first process shows them.

Input: what each worker says of itself over its `Line`. Output: one page for all. `/metrics` is the
sum of all (`policyd.server.http.merging`); `/readyz` says ready once all workers are, and which are
not; metadata is what any of them answers, since all have the same.

Invariant: a worker that hangs or has died is named, and holds up a page for `TIME` at most.
"""

from __future__ import annotations

import asyncio
from collections.abc import Iterable, Mapping
from http import HTTPStatus
from typing import Final

import msgspec

from policyd.diagnostics.json_text import encode_json
from policyd.json_types import Json
from policyd.pdp.metadata import WELL_KNOWN
from policyd.server.http.merging import Merging
from policyd.server.http.metrics_text import CONTENT_TYPE
from policyd.server.http.pages import FRESH, JSON
from policyd.server.http.relay import TIME, NoPage, ask
from policyd.server.http.server import Request, Response, plain
from policyd.server.line import Line

_READY: Final = Request("/readyz", "worker")
_METRICS: Final = Request("/metrics", "worker")


class Readiness(msgspec.Struct, frozen=True):
    """What `/readyz` says."""

    ready: bool
    reasons: tuple[str, ...] = ()
    troubles: tuple[str, ...] = ()
    revision: str | None = None


class _Place(msgspec.Struct, frozen=True):
    """The line to a worker, `None` while there is none, how many processes it has been, and how
    many of them were ended because they hung."""

    line: Line | None = None
    processes: int = 0
    hung: int = 0


class CrewPages:
    """The pages of workers 0 to `workers` - 1, none of which is there yet.

    `patience` is how many seconds a worker has for an answer.
    """

    def __init__(self, workers: int, patience: float = TIME) -> None:
        self._patience = patience
        self._places = dict.fromkeys(range(workers), _Place())
        self._merging = Merging()

    def joined(self, number: int, line: Line) -> None:
        """A process has become worker `number`. One thread calls this and `left`."""
        place = self._places[number]
        self._places[number] = _Place(line, place.processes + 1, place.hung)

    def left(self, number: int, *, hung: bool = False) -> None:
        """The process that was worker `number` has ended, by force if it `hung`."""
        place = self._places[number]
        self._places[number] = _Place(None, place.processes, place.hung + hung)

    async def answer(self, request: Request) -> Response:
        """Answer a request."""
        if request.path == "/healthz":
            return plain(HTTPStatus.OK, FRESH)
        if request.path == _READY.path:
            return await self._ready()
        if request.path == _METRICS.path:
            return await self._metrics()
        if request.path.startswith(WELL_KNOWN):
            return await self._described(request)
        return plain(HTTPStatus.NOT_FOUND)

    async def _ready(self) -> Response:
        answers = await self._asked(_READY, dict(self._places))
        together = summed_up({number: _readiness(one) for number, one in answers.items()})
        status = HTTPStatus.OK if together.ready else HTTPStatus.SERVICE_UNAVAILABLE
        document: Json = msgspec.to_builtins(together)
        return Response(status, JSON, encode_json(document), (FRESH,))

    async def _metrics(self) -> Response:
        places = dict(self._places)
        for number, answer in (await self._asked(_METRICS, places)).items():
            text = answer.body.decode() if isinstance(answer, Response) else None
            place = places[number]
            self._merging.take(number, place.processes, text, place.hung)
        return Response(HTTPStatus.OK, CONTENT_TYPE, self._merging.text())

    async def _described(self, request: Request) -> Response:
        answers = await self._asked(request, dict(self._places))
        found = (one for one in answers.values() if isinstance(one, Response))
        return next(found, plain(HTTPStatus.SERVICE_UNAVAILABLE))

    async def _asked(
        self, request: Request, places: Mapping[int, _Place]
    ) -> Mapping[int, Response | NoPage]:
        """Ask all workers at the same time."""
        asked = (self._page(place.line, request) for place in places.values())
        return dict(zip(places, await asyncio.gather(*asked), strict=True))

    async def _page(self, line: Line | None, request: Request) -> Response | NoPage:
        if line is None:
            return NoPage("its process has ended, and another one is started")
        try:
            return await ask(line, request, self._patience)
        except NoPage as none:
            return none


def _readiness(answer: Response | NoPage) -> Readiness:
    if isinstance(answer, NoPage):
        return Readiness(ready=False, reasons=(f"no answer: {answer}",))
    return msgspec.json.decode(answer.body, type=Readiness)


def summed_up(workers: Mapping[int, Readiness]) -> Readiness:
    """Return what holds for all workers, by number. What only some say is said with their number.

    There is a revision if all that have one have the same.
    """
    revisions = {said.revision for said in workers.values()} - {None}
    troubles = list(_said({number: said.troubles for number, said in workers.items()}))
    if len(revisions) > 1:
        each = ", ".join(f"worker {n}: {one.revision or 'none'}" for n, one in workers.items())
        troubles.append(f"the workers serve different policies ({each})")
    return Readiness(
        all(said.ready for said in workers.values()),
        tuple(_said({number: said.reasons for number, said in workers.items()})),
        tuple(troubles),
        revisions.pop() if len(revisions) == 1 else None,
    )


def _said(sentences: Mapping[int, Iterable[str]]) -> Iterable[str]:
    by_sentence: dict[str, list[int]] = {}
    for number, said in sentences.items():
        for sentence in said:
            by_sentence.setdefault(sentence, []).append(number)
    for sentence, numbers in by_sentence.items():
        if len(numbers) == len(sentences):
            yield sentence
        else:
            yield from (f"worker {number}: {sentence}" for number in numbers)
