"""What a repository's source makes of what was fetched: whom it believes, and what it tells.

The process that fetches is played here; `test_source` has the real one, and the real git.
"""

from __future__ import annotations

import re
from pathlib import Path

import msgspec
import pytest
from cryptography.hazmat.primitives.asymmetric.ed25519 import Ed25519PrivateKey
from cryptography.hazmat.primitives.serialization import (
    Encoding,
    NoEncryption,
    PrivateFormat,
    PublicFormat,
)

from policyd.sources.policies import PoliciesUnreadable, PolicyFiles, Step, Steps
from policyd.sources.policies.git.helper import Request
from policyd.sources.policies.git.settings import GitSettings
from policyd.sources.policies.git.source import GitSource
from policyd.sources.policies.helper import Answer
from policyd.sources.policies.model import Provenance
from policyd.sources.policies.signatures.trust import Trust
from policyd.sources.policies.state import StateFolder
from tests.support.git_objects import EMAIL, Nested, Objects

URL = "https://git.example/policies.git"
FILES: Nested = {"policies": {"a.policy": b"api a\n", "a_test.policy": b"api a\n"}}


class Key:
    """An SSH key: its private half as OpenSSH writes it, and the line of its public one."""

    def __init__(self) -> None:
        key = Ed25519PrivateKey.generate()
        self.private = key.private_bytes(Encoding.PEM, PrivateFormat.OpenSSH, NoEncryption())
        public = key.public_key().public_bytes(Encoding.OpenSSH, PublicFormat.OpenSSH)
        self.public = public.decode()


class Server(Objects):
    """A repository with one ref, `head`, and the process that fetches from it."""

    def __init__(self) -> None:
        super().__init__()
        self.head = ""
        self.problem = ""
        self.requests: list[Request] = []

    def push(self, files: Nested, *parents: str, key: Key | None = None) -> str:
        private = None if key is None else key.private
        self.head = self.commit(self.folder(files), *parents, key=private)
        return self.head

    def ask(self, request: Request, shape: type[Answer]) -> Answer:
        self.requests.append(request)
        found = request.ref if self.has(request.ref) else self.head
        if not found:
            raise PoliciesUnreadable("there is nothing", Step.FETCH)
        if found != request.known:
            self.write(Path(request.folder))
        return shape(id=found, problem=self.problem)

    def give_up(self) -> None:
        raise AssertionError("nothing waits here")

    @property
    def known(self) -> list[str]:
        return [request.known for request in self.requests]

    @property
    def ancestors(self) -> list[str]:
        return [request.ancestor for request in self.requests]


class Rig:
    """A source of a played server, and what it told."""

    def __init__(self, folder: Path, server: Server, **changes: object) -> None:
        settings = GitSettings(url=URL, ref="main", path="policies")
        self.state, self.steps = StateFolder(folder / "state"), Steps()
        self.source = GitSource(
            msgspec.structs.replace(settings, **changes), self.state, steps=self.steps
        )
        self.source._helper = server  # type: ignore[assignment]
        self.told: list[PolicyFiles | PoliciesUnreadable] = []

    def look(self) -> PolicyFiles | PoliciesUnreadable | None:
        """Look once; return what is told of, if anything is."""
        before = len(self.told)
        self.source.look(self.told.append)
        return self.told[-1] if len(self.told) > before else None

    def serve(self) -> PolicyFiles:
        files = self.source.read()
        self.state.remember(files, "revision")
        self.source.serves(files.provenance)
        return files

    def refusal(self) -> PoliciesUnreadable:
        """Look, and return the refusal that is told of."""
        told = self.look()
        assert isinstance(told, PoliciesUnreadable), told
        return told


@pytest.fixture
def server() -> Server:
    return Server()


def test_each_look_says_what_it_knows_and_what_it_must_descend_from(
    tmp_path: Path, server: Server
) -> None:
    first = server.push(FILES)
    rig = Rig(tmp_path, server)
    assert rig.serve().provenance == Provenance("git", URL, first, "main", "policies")
    assert rig.source.named == first
    assert rig.look() is None
    second = server.push(FILES | {"more": b""}, first)
    assert isinstance(rig.look(), PolicyFiles)
    assert rig.source.named == second
    assert server.known == ["", first, first]
    assert server.ancestors == ["", first, first]
    assert rig.steps.figures[Step.FETCH].runs == 2
    assert not list(rig.state.path.glob("fetch-*"))


