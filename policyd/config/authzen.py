"""The table `[authzen]`, judged: who may say who a subject is, and the URL of the endpoints."""

from __future__ import annotations

from collections.abc import Iterable
from pathlib import Path

import msgspec

from policyd.config.apis import is_resource
from policyd.config.entities import EntitiesInvalid, read_entities
from policyd.config.findings import Findings
from policyd.config.listeners import AUTHZEN, Listener, is_socket
from policyd.config.tables import AuthzenTable


def read_authzen(
    table: AuthzenTable, listeners: Iterable[Listener], base: Path, findings: Findings
) -> AuthzenTable:
    """Check the table against the listeners that it is about; return it with whole paths."""
    if table.directory is not None:
        table = msgspec.structs.replace(table, directory=str(base / table.directory))
    url = table.policy_decision_point
    if url is not None and not is_resource(url):
        findings.add(
            "P5004",
            ("authzen", "policy_decision_point"),
            f"`{url}` is no URL of a decision point",
            "write an https URL without query or fragment",
        )
    if not table.asserted:
        return table
    for listener in listeners:
        known = listener.authenticates or is_socket(listener) or listener.insecure
        if AUTHZEN in listener.services and not known:
            findings.add(
                "P5004",
                ("authzen", "asserted"),
                f"anyone who can reach `{listener.address}` could claim to be any subject",
                "have its callers show a certificate or a secret, listen on a Unix socket, or set "
                "`insecure = true` where nobody else reaches it",
            )
    return table


def check_entities(table: AuthzenTable, findings: Findings) -> None:
    """Check that the file of entities can be used."""
    if table.directory is not None:
        try:
            read_entities(Path(table.directory))
        except EntitiesInvalid as error:
            findings.add("P5008", ("authzen", "directory"), f"`directory`: {error}")
