"""Names of issuers that no token can have: placeholders of documentation, and all of a cloud's.

Input: the configured name. Output: what is wrong with it, or `None`. An issuer is compared with
`iss` in every character, so such a name would refuse every token, in silence until one comes. Only
what is certain is said: an unusual name may be somebody's.
"""

from __future__ import annotations

import re
from typing import Final

#: What cannot stand in a URI (RFC 3986, section 2), and `*`: the marks of a placeholder.
_MARKS: Final = "{}<>*"
#: Words that documentation puts in place of a name, in the spelling in which nobody has one.
_WORDS: Final = re.compile(r"(?:YOUR|MY)[_-][A-Z_-]*[A-Z]|your[A-Z][A-Za-z]+")
#: Where Entra ID's tokens come from, in all of Microsoft's clouds.
_ENTRA: Final = frozenset(
    (
        "login.microsoftonline.com",
        "login.microsoftonline.us",
        "login.partner.microsoftonline.cn",
        "login.chinacloudapi.cn",
        "sts.windows.net",
        "sts.microsoftonline.us",
        "sts.chinacloudapi.cn",
    )
)
_TENANT: Final = re.compile(r"[0-9a-f]{8}(?:-[0-9a-f]{4}){3}-[0-9a-f]{12}").fullmatch
#: Names that Entra ID's own endpoints have in place of a tenant.
_ALL_TENANTS: Final = ("common", "organizations")
_CONSUMERS: Final = "9188040d-6c67-4c5b-b112-36a304b66dad"
#: A URL whose scheme is missing.
_HOST_FIRST: Final = re.compile(r"[A-Za-z0-9-]+(?:\.[A-Za-z0-9-]+)+(?::[0-9]+)?(?:/.*)?").fullmatch
#: Dialects of issuers whose name always is a URL.
_URL_DIALECTS: Final = ("auth0", "auth0-rfc9068", "okta", "entra", "keycloak", "cognito")
#: Dialects whose issuers always write `iss` with a slash at the end, and those that never do.
_WITH_SLASH: Final = ("auth0", "auth0-rfc9068")
_WITHOUT_SLASH: Final = ("okta", "keycloak", "cognito")
#: Hosts of Entra ID's first version of tokens, whose `iss` ends with a slash; the second has none.
_ENTRA_FIRST: Final = ("sts.windows.net", "sts.microsoftonline.us", "sts.chinacloudapi.cn")


def problem_of(issuer: str, dialect: str) -> str | None:
    """Return what is wrong with the name of an issuer, as a sentence goes on after `issuer`."""
    entra = _problem_of_entra(issuer)
    if entra is not None:
        return entra
    mark = next((mark for mark in _MARKS if mark in issuer), None)
    if mark is not None:
        return (
            f"has `{mark}`, the mark of a placeholder: put the name in its place, as `iss` has it"
        )
    word = _WORDS.search(issuer)
    if word is not None:
        return f"has the placeholder {word[0]}: put the name in its place, as `iss` has it"
    if dialect in _URL_DIALECTS and _HOST_FIRST(issuer):
        return f"must begin with https://, as `iss` does in every token of the dialect {dialect}"
    return None


def with_usual_ending(issuer: str, dialect: str) -> str:
    """Return the name with or without a slash at the end, as issuers of the dialect write `iss`.

    A name of any other dialect, and one that is no https URL, is returned as it is.
    """
    if not issuer.startswith("https://"):
        return issuer
    bare = issuer.rstrip("/")
    if dialect == "entra":
        host = bare.removeprefix("https://").partition("/")[0]
        if host not in _ENTRA:
            return issuer
        return f"{bare}/" if host in _ENTRA_FIRST else bare
    if dialect in _WITH_SLASH:
        return f"{bare}/"
    return bare if dialect in _WITHOUT_SLASH else issuer


def tenants_of(issuer: str) -> tuple[str, ...]:
    """Return the tenants of Entra ID that the name of an issuer has in its path: one, or none."""
    return tuple(filter(_TENANT, issuer.split("/")))


def _problem_of_entra(issuer: str) -> str | None:
    """Return what is wrong with the name of one of Entra ID's issuers: each is of one tenant."""
    bare = issuer.removeprefix("https://")
    host, _, path = bare.partition("/")
    if host.lower() not in _ENTRA:
        return None
    tenant = path.partition("/")[0]
    if tenant == "consumers":
        return f"names all consumers, where `iss` has their tenant: write {_CONSUMERS}"
    if tenant in _ALL_TENANTS or any(mark in tenant for mark in _MARKS):
        return (
            "stands for many tenants, and `iss` names one: list each tenant, by its id, in an "
            "`[[issuers]]` table of its own"
        )
    if _TENANT(tenant) is None:
        return (
            "must name a tenant by its id, as `iss` does: a GUID in lower case, such as "
            "aaaabbbb-0000-cccc-1111-dddd2222eeee"
        )
    if bare == issuer:
        return "must begin with https://, as `iss` does in every token of Entra ID"
    if host != host.lower():
        return "must have its host in lower case, as `iss` does in every token of Entra ID"
    return None
