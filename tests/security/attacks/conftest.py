"""Before each attack: the token that it changes is accepted as it is."""

from __future__ import annotations

import pytest

from tests.support.tokens import token, verify


@pytest.fixture(autouse=True)
def the_twin_is_accepted() -> None:
    assert verify(token()).subject == "auth0|123456"
