"""Bodies of requests over HTTP: one JSON object, read strictly (RFC 7493, I-JSON).

Input: a body. Output: an object, or `CallFailed` with INVALID_ARGUMENT. It is read as the JSON
of tokens is: no member stands twice, no text holds half of a surrogate pair, no value is one that
JSON does not have; depth is bounded, and whether a number is whole is judged by its text.

Invariant: how many values a body holds is bounded before any of them is made.
"""

from __future__ import annotations

import re
from typing import Final

from policyd.json_types import Json
from policyd.pdp.calls import StatusCode
from policyd.pdp.failures import ErrorReason
from policyd.server.wire.failures import failure
from policyd.tokens.jws import read_strictly
from policyd.tokens.refusals import TokenMalformed

_TEXT: Final = re.compile(rb'"(?:[^"\\]|\\.)*+"', re.DOTALL)
_NAME: Final = "body"


def read_body(body: bytes, most: int) -> dict[str, Json]:
    """Return the object in a body, which holds `most` values at most. Raises `CallFailed`."""
    if _separators(body) > most and _separators(_TEXT.sub(b"", body)) > most:
        raise failure(
            StatusCode.RESOURCE_EXHAUSTED,
            ErrorReason.TOO_MANY_VALUES,
            f"the body holds more than {most} values",
        )
    try:
        return read_strictly(body, _NAME)
    except TokenMalformed as error:
        text = str(error)
    raise failure(StatusCode.INVALID_ARGUMENT, ErrorReason.MESSAGE_MALFORMED, text, [("", text)])


def _separators(body: bytes) -> int:
    """Return how often something begins after something else: no value comes without."""
    return body.count(b",") + body.count(b"[") + body.count(b"{")
