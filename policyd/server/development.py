"""A development issuer, for `policyd serve --dev`: a key that lives as long as the daemon.

Out go the issuer's settings and two files in a directory of their own, which nobody else may enter:
the public key set, which the daemon reads like any other, and the private key for
`policyd token mint`. The key is new at each start, and both files go when the daemon stops.
"""

from __future__ import annotations

import shutil
import tempfile
from collections.abc import Iterator, Sequence
from contextlib import contextmanager
from pathlib import Path

import msgspec

from policyd.config.addresses import TcpAddress
from policyd.config.listeners import AUTHORIZATION, EXPLANATION, PAGES, Listener
from policyd.tokens.minting import generate_key, key_set_text, write_private_key
from policyd.tokens.settings.issuers import IssuerSettings

#: Nobody can own a name below `.invalid` (RFC 2606), so no other issuer has this one.
ISSUER = "https://development.policyd.invalid/"
DIALECT = "auth0"


class DevelopmentIssuer(msgspec.Struct, frozen=True):
    """The settings to trust the issuer, and the file of the private key to be it."""

    settings: IssuerSettings
    key_file: Path


def development_listeners(configured: Sequence[Listener]) -> tuple[Listener, ...]:
    """Return the listeners, all of which explain decisions too, and one for pages."""
    listeners = [
        one.offering(EXPLANATION) if AUTHORIZATION in one.services else one for one in configured
    ]
    if not any(PAGES in one.services for one in listeners):
        pages = TcpAddress("127.0.0.1", 0)
        listeners.append(Listener(pages, frozenset({PAGES}), ("http", "listen")))
    return tuple(listeners)


@contextmanager
def development_issuer() -> Iterator[DevelopmentIssuer]:
    """Make a development issuer; it ends with the context.

    Raises:
        OSError: the files cannot be written.
    """
    folder = Path(tempfile.mkdtemp(prefix="policyd-dev-"))  # for the owner alone
    try:
        key = generate_key()
        key_file, key_set = folder / "key.json", folder / "jwks.json"
        write_private_key(key, key_file)
        key_set.write_bytes(key_set_text(key))
        settings = IssuerSettings(issuer=ISSUER, dialect=DIALECT, jwks_file=str(key_set))
        yield DevelopmentIssuer(settings, key_file)
    finally:
        shutil.rmtree(folder)
