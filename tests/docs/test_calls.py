"""The documents' calls from Python, run against a daemon with the sample policy."""

from __future__ import annotations

import time
from collections.abc import Iterator
from contextlib import AbstractContextManager
from email.message import Message
from pathlib import Path
from types import SimpleNamespace
from typing import cast

import pytest

from policyd.client import Answer
from tests.support.daemon import Daemon, Site, access_token
from tests.support.documents import ROOT, documents, fences
from tests.support.frameworks import App, asgi_service
from tests.support.proofs import URI, jkt, proof


@pytest.fixture(scope="module")
def daemon(tmp_path_factory: pytest.TempPathFactory) -> Iterator[Daemon]:
    with Site(tmp_path_factory.mktemp("site")).start() as running:
        yield running


def executed(page: str, daemon: Daemon, **names: object) -> dict[str, object]:
    """Run the page's one Python example with the daemon's address; return what it defines."""
    (fence,) = (fence for fence in fences(ROOT / page) if fence.info == "python")
    assert "127.0.0.1:8181" in fence.text
    code = fence.text.replace("127.0.0.1:8181", daemon.addresses[0])
    exec(compile(code, str(fence), "exec"), names)
    return names


def test_every_example_is_run_here() -> None:
    pages = {
        str(document.relative_to(ROOT))
        for document in documents()
        if any(fence.info == "python" for fence in fences(document))
    }
    docs = Path("docs")
    assert pages == {
        "README.md",
        str(docs / "calling.md"),
        str(docs / "embedded.md"),
        str(docs / "sender-constrained.md"),
    }


def test_embedded(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str]
) -> None:
    """Both examples, in the folder of a configuration."""
    Site(tmp_path)
    monkeypatch.chdir(tmp_path)
    examples = [one for one in fences(ROOT / "docs" / "embedded.md") if one.info == "python"]
    plain, framework = (compile(one.text, str(one), "exec", dont_inherit=True) for one in examples)
    for token, said in ((access_token(), ""), ("none", "401 Bearer realm=")):
        exec(plain, {"access_token": token})
        assert capsys.readouterr().out.startswith(said)
        assert bool(said) is (token == "none")
    names: dict[str, object] = {"__name__": "service"}
    exec(framework, names)
    service = asgi_service(cast("App", names["app"]))
    for token, status in ((access_token(), 200), ("none", 401)):
        assert service("/patients/p1", [("Authorization", f"Bearer {token}")]).status == status
    cast("SimpleNamespace", names["guard"])._client.close()


def test_readme(daemon: Daemon) -> None:
    names = executed("README.md", daemon)
    may_read, client = names["may_read"], names["client"]
    assert callable(may_read)
    assert isinstance(client, AbstractContextManager)
    with client:
        allowed, denied, refused = (
            may_read(access_token(), "p1", False),
            may_read(access_token(), "p2", True),
            may_read("no token", "p1", False),
        )
    for answer in (allowed, denied, refused):
        assert type(answer).__name__ == "Answer"  # of the distribution, not of `policyd.client`
    assert allowed.allowed
    assert (denied.allowed, list(denied.rules)) == (False, ["sealed"])
    assert (refused.allowed, refused.http_status) == (False, 401)


def test_client(daemon: Daemon, capsys: pytest.CaptureFixture[str]) -> None:
    executed("docs/calling.md", daemon, access_token=access_token())
    assert capsys.readouterr().out == ""
    executed("docs/calling.md", daemon, access_token="no token")
    assert capsys.readouterr().out.startswith("401 Bearer ")
    executed("clients/python/README.md", daemon, access_token=access_token())


def test_passing_a_proof_on(daemon: Daemon) -> None:
    token = access_token(cnf={"jkt": jkt()})
    request = Message()
    request["DPoP"] = proof(token, htm="GET", htu=URI, iat=int(time.time()))
    given = SimpleNamespace(headers=request, method="GET", path=URI.partition(".com")[2])
    for twice, reason in (("a", "ALLOWED"), ("a", "ALLOWED"), ("b", "TOKEN_BINDING_INVALID")):
        names = executed(
            "docs/sender-constrained.md",
            daemon,
            access_token=token,
            request=given,
            own_name_of=lambda _, name=twice: name,
        )
        assert isinstance(names["answer"], Answer)
        assert names["answer"].reason == reason
