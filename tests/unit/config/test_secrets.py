"""Secrets of callers: what a file holds, and who presents one of them."""

from __future__ import annotations

import hmac
from pathlib import Path

import pytest

from policyd.config import secrets
from policyd.config.secrets import CallerSecrets, SecretUnusable

OLD, NEW = "an-old-secret-of-some-length", "A+new/one~with.all_kinds-of=="


@pytest.fixture
def path(tmp_path: Path) -> Path:
    made = tmp_path / "edge"
    made.write_text(f"{OLD}\n{NEW}\n")
    return made


def test_each_line_is_a_secret(path: Path) -> None:
    held = CallerSecrets(path, "listen.token_file")
    assert held.caller == "token:edge"
    assert held.holds(OLD)
    assert held.holds(NEW)
    for other in ("", OLD[:-1], OLD + "x", OLD.upper(), f"{OLD}\n{NEW}", f" {OLD}", "\u20ac"):
        assert not held.holds(other)


def test_every_secret_is_compared_whichever_it_was(
    path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    compared: list[bytes] = []

    def compare(a: bytes, b: bytes) -> bool:
        compared.append(b)
        return hmac.compare_digest(a, b)

    class Counted:
        compare_digest = staticmethod(compare)

    held = CallerSecrets(path, "listen.token_file")
    monkeypatch.setattr(secrets, "hmac", Counted)
    for presented in (OLD, NEW, "neither"):
        compared.clear()
        held.holds(presented)
        assert len(set(compared)) == 2


@pytest.mark.parametrize(
    ("text", "said"),
    [
        ("", "holds 0 secrets"),
        ("\n".join([OLD] * 17), "holds 17 secrets"),
        ("a" * 15, "a secret has 16 to 4096"),
        ("a" * 4097, "a secret has 16 to 4096"),
        (f"{OLD}\n{OLD}:more", "a secret has 16 to 4096"),
        (f"{OLD}=x", "a secret has 16 to 4096"),
    ],
)
def test_a_file_without_sound_secrets_is_not_used(path: Path, text: str, said: str) -> None:
    path.write_text(text)
    with pytest.raises(SecretUnusable, match=said) as caught:
        CallerSecrets(path, "listen.token_file")
    assert OLD not in str(caught.value)


@pytest.mark.parametrize("text", ["a" * 16, "a" * 4096, "\n".join([OLD] * 16)])
def test_as_much_as_a_file_may_hold(path: Path, text: str) -> None:
    path.write_text(text)
    assert CallerSecrets(path, "").holds(text.split("\n")[0])


def test_without_a_file_there_are_no_secrets(path: Path) -> None:
    with pytest.raises(SecretUnusable, match=r"`.*gone`: No such file"):
        CallerSecrets(path.parent / "gone", "")


def test_a_file_is_read_anew_and_one_that_cannot_be_used_changes_nothing(
    path: Path, caplog: pytest.LogCaptureFixture
) -> None:
    held = CallerSecrets(path, "listen.token_file")
    path.write_text("short")
    held.look()
    assert held.holds(OLD)
    (record,) = caplog.records
    assert record.levelname == "ERROR"
    assert record.message.startswith("`listen.token_file` cannot be used; what it held goes on: ")
    path.write_text(NEW)
    held.look()
    assert (held.holds(OLD), held.holds(NEW)) == (False, True)
