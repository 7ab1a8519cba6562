"""A mutant: an API with one small change that a test should notice."""

from __future__ import annotations

import msgspec

from policyd.diagnostics import Label
from policyd.language import policy


class Mutant(msgspec.Struct, frozen=True):
    """`owner` is the rule, condition or other declaration that changed; the label says how, and
    where."""

    api: policy.Api
    owner: str
    label: Label
