"""How much memory the process keeps for itself.

glibc gives threads arenas of their own, up to eight for each core, and another thread of gRPC does
not use what one has freed. Under a flood of connections that comes to some 30 MB. Two arenas are
enough: Python has an allocator of its own, and one lock (mallopt(3)).
"""

from __future__ import annotations

import ctypes
import gc
import os

_M_ARENA_MAX, _ARENAS = -8, 2
#: Objects between two collections of garbage. A caller can have gRPC make tens of thousands at
#: once, from headers; a collection in between would look at all of them, several times.
_BETWEEN_COLLECTIONS = 50_000


def economise() -> None:
    """Keep little memory; to be called before threads start. `MALLOC_ARENA_MAX` goes before it."""
    gc.set_threshold(_BETWEEN_COLLECTIONS)
    mallopt = getattr(ctypes.CDLL(None), "mallopt", None)
    if mallopt is not None and "MALLOC_ARENA_MAX" not in os.environ:
        mallopt(_M_ARENA_MAX, _ARENAS)
