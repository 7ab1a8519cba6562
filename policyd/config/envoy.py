"""The table `[envoy]`, judged: names of header fields, and the origin of URLs."""

from __future__ import annotations

import re
from typing import Final

from policyd.config.findings import Findings, Key
from policyd.config.identity_names import MOST_HYPHENS
from policyd.config.tables import EnvoyTable

_NAME: Final = re.compile(r"[A-Za-z][A-Za-z0-9]*(?:-[A-Za-z0-9]+)*")
_LONGEST_NAME: Final = 64
_ORIGIN: Final = re.compile(
    r"https?://(?:[A-Za-z0-9._~-]+|\[[0-9A-Fa-f:.]+\])(?::[0-9]{1,5})?", re.ASCII
)
#: What Envoy does not let anybody set, or what means something else to a service.
_TAKEN: Final = frozenset(
    (
        *("authorization", "connection", "content-length", "content-type", "cookie", "dpop"),
        *("host", "te", "trailer", "transfer-encoding", "upgrade", "www-authenticate"),
    )
)


def read_envoy(table: EnvoyTable, findings: Findings) -> EnvoyTable:
    """Check the table."""
    seen: dict[str, str] = {}
    for key in ("subject_header", "client_header", "decision_id_header"):
        name: str = getattr(table, key)
        _check_name(name, ("envoy", key), findings)
        before = seen.setdefault(name.lower(), key)
        if before != key:
            findings.add("P5004", ("envoy", key), f"`{name}` is the `{before}` too")
    origin = table.external_origin
    if origin is not None and _ORIGIN.fullmatch(origin) is None:
        findings.add(
            "P5004",
            ("envoy", "external_origin"),
            f"`{origin}` is no origin",
            "write scheme and host, without a path: `https://api.example.com`",
        )
    return table


def _check_name(name: str, key: Key, findings: Findings) -> None:
    if _NAME.fullmatch(name) is None or len(name) > _LONGEST_NAME:
        findings.add(
            "P5004",
            key,
            f"`{name}` cannot be the name of the header field",
            "write letters, digits and single hyphens, such as `X-Policyd-Subject`",
        )
    elif name.lower() in _TAKEN:
        findings.add("P5004", key, f"the header field `{name}` has a meaning of its own")
    elif name.count("-") > MOST_HYPHENS:
        findings.add(
            "P5004",
            key,
            f"`{name}` has more than {MOST_HYPHENS} hyphens",
            "each makes for more spellings, which all have to be removed from requests",
        )
