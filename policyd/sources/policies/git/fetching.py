"""The process that fetches from a repository. It runs for one look, and its output is not trusted.

Input: a `Request` on standard input. Output: an `Answer` on standard output, objects in a folder.
All data from the network is parsed in this process, whose resources `helping` limits.
"""

from __future__ import annotations

import sys
import tempfile
from collections.abc import Callable, Iterable, Sequence
from pathlib import Path
from typing import Final
from urllib.parse import unquote, urlsplit

from dulwich.client import (
    GitClient,
    HttpGitClient,
    HTTPUnauthorized,
    SSHGitClient,
    SubprocessSSHVendor,
    SubprocessWrapper,
    TCPGitClient,
)
from dulwich.errors import GitProtocolError, HangupException, NotGitRepository
from dulwich.object_store import BaseObjectStore
from dulwich.objects import ObjectID
from dulwich.repo import Repo

from policyd.sources.policies.git.helper import Request
from policyd.sources.policies.git.objects import ID, ObjectMalformed, packed, read_commit
from policyd.sources.policies.git.tree import files, peel
from policyd.sources.policies.helper import Answer
from policyd.sources.policies.helping import answer
from policyd.sources.policies.model import Limits, PoliciesUnreadable

_KINDS: Final = {1: "commit", 2: "tree", 3: "blob", 4: "tag"}


class Unfetchable(Exception):
    """Nothing can be fetched; the text says why."""


class Repository:
    """A remote or a local repository, opened for reading."""

    def __init__(self, request: Request, scratch: Path) -> None:
        self._request = request
        self._scratch = scratch
        self._left = request.largest_file
        parts = urlsplit(request.url)
        self._path = unquote(parts.path)
        self._local = Repo(self._path) if parts.scheme == "file" else None
        self._client = None if self._local is not None else _client(request)

    def find(self, ref: str) -> str:
        """Return the object that a ref names. Raises `Unfetchable`."""
        if ID.fullmatch(ref):
            return ref
        names = [ref] if ref.startswith("refs/") else [f"refs/heads/{ref}", f"refs/tags/{ref}"]
        refs = self._refs([name.encode() for name in names])
        found = {name: refs[name.encode()] for name in names if name.encode() in refs}
        if len(found) > 1:
            raise Unfetchable(
                f"`{ref}` is a branch and a tag; write `{names[0]}` or `{names[1]}` for `ref`"
            )
        for id_ in found.values():
            return id_.decode()
        raise Unfetchable(f"there is no branch or tag `{ref}`")

    def _refs(self, prefixes: Sequence[bytes]) -> dict[bytes, bytes]:
        if self._local is not None:
            return {bytes(name): bytes(id_) for name, id_ in self._local.get_refs().items()}
        assert self._client is not None, "what is not local has a client"
        refs = self._client.get_refs(self._path.encode(), ref_prefix=prefixes).refs
        return {bytes(name): bytes(id_) for name, id_ in refs.items() if id_ is not None}

    def snapshot(self, id_: str) -> BaseObjectStore:
        """Return a store with all objects of one commit, without its history."""
        return self._fetched(id_, _NoHaves(), depth=1)

    def history(self, id_: str, ancestor: str) -> BaseObjectStore:
        """Return a store with the commits that are ancestors of `id_` and not of `ancestor`."""
        return self._fetched(id_, _Have(ancestor), filter_spec=b"tree:0")

    def _fetched(
        self,
        id_: str,
        walker: _NoHaves,
        depth: int | None = None,
        filter_spec: bytes | None = None,
    ) -> BaseObjectStore:
        if self._local is not None:
            return self._local.object_store
        assert self._client is not None, "what is not local has a client"
        folder = Path(tempfile.mkdtemp(dir=self._scratch))
        store = Repo.init_bare(str(folder)).object_store
        pack, commit, abort = store.add_pack()

        def write(data: bytes) -> int:
            self._left -= len(data)
            if self._left < 0:
                raise Unfetchable(
                    f"the repository sent more than {self._request.largest_file:,} bytes "
                    "(`max_fetch_bytes`)"
                )
            return pack.write(data)

        try:
            self._client.fetch_pack(
                self._path.encode(),
                lambda _refs, depth=None: [ObjectID(id_.encode())],  # noqa: ARG005 - the form
                walker,
                write,
                depth=depth,
                ref_prefix=[b"refs/policyd-asks-for-none"],
                filter_spec=filter_spec,
            )
        except BaseException:
            abort()
            raise
        commit()
        return store


class _NoHaves:
    """Tells the server that the client has no objects."""

    shallow: frozenset[ObjectID] = frozenset()

    def __next__(self) -> ObjectID | None:
        return None

    def ack(self, _sha: ObjectID) -> None:
        """See dulwich's walkers."""

    def nak(self) -> None:
        """See dulwich's walkers."""


class _Have(_NoHaves):
    """Tells the server that the client has one commit, and so its ancestors."""

    def __init__(self, id_: str) -> None:
        self._left = [ObjectID(id_.encode())]

    def __next__(self) -> ObjectID | None:
        return self._left.pop() if self._left else None


