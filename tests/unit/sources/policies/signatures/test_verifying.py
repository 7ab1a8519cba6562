"""Signatures that the real git made, judged here and by `git verify-commit`.

Each case says what both say. Where they differ, docs/git.md says why.
"""

from __future__ import annotations

import os
import subprocess
import time
from pathlib import Path

import msgspec
import pytest

from policyd.sources.policies.git.objects import read_commit
from policyd.sources.policies.signatures.trust import SignatureRefused, Trust
from policyd.sources.policies.signatures.verifying import Statement, verify
from tests.support.git import EMAIL, Repository, SshKey, ssh_key

#: A moment of 2021, and the word that git has for it.
THEN, THEN_DATE = 1_612_000_000, "1612000000 +0000"


class Rig:
    """A repository with one signed commit, and files of trust."""

    def __init__(self, folder: Path) -> None:
        self.folder = folder
        self.repository = Repository(folder)
        self.key = ssh_key(folder, "key")
        self.signers = folder / "allowed_signers"
        self.revoked = folder / "revoked"

    def commit(self, key: SshKey | None = None, *options: str, **environment: str) -> str:
        """Make a commit, signed by a key if there is one."""
        signing = () if key is None else key.signing()
        sign = () if key is None else ("-S",)
        self.repository.git(
            *signing, "commit", "-q", "--allow-empty", *sign, "-m", "words", *options, **environment
        )
        return self.repository.head

    def statement(self, commit: str) -> Statement:
        data = subprocess.run(
            ["git", "-C", str(self.repository.work), "cat-file", "commit", commit],
            capture_output=True,
            check=True,
        ).stdout
        read = read_commit(commit, data)
        return Statement(read.payload, read.signature, "git", read.email)

    def trust(self, **changes: object) -> Trust:
        return msgspec.structs.replace(Trust(allowed_signers_file=self.signers), **changes)

    def ours(self, commit: str, now: float | None = None, **changes: object) -> str:
        """Return who signed, or why that is refused."""
        try:
            moment = time.time() if now is None else now
            return verify(self.statement(commit), self.trust(**changes), moment)
        except SignatureRefused as refused:
            return f"refused: {refused}"

    def gits(self, commit: str) -> bool:
        settings = [f"gpg.ssh.allowedSignersFile={self.signers}"]
        if self.revoked.exists():
            settings.append(f"gpg.ssh.revocationFile={self.revoked}")
        return self.repository.verifies(commit, *settings)


@pytest.fixture
def rig(tmp_path: Path) -> Rig:
    return Rig(tmp_path)


def test_a_signature_of_an_allowed_signer(rig: Rig) -> None:
    commit = rig.commit(rig.key)
    rig.signers.write_text(f"{EMAIL} {rig.key.public}\n")
    assert (rig.ours(commit), rig.gits(commit)) == (EMAIL, True)


#: A line of allowed signers, what is said of a commit of now here, and what git says.
LINES: dict[str, tuple[str, str, bool]] = {
    "a glob of principals": ("*@example.com {key}", EMAIL, True),
    "a namespace": ('* namespaces="git" {key}', EMAIL, True),
    "another namespace": ('* namespaces="file" {key}', "may not sign for the namespace", False),
    "an authority": ("* cert-authority {key}", "`cert-authority`", False),
    "expired": ('* valid-before="20220101Z" {key}', "not valid any more", False),
    "not yet": ('* valid-after="20990101Z" {key}', "not valid yet", False),
    "an expired line first": ('a@b valid-before="20220101Z" {other}\n* {key}', EMAIL, True),
    "another key": ("* {other}", "is not among the allowed signers", False),
    "nobody": ("", "is not among the allowed signers", False),
    # Here they differ: git does not ask whose key it is.
    "another principal": ("joe@example.com {key}", "not one of the committer", True),
}


@pytest.mark.parametrize("case", LINES)
def test_lines_beside_git(rig: Rig, case: str) -> None:
    line, said, git_accepts = LINES[case]
    commit = rig.commit(rig.key)
    other = ssh_key(rig.folder, "other")
    rig.signers.write_text(line.format(key=rig.key.public, other=other.public) + "\n")
    assert said in rig.ours(commit)
    assert (said != EMAIL) == rig.ours(commit).startswith("refused: ")
    assert rig.gits(commit) is git_accepts


