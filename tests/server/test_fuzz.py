"""Whatever bytes a caller sends: never INTERNAL, never UNKNOWN, and the daemon lives on.

Random byte strings, messages with random fields, valid messages with bytes changed, and tokens with
characters changed, to every unary method and over streams. A few thousand by default;
POLICYD_FUZZ=100000 sets the number, POLICYD_FUZZ_SEED repeats a run.
"""

from __future__ import annotations

import os
import random
import string
from collections import Counter
from collections.abc import Callable

import grpc
from google.protobuf.struct_pb2 import NULL_VALUE, ListValue, Struct, Value

from policyd.v1 import authorization_pb2 as messages
from policyd.v1 import explanation_pb2
from tests.support.daemon import SERVICE, Caller, access_token, check_request

NUMBER = int(os.environ.get("POLICYD_FUZZ", "3000"))
SEED = int(os.environ.get("POLICYD_FUZZ_SEED", random.randrange(2**32)))

CHECK, BATCH = f"{SERVICE}/Check", f"{SERVICE}/BatchCheck"
PARTIAL, BATCH_PARTIAL = f"{SERVICE}/PartialCheck", f"{SERVICE}/BatchPartialCheck"
EXPLAIN, HEALTH = "/policyd.v1.ExplanationService/Explain", "/grpc.health.v1.Health/Check"
METHODS = (CHECK, BATCH, PARTIAL, BATCH_PARTIAL, EXPLAIN, HEALTH)
#: What a caller's mistake may be answered with.
EXPECTED = {
    grpc.StatusCode.OK,
    grpc.StatusCode.INVALID_ARGUMENT,
    grpc.StatusCode.NOT_FOUND,
    grpc.StatusCode.RESOURCE_EXHAUSTED,
}
WORDS = ("", "health", "read", "patient", "sealed", "ip", "p1", "\0", "é", "a" * 300, "☃\u202e")

NUMBERS = (0.0, 1.0, -1.5, 2.0**53, 1e308, float("nan"), float("-inf"), 1795000000.0)


