"""What a file says, as the tables of `policyd.config.tables`.

Input: the values of a TOML file, with what the environment puts over them. Output: a `File`, or
one finding a mistake, with the key that it is about. No value is taken for one of another type,
but a whole number for a number.
"""

from __future__ import annotations

from collections.abc import Mapping
from typing import get_args, get_origin

import msgspec

from policyd.config.findings import Findings, Key, Toml, did_you_mean, dotted
from policyd.config.shapes import is_table, keys, without_none, words
from policyd.config.tables import File


def read_tables(values: Toml, findings: Findings) -> File | None:
    """Return the tables, or `None` where there are findings: those added here, or before."""
    _check_table(values, File, (), findings)
    return None if findings.found else msgspec.convert(values, File)


def _check_table(table: Mapping[str, object], shape: object, path: Key, findings: Findings) -> None:
    known = keys(shape)
    for name, field in known.items():
        if name in table:
            _check(table[name], field.type, (*path, name), findings)
        elif field.required:
            key = (*path, name)
            findings.add("P5003", key, f"`{dotted(key)}` is missing", f"add `{name} = …`")
    for name in table:
        if name not in known:
            key = (*path, name)
            help_ = did_you_mean(name, known) or f"known here: {', '.join(sorted(known))}"
            findings.add("P5002", key, f"unknown key `{dotted(key)}`", help_)


def _check(value: object, shape: object, key: Key, findings: Findings) -> None:
    inner = without_none(shape)
    if is_table(inner) and isinstance(value, dict):
        _check_table(value, inner, key, findings)
    elif get_origin(inner) is dict and isinstance(value, dict):
        for name, one in value.items():
            _check(one, get_args(inner)[1], (*key, name), findings)
    elif get_origin(inner) is tuple and isinstance(value, list):
        for number, one in enumerate(value):
            _check(one, get_args(inner)[0], (*key, number), findings)
    else:
        try:
            msgspec.convert(value, shape)
        except msgspec.ValidationError:
            # Its text may quote the value.
            headline = f"`{dotted(key)}` does not fit"
            findings.add("P5004", key, headline, f"write {words(inner)}")
