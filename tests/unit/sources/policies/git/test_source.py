"""A repository as a source: what a ref names, fetched by a process, and checked again here."""

from __future__ import annotations

import os
from collections.abc import Iterator
from pathlib import Path

import msgspec
import pytest

from policyd.sources.policies import PoliciesUnreadable, PolicyFiles, Step, Steps
from policyd.sources.policies.git.helper import Exported
from policyd.sources.policies.git.settings import GitSettings
from policyd.sources.policies.git.source import GitSource
from policyd.sources.policies.state import StateFolder
from tests.support.git import (
    Repository,
    git_daemon,
    git_over_https,
    git_over_ssh,
)

FILES = {"policies/a.policy": "api a\n", "policies/a_test.policy": "api a\n", "README": "x\n"}


@pytest.fixture
def repository(tmp_path: Path) -> Repository:
    (tmp_path / "git").mkdir()
    return Repository(tmp_path / "git")


class Rig:
    """A source, and what it told."""

    def __init__(self, folder: Path, url: str, **changes: object) -> None:
        settings = GitSettings(url=url, ref="main", path="policies")
        self.state = StateFolder(folder / "state")
        self.steps = Steps()
        self.source = GitSource(
            msgspec.structs.replace(settings, **changes), self.state, steps=self.steps
        )
        self.told: list[PolicyFiles | PoliciesUnreadable] = []

    def look(self) -> PolicyFiles | PoliciesUnreadable | None:
        """Look once; return what is told of, if anything is."""
        before = len(self.told)
        self.source.look(self.told.append)
        return self.told[-1] if len(self.told) > before else None

    def serve(self) -> PolicyFiles:
        """Let what is there serve."""
        files = self.source.read()
        self.state.remember(files, "revision")
        self.source.serves(files.provenance)
        return files

    def refusal(self) -> PoliciesUnreadable:
        """Look, and return the refusal that is told of."""
        told = self.look()
        assert isinstance(told, PoliciesUnreadable), told
        return told


def test_reads_the_files_of_a_branch(tmp_path: Path, repository: Repository) -> None:
    commit = repository.commit(FILES)
    files = Rig(tmp_path, repository.url).source.read()
    assert [source.name for source in files.sources] == ["a.policy"]
    assert files.tests == ()
    provenance = files.provenance
    assert (provenance.kind, provenance.place) == ("git", repository.url)
    assert (provenance.commit, provenance.ref, provenance.path) == (commit, "main", "policies")
    assert provenance.within == f"{commit[:12]}:policies"


def test_tells_of_a_new_commit_once(tmp_path: Path, repository: Repository) -> None:
    repository.commit(FILES)
    rig = Rig(tmp_path, repository.url)
    rig.serve()
    assert rig.look() is None
    commit = repository.commit({"policies/b.policy": "api b\n"})
    told = rig.look()
    assert isinstance(told, PolicyFiles)
    assert told.provenance.commit == commit
    assert [source.name for source in told.sources] == ["a.policy", "b.policy"]
    assert rig.look() is None
    assert rig.steps.figures[Step.FETCH].runs == 2
    assert rig.source.figures.problem is None


def test_a_tag_and_a_pinned_commit(tmp_path: Path, repository: Repository) -> None:
    first = repository.commit(FILES)
    repository.git("tag", "-a", "v1", "-m", "one")
    repository.push("v1")
    second = repository.commit({"policies/b.policy": "api b\n"})
    for ref, commit in (("v1", first), ("refs/tags/v1", first), (first, first), (second, second)):
        files = Rig(tmp_path, repository.url, ref=ref).source.read()
        assert files.provenance.commit == commit


@pytest.mark.parametrize(
    ("ref", "said"),
    [
        ("none", "there is no branch or tag `none`"),
        ("both", "`both` is a branch and a tag; write `refs/heads/both` or `refs/tags/both`"),
        ("0" * 40, "the server did not send the object 0000"),
    ],
)
def test_a_ref_that_names_nothing(
    tmp_path: Path, repository: Repository, ref: str, said: str
) -> None:
    repository.commit(FILES)
    repository.push("HEAD:refs/heads/both", "HEAD:refs/tags/both")
    with pytest.raises(PoliciesUnreadable) as raised:
        Rig(tmp_path, repository.url, ref=ref).source.read()
    assert said in str(raised.value)
    assert raised.value.step is Step.FETCH


