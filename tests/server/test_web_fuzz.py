"""Whatever is sent over HTTP: an error of the protocol, never a failure of policyd's own.

Bodies with bytes and values changed, header fields, targets and heads that are noise, to Connect,
AuthZEN and forward authentication. Some hundred of each by default; POLICYD_FUZZ=100000 sets the
number of each, POLICYD_FUZZ_SEED repeats a run.
"""

from __future__ import annotations

import http.client
import json
import os
import random
from collections import Counter
from collections.abc import Callable
from http.client import HTTPConnection
from pathlib import Path

from policyd.json_types import Json
from tests.server.test_authzen import RECORDS
from tests.server.test_gateways import POLICY as ORDERS
from tests.support.daemon import AUDIENCE, PATIENCE, Daemon, Site, access_token
from tests.support.web import addresses, question, raw

NUMBER = int(os.environ.get("POLICYD_FUZZ", "300"))
SEED = int(os.environ.get("POLICYD_FUZZ_SEED", random.randrange(2**32)))
CHECK = "/policyd.v1.AuthorizationService/Check"
BATCH = "/policyd.v1.AuthorizationService/BatchCheck"
PARTIAL = "/policyd.v1.AuthorizationService/PartialCheck"
AUTHZEN = "/access/v1/evaluation"
SCALARS: list[Json] = [None, True, 0, 1.5, -1, 2**60, 1e300, "", "a" * 3000, "\0", "é☃", [], {}]
METHODS = ("GET", "POST", "PUT", "get", "HEAD", "OPTIONS", "TRACE")
URIS = (
    *("/orders", "/orders/1", "/orders/2?a=b", "/orders/../1", "//", "*"),
    *("", "http://a/", "/%00", "/%ff", "/é", "?"),
)
#: What may be answered: never 500, which is for defects.
EXPECTED = {200, 400, 401, 403, 404, 405, 408, 413, 414, 415, 417, 429, 431, 501, 504, 505}

Sent = tuple[str, str, bytes, dict[str, str]]


class Maker:
    """Makes what may be sent, from one seed."""

    def __init__(self, seed: int) -> None:
        self.random = random.Random(seed)
        self.token = access_token(aud=[AUDIENCE, AUDIENCE.replace("health", "orders")])

    def noise(self) -> bytes:
        return self.random.randbytes(self.random.choice((0, 1, 3, 10, 100, 3000)))

    def changed(self, value: Json) -> Json:
        """Return a value with something in it put in another's place."""
        if not isinstance(value, dict) or not value or self.random.random() < 0.2:
            return self.random.choice(SCALARS)
        name = self.random.choice(list(value))
        copy = dict(value)
        if self.random.random() < 0.2:
            del copy[name]
        else:
            copy[name] = self.changed(copy[name])
        if self.random.random() < 0.1:
            copy["".join(self.random.choices("abc._-é", k=3))] = self.random.choice(SCALARS)
        return copy

    def body(self, value: Json) -> bytes:
        text = json.dumps(self.changed(value)).encode()
        return self.tampered(text, self.random.choice((0, 0, 0, 1, 3)))

    def tampered(self, data: bytes, times: int) -> bytes:
        """Return bytes, in so many places a few of them others."""
        text = bytearray(data)
        for _ in range(times):
            at = self.random.randrange(len(text) + 1)
            put = self.random.randbytes(self.random.randrange(3))
            text[at : at + self.random.randrange(3)] = put
        return bytes(text)

    def connect(self) -> Sent:
        kind = self.random.choice(
            ["application/json"] * 4 + ["application/proto", "text/plain", ""]
        )
        item: Json = {"action": "read", "resource": {"type": "patient"}}
        value: dict[str, Json] = question(self.token)
        if self.random.random() < 0.3:
            value = {"accessToken": self.token, "api": "health", "items": [item, item]}
        elif self.random.random() < 0.3:
            value = {**value, "assumedUnknown": ["resource", "context.ip"]}
        body = self.noise() if self.random.random() < 0.2 else self.body(value)
        headers = {"Content-Type": kind}
        if self.random.random() < 0.2:
            headers["Connect-Timeout-Ms"] = self.random.choice(("", "-1", "9" * 30, "0", "50"))
        return "POST", self.random.choice((CHECK, BATCH, PARTIAL)), body, headers

    def authzen(self) -> Sent:
        entity: dict[str, Json] = {
            "subject": {"type": "user", "id": "alice", "properties": {"role": "admin"}},
            "action": {"name": "delete", "properties": {"soft": True}},
            "resource": {"type": "record", "id": "1", "properties": {"status": "archived"}},
            "context": {"policyd.api": "records"},
        }
        value: dict[str, Json] = {
            **entity,
            "evaluations": [self.changed(entity), {}],
            "options": {},
        }
        path = self.random.choice((AUTHZEN, f"{AUTHZEN}s", f"/records{AUTHZEN}", f"/é{AUTHZEN}s"))
        body = self.noise() if self.random.random() < 0.1 else self.body(value)
        return "POST", path, body, {"Content-Type": "application/json", "X-Request-ID": "a" * 900}

    def forward(self) -> Sent:
        choose, chance = self.random.choice, self.random.random
        credentials = ("Bearer", "", "DPoP a", "a b c", f"Bearer {self.token}.")
        token = f"Bearer {self.token}" if chance() < 0.5 else choose(credentials)
        headers = {"Authorization": token}
        for family, name in (("Forwarded", "Uri"), ("Original", "URI"))[: 1 + (chance() < 0.2)]:
            uri = choose(URIS) if chance() < 0.8 else self.noise().hex()
            method = "GET" if chance() < 0.6 else choose(METHODS)
            headers |= {f"X-{family}-Method": method, f"X-{family}-{name}": uri}
        for name in ("DPoP", "X-Forwarded-Host", "X-Forwarded-Proto"):
            if chance() < 0.1:
                headers[name] = choose(("https", "a.example", "a b", "é", "[::1]:1", "", "."))
        api = "orders" if chance() < 0.7 else choose(("none", "", "%6frders", "%ff", "a/b"))
        query = choose(("", "?gateway=nginx", "?gateway", "?" + "a=b&" * 50, "?%ff=%zz"))
        return choose(("GET", "GET", "HEAD", "POST")), f"/forward-auth/{api}{query}", b"", headers

    def head(self) -> bytes:
        """Return a request's bytes with a few of them changed."""
        lines = (
            f"POST {CHECK} HTTP/1.1",
            *("Host: a", "Connection: close", "Content-Type: application/json"),
            *("Transfer-Encoding: chunked", "", "2", "{}", "0", "", ""),
        )
        return self.tampered("\r\n".join(lines).encode(), self.random.randrange(1, 5))