def test_where_it_comes_from_does_not_change_with_commits(tmp_path: Path, server: Server) -> None:
    rig = Rig(tmp_path, server)
    assert rig.source.source == Provenance("git", URL, ref="main", path="policies")


def test_tests_and_files_with_other_names_are_told_of_if_that_is_wanted(
    tmp_path: Path, server: Server
) -> None:
    server.push({"policies": {"a.policy": b"", "a_test.policy": b"", "b.polic": b""}})
    files = Rig(tmp_path, server).source.read()
    assert [one.name for one in files.sources] == ["a.policy"]
    assert files.tests == ()
    (finding,) = files.diagnostics
    assert "b.polic" in f"{finding.headline} {finding.notes}"


# -- commits that do not follow -------------------------------------------------------------------


def test_a_rewound_ref_is_refused_once_and_an_operator_may_recall_it(
    tmp_path: Path, server: Server
) -> None:
    first = server.push(FILES)
    second = server.push(FILES | {"more": b""}, first)
    rig = Rig(tmp_path, server)
    rig.serve()
    server.head = first
    refused = rig.refusal()
    assert (refused.step, refused.provenance) == (
        Step.VERIFY, Provenance("git", URL, first, "main", "policies"),
    )  # fmt: skip
    assert f"commit {first} does not descend from {second}" in str(refused)
    assert rig.look() is None
    server.requests.clear()
    assert rig.source.recall(first).provenance.commit == first
    assert (server.known, server.ancestors) == ([""], [""])
    assert server.requests[0].ref == first


def test_a_recall_changes_nothing_of_what_the_ref_is_known_to_name(
    tmp_path: Path, server: Server
) -> None:
    first = server.push(FILES)
    second = server.push(FILES | {"more": b""}, first)
    rig = Rig(tmp_path, server)
    rig.serve()
    assert rig.source.recall(second).provenance.commit == second, "what serves may be asked for"
    assert rig.source.recall(first).provenance.commit == first
    assert rig.source.named == second
    assert rig.look() is None


@pytest.mark.parametrize("name", ["revision-1", "main", "c" * 39, "C" * 40, "c" * 41, ""])
def test_only_a_whole_commit_can_be_recalled(tmp_path: Path, server: Server, name: str) -> None:
    server.push(FILES)
    with pytest.raises(PoliciesUnreadable, match="no set that served is named") as raised:
        Rig(tmp_path, server).source.recall(name)
    assert raised.value.step is Step.READ
    assert server.requests == []


def test_a_rewind_may_be_allowed(tmp_path: Path, server: Server) -> None:
    first = server.push(FILES)
    server.push(FILES | {"more": b""}, first)
    rig = Rig(tmp_path, server, allow_rewind=True)
    rig.serve()
    server.head = first
    told = rig.look()
    assert isinstance(told, PolicyFiles)
    assert told.provenance.commit == first
    assert set(server.ancestors) == {""}


@pytest.mark.parametrize(
    ("changes", "bound"),
    [
        ({}, True),
        ({"path": ""}, True),
        ({"ref": "other"}, False),
        ({"url": "https://git.example/other.git"}, False),
    ],
)
def test_after_a_restart_what_served_last_of_the_same_ref_is_followed(
    tmp_path: Path, server: Server, changes: dict[str, object], bound: bool
) -> None:
    """Another ref or repository is the operator's own change."""
    first = server.push({**FILES, "b.policy": b"api b\n"})
    Rig(tmp_path, server).serve()
    server.requests.clear()
    Rig(tmp_path, server, **changes).source.read()
    assert server.ancestors == [first if bound else ""]


def test_what_served_of_another_kind_of_source_is_not_followed(
    tmp_path: Path, server: Server
) -> None:
    server.push(FILES)
    rig = Rig(tmp_path, server)
    files = rig.source.read()
    bundle = msgspec.structs.replace(files.provenance, kind="bundle")
    rig.state.remember(msgspec.structs.replace(files, provenance=bundle), "revision")
    Rig(tmp_path, server).source.read()
    assert set(server.ancestors) == {""}


def test_a_pinned_commit_is_that_one_and_no_other(tmp_path: Path, server: Server) -> None:
    pinned = server.push(FILES)
    other = server.push(FILES | {"more": b""})
    assert Rig(tmp_path, server, ref=pinned).source.read().provenance.commit == pinned
    del server.by_name[pinned]
    with pytest.raises(PoliciesUnreadable, match=f"`{other}` came in place of `{pinned}`") as told:
        Rig(tmp_path, server, ref=pinned).source.read()
    assert told.value.step is Step.VERIFY


