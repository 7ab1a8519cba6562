"""Who may use a Unix socket, and whether this machine knows them."""

from __future__ import annotations

import grp
import pwd
from collections.abc import Iterator

import msgspec

_SOCKET_MODE = 0o660


class SocketAccess(msgspec.Struct, frozen=True):
    """Who may use a Unix socket: its permissions, and its owner and group by name or number.

    Without an owner or group they are those of the process.
    """

    mode: int = _SOCKET_MODE
    owner: str | None = None
    group: str | None = None

    def problems(self) -> Iterator[tuple[str, str]]:
        """Yield what this machine does not know: `owner` or `group`, and why not."""
        for name, text, find in (("owner", self.owner, user_id), ("group", self.group, group_id)):
            try:
                find(text)
            except KeyError:
                yield name, f"there is no {'user' if name == 'owner' else 'group'} `{text}`"


def user_id(name: str | None) -> int:
    if name is None:
        return -1
    return int(name) if name.isdecimal() else pwd.getpwnam(name).pw_uid


def group_id(name: str | None) -> int:
    if name is None:
        return -1
    return int(name) if name.isdecimal() else grp.getgrnam(name).gr_gid
