"""A real client of the language server: pygls's own, over the pipes of a real process."""

from __future__ import annotations

import asyncio
import sys
from collections.abc import AsyncIterator, Awaitable, Callable, Sequence
from contextlib import asynccontextmanager
from functools import partial
from pathlib import Path

from lsprotocol import types as lsp
from pygls.lsp.client import LanguageClient

#: Far longer than anything takes; what goes wrong is to fail and not to hang.
PATIENCE = 20.0
_COMMAND = "from policyd.cli.main import main; main()"


class Client(LanguageClient):
    """A client that keeps what the server tells it."""

    def __init__(self) -> None:
        super().__init__("tests", "1")
        self.found: dict[str, list[lsp.Diagnostic]] = {}
        self.shown: list[lsp.ShowMessageParams] = []
        self.logged: list[lsp.LogMessageParams] = []
        self.registered: list[str] = []
        self._news = asyncio.Event()
        for method, take in (
            (lsp.TEXT_DOCUMENT_PUBLISH_DIAGNOSTICS, self._find),
            (lsp.WINDOW_SHOW_MESSAGE, self._show),
            (lsp.WINDOW_LOG_MESSAGE, self._log),
            (lsp.CLIENT_REGISTER_CAPABILITY, self._register),
        ):
            self.feature(method)(partial(take))  # pygls sets attributes on what it is given

    def _find(self, params: lsp.PublishDiagnosticsParams) -> None:
        self.found[params.uri] = list(params.diagnostics)
        self._news.set()

    def _show(self, params: lsp.ShowMessageParams) -> None:
        self.shown.append(params)

    def _log(self, params: lsp.LogMessageParams) -> None:
        self.logged.append(params)
        self._news.set()

    def _register(self, params: lsp.RegistrationParams) -> None:
        self.registered += [one.method for one in params.registrations]
        self._news.set()

    async def until(self, holds: Callable[[], bool]) -> None:
        """Wait for the server to tell what makes something hold."""
        try:
            async with asyncio.timeout(PATIENCE):
                while not holds():
                    self._news.clear()
                    await self._news.wait()
        except TimeoutError:
            raise AssertionError(f"the server told {self.found}, {self.logged}") from None

    def codes(
        self, uri: str, severity: lsp.DiagnosticSeverity = lsp.DiagnosticSeverity.Error
    ) -> list[str]:
        """Return the codes that the server found last in a file."""
        return [str(one.code) for one in self.found.get(uri, []) if one.severity is severity]

    # -- an editor's gestures ----------------------------------------------------------------

    def open(self, uri: str, text: str) -> None:
        document = lsp.TextDocumentItem(uri, "policyd", 1, text)
        self.text_document_did_open(lsp.DidOpenTextDocumentParams(document))

    def type(self, uri: str, version: int, *changes: lsp.TextDocumentContentChangeEvent) -> None:
        document = lsp.VersionedTextDocumentIdentifier(version, uri)
        self.text_document_did_change(lsp.DidChangeTextDocumentParams(document, list(changes)))

    def replace(self, uri: str, version: int, text: str) -> None:
        self.type(uri, version, lsp.TextDocumentContentChangeWholeDocument(text))


def position(text: str, marked: str) -> lsp.Position:
    """Return the UTF-16 position of the `|` in `marked`, a part of the text that occurs once."""
    before, _, after = marked.partition("|")
    assert text.count(before + after) == 1, before + after
    until = text[: text.index(before + after) + len(before)]
    line = until.rpartition("\n")[2]
    return lsp.Position(until.count("\n"), len(line.encode("utf-16-le")) // 2)


@asynccontextmanager
async def client(folders: Sequence[Path]) -> AsyncIterator[Client]:
    """Start a server, begin a session with these folders, and end both afterwards."""
    one = Client()
    await one.start_io(sys.executable, "-c", _COMMAND, "lsp")
    try:
        async with asyncio.timeout(PATIENCE):
            await one.initialize_async(
                lsp.InitializeParams(
                    capabilities=lsp.ClientCapabilities(
                        workspace=lsp.WorkspaceClientCapabilities(
                            did_change_watched_files=lsp.DidChangeWatchedFilesClientCapabilities(
                                dynamic_registration=True
                            )
                        )
                    ),
                    workspace_folders=[
                        lsp.WorkspaceFolder(folder.as_uri(), folder.name) for folder in folders
                    ],
                )
            )
        one.initialized(lsp.InitializedParams())
        yield one
        async with asyncio.timeout(PATIENCE):
            await one.shutdown_async(None)
    finally:
        one.exit(None)
        stop: Callable[[], Awaitable[object]] = one.stop
        await stop()


def drive(folders: Sequence[Path], script: Callable[[Client], Awaitable[None]]) -> None:
    """Run a script of an editor against a server of its own."""

    async def run() -> None:
        async with client(folders) as one:
            await script(one)

    asyncio.run(run())
