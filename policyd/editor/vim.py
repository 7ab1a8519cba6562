"""The syntax file with which Vim and Neovim highlight, made from the one list of words.

`python -m policyd.editor.vim` prints it; `editors/vim` holds a copy, and a test proves that it is
the same. Of matches that begin at one place Vim takes the last that the file defines, so the most
general ones come first (`:help syn-priority`). Patterns are very magic (`:help /\\\\v`).
"""

from __future__ import annotations

import re
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

_W = "0-9A-Za-z_"
_BEGIN, _END = rf"%([{_W}.:-])@<!", rf"%([{_W}-]|\.[{_W}])@!"
_NAME = rf"[A-Za-z_][{_W}-]*"
_HEAD = """\
" Vim syntax file for policyd's policies and their tests.
if exists("b:current_syntax")
  finish
endif
let b:current_syntax = "policy"
"""
#: Each group, and the group of Vim's that says how it looks.
_LINKS = {
    "Number": "Number",
    "Comparison": "Operator",
    "Name": "Normal",
    "Clock": "Special",
    "State": "Constant",
    "Type": "Type",
    "Clause": "Statement",
    "Operator": "Operator",
    "Constant": "Boolean",
    "Fact": "Identifier",
    "Scope": "Constant",
    "Key": "Identifier",
    "Section": "Keyword",
    "ScopeWord": "Statement",
    "String": "String",
    "Escape": "SpecialChar",
    "Comment": "Comment",
    "Doc": "SpecialComment",
}


def syntax() -> str:
    """Return the text of the file."""
    links = (f"hi def link policy{ours} {theirs}" for ours, theirs in _LINKS.items())
    return "\n".join((_HEAD, *_matches(), "", *links, ""))


def _matches() -> Iterable[str]:
    yield _match("Number", rf"-?[0-9][{_W}.]*")
    yield _match("Comparison", "|".join(re.sub(r"([=<>])", r"\\\1", one) for one in COMPARISONS))
    yield _match("Name", rf"{_NAME}%(\.[{_W}-]+)*")
    yield _match("Clock", _words(("now",)))
    yield _match("State", _words(STATES))
    yield _match("Type", _words(TYPES))
    yield _match("Clause", _words((*CLAUSES, *SECTIONS)))
    yield _match("Operator", _words(OPERATORS))
    yield _match("Constant", _words(CONSTANTS))
    yield _match("Fact", rf"{_BEGIN}%({_any(ROOTS)})\.[{_W}.-]+")
    yield _match("Scope", rf"{_NAME}%([.{_W}-]*:[{_W}.-]+)+")
    yield _match("Key", rf"{_NAME}%(:%(\s|$))@=")
    yield _match("Section", rf"^%({_any(SECTIONS)})%([{_W}.:-])@!")
    yield _match("Scope", rf"%({_BEGIN}scope\s+)@<={_NAME}%([.:][{_W}.-]+)*")
    yield _match("ScopeWord", rf"{_BEGIN}scope%(\s+[A-Za-z_])@=")
    yield r"syn match policyEscape /\v\\%(u\{\x{1,6}\}|[\\nt" + '"' + r"])/ contained"
    yield r'syn region policyString start=/"/ skip=/\\./ end=/"/ oneline contains=policyEscape'
    yield _match("Comment", r"\/\/.*$")
    yield _match("Doc", r"\/\/\/%(\/)@!.*$")


def _match(name: str, pattern: str) -> str:
    return rf"syn match policy{name} /\v{pattern}/"


def _any(words: Iterable[str]) -> str:
    # The longest first, since the first alternative that fits is taken.
    return "|".join(sorted(words, key=lambda word: (-len(word), word)))


def _words(words: Iterable[str]) -> str:
    return f"{_BEGIN}%({_any(words)}){_END}"


if __name__ == "__main__":
    print(syntax(), end="")
