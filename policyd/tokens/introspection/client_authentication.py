"""How policyd shows an authorization server who it is: as a client that was registered there.

Input: the settings of introspection. Output: for each request, what to add to its headers and
its form. Secrets are read anew each time, so that a changed file counts at once; they are kept
nowhere, and stand in no message.
"""

from __future__ import annotations

import os
import secrets
from base64 import b64encode
from collections.abc import Callable, Mapping
from pathlib import Path
from typing import Final
from urllib.parse import quote_plus

import msgspec

from policyd.errors import PolicydError
from policyd.regular_file import read_regular
from policyd.tokens.details import escaped
from policyd.tokens.minting import InvalidPrivateKey, read_private_key, sign
from policyd.tokens.settings.endpoints import IntrospectionSettings

ASSERTION_LIFE: Final = 60
_ASSERTION_TYPE: Final = "urn:ietf:params:oauth:client-assertion-type:jwt-bearer"
_LONGEST_SECRET: Final = 16 * 1024


class CredentialsUnusable(PolicydError):
    """What policyd shows who it is with cannot be read. `setting` is its name."""

    def __init__(self, setting: str, problem: str) -> None:
        super().__init__(f"`{setting}` {problem}")
        self.setting = setting


class Credentials(msgspec.Struct, frozen=True):
    """What goes into one request."""

    headers: Mapping[str, str] = {}
    form: Mapping[str, str] = {}

    def __repr__(self) -> str:
        return "Credentials(…)"


def credentials(
    settings: IntrospectionSettings, issuer: str, clock: Callable[[], float]
) -> Credentials:
    """Return what shows the issuer's server that policyd asks. Raises `CredentialsUnusable`."""
    if settings.private_key_file is None:
        return _basic(settings.client_id, _secret(settings))
    audience = settings.assertion_audience or issuer
    return _assertion(settings.client_id, settings.private_key_file, audience, int(clock()))


def _basic(client_id: str, secret: str) -> Credentials:
    """HTTP Basic, both parts form-encoded first (RFC 6749, section 2.3.1 and appendix B)."""
    pair = f"{quote_plus(client_id)}:{quote_plus(secret)}"
    return Credentials(headers={"Authorization": f"Basic {b64encode(pair.encode()).decode()}"})


def _assertion(client_id: str, key_file: str, audience: str, now: int) -> Credentials:
    """A JWT that the client signed for this request alone (RFC 7523, sections 2.2 and 3)."""
    try:
        key = read_private_key(_read("private_key_file", key_file))
        assertion = sign(
            key,
            {
                "iss": client_id,
                "sub": client_id,
                "aud": audience,
                "jti": secrets.token_urlsafe(16),
                "iat": now,
                "exp": now + ASSERTION_LIFE,
            },
        )
    except InvalidPrivateKey as problem:
        raise CredentialsUnusable(
            "private_key_file", f"is no private JWK to sign with: {problem}"
        ) from None
    return Credentials(
        form={
            "client_id": client_id,
            "client_assertion_type": _ASSERTION_TYPE,
            "client_assertion": assertion,
        }
    )


def _secret(settings: IntrospectionSettings) -> str:
    variable = settings.client_secret_env
    if variable is not None:
        secret = os.environ.get(variable, "")
        if not secret:
            raise CredentialsUnusable(
                "client_secret_env", f"names {escaped(variable)}, which is not set"
            )
        return secret
    file = settings.client_secret_file or ""
    try:
        # An editor or `echo` ends the file with a line break, which is no part of the secret.
        secret = _read("client_secret_file", file).decode("utf-8").rstrip("\r\n")
    except UnicodeDecodeError:
        raise CredentialsUnusable("client_secret_file", "is not UTF-8") from None
    if not secret:
        raise CredentialsUnusable("client_secret_file", f"is empty: {escaped(file)}")
    return secret


def _read(setting: str, file: str) -> bytes:
    try:
        return read_regular(Path(file), _LONGEST_SECRET)
    except OSError as problem:
        raise CredentialsUnusable(
            setting, f"cannot be read: {escaped(file)}: {problem.strerror}"
        ) from None