def test_a_server_that_is_away_is_a_problem_and_no_change(
    tmp_path: Path, repository: Repository, caplog: pytest.LogCaptureFixture
) -> None:
    repository.commit(FILES)
    rig = Rig(tmp_path, repository.url)
    rig.serve()
    heard = rig.source.figures.succeeded_at
    repository.bare.rename(repository.bare.with_name("away"))
    for _ in range(2):
        assert rig.look() is None
    figures = rig.source.figures
    assert "there is no repository at this URL" in str(figures.problem)
    assert (figures.failed, figures.succeeded_at) == (2, heard)
    assert len([one for one in caplog.records if "cannot tell" in one.message]) == 1
    repository.bare.with_name("away").rename(repository.bare)
    assert rig.look() is None
    assert rig.source.figures.problem is None


def test_a_rewound_branch_is_refused_until_that_is_allowed(
    tmp_path: Path, repository: Repository
) -> None:
    first = repository.commit(FILES)
    second = repository.commit({"policies/b.policy": "api b\n"})
    rig = Rig(tmp_path, repository.url)
    rig.serve()
    repository.git("reset", "--quiet", "--hard", first)
    repository.push("--force", "HEAD:main")
    refused = rig.refusal()
    assert refused.step is Step.VERIFY
    assert f"commit {first} does not descend from {second}, which serves" in str(refused)
    assert f"`policyd activate {first}`" in str(refused)
    assert rig.look() is None, "it is told once"
    assert rig.source.figures.problem is None, "the server did answer"
    recalled = rig.source.recall(first)
    assert [source.name for source in recalled.sources] == ["a.policy"]
    allowing = Rig(tmp_path, repository.url, allow_rewind=True)
    assert allowing.source.read().provenance.commit == first


def test_a_rewritten_branch_is_refused_and_survives_a_restart(
    tmp_path: Path, repository: Repository
) -> None:
    repository.commit(FILES)
    second = repository.commit({"policies/b.policy": "api b\n"})
    Rig(tmp_path, repository.url).serve()
    repository.git("commit", "--quiet", "--amend", "-m", "another")
    repository.push("--force", "HEAD:main")
    restarted = Rig(tmp_path, repository.url)
    with pytest.raises(PoliciesUnreadable, match=f"does not descend from {second}"):
        restarted.source.read()
    elsewhere = Rig(tmp_path, repository.url, ref="refs/heads/main")
    # Another ref is the operator's own change.
    assert elsewhere.source.read().provenance.ref == "refs/heads/main"


def test_many_commits_and_a_merge_descend(tmp_path: Path, repository: Repository) -> None:
    repository.commit(FILES)
    rig = Rig(tmp_path, repository.url)
    rig.serve()
    repository.git("checkout", "--quiet", "-b", "side")
    repository.commit({"policies/b.policy": "api b\n"}, push=False)
    repository.git("checkout", "--quiet", "main")
    for number in range(20):
        repository.commit({"policies/c.policy": f"api c{number}\n"}, push=False)
    repository.git("merge", "--quiet", "--no-ff", "-m", "a merge", "side")
    repository.push()
    told = rig.look()
    assert isinstance(told, PolicyFiles)
    assert told.provenance.commit == repository.head


def link(work: Path) -> None:
    (work / "policies/l.policy").symlink_to("a.policy")


def folder_link(work: Path) -> None:
    (work / "policies/more").symlink_to("/etc")


def alike(work: Path) -> None:
    (work / "policies/A.policy").write_text("api b\n")


def no_utf8(work: Path) -> None:
    Path(os.fsdecode(os.fsencode(work / "policies") + b"/\xff.policy")).write_text("api b\n")


def hidden(work: Path) -> None:
    (work / "policies/a\u200b.policy").write_text("api b\n")


def many(work: Path) -> None:
    for number in range(6):
        (work / f"policies/m{number}.policy").write_text("api b\n")


