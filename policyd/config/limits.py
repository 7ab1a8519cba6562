"""What a daemon bears at a time, as far as the configuration says."""

from __future__ import annotations

from typing import Final

import msgspec

#: Threads that ask issuers, and how many calls may wait for what they bring.
DEFAULT_WAITING_THREADS: Final = 8
DEFAULT_WAITING_CALLS: Final = 256


class Limits(msgspec.Struct, frozen=True):
    """What one transport bears. Times are seconds; those of a connection are off where they are 0.

    `message_bytes` is the size of one incoming message, `header_bytes` that of a call's header
    fields with 32 bytes for each (RFC 9113, section 6.5.2), `calls` the number of unary calls at a
    time, `streams` that of exchanges and, counted apart, of watches; `apart` is how many calls of
    methods that are `apart` there are, and `calls_per_connection` how many of whatever kind on one
    connection. `connections` is how many are kept, for a short time a quarter more.
    `unfinished_bytes` is what unary calls may hold that wait for their caller. Past a
    number, a call that waits for its caller ends with RESOURCE_EXHAUSTED, or where there is none,
    the newcomer. A message that does not arrive within `receive_timeout`, and an answer not taken
    within `send_timeout`, end their call with DEADLINE_EXCEEDED.

    `threads` is the size of the pool that answers unary calls. `shared_ports` lets other processes
    listen on the same ports.
    """

    message_bytes: int = 512 * 1024
    header_bytes: int = 16 * 1024
    calls: int = 1000
    streams: int = 48
    apart: int = 64
    calls_per_connection: int = 256
    connections: int = 400
    unfinished_bytes: int = 24 * 1024 * 1024
    receive_timeout: float = 5.0
    send_timeout: float = 5.0
    handshake_timeout: float = 10.0
    connection_idle: float = 0.0
    connection_age: float = 0.0
    connection_age_grace: float = 0.0
    threads: int = 6
    shared_ports: bool = False