class Maker:
    """Makes what callers might send, from one seed."""

    def __init__(self, seed: int) -> None:
        self.random = random.Random(seed)
        self.tokens = [access_token(), access_token(scope="openid"), "a.b.c", ""]

    def noise(self) -> bytes:
        return self.random.randbytes(self.random.choice((0, 1, 3, 10, 100, 3000)))

    def word(self) -> str:
        return self.random.choice(WORDS)

    def token(self) -> str:
        """A token with a few characters changed, cut out or put in."""
        text = list(self.random.choice(self.tokens))
        for _ in range(self.random.randrange(4)):
            at = self.random.randrange(len(text) + 1)
            text[at : at + self.random.randrange(3)] = self.random.choices(
                string.ascii_letters + string.digits + "-_.=+/ \n\0é", k=self.random.randrange(3)
            )
        return "".join(text)

    def value(self, depth: int = 0) -> Value:
        choice = self.random.choice
        kind = self.random.randrange(8 if depth < 4 else 6)
        if kind == 0:
            return Value()
        if kind == 1:
            return Value(null_value=NULL_VALUE)
        if kind == 2:
            return Value(number_value=choice(NUMBERS))
        if kind == 3:
            return Value(string_value=choice((*WORDS, "192.0.2.1", "2026-01-01T00:00:00Z")))
        if kind in (4, 5):
            return Value(bool_value=choice((True, False)))
        if kind == 6:
            entries = [self.value(depth + 1) for _ in range(self.random.randrange(4))]
            return Value(list_value=ListValue(values=entries))
        return Value(struct_value=self.struct(depth + 1))

    def struct(self, depth: int = 0) -> Struct:
        names = [self.word() for _ in range(self.random.randrange(4))]
        return Struct(fields={name: self.value(depth) for name in names})

    def likely(self, right: str) -> str:
        """Mostly the right word, so that most messages get far."""
        return right if self.random.random() < 0.8 else self.word()

    def resource(self) -> messages.Resource:
        made = messages.Resource(
            type=self.likely("patient"), id=self.word(), properties=self.struct()
        )
        if self.random.random() < 0.5:
            made.properties.fields["sealed"].bool_value = self.random.random() < 0.5
        return made

    def check(self) -> bytes:
        return messages.CheckRequest(
            access_token=self.token(),
            api=self.likely("health"),
            action=self.likely("read"),
            resource=self.resource() if self.random.random() < 0.9 else None,
            context=self.struct(),
            request_id=self.word(),
            proof=messages.SenderProof(dpop_proofs=[self.word()], http_uri=self.word()),
        ).SerializeToString()

    def batch(self) -> bytes:
        return messages.BatchCheckRequest(
            access_token=self.token(),
            api=self.likely("health"),
            context=self.struct(),
            items=[self.item() for _ in range(self.random.choice((0, 1, 5, 60)))],
        ).SerializeToString()

    def item(self) -> messages.BatchCheckItem:
        return messages.BatchCheckItem(
            id=self.word(), action=self.likely("read"), resource=self.resource()
        )

    def unknown(self) -> list[str]:
        names = ("resource", "context", "resource.id", "resource.sealed", "context.ip", *WORDS[:6])
        return self.random.choices(names, k=self.random.randrange(4))

    def partial(self) -> bytes:
        # The messages have the fields of the others, and one more.
        more = messages.PartialCheckRequest(assumed_unknown=self.unknown())
        return self.check() + more.SerializeToString()

    def batch_partial(self) -> bytes:
        more = messages.BatchPartialCheckRequest(assumed_unknown=self.unknown())
        return self.batch() + more.SerializeToString()

    def explain(self) -> bytes:
        request = messages.CheckRequest.FromString(self.check())
        return explanation_pb2.ExplainRequest(request=request).SerializeToString()

    def nearly(self) -> bytes:
        """A good question with some bytes changed."""
        data = bytearray(check_request(self.tokens[0]).SerializeToString())
        for _ in range(self.random.randrange(1, 4)):
            data[self.random.randrange(len(data))] = self.random.randrange(256)
        return bytes(data)

    def bad_token(self) -> bytes:
        return check_request(self.token()).SerializeToString()

    def anything(self) -> tuple[str, bytes]:
        """A method, and mostly a message that is meant for it."""
        makers: tuple[tuple[str, Callable[[], bytes]], ...] = (
            (CHECK, self.check),
            (CHECK, self.nearly),
            (CHECK, self.bad_token),
            (BATCH, self.batch),
            (PARTIAL, self.partial),
            (BATCH_PARTIAL, self.batch_partial),
            (EXPLAIN, self.explain),
            (self.random.choice(METHODS), self.noise),
            (self.random.choice(METHODS), self.check),
        )
        method, make = self.random.choice(makers)
        return method, make()

    def for_stream(self) -> bytes:
        if self.random.random() < 0.1:
            return self.noise()
        request = messages.CheckRequest.FromString(self.check())
        return messages.CheckStreamRequest(id=self.word(), request=request).SerializeToString()


def test_no_message_is_answered_with_internal_or_unknown(
    caller: Caller, explain_caller: Caller
) -> None:
    maker = Maker(SEED)
    codes: Counter[grpc.StatusCode] = Counter()
    for _ in range(NUMBER):
        method, data = maker.anything()
        try:
            explain_caller.raw(method, data)
            code = grpc.StatusCode.OK
        except grpc.RpcError as error:
            code = error.code()
        assert code in EXPECTED, (SEED, method, data)
        codes[code] += 1
    print(f"seed {SEED}: {dict(sorted((code.name, n) for code, n in codes.items()))}")
    assert set(codes) >= {grpc.StatusCode.OK, grpc.StatusCode.INVALID_ARGUMENT}
    assert caller.check(check_request()).allowed


def test_no_message_on_a_stream_is_answered_with_internal_or_unknown(caller: Caller) -> None:
    maker = Maker(SEED)
    stream: grpc.StreamStreamMultiCallable[bytes, bytes]
    stream = caller.channel.stream_stream(f"{SERVICE}/CheckStream")
    for _ in range(max(1, NUMBER // 100)):
        questions = [maker.for_stream() for _ in range(20)]
        try:
            for answer in stream(iter(questions), timeout=30):
                messages.CheckStreamResponse.FromString(answer)
            code = grpc.StatusCode.OK
        except grpc.RpcError as error:
            code = error.code()
        assert code in EXPECTED, (SEED, questions)
    assert caller.check(check_request()).allowed
