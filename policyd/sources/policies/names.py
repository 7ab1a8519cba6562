"""Names of files that were meant to be policies and are none.

A policy that is passed over in silence is worse than one with an error: what it denies is allowed.
A finding about such a name is a warning and no error all the same, since else a stray copy would
keep every change out, the next deny included.
"""

from __future__ import annotations

import unicodedata
from typing import Final

SUFFIX: Final = ".policy"
_MEANT: Final = SUFFIX[1:]
#: What hides a copy that a program makes: Emacs' locks, macOS' second halves of files.
_MADE_BY_PROGRAMS: Final = (".#", "._")


def is_policy(name: str) -> bool:
    """Tell whether a visible file of this name is a policy or a test."""
    return name.endswith(SUFFIX)


def meant(name: str) -> str | None:
    """Return the name of a policy that a file, which is passed over, was probably to have.

    Names that programs give to copies (`a.policy~`, `.a.policy.swp`, `.#a.policy`) mean nothing.
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
    """Tell whether `policy` was meant: written otherwise by case, or by one letter."""
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
