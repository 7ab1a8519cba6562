"""A list of revocations in Redis: its commands; `shared` decides when to use them.

Three keys make a list, and a list exists only while all three do:

- `KEY`, a stream: one entry a revocation, in the order of writing;
- `{KEY}:snapshot`, a text: revocations a line each, all that left the stream;
- `{KEY}:list`, a hash: `run`, the name of this list, which changes when the list is created again;
  `snapshot`, which names the snapshot; and `upto`, the last entry of the stream that it contains.

(The braces put them in one slot of a cluster.) So snapshot and stream together are the list, and
the loss of a key, by a restart without persistence or by an eviction, is detected.

Every operation on more than one key is one script or one transaction, which Redis runs atomically,
and none does more work than a page: Redis answers others in between, however many read and however
long the list is. Scripts read only the hash, since Lua would copy each value and each entry several
times. The text of a snapshot never changes under its name, so its pages can be read one by one.

A failed connection is not used again: the next one may lead to another server, or to the same one
with other data. Every failure is a `RevocationsUnreadable` without secrets in its text.
"""

from __future__ import annotations

import os
from collections.abc import Iterator, Sequence
from contextlib import contextmanager
from typing import Final, TypeAlias

import msgspec
import redis
from redis.backoff import NoBackoff
from redis.retry import Retry

from policyd.regular_file import read_regular
from policyd.sources.revocations.errors import ListMissing, RevocationsUnreadable
from policyd.sources.revocations.settings import RedisSettings

START: Final = b"0-0"
_FIELD: Final = b"entry"
#: The first entry of a list. It keeps the stream from vanishing, and is not a revocation.
_MARK: Final = b"created"
#: The most entries, and bytes of a snapshot, that one operation reads or writes.
PAGE: Final = 250
PIECE: Final = 256 * 1024
#: Seconds after which Redis drops a snapshot that was not finished.
_UNFINISHED_FOR: Final = 600
_LONGEST_PASSWORD: Final = 16 * 1024
_CONNECT_SECONDS: Final = 5.0
_ANSWER_SECONDS: Final = 5.0
#: So an account without permission to write is enough for a reader.
_READ_ONLY: Final = "EVAL_RO"

_EXISTS = """
if redis.call('EXISTS', KEYS[1], KEYS[2], KEYS[3]) ~= 3 then return false end
local list = redis.call('HMGET', KEYS[3], 'run', 'snapshot', 'upto')
if not (list[1] and list[2] and list[3]) then return false end
"""
_CREATE = """
if redis.call('EXISTS', KEYS[1], KEYS[2], KEYS[3]) == 3 then return 0 end
redis.call('XADD', KEYS[1], '*', ARGV[2], '1')
redis.call('SETNX', KEYS[2], '')
redis.call('HSET', KEYS[3], 'run', ARGV[1], 'snapshot', ARGV[1], 'upto', '0-0')
return 1
"""
_LIST = (
    _EXISTS
    + """
return {list[1], list[2], list[3], redis.call('XLEN', KEYS[1]), redis.call('STRLEN', KEYS[2])}
"""
)
_ADD = (
    _EXISTS
    + """
local last
for i = 2, #ARGV do last = redis.call('XADD', KEYS[1], '*', ARGV[1], ARGV[i]) end
return {last, redis.call('XLEN', KEYS[1]), list[3]}
"""
)
_COMPACT = (
    _EXISTS
    + """
if list[1] ~= ARGV[1] or list[2] ~= ARGV[2]
    or redis.call('STRLEN', KEYS[4]) ~= tonumber(ARGV[5]) then
    redis.call('UNLINK', KEYS[4])
    return 0
end
redis.call('PERSIST', KEYS[4])
redis.call('RENAME', KEYS[4], KEYS[2])
redis.call('HSET', KEYS[3], 'snapshot', ARGV[3], 'upto', ARGV[4])
redis.call('XTRIM', KEYS[1], 'MINID', '=', ARGV[6])
return 1
"""
)

_Command: TypeAlias = "tuple[str | bytes | int, ...]"


