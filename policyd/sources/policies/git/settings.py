"""The settings of a Git source. Paths are absolute, times in seconds."""

from __future__ import annotations

from pathlib import Path

import msgspec

from policyd.sources.policies.signatures.trust import Trust


class GitSettings(msgspec.Struct, frozen=True):
    """A repository, the ref and folder to serve, the trusted signers and the limits."""

    url: str
    ref: str
    path: str = ""
    interval: float = 30.0
    timeout: float = 60.0
    username: str = ""
    password_file: Path | None = None
    ssh_key_file: Path | None = None
    known_hosts_file: Path | None = None
    ca_file: Path | None = None
    trust: Trust = Trust()
    allow_rewind: bool = False
    max_bytes: int = 16 * 1024 * 1024
    max_files: int = 5000
    max_fetch_bytes: int = 256 * 1024 * 1024
