"""Why there is no decision. A refusal is a decision; these are not."""

from __future__ import annotations

from policyd.errors import PolicydError
from policyd.tokens.model import VerifiedToken

_SHOWN = 100


class NotReady(PolicydError):
    """No policy set has been loaded yet."""

    def __init__(self) -> None:
        super().__init__("no policy is loaded yet")


class InvalidRequest(PolicydError):
    """The caller's mistake: the request does not fit the policy.

    `field` is a path into the request message (`resource.properties.sealed`), `code` one of
    UNKNOWN_API, UNKNOWN_ACTION, UNKNOWN_RESOURCE_TYPE, RESOURCE_ID_INVALID, ATTRIBUTE_MISSING,
    ATTRIBUTE_INVALID, CONTEXT_MISSING, CONTEXT_INVALID, SUBJECT_MISMATCH, UNKNOWN_FACT,
    FILTER_TOO_LARGE.
    `suggestion` is a similar name; only callers with a valid token get it. `token` is that token,
    for the log.
    """

    def __init__(
        self,
        field: str,
        description: str,
        code: str,
        suggestion: str | None = None,
        token: VerifiedToken | None = None,
    ) -> None:
        super().__init__(f"{field}: {description}")
        self.field = field
        self.description = description
        self.code = code
        self.suggestion = suggestion
        self.token = token


def quoted(name: str) -> str:
    """Return a name from a request for use in a message: escaped, and shortened."""
    text = name if len(name) <= _SHOWN else name[:_SHOWN] + "…"
    escaped = text if text.isprintable() else ascii(text)[1:-1]
    return f"`{escaped}`"