def test_the_time_that_counts_is_now_and_not_what_the_committer_says(rig: Rig) -> None:
    """git believes the date of the commit, which whoever stole an old key can choose."""
    commit = rig.commit(rig.key, GIT_COMMITTER_DATE=THEN_DATE)
    rig.signers.write_text(f'* valid-before="20220101Z" {rig.key.public}\n')
    assert rig.gits(commit)
    assert "not valid any more" in rig.ours(commit)
    assert rig.ours(commit, now=THEN) == EMAIL


def test_without_match_committer_any_principal_will_do(rig: Rig) -> None:
    commit = rig.commit(rig.key)
    rig.signers.write_text(f"joe@example.com {rig.key.public}\n")
    assert rig.ours(commit, match_committer=False) == "joe@example.com"


def test_a_revoked_key(rig: Rig) -> None:
    commit = rig.commit(rig.key)
    rig.signers.write_text(f"* {rig.key.public}\n")
    rig.revoked.write_text(f"{rig.key.public}\n")
    assert rig.ours(commit, revoked_keys_file=rig.revoked) == "refused: its key is revoked"
    assert not rig.gits(commit)


def test_no_signature(rig: Rig) -> None:
    commit = rig.commit()
    rig.signers.write_text(f"* {rig.key.public}\n")
    assert (rig.ours(commit), rig.gits(commit)) == ("refused: it is not signed", False)


def test_a_signature_of_another_commit(rig: Rig) -> None:
    one = rig.statement(rig.commit(rig.key))
    two = rig.statement(rig.commit(rig.key, "--date=yesterday"))
    rig.signers.write_text(f"* {rig.key.public}\n")
    mixed = msgspec.structs.replace(one, signature=two.signature)
    with pytest.raises(SignatureRefused, match="what is signed has other bytes"):
        verify(mixed, rig.trust(), time.time())


def test_a_signature_for_another_namespace(rig: Rig, tmp_path: Path) -> None:
    file = tmp_path / "payload"
    file.write_bytes(b"words")
    command = ["ssh-keygen", "-q", "-Y", "sign", "-f", str(rig.key.path), "-n", "file", str(file)]
    subprocess.run(command, check=True, capture_output=True)
    rig.signers.write_text(f"* {rig.key.public}\n")
    signature = Path(f"{file}.sig").read_bytes()
    with pytest.raises(SignatureRefused, match="for the namespace `file`, not `git`"):
        verify(Statement(b"words", signature, "git"), rig.trust(), time.time())


@pytest.mark.parametrize(
    ("options", "said", "git_accepts"),
    [
        (("-t", "rsa", "-b", "3072"), EMAIL, True),
        (("-t", "rsa", "-b", "2048"), EMAIL, True),
        (("-t", "rsa", "-b", "2040"), "an RSA key of less than 2048 bits", True),
        (("-t", "rsa", "-b", "1024"), "an RSA key of less than 2048 bits", True),
        (("-t", "ecdsa"), "of the kind `ecdsa-sha2-nistp256`, which cannot be verified", True),
    ],
)
def test_kinds_of_keys(rig: Rig, options: tuple[str, ...], said: str, git_accepts: bool) -> None:
    key = ssh_key(rig.folder, "other", *options)
    commit = rig.commit(key)
    rig.signers.write_text(f"* {key.public}\n")
    assert said in rig.ours(commit)
    assert rig.gits(commit) is git_accepts


def test_a_merge_counts_by_its_own_signature(rig: Rig) -> None:
    rig.signers.write_text(f"* {rig.key.public}\n")
    rig.commit(rig.key)
    rig.repository.git("checkout", "-q", "-b", "side")
    rig.commit()
    rig.repository.git("checkout", "-q", "main")
    for key, said in ((None, "refused: it is not signed"), (rig.key, EMAIL)):
        signing = () if key is None else key.signing()
        sign = () if key is None else ("-S",)
        rig.repository.git(*signing, "merge", "-q", "--no-ff", *sign, "-m", "merge", "side")
        assert rig.ours(rig.repository.head) == said
        rig.repository.git("reset", "-q", "--hard", "HEAD^")


