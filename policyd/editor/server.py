"""The language server: a `Session` behind the protocol.

Input: messages of the Language Server Protocol 3.17. Output: its answers, over the transport of
pygls. This module decides nothing.

Invariants: the event loop only passes messages on. One thread uses the session, in the order of the
messages, so that a request sees each earlier edit. Another thread checks whole policy sets, so that
a long check delays no answer.
"""

from __future__ import annotations

import asyncio
import logging
from collections.abc import Callable, Sequence
from concurrent.futures import ThreadPoolExecutor
from functools import partial
from typing import TypeVar

from lsprotocol import types as lsp
from pygls.exceptions import JsonRpcException, JsonRpcInvalidRequest
from pygls.lsp.server import LanguageServer
from pygls.protocol import json_rpc

from policyd.diagnostics import Diagnostic
from policyd.editor.positions import Encoding
from policyd.editor.session import RUN_TESTS, Session, Tools
from policyd.editor.workspace import Analysis
from policyd.errors import InternalError, PolicydError

T = TypeVar("T")

#: How long, in seconds, typing must rest before findings are looked for.
QUIET = 0.2
#: Where pygls logs what a request raises.
_PROTOCOL_LOG = json_rpc.logger.name


def is_defect(record: logging.LogRecord) -> bool:
    """Tell whether a record of the protocol's log is about a failure that is no answer.

    What the editor is told, such as why something cannot be renamed, needs no traceback beside it.
    """
    error = record.exc_info[1] if isinstance(record.exc_info, tuple) else None
    cause = error.__cause__ if isinstance(error, JsonRpcException) else None
    return not isinstance(cause, PolicydError) or isinstance(cause, InternalError)


class PolicyServer(LanguageServer):
    """A server for one client."""

    def __init__(self, tools: Tools, version: str, quiet: float = QUIET) -> None:
        super().__init__("policyd", version)
        self._tools = tools
        self._quiet = quiet
        self._worker = ThreadPoolExecutor(1, "analysis")
        self._checker = ThreadPoolExecutor(1, "check")
        self._session: Session | None = None
        self._timer: asyncio.TimerHandle | None = None
        self._publishing: asyncio.Task[None] | None = None
        self._look_again = False
        self._published: dict[str, list[lsp.Diagnostic]] = {}

    @property
    def session(self) -> Session:
        """The client's session. Raises `JsonRpcInvalidRequest` before it has begun."""
        if self._session is None:
            raise JsonRpcInvalidRequest("the client has not initialized the server")
        return self._session

    def begin(self) -> None:
        """Begin a session with the folders that the client has open, and read their files."""
        encoding = Encoding(self.workspace.position_encoding or Encoding.UTF_16)
        folders = sorted(self.workspace.folders)
        self._session = Session(self._tools, folders, encoding)
        for folder in folders:
            self.submit(partial(self._session.refresh, folder))
        for uri, document in self.workspace.text_documents.items():
            self.submit(partial(self._session.edit, uri, document.source))
        self.look_soon()

    # -- work --------------------------------------------------------------------------------

    def submit(self, work: Callable[[], None]) -> None:
        """Have something done after all that was asked for before."""
        done = asyncio.get_running_loop().run_in_executor(self._worker, work)
        done.add_done_callback(self._report)

    def _report(self, done: asyncio.Future[None]) -> None:
        """Tell the client what went wrong with what it does not wait for."""
        error = None if done.cancelled() else done.exception()
        if error is not None:
            expected = isinstance(error, PolicydError) and not isinstance(error, InternalError)
            kind = lsp.MessageType.Info if expected else lsp.MessageType.Error
            said = str(error) if expected else f"{type(error).__name__}: {error}"
            self.window_log_message(lsp.LogMessageParams(kind, said))

    async def answer(self, work: Callable[[], T]) -> T:
        """Return what some work comes to, after all that was asked for before."""
        try:
            return await asyncio.get_running_loop().run_in_executor(self._worker, work)
        except PolicydError as error:
            code = lsp.LSPErrorCodes.RequestFailed.value
            raise JsonRpcException(message=str(error), code=code) from error

    def look_soon(self) -> None:
        """Look for findings as soon as nothing has changed for a while."""
        if self._timer is not None:
            self._timer.cancel()
        self._timer = asyncio.get_running_loop().call_later(self._quiet, self._look)

    def _look(self) -> None:
        if self._publishing is not None and not self._publishing.done():
            self._look_again = True  # a long check is not joined by a second one
            return
        self._publishing = asyncio.get_running_loop().create_task(self._look_now())
        self._publishing.add_done_callback(self._report)

    async def _look_now(self) -> None:
        self._look_again = True
        while self._look_again:
            self._look_again = False
            await self.publish()

    async def publish(self) -> None:
        """Tell the client the findings that have changed."""
        session = self.session
        analyses = await self.answer(session.analyses)
        loop = asyncio.get_running_loop()
        findings = await loop.run_in_executor(self._checker, _findings, analyses)
        found = await self.answer(partial(session.diagnostics, findings))
        before, self._published = self._published, found
        for uri in sorted({*before, *found}):
            if before.get(uri) != found.get(uri):
                self.text_document_publish_diagnostics(
                    lsp.PublishDiagnosticsParams(uri, found.get(uri, []))
                )


