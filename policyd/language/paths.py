"""Paths in normal form (RFC 3986, section 6.2.2): errors of a path, and the correct form.

Paths are never normalised here, since the service might normalise them differently.
"""

from __future__ import annotations

import re
from urllib.parse import quote, unquote

from policyd.diagnostics.terminal import printable

#: RFC 3986, section 3.3: what may stand for itself in a segment, without `;`, which some servers
#: cut parameters off at.
LITERAL = r"[A-Za-z0-9\-._~!$&'()*+,=:@]"
_UNRESERVED = frozenset(b"ABCDEFGHIJKLMNOPQRSTUVWXYZabcdefghijklmnopqrstuvwxyz0123456789-._~")
#: Nearly all segments: nothing in them could be meant otherwise.
_PLAIN = re.compile(r"[A-Za-z0-9_-]+")
#: Octets that are percent-encoded, or one character that may not stand for itself.
_DOUBTFUL = re.compile(rf"(?:%[0-9A-Fa-f]{{2}})+|(?!{LITERAL}).", re.DOTALL)
#: What a segment may not even stand for: it would hide the end of one, or of the line.
_HIDDEN = re.compile(r"[\x00-\x1f\x7f/\\]")


def problem_of_whole(path: str) -> str | None:
    """Say what is no part of a path, before it is cut into segments."""
    if not path.startswith("/"):
        advice = ": write it without scheme and host" if "://" in path else ""
        return f"a path begins with `/`{advice}"
    for sign, name in (("?", "query"), ("#", "fragment")):
        if sign in path:
            return f"write the path without the {name}, `{printable(path[path.index(sign) :])}`"
    return None


def problem_of_segment(segment: str) -> str | None:
    """Say why a segment of a request's path is not in normal form."""
    if _PLAIN.fullmatch(segment) is not None:
        return None
    problem = _empty_or_dots(segment) or _problem_of_meaning(segment)
    if problem is not None:
        return problem
    for match in _DOUBTFUL.finditer(segment):
        text = match.group()
        problem = _problem_of_octets(text) if len(text) > 1 else _problem_of_character(text)
        if problem is not None:
            return problem
    return None


def problem_of_literal(segment: str) -> str | None:
    """Say why a segment cannot stand for itself in a template, where nothing is encoded."""
    problem = _empty_or_dots(segment)
    if problem is not None:
        return problem
    match = _DOUBTFUL.search(segment)
    if match is None:
        return None
    if len(match.group()) > 1:
        return f"a literal segment holds nothing percent-encoded, such as `{match.group()}`"
    if match.group() == ";":
        return "a path has no `;`: some servers cut a segment off there"
    return f"{_named(match.group())} cannot stand for itself in a path"


def _empty_or_dots(segment: str) -> str | None:
    if not segment:
        return "a path has no empty segment, at its end neither"
    return f"a path has no dot segment, `{segment}`" if segment in (".", "..") else None


def _problem_of_meaning(segment: str) -> str | None:
    """Say why a segment is no part of a path, however it is written."""
    try:
        meant = unquote(segment, errors="strict")
    except UnicodeDecodeError:
        return "what is percent-encoded in a path is UTF-8"
    hidden = _HIDDEN.search(meant)
    if hidden is not None:
        character = hidden.group()
        why = ": some servers cut a path there" if character in "/\\" else ""
        return f"a segment has no {_named(character)}, nor `{quote(character, safe='')}`{why}"
    return f"a path has no dot segment, `{segment}`" if meant in (".", "..") else None


def _problem_of_octets(text: str) -> str | None:
    for octet in bytes.fromhex(text.replace("%", "")):
        if octet in _UNRESERVED:
            return f"`%{octet:02X}` means `{chr(octet)}`: write that"
    return None if text == text.upper() else f"write `{text.upper()}`, upper-case"


def _problem_of_character(character: str) -> str:
    if character == "%":
        return "two hexadecimal digits follow a `%`; the sign itself is `%25`"
    encoded = quote(character, safe="", errors="surrogatepass")
    return f"{_named(character)} has to be percent-encoded: write `{encoded}`"


def _named(character: str) -> str:
    code_point = "" if character.isascii() else f" (U+{ord(character):04X})"
    return f"`{printable(character)}`{code_point}"
