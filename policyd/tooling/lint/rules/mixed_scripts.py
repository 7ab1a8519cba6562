"""A word of a text that mixes scripts whose letters look alike.

Only literal letters count: an escape shows that the author means it. The idea is that of Unicode
Technical Standard 39, section 5.1; the names of letters tell their scripts.
"""

from __future__ import annotations

import re
import unicodedata
from collections.abc import Iterator

from policyd.diagnostics import Label, Source, Span
from policyd.diagnostics.visibility import twin
from policyd.language.parser import words
from policyd.tooling.lint.model import Finding, LintRule, View

#: Scripts whose letters pass for each other's, by the first word of the letters' names.
_SCRIPTS = {
    "LATIN": "Latin",
    "CYRILLIC": "Cyrillic",
    "GREEK": "Greek",
    "ARMENIAN": "Armenian",
    "CHEROKEE": "Cherokee",
    "COPTIC": "Coptic",
    "LISU": "Lisu",
    "FULLWIDTH": "full-width",
    "MATHEMATICAL": "mathematical",
    "KELVIN": "symbolic",
    "ANGSTROM": "symbolic",
}
#: An escape, which is no part of a word, or a word with its accents.
_WORD = re.compile(r"\\(?:u\{[^}]*\}|.)|((?:[^\W\d_]|[\u0300-\u036f])+)")


def check(view: View) -> Iterator[Finding]:
    for file in view.files:
        if file.source.text.isascii():
            continue
        for span, text in words(file.source, Span(0, len(file.source.text))):
            if text.startswith('"') and not text.isascii():
                yield from _in_text(file.source, span.start, text)


def _in_text(source: Source, start: int, text: str) -> Iterator[Finding]:
    for match in _WORD.finditer(text):
        word = match[1]
        if word is None or word.isascii():
            continue
        scripts = sorted({script for script in map(_script, word) if script is not None})
        if len(scripts) > 1:
            yield Finding(
                f"`{word}` mixes {' and '.join(scripts)} letters",
                Label(source, Span(start + match.start(), start + match.end())),
                "write a word in one script; a letter that is meant can be an escape, `\\u{…}`",
            )


def _script(letter: str) -> str | None:
    """The script of a letter that may pass for another's; Greek ones that cannot are units."""
    script = _SCRIPTS.get(unicodedata.name(letter, "").partition(" ")[0])
    return None if script == "Greek" and twin(letter) == letter else script


RULE = LintRule("P3020", check)
