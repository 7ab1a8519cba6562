from __future__ import annotations

from collections.abc import Callable, Iterator
from pathlib import Path

import pytest
from lsprotocol import types as lsp

from policyd.editor.positions import Encoding
from policyd.editor.rename import RenameRefused
from policyd.editor.session import RUN_TESTS, Session, Tools
from policyd.editor.workspace import nothing
from policyd.language.text import Read, read
from tests.support.editor import FILES, MAIN, TESTS, run
from tests.support.lsp import position

MAIN_URI, TEST_URI = "file:///w/docs.policy", "file:///w/docs_test.policy"


class Disk:
    """A file system that holds what a test puts on it."""

    def __init__(self) -> None:
        self.files = dict(FILES)

    def read(self, path: Path) -> Iterator[Read]:
        for name, text in self.files.items():
            if Path(name).is_relative_to(path):
                yield read(name, text.encode())


def session(disk: Disk | None = None) -> Session:
    made = Session(Tools((disk or Disk()).read, run, nothing), ["file:///w"], Encoding.UTF_16)
    made.refresh("file:///w")
    return made


def findings(made: Session) -> dict[str, list[lsp.Diagnostic]]:
    return made.diagnostics(one for part in made.analyses() for one in part.diagnostics)


def codes(made: Session, uri: str) -> list[object]:
    return [one.code for one in findings(made).get(uri, [])]


def test_findings_of_all_files_come_by_uri() -> None:
    made = session()
    assert findings(made) == {}
    text = MAIN.replace("scope write:docs", "scope read:docs")
    made.edit(MAIN_URI, text)
    found = findings(made)
    assert set(found) == {MAIN_URI}
    twice, unknown = found[MAIN_URI]
    assert twice.message == (
        "scope `read:docs` is declared twice\ndeclared again\nhelp: remove one of the two"
    )
    assert unknown.code == "P1003"
    assert twice.severity is lsp.DiagnosticSeverity.Error
    (related,) = twice.related_information or ()
    assert related.location.uri == MAIN_URI
    assert related.location.range.start == position(MAIN, 'scope |read:docs "')
    made.close(MAIN_URI)
    assert findings(made) == {}


def test_a_file_is_known_by_the_uri_that_the_client_wrote() -> None:
    made = session()
    odd = "file:///w/docs%2Epolicy"
    made.edit(odd, "api docs\n")
    assert odd in findings(made)
    assert MAIN_URI not in findings(made)


def test_files_on_disk_are_read_again_one_by_one() -> None:
    disk = Disk()
    made = session(disk)
    disk.files["/w/docs_test.policy"] = TESTS.replace("by folders", "by shelves")
    disk.files["/w/.hidden/x.policy"] = "api docs\n"
    disk.files["/elsewhere/x.policy"] = "api other\n"
    for name in ("/w/docs_test.policy", "/w/.hidden/x.policy", "/elsewhere/x.policy"):
        made.refresh(f"file://{name}")
    assert {uri: [one.code for one in found] for uri, found in findings(made).items()} == {
        TEST_URI: ["P4004"]
    }
    del disk.files["/w/docs_test.policy"]
    made.refresh(TEST_URI)
    assert findings(made) == {}


def test_places_count_utf_16() -> None:
    made = session()
    text = MAIN.replace("when scope read:docs", 'when token.acr != "𝄞𝄞" and scope read:docs')
    made.edit(MAIN_URI, text)
    at = position(text, "and scope read:do|cs")
    hover = made.hover(MAIN_URI, at)
    assert hover is not None
    assert hover.range == lsp.Range(
        lsp.Position(at.line, at.character - 7), lsp.Position(at.line, at.character + 2)
    )
    assert text.split("\n")[at.line].index("read:docs") == at.character - 7 - 2


@pytest.mark.parametrize(
    "ask",
    [
        lambda made, uri, at: made.hover(uri, at),
        lambda made, uri, at: made.definition(uri, at),
        lambda made, uri, at: made.references(uri, at, declared=True),
        lambda made, uri, at: made.rename(uri, at, "x"),
        lambda made, uri, at: made.rename_range(uri, at),
    ],
)
@pytest.mark.parametrize("uri", [MAIN_URI, "file:///w/none.policy", "untitled:1"])
def test_where_nothing_is_the_answer_is_nothing(
    ask: Callable[[Session, str, lsp.Position], object], uri: str
) -> None:
    assert not ask(session(), uri, lsp.Position(3, 0))


