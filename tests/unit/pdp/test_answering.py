"""The one place that answers, in a dialect of its own: what each answer has, whoever asks."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from concurrent.futures import ThreadPoolExecutor
from queue import SimpleQueue

import msgspec
import pytest

from policyd.audit import DecisionLog, Entry, Mask, Recorder
from policyd.decision.errors import InvalidRequest, NotReady
from policyd.decision.explain import Explanation
from policyd.decision.model import BatchItem, BatchRequest, Decided, Decision, Partial, Request
from policyd.pdp import answering
from policyd.pdp.answering import (
    Answering,
    DecidedItem,
    DecisionIds,
    Explained,
    NoDecision,
)
from policyd.pdp.calls import CallFailed, Deferred
from policyd.pdp.waiting import Waiting
from policyd.reasons import Reason
from policyd.tokens.endpoints.pending import TokenPending
from policyd.tokens.model import SenderProof
from tests.support.audit import MemorySink, NoCall
from tests.support.daemon import PATIENCE

PROOF = SenderProof(("p",), "GET", "u")
REQUEST = Request("t", "", "read", "doc", "d", {"a": 1}, {"c": 2}, PROOF, "request-1")
ITEMS = (BatchItem("read", "doc", "d", {"a": 1}), BatchItem("write", "doc"))
BATCH = BatchRequest("t", "", ITEMS, {"c": 2}, PROOF, "batch-1")


class Oracle:
    """Decides by itself, but raises each of `raises` first. `asked` is what it was asked."""

    def __init__(self, *raises: Exception) -> None:
        self._raises = list(raises)
        self.asked: list[Request | BatchRequest] = []

    def check(self, request: Request) -> Decision:
        self._note(request)
        return decision(request.action)

    def check_batch(self, batch: BatchRequest) -> Sequence[Decision | InvalidRequest]:
        self._note(batch)
        return [decision(item.action) if item.action == "read" else MISTAKE for item in batch.items]

    def check_partially(self, request: Request, unknown: Sequence[str]) -> Decision:
        return msgspec.structs.replace(
            self.check(request), partial=Partial("allow", assumed=tuple(unknown))
        )

    def check_batch_partially(
        self, batch: BatchRequest, unknown: Sequence[str]
    ) -> Sequence[Decision | InvalidRequest]:
        return self.check_batch(batch)

    def filter(self, request: Request) -> Decision:
        return self.check_partially(request, ["resource"])

    def explain(self, request: Request) -> Explanation:
        self._note(request)
        return Explanation(decision(request.action))

    def _note(self, asked: Request | BatchRequest) -> None:
        self.asked.append(asked)
        if self._raises:
            raise self._raises.pop(0)


def decision(action: str) -> Decision:
    return Decision(True, Reason.ALLOWED, "", "health", "r1", 1.0, (action,))


MISTAKE = InvalidRequest("action", "no such action", "UNKNOWN_ACTION")


class Traced(NoCall):
    """A call with a `traceparent`."""

    def __init__(self, value: str | bytes) -> None:
        self._value = value

    def metadata(self) -> Mapping[str, str | bytes]:
        return {"traceparent": self._value}


class Dialect:
    """Writes answers so that a test can read them. `seen` are the log's entries, once drained."""

    def __init__(self, oracle: Oracle, call: NoCall | None = None) -> None:
        self.oracle = oracle
        self.seen: list[Entry] = []
        self.log = DecisionLog(Recorder(Mask()), MemorySink(), observe=self.seen.extend)
        self.answering = Answering(oracle, self.log, default_api="health", waiting=Waiting())
        self._call = call or NoCall()

    def ask(self, kind: str, size: int = 100) -> bytes:
        """Ask, wait if need be, and return the answer as it was written."""
        answering, call = self.answering, self._call
        if kind == "check":
            answer = answering.check(call, REQUEST, size, self._written, self._refused)
        elif kind == "explain":
            answer = answering.explain(call, REQUEST, size, self._written, self._refused)
        elif kind == "check_partially":
            answer = answering.check_partially(
                call, REQUEST, ("resource.a",), size, self._written, self._refused
            )
        elif kind == "check_batch_partially":
            answer = answering.check_batch_partially(
                call, BATCH, ("resource.a",), size, self._listed, self._refused
            )
        else:
            answer = answering.check_batch(call, BATCH, size, self._listed, self._refused)
        if isinstance(answer, Deferred):
            brought: SimpleQueue[bytes | CallFailed] = SimpleQueue()
            answer.begin(brought.put)
            late = brought.get(timeout=PATIENCE)
            assert isinstance(late, bytes)
            answer = late
        self.log.drain()
        return answer

    @staticmethod
    def _written(decided: Decided | Explained) -> bytes:
        return decided[1].encode()

    @staticmethod
    def _listed(decided: Sequence[DecidedItem]) -> bytes:
        return " ".join(
            item.code if isinstance(item, InvalidRequest) else item[1] for item in decided
        ).encode()

    @staticmethod
    def _refused(error: NoDecision) -> bytes:
        return type(error).__name__.encode()


