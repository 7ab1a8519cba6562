"""The settings of a source of bundles. Paths are absolute, times in seconds."""

from __future__ import annotations

from pathlib import Path

import msgspec

from policyd.sources.policies.signatures.trust import Trust


class BundleSettings(msgspec.Struct, frozen=True):
    """The place of a bundle, a `url` or a `path`, its expected `name`, and its limits.

    With `long_poll`, the server may delay its answer so long until there is another bundle. With
    `allow_rewind`, a lower sequence than that of the set in service is accepted.
    """

    name: str
    url: str = ""
    path: Path | None = None
    interval: float = 30.0
    timeout: float = 60.0
    long_poll: float = 0.0
    username: str = ""
    password_file: Path | None = None
    token_file: Path | None = None
    ca_file: Path | None = None
    trust: Trust = Trust()
    allow_rewind: bool = False
    max_bytes: int = 16 * 1024 * 1024
    max_files: int = 5000

    @property
    def place(self) -> str:
        """The URL or the path."""
        return self.url or str(self.path)
