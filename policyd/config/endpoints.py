"""What issuers are asked about tokens: the tables of an issuer, as settings."""

from __future__ import annotations

from collections.abc import Callable
from pathlib import Path
from typing import TypeVar

import msgspec

from policyd.config.findings import Findings, Key
from policyd.config.tables import Introspection, Userinfo
from policyd.tokens.settings.endpoints import IntrospectionSettings, InvalidAsking, UserinfoSettings

_FILES = ("client_secret_file", "private_key_file")
SettingsT = TypeVar("SettingsT")


def introspection_settings(
    table: Introspection | None, key: Key, base: Path, findings: Findings
) -> IntrospectionSettings | None:
    """Read `[issuers.introspection]`, found under `key`; paths are relative to `base`."""
    if table is None:
        return None
    values = msgspec.structs.asdict(table)
    for name in _FILES:
        if values[name] is not None:
            values[name] = str(base / values[name])
    return _settings(lambda: IntrospectionSettings(**values), key, findings)


def userinfo_settings(
    table: Userinfo | None, key: Key, findings: Findings
) -> UserinfoSettings | None:
    """Read `[issuers.userinfo]`, found under `key`."""
    if table is None:
        return None
    values = msgspec.structs.asdict(table)
    return _settings(lambda: UserinfoSettings(**values), key, findings)


def _settings(make: Callable[[], SettingsT], key: Key, findings: Findings) -> SettingsT | None:
    try:
        return make()
    except InvalidAsking as problem:
        name = f"{key[-1]}.{problem.setting}"
        findings.add("P5006", (*key, problem.setting), f"`{name}` {problem}")
        return None
