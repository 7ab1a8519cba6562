"""A policy with a promise that no budget of conflicts, time or memory is enough to decide."""

from __future__ import annotations

from itertools import combinations
from typing import Final

_HOLES: Final = 11
_NAMES: Final = [f"a{n}" for n in range(_HOLES + 1)]
#: Twelve attributes with eleven values, of which no two are equal: it takes the solver very long.
_APART: Final = "\n    and ".join(
    f"resource.{a} != resource.{b}" for a, b in combinations(_NAMES, 2)
)
PIGEONS: Final = f"""api birds

audience "urn:birds"

scope fly "Fly"

values hole: {", ".join(f'"h{n}"' for n in range(_HOLES))}

resource bird {{
{"".join(f"    {name}: hole{chr(10)}" for name in _NAMES)}
    actions fly, sit
}}

define apart as
    {_APART}

allow flies: fly on bird
    when scope fly and apart

prove easy: never allow sit on bird
    when scope fly

prove grounded: never allow fly on bird
    when scope fly
"""
