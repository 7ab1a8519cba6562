"""What a finding tells people to write: there are words for each key of each table."""

from __future__ import annotations

import msgspec
import pytest

from policyd.config.shapes import keys, without_none, words
from policyd.config.tables import Table

KEYS = [
    (table.__name__, name, field.type)
    for table in Table.__subclasses__()
    for name, field in keys(table).items()
]


@pytest.mark.parametrize(("table", "name", "shape"), KEYS)
def test_there_are_words_for_each_key(table: str, name: str, shape: object) -> None:
    said = words(without_none(shape))
    assert said
    assert "None" not in said


def test_an_optional_key_is_called_by_what_it_takes() -> None:
    said = {(table, name): words(without_none(shape)) for table, name, shape in KEYS}
    assert said["Server", "tls"] == "a table"
    assert said["Issuer", "apis"] == "a list, each item a text"
    assert said["Issuer", "clients"] == "a table"
    assert said["Issuer", "require_binding"] == "`false`, `dpop`, `mtls` or `any`"
    assert said["Issuer", "max_token_age"] == "a whole number"


PLACES = [
    (table, name, shape)
    for table, name, shape in KEYS
    if name.endswith(("path", "file", "_env", "certificate", "private_key", "client_authorities"))
]


def test_paths_are_told_by_their_names() -> None:
    assert len(PLACES) >= 17


@pytest.mark.parametrize(("table", "name", "shape"), PLACES)
@pytest.mark.parametrize("text", ["", "a\0b"])
def test_no_path_is_empty(table: str, name: str, shape: object, text: str) -> None:
    """An empty one would be the folder of `policyd.toml`."""
    with pytest.raises(msgspec.ValidationError):
        msgspec.convert(text, shape)
    assert msgspec.convert("some/file name", shape) == "some/file name"
