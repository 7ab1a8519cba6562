"""The questions of a service to a decision point in its own process, and their answers.

Invariants: an answer exists only where one was decided; everything else raises
`AuthorizationFailed`, and there is no default that allows.
"""

from __future__ import annotations

import asyncio
import logging
import os
from collections.abc import Callable, Iterable, Mapping, Sequence
from typing import Final, NamedTuple, ParamSpec, TypeVar

from policyd.audit import Mask
from policyd.client.explanation import Explanation
from policyd.client.values import (
    AccessDenied,
    Answer,
    AuthorizationFailed,
    Json,
    PartialAnswer,
    Proof,
    Question,
)
from policyd.config.request_limits import RequestLimits
from policyd.embedded import answers
from policyd.embedded.asking import InProcess, awaited, waited_for
from policyd.embedded.questions import Item, Reader, ResourceLike
from policyd.pdp.answering import Answering, DecidedItem, Explained
from policyd.pdp.calls import DEFECT, CallFailed, Deferred

P = ParamSpec("P")
T = TypeVar("T")

_log = logging.getLogger(__name__)


class Forked(AuthorizationFailed):
    """The process was forked from the one that opened the decision point. Open one in each."""

    def __init__(self) -> None:
        super().__init__(
            "FAILED_PRECONDITION",
            "this process was forked from the one that opened `policyd.Embedded`, whose threads "
            "keep keys, policies and revocations fresh: open it after the fork, in each process",
            "FORKED",
        )


