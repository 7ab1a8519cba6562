"""Before each attack: the token that it changes is accepted as it is.

Each is tried through the validator, and through `policyd.Embedded`'s way to it, which must say the
same.
"""

from __future__ import annotations

from collections.abc import Iterator

import pytest

from tests.support.embedded import says_the_same
from tests.support.tokens import WITNESSES, token, verify


@pytest.fixture(autouse=True)
def embedded_says_the_same() -> Iterator[None]:
    WITNESSES.append(says_the_same)
    yield
    WITNESSES.remove(says_the_same)


@pytest.fixture(autouse=True)
def the_twin_is_accepted(embedded_says_the_same: None) -> None:
    assert verify(token()).subject == "auth0|123456"
