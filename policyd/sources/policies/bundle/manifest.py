"""The description of a bundle: the contents of `manifest.json`.

Input: JSON. Output: a `Manifest`. An unknown field refuses the bundle, since a later format may
give it a meaning.
"""

from __future__ import annotations

import re
import unicodedata
from collections.abc import Iterable
from datetime import UTC, datetime
from typing import Annotated, Final

import msgspec
from msgspec import Meta

from policyd import LANGUAGE_VERSION
from policyd.errors import PolicydError
from policyd.sources.policies.names import is_policy
from policyd.sources.policies.walk import DEPTH, escaped

FORMAT: Final = 1
#: The name of the manifest in the archive.
MANIFEST: Final = "manifest.json"
#: The namespace of signatures (OpenSSH's PROTOCOL.sshsig).
NAMESPACE: Final = "policyd-bundle"
#: The suffix of a signature's file, after the name of the bundle's file.
SIGNATURE: Final = ".sig"
#: The longest name of a file, in bytes: a header of tar has 256 (POSIX.1, ustar).
_LONGEST_NAME: Final = 240
_DIGEST: Final = r"^[0-9a-f]{64}$"
#: The form of a bundle's name.
NAME: Final = r"^[A-Za-z0-9][A-Za-z0-9._-]{0,99}$"


class BundleMalformed(PolicydError):
    """A bundle is malformed or may not serve; the text says why."""


class Manifest(msgspec.Struct, frozen=True, forbid_unknown_fields=True, omit_defaults=True):
    """A bundle: the `name` of its target, its `sequence` number, and its contents.

    `language` is the version of the policy language. `files` has the SHA-256 of each file, in hex,
    by its path. The `commit` is empty if the files are not from one. Times have a zone.
    """

    format: int
    name: Annotated[str, Meta(pattern=NAME)]
    sequence: Annotated[int, Meta(ge=1, le=2**53 - 1)]
    created: Annotated[datetime, Meta(tz=True)]
    language: str
    files: dict[str, Annotated[str, Meta(pattern=_DIGEST)]]
    commit: Annotated[str, Meta(pattern=r"^([0-9a-f]{40}|[0-9a-f]{64})?$")] = ""
    expires: Annotated[datetime, Meta(tz=True)] | None = None

    @property
    def label(self) -> str:
        """Name and sequence, such as `orders@42`."""
        return f"{self.name}@{self.sequence}"

    def encoded(self) -> bytes:
        """Return its JSON: files sorted by name, times in UTC."""
        sorted_files = dict(sorted(self.files.items()))
        expires = None if self.expires is None else self.expires.astimezone(UTC)
        exact = msgspec.structs.replace(
            self, files=sorted_files, created=self.created.astimezone(UTC), expires=expires
        )
        return msgspec.json.format(msgspec.json.encode(exact), indent=2) + b"\n"


class _Format(msgspec.Struct, frozen=True):
    format: int


def read_manifest(data: bytes) -> Manifest:
    """Read a manifest. Raises `BundleMalformed`."""
    try:
        format_ = msgspec.json.decode(data, type=_Format).format
        if format_ != FORMAT:
            raise BundleMalformed(
                f"`{MANIFEST}` is of format {format_}, and format {FORMAT} is read here; another "
                "version of policyd made it"
            )
        found = msgspec.json.decode(data, type=Manifest)
    except (msgspec.DecodeError, UnicodeDecodeError) as error:
        raise BundleMalformed(f"`{MANIFEST}`: {error}") from None
    check_names(found.files)
    return found


def check_language(manifest: Manifest) -> None:
    """Check that this version reads the language of a bundle. Raises `BundleMalformed`."""
    if manifest.language != LANGUAGE_VERSION:
        raise BundleMalformed(
            f"its policies are in version {escaped(manifest.language)} of the language, and "
            f"version {LANGUAGE_VERSION} is read here; another version of policyd made it"
        )


def check_names(names: Iterable[str]) -> None:
    """Check that names are relative paths of policy files, and that no two of them collide.

    Raises `BundleMalformed`, with the first that is not.
    """
    spelled: dict[str, str] = {}
    files: dict[str, str] = {}
    for name in sorted(names):
        why = _objection(name)
        if why is not None:
            raise BundleMalformed(f"`{escaped(name)[:300]}` {why}")
        steps = name.split("/")
        for end in range(1, len(steps) + 1):
            path = "/".join(steps[:end])
            folded = unicodedata.normalize("NFC", path).casefold()
            other = spelled.setdefault(folded, path)
            if other != path:
                raise BundleMalformed(f"`{other}` and `{path}` differ by case or spelling alone")
            if folded in files:
                raise BundleMalformed(f"`{path}` is a file, and a folder of `{name}`")
        files[unicodedata.normalize("NFC", name).casefold()] = name


def _objection(name: str) -> str | None:
    """Return why a name may not stand in a bundle, `None` if it may."""
    steps = name.split("/")
    checks = (
        (name.startswith("/"), "is an absolute path"),
        (".." in steps, "leads out of its folder"),
        ("" in steps or "." in steps, "has an empty step"),
        ("\\" in name or re.match(r"[A-Za-z]:", name), "is spelled as a path of Windows"),
        (any(step.startswith(".") for step in steps), "is hidden"),
        (not _is_text(name) or escaped(name) != name, "holds a hidden character"),
        (not is_policy(name), "is no policy file: its name does not end in `.policy`"),
        (len(name.encode("utf-8", "replace")) > _LONGEST_NAME, "has too long a name"),
        (len(steps) > DEPTH, f"has more than {DEPTH} levels of folders"),
    )
    return next((why for fails, why in checks if fails), None)


def _is_text(name: str) -> bool:
    try:
        name.encode()
    except UnicodeEncodeError:  # half a surrogate
        return False
    return True
