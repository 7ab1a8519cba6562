"""Settings of DPoP make sense, or say what does not."""

from __future__ import annotations

import msgspec
import pytest

from policyd.tokens.settings.dpop import DEFAULTS, DpopSettings, InvalidDpopSettings


def test_the_defaults() -> None:
    assert (DEFAULTS.max_age, DEFAULTS.leeway, DEFAULTS.nonce) == (60, 5, False)
    assert DEFAULTS.algorithms == ("ES256", "ES384", "ES512", "EdDSA", "PS256", "RS256")


@pytest.mark.parametrize(
    ("setting", "least", "most"),
    [
        ("max_age", 1, 600),
        ("leeway", 0, 60),
        ("nonce_lifetime", 10, 86_400),
        ("replay_entries", 1, 10_000_000),
        ("replay_per_key", 1, 10_000_000),
    ],
)
def test_the_bounds_of_numbers(setting: str, least: int, most: int) -> None:
    for good in (least, most):
        assert getattr(made(**{setting: good}), setting) == good
    for bad in (least - 1, most + 1):
        with pytest.raises(
            InvalidDpopSettings, match=f"`{setting}` must lie from {least}"
        ) as found:
            made(**{setting: bad})
        assert found.value.setting == setting


def made(**values: int) -> DpopSettings:
    return msgspec.structs.replace(DEFAULTS, **values)


@pytest.mark.parametrize("name", ["none", "HS256", "es256", "RS1", ""])
def test_only_what_needs_a_private_key_signs_proofs(name: str) -> None:
    with pytest.raises(InvalidDpopSettings, match="proofs are signed with private keys") as found:
        DpopSettings(algorithms=("ES256", name))
    assert found.value.setting == "algorithms"


def test_some_algorithm_must_do() -> None:
    with pytest.raises(InvalidDpopSettings, match="no proof could be accepted"):
        DpopSettings(algorithms=())
    assert DpopSettings(algorithms=("Ed25519",)).algorithms == ("Ed25519",)


def test_a_secret_is_long_enough() -> None:
    assert DpopSettings(nonce_secret=b"x" * 32).nonce_secret == b"x" * 32
    with pytest.raises(InvalidDpopSettings, match="at least 32 bytes") as found:
        DpopSettings(nonce_secret=b"x" * 31)
    assert found.value.setting == "nonce_secret_file"
