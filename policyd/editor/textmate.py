"""The TextMate grammar that editors highlight with, made from the one list of words.

`python -m policyd.editor.textmate` prints it; the extension in `editors/vscode` holds a copy, and a
test proves that it is the same.
"""

from __future__ import annotations

import json
from collections.abc import Iterable

from policyd.editor.words import (
    CLAUSES,
    COMPARISONS,
    CONSTANTS,
    OPERATORS,
    ROOTS,
    SECTIONS,
    STATES,
    TYPES,
)

Pattern = dict[str, object]

_BEGIN, _END = r"(?<![\w.:\-])", r"(?![\w\-]|\.\w)"
_NAME = r"[A-Za-z_][\w\-]*"


def grammar() -> Pattern:
    """Return the grammar as its JSON's value."""
    return {
        "$schema": "https://raw.githubusercontent.com/martinring/tmlanguage/master/tmlanguage.json",
        "name": "policyd policy",
        "scopeName": "source.policyd",
        "fileTypes": ["policy"],
        "patterns": _patterns(),
    }


def _patterns() -> list[Pattern]:
    return [
        _match("comment.block.documentation.policyd", r"///(?!/).*$"),
        _match("comment.line.double-slash.policyd", r"//.*$"),
        {
            "name": "string.quoted.double.policyd",
            "begin": '"',
            "end": r'"|$',
            "patterns": [
                _match("constant.character.escape.policyd", r'\\(u\{[0-9A-Fa-f]{1,6}\}|["\\nt])'),
                _match("invalid.illegal.policyd", r"\\."),
            ],
        },
        {
            "match": rf"{_BEGIN}(scope)\s+({_NAME}([.:][\w.\-]+)*)",
            "captures": {
                "1": {"name": "keyword.control.policyd"},
                "2": {"name": "entity.name.label.policyd"},
            },
        },
        _match("keyword.control.policyd", rf"^({_any(SECTIONS)})(?![\w.:\-])"),
        # A key, an attribute, a claim, or the name of a rule: a space follows its colon.
        _match("entity.name.tag.policyd", rf"{_NAME}(?=:\s)"),
        _match("entity.name.label.policyd", rf"{_NAME}([.\w\-]*:[\w.\-]+)+"),
        {
            "match": rf"{_BEGIN}({_any(ROOTS)})\.([\w.\-]+)",
            "captures": {
                "1": {"name": "support.variable.policyd"},
                "2": {"name": "variable.other.property.policyd"},
            },
        },
        _match("constant.language.policyd", _words(CONSTANTS)),
        _match("keyword.operator.word.policyd", _words(OPERATORS)),
        _match("keyword.control.policyd", _words([*CLAUSES, *SECTIONS])),
        _match("support.type.policyd", _words(TYPES)),
        _match("constant.language.policyd", _words(STATES)),
        _match("support.variable.policyd", _words(["now"])),
        _match("variable.other.policyd", rf"{_NAME}(\.[\w\-]+)*"),
        _match("constant.numeric.policyd", r"-?[0-9][\w.]*"),
        _match("keyword.operator.comparison.policyd", _any(COMPARISONS)),
    ]


def _match(name: str, pattern: str) -> Pattern:
    return {"name": name, "match": pattern}


def _any(words: Iterable[str]) -> str:
    # The longest first, since the first alternative that fits is taken.
    return "|".join(sorted(words, key=lambda word: (-len(word), word)))


def _words(words: Iterable[str]) -> str:
    return f"{_BEGIN}({_any(words)}){_END}"


if __name__ == "__main__":
    print(json.dumps(grammar(), indent=2))