def fuzzed(daemon: Daemon, make: Callable[[], Sent], number: int) -> Counter[int]:
    """Send requests, one after another; return how often there was which status."""
    told: Counter[int] = Counter()
    connection = HTTPConnection(addresses(daemon)[0], timeout=PATIENCE)
    for _ in range(number):
        method, path, body, headers = make()
        try:
            connection.putrequest(method, path.replace("é", "%C3%A9"))
            connection.putheader("Content-Length", str(len(body)))
            for name, value in headers.items():
                connection.putheader(name, value.encode("utf-8"))
            connection.endheaders(body)
            response = connection.getresponse()
            answer = response.read()
        except (http.client.HTTPException, OSError) as error:
            raise AssertionError((SEED, method, path, body, headers)) from error
        told[response.status] += 1
        assert response.status in EXPECTED, (SEED, method, path, body, headers, answer)
    connection.close()
    return told


def test_no_request_is_a_failure(tmp_path: Path) -> None:
    site = Site(tmp_path)
    (site.policies / "records.policy").write_text(RECORDS)
    (site.policies / "orders.policy").write_text(ORDERS.replace("health-api", "orders-api"))
    site.listen(
        'address = "127.0.0.1:0"\nservices = ["connect", "authzen", "forward-auth"]\n'
        "insecure = true",
        further='[authzen]\nasserted = ["records"]',
    )
    text = (site.folder / "policyd.toml").read_text()
    (site.folder / "policyd.toml").write_text(f'{text}apis = ["health", "orders"]\n')
    maker = Maker(SEED)
    with site.start() as daemon:
        for make in (maker.connect, maker.authzen, maker.forward):
            told = fuzzed(daemon, make, NUMBER)
            print(f"{make.__name__}, seed {SEED}: {dict(sorted(told.items()))}")
            assert told[200], "what is left sound is answered"
            assert told[400], "and what is not is refused"
        (address,) = addresses(daemon)
        heads: Counter[bytes] = Counter()
        for _ in range(NUMBER):
            data = maker.head()
            status = raw(address, data, close=True)[9:12]
            heads[status] += 1
            assert status in {b"", *(str(one).encode() for one in EXPECTED)}, (SEED, data)
        print(f"heads, seed {SEED}: {dict(sorted(heads.items()))}")
        failures = [line for line in daemon.log if line["level"] == "error"]
        assert failures == []
