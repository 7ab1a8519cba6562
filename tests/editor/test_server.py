"""The language server as an editor meets it: a real process, a real client, real pipes."""

from __future__ import annotations

from pathlib import Path

import pytest
from lsprotocol import types as lsp
from pygls.exceptions import JsonRpcException

from tests.support.editor import FILES, MAIN, TESTS
from tests.support.lsp import Client, drive, position

BROKEN = MAIN.replace("resource.org_id", "resource.orgid")


@pytest.fixture
def folder(tmp_path: Path) -> Path:
    root = tmp_path / "my policies"  # a space is escaped in a URI
    for name, text in FILES.items():
        path = root / Path(name).relative_to("/w")
        path.parent.mkdir(parents=True, exist_ok=True)
        path.write_text(text, encoding="utf-8")
    return root


def uri(folder: Path, name: str = "docs.policy") -> str:
    return (folder / name).as_uri()


def document(folder: Path, name: str = "docs.policy") -> lsp.TextDocumentIdentifier:
    return lsp.TextDocumentIdentifier(uri(folder, name))


def test_tells_what_is_wrong_as_the_text_changes(folder: Path) -> None:
    (folder / "docs.policy").write_text(BROKEN, encoding="utf-8")

    async def script(editor: Client) -> None:
        main = uri(folder)
        await editor.until(lambda: editor.codes(main) == ["P1005"])  # though nothing is open
        (found,) = editor.found[main]
        assert found.message.startswith("unknown attribute `orgid` on resource `document`\n")
        assert "help: a similar attribute exists: `org_id`" in found.message
        assert found.range == lsp.Range(
            position(BROKEN, "== |resource.orgid"), position(BROKEN, "resource.orgid|")
        )
        assert found.severity is lsp.DiagnosticSeverity.Error
        assert found.related_information is not None
        editor.open(main, MAIN)
        await editor.until(lambda: editor.codes(main) == [])
        linted = editor.codes(main, lsp.DiagnosticSeverity.Warning)
        assert linted
        assert all(code.startswith("P3") for code in linted)
        line = position(MAIN, "\n|define same_org")
        editor.type(
            main,
            2,
            lsp.TextDocumentContentChangePartial(lsp.Range(line, line), 'define "𝄞" as or\n'),
        )
        await editor.until(lambda: editor.codes(main) != [])
        editor.text_document_did_close(lsp.DidCloseTextDocumentParams(document(folder)))
        await editor.until(lambda: editor.codes(main) == ["P1005"])

    drive([folder], script)


def test_follows_the_files_on_disk(folder: Path) -> None:
    async def script(editor: Client) -> None:
        await editor.until(lambda: editor.registered == [lsp.WORKSPACE_DID_CHANGE_WATCHED_FILES])
        test = folder / "docs_test.policy"
        hidden = folder / ".git" / "x.policy"
        hidden.parent.mkdir()
        for path in (test, hidden):
            path.write_text(TESTS.replace("on folder", "on shelf"), encoding="utf-8")
        changed = [
            lsp.FileEvent(path.as_uri(), lsp.FileChangeType.Changed) for path in (test, hidden)
        ]
        editor.workspace_did_change_watched_files(lsp.DidChangeWatchedFilesParams(changed))
        await editor.until(lambda: editor.codes(test.as_uri()) == ["P1001"])
        assert editor.codes(hidden.as_uri()) == []
        test.unlink()
        gone = [lsp.FileEvent(test.as_uri(), lsp.FileChangeType.Deleted)]
        editor.workspace_did_change_watched_files(lsp.DidChangeWatchedFilesParams(gone))
        await editor.until(lambda: editor.codes(test.as_uri()) == [])

    drive([folder], script)


def test_a_folder_without_policies_is_no_failure(tmp_path: Path) -> None:
    async def script(editor: Client) -> None:
        await editor.until(lambda: bool(editor.logged))
        assert editor.logged[0].type is lsp.MessageType.Info
        assert "there are no policy or test files here" in editor.logged[0].message
        new = "untitled:Untitled-1"
        editor.open(new, "api new\n")
        await editor.until(lambda: editor.codes(new) == ["P1016"])

    drive([tmp_path], script)


