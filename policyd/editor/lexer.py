"""Highlighting for Pygments: for documentation, terminals, and other programs that use it.

The lexer tells words apart by their surroundings: a section word is in the first column, and a word
before a colon is a name.
"""

from __future__ import annotations

from typing import ClassVar

from pygments.lexer import RegexLexer, words
from pygments.token import (
    Comment,
    Error,
    Keyword,
    Name,
    Number,
    Operator,
    Punctuation,
    String,
    Whitespace,
)

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

_BEGIN, _END = r"(?<![\w.:\-])", r"(?![\w\-]|\.\w)"
_NAME = r"[A-Za-z_][\w\-]*"

Rule = tuple[object, ...]


class PolicyLexer(RegexLexer):
    """Lexer for policies and their tests."""

    name = "policyd policy"
    aliases: ClassVar[list[str]] = ["policy", "policyd"]
    filenames: ClassVar[list[str]] = ["*.policy"]
    url = ""
    version_added = ""

    tokens: ClassVar[dict[str, list[Rule]]] = {
        "root": [
            (r"\s+", Whitespace),
            (r"///(?!/)[^\n]*", String.Doc),
            (r"//[^\n]*", Comment.Single),
            (r'"', String, "string"),
            (rf"^scope(?=\s+{_NAME})", Keyword.Declaration, "scope"),
            (words(SECTIONS, prefix=r"^", suffix=r"(?![\w.:\-])"), Keyword.Declaration),
            # A key, an attribute, a claim, or the name of a rule: a space follows its colon.
            (rf"{_NAME}(?=:\s)", Name.Attribute),
            (words(["scope"], prefix=_BEGIN, suffix=r"(?=\s+[A-Za-z_])"), Keyword, "scope"),
            (rf"{_NAME}(?:[.\w\-]*:[\w.\-]+)+", Name.Label),
            (words(ROOTS, prefix=_BEGIN, suffix=r"(?=\.\w)"), Name.Builtin, "path"),
            (words(CONSTANTS, prefix=_BEGIN, suffix=_END), Keyword.Constant),
            (words(OPERATORS, prefix=_BEGIN, suffix=_END), Operator.Word),
            (words((*CLAUSES, *SECTIONS), prefix=_BEGIN, suffix=_END), Keyword),
            (words(TYPES, prefix=_BEGIN, suffix=_END), Keyword.Type),
            (words(STATES, prefix=_BEGIN, suffix=_END), Name.Constant),
            (r"now(?![\w\-])", Name.Builtin),
            (rf"{_NAME}(?:\.[\w\-]+)*", Name),
            (r"-?[0-9][\w.]*", Number),
            (words(COMPARISONS), Operator),
            (r"[{}()\[\],:?]", Punctuation),
        ],
        "scope": [(r"\s+", Whitespace), (r"[\w.:\-]+", Name.Label, "#pop")],
        "path": [(r"\.", Punctuation), (r"[\w.\-]+", Name.Variable, "#pop")],
        "string": [
            (r'\\(?:u\{[0-9A-Fa-f]{1,6}\}|["\\nt])', String.Escape),
            (r'[^"\\\n]+', String),
            (r'"', String, "#pop"),
            (r"\n", Error, "#pop"),
            (r"\\", Error),
        ],
    }
