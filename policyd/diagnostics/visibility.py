"""What a reader sees of a text: hidden characters, and characters that look like others.

The set of hidden characters is the same with every version of Python, because the table is
committed (`hidden_ranges`). The names of characters come from the running Python.

Sources: Unicode Technical Report 36 and Technical Standard 39; CVE-2021-42574.
"""

from __future__ import annotations

import unicodedata
from bisect import bisect_left
from collections.abc import Iterator

from policyd.diagnostics.hidden_ranges import BOUNDS
from policyd.diagnostics.source import Span

_NAMELESS = {
    "Cc": "a control character",
    "Cn": "a code point without a character",
    "Co": "a private-use character",
    "Cs": "half of a surrogate pair",
}
#: What findings write themselves, where they cut a text and where one thing leads to another.
_OURS = frozenset("…→")
#: Characters cited in one remark.
_CITED = 3
# Letters of Cyrillic, Greek, Armenian and Latin, and signs, that fonts draw like those of ASCII.
_TWINS = str.maketrans(
    "асеһіјӏорԛѕуԝхԁАВСЕНІЈӀКМОРЅТУԜХαγικνορυΑΒΕΖΗΙΚΜΝΟΡΤΥΧϲϳօհոսցզɑɡıɩ“”„‟″‘’‚‛′–—−‐‑‒⁄∕∶ː․‹›",
    "acehijlopqsywxdABCEHIJIKMOPSTYWX"
    "ayiknopuABEZHIKMNOPTYXcj"
    "ohnugqagii"
    "\"\"\"\"\"'''''------//::.<>",
)


def is_hidden(character: str) -> bool:
    """Tell whether a character is not visible as itself: any space but U+0020 is not either."""
    at = bisect_left(BOUNDS, ord(character))
    return at % 2 == 1 or (at < len(BOUNDS) and BOUNDS[at] == ord(character))


def hidden_in(text: str) -> frozenset[str]:
    """Return the characters of a text that are hidden, line feeds and tabs among them."""
    return frozenset(filter(is_hidden, set(text)))


def runs(text: str, wanted: frozenset[str]) -> Iterator[Span]:
    """Yield where characters of `wanted` stand, equal neighbours together."""
    end = 0
    for start, character in enumerate(text):
        if start >= end and character in wanted:
            end = start + 1
            while text.startswith(character, end):
                end += 1
            yield Span(start, end)


def cite(character: str) -> str:
    """Return a character's code point and name: `U+00A0 NO-BREAK SPACE`."""
    nameless = f"({_NAMELESS.get(unicodedata.category(character), 'a character without a name')})"
    return f"U+{ord(character):04X} {unicodedata.name(character, nameless)}"


def twin(text: str) -> str:
    """Return a text with ASCII in place of the characters that look like it."""
    if text.isascii():
        return text
    return "".join(map(_wide_twin, text.translate(_TWINS)))


def _wide_twin(character: str) -> str:
    """Full-width forms, and mathematical alphabets."""
    if "\uff01" <= character <= "\uff5e" or "\U0001d400" <= character <= "\U0001d7ff":
        return unicodedata.normalize("NFKC", character).translate(_TWINS)
    return character


def remark(text: str) -> str | None:
    """Say what the characters of a text are that are not ASCII, `None` where all are."""
    if text.isascii():
        return None
    cited = [one for one in dict.fromkeys(text) if not one.isascii() and one not in _OURS]
    said = [f"`{one}` is {cite(one)}{_alike(one)}" for one in cited[:_CITED]]
    if len(cited) > _CITED:
        said.append(f"{len(cited) - _CITED} more are not ASCII")
    return ", ".join(said) or None


def _alike(character: str) -> str:
    other = twin(character)
    return "" if other == character else f", which looks like `{other}`"
