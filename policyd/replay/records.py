"""The part of a record that deciding it again needs, read quickly.

`policyd.audit.schema` documents the fields. The token stays as bytes: many records have the same
token, and its facts are cached by these bytes. `policyd.audit.schema.read_line` reads a whole
record.
"""

from __future__ import annotations

from typing import TYPE_CHECKING, Literal

import msgspec

from policyd.audit.schema import (
    UNREADABLE,
    LineUnusable,
    Moment,
    check_version,
)

if TYPE_CHECKING:  # msgspec's type for any JSON value
    from policyd.json_types import Json as Value
else:
    from policyd.audit.schema import Value


class Asked(msgspec.Struct, frozen=True, gc=False, tag_field="type", tag="decision"):
    """A decision: the question and the answer."""

    schema: Literal[1]
    time: Moment
    decision_id: str
    effect: Literal["allow", "deny"]
    reason: str
    revision: str
    api: str
    action: str
    resource_type: str
    rules: tuple[str, ...] = ()
    resource_id: str = ""
    attributes: dict[str, Value] = {}
    masked: tuple[str, ...] = ()
    ill_typed: tuple[str, ...] = ()
    context: dict[str, Value] = {}
    token: msgspec.Raw = msgspec.Raw()
    userinfo: dict[str, Value] = {}


class Partial(msgspec.Struct, frozen=True, gc=False, tag_field="type", tag="partial"):
    """An answer to a question with unknown facts, which is not a decision."""

    schema: Literal[1]


class Shadow(msgspec.Struct, frozen=True, gc=False, tag_field="type", tag="shadow"):
    """A decision of shadow policies, which is not a decision that a caller got."""

    schema: Literal[1]


class Gap(msgspec.Struct, frozen=True, gc=False, tag_field="type", tag="gap"):
    """The place of missing records."""

    schema: Literal[1]
    dropped: int


Record = Asked | Partial | Shadow | Gap
_decoder: msgspec.json.Decoder[Record] = msgspec.json.Decoder(Record)


def read_record(line: bytes) -> Record:
    """Read a line. Raises `LineUnusable`."""
    try:
        return _decoder.decode(line)
    except UNREADABLE as problem:
        check_version(line)
        raise LineUnusable(
            "malformed", f"the line is no record of the decision log: {problem}"
        ) from None
