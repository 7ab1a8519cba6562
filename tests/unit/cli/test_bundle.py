"""`policyd bundle`: build, sign, verify, inspect; and what reads bundles beside it."""

from __future__ import annotations

import json
import subprocess
from pathlib import Path

import pytest

from tests.support.bundles import NAMESPACE, PRINCIPAL, allowed, made, signed
from tests.support.cli import Run
from tests.support.git import Repository, SshKey, ssh_key
from tests.support.tooling import POLICY

CLOSED = '\ndeny closed: any on patient\n    because "closed"\n'
NAME = "policies/shop/a.policy"


@pytest.fixture
def repository(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Repository:
    (tmp_path / "git").mkdir()
    found = Repository(tmp_path / "git")
    found.commit({NAME: POLICY, "policies/.hidden/b.policy": "x", "README": "x"})
    monkeypatch.chdir(found.work)
    return found


@pytest.fixture
def key(tmp_path: Path) -> SshKey:
    return ssh_key(tmp_path, "ci")


def build(policyd: Run, *words: str) -> bytes:
    done = policyd("bundle", "build", *words, "--name", "orders", "-o", "b.tar.gz")
    assert (done.code, done.err) == (0, "")
    return Path("b.tar.gz").read_bytes()


def test_the_same_commit_gives_the_same_bytes(repository: Repository, policyd: Run) -> None:
    first = build(policyd, "HEAD")
    commit = repository.head
    repository.commit({NAME: POLICY + CLOSED})
    assert build(policyd, "HEAD") != first
    assert build(policyd, commit) == first
    assert build(policyd, f"{commit[:10]}^{{commit}}") == first
    shown = json.loads(policyd("bundle", "inspect", "b.tar.gz", "--format", "json").out)
    assert shown["manifest"]["commit"] == commit
    assert shown["manifest"]["sequence"] == 1
    assert list(shown["manifest"]["files"]) == ["shop/a.policy"]
    assert shown["signed"] is False


def test_what_is_committed_is_built_and_nothing_else(repository: Repository, policyd: Run) -> None:
    first = build(policyd)
    (repository.work / NAME).write_text("nonsense")
    assert build(policyd) == first


def test_a_folder(repository: Repository, policyd: Run) -> None:
    done = policyd("bundle", "build", "policies", "--name", "orders")
    assert done.code == 2
    assert "a folder has no number of commits: give --sequence" in done.err
    done = policyd("bundle", "build", "policies", "--name", "orders", "--sequence", "7")
    assert done.out.startswith("orders.tar.gz: orders@7, 1 file, ")
    shown = policyd("bundle", "inspect", "orders.tar.gz").out
    assert "bundle     orders@7\ncommit     none\n" in shown
    assert "expires    never\nlanguage   1\nsignature  none\n" in shown
    assert "shop/a.policy" in shown


def test_a_shallow_clone_has_no_sequence(
    repository: Repository, policyd: Run, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    repository.commit()
    repository.git("clone", "--quiet", "--depth", "1", repository.url, str(tmp_path / "shallow"))
    monkeypatch.chdir(tmp_path / "shallow")
    done = policyd("bundle", "build", "--name", "orders")
    assert (done.code, done.out) == (2, "")
    assert "the clone is shallow" in done.err
    assert "`fetch-depth: 0`" in done.err
    assert policyd("bundle", "build", "--name", "orders", "--sequence", "3").code == 0


def test_what_does_not_load_is_not_built(repository: Repository, policyd: Run) -> None:
    repository.commit({NAME: POLICY + "\nallow nonsense\n"})
    done = policyd("bundle", "build", "HEAD", "--name", "orders")
    assert (done.code, done.out) == (1, "")
    assert "error[P" in done.err
    assert "nothing is built" in done.err
    assert not Path("orders.tar.gz").exists()


@pytest.mark.parametrize(
    ("words", "said"),
    [
        (["nowhere"], "nowhere is neither a folder nor a commit"),
        (["HEAD", "--expires", "2020-01-01T00:00:00Z"], "this time is in the past"),
        (["HEAD", "--expires", "tomorrow"], "--expires"),
        (["HEAD", "--policies", "none"], "none"),
        (["HEAD", "--sequence", "0"], "0 is not in the range"),
        (["HEAD", "--name", "../x"], "matching regex"),
    ],
)
def test_wrong_usage(repository: Repository, policyd: Run, words: list[str], said: str) -> None:
    done = policyd("bundle", "build", "--name", "orders", *words)
    assert (done.code, done.out) == (2, "")
    assert said in done.err


@pytest.mark.parametrize("options", [(), ("-t", "rsa", "-b", "2048")], ids=["ed25519", "rsa"])
def test_ssh_keygen_verifies_what_is_signed_here(
    tmp_path: Path, policyd: Run, options: tuple[str, ...]
) -> None:
    key, file = ssh_key(tmp_path, "ci2", *options), tmp_path / "b.tar.gz"
    file.write_bytes(made(1))
    signers = allowed(tmp_path / "signers", f"{PRINCIPAL} {key.public}")
    done = policyd("bundle", "sign", file, "--key", key.path)
    assert (done.code, done.out) == (0, f"{file}.sig\n")
    command = ["ssh-keygen", "-Y", "verify", "-n", NAMESPACE, "-f", str(signers), "-I", PRINCIPAL]
    command += ["-s", f"{file}.sig"]
    subprocess.run(command, input=file.read_bytes(), check=True, capture_output=True)
    done = policyd("bundle", "verify", file, "--allowed-signers", signers, "--name", "orders")
    assert done.out == (f"{file}: orders@1, commit 0123456789ab, 2 files, signed by {PRINCIPAL}\n")


def test_what_ssh_keygen_signs_is_verified_here(tmp_path: Path, policyd: Run, key: SshKey) -> None:
    file, signature = tmp_path / "b.tar.gz", tmp_path / "b.tar.gz.sig"
    file.write_bytes(made(1))
    signers = allowed(tmp_path / "signers", f'{PRINCIPAL} valid-before="20270101Z" {key.public}')

    def refused(said: str, *words: object) -> None:
        done = policyd("bundle", "verify", file, "--allowed-signers", signers, *words)
        assert (done.code, done.out) == (1, "")
        assert done.err.startswith(f"refused: {file}: ")
        assert said in done.err

    refused("it is not signed")
    signature.write_bytes(signed(tmp_path, made(1), key, "file"))
    refused("for the namespace `file`, not `policyd-bundle`")
    signature.write_bytes(signed(tmp_path, made(1), ssh_key(tmp_path, "foreign")))
    refused("its key is not among the allowed signers")
    signature.write_bytes(signed(tmp_path, made(2), key))
    refused("its signature is wrong")
    signature.write_bytes(signed(tmp_path, made(1), key))
    done = policyd(
        "bundle", "verify", file, "--allowed-signers", signers, "--format", "json",
        "--at", "2026-12-05T00:00:00Z",
    )  # fmt: skip
    assert json.loads(done.out)["signer"] == PRINCIPAL
    refused("its key is not valid any more", "--at", "2027-01-02T00:00:00Z")
    revoked = allowed(tmp_path / "revoked", key.public)
    refused("its key is revoked", "--revoked-keys", revoked, "--at", "2026-12-05T00:00:00Z")
    refused("it is for `orders`, not `x`", "--name", "x", "--at", "2026-12-05T00:00:00Z")


@pytest.mark.parametrize(
    ("options", "said"),
    [
        (("-t", "ed25519", "-N", "secret"), "protected by a passphrase"),
        (("-t", "ecdsa"), "of a kind that is not verified here"),
        (("-t", "rsa", "-b", "1024"), "of a kind that is not verified here"),
    ],
)
def test_keys_that_cannot_sign(
    tmp_path: Path, policyd: Run, options: tuple[str, ...], said: str
) -> None:
    file = tmp_path / "b.tar.gz"
    file.write_bytes(made(1))
    try:
        key = ssh_key(tmp_path, "other", *options)
    except subprocess.CalledProcessError:
        pytest.skip("this ssh-keygen makes no such key")
    done = policyd("bundle", "sign", file, "--key", key.path)
    assert (done.code, done.out) == (2, "")
    assert said in done.err
    assert not (tmp_path / "b.tar.gz.sig").exists()


def test_files_that_are_none(tmp_path: Path, policyd: Run, key: SshKey) -> None:
    text = tmp_path / "text"
    text.write_text("no bundle")
    for words in (("inspect", text), ("sign", text, "--key", key.path)):
        done = policyd("bundle", *words)
        assert (done.code, done.out) == (2, "")
        assert "it is not packed by gzip; `policyd bundle build` makes bundles" in done.err
    done = policyd("bundle", "inspect", tmp_path / "none")
    assert "No such file" in done.err
    bundle = tmp_path / "b.tar.gz"
    bundle.write_bytes(made(1))
    assert "no private key of OpenSSH" in policyd("bundle", "sign", bundle, "--key", text).err


def test_a_bundle_is_a_revision_of_diff(repository: Repository, policyd: Run) -> None:
    build(policyd, "HEAD")
    done = policyd("diff", "b.tar.gz", "HEAD", "--policies", "policies")
    assert (done.code, done.err) == (0, "")
    assert done.out.startswith("0 actions gain, 0 lose")
    repository.commit({NAME: POLICY + CLOSED})
    assert policyd("diff", "b.tar.gz", "HEAD", "--policies", "policies", "--fail-on", "any").code
    Path("b.tar.gz").write_bytes(made(1)[:-20])
    done = policyd("diff", "b.tar.gz", "HEAD", "--policies", "policies")
    assert (done.code, done.out) == (2, "")
    assert "b.tar.gz: it is cut off" in done.err