class Edition(msgspec.Struct, frozen=True):
    """The names of a list and of its snapshot; `upto` is the last entry that the snapshot
    contains."""

    run: bytes
    snapshot: bytes
    upto: bytes


class StreamEntry(msgspec.Struct, frozen=True, gc=False):
    """An entry of the stream: its id, and a revocation as a line of JSON."""

    id: bytes
    line: bytes


class Page(msgspec.Struct, frozen=True):
    """Some entries of the stream, the edition that it belongs to, and the length of the stream."""

    edition: Edition
    entries: Sequence[StreamEntry]
    length: int
    last: bytes | None


class Piece(msgspec.Struct, frozen=True):
    """A piece of a snapshot, the edition that it belongs to, and the snapshot's whole length in
    bytes."""

    edition: Edition
    text: bytes
    length: int


def position(entry: bytes) -> tuple[int, int]:
    """Return the id of an entry as a comparable value."""
    milliseconds, _, number = entry.partition(b"-")
    return int(milliseconds), int(number)


class RedisList:
    """One connection to a list. For one thread.

    Every method raises `RevocationsUnreadable`, and `ListMissing` if the list is incomplete.
    """

    def __init__(self, settings: RedisSettings) -> None:
        self._settings = settings
        key = settings.key
        self._keys = (key, f"{{{key}}}:snapshot", f"{{{key}}}:list")
        self._lost = False
        with self._failures():
            self._client = _client(settings)

    def close(self) -> None:
        """Close the connection."""
        self._client.close()

    def create(self, name: bytes) -> bool:
        """Create the list, or its missing keys, under a new name; `False` if it is complete."""
        return bool(self._run(_CREATE, name, _MARK))

    def piece(self, offset: int, size: int = PIECE) -> Piece:
        """Return up to `size` bytes of the snapshot, from `offset` on."""
        edition, _, length, text = self._look(
            ("GETRANGE", self._keys[1], offset, offset + size - 1)
        )
        if not isinstance(text, bytes):
            raise self._unexpected(text)
        return Piece(edition, text, length)

    def read(self, after: bytes, count: int = PAGE) -> Page:
        """Return up to `count` entries that follow `after`."""
        edition, length, _, found = self._look(
            ("XRANGE", self._keys[0], b"(" + after, "+", "COUNT", count)
        )
        if not isinstance(found, list):
            raise self._unexpected(found)
        return Page(
            edition,
            [StreamEntry(id_, fields[1]) for id_, fields in found if fields[0] == _FIELD],
            length,
            found[-1][0] if found else None,
        )

    def wait(self, after: bytes, milliseconds: int) -> None:
        """Return when an entry follows `after`, or when the time is over."""
        with self._failures():
            self._client.execute_command(
                "XREAD", "COUNT", 1, "BLOCK", milliseconds, "STREAMS", self._keys[0], after
            )

    def add(self, lines: Sequence[bytes]) -> tuple[int, float]:
        """Write all entries or none; return the new length of the stream, and for how many seconds
        entries have stayed in it."""
        match self._run(_ADD, _FIELD, *lines):
            case [bytes(last), int(length), bytes(upto)]:
                return length, (position(last)[0] - position(upto)[0]) / 1000
            case answer:
                raise self._unexpected(answer)

    def compact(self, before: Edition, after: Edition, text: bytes) -> bool:
        """Replace the snapshot `before` and trim the stream; `False` if `before` was replaced
        already. The snapshot must contain every entry up to `after.upto`. It is written in pieces
        beside the one in force, whose place it takes when it is whole."""
        milliseconds, number = position(after.upto)
        first = f"{milliseconds}-{number + 1}".encode()
        written = f"{self._keys[1]}:{after.snapshot.decode()}"
        with self._failures():
            self._client.execute_command("SET", written, text[:PIECE], "EX", _UNFINISHED_FOR)
            for offset in range(PIECE, len(text), PIECE):
                self._client.execute_command("APPEND", written, text[offset : offset + PIECE])
        return bool(
            self._run(
                _COMPACT,
                *(before.run, before.snapshot, after.snapshot, after.upto, len(text), first),
                more=(written,),
            )
        )

    def keeps_on_disk(self) -> bool | None:
        """Tell whether Redis logs each change on disk; `None` if it does not say."""
        try:
            with self._failures():
                answer: object = self._client.execute_command("INFO", "persistence")
        except RevocationsUnreadable:  # the account may not ask
            return None
        return bool(answer["aof_enabled"]) if isinstance(answer, dict) else None

    def _look(self, command: _Command) -> tuple[Edition, int, int, object]:
        """Run a command of the library, and return the edition at that moment, the lengths of
        stream and snapshot, and the command's answer."""
        script = (_READ_ONLY, _LIST, len(self._keys), *self._keys)
        with self._failures():
            state, answer = self._transaction(script, command)
        match state:
            case None:
                raise self._missing()
            case [bytes(run), bytes(snapshot), bytes(upto), int(entries), int(length)]:
                return Edition(run, snapshot, upto), entries, length, answer
            case _:
                raise self._unexpected(state)

    def _transaction(self, *commands: _Command) -> list[object]:
        """Run commands, and nobody else's between them. The library's own transactions would take
        another connection."""
        connection = self._client.connection
        assert connection is not None, "the client has one of its own"
        connection.send_packed_command(connection.pack_commands([("MULTI",), *commands, ("EXEC",)]))
        for _ in range(1 + len(commands)):
            connection.read_response()  # that it was taken
        answers: list[object] = connection.read_response()
        for answer in answers:
            if isinstance(answer, redis.RedisError):
                raise answer
        return answers

    def _run(self, script: str, *arguments: bytes | int, more: Sequence[str] = ()) -> object:
        keys = (*self._keys, *more)
        with self._failures():
            answer: object = self._client.execute_command(
                "EVAL", script, len(keys), *keys, *arguments
            )
        if answer is None:
            raise self._missing()
        return answer

    def _missing(self) -> ListMissing:
        return ListMissing(
            f"Redis at {self._settings} has no complete list `{self._settings.key}`: it has "
            "lost data, or there never was one; `policyd revoke --create` makes one"
        )

    def _unexpected(self, answer: object) -> RevocationsUnreadable:
        return RevocationsUnreadable(
            f"Redis at {self._settings} holds something else under `{self._settings.key}`: "
            f"{type(answer).__name__}"
        )

    @contextmanager
    def _failures(self) -> Iterator[None]:
        if self._lost:  # else the library would reconnect
            raise RevocationsUnreadable(f"Redis at {self._settings}: the connection was lost")
        try:
            yield
        except (redis.RedisError, OSError, ValueError) as error:
            self._lost = True
            said = str(error) or type(error).__name__
            raise RevocationsUnreadable(f"Redis at {self._settings}: {said}") from None


def _client(settings: RedisSettings) -> redis.Redis:
    def text(path: os.PathLike[str] | None) -> str | None:
        return None if path is None else os.fspath(path)

    return redis.Redis(
        host=settings.host,
        port=settings.port,
        unix_socket_path=text(settings.path),
        db=settings.database,
        username=settings.username,
        password=_password(settings),
        ssl=settings.tls,
        ssl_cert_reqs="required",
        ssl_check_hostname=True,
        ssl_ca_certs=text(settings.ca_file),
        ssl_certfile=text(settings.certificate),
        ssl_keyfile=text(settings.private_key),
        socket_connect_timeout=_CONNECT_SECONDS,
        socket_timeout=_ANSWER_SECONDS,
        single_connection_client=True,
        retry=Retry(NoBackoff(), 0),
        protocol=2,
    )


def _password(settings: RedisSettings) -> str | None:
    if settings.password_file is not None:
        return read_regular(settings.password_file, _LONGEST_PASSWORD).decode().rstrip("\r\n")
    if settings.password_env is not None:
        password = os.environ.get(settings.password_env)
        if password is None:
            raise ValueError(f"the environment variable `{settings.password_env}` is not set")
        return password
    return None