def long(work: Path) -> None:
    (work / "policies/long.policy").write_text("// x\n" * 1000)


def none_left(work: Path) -> None:
    (work / "policies/a.policy").unlink()


@pytest.mark.parametrize(
    ("change", "said"),
    [
        (link, "`l.policy` is a symbolic link, which is not followed"),
        (folder_link, "`more` is a symbolic link, which is not followed"),
        (alike, "`A.policy` and `a.policy` differ by case alone"),
        (no_utf8, r"the name `\xff.policy` is not UTF-8"),
        (hidden, r"the name `a\u200b.policy` holds a hidden character"),
        (many, "there are more than 5 policy files (`max_files`)"),
        (long, "the policy files hold more than 4,000 bytes (`max_bytes`)"),
        (none_left, "there are no policy files (`*.policy`) in `policies`"),
    ],
)
def test_trees_that_are_refused(
    tmp_path: Path, repository: Repository, change: object, said: str
) -> None:
    repository.commit(FILES)
    rig = Rig(tmp_path, repository.url, max_files=5, max_bytes=4000)
    rig.serve()
    assert callable(change)
    change(repository.work)
    commit = repository.commit()
    refused = rig.refusal()
    assert said in str(refused)
    assert refused.provenance is not None
    assert refused.provenance.commit == commit
    assert rig.look() is None


def test_a_submodule_is_refused(tmp_path: Path, repository: Repository) -> None:
    commit = repository.commit(FILES)
    repository.git("update-index", "--add", "--cacheinfo", f"160000,{commit},policies/sub")
    repository.git("commit", "--quiet", "-m", "a submodule")
    repository.push()
    with pytest.raises(PoliciesUnreadable, match="`sub` is a submodule"):
        Rig(tmp_path, repository.url).source.read()


def test_a_path_that_is_missing(tmp_path: Path, repository: Repository) -> None:
    repository.commit(FILES)
    with pytest.raises(PoliciesUnreadable, match="there is no folder `other`"):
        Rig(tmp_path, repository.url, path="other/one").source.read()
    with pytest.raises(PoliciesUnreadable, match="`README` is a file, not a folder"):
        Rig(tmp_path, repository.url, path="README").source.read()


@pytest.fixture(params=["file", "daemon", "https", "ssh"])
def transport(
    request: pytest.FixtureRequest, tmp_path: Path, repository: Repository
) -> Iterator[dict[str, object]]:
    """What a source is told to reach the repository, over each way there is."""
    if request.param == "file":
        yield {"url": repository.url}
    elif request.param == "daemon":
        with git_daemon(repository) as url:
            yield {"url": url}
    elif request.param == "https":
        with git_over_https(repository, tmp_path / "https") as server:
            yield {
                "url": server.url,
                "ca_file": server.ca_file,
                "username": server.username,
                "password_file": server.password_file,
            }
    else:
        with git_over_ssh(repository, tmp_path / "ssh") as ssh:
            yield {
                "url": ssh.url,
                "ssh_key_file": ssh.key_file,
                "known_hosts_file": ssh.known_hosts_file,
            }


def test_every_transport(
    tmp_path: Path, repository: Repository, transport: dict[str, object]
) -> None:
    first = repository.commit(FILES)
    rig = Rig(tmp_path, **transport)  # type: ignore[arg-type]
    assert rig.serve().provenance.commit == first
    assert rig.look() is None
    second = repository.commit({"policies/b.policy": "api b\n"})
    third = repository.commit({"policies/c.policy": "api c\n"})
    told = rig.look()
    assert isinstance(told, PolicyFiles), told or rig.source.figures
    assert told.provenance.commit == third
    assert len(told.sources) == 3
    rig.source.serves(told.provenance)
    repository.git("reset", "--quiet", "--hard", second)
    repository.push("--force", "HEAD:main")
    assert "does not descend from" in str(rig.refusal())
    assert rig.source.recall(first).provenance.commit == first
    assert not list(rig.state.path.glob("fetch-*"))


