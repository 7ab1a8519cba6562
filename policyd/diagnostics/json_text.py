"""JSON that is safe to display: characters that a terminal would obey or hide become escapes.

An encoder escapes only what JSON requires (RFC 8259, section 7), which is C0. It writes DEL, C1,
line separators, bidirectional controls and invisible characters as they are. So a log or an answer
on a terminal could look different from its contents.

Invariant: a parser reads the same value.
"""

from __future__ import annotations

import msgspec

from policyd.diagnostics.visibility import is_hidden


def encode_json(value: object, *, indent: int = 0) -> bytes:
    """Return a value as JSON, over several lines with `indent`; what is no JSON becomes text."""
    data = msgspec.json.encode(value, enc_hook=str)
    return visible_json(msgspec.json.format(data, indent=indent) if indent else data)


def visible_json(data: bytes) -> bytes:
    """Return JSON with hidden characters as escapes; line feeds between texts stay."""
    if data.isascii() and b"\x7f" not in data:
        return data
    text = data.decode()
    # Outside of texts JSON is ASCII, and C0 stands nowhere but there, as space.
    hidden = {one for one in set(text) if one > "~" and is_hidden(one)}
    if not hidden:
        return data
    return text.translate({ord(one): _escape(one) for one in hidden}).encode()


def _escape(character: str) -> str:
    """Return `\\uXXXX`, or two of them beyond the Basic Multilingual Plane."""
    units = character.encode("utf-16-be").hex()
    return "".join(f"\\u{units[at : at + 4]}" for at in range(0, len(units), 4))
