"""A line between processes: connections come through whole, and nothing waits."""

from __future__ import annotations

import os
import select
import socket

import pytest

from policyd.server.line import Line, LineBroken


def test_a_connection_leads_to_the_other_end() -> None:
    one, other = Line.pair()
    for asking, answering in ((one, other), (other, one)):
        with asking.connect() as ours:
            assert select.select([answering], [], [], 10)[0] == [answering]
            theirs = answering.accept()
            assert theirs is not None
            with theirs:
                ours.sendall(b"question")
                assert theirs.recv(100) == b"question"
                theirs.sendall(b"answer")
                assert ours.recv(100) == b"answer"
                assert not os.get_inheritable(theirs.fileno())
        assert answering.accept() is None
    one.close()
    other.close()


def test_both_sides_notice_that_the_other_has_ended() -> None:
    one, other = Line.pair()
    other.close()
    with pytest.raises(LineBroken, match="has ended"):
        one.accept()
    with pytest.raises(LineBroken):
        one.connect()
    one.close()


def test_who_takes_no_connections_makes_nobody_wait() -> None:
    one, other = Line.pair()
    opened: list[socket.socket] = []
    with pytest.raises(LineBroken):
        opened.extend(one.connect() for _ in range(10_000))
    assert opened
    for connection in opened:
        connection.close()
    first = other.accept()
    assert first is not None
    assert first.recv(1) == b""  # who asked has given up
    first.close()
    one.close()
    other.close()
