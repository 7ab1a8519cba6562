"""What every process that fetches does: it reads its request, limits itself, and answers.

All data from the network is parsed in such a process, which has limits of memory, time and file
size. So a hostile server can crash the process, and not the daemon.
"""

from __future__ import annotations

import ctypes
import os
import resource
import signal
import sys
from collections.abc import Callable
from typing import Final, TypeVar

import msgspec

from policyd.sources.policies.helper import Answer, Request

_MEBIBYTE: Final = 1024 * 1024
_PR_SET_PDEATHSIG: Final = 1
_LONGEST_PROBLEM: Final = 2000
#: On one core, checks are to go before a fetch (setpriority(2)).
_NICER: Final = 10

RequestT = TypeVar("RequestT", bound=Request)


def answer(
    shape: type[RequestT], fetch: Callable[[RequestT], Answer], why: Callable[[Exception], str]
) -> None:
    """Answer the one request on standard input.

    `why` returns an error as a sentence that says what to do.
    """
    request = msgspec.json.decode(sys.stdin.buffer.read(), type=shape)
    _bound(request)
    try:
        found = fetch(request)
    except Exception as error:
        found = Answer(problem=why(error)[:_LONGEST_PROBLEM])
    sys.stdout.buffer.write(msgspec.json.encode(found))
    sys.stdout.flush()


def _bound(request: Request) -> None:
    """Limit the resources of this process, and have it end when its parent ends."""
    os.nice(_NICER)
    memory = 768 * _MEBIBYTE + 8 * request.max_bytes
    seconds = int(request.seconds) + 1
    for what, most in (
        (resource.RLIMIT_AS, memory),
        (resource.RLIMIT_CPU, seconds),
        (resource.RLIMIT_FSIZE, request.largest_file + _MEBIBYTE),
        (resource.RLIMIT_CORE, 0),
    ):
        _, hard = resource.getrlimit(what)
        least = most if hard == resource.RLIM_INFINITY else min(most, hard)
        resource.setrlimit(what, (least, least))
    if sys.platform == "linux":
        ctypes.CDLL(None).prctl(_PR_SET_PDEATHSIG, signal.SIGKILL)