def _findings(analyses: Sequence[Analysis]) -> tuple[Diagnostic, ...]:
    return tuple(found for analysis in analyses for found in analysis.diagnostics)


def make_server(tools: Tools, version: str) -> PolicyServer:
    """Make a server that has not begun to listen."""
    logging.getLogger(_PROTOCOL_LOG).addFilter(is_defect)
    server = PolicyServer(tools, version)
    _follow_files(server)
    _answer_about_places(server)
    _answer_about_files(server)
    return server


def _follow_files(server: PolicyServer) -> None:
    @server.feature(lsp.INITIALIZED)
    def initialized(ls: PolicyServer, _: lsp.InitializedParams) -> None:
        ls.begin()
        workspace = ls.client_capabilities.workspace
        watched = workspace and workspace.did_change_watched_files
        if watched and watched.dynamic_registration:
            ls.client_register_capability(_watch_policies())

    @server.feature(lsp.TEXT_DOCUMENT_DID_OPEN)
    def opened(ls: PolicyServer, params: lsp.DidOpenTextDocumentParams) -> None:
        edited(ls, params.text_document.uri)

    @server.feature(lsp.TEXT_DOCUMENT_DID_CHANGE)
    def changed(ls: PolicyServer, params: lsp.DidChangeTextDocumentParams) -> None:
        edited(ls, params.text_document.uri)

    @server.feature(lsp.TEXT_DOCUMENT_DID_CLOSE)
    def closed(ls: PolicyServer, params: lsp.DidCloseTextDocumentParams) -> None:
        ls.submit(partial(ls.session.close, params.text_document.uri))
        ls.look_soon()

    @server.feature(lsp.WORKSPACE_DID_CHANGE_WATCHED_FILES)
    def touched(ls: PolicyServer, params: lsp.DidChangeWatchedFilesParams) -> None:
        for change in params.changes:
            ls.submit(partial(ls.session.refresh, change.uri))
        ls.look_soon()

    @server.feature(lsp.WORKSPACE_DID_CHANGE_WORKSPACE_FOLDERS)
    def folders(ls: PolicyServer, _: lsp.DidChangeWorkspaceFoldersParams) -> None:
        ls.begin()

    def edited(ls: PolicyServer, uri: str) -> None:
        text = ls.workspace.get_text_document(uri).source
        ls.submit(partial(ls.session.edit, uri, text))
        ls.look_soon()


