"""The webhook: what wakes the source, and what does not."""

from __future__ import annotations

import hashlib
import hmac
from pathlib import Path

import pytest

from policyd.config.secrets import SecretUnusable, read_webhook_secrets
from policyd.server.http.webhook import PATH, GitWebhook
from policyd.server.transport.web import WebRequest, WebResponse

SECRET, OTHER = b"s" * 32, b"t" * 32
BODY = b'{"ref": "refs/heads/main"}'


def signature(secret: bytes = SECRET, body: bytes = BODY) -> str:
    return hmac.new(secret, body, hashlib.sha256).hexdigest()


def status(*fields: tuple[str, str], method: str = "POST", body: bytes = BODY) -> tuple[int, int]:
    """Return the status of an answer, and how often the source was woken."""
    woken: list[None] = []
    hook = GitWebhook((OTHER, SECRET), lambda: woken.append(None))
    answer = hook.answer(WebRequest(method, PATH, fields=fields, body=body))
    assert isinstance(answer, WebResponse)
    return answer.status, len(woken)


@pytest.mark.parametrize(
    "field",
    [
        ("x-hub-signature-256", f"sha256={signature()}"),
        ("x-gitea-signature", signature()),
        ("x-forgejo-signature", signature(OTHER)),
        ("x-gitlab-token", SECRET.decode()),
    ],
)
def test_each_forge_wakes_the_source(field: tuple[str, str]) -> None:
    assert status(field) == (202, 1)


@pytest.mark.parametrize(
    "fields",
    [
        (),
        (("x-hub-signature-256", signature()),),
        (("x-hub-signature-256", f"sha1={signature()}"),),
        (("x-hub-signature-256", f"sha256={signature(b'u' * 32)}"),),
        (("x-hub-signature-256", "sha256="),),
        (("x-gitea-signature", ""),),
        (("x-gitea-signature", signature(body=b"other")),),
        (("x-gitlab-token", ""),),
        (("x-gitlab-token", "wrong\xff"),),
        (("x-gitlab-token", SECRET.decode()), ("x-gitlab-token", SECRET.decode())),
        (("x-hub-signature-256", "sha256=0"), ("x-hub-signature-256", f"sha256={signature()}")),
    ],
)
def test_what_shows_no_secret_wakes_nobody(fields: tuple[tuple[str, str], ...]) -> None:
    assert status(*fields) == (403, 0)


def test_only_a_post_counts() -> None:
    assert status(("x-gitlab-token", SECRET.decode()), method="GET") == (405, 0)


def test_the_body_is_not_believed() -> None:
    for body in (b"", b"\xff" * 1000, b'{"ref": "refs/heads/evil"}'):
        assert status(("x-gitea-signature", signature(body=body)), body=body) == (202, 1)


def test_secrets_are_lines_of_a_file(tmp_path: Path) -> None:
    path = tmp_path / "secret"
    path.write_bytes(SECRET + b"\n" + OTHER + b"\n")
    assert read_webhook_secrets(path) == (SECRET, OTHER)
    for text in (b"", b"short\n", b"\n".join([SECRET] * 17)):
        path.write_bytes(text)
        with pytest.raises(SecretUnusable, match="1 to 16 secrets"):
            read_webhook_secrets(path)
    path.unlink()
    with pytest.raises(SecretUnusable, match="No such file"):
        read_webhook_secrets(path)