class _Ssh(SubprocessSSHVendor):
    """OpenSSH's client with one key and one list of hosts; no user's or system's settings apply."""

    def __init__(self, request: Request) -> None:
        self._request = request

    def run_command(  # type: ignore[override]
        self, host: str, command: bytes, **given: object
    ) -> SubprocessWrapper:
        options = (
            "BatchMode=yes",
            "IdentitiesOnly=yes",
            "StrictHostKeyChecking=yes",
            f"UserKnownHostsFile={self._request.known_hosts_file}",
            "GlobalKnownHostsFile=/dev/null",
            "ClearAllForwardings=yes",
            f"ConnectTimeout={max(1, int(self._request.seconds))}",
        )
        words = [word for option in options for word in ("-o", option)]
        given["ssh_command"] = " ".join(["ssh", "-F", "none", *words])
        return super().run_command(host, command, **given)  # type: ignore[arg-type]


def _client(request: Request) -> GitClient:
    parts = urlsplit(request.url)
    host = parts.hostname or ""
    if parts.scheme == "git":
        return TCPGitClient(host, port=parts.port, thin_packs=False)
    if parts.scheme == "ssh":
        return SSHGitClient(
            host,
            port=parts.port,
            username=parts.username or request.username or "git",
            vendor=_Ssh(request),
            key_filename=request.ssh_key_file or None,
            thin_packs=False,
        )
    import urllib3

    pool = urllib3.PoolManager(
        # No redirects: only the configuration decides which server is asked.
        retries=urllib3.Retry(total=0, redirect=0, raise_on_redirect=True),
        timeout=request.seconds,
        cert_reqs="CERT_REQUIRED",
        ca_certs=request.ca_file or None,
        headers={"User-Agent": "git/policyd"},
    )
    return HttpGitClient(
        f"{parts.scheme}://{parts.netloc}",
        pool_manager=pool,
        username=request.username or None,
        password=request.password or None,
        thin_packs=False,
    )


def fetch(request: Request, scratch: Path) -> Answer:
    """Resolve the ref, fetch its commit if it is new, and return the object that the ref names.

    Raises `Unfetchable`, `ObjectMalformed`, and what dulwich raises.
    """
    repository = Repository(request, scratch)
    id_ = repository.find(request.ref)
    if id_ == request.known:
        return Answer(id_)
    export = _Export(repository.snapshot(id_), Path(request.folder))
    try:
        _, commit_id, commit = peel(id_, export.read)
        files(commit, request.path, export.read, Limits(request.max_files, request.max_bytes))
    except PoliciesUnreadable as error:
        return Answer(id_, str(error))  # the commit is known, but its files cannot be used
    if request.ancestor and request.ancestor != commit_id:
        history = _Export(repository.history(commit_id, request.ancestor), Path(request.folder))
        for step in _way(commit_id, request.ancestor, history.look):
            history.read(step, sys.maxsize)
    return Answer(id_)


class _Export:
    """The objects of a store. Each object that is read is also written to a folder, under its
    name."""

    def __init__(self, store: BaseObjectStore, folder: Path) -> None:
        self._store = store
        self._folder = folder

    def look(self, id_: str) -> tuple[str, bytes] | None:
        """Return kind and content of an object, `None` where it is not there."""
        try:
            number, data = self._store.get_raw(ObjectID(id_.encode()))
        except KeyError:
            return None
        return _KINDS.get(number, "object"), data

    def read(self, id_: str, longest: int) -> tuple[str, bytes]:
        """Return kind and content of an object, and write it to the folder: the daemon needs it
        too."""
        found = self.look(id_)
        if found is None:
            raise ObjectMalformed(f"the server did not send the object {id_}")
        kind, data = found
        if len(data) > longest:
            raise PoliciesUnreadable(f"the object {id_} holds more than {longest:,} bytes")
        (self._folder / id_).write_bytes(packed(kind, data))
        return kind, data


def _way(id_: str, ancestor: str, look: Callable[[str], tuple[str, bytes] | None]) -> Iterable[str]:
    """Return the commits on a path from a commit to an ancestor, without the ancestor; none if
    there is no path."""
    children: dict[str, str] = {id_: ""}
    queue = [id_]
    for one in queue:
        found = look(one)
        if found is None or found[0] != "commit":
            continue
        for parent in read_commit(one, found[1]).parents:
            if parent not in children:
                children[parent] = one
                queue.append(parent)
        if ancestor in children:
            break
    way = []
    step = children.get(ancestor, "")
    while step:
        way.append(step)
        step = children[step]
    return way


def _why(error: Exception) -> str:
    """Return an error as a sentence that says what to do."""
    if isinstance(error, HTTPUnauthorized):
        return "the server wants other credentials (401): see `username` and `password_file`"
    if isinstance(error, NotGitRepository):
        return "there is no repository at this URL"
    if isinstance(error, MemoryError):
        return "fetching it needs more memory than it may"
    if isinstance(error, HangupException):
        lines = error.stderr_lines or []
        said = "; ".join(line.decode(errors="replace").strip() for line in lines)
        return said or "the server hung up"
    if isinstance(error, (GitProtocolError, Unfetchable, PoliciesUnreadable, ObjectMalformed)):
        return str(error) or type(error).__name__
    if isinstance(error, OSError):
        return error.strerror or str(error)
    return f"{type(error).__name__}: {error}"


def _fetch(request: Request) -> Answer:
    scratch = Path(request.folder).parent / "scratch"
    scratch.mkdir(exist_ok=True)
    return fetch(request, scratch)


if __name__ == "__main__":
    answer(Request, _fetch, _why)
