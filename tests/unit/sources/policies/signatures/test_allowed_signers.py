"""Lists of allowed signers: what a line says, and what is no line."""

from __future__ import annotations

import base64
from datetime import UTC, datetime

import pytest

from policyd.sources.policies.signatures.allowed_signers import (
    matches,
    principal_of,
    read_keys,
    read_signers,
)
from policyd.sources.policies.signatures.trust import SignatureRefused

KEY = b"\0\0\0\x0bssh-ed25519\0\0\0\x20" + b"k" * 32
TEXT = base64.b64encode(KEY).decode()
LINE = f"ssh-ed25519 {TEXT}"
NOW = datetime(2026, 6, 1, tzinfo=UTC).timestamp()


def principal(text: str, namespace: str = "git", wanted: str | None = "jane@example.com") -> str:
    return principal_of(read_signers(text), KEY, namespace, NOW, wanted)


@pytest.mark.parametrize(
    "line",
    [
        f"jane@example.com {LINE}",
        f"jane@example.com {LINE} a comment of words",
        f"  jane@example.com\t{LINE}",
        f'"jane@example.com" {LINE}',
        f"*@example.com,!joe@example.com {LINE}",
        f"j?ne@example.com {LINE}",
        f'jane@example.com namespaces="git" {LINE}',
        f'jane@example.com namespaces="file,g*" {LINE}',
        f'* NAMESPACES="git",valid-after="20260101Z",valid-before="20270101Z" {LINE}',
        f'jane@example.com valid-after="202605312359Z" {LINE}',
        f'jane@example.com valid-before="20260601000001Z" {LINE}',
    ],
)
def test_lines_that_allow(line: str) -> None:
    assert principal(f"# a comment\n\n{line}\n") == "jane@example.com"


@pytest.mark.parametrize(
    ("line", "said"),
    [
        (f"joe@example.com {LINE}", "is not one of the committer `jane@example.com`"),
        (f"!jane@example.com,*@example.com {LINE}", "is not one of the committer"),
        (f"!joe@example.com {LINE}", "is not one of the committer"),
        (f'* namespaces="file" {LINE}', "may not sign for the namespace `git`"),
        (f'* namespaces="*,!git" {LINE}', "may not sign for the namespace"),
        (f'* namespaces="git\\" x" {LINE}', "may not sign for the namespace"),
        (f"* cert-authority {LINE}", "`cert-authority`"),
        (f'* valid-after="20260602Z" {LINE}', "is not valid yet"),
        (f'* valid-before="20260601Z" {LINE}', "is not valid any more"),
        ("# nobody", "is not among the allowed signers"),
    ],
)
def test_lines_that_do_not(line: str, said: str) -> None:
    with pytest.raises(SignatureRefused, match=said):
        principal(line)


@pytest.mark.parametrize(
    ("line", "said"),
    [
        ("jane@example.com", "there is no public key"),
        ("jane@example.com ssh-ed25519", "there is no public key"),
        ("jane@example.com ssh-ed25519 ***", "no base64"),
        (f"jane@example.com ssh-rsa {TEXT}", "not of the kind `ssh-rsa`"),
        (f"jane@example.com sometimes {LINE}", "`sometimes` is unknown"),
        (f'jane@example.com namespaces="git {LINE}', "a quote is not closed"),
        (f'"jane@example.com {LINE}', "a quote is not closed"),
        (f'jane@example.com valid-after="tomorrow" {LINE}', "`tomorrow` is no time"),
        (f'jane@example.com valid-after="20261301Z" {LINE}', "`20261301Z` is no time"),
        (f"jane@example.com namespaces {LINE}", 'write `namespaces`="…"'),
        (f'jane@example.com cert-authority="x" {LINE}', "write `cert-authority`$"),
        (f'a@b namespaces="a",namespaces="b" {LINE}', "given twice"),
        (f'a@b namespaces="a"namespaces="b" {LINE}', "is no option"),
        (f'a@b namespaces="a", {LINE}', "`` is no option"),
    ],
)
def test_a_line_that_nobody_understands_makes_the_file_useless(line: str, said: str) -> None:
    with pytest.raises(SignatureRefused, match=said) as raised:
        principal(f"jane@example.com {LINE}\n{line}\n")
    assert "line 2 of the allowed signers cannot be read" in str(raised.value)


def test_an_expired_line_leaves_the_others() -> None:
    assert principal(f'* valid-before="20200101Z" {LINE}\njane@example.com {LINE}')


def test_without_a_committer_the_principals_of_the_line_are_told() -> None:
    assert principal(f"*@example.com {LINE}", wanted=None) == "*@example.com"


@pytest.mark.parametrize(
    ("text", "patterns", "does"),
    [
        ("a", "a", True),
        ("a", "b,a", True),
        ("a.b", "a?b", True),
        ("ab", "a", False),
        ("a[b", "a[b", True),
        ("x", "*,!x", False),
        ("y", "*,!x", True),
        ("y", "!x", False),
        ("", "*", True),
    ],
)
def test_patterns(text: str, patterns: str, does: bool) -> None:
    assert matches(text, patterns) is does


def test_revoked_keys_are_lines_of_public_keys() -> None:
    assert read_keys(f"# gone\n\n{LINE} a comment\n") == {KEY}
    for text, said in (
        ("SSHKRL\n\0", "KRL"),
        ("ssh-ed25519 x", "line 1 of the revoked keys"),
        (f"words {TEXT}", "there is no public key"),
    ):
        with pytest.raises(SignatureRefused, match=said):
            read_keys(text)
