"""OAuth 2.0 protected resource metadata: what an API tells those who want a token for it.

Input: the API's policy, the issuers that may speak for it, and what the configuration adds. Output:
the document, and the URL where its clients look for it. Nothing here is secret, and policyd
believes nothing of it: a client that reads it still needs a token that passes every check.

Source: RFC 9728, sections 2 and 3.
"""

from __future__ import annotations

from collections.abc import Iterable, Mapping
from urllib.parse import urlsplit

from policyd.config.apis import ApiSettings, is_resource
from policyd.language.policy import Api
from policyd.tokens.settings.issuers import IssuerSettings

WELL_KNOWN = "/.well-known/oauth-protected-resource"


class Metadata:
    """The documents of all APIs. `apis` is by name; APIs that it lacks have the defaults.

    `in_challenges` is whether challenges name where the documents are; `dpop_algorithms` are those
    that DPoP proofs may be signed with.
    """

    def __init__(
        self,
        apis: Mapping[str, ApiSettings],
        *,
        in_challenges: bool = False,
        dpop_algorithms: tuple[str, ...] = (),
    ) -> None:
        self._apis = apis
        self._dpop_algorithms = dpop_algorithms
        self._in_challenges = in_challenges

    def resource(self, api: Api) -> str | None:
        """Return an API's resource identifier; `None` where it has none, and so no metadata.

        It is what the configuration says, else the API's only audience that is an https URL: of
        two, none is better than the other.
        """
        configured = self._of(api).resource
        if configured is not None:
            return configured
        urls = [audience for audience in api.audiences if is_resource(audience)]
        return urls[0] if len(urls) == 1 else None

    def url(self, api: Api) -> str | None:
        """Return where clients look for an API's metadata, if it has any."""
        resource = self.resource(api)
        return None if resource is None else metadata_url(resource)

    def base_scopes(self, api: Api) -> tuple[str, ...]:
        """Return the scopes that clients of an API begin with."""
        return self._of(api).base_scopes

    def challenged(self, api: Api) -> str | None:
        """Return the URL to name in challenges of an API, if any."""
        return self.url(api) if self._in_challenges else None

    def find(self, apis: Iterable[Api], path: str, host: str) -> Api | None:
        """Return the API whose metadata has this path.

        `host` is as in an HTTP request. It decides only between APIs whose metadata differ in
        nothing else, so that a proxy may write its own there.
        """
        found = [
            (parts.netloc, api)
            for api in apis
            if (url := self.url(api)) is not None and (parts := urlsplit(url)).path == path
        ]
        if len(found) != 1:
            asked = _authority(host)
            found = [(name, api) for name, api in found if _authority(name) == asked]
        return found[0][1] if found else None

    def document(self, api: Api, issuers: Iterable[IssuerSettings]) -> dict[str, object]:
        """Return an API's metadata (RFC 9728, section 2); it must have a resource identifier.

        `issuers` are all that are configured.
        """
        settings = self._of(api)
        speaking = [each for each in issuers if each.apis is None or api.name in each.apis]
        bindings = {each.require_binding for each in speaking}
        members: dict[str, object] = {
            "resource": self.resource(api),
            "authorization_servers": [each.issuer for each in speaking],
            "scopes_supported": list(settings.base_scopes or api.scopes),
            "bearer_methods_supported": ["header"],
            "resource_name": settings.name or api.name,
            "resource_documentation": settings.documentation,
            "tls_client_certificate_bound_access_tokens": not bindings.isdisjoint(("mtls", "any")),
            "dpop_signing_alg_values_supported": (
                () if bindings.isdisjoint(("dpop", "any")) else self._dpop_algorithms
            ),
            "dpop_bound_access_tokens_required": bindings == {"dpop"},
        }
        # What is empty is left out, and false is the default (section 2).
        return {name: value for name, value in members.items() if value}

    def _of(self, api: Api) -> ApiSettings:
        return self._apis.get(api.name, ApiSettings())


def metadata_url(resource: str) -> str:
    """Return the URL of a resource's metadata (RFC 9728, section 3.1).

    The well-known part stands between host and path; a path that is but a slash is none.
    """
    parts = urlsplit(resource)
    path = "" if parts.path == "/" else parts.path
    return f"{parts.scheme}://{parts.netloc}{WELL_KNOWN}{path}"


def _authority(host: str) -> str:
    return host.lower().removesuffix(":443")