def pending() -> TokenPending:
    return TokenPending("question", lambda: None, lambda: None)


KINDS = ("check", "explain", "check_batch", "check_partially", "check_batch_partially")


@pytest.mark.parametrize("waits", [False, True])
@pytest.mark.parametrize("kind", KINDS)
def test_each_answer_has_an_identifier_and_one_record(kind: str, waits: bool) -> None:
    dialect = Dialect(Oracle(*[pending()] * waits))
    answer = dialect.ask(kind)
    (entry,) = dialect.seen
    name = (
        f"{entry.decision_id} UNKNOWN_ACTION"
        if kind.startswith("check_batch")
        else entry.decision_id
    )
    assert answer == name.encode()
    assert entry.item == ITEMS[0]
    assert (entry.details.context, entry.details.traceparent) == ({"c": 2}, "")
    assert entry.details.request_id == (
        "batch-1" if kind.startswith("check_batch") else "request-1"
    )
    assert len(dialect.oracle.asked) == 1 + waits


@pytest.mark.parametrize("waits", [False, True])
@pytest.mark.parametrize("error", [MISTAKE, NotReady()], ids=["mistake", "not ready"])
@pytest.mark.parametrize("kind", KINDS)
def test_without_a_decision_the_dialect_says_why(kind: str, error: NoDecision, waits: bool) -> None:
    dialect = Dialect(Oracle(*[pending()] * waits, error))
    assert dialect.ask(kind) == type(error).__name__.encode()
    assert dialect.seen == []


@pytest.mark.parametrize("kind", KINDS)
def test_everything_is_asked_that_was_read_and_the_default_api(kind: str) -> None:
    dialect = Dialect(Oracle(pending()))
    dialect.ask(kind)
    first, again = dialect.oracle.asked
    assert first == again
    if kind.startswith("check_batch"):
        assert first == BatchRequest("t", "health", ITEMS, {"c": 2}, PROOF, "batch-1")
    else:
        whole = Request("t", "health", "read", "doc", "d", {"a": 1}, {"c": 2}, PROOF, "request-1")
        assert first == whole


@pytest.mark.parametrize("kind", KINDS)
def test_of_a_traceparent_the_log_keeps_what_names_a_trace(kind: str) -> None:
    trace = f"00-{'a' * 32}-{'b' * 16}-01"
    for sent, kept in ((f"{trace}-more", trace), (b"00", "")):
        dialect = Dialect(Oracle(), Traced(sent))
        dialect.ask(kind)
        assert [entry.details.traceparent for entry in dialect.seen] == [kept]


@pytest.mark.parametrize("kind", KINDS)
def test_a_large_question_is_weighed_without_its_token(kind: str) -> None:
    """One byte more than a light call may have, or none: the token's byte does not count."""
    light, heavy = Dialect(Oracle()), Dialect(Oracle())
    light.ask(kind, 512 + 1)
    heavy.ask(kind, 512 + 2)
    assert [entry.details.weight > 0 for entry in light.seen + heavy.seen] == [False, True]


def test_an_empty_batch_has_an_empty_answer() -> None:
    dialect = Dialect(Oracle())
    batch = BatchRequest("t", "health", ())
    answer = dialect.answering.check_batch(
        NoCall(), batch, 0, lambda decided: str(len(decided)).encode(), lambda _: b""
    )
    assert answer == b"0"


def test_identifiers_are_given_once() -> None:
    ids = DecisionIds()
    with ThreadPoolExecutor(4) as pool:
        given = list(pool.map(lambda _: [ids.next(), *ids.several(100)], range(100)))
    names = [name for some in given for name in some]
    assert len(set(names)) == len(names) == 100 * 101


def test_an_answer_need_not_be_bytes() -> None:
    """As with HTTP, whose answers have a status: also when it comes later."""
    for oracle in (Oracle(), Oracle(pending())):
        answering = Answering(oracle, Dialect(oracle).log, default_api="health")
        answer = answering.check(
            NoCall(), REQUEST, 0, lambda decided: (200, decided[0].message), lambda _: (400, "")
        )
        if isinstance(answer, Deferred):
            brought: SimpleQueue[tuple[int, str] | CallFailed] = SimpleQueue()
            answer.begin(brought.put)
            assert brought.get(timeout=PATIENCE) == (200, "")
        else:
            assert answer == (200, "")


@pytest.mark.parametrize(
    ("kind", "duration"), [("check", 0.5), ("explain", 0.5), ("check_batch", 0.25)]
)
def test_the_log_says_how_long_each_decision_took(
    monkeypatch: pytest.MonkeyPatch, kind: str, duration: float
) -> None:
    monkeypatch.setattr(answering, "perf_counter", iter((100.0, 100.5)).__next__)
    dialect = Dialect(Oracle())
    dialect.ask(kind)
    assert [entry.details.duration for entry in dialect.seen] == [duration]
