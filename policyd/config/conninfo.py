"""How libpq is told where PostgreSQL is, judged: what is missing, what should not stand there, and
whether others could change what the server says."""

from __future__ import annotations

from typing import Final

import psycopg
from psycopg.conninfo import conninfo_to_dict

from policyd.config.addresses import TcpAddress

_PROTECTED: Final = ("verify-ca", "verify-full")


class ConninfoInvalid(Exception):
    """What is wrong with the way to a server, and what helps; never with a secret of it."""

    def __init__(self, problem: str, help_: str) -> None:
        super().__init__(problem)
        self.problem = problem
        self.help = help_


def server_of(conninfo: str, *, insecure: bool) -> str:
    """Return the name of the server that libpq would ask. Raises `ConninfoInvalid`."""
    try:
        found = conninfo_to_dict(conninfo)
    except psycopg.Error:
        raise ConninfoInvalid(
            "it is neither a URL of PostgreSQL nor keywords of libpq",
            "write `postgresql://USER@HOST/DATABASE`",
        ) from None
    if "password" in found:
        raise ConninfoInvalid("a password stands in it", "use `password_file`")
    host = str(found.get("host") or found.get("hostaddr") or "")
    if not host:
        raise ConninfoInvalid("it names no host", "for a Unix socket, its folder is the host")
    near = all(one.startswith("/") or TcpAddress(one, 0).is_loopback for one in host.split(","))
    if not (near or insecure or found.get("sslmode") in _PROTECTED):
        raise ConninfoInvalid(
            f"the connection to `{host}` is not protected: others could change what it says",
            "add `sslmode=verify-full`, or set `insecure = true` where the network itself is "
            "trusted",
        )
    return f"PostgreSQL at {host}"