class Asks:
    """Asks `answering`, and waits for it `timeout` seconds at most.

    `mask` withholds values from explanations, `limits` bound a question. `holds_back` says that
    answers may wait for their records, and whoever asks with them.
    """

    #: What it raises, for guards: they must know it.
    failure: Final = AuthorizationFailed

    def __init__(
        self,
        answering: Answering,
        mask: Mask,
        limits: RequestLimits,
        timeout: float,
        *,
        holds_back: bool = False,
    ) -> None:
        self._answering = answering
        self._mask = mask
        self._limits = limits
        self._timeout = timeout
        self._holds_back = holds_back
        self._process = os.getpid()
        self._closed = False

    # -- one question -----------------------------------------------------------------------------

    def check(
        self,
        access_token: str,
        *,
        action: str,
        resource: ResourceLike,
        api: str = "",
        context: Mapping[str, Json] | None = None,
        proof: Proof | None = None,
        request_id: str = "",
    ) -> Answer:
        """Ask one question. `resource` is `(type, id, attributes)`, or a `Resource`.

        The token may come with `Bearer ` before it, and white space around it.
        """
        return self._now(
            self._check, access_token, action, resource, api, context, proof, request_id
        )

    async def acheck(
        self,
        access_token: str,
        *,
        action: str,
        resource: ResourceLike,
        api: str = "",
        context: Mapping[str, Json] | None = None,
        proof: Proof | None = None,
        request_id: str = "",
    ) -> Answer:
        """Ask as `check` does."""
        return await self._later(
            self._check, access_token, action, resource, api, context, proof, request_id
        )

    def ask(self, question: Question) -> Answer:
        """Ask one question."""
        return self._now(self._check, *_asked(question))

    async def aask(self, question: Question) -> Answer:
        """Ask one question."""
        return await self._later(self._check, *_asked(question))

    def require(self, question: Question) -> Answer:
        """Ask one question whose answer must allow. Raises `AccessDenied` where it does not."""
        answer = self.ask(question)
        if not answer.allowed:
            raise AccessDenied(answer)
        return answer

    def _check(
        self,
        access_token: str,
        action: str,
        resource: ResourceLike,
        api: str,
        context: Mapping[str, Json] | None,
        proof: Proof | None,
        request_id: str,
    ) -> Answer | Deferred[Answer]:
        reader = self._reader()
        request = reader.request(access_token, action, resource, api, context, proof, request_id)
        return self._answering.check(
            InProcess(self._timeout), request, reader.size, answers.answer, answers.refuse
        )

    def explain(self, question: Question) -> Explanation:
        """Ask one question, and how the decision came about.

        It shows rules and values: for authors and operators, not for callers.
        """
        return self._now(self._explain, question)

    async def aexplain(self, question: Question) -> Explanation:
        """Ask as `explain` does."""
        return await self._later(self._explain, question)

    def _explain(self, question: Question) -> Explanation | Deferred[Explanation]:
        reader = self._reader()
        request = reader.request(*_asked(question))

        def write(explained: Explained) -> Explanation:
            return answers.explanation(explained, self._mask)

        return self._answering.explain(
            InProcess(self._timeout), request, reader.size, write, answers.refuse
        )

    def partial(self, question: Question, unknown: Iterable[str]) -> PartialAnswer:
        """Ask what is certain of a question while some facts are unknown.

        `unknown` names them as a policy does, such as `resource.amount`; `resource` and `context`
        name all that there are.
        """
        return self._now(self._partial, question, unknown)

    async def apartial(self, question: Question, unknown: Iterable[str]) -> PartialAnswer:
        """Ask as `partial` does."""
        return await self._later(self._partial, question, unknown)

    def _partial(
        self, question: Question, unknown: Iterable[str]
    ) -> PartialAnswer | Deferred[PartialAnswer]:
        reader = self._reader()
        request, names = reader.request(*_asked(question)), reader.names(unknown)
        return self._answering.check_partially(
            InProcess(self._timeout),
            request,
            names,
            reader.size,
            answers.partial_answer,
            answers.refuse,
        )

    # -- several questions about one token --------------------------------------------------------

    def check_batch(
        self,
        access_token: str,
        items: Iterable[tuple[str, ResourceLike]],
        *,
        api: str = "",
        context: Mapping[str, Json] | None = None,
        proof: Proof | None = None,
        request_id: str = "",
    ) -> list[Answer | AuthorizationFailed]:
        """Ask several questions, pairs of action and resource, about one token.

        The result is by item: an answer, or why that item has none.
        """
        asked = _Batch(access_token, items, api, context, proof, request_id)
        return self._now(self._check_batch, asked)

    async def acheck_batch(
        self,
        access_token: str,
        items: Iterable[tuple[str, ResourceLike]],
        *,
        api: str = "",
        context: Mapping[str, Json] | None = None,
        proof: Proof | None = None,
        request_id: str = "",
    ) -> list[Answer | AuthorizationFailed]:
        """Ask as `check_batch` does."""
        asked = _Batch(access_token, items, api, context, proof, request_id)
        return await self._later(self._check_batch, asked)

    def partial_batch(
        self,
        access_token: str,
        items: Iterable[tuple[str, ResourceLike]],
        unknown: Iterable[str],
        *,
        api: str = "",
        context: Mapping[str, Json] | None = None,
        proof: Proof | None = None,
        request_id: str = "",
    ) -> list[PartialAnswer | AuthorizationFailed]:
        """Ask several such questions as `partial` asks one: which entries a menu has.

        The result is by item: an answer, or why that item has none.
        """
        asked = _Batch(access_token, items, api, context, proof, request_id)
        return self._now(self._partial_batch, asked, unknown)

    def _check_batch(
        self, asked: _Batch
    ) -> list[Answer | AuthorizationFailed] | Deferred[list[Answer | AuthorizationFailed]]:
        reader = self._reader()
        batch, items = reader.batch(*asked)
        return self._answering.check_batch(
            InProcess(self._timeout),
            batch,
            reader.size,
            lambda decided: _by_item(items, decided, answers.item_answer),
            answers.refuse,
        )

    def _partial_batch(
        self, asked: _Batch, unknown: Iterable[str]
    ) -> (
        list[PartialAnswer | AuthorizationFailed]
        | Deferred[list[PartialAnswer | AuthorizationFailed]]
    ):
        reader = self._reader()
        (batch, items), names = reader.batch(*asked), reader.names(unknown)
        return self._answering.check_batch_partially(
            InProcess(self._timeout),
            batch,
            names,
            reader.size,
            lambda decided: _by_item(items, decided, answers.partial_item_answer),
            answers.refuse,
        )

    # -- how each of them is answered -------------------------------------------------------------

    def _usable(self) -> None:
        """Raise `AuthorizationFailed` where nothing is answered any more."""
        if os.getpid() != self._process:
            raise Forked
        if self._closed:
            raise AuthorizationFailed(
                "FAILED_PRECONDITION", "this `policyd.Embedded` is closed", "CLOSED"
            )

    def _reader(self) -> Reader:
        """Return what reads a question. Raises `AuthorizationFailed`."""
        self._usable()
        return Reader(self._limits)

    def _now(self, ask: Callable[P, T | Deferred[T]], *args: P.args, **named: P.kwargs) -> T:
        """Return what is answered, once it is there. Raises `AuthorizationFailed`."""
        try:
            return waited_for(ask(*args, **named), self._timeout)
        except AuthorizationFailed:
            raise
        except CallFailed as failure:
            raise answers.failed(failure) from None
        except Exception:
            _log.exception("a question could not be answered")
            raise answers.failed(DEFECT) from None

    async def _later(
        self, ask: Callable[P, T | Deferred[T]], *args: P.args, **named: P.kwargs
    ) -> T:
        """Return what is answered, once it is there. Raises `AuthorizationFailed`."""
        if self._holds_back:
            return await asyncio.to_thread(lambda: self._now(ask, *args, **named))
        try:
            return await awaited(ask(*args, **named), self._timeout)
        except AuthorizationFailed:
            raise
        except CallFailed as failure:
            raise answers.failed(failure) from None
        except Exception:
            _log.exception("a question could not be answered")
            raise answers.failed(DEFECT) from None


class _Batch(NamedTuple):
    """What `Reader.batch` reads."""

    access_token: str
    items: Iterable[tuple[str, ResourceLike]]
    api: str
    context: Mapping[str, Json] | None
    proof: Proof | None
    request_id: str


def _by_item(
    items: Sequence[Item], decided: Sequence[DecidedItem], write: Callable[[DecidedItem], T]
) -> list[T | AuthorizationFailed]:
    """Return the result of each item: what was decided, or why it could not be asked."""
    rest = iter(decided)
    return [one if isinstance(one, AuthorizationFailed) else write(next(rest)) for one in items]


def _asked(
    question: Question,
) -> tuple[str, str, ResourceLike, str, Mapping[str, Json], Proof | None, str]:
    """Return what `Reader.request` reads."""
    return (
        question.access_token,
        question.action,
        question.resource,
        question.api,
        question.context,
        question.proof,
        question.request_id,
    )