def _watch_policies() -> lsp.RegistrationParams:
    options = lsp.DidChangeWatchedFilesRegistrationOptions([lsp.FileSystemWatcher("**/*.policy")])
    method = lsp.WORKSPACE_DID_CHANGE_WATCHED_FILES
    return lsp.RegistrationParams([lsp.Registration("policies", method, options)])


def _answer_about_places(server: PolicyServer) -> None:
    @server.feature(lsp.TEXT_DOCUMENT_HOVER)
    async def hover(ls: PolicyServer, params: lsp.HoverParams) -> lsp.Hover | None:
        return await ls.answer(lambda: ls.session.hover(params.text_document.uri, params.position))

    @server.feature(lsp.TEXT_DOCUMENT_DEFINITION)
    async def definition(ls: PolicyServer, params: lsp.DefinitionParams) -> list[lsp.Location]:
        return await ls.answer(
            lambda: ls.session.definition(params.text_document.uri, params.position)
        )

    @server.feature(lsp.TEXT_DOCUMENT_REFERENCES)
    async def references(ls: PolicyServer, params: lsp.ReferenceParams) -> list[lsp.Location]:
        declared = params.context.include_declaration
        uri = params.text_document.uri
        return await ls.answer(
            lambda: ls.session.references(uri, params.position, declared=declared)
        )

    @server.feature(lsp.TEXT_DOCUMENT_PREPARE_RENAME)
    async def prepare_rename(
        ls: PolicyServer, params: lsp.PrepareRenameParams
    ) -> lsp.PrepareRenamePlaceholder | None:
        return await ls.answer(
            lambda: ls.session.rename_range(params.text_document.uri, params.position)
        )

    @server.feature(lsp.TEXT_DOCUMENT_RENAME, lsp.RenameOptions(prepare_provider=True))
    async def rename(ls: PolicyServer, params: lsp.RenameParams) -> lsp.WorkspaceEdit | None:
        uri = params.text_document.uri
        return await ls.answer(lambda: ls.session.rename(uri, params.position, params.new_name))

    @server.feature(
        lsp.TEXT_DOCUMENT_COMPLETION, lsp.CompletionOptions(trigger_characters=[".", ":", " ", "["])
    )
    async def completion(
        ls: PolicyServer, params: lsp.CompletionParams
    ) -> lsp.CompletionList | None:
        return await ls.answer(
            lambda: ls.session.completion(params.text_document.uri, params.position)
        )

    @server.feature(
        lsp.TEXT_DOCUMENT_CODE_ACTION,
        lsp.CodeActionOptions([lsp.CodeActionKind.QuickFix, lsp.CodeActionKind.SourceFixAll]),
    )
    async def actions(ls: PolicyServer, params: lsp.CodeActionParams) -> list[lsp.CodeAction]:
        return await ls.answer(lambda: ls.session.actions(params.text_document.uri, params.range))


def _answer_about_files(server: PolicyServer) -> None:
    @server.feature(lsp.TEXT_DOCUMENT_FORMATTING)
    async def formatting(
        ls: PolicyServer, params: lsp.DocumentFormattingParams
    ) -> list[lsp.TextEdit] | None:
        return await ls.answer(lambda: ls.session.formatting(params.text_document.uri))

    @server.feature(lsp.TEXT_DOCUMENT_DOCUMENT_SYMBOL)
    async def symbols(
        ls: PolicyServer, params: lsp.DocumentSymbolParams
    ) -> list[lsp.DocumentSymbol]:
        return await ls.answer(lambda: ls.session.symbols(params.text_document.uri))

    @server.feature(lsp.TEXT_DOCUMENT_CODE_LENS)
    async def lenses(ls: PolicyServer, params: lsp.CodeLensParams) -> list[lsp.CodeLens]:
        return await ls.answer(lambda: ls.session.lenses(params.text_document.uri))

    @server.command(RUN_TESTS)
    async def run_tests(ls: PolicyServer, uri: str, title: str | None) -> None:
        ls.window_show_message(await ls.answer(lambda: ls.session.run_tests(uri, title)))
        await ls.publish()