def test_files_of_trust_that_cannot_be_read(rig: Rig) -> None:
    commit = rig.commit(rig.key)
    assert "cannot be read: No such file" in rig.ours(commit)
    rig.signers.write_bytes(b"\xff\n")
    assert "not UTF-8" in rig.ours(commit)
    assert "`allowed_signers_file` is not set" in rig.ours(commit, allowed_signers_file=None)


@pytest.mark.parametrize(
    ("signature", "said"),
    [
        (b"-----BEGIN SIGNED MESSAGE-----\n", "neither of an SSH key nor of OpenPGP"),
        (b"-----BEGIN SSH SIGNATURE-----\nxx\n-----END SSH SIGNATURE-----", "cannot be read"),
        (b"-----BEGIN PGP SIGNATURE-----\nxx\n-----END PGP SIGNATURE-----", "cannot be read"),
    ],
)
def test_signatures_that_are_none(rig: Rig, signature: bytes, said: str) -> None:
    rig.signers.write_text("")
    trust = rig.trust(openpgp_keyring_file=rig.signers)
    with pytest.raises(SignatureRefused, match=said):
        verify(Statement(b"words", signature, "git"), trust, time.time())


class OpenPgp:
    """A keyring that the real gpg made."""

    def __init__(self, rig: Rig) -> None:
        self.rig = rig
        self.home = rig.folder / "gnupg"
        self.home.mkdir(mode=0o700)

    def gpg(self, *arguments: str, stdin: bytes = b"", **environment: str) -> bytes:
        done = subprocess.run(
            [
                "gpg",
                "--batch",
                "--quiet",
                "--pinentry-mode",
                "loopback",
                "--passphrase",
                "",
                *arguments,
            ],
            input=stdin,
            capture_output=True,
            env={**os.environ, "GNUPGHOME": str(self.home), **environment},
            check=False,
        )
        assert done.returncode == 0, done.stderr
        return done.stdout

    def make(self, email: str = EMAIL, expires: str = "never", *options: str) -> str:
        """Make a certificate; return its fingerprint."""
        self.gpg(*options, "--quick-generate-key", f"Jane <{email}>", "ed25519", "sign", expires)
        listed = self.gpg("--list-keys", "--with-colons", email).decode()
        return next(line.split(":")[9] for line in listed.splitlines() if line.startswith("fpr"))

    def superseded(self, fingerprint: str) -> bytes:
        """Return a revocation of a certificate, for the reason that another is used instead."""
        done = subprocess.run(
            ["gpg", "--no-tty", "--pinentry-mode", "loopback", "--passphrase", "", "--command-fd",
             "0", "--gen-revoke", fingerprint],
            input=b"y\n2\n\ny\n", capture_output=True, check=True,
            env={**os.environ, "GNUPGHOME": str(self.home)},
        )  # fmt: skip
        return done.stdout

    def commit(self, fingerprint: str) -> str:
        git = self.rig.repository.git
        arguments = ("-c", f"user.signingkey={fingerprint}", "commit", "-q", "--allow-empty")
        git(*arguments, "-S", "-m", "words", GNUPGHOME=str(self.home))
        return self.rig.repository.head

    def keyring(self) -> Path:
        path = self.rig.folder / "signers.pgp"
        path.write_bytes(self.gpg("--export"))
        return path

    def ours(self, commit: str, now: float | None = None, **changes: object) -> str:
        return self.rig.ours(
            commit, now, allowed_signers_file=None, openpgp_keyring_file=self.keyring(), **changes
        )

    def gits(self, commit: str) -> bool:
        done = subprocess.run(
            ["git", "-C", str(self.rig.repository.work), "verify-commit", commit],
            env={**os.environ, "GNUPGHOME": str(self.home)},
            capture_output=True,
            check=False,
        )
        return done.returncode == 0


@pytest.fixture
def openpgp(rig: Rig) -> OpenPgp:
    if subprocess.run(["which", "gpg"], capture_output=True, check=False).returncode:
        pytest.skip("gpg is not installed: apt-get install gnupg")
    return OpenPgp(rig)


