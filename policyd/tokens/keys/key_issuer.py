"""The issuer that a key says it is for: the member `issuer` of Microsoft Entra ID's keys.

One document there has the keys of many tenants, and of consumers: each key names the issuer whose
tokens it may sign, or writes `{tenantid}` where it may sign those of any. Without a look at it, the
consumers' key would vouch for a company's tenant. RFC 7517 knows no such member, so a key without
it is for the issuer that published it, and one whose `issuer` is no URL means something else by it.
"""

from __future__ import annotations

import re
from collections.abc import Mapping
from typing import Final

from policyd.json_types import Json
from policyd.tokens.details import escaped

_TENANT: Final = "{tenantid}"
#: Tokens of version 1 name an issuer of their own; their keys, where they name one, name that of
#: version 2.
_VERSION_1: Final = re.compile(r"https://sts\.windows\.net/([^/]+)/").fullmatch
_VERSION_2: Final = "https://login.microsoftonline.com/{}/v2.0"


def check(key: Json, issuer: str | None) -> None:
    """Check that a key of `issuer` says nothing else of itself; `None` is any issuer.

    Raises `ValueError`.
    """
    stated = key.get("issuer") if isinstance(key, Mapping) else None
    if issuer is None or not isinstance(stated, str) or not stated.startswith("https://"):
        return
    version_1 = _VERSION_1(issuer)
    names = (issuer,) if version_1 is None else (issuer, _VERSION_2.format(version_1[1]))
    if not any(_is_meant(stated, name) for name in names):
        raise ValueError(f"is for the issuer {escaped(stated)} alone (`issuer`)")


def _is_meant(stated: str, issuer: str) -> bool:
    """Tell whether a key's `issuer`, with some tenant in it where it leaves that open, is this."""
    before, template, after = stated.partition(_TENANT)
    if not template:
        return stated == issuer
    tenant = issuer[len(before) : len(issuer) - len(after)]
    return f"{before}{tenant}{after}" == issuer and tenant != "" and "/" not in tenant
