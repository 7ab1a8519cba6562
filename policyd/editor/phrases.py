"""Where one word of an unfinished declaration stands among the others.

Input is the list of words and signs before the place of completion; it need not parse.
"""

from __future__ import annotations

import re
from collections.abc import Sequence


def after(word: str, tokens: Sequence[str]) -> str | None:
    """Return what stands after the last such word."""
    at = last_of(word, tokens)
    return tokens[at + 1] if 0 <= at < len(tokens) - 1 else None


def plain(word: str) -> str:
    """Return a name without its quotes."""
    return re.sub(r"\\(.)", r"\1", word[1:-1]) if word.startswith('"') else word


def resource_of(tokens: Sequence[str]) -> str | None:
    """Return the resource that a rule is for, `None` where it is for several, or none yet."""
    at = last_of("on", tokens)
    named = tokens[at + 1 :] if at >= 0 else ()
    return plain(named[0]) if len(named) == 1 and named[0] != "any" else None


#: What stands before the actions, by the first word of a rule or promise.
_BEFORE_ACTIONS = {"allow": ":", "deny": ":", "prove": "allow"}


def actions_of(tokens: Sequence[str]) -> Sequence[str]:
    """Return the actions of a rule or promise, as they are written; none of anything else."""
    begin = _BEFORE_ACTIONS.get(tokens[0]) if tokens else None
    if begin is None or begin not in tokens[1:] or "on" not in tokens:
        return ()
    listed = tokens[tokens.index(begin, 1) + 1 : tokens.index("on")]
    return [token for token in listed if token != ","]


def last_of(word: str, tokens: Sequence[str]) -> int:
    """Return the index of the last such word, -1 if there is none."""
    return max((at for at, token in enumerate(tokens) if token == word), default=-1)


def lists_scopes(tokens: Sequence[str]) -> bool:
    """Tell whether a list that is still open is compared with `token.scopes`."""
    opened = last_of("[", tokens)
    return opened > last_of("]", tokens) and "token.scopes" in tokens[max(opened - 3, 0) : opened]


def list_around(tokens: Sequence[str]) -> str | None:
    """Return the list of a `has some` whose parentheses are still open, if there is one."""
    depth = 0
    for at in range(len(tokens) - 1, 2, -1):
        depth += (tokens[at] == ")") - (tokens[at] == "(")
        if depth < 0:
            if list(tokens[at - 2 : at]) == ["has", "some"]:
                return tokens[at - 3]
            depth = 0
    return None


def option_of(tokens: Sequence[str]) -> Sequence[str]:
    """Return the option that is being written in parentheses, from its `(` or `,` on; nothing where
    they are closed."""
    opened = last_of("(", tokens)
    if opened <= last_of(")", tokens):
        return ()
    return tokens[max(opened, last_of(",", tokens)) :]


def open_blocks(tokens: Sequence[str]) -> list[list[str]]:
    """Return what stands outside of all blocks, and in each that is still open."""
    blocks: list[list[str]] = [[]]
    for token in tokens:
        if token == "}" and len(blocks) > 1:
            blocks.pop()
        if token == "{":
            blocks.append([])
        else:
            blocks[-1].append(token)
    return blocks
