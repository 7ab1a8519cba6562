"""Each claim that an API declares, beside what a token has of it: for `policyd token inspect`.

A claim that is not where the policy looks for it denies every token, without a word. So each is
named with the place where it was looked for, and with what is there.
"""

from __future__ import annotations

from collections.abc import Iterator, Mapping
from typing import Literal

import msgspec

from policyd.diagnostics import closest
from policyd.diagnostics.terminal import printable
from policyd.json_types import Json
from policyd.language.policy import Api, ClaimDeclaration
from policyd.program.values import IllTyped, reader_of

State = Literal["found", "missing", "ill-typed"]
_SHOWN = 60


class DeclaredClaim(msgspec.Struct, frozen=True):
    """A declared claim. `place` is where it was looked for, as `from` would say it.

    `value` is what is there. `hint` says what to write if the token has it somewhere else.
    """

    name: str
    type: str
    state: State
    place: str
    value: Json = None
    hint: str = ""


def declared_claims(api: Api, claims: Mapping[str, Json]) -> tuple[DeclaredClaim, ...]:
    """Return the API's claims, sorted by name, as they stand in a payload."""
    return tuple(_looked_for(claim, claims) for _, claim in sorted(api.claims.items()))


def _looked_for(claim: ClaimDeclaration, claims: Mapping[str, Json]) -> DeclaredClaim:
    fact = claim.fact
    written = f"{fact.type_name}{'?' if claim.optional else ''}"
    place = _place(claim.path)
    value = _at(claims, claim.path)
    if value is None:
        return DeclaredClaim(fact.path, written, "missing", place, hint=_hint(claim, claims))
    if isinstance(reader_of(fact)(value), IllTyped):
        return DeclaredClaim(fact.path, written, "ill-typed", place, value)
    return DeclaredClaim(fact.path, written, "found", place, value)


def _at(claims: Mapping[str, Json], path: tuple[str, ...]) -> Json:
    """Return what is at a path of members, `None` where nothing is."""
    value: Json = dict(claims)
    for step in path:
        if not isinstance(value, dict) or step not in value:
            return None
        value = value[step]
    return value


def _place(path: tuple[str, ...]) -> str:
    if len(path) == 1 and not path[0].startswith("/"):
        return path[0]
    return "".join(f"/{step.replace('~', '~0').replace('/', '~1')}" for step in path)


def _hint(claim: ClaimDeclaration, claims: Mapping[str, Json]) -> str:
    """Return where the token has the claim, as far as that can be told."""
    path = claim.path
    if len(path) == 1 and "." in path[0]:
        steps = tuple(path[0].split("."))
        if _at(claims, steps) is not None:
            return f'it is at `from "{_place(steps)}"`: a dot leads nowhere, a `/` leads below'
    known = set(claims)
    ends = [name for name in known if name.rstrip("/").endswith(f"/{claim.fact.name}")]
    near = min(ends, default=None) or closest(path[0], known)
    if near is not None and near != path[0]:
        return f"the token has `{near}`"
    return ""


def declared_lines(found: tuple[DeclaredClaim, ...]) -> Iterator[str]:
    """Yield a line for each claim, and one for its hint."""
    if not found:
        return
    yield "declared by the API"
    widest = max(len(one.name) for one in found)
    for one in found:
        said = f"{one.state:<9} {one.name:<{widest}} {one.type}, looked for at {one.place}"
        if one.state != "missing":
            value = msgspec.json.encode(one.value).decode()
            shown = value if len(value) <= _SHOWN else f"{value[: _SHOWN - 1]}…"
            said += f": {shown}"
        yield printable(f"  {said}")
        if one.hint:
            yield printable(f"            {one.hint}")
