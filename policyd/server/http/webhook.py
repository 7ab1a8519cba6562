"""`POST /webhook/git`: a forge says that a repository changed, and the next look comes at once.

Input: a request of GitHub, Gitea, Forgejo or GitLab. Output: the source of policies is woken, or
nothing. What a request says is never believed: the source asks the repository, as at any look, and
a flood of requests makes one look a second.

Invariants: a request counts by its signature over the body (HMAC-SHA-256), or by GitLab's token;
both are compared in constant time, with all secrets of the file. No answer tells which one it was.

Sources: GitHub, "Validating webhook deliveries"; Gitea, "Webhooks"; GitLab, "Webhook events".
"""

from __future__ import annotations

import hashlib
import hmac
from collections.abc import Callable
from http import HTTPStatus
from typing import Final

from policyd.pdp.calls import CallFailed
from policyd.server.transport.web import RepeatedField, WebAnswer, WebRequest, WebResponse, plain

PATH: Final = "/webhook/git"
#: Header fields with a signature of the body in hexadecimal, and what stands before it.
_SIGNATURES: Final = (
    ("x-hub-signature-256", "sha256="),
    ("x-gitea-signature", ""),
    ("x-forgejo-signature", ""),
)
_TOKEN: Final = "x-gitlab-token"


class GitWebhook:
    """Calls `wake` for a request that shows one of the secrets."""

    credential = ""

    def __init__(self, secrets: tuple[bytes, ...], wake: Callable[[], None]) -> None:
        self._secrets = secrets
        self._wake = wake

    def has(self, path: str) -> bool:
        """Tell whether a path is the webhook's."""
        return path == PATH

    def answer(self, request: WebRequest) -> WebAnswer:
        """Answer a request."""
        if request.method != "POST":
            return plain(HTTPStatus.METHOD_NOT_ALLOWED, "", ("Allow", "POST"))
        try:
            allowed = self._is_signed(request) or self._has_token(request)
        except RepeatedField:
            allowed = False
        if not allowed:
            return plain(HTTPStatus.FORBIDDEN, "no valid signature or token")
        self._wake()
        return plain(HTTPStatus.ACCEPTED, "the repository is asked")

    def failed(self, _request: WebRequest, _failed: CallFailed) -> WebResponse:
        """Say that a request could not be answered."""
        return plain(HTTPStatus.INTERNAL_SERVER_ERROR)

    def _is_signed(self, request: WebRequest) -> bool:
        for field, prefix in _SIGNATURES:
            value = request.value(field)
            if value is not None:
                shown = value.removeprefix(prefix) if value.startswith(prefix) else ""
                return self._matches(
                    shown.encode("latin-1"),
                    lambda secret: (
                        hmac.new(secret, request.body, hashlib.sha256).hexdigest().encode()
                    ),
                )
        return False

    def _has_token(self, request: WebRequest) -> bool:
        value = request.value(_TOKEN)
        return value is not None and self._matches(value.encode("latin-1"), lambda secret: secret)

    def _matches(self, shown: bytes, expected: Callable[[bytes], bytes]) -> bool:
        # All of them, so that the time does not tell which one it was.
        found = [hmac.compare_digest(shown, expected(secret)) for secret in self._secrets]
        return any(found)
