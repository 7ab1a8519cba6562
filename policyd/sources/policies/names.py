"""Names of files that were probably meant to be policies.

A policy that is silently skipped is worse than one with an error, because its denies do not apply.
Such a name is still only a warning: as an error, one stray copy would block every change, the next
deny included.
"""

from __future__ import annotations

import unicodedata
from typing import Final

SUFFIX: Final = ".policy"
_MEANT: Final = SUFFIX[1:]
#: Prefixes of copies that programs make: Emacs' locks, macOS' resource forks.
_MADE_BY_PROGRAMS: Final = (".#", "._")


def is_policy(name: str) -> bool:
    """Tell whether a visible file of this name is a policy or a test."""
    return name.endswith(SUFFIX)


def meant(name: str) -> str | None:
    """Return the policy name that a skipped file was probably meant to have, or `None`.

    Names that programs give to copies (`a.policy~`, `.a.policy.swp`, `.#a.policy`) are ignored.
    """
    if name.startswith("."):
        if not is_policy(name) or name.startswith(_MADE_BY_PROGRAMS):
            return None
        stem = name.lstrip(".").removesuffix(_MEANT).removesuffix(".")
        return f"{stem or 'NAME'}{SUFFIX}"
    text = unicodedata.normalize("NFKC", name).strip()
    stem, _, ending = text.rpartition(".")
    if ending.casefold() == "txt":
        stem, _, ending = stem.rpartition(".")
        slip = ending.casefold() == _MEANT
    else:
        slip = not is_policy(name) and _is_slip(ending.casefold())
    return f"{stem}{SUFFIX}" if slip and stem else None


def _is_slip(ending: str) -> bool:
    """Tell whether an ending is a misspelt `policy`: in another case, or one letter off."""
    if ending in (_MEANT, "policies"):
        return True
    if not ending.isalpha() and len(ending) != len(_MEANT):
        return False  # a copy's number or sign: `a.policy~`, `a.policy1`
    longer, shorter = sorted((ending, _MEANT), key=len, reverse=True)
    if len(longer) == len(shorter) + 1:
        return any(longer[:i] + longer[i + 1 :] == shorter for i in range(len(longer)))
    if len(longer) != len(shorter):
        return False
    differ = [i for i, (a, b) in enumerate(zip(ending, _MEANT, strict=True)) if a != b]
    swapped = len(differ) == 2 and differ[1] == differ[0] + 1
    return len(differ) == 1 or (swapped and sorted(ending) == sorted(_MEANT))