def test_an_openpgp_signature(openpgp: OpenPgp) -> None:
    commit = openpgp.commit(openpgp.make())
    assert (openpgp.ours(commit), openpgp.gits(commit)) == (EMAIL, True)
    assert "`openpgp_keyring_file` is not set" in openpgp.rig.ours(commit)


def test_an_openpgp_certificate_of_another_person(openpgp: OpenPgp) -> None:
    commit = openpgp.commit(openpgp.make("joe@example.com"))
    assert f"is not one of the committer `{EMAIL}`" in openpgp.ours(commit)
    assert openpgp.ours(commit, match_committer=False) == "Jane <joe@example.com>"
    assert openpgp.gits(commit)


def test_an_openpgp_certificate_that_expired(openpgp: OpenPgp) -> None:
    """PySequoia accepts it, as it was valid when it signed; git does not."""
    commit = openpgp.commit(openpgp.make(EMAIL, "1d"))
    assert openpgp.ours(commit) == EMAIL
    assert "expired at" in openpgp.ours(commit, now=time.time() + 2 * 86_400)


def test_an_openpgp_certificate_that_is_revoked(openpgp: OpenPgp) -> None:
    fingerprint = openpgp.make()
    commit = openpgp.commit(fingerprint)
    revocation = openpgp.home / "openpgp-revocs.d" / f"{fingerprint}.rev"
    openpgp.gpg("--import", stdin=revocation.read_bytes().replace(b":-----BEGIN", b"-----BEGIN"))
    assert openpgp.ours(commit).startswith("refused: ")
    assert not openpgp.gits(commit)


def test_an_openpgp_certificate_that_was_given_up_signs_nothing_even_in_retrospect(
    openpgp: OpenPgp,
) -> None:
    """A certificate that is superseded leaves older signatures valid to PySequoia."""
    settings = openpgp.home / "gpg.conf"
    settings.write_text("faked-system-time 20260101T000000!\n")
    fingerprint = openpgp.make()
    commit = openpgp.commit(fingerprint)
    settings.unlink()
    assert openpgp.ours(commit) == EMAIL
    openpgp.gpg("--import", stdin=openpgp.superseded(fingerprint))
    assert openpgp.ours(commit) == f"refused: the certificate {fingerprint.lower()} is revoked"


def test_an_openpgp_signature_that_expired(openpgp: OpenPgp) -> None:
    (openpgp.home / "gpg.conf").write_text("default-sig-expire 1d\n")
    commit = openpgp.commit(openpgp.make())
    assert openpgp.ours(commit) == EMAIL
    assert "its signature expired at" in openpgp.ours(commit, now=time.time() + 2 * 86_400)


def test_an_openpgp_signature_of_nobody_in_the_keyring(openpgp: OpenPgp) -> None:
    commit = openpgp.commit(openpgp.make())
    fingerprint = openpgp.make("joe@example.com")
    only = openpgp.rig.folder / "only.pgp"
    only.write_bytes(openpgp.gpg("--export", fingerprint))
    said = openpgp.rig.ours(commit, allowed_signers_file=None, openpgp_keyring_file=only)
    assert "no valid signature of a certificate of the keyring" in said


def test_an_openpgp_signature_of_other_bytes(openpgp: OpenPgp) -> None:
    fingerprint = openpgp.make()
    one, two = (openpgp.rig.statement(openpgp.commit(fingerprint)) for _ in range(2))
    mixed = msgspec.structs.replace(two, payload=one.payload + b"more")
    trust = Trust(openpgp_keyring_file=openpgp.keyring())
    with pytest.raises(SignatureRefused, match="no valid signature"):
        verify(mixed, trust, time.time())


def test_trust_changes_with_its_files(tmp_path: Path) -> None:
    path = tmp_path / "signers"
    trust = Trust(allowed_signers_file=path)
    seen = {trust.digest()}
    for text in ("one", "two"):
        path.write_text(text)
        seen.add(trust.digest())
    assert len(seen) == 3
    assert not Trust().required
