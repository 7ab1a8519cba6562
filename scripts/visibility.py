"""Write the table of characters that nobody sees, out of one version of the Unicode database.

`python scripts/visibility.py`, with a Python whose `unicodedata` is of `VERSION` (3.13). The table
is committed, so that a policy that loads with one Python loads with all: each brings another
version of the database along, in which other code points are assigned.
"""

from __future__ import annotations

import sys
import unicodedata
from collections.abc import Iterator
from pathlib import Path

TARGET = Path(__file__).resolve().parent.parent / "policyd" / "diagnostics" / "hidden_ranges.py"
VERSION = "15.1.0"
#: Controls, formats, surrogates, private use, unassigned; line and paragraph separators.
HIDDEN_CATEGORIES = frozenset({"Cc", "Cf", "Cs", "Co", "Cn", "Zl", "Zp"})
#: Default_Ignorable_Code_Point of DerivedCoreProperties.txt, without what the categories cover:
#: joiner and fillers, inherent vowels, and variation selectors. `unicodedata` does not know it.
IGNORABLE = (
    (0x034F, 0x034F), (0x115F, 0x1160), (0x17B4, 0x17B5), (0x180B, 0x180F), (0x3164, 0x3164),
    (0xFE00, 0xFE0F), (0xFFA0, 0xFFA0), (0xE0100, 0xE01EF),
)  # fmt: skip
#: Assigned and drawn as nothing: Braille's blank, the object replacement character, the Khitan
#: filler, two hieroglyphic blanks, and the null note head.
BLANK = frozenset({0x2800, 0xFFFC, 0x16FE4, 0x13441, 0x13442, 0x1D159})

_HEAD = '''"""Code points that nobody sees, by Unicode {version}; made by `scripts/visibility.py`.

First and last of each range, in turn: spaces but U+0020, controls, formats, private use,
surrogates, unassigned, Default_Ignorable_Code_Point, and what is drawn as nothing.
"""

BOUNDS: tuple[int, ...] = (
'''


def is_hidden(number: int) -> bool:
    """Tell whether a code point is not visible as itself."""
    category = unicodedata.category(chr(number))
    return (
        category in HIDDEN_CATEGORIES
        or (category == "Zs" and number != 0x20)
        or number in BLANK
        or any(first <= number <= last for first, last in IGNORABLE)
    )


def ranges() -> Iterator[tuple[int, int]]:
    """Yield the first and the last of each range."""
    first: int | None = None
    for number in range(sys.maxunicode + 2):
        hidden = number <= sys.maxunicode and is_hidden(number)
        if hidden and first is None:
            first = number
        elif not hidden and first is not None:
            yield first, number - 1
            first = None


def written() -> str:
    """Return the table's text."""
    pairs = [f"0x{first:X}, 0x{last:X}," for first, last in ranges()]
    rows = (" ".join(pairs[at : at + 5]) for at in range(0, len(pairs), 5))
    body = "".join(f"    {row}\n" for row in rows)
    return f"{_HEAD.format(version=VERSION)}{body})  # fmt: skip\n"


def main() -> None:
    if unicodedata.unidata_version != VERSION:
        sys.exit(f"this Python knows Unicode {unicodedata.unidata_version}, not {VERSION}")
    TARGET.write_text(written(), encoding="utf-8")


if __name__ == "__main__":
    main()