# -- what cannot be used --------------------------------------------------------------------------


def test_a_commit_that_the_process_refuses_is_told_once_and_counts_as_an_answer(
    tmp_path: Path, server: Server
) -> None:
    first = server.push(FILES)
    rig = Rig(tmp_path, server)
    rig.serve()
    second = server.push(FILES | {"more": b""}, first)
    server.problem = "it is too large"
    refused = rig.refusal()
    assert (str(refused), refused.step) == ("it is too large", Step.READ)
    assert refused.provenance is not None
    assert refused.provenance.commit == second
    assert rig.look() is None
    assert (rig.source.figures.problem, rig.source.figures.failed) == (None, 0)


def test_a_damaged_object_is_refused_with_its_commit(tmp_path: Path, server: Server) -> None:
    commit = server.push(FILES)
    blob = next(id_ for id_, (kind, _) in server.by_name.items() if kind == "blob")
    server.by_name[blob] = ("blob", b"api other\n")
    refused = Rig(tmp_path, server).refusal()
    assert "has other bytes than its name says" in str(refused)
    assert refused.step is Step.VERIFY
    assert refused.provenance == Provenance("git", URL, commit, "main", "policies")


def test_an_object_that_was_not_fetched_is_refused_with_its_commit(
    tmp_path: Path, server: Server
) -> None:
    commit = server.push(FILES)
    blob = next(id_ for id_, (kind, _) in server.by_name.items() if kind == "blob")
    del server.by_name[blob]
    refused = Rig(tmp_path, server).refusal()
    assert f"the object {blob} was not fetched: No such file" in str(refused)
    assert refused.provenance is not None
    assert refused.provenance.commit == commit


