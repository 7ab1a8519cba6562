"""Signatures of SSH keys that are made here, each judged as if a stranger had made it.

`test_verifying` has those that the real ssh-keygen makes.
"""

from __future__ import annotations

import base64
import subprocess
from functools import cache
from pathlib import Path

import msgspec
import pytest
from cryptography.hazmat.primitives.asymmetric.ec import SECP256R1
from cryptography.hazmat.primitives.asymmetric.ec import generate_private_key as ecdsa
from cryptography.hazmat.primitives.asymmetric.ed25519 import Ed25519PrivateKey
from cryptography.hazmat.primitives.asymmetric.rsa import generate_private_key as rsa
from cryptography.hazmat.primitives.asymmetric.types import PrivateKeyTypes
from cryptography.hazmat.primitives.serialization import (
    Encoding,
    NoEncryption,
    PrivateFormat,
    PublicFormat,
)
from sshsig.sshsig import ssh_dearmor_sshsig, ssh_enarmor_sshsig

from policyd.sources.policies.signatures.ssh import KeyUnusable, sign, signer
from policyd.sources.policies.signatures.trust import SignatureRefused, Trust
from policyd.sources.policies.signatures.verifying import Statement, verify
from tests.support.git import ssh_key

WORDS = b"some words"
NOW = 1_600_000_000.0


@cache
def key(kind: str) -> PrivateKeyTypes:
    if kind == "ed25519":
        return Ed25519PrivateKey.generate()
    if kind == "ecdsa":
        return ecdsa(SECP256R1())
    return rsa(65537, int(kind.removeprefix("rsa")))


def private(kind: str) -> bytes:
    return key(kind).private_bytes(Encoding.PEM, PrivateFormat.OpenSSH, NoEncryption())


def public(kind: str) -> str:
    found = key(kind).public_key().public_bytes(Encoding.OpenSSH, PublicFormat.OpenSSH)
    return found.decode()


@pytest.fixture
def trust(tmp_path: Path) -> Trust:
    signers = tmp_path / "signers"
    signers.write_text(f"jane {public('ed25519')}\njoe {public('rsa2048')}\n")
    return Trust(allowed_signers_file=signers)


def judged(trust: Trust, signature: bytes, payload: bytes = WORDS, namespace: str = "git") -> str:
    """Return who signed, or why that is refused."""
    try:
        return signer(payload, signature, namespace, trust, NOW, None)
    except SignatureRefused as refused:
        return f"refused: {refused}"


def with_part(signature: bytes, old: bytes, new: bytes) -> bytes:
    """Return a signature one part of which is another; both have the encoding of RFC 4251."""

    def string(data: bytes) -> bytes:
        return len(data).to_bytes(4, "big") + data

    blob = ssh_dearmor_sshsig(signature)
    assert string(old) in blob
    return ssh_enarmor_sshsig(blob.replace(string(old), string(new), 1)).encode()


# -- made -----------------------------------------------------------------------------------------


@pytest.mark.parametrize(("kind", "name"), [("ed25519", "jane"), ("rsa2048", "joe")])
def test_what_is_signed_here_is_believed_here_and_by_ssh_keygen(
    trust: Trust, tmp_path: Path, kind: str, name: str
) -> None:
    signature = sign(WORDS, private(kind), "git")
    assert judged(trust, signature) == name
    file = tmp_path / "signature"
    file.write_bytes(signature)
    done = subprocess.run(
        ["ssh-keygen", "-Y", "verify", "-f", str(trust.allowed_signers_file), "-I", name,
         "-n", "git", "-s", str(file)],
        input=WORDS, capture_output=True, check=False,
    )  # fmt: skip
    assert done.returncode == 0, done.stderr


@pytest.mark.parametrize("kind", ["rsa1024", "ecdsa"])
def test_a_key_whose_signatures_would_be_refused_signs_nothing(kind: str) -> None:
    with pytest.raises(KeyUnusable, match="RSA keys of 2048 bits or more"):
        sign(WORDS, private(kind), "git")


