"""The types of keys that several tables of `policyd.toml` have, and what all tables are."""

from __future__ import annotations

from typing import Annotated

import msgspec
from msgspec import Meta

Seconds = Annotated[float, Meta(ge=0, le=3600)]
#: Relative to the folder of the file. An empty one, as of a template's variable that nobody set,
#: would name that folder itself.
PathText = Annotated[
    str, Meta(pattern=r"^[^\x00]*[^\x00\s][^\x00]*$", description="a path, which is not empty")
]
EnvironmentName = Annotated[
    str, Meta(pattern=r"^[^\x00=]+$", description="the name of an environment variable")
]


FieldName = Annotated[
    str,
    Meta(pattern=r"^[A-Za-z0-9-]+$", max_length=64, description="the name of a header field"),
]
#: A scope-token (RFC 6749, section 3.3).
ScopeToken = Annotated[
    str, Meta(pattern=r"^[\x21\x23-\x5b\x5d-\x7e]+$", max_length=256, description="a scope")
]
AccountName = Annotated[
    str, Meta(min_length=1, description="the name or number of a user or group")
]


class Table(msgspec.Struct, frozen=True, kw_only=True, forbid_unknown_fields=True):
    """A table. What a user cannot guess from a type's bounds is said by its `description`."""
