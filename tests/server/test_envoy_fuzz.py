"""Whatever Envoy sends: an answer, never an error of gRPC, and leave for what is allowed alone.

Messages of Envoy's with changed values and bytes, and noise, over each transport. Some thousand by
default; POLICYD_FUZZ=100000 sets the number, POLICYD_FUZZ_SEED repeats a run.
"""

from __future__ import annotations

import os
import random
from collections import Counter
from collections.abc import Iterator

import pytest

from policyd.envoy.service.auth.v3 import authorization_pb2 as messages
from policyd.server.services.envoy import ACTION, API, RESOURCE, SERVICE
from tests.server.test_gateways import POLICY
from tests.support.confusions import CONFUSIONS
from tests.support.daemon import Caller, Site, access_token

NUMBER = int(os.environ.get("POLICYD_FUZZ", "2000"))
SEED = int(os.environ.get("POLICYD_FUZZ_SEED", random.randrange(2**32)))
CHECK = f"/{SERVICE}/Check"
TWINS = {one.twin for one in CONFUSIONS}
PATHS = [path for one in CONFUSIONS for path in one]


class Maker:
    """Makes what Envoy might send, from one seed. No such message may be allowed, but `sound`."""

    def __init__(self, seed: int) -> None:
        self.random = random.Random(seed)
        self.good = access_token().encode()
        self.poor = access_token(scope="openid").encode()

    def sound(self) -> messages.CheckRequest:
        made = messages.CheckRequest()
        http = made.attributes.request.http
        http.method, http.path = b"GET", b"/orders/7"
        http.host, http.scheme = b"api.example", b"https"
        http.headers["authorization"] = b"Bearer " + self.good
        made.attributes.context_extensions[API] = b"orders"
        return made

    def noise(self, most: int = 100) -> bytes:
        return self.random.randbytes(self.random.randrange(most))

    def value(self) -> bytes:
        choose = self.random.choice
        known = (
            b"",
            b"orders",
            b"read",
            b"order",
            b"https",
            b"DPoP a",
            b"Bearer a,b",
            b"\xff",
            b"%",
        )
        return choose((choose(known), choose(PATHS).encode("latin-1"), self.noise(), self.poor))

    def anything(self) -> tuple[bytes, bool]:
        """Return a message, and whether it may be allowed."""
        kind = self.random.randrange(8)
        made = self.sound()
        attributes = made.attributes
        http = attributes.request.http
        if kind == 0:
            return self.noise(3000), False
        if kind == 1:
            path = self.random.choice(PATHS)
            http.path = path.encode("latin-1")
            return made.SerializeToString(), path in TWINS
        if kind == 2:
            http.headers["authorization"] = self.value()
        elif kind == 3:
            http.header_map.headers.add(key=b"authorization", raw_value=self.value())
        elif kind == 4:
            http.headers["authorization"] = b"Bearer " + self.poor
            setattr(http, self.random.choice(("method", "path", "host", "scheme")), self.value())
        elif kind == 5:
            http.path = b"/orders/secret"
            attributes.source.certificate = self.value()
            http.headers["dpop"] = self.value()
        elif kind == 6:
            http.headers["authorization"] = b"Bearer " + self.poor
            for name in (API, ACTION, RESOURCE):
                if self.random.randrange(2):
                    attributes.context_extensions[name] = self.value()
        else:
            # Bytes changed, which may leave the question as it was.
            data = bytearray(made.SerializeToString())
            for _ in range(self.random.randrange(1, 4)):
                data[self.random.randrange(len(data))] = self.random.randrange(256)
            return bytes(data), True
        return made.SerializeToString(), False


@pytest.fixture(scope="module")
def asking(transport: str, tmp_path_factory: pytest.TempPathFactory) -> Iterator[Caller]:
    site = Site(tmp_path_factory.mktemp("daemon"), transport)
    site.policy.write_text(POLICY)
    site.listen('address = "127.0.0.1:0"\nservices = ["envoy"]')
    with site.start() as daemon, Caller(daemon.addresses[0]) as caller:
        yield caller


def test_every_message_is_answered(asking: Caller) -> None:
    maker = Maker(SEED)
    told: Counter[int] = Counter()
    for _ in range(NUMBER):
        data, may = maker.anything()
        answer = messages.CheckResponse.FromString(asking.raw(CHECK, data))
        status = answer.denied_response.status.code
        assert may or answer.status.code, (SEED, data)
        assert (answer.status.code == 0) is (answer.WhichOneof("http_response") == "ok_response")
        # 503 is for defects, unless it says when to come again: a token's key may come.
        names = {one.header.key for one in answer.denied_response.headers}
        assert status in (0, 400, 401, 403, 404) or b"Retry-After" in names, (SEED, data, answer)
        told[status] += 1
    print(f"seed {SEED}: {dict(sorted(told.items()))}")
    assert told.keys() >= {0, 400, 401, 403, 404}
    assert messages.CheckResponse.FromString(
        asking.raw(CHECK, maker.sound().SerializeToString())
    ).HasField("ok_response")
