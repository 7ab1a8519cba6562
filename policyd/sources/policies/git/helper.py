"""The request to the process that fetches from a repository, and the objects that it writes.

The objects of a commit are files in a folder, each under its name. They are not trusted: `Exported`
checks each object against its name.
"""

from __future__ import annotations

from pathlib import Path
from typing import Final

from policyd.regular_file import TooLong, read_regular
from policyd.sources.policies import helper
from policyd.sources.policies.git.objects import ObjectMalformed, unpacked
from policyd.sources.policies.model import PoliciesUnreadable

#: The module that the process runs.
FETCHING: Final = "policyd.sources.policies.git.fetching"


class Request(helper.Request, frozen=True, kw_only=True):
    """What to look for.

    `ref` is a branch, a tag, a full name of a ref, or a commit. If it names `known`, nothing is
    fetched. With an `ancestor`, the commits on a path to it are fetched too, if there is a path.
    The objects go to `folder`. The answer has the object that the ref names, a commit or a tag.
    """

    url: str
    ref: str
    path: str
    known: str = ""
    ancestor: str = ""
    username: str = ""
    password: str = ""
    ssh_key_file: str = ""
    known_hosts_file: str = ""
    ca_file: str = ""


class Exported:
    """The objects that the process wrote to a folder, each checked against its name."""

    def __init__(self, folder: Path) -> None:
        self._folder = folder

    def read(self, id_: str, longest: int) -> tuple[str, bytes]:
        """Return kind and content of an object. Raises `ObjectMalformed`, `PoliciesUnreadable`."""
        try:
            # An object's header is shorter than 32 bytes.
            data = read_regular(self._folder / id_, longest + 32)
        except TooLong:
            raise _too_long(id_, longest) from None
        except OSError as error:
            raise ObjectMalformed(f"the object {id_} was not fetched: {error.strerror}") from None
        kind, content = unpacked(id_, data)
        if len(content) > longest:
            raise _too_long(id_, longest)
        return kind, content

    def has(self, id_: str) -> bool:
        """Tell whether an object is there."""
        return (self._folder / id_).exists()


def _too_long(id_: str, longest: int) -> PoliciesUnreadable:
    return PoliciesUnreadable(f"the object {id_} holds more than {longest:,} bytes")
