"""Signals to the daemon are never missed."""

from __future__ import annotations

import os
import signal
import threading

import pytest

from policyd.server.signals import Signals


@pytest.mark.parametrize("number", [signal.SIGTERM, signal.SIGINT, signal.SIGHUP])
def test_a_signal_before_the_wait_ends_it(number: signal.Signals) -> None:
    with Signals() as signals:
        os.kill(os.getpid(), number)
        assert signals.wait(30) == number.name
        assert signals.wait(0) is None


def test_a_signal_during_the_wait_ends_it() -> None:
    with Signals() as signals:
        sender = threading.Timer(0.01, os.kill, (os.getpid(), signal.SIGTERM))
        sender.start()
        assert signals.wait() == "SIGTERM"
        sender.join()


def test_a_signal_that_another_thread_receives_ends_the_wait() -> None:
    def receive() -> None:
        signal.pthread_kill(threading.get_ident(), signal.SIGTERM)

    with Signals() as signals:
        receiver = threading.Thread(target=receive)
        receiver.start()
        assert signals.wait(30) == "SIGTERM"
        receiver.join()


def test_two_signals_are_two() -> None:
    with Signals() as signals:
        os.kill(os.getpid(), signal.SIGTERM)
        os.kill(os.getpid(), signal.SIGINT)
        assert {signals.wait(30), signals.wait(30)} == {"SIGTERM", "SIGINT"}


def test_handlers_are_as_before_afterwards() -> None:
    before = signal.getsignal(signal.SIGTERM), signal.getsignal(signal.SIGINT)
    with Signals():
        assert signal.getsignal(signal.SIGTERM) is not before[0]
    assert (signal.getsignal(signal.SIGTERM), signal.getsignal(signal.SIGINT)) == before
