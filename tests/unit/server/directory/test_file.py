"""A directory in a file: what is of no use, and how it follows the file."""

from __future__ import annotations

from collections.abc import Sequence
from pathlib import Path

import pytest

from policyd.config.entities import EntitiesInvalid, read_entities
from policyd.server.directory.file import FileDirectory
from policyd.server.directory.model import Key, Page, Wanted


class Fixture:
    """A directory of a file in which each name is a document. Time stands far ahead."""

    def __init__(self, folder: Path) -> None:
        self.file = folder / "entities.ndjson"
        self.write("a", "b", "c")
        self.directory = FileDirectory(self.file, lambda: 4e9)

    def write(self, *names: str) -> None:
        beside = self.file.with_suffix(".new")
        beside.write_text("".join(f'{{"type": "doc", "id": "{name}"}}\n' for name in names))
        beside.replace(self.file)

    def names(self) -> Sequence[str]:
        page = self.directory.page(Wanted("doc", "", 10))
        assert isinstance(page, Page)
        return [one.id for one in page.entities]


@pytest.fixture
def made(tmp_path: Path) -> Fixture:
    return Fixture(tmp_path)


def test_a_changed_file_is_read_once_it_is_at_rest(made: Fixture) -> None:
    made.write("a", "d")
    made.directory.follow()
    assert made.names() == ["a", "b", "c"]
    made.directory.follow()
    assert made.names() == ["a", "d"]


def test_an_operator_need_not_wait(made: Fixture) -> None:
    made.write("d")
    made.directory.look()
    assert made.names() == ["d"]


@pytest.mark.parametrize("text", [None, "{"])
def test_the_last_good_entities_go_on(made: Fixture, text: str | None) -> None:
    if text is None:
        made.file.unlink()
    else:
        made.file.write_text(text)
    for _ in range(3):
        made.directory.follow()
    assert made.names() == ["a", "b", "c"]
    (trouble,) = made.directory.troubles()
    assert "the last good ones go on: `authzen.directory`: " in trouble
    made.write("d")
    made.directory.follow()
    made.directory.follow()
    assert (made.names(), list(made.directory.troubles())) == (["d"], [])


def test_pages_are_of_one_state_of_the_file(made: Fixture) -> None:
    page = made.directory.page(Wanted("doc", "", 2))
    assert isinstance(page, Page)
    following = made.directory.page(Wanted("doc", page.following, 2))
    assert isinstance(following, Page)
    assert ([one.id for one in following.entities], following.following) == (["c"], "")
    made.write("a", "b", "c", "d")
    made.directory.look()
    for position in (page.following, "x", "-1.", "2"):
        assert made.directory.page(Wanted("doc", position, 2)) is None


def test_entities_are_found_by_type_and_identifier(made: Fixture) -> None:
    found = made.directory.find([Key("doc", "b"), Key("doc", "z"), Key("user", "b")])
    assert [one and one.id for one in found] == ["b", None, None]
    assert not made.directory.filters("doc")


@pytest.mark.parametrize(
    ("text", "said"),
    [
        ("{", "line 1"),
        ('{"type": "doc"}', "line 1"),
        ('\n{"type": "doc", "id": ""}', "line 2"),
        ('{"type": "doc", "id": 7}', "line 1"),
        ('{"type": "doc", "id": "1", "properties": []}', "line 1"),
        ('{"type": "doc", "id": "1"}\n{"type": "doc", "id": "1"}', "is there twice"),
    ],
)
def test_files_that_are_of_no_use(tmp_path: Path, text: str, said: str) -> None:
    file = tmp_path / "entities.ndjson"
    file.write_text(text)
    with pytest.raises(EntitiesInvalid, match=said):
        read_entities(file)


def test_a_file_that_is_not_there(tmp_path: Path) -> None:
    with pytest.raises(EntitiesInvalid, match="cannot be read: No such file"):
        read_entities(tmp_path / "none")