def test_a_key_with_a_passphrase_is_told_from_what_is_no_key(tmp_path: Path) -> None:
    protected = ssh_key(tmp_path, "protected", "-t", "ed25519", "-N", "secret").path
    with pytest.raises(KeyUnusable, match=r"passphrase.*`ssh-keygen -Y sign -n bundle -f KEY"):
        sign(WORDS, protected.read_bytes(), "bundle")
    for data in (b"", b"words", public("ed25519").encode(), private("ed25519")[:200]):
        with pytest.raises(KeyUnusable, match="no private key of OpenSSH"):
            sign(WORDS, data, "git")


# -- judged ---------------------------------------------------------------------------------------


def test_without_a_list_of_signers_nobody_is_believed() -> None:
    assert judged(Trust(), sign(WORDS, private("ed25519"), "git")) == (
        "refused: it is signed by an SSH key, and `allowed_signers_file` is not set"
    )


def test_what_cannot_be_read_as_a_signature_is_refused(trust: Trust) -> None:
    blob = ssh_dearmor_sshsig(sign(WORDS, private("ed25519"), "git"))
    later = blob[:6] + (2).to_bytes(4, "big") + blob[10:]
    broken = [ssh_enarmor_sshsig(one).encode() for one in (later, b"", blob[:40], b"x" + blob)]
    for signature in (*broken, broken[0].replace(b"U", b"\xff")):
        assert judged(trust, signature).startswith("refused: its signature cannot be read: ")


def test_each_part_of_a_signature_counts(trust: Trust) -> None:
    signature = sign(WORDS, private("ed25519"), "git")
    assert judged(trust, signature, b"other words").startswith("refused: its signature is wrong")
    assert judged(trust, signature, namespace="bundle") == (
        "refused: it is signed for the namespace `git`, not `bundle`"
    )
    moved = with_part(signature, b"git", b"bundle")
    assert judged(trust, moved, namespace="bundle").startswith("refused: its signature is wrong")


@pytest.mark.parametrize(
    ("kind", "old", "new", "said"),
    [
        ("ed25519", b"sha512", b"sha256", "its signature is wrong"),
        ("ed25519", b"sha512", b"sha1", "uses the hash `sha1`; sha256 and sha512 may"),
        ("ed25519", b"sha512", b"SHA512", "uses the hash `SHA512`"),
        ("ed25519", b"sha512", b"\xff", "uses the hash"),
        ("rsa2048", b"rsa-sha2-512", b"rsa-sha2-256", "its signature is wrong"),
        ("rsa2048", b"rsa-sha2-512", b"ssh-rsa", "its signature is wrong"),
    ],
)
def test_other_algorithms_than_it_was_made_with_are_refused(
    trust: Trust, kind: str, old: bytes, new: bytes, said: str
) -> None:
    assert said in judged(trust, with_part(sign(WORDS, private(kind), "git"), old, new))


@pytest.mark.parametrize("named", [b"rsa-sha2-512", b"ssh-dss", b""])
def test_a_signature_that_says_it_is_of_another_kind_than_its_key_is_refused(
    trust: Trust, named: bytes
) -> None:
    signature = sign(WORDS, private("ed25519"), "git")
    blob = ssh_dearmor_sshsig(signature)
    old = b"\0\0\0\x0bssh-ed25519"
    head, _, tail = blob.rpartition(old)
    inner = len(named).to_bytes(4, "big") + named + tail
    changed = head[:-4] + len(inner).to_bytes(4, "big") + inner
    assert judged(trust, ssh_enarmor_sshsig(changed).encode()) == (
        "refused: its signature is wrong: what is signed has other bytes"
    )


def test_an_rsa_key_that_is_none_is_refused(trust: Trust) -> None:
    signature = sign(WORDS, private("rsa2048"), "git")
    whole = base64.b64decode(public("rsa2048").split()[1])
    for broken in (whole[:20], whole[:11], whole + b"more"):
        assert "its key cannot be read" in judged(trust, with_part(signature, whole, broken))


