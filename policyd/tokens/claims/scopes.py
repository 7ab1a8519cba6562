"""Scopes, as dialects write them: one text with spaces between, or a list of texts."""

from __future__ import annotations

import re
from collections.abc import Mapping
from functools import lru_cache
from typing import Final

from policyd.json_types import Json
from policyd.tokens.details import quote
from policyd.tokens.refusals import ClaimInvalid
from policyd.tokens.settings.dialect import Dialect

# RFC 6749, section 3.3: scope-tokens, each separated by one space.
_SCOPE: Final = re.compile(r"[!#-\[\]-~]+(?: [!#-\[\]-~]+)*").fullmatch
_SCOPE_TOKEN: Final = re.compile(r"[!#-\[\]-~]+").fullmatch
#: What policies call it, whatever the dialect calls the claim.
_FACT = "token.scopes"
_NONE: Final[frozenset[str]] = frozenset()


def read_scopes(dialect: Dialect, claims: Mapping[str, Json]) -> frozenset[str]:
    """Read the scopes that a token grants (RFC 6749, section 3.3; RFC 9068, section 2.2.3).

    A token without them grants nothing. Raises `ClaimInvalid`.
    """
    name = dialect.scope
    if name not in claims:
        return _NONE
    value = claims[name]
    if dialect.scope_form != "list" and isinstance(value, str):
        return _in_text(value, name)
    if dialect.scope_form != "text" and isinstance(value, list):
        texts: list[str] = []
        for text in value:
            if not isinstance(text, str):
                raise ClaimInvalid(f"`{name}` must hold texts, found {quote(value, name, _FACT)}")
            texts.append(text)
        return _in_list(tuple(texts), name)
    wanted = {
        "text": "text with spaces between",
        "list": "a list of texts",
        "either": "text with spaces between, or a list of texts",
    }
    found = quote(value, name, _FACT)
    raise ClaimInvalid(f"`{name}` must be {wanted[dialect.scope_form]}, found {found}")


@lru_cache(maxsize=256)
def _in_text(scope: str, name: str) -> frozenset[str]:
    """Return the same object for the same text: many tokens share few scopes."""
    if not scope:
        return _NONE
    if _SCOPE(scope) is None:
        found = quote(scope, name, _FACT)
        raise ClaimInvalid(f"`{name}` must be scope-tokens one space apart, found {found}")
    return frozenset(scope.split(" "))


@lru_cache(maxsize=256)
def _in_list(scopes: tuple[str, ...], name: str) -> frozenset[str]:
    for scope in scopes:
        if _SCOPE_TOKEN(scope) is None:
            found = quote(scope, name, _FACT)
            raise ClaimInvalid(f"`{name}` must hold scope-tokens, found {found}")
    return frozenset(scopes)
