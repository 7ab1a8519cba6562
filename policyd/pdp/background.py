"""How a thread that loads policies lets the threads that answer calls go first."""

from __future__ import annotations

import gc
import sys
from collections.abc import Iterator
from contextlib import contextmanager

#: Seconds for which it may keep the interpreter's lock from others while it loads. Half of that
#: would make a load a fifth longer and gain a tenth of a millisecond for one check in ten.
_SWITCH_INTERVAL_OF_A_LOAD = 0.0002
_process_is_ours = False


def own_process() -> None:
    """Say that nothing but policyd lives in this process."""
    global _process_is_ours
    _process_is_ours = True


@contextmanager
def collector_off() -> Iterator[None]:
    """Load without the garbage collector, then put what stays out of its sight.

    Loading makes many objects and no garbage, so collections in between only cost time; and later
    ones would go through all the rules again and again, in the middle of a call. What is out of
    sight and not used any more, such as the set before, goes by itself: nothing in it is circular.
    """
    was_on = gc.isenabled()
    gc.disable()
    try:
        yield
    finally:
        if was_on:
            gc.enable()
        put_away()


def put_away() -> None:
    """Collect what is young, and put what is left out of the collector's sight.

    Of a load that is done after each of its steps, since all calls wait for a collection. In a
    process of somebody else, nothing is: what is theirs may be circular, and would never go.
    """
    if _process_is_ours:
        gc.collect()
        gc.freeze()


@contextmanager
def short_turns() -> Iterator[None]:
    """Let this thread give the interpreter back sooner to a call that has come.

    Only while it loads: the less threads compute at a time, the less there is to gain by it.
    """
    before = sys.getswitchinterval()
    sys.setswitchinterval(min(before, _SWITCH_INTERVAL_OF_A_LOAD))
    try:
        yield
    finally:
        sys.setswitchinterval(before)
