"""The dialects that policyd knows by itself: a short table each.

`[dialects.NAME]` of the configuration has the same columns; `dialect.Dialect` says what they
mean. The last column of `cognito` alone is not for others: a token for nobody in particular is
accepted only where its issuer is known to have no better.
"""

from __future__ import annotations

from collections.abc import Mapping
from typing import Final

from policyd.tokens.settings.dialect import Dialect, read_conditions

_RFC9068_CLAIMS: Final = frozenset(("iss", "exp", "aud", "sub", "client_id", "iat", "jti"))
#: Auth0 names users connection|id, and machines client@clients.
_AUTH0_USER: Final = "|"
_AUTH0_APPLICATION: Final = "@clients"

DIALECTS: Final[Mapping[str, Dialect]] = {
    "auth0": Dialect(
        marks=read_conditions("marks", [{"scope": True}, {"permissions": True}, {"gty": True}]),
        client_outside_audience=True,
        client=("azp",),
        permissions="permissions",
        required=frozenset(("sub",)),
        user_separator=_AUTH0_USER,
        application_suffix=_AUTH0_APPLICATION,
    ),
    "auth0-rfc9068": Dialect(
        at_jwt=True,
        client=("client_id",),
        permissions="permissions",
        required=_RFC9068_CLAIMS,
        user_separator=_AUTH0_USER,
        application_suffix=_AUTH0_APPLICATION,
    ),
    "okta": Dialect(
        marks=read_conditions("marks", [{"cid": True}]),
        client=("cid",),
        subject=(("uid",), ("sub",)),
        scope="scp",
        scope_form="list",
        required=frozenset(("sub",)),
        user=read_conditions("user", [{"uid": True}]),
    ),
    "entra": Dialect(
        marks=read_conditions(
            "marks", [{"azp": True, "azpacr": True}, {"appid": True, "appidacr": True}]
        ),
        decisive=True,
        client=("azp", "appid"),
        subject=(("tid", "oid"),),
        scope="scp",
        token_id="uti",
        required=frozenset(("sub", "tid", "oid")),
        user=read_conditions("user", [{"idtyp": "user"}, {"scp": True}]),
        application=read_conditions(
            "application", [{"idtyp": "app"}, {"scp": False, "oid": {"same_as": "sub"}}]
        ),
    ),
    "keycloak": Dialect(
        marks=read_conditions("marks", [{"typ": ["Bearer", "DPoP"]}]),
        decisive=True,
        client=("azp",),
        application=read_conditions(
            "application", [{"client_id": {"same_as": "azp"}}, {"clientId": {"same_as": "azp"}}]
        ),
    ),
    "cognito": Dialect(
        marks=read_conditions("marks", [{"token_use": "access"}]),
        decisive=True,
        client=("client_id",),
        required=frozenset(("sub", "client_id")),
        user=read_conditions("user", [{"username": True}]),
        auth_time_tells=False,
        audience_by_client=True,
    ),
    "rfc9068": Dialect(at_jwt=True, client=("client_id",), required=_RFC9068_CLAIMS),
    "oidc": Dialect(
        marks=read_conditions("marks", [{"scope": True}, {"scp": True}, {"client_id": True}])
    ),
    # The tokens of service accounts, which a cluster's API server issues.
    "kubernetes": Dialect(
        marks=read_conditions("marks", [{"kubernetes.io": True}]),
        decisive=True,
        required=frozenset(("sub", "iat")),
        application=read_conditions("application", [{"kubernetes.io": True}]),
    ),
}
