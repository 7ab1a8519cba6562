"""The settings of DPoP: which proofs count, for how long, and how many are remembered."""

from __future__ import annotations

from typing import Final

import msgspec

from policyd.errors import PolicydError
from policyd.tokens.algorithms import ALGORITHMS, canonical_algorithm
from policyd.tokens.details import escaped

DEFAULT_ALGORITHMS: Final = ("ES256", "ES384", "ES512", "EdDSA", "PS256", "RS256")
LONGEST_AGE: Final = 600
LONGEST_LEEWAY: Final = 60
SHORTEST_SECRET: Final = 32


class InvalidDpopSettings(PolicydError):
    """A setting of DPoP is invalid. `setting` is its name in the configuration, `problem` what
    is wrong with it."""

    def __init__(self, setting: str, problem: str) -> None:
        super().__init__(f"`{setting}` {problem}")
        self.setting = setting
        self.problem = problem


class DpopSettings(msgspec.Struct, frozen=True, kw_only=True):
    """How DPoP proofs are judged. Times are in seconds.

    Unless `enabled`, a token that is bound by DPoP is refused, whatever proof comes along.
    A proof counts for less than `max_age` after its `iat`, and from `leeway` before it, for senders
    whose clock is ahead. `algorithms` are those that proofs may be signed with. With `nonce`, a
    proof needs a nonce of policyd's, which is renewed every `nonce_lifetime` and made from
    `nonce_secret`; daemons that share the secret take each other's, and without one each has its
    own. `replay_entries` bounds how many proofs are remembered, `replay_per_key` how many of them
    by one key; beyond either, proofs are refused.

    Raises `InvalidDpopSettings`.
    """

    enabled: bool = True
    max_age: int = 60
    leeway: int = 5
    algorithms: tuple[str, ...] = DEFAULT_ALGORITHMS
    nonce: bool = False
    nonce_secret: bytes | None = None
    nonce_lifetime: int = 300
    replay_entries: int = 200_000
    replay_per_key: int = 20_000

    @property
    def offered(self) -> tuple[str, ...]:
        """The algorithms that clients may be told of."""
        return self.algorithms if self.enabled else ()

    def __post_init__(self) -> None:
        _check_range("max_age", self.max_age, 1, LONGEST_AGE)
        _check_range("leeway", self.leeway, 0, LONGEST_LEEWAY)
        _check_range("nonce_lifetime", self.nonce_lifetime, 10, 86_400)
        _check_range("replay_entries", self.replay_entries, 1, 10_000_000)
        _check_range("replay_per_key", self.replay_per_key, 1, 10_000_000)
        if not self.algorithms:
            raise InvalidDpopSettings("algorithms", "is empty: no proof could be accepted")
        for name in self.algorithms:
            if canonical_algorithm(name) not in ALGORITHMS:
                raise InvalidDpopSettings(
                    "algorithms",
                    f"has {escaped(name)}, which is not one of {', '.join(ALGORITHMS)}: "
                    "proofs are signed with private keys",
                )
        if self.nonce_secret is not None and len(self.nonce_secret) < SHORTEST_SECRET:
            raise InvalidDpopSettings(
                "nonce_secret_file", f"must hold at least {SHORTEST_SECRET} bytes"
            )


def _check_range(name: str, value: int, least: int, most: int) -> None:
    if not least <= value <= most:
        raise InvalidDpopSettings(name, f"must lie from {least} to {most}, found {value}")


DEFAULTS: Final = DpopSettings()
