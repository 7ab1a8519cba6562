"""Dialects of the configuration: `[dialects.NAME]` to `policyd.tokens.settings.dialect.Dialect`.

Input: the tables. Output: all dialects: the built-in ones, and the valid ones of the file. The
others are findings.
"""

from __future__ import annotations

from collections.abc import Mapping, Sequence

from policyd.config.findings import Findings
from policyd.config.tables import DialectTable
from policyd.tokens.settings.dialect import Dialect, InvalidDialect, check_dialect, read_conditions
from policyd.tokens.settings.dialect_table import DIALECTS

#: Replaces an invalid dialect, so that its issuers are not reported as well.
_BROKEN = Dialect(at_jwt=True)


def read_dialects(tables: Mapping[str, DialectTable], findings: Findings) -> Mapping[str, Dialect]:
    """Return policyd's dialects and the configuration's, by name."""
    known = dict(DIALECTS)
    for name, table in tables.items():
        if name in DIALECTS:
            findings.add(
                "P5010",
                ("dialects", name),
                f"`{name}` is a dialect of policyd's own",
                "give yours another name",
            )
            continue
        try:
            known[name] = _dialect(table)
        except InvalidDialect as error:
            key = ("dialects", name, error.setting)
            findings.add("P5010", key, f"dialect `{name}`: {error}", error.advice)
            known[name] = _BROKEN
    return known


def _dialect(table: DialectTable) -> Dialect:
    dialect = Dialect(
        at_jwt=table.at_jwt,
        marks=read_conditions("marks", table.marks),
        decisive=table.decisive,
        client_outside_audience=table.client_outside_audience,
        client=table.client,
        subject=_subject(table.subject),
        scope=table.scope,
        scope_form=table.scope_form,
        permissions=table.permissions,
        token_id=table.token_id,
        required=frozenset(table.required),
        user=read_conditions("user", table.user),
        application=read_conditions("application", table.application),
        auth_time_tells=table.auth_time_tells,
        user_separator=table.user_separator,
        application_suffix=table.application_suffix,
    )
    check_dialect(dialect)
    return dialect


def _subject(ways: Sequence[object]) -> tuple[tuple[str, ...], ...]:
    """Read the ways to name a principal: each one claim, or a list of claims to be joined."""
    found: list[tuple[str, ...]] = []
    for way in ways:
        listed: list[object] = way if isinstance(way, list) else [way]
        names = [name for name in listed if isinstance(name, str)]
        if not names or len(names) < len(listed):
            raise InvalidDialect(
                "subject",
                "names no subject",
                'write claims, such as ["sub"], or lists of claims, such as [["tid", "oid"]]',
            )
        found.append(tuple(names))
    return tuple(found)
