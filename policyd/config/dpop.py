"""`[dpop]` of the configuration, to `policyd.tokens.settings.dpop.DpopSettings`."""

from __future__ import annotations

from pathlib import Path

import msgspec

from policyd.config.findings import Findings
from policyd.config.tables import Dpop
from policyd.regular_file import read_regular
from policyd.tokens.settings.dpop import DpopSettings, InvalidDpopSettings

_TABLE = "dpop"
_LONGEST_SECRET = 16 * 1024


def read_dpop(table: Dpop, base: Path, findings: Findings) -> DpopSettings:
    """Return how DPoP proofs are judged; the defaults if the table is invalid."""
    secret: bytes | None = None
    if table.nonce_secret_file is not None:
        try:
            secret = read_regular(base / table.nonce_secret_file, _LONGEST_SECRET).strip()
        except OSError as error:
            key = (_TABLE, "nonce_secret_file")
            findings.add("P5008", key, f"`{table.nonce_secret_file}`: {error.strerror}")
    values = msgspec.structs.asdict(table)
    del values["nonce_secret_file"]
    try:
        return DpopSettings(nonce_secret=secret, **values)
    except InvalidDpopSettings as error:
        findings.add("P5004", (_TABLE, error.setting), f"`dpop.{error.setting}` {error.problem}")
        return DpopSettings()
