"""Decides which allows are recorded, if they are sampled.

The choice depends only on the decision's identifier, so every copy of the log has the same records.
A record names the rate, `sample_rate`, and counts for `1 / sample_rate` decisions. Denies are
always recorded, and so are answers to questions with unknown facts.
"""

from __future__ import annotations

from collections.abc import Mapping
from hashlib import blake2b
from typing import Final

import msgspec

_BYTES: Final = 8
_WHOLE: Final = 256**_BYTES


class Sampling(msgspec.Struct, frozen=True):
    """`rate` is the share of allows that is recorded, `of_apis` the share for single APIs, by
    name."""

    rate: float = 1.0
    of_apis: Mapping[str, float] = {}

    @property
    def keeps_all(self) -> bool:
        """Whether all decisions are recorded."""
        return self.rate >= 1 and all(rate >= 1 for rate in self.of_apis.values())

    def rate_of(self, api: str) -> float:
        """Return the share of an API's allows that are recorded."""
        return self.of_apis.get(api, self.rate)

    def keeps(self, api: str, decision_id: str) -> bool:
        """Return whether an allow is recorded."""
        digest = blake2b(decision_id.encode(), digest_size=_BYTES).digest()
        return int.from_bytes(digest) < self.rate_of(api) * _WHOLE


ALL: Final = Sampling()