def test_answers_about_names(folder: Path) -> None:
    # A character of two UTF-16 units stands before the name.
    text = MAIN.replace(
        "    when scope read:docs and same_org",
        '    when token.acr != "𝄞" and scope read:docs and same_org',
    )

    async def script(editor: Client) -> None:
        main = document(folder)
        editor.open(main.uri, text)
        at = position(text, "read:docs and same|_org")
        hover = await editor.text_document_hover_async(lsp.HoverParams(main, at))
        assert hover is not None
        assert isinstance(hover.contents, lsp.MarkupContent)
        assert "Used by rules `members`, `folders`." in hover.contents.value
        start = position(text, "and scope read:docs and |same_org")
        name = lsp.Range(start, lsp.Position(start.line, start.character + len("same_org")))
        assert hover.range == name
        assert text.split("\n")[start.line][: start.character - 1].endswith("and ")

        definition = await editor.text_document_definition_async(lsp.DefinitionParams(main, at))
        declared = position(text, "define |same_org")
        end = lsp.Position(declared.line, declared.character + len("same_org"))
        assert definition == [lsp.Location(main.uri, lsp.Range(declared, end))]

        context = lsp.ReferenceContext(include_declaration=False)
        used = await editor.text_document_references_async(lsp.ReferenceParams(context, main, at))
        assert used is not None
        assert [one.range.start.line for one in used] == [start.line, start.line + 3]
        assert used[0].range == name

        nothing = lsp.Position(3, 0)
        assert await editor.text_document_hover_async(lsp.HoverParams(main, nothing)) is None
        assert not await editor.text_document_definition_async(lsp.DefinitionParams(main, nothing))
        context = lsp.ReferenceContext(include_declaration=True)
        assert not await editor.text_document_references_async(
            lsp.ReferenceParams(context, main, nothing)
        )

    drive([folder], script)


def test_renames_in_all_files_or_says_why_not(folder: Path) -> None:
    async def script(editor: Client) -> None:
        test = document(folder, "docs_test.policy")
        at = position(TESTS, "by mem|bers")
        prepared = await editor.text_document_prepare_rename_async(
            lsp.PrepareRenameParams(test, at)
        )
        assert isinstance(prepared, lsp.PrepareRenamePlaceholder)
        assert prepared.placeholder == "members"
        edit = await editor.text_document_rename_async(lsp.RenameParams(test, at, "colleagues"))
        assert edit is not None
        assert edit.changes is not None
        assert {each: [one.new_text for one in edits] for each, edits in edit.changes.items()} == {
            uri(folder): ["colleagues"],
            test.uri: ["colleagues"],
        }
        with pytest.raises(JsonRpcException, match="rule `folders` is declared twice"):
            await editor.text_document_rename_async(lsp.RenameParams(test, at, "folders"))
        with pytest.raises(JsonRpcException, match="is a name of the language"):
            await editor.text_document_prepare_rename_async(
                lsp.PrepareRenameParams(test, position(TESTS, "s|ub:"))
            )
        nothing = lsp.Position(0, 0)
        assert not await editor.text_document_rename_async(lsp.RenameParams(test, nothing, "x"))
        assert not await editor.text_document_prepare_rename_async(
            lsp.PrepareRenameParams(test, nothing)
        )

    drive([folder], script)


def test_completes_formats_and_mends(folder: Path) -> None:
    untidy = MAIN + "\ndefine strong   as token.acr in [mfa]\n"

    async def script(editor: Client) -> None:
        main = document(folder)
        editor.open(main.uri, untidy)
        at = position(untidy, "members: read on |document")
        found = await editor.text_document_completion_async(lsp.CompletionParams(main, at))
        assert isinstance(found, lsp.CompletionList)
        assert [one.label for one in found.items] == ["document", "folder"]
        edit = found.items[0].text_edit
        assert isinstance(edit, lsp.TextEdit)
        assert edit.range == lsp.Range(at, at)

        options = lsp.FormattingOptions(4, True)
        formatting = lsp.DocumentFormattingParams(main, options)
        (whole,) = await editor.text_document_formatting_async(formatting) or ()
        assert whole.new_text.endswith("define strong as token.acr in [mfa]\n")

        await editor.until(lambda: editor.codes(main.uri) == ["P2010"])
        wrong = position(untidy, "[m|fa]")
        actions = await editor.text_document_code_action_async(
            lsp.CodeActionParams(main, lsp.Range(wrong, wrong), lsp.CodeActionContext([]))
        )
        assert [
            (one.title, one.kind) for one in actions or () if isinstance(one, lsp.CodeAction)
        ] == [
            ('Replace by `"mfa"`', lsp.CodeActionKind.QuickFix),
            ("Mend all that is certain", lsp.CodeActionKind.SourceFixAll),
        ]
        editor.replace(main.uri, 2, f"{untidy}define\n")
        assert await editor.text_document_formatting_async(formatting) is None

        symbols = await editor.text_document_document_symbol_async(lsp.DocumentSymbolParams(main))
        assert [one.name for one in symbols or ()][-2:] == ["folders", "strong"]

    drive([folder], script)