def test_https_checks_the_server_and_the_password(tmp_path: Path, repository: Repository) -> None:
    repository.commit(FILES)
    with git_over_https(repository, tmp_path / "https") as server:
        known = {"username": server.username, "password_file": server.password_file}
        with pytest.raises(PoliciesUnreadable, match=r"(?i)certificate verify failed"):
            Rig(tmp_path, server.url, **known).source.read()
        wrong = tmp_path / "wrong"
        wrong.write_text("no secret\n")
        for bad in ({}, {"username": server.username, "password_file": wrong}):
            with pytest.raises(PoliciesUnreadable, match="wants other credentials") as raised:
                Rig(tmp_path, server.url, ca_file=server.ca_file, **bad).source.read()
            assert "no secret" not in str(raised.value)
        moved = server.url.replace("/policies.git", "/moved/policies.git")
        with pytest.raises(PoliciesUnreadable, match=r"(?i)redirect"):
            Rig(tmp_path, moved, ca_file=server.ca_file, **known).source.read()


def test_ssh_checks_the_host(tmp_path: Path, repository: Repository) -> None:
    repository.commit(FILES)
    with git_over_ssh(repository, tmp_path / "ssh") as server:
        nobody = tmp_path / "nobody"
        nobody.write_text("")
        with pytest.raises(PoliciesUnreadable, match=r"(?i)host key verification failed"):
            Rig(
                tmp_path, server.url, ssh_key_file=server.key_file, known_hosts_file=nobody
            ).source.read()


def test_a_large_repository_beside_a_small_folder_meets_the_limit(
    tmp_path: Path, repository: Repository
) -> None:
    repository.write(FILES)
    (repository.work / "large").write_bytes(os.urandom(8 * 1024 * 1024))
    repository.commit()
    with git_daemon(repository) as url:
        with pytest.raises(PoliciesUnreadable, match=r"sent more than 1,000,000 bytes"):
            Rig(tmp_path, url, max_fetch_bytes=1_000_000).source.read()
        assert Rig(tmp_path, url).source.read().sources
    assert not list((tmp_path / "state").glob("fetch-*")) if (tmp_path / "state").exists() else True


def test_a_process_that_is_late_is_killed(tmp_path: Path, repository: Repository) -> None:
    repository.commit(FILES)
    rig = Rig(tmp_path, repository.url, timeout=0.001)
    with pytest.raises(PoliciesUnreadable, match=r"took more than 0\.001 s \(`timeout`\)"):
        rig.source.read()


def test_a_source_that_stops_fetches_no_more(tmp_path: Path, repository: Repository) -> None:
    repository.commit(FILES)
    rig = Rig(tmp_path, repository.url)
    rig.source.stop()
    with pytest.raises(PoliciesUnreadable, match="the daemon stops"):
        rig.source.read()


def test_a_commit_that_was_passed_over_is_not_taken_at_a_restart(
    tmp_path: Path, repository: Repository
) -> None:
    first = repository.commit(FILES)
    second = repository.commit({"policies/b.policy": "api b\n"})
    rig = Rig(tmp_path, repository.url)
    rig.serve()
    earlier = rig.source.recall(first)
    rig.state.remember(earlier, "revision-1", passed_over=rig.source.named)
    restarted = Rig(tmp_path, repository.url)
    assert restarted.serve().provenance.commit == first
    assert restarted.source.named == second
    assert restarted.look() is None
    third = repository.commit({"policies/c.policy": "api c\n"})
    told = restarted.look()
    assert isinstance(told, PolicyFiles)
    assert told.provenance.commit == third


def test_what_a_dead_process_left_is_swept(tmp_path: Path, repository: Repository) -> None:
    repository.commit(FILES)
    Rig(tmp_path, repository.url).serve()
    left = tmp_path / "state/fetch-99999999-x"
    left.mkdir()
    (left / "pack").write_text("half")
    Rig(tmp_path, repository.url)
    assert not left.exists()


def test_an_object_with_other_bytes_is_found(tmp_path: Path) -> None:
    (tmp_path / ("0" * 40)).write_bytes(b"blob 2\0hi")
    with pytest.raises(Exception, match="has other bytes than its name says"):
        Exported(tmp_path).read("0" * 40, 100)