def test_an_answer_that_names_nothing_is_no_state(
    tmp_path: Path, server: Server, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(server, "ask", lambda *_: Answer())
    with pytest.raises(PoliciesUnreadable, match="was not fetched"):
        Rig(tmp_path, server).source.read()


@pytest.mark.parametrize("name", ["ssh_key_file", "known_hosts_file", "ca_file"])
def test_a_file_of_the_configuration_that_is_gone_is_named(
    tmp_path: Path, server: Server, name: str
) -> None:
    server.push(FILES)
    path = tmp_path / "file"
    rig = Rig(tmp_path, server, **{name: path})
    with pytest.raises(PoliciesUnreadable, match=f"`{name}`: {path} is no file") as raised:
        rig.source.read()
    assert raised.value.step is Step.FETCH
    assert server.requests == []
    path.write_text("")
    rig.source.read()
    assert getattr(server.requests[0], name) == str(path)


def test_the_process_is_told_what_the_configuration_says(tmp_path: Path, server: Server) -> None:
    server.push(FILES)
    secret = tmp_path / "secret"
    secret.write_text("word\r\n")
    rig = Rig(
        tmp_path, server, username="jane", password_file=secret, timeout=5.0,
        max_fetch_bytes=9000, max_bytes=700,
        max_files=7,
    )  # fmt: skip
    rig.source.read()
    (request,) = server.requests
    assert request == Request(
        folder=request.folder, url=URL, ref="main", path="policies", username="jane",
        password="word", seconds=5.0, largest_file=9000, max_bytes=700,
        max_files=7,
    )  # fmt: skip


@pytest.mark.parametrize(
    ("bounds", "said"),
    [
        ({"max_bytes": 12, "max_files": 2}, None),
        ({"max_bytes": 11, "max_files": 2}, r"more than 11 bytes \(`max_bytes`\)"),
        ({"max_bytes": 12, "max_files": 1}, r"more than 1 policy files \(`max_files`\)"),
    ],
)
def test_limits_are_kept_to_the_byte_whatever_the_process_sends(
    tmp_path: Path, server: Server, bounds: dict[str, object], said: str | None
) -> None:
    commit = server.push(FILES)
    rig = Rig(tmp_path, server, **bounds)
    if said is None:
        rig.source.read()
        return
    refused = rig.refusal()
    assert re.search(said, str(refused))
    assert refused.provenance is not None
    assert refused.provenance.commit == commit


def test_a_file_that_is_far_too_large_is_not_read_in_full(tmp_path: Path, server: Server) -> None:
    server.push({"policies": {"a.policy": b"x" * 10_000}})
    refused = Rig(tmp_path, server, max_bytes=100).refusal()
    assert "more than 100 bytes (`max_bytes`)" in str(refused)


# -- signatures -----------------------------------------------------------------------------------


@pytest.fixture
def signers(tmp_path: Path) -> Path:
    return tmp_path / "allowed_signers"


def trusting(tmp_path: Path, server: Server, signers: Path, **changes: object) -> Rig:
    return Rig(tmp_path, server, trust=Trust(allowed_signers_file=signers), **changes)


def test_a_commit_of_an_allowed_signer_serves_and_says_whose_it_is(
    tmp_path: Path, server: Server, signers: Path
) -> None:
    key = Key()
    signers.write_text(f"* {key.public}\n")
    server.push(FILES, key=key)
    rig = trusting(tmp_path, server, signers)
    assert rig.source.read().provenance.signer == EMAIL


def test_what_is_not_signed_serves_only_where_nobody_asks(
    tmp_path: Path, server: Server, signers: Path
) -> None:
    signers.write_text("")
    commit = server.push(FILES)
    refused = trusting(tmp_path, server, signers).refusal()
    assert str(refused) == f"commit {commit} is refused: it is not signed"
    assert refused.step is Step.VERIFY
    assert refused.provenance is not None
    assert (refused.provenance.commit, refused.provenance.signer) == (commit, "")
    assert Rig(tmp_path, server).source.read().provenance.signer == ""


def test_a_signature_of_a_stranger_is_refused_until_the_list_names_the_key(
    tmp_path: Path, server: Server, signers: Path
) -> None:
    """The ref names the same commit, and the look after the list changed judges it anew."""
    key, other = Key(), Key()
    signers.write_text(f"* {other.public}\n")
    server.push(FILES, key=key)
    rig = trusting(tmp_path, server, signers)
    assert "is not among the allowed signers" in str(rig.refusal())
    assert rig.look() is None
    signers.write_text(f"* {key.public}\n")
    told = rig.look()
    assert isinstance(told, PolicyFiles)
    assert told.provenance.signer == EMAIL
    assert rig.look() is None
    signers.write_text(f"* {other.public}\n")
    assert "is not among the allowed signers" in str(rig.refusal())


def test_a_signed_tag_vouches_for_its_commit(tmp_path: Path, server: Server, signers: Path) -> None:
    key, other = Key(), Key()
    signers.write_text(f"* {key.public}\n")
    commit = server.push(FILES)
    unsigned = server.tag(commit)
    for chain in (
        server.tag(commit, key=key.private),
        server.tag(unsigned, "tag", key=key.private),
        server.tag(server.tag(commit, key=key.private), "tag"),
    ):
        server.head = chain
        provenance = trusting(tmp_path, server, signers).source.read().provenance
        assert (provenance.commit, provenance.signer) == (commit, EMAIL)
    for chain in (unsigned, server.tag(commit, key=other.private)):
        server.head = chain
        refused = trusting(tmp_path, server, signers).refusal()
        assert str(refused) == f"commit {commit} is refused: it is not signed"
        assert refused.provenance is not None
        assert refused.provenance.commit == commit


def test_a_signed_commit_needs_to_descend_as_any_other(
    tmp_path: Path, server: Server, signers: Path
) -> None:
    key = Key()
    signers.write_text(f"* {key.public}\n")
    first = server.push(FILES, key=key)
    server.push(FILES | {"more": b""}, first, key=key)
    rig = trusting(tmp_path, server, signers)
    rig.serve()
    server.head = first
    refused = rig.refusal()
    assert "does not descend from" in str(refused)
    assert "is refused" not in str(refused)


# -- what an operator activated -------------------------------------------------------------------


def test_what_an_operator_activated_serves_again_after_a_restart(
    tmp_path: Path, server: Server
) -> None:
    first = server.push(FILES)
    second = server.push(FILES | {"more": b""}, first)
    rig = Rig(tmp_path, server)
    rig.serve()
    rig.state.remember(rig.source.recall(first), "revision-1", passed_over=second)
    restarted = Rig(tmp_path, server)
    assert restarted.serve().provenance.commit == first
    assert restarted.source.named == second
    assert restarted.look() is None
    (path,) = [one for one in (rig.state.path / "sets").iterdir() if first in one.read_text()]
    path.write_text("{")
    with pytest.raises(PoliciesUnreadable, match="the state folder cannot be used") as raised:
        Rig(tmp_path, server).source.read()
    assert raised.value.step is Step.READ
    (rig.state.path / "active.json").write_text("{")
    with pytest.raises(PoliciesUnreadable, match="the state folder cannot be used") as raised:
        Rig(tmp_path, server).source.read()
    assert raised.value.step is Step.VERIFY