def test_runs_tests(folder: Path) -> None:
    failing = TESTS + '\ntest "nobody reads" {\n    token { scope: [read:docs], org_id: "a" }\n'
    failing += '    deny list on folder { org_id: "a" }\n}\n'

    async def script(editor: Client) -> None:
        test = document(folder, "docs_test.policy")
        editor.open(test.uri, failing)
        lenses = await editor.text_document_code_lens_async(lsp.CodeLensParams(test))
        commands = [one.command for one in lenses or () if one.command is not None]
        assert [one.title for one in commands] == ["Run all tests", "Run test", "Run test"]
        everything, one, other = (
            lsp.ExecuteCommandParams(each.command, each.arguments) for each in commands
        )
        await editor.workspace_execute_command_async(one)
        assert editor.shown[-1].message == "1 test passed: 3 expectations."
        await editor.workspace_execute_command_async(other)
        assert editor.shown[-1].message == "1 of 1 expectation did not hold."
        await editor.until(lambda: editor.codes(test.uri) == ["P4010"])
        await editor.workspace_execute_command_async(one)  # it says nothing about the other
        assert editor.codes(test.uri) == ["P4010"]
        await editor.workspace_execute_command_async(everything)
        assert editor.shown[-1].message == "1 of 4 expectations did not hold."
        editor.replace(test.uri, 2, TESTS)
        await editor.until(lambda: editor.codes(test.uri) == [])
        editor.replace(test.uri, 3, failing.replace("on folder", "on shelf"))
        await editor.workspace_execute_command_async(everything)
        assert "the policies or tests have errors" in editor.shown[-1].message
        assert not await editor.text_document_code_lens_async(lsp.CodeLensParams(document(folder)))

    drive([folder], script)


def test_a_file_that_is_not_there_is_answered_with_nothing(folder: Path) -> None:
    async def script(editor: Client) -> None:
        none = document(folder, "none.policy")
        at = lsp.Position(0, 0)
        formatting = lsp.DocumentFormattingParams(none, lsp.FormattingOptions(4, True))
        context = lsp.CodeActionContext([])
        assert await editor.text_document_formatting_async(formatting) is None
        assert await editor.text_document_completion_async(lsp.CompletionParams(none, at)) is None
        assert not await editor.text_document_document_symbol_async(lsp.DocumentSymbolParams(none))
        assert not await editor.text_document_code_action_async(
            lsp.CodeActionParams(none, lsp.Range(at, at), context)
        )
        await editor.workspace_execute_command_async(
            lsp.ExecuteCommandParams("policyd.runTests", [none.uri, None])
        )
        assert editor.shown[-1].type is lsp.MessageType.Warning

    drive([folder], script)


def test_follows_the_folders_that_are_open(folder: Path, tmp_path: Path) -> None:
    other = tmp_path / "other"
    other.mkdir()
    (other / "o.policy").write_text("api other\n", encoding="utf-8")

    async def script(editor: Client) -> None:
        added = lsp.WorkspaceFoldersChangeEvent([lsp.WorkspaceFolder(other.as_uri(), "other")], [])
        editor.workspace_did_change_workspace_folders(lsp.DidChangeWorkspaceFoldersParams(added))
        await editor.until(lambda: editor.codes(uri(other, "o.policy")) == ["P1016"])
        removed = lsp.WorkspaceFoldersChangeEvent(
            [], [lsp.WorkspaceFolder(other.as_uri(), "other")]
        )
        editor.workspace_did_change_workspace_folders(lsp.DidChangeWorkspaceFoldersParams(removed))
        await editor.until(lambda: editor.codes(uri(other, "o.policy")) == [])

    drive([folder], script)
