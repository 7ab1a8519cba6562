"""How much one message may hold, as far as the configuration says."""

from __future__ import annotations

from typing import Final

import msgspec


class RequestLimits(msgspec.Struct, frozen=True):
    """`values` bounds what the Structs of a message hold together, `batch_items` a batch."""

    values: int = 10_000
    batch_items: int = 1000


DEFAULTS: Final = RequestLimits()