def test_a_key_of_no_known_kind_is_refused(trust: Trust) -> None:
    signature = sign(WORDS, private("ed25519"), "git")
    whole = base64.b64decode(public("ed25519").split()[1])
    for broken in (b"\0\0\0\x07ssh-dss", b"\0\0\0\x0bssh-ed25518" + whole[15:], b"\xff" * 8):
        assert "which cannot be verified here" in judged(trust, with_part(signature, whole, broken))


def test_a_revoked_key_is_refused_whoever_may_sign(trust: Trust, tmp_path: Path) -> None:
    revoked = tmp_path / "revoked"
    revoking = Trust(trust.allowed_signers_file, revoked_keys_file=revoked)
    jane, joe = (sign(WORDS, private(kind), "git") for kind in ("ed25519", "rsa2048"))
    revoked.write_text(f"# gone\n{public('ed25519')}\n")
    assert judged(revoking, jane) == "refused: its key is revoked"
    assert judged(revoking, joe) == "joe"
    for data, said in (
        (b"SSHKRL\n\0\xff\xff", "the revoked keys are a KRL"),
        (b"\xff", "a file of trusted keys is not UTF-8"),
        (b"words\n", "line 1 of the revoked keys cannot be read"),
    ):
        revoked.write_bytes(data)
        assert said in judged(revoking, joe)
    revoked.unlink()
    assert "cannot be read: No such file" in judged(revoking, joe)


# -- which kind -----------------------------------------------------------------------------------


def test_a_statement_is_judged_by_what_its_signature_looks_like(trust: Trust) -> None:
    signature = sign(WORDS, private("ed25519"), "git")
    for written in (signature, b"\n\n" + signature):
        assert verify(Statement(WORDS, written, "git"), trust, NOW) == "jane"
    with pytest.raises(SignatureRefused, match="`openpgp_keyring_file` is not set"):
        verify(Statement(WORDS, b"\n -----BEGIN PGP SIGNATURE-----", "git"), trust, NOW)
    with pytest.raises(SignatureRefused, match="neither of an SSH key nor of OpenPGP"):
        verify(Statement(WORDS, b"x" + signature, "git"), trust, NOW)
    with pytest.raises(SignatureRefused, match="it is not signed"):
        verify(Statement(WORDS, None, "git"), trust, NOW)


@pytest.mark.parametrize(
    ("author", "match_committer", "who"),
    [
        ("jane", True, "jane"),
        ("joe", True, None),
        (None, True, "jane"),
        ("joe", False, "jane"),
    ],
)
def test_whose_signature_it_must_be(
    trust: Trust, author: str | None, match_committer: bool, who: str | None
) -> None:
    asked = trust if match_committer else msgspec.structs.replace(trust, match_committer=False)
    statement = Statement(WORDS, sign(WORDS, private("ed25519"), "git"), "git", author)
    if who is not None:
        assert verify(statement, asked, NOW) == who
        return
    with pytest.raises(SignatureRefused, match="its key is not one of the committer `joe`"):
        verify(statement, asked, NOW)


@pytest.mark.parametrize(
    "name", ["allowed_signers_file", "openpgp_keyring_file", "revoked_keys_file"]
)
def test_each_list_is_part_of_the_digest_at_its_own_place(tmp_path: Path, name: str) -> None:
    path = tmp_path / "list"
    nothing = Trust()
    trust = msgspec.structs.replace(nothing, **{name: path})
    assert trust.digest() == nothing.digest(), "what cannot be read counts as empty"
    path.write_text("")
    assert trust.digest() == nothing.digest()
    path.write_text("words")
    lists = ("allowed_signers_file", "openpgp_keyring_file", "revoked_keys_file")
    each = {msgspec.structs.replace(nothing, **{one: path}).digest() for one in lists}
    assert len(each | {nothing.digest()}) == 4
    assert trust.digest() in each
    assert trust.required is (name != "revoked_keys_file")
