"""Services of web frameworks, asked without a socket, as their servers ask them."""

from __future__ import annotations

import asyncio
from collections.abc import Awaitable, Callable, Coroutine, Mapping, MutableMapping
from typing import NamedTuple, Protocol, cast


class Reply(NamedTuple):
    """What a caller gets: header names are in lower case."""

    status: int
    headers: Mapping[str, str]
    body: str


Headers = list[tuple[str, str]]


class Service(Protocol):
    """A service that is asked with GET."""

    def __call__(self, path: str, headers: Headers) -> Reply: ...


Message = MutableMapping[str, object]
App = Callable[
    [Message, Callable[[], Awaitable[Message]], Callable[[Message], Awaitable[None]]],
    Coroutine[object, object, None],
]


def asgi_service(app: App) -> Service:
    """Call an application as an ASGI server does, in a loop of its own."""

    def get(path: str, headers: Headers) -> Reply:
        sent: list[Message] = []

        async def receive() -> Message:
            return {"type": "http.request", "body": b"", "more_body": False}

        async def send(message: Message) -> None:
            sent.append(message)

        raw = [(name.lower().encode(), value.encode()) for name, value in headers]
        scope: Message = {
            "type": "http",
            "asgi": {"version": "3.0"},
            "http_version": "1.1",
            "method": "GET",
            "scheme": "https",
            "server": ("api.example.com", 443),
            "path": path,
            "raw_path": path.encode(),
            "query_string": b"a=b",
            "headers": [(b"host", b"api.example.com"), *raw],
            "state": {},
        }
        asyncio.run(app(scope, receive, send))
        start, *bodies = sent
        fields = cast("list[tuple[bytes, bytes]]", start["headers"])
        body = b"".join(cast("bytes", one.get("body", b"")) for one in bodies)
        names = {name.decode().lower(): value.decode() for name, value in fields}
        return Reply(cast("int", start["status"]), names, body.decode())

    return get
