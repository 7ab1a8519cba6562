"""The algorithms of signatures that policyd verifies (RFC 7518, section 3.1; RFC 8037)."""

from __future__ import annotations

from typing import Final

ALGORITHMS: Final = (
    "RS256",
    "RS384",
    "RS512",
    "PS256",
    "PS384",
    "PS512",
    "ES256",
    "ES384",
    "ES512",
    "EdDSA",
)


def canonical_algorithm(name: str) -> str:
    """Return the name under which `name` is compared: `Ed25519` (RFC 9864) is `EdDSA`."""
    return "EdDSA" if name == "Ed25519" else name
