"""What environment variables put over the file: `POLICYD_<SECTION>__<KEY>`, in either case.

Input: the file's values. Output: those that count. Lists and tables are JSON: a table is put over
the file's key by key, a list takes the place of the file's. All else is written as in the file, a
text without quotes.

Invariant: a variable that looks like a setting is one, or a finding. One without `__` looks like a
setting where it names a section, or a key with `_` in place of `__`: others, such as
`POLICYD_TOKEN` or Kubernetes' `POLICYD_SERVICE_HOST`, have uses of their own.
"""

from __future__ import annotations

from collections.abc import Iterator, Mapping, Sequence
from typing import get_args, get_origin

import msgspec

from policyd.config.findings import NESTED, PREFIX, Findings, Toml, did_you_mean
from policyd.config.shapes import is_table, keys, without_none, words
from policyd.config.tables import File

_WHOLE = "set a list as a whole, as JSON"


def overridden(values: Toml, environment: Mapping[str, str], findings: Findings) -> Toml:
    """Return `values` with the environment's over them."""
    findings.environment = environment
    settings = [name for name in environment if _is_setting(name.lower())]
    _find_single_underscores(environment, findings)
    # A table comes before its keys, which say more exactly what is meant.
    for name in sorted(settings, key=lambda name: (name.count(NESTED), name)):
        steps = name.lower().removeprefix(PREFIX).split(NESTED)
        shape = _shape(name, steps, findings)
        if shape is None:
            continue
        try:
            value = _value(environment[name], shape)
        except ValueError:
            form = ", as JSON" if _is_json(shape) else ""
            findings.add(
                "P5004",
                (),
                f"the environment variable `{name}` does not fit",
                f"write {words(without_none(shape))}{form}",
            )
            continue
        for step in reversed(steps):
            value = {step: value}
        assert isinstance(value, dict), "there is one step at least"
        values = _over(values, value)
    return values


def _is_setting(name: str) -> bool:
    section = name.removeprefix(PREFIX)
    return section != name and (NESTED in section or section in keys(File))


def _find_single_underscores(environment: Mapping[str, str], findings: Findings) -> None:
    """Find variables that would be settings if `_` were `__`: nothing else would tell of them."""
    meant = {PREFIX + "_".join(steps): NESTED.join(steps) for steps in _paths(File)}
    for name in sorted(environment):
        setting = meant.get(name.lower())
        if setting is not None and not _is_setting(name.lower()):
            findings.add(
                "P5002",
                (),
                f"the environment variable `{name}` names no key of the configuration",
                f"did you mean `{(PREFIX + setting).upper()}`, with two underscores?",
            )


def _paths(table: object) -> Iterator[tuple[str, ...]]:
    """Yield the path of each key of a table, and of the tables in it."""
    for name, field in keys(table).items():
        yield (name,)
        inner = without_none(field.type)
        if is_table(inner):
            yield from ((name, *steps) for steps in _paths(inner))


def _shape(name: str, steps: Sequence[str], findings: Findings) -> object | None:
    """Return the type of what a variable sets, or add a finding."""
    shape: object = File
    for step in steps:
        inner = without_none(shape)
        known = keys(inner) if is_table(inner) else {}
        if step in known:
            shape = known[step].type
        elif get_origin(inner) is dict:
            shape = get_args(inner)[1]
        else:
            help_ = f"known here: {', '.join(sorted(known))}" if known else _WHOLE
            findings.add(
                "P5002",
                (),
                f"the environment variable `{name}` names no key of the configuration",
                did_you_mean(step, known) or help_,
            )
            return None
    return shape


def _is_json(shape: object) -> bool:
    inner = without_none(shape)
    return is_table(inner) or get_origin(inner) in (tuple, dict)


def _value(text: str, shape: object) -> object:
    """Read a variable; `ValueError` where it is not JSON, or not what the key takes."""
    value: object
    if _is_json(shape):
        value = msgspec.json.decode(text)
    else:
        value = msgspec.convert(text, shape, strict=False)
    return value


def _over(below: Toml, above: Toml) -> Toml:
    merged = dict(below)
    for name, value in above.items():
        old = merged.get(name)
        if isinstance(old, dict) and isinstance(value, dict):
            merged[name] = _over(old, value)
        else:
            merged[name] = value
    return merged