def test_answers_about_names() -> None:
    made = session()
    at = position(TESTS, "by mem|bers")
    (declared,) = made.definition(TEST_URI, at)
    assert (declared.uri, declared.range.start) == (MAIN_URI, position(MAIN, "allow |members"))
    assert [one.uri for one in made.references(TEST_URI, at, declared=True)] == [MAIN_URI, TEST_URI]
    assert [one.uri for one in made.references(TEST_URI, at, declared=False)] == [TEST_URI]
    prepared = made.rename_range(TEST_URI, at)
    assert prepared is not None
    assert prepared.placeholder == "members"
    edit = made.rename(TEST_URI, at, "all")
    assert edit is not None
    assert edit.changes is not None
    assert set(edit.changes) == {MAIN_URI, TEST_URI}
    with pytest.raises(RenameRefused):
        made.rename(TEST_URI, at, "folders")


def test_a_reason_has_its_page() -> None:
    hover = session().hover(TEST_URI, position(TESTS, "NO_|RULE"))
    assert hover is not None
    assert isinstance(hover.contents, lsp.MarkupContent)
    assert "NO_RULE_ALLOWS" in hover.contents.value


def test_completion_replaces_what_was_begun() -> None:
    made = session()
    found = made.completion(MAIN_URI, position(MAIN, "when scope read:|docs and"))
    assert found is not None
    first, second = found.items
    assert (first.label, first.kind) == ("read:docs", lsp.CompletionItemKind.Value)
    assert isinstance(second.text_edit, lsp.TextEdit)
    assert second.text_edit.range.start == position(MAIN, "when scope |read:docs and")
    assert [one.sort_text for one in found.items] == ["00000", "00001"]
    keywords = made.completion(MAIN_URI, lsp.Position(3, 0))
    assert keywords is not None
    assert {one.kind for one in keywords.items} == {lsp.CompletionItemKind.Keyword}
    assert made.completion("file:///w/none.policy", lsp.Position(0, 0)) is None


def test_formats_what_parses() -> None:
    made = session()
    edits = made.formatting(MAIN_URI)
    assert edits is not None
    made.edit(MAIN_URI, edits[0].new_text)
    assert made.formatting(MAIN_URI) == []
    made.edit(MAIN_URI, "api")
    assert made.formatting(MAIN_URI) is None
    assert made.symbols(MAIN_URI) == []
    assert made.formatting("file:///w/none.policy") is None


def test_offers_repairs() -> None:
    made = session()
    text = f"{MAIN}\ndefine strong as token.acr in [mfa]\n"
    made.edit(MAIN_URI, text)
    at = position(text, "[m|fa]")
    assert made.actions(MAIN_URI, lsp.Range(at, at)) == []  # nothing was looked for yet
    assert set(findings(made)) == {MAIN_URI}
    one, together = made.actions(MAIN_URI, lsp.Range(at, at))
    assert one.edit == together.edit
    assert [found.code for found in one.diagnostics or ()] == ["P2010"]
    at = lsp.Position(0, 0)
    assert [found.kind for found in made.actions(MAIN_URI, lsp.Range(at, at))] == [
        lsp.CodeActionKind.SourceFixAll
    ]
    assert made.actions(TEST_URI, lsp.Range(at, at)) == []
    assert made.actions("file:///w/none.policy", lsp.Range(at, at)) == []


def test_lists_what_a_file_declares() -> None:
    found = session().symbols(MAIN_URI)
    assert [one.name for one in found][:2] == ["read:docs", "write:docs"]
    document = next(one for one in found if one.name == "document")
    assert [one.name for one in document.children or ()][-1] == "delete"


def test_runs_tests_and_shows_failures_until_something_changes() -> None:
    made = session()
    failing = TESTS.replace('test "members', 'test "all').replace("allow list", "deny list")
    made.edit(TEST_URI, TESTS + failing.replace("api docs\n", ""))
    everything, *single = (one.command for one in made.lenses(TEST_URI))
    assert everything is not None
    assert (everything.command, everything.arguments) == (RUN_TESTS, [TEST_URI, None])
    assert [one.arguments for one in single if one is not None] == [
        [TEST_URI, "members read"],
        [TEST_URI, "all read"],
    ]
    assert made.run_tests(TEST_URI, "members read").message == "1 test passed: 3 expectations."
    assert made.run_tests(TEST_URI, "all read").message == "1 of 3 expectations did not hold."
    assert codes(made, TEST_URI) == ["P4010"]
    made.run_tests(TEST_URI)
    assert codes(made, TEST_URI) == ["P4010"]
    made.edit(TEST_URI, TESTS)
    assert codes(made, TEST_URI) == []


def test_with_errors_no_test_is_run() -> None:
    made = session()
    made.edit(MAIN_URI, "api docs\n")
    assert made.run_tests(TEST_URI).type is lsp.MessageType.Warning
    assert made.run_tests("file:///w/none.policy").type is lsp.MessageType.Warning
    assert made.lenses(MAIN_URI) == []
