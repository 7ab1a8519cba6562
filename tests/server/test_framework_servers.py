"""Guards behind the servers that people run: uvicorn and gunicorn, over a socket each.

The services are the examples of `docs/calling.md`, so what is shown there is what runs here.
"""

from __future__ import annotations

import json
import os
import socket
import sys
from collections.abc import Iterator
from concurrent.futures import ThreadPoolExecutor
from contextlib import closing, contextmanager
from http.client import HTTPConnection
from pathlib import Path

import msgspec
import pytest

from policyd.client import Client, Question, Resource
from tests.support.daemon import PATIENCE, Daemon, Site, access_token
from tests.support.documents import ROOT, fences
from tests.support.frameworks import Headers, Reply
from tests.support.ports import free_port
from tests.support.redis import until
from tests.support.word_by_word import Terminal

_EXAMPLES = [
    fence.text for fence in fences(ROOT / "docs" / "calling.md") if fence.info == "python service"
]
FASTAPI, FLASK, DJANGO, _GRPC = _EXAMPLES
STARLETTE = """
from policyd_client import AsyncClient, Resource
from policyd_client.starlette import Guard
from starlette.applications import Starlette
from starlette.responses import JSONResponse
from starlette.routing import Route

guard = Guard(AsyncClient("127.0.0.1:8181"), api="health")


def patient(request):
    return Resource("patient", request.path_params["patient_id"], {"sealed": False})


@guard.protect("read", patient)
async def read(request):
    return JSONResponse({"patient": request.path_params["patient_id"]})


app = Starlette(routes=[Route("/patients/{patient_id}", read)])
"""


def django_site(view: str, gateway: str) -> str:
    """Return a module with a whole site around a view."""
    return f"""
import django
from django.conf import settings

settings.configure(ALLOWED_HOSTS=["*"], DATABASES={{}}, ROOT_URLCONF=__name__)
django.setup()
from django.core.{gateway} import get_{gateway}_application
from django.urls import path

{view}
urlpatterns = [path("patients/<patient_id>", read)]
app = get_{gateway}_application()
"""


ASYNC_DJANGO = DJANGO.replace("Client", "AsyncClient").replace("\ndef read", "\nasync def read")
UVICORN = "uvicorn service:app --host 127.0.0.1 --port {port}"
GUNICORN = "gunicorn service:app --bind 127.0.0.1:{port}"


class Served(msgspec.Struct, frozen=True):
    """A service, the command that serves it, and what the server prints once it does."""

    module: str
    command: str
    serving: str


SERVED = {
    "fastapi-uvicorn": Served(FASTAPI, UVICORN, "Uvicorn running on"),
    "fastapi-uvicorn-processes": Served(
        FASTAPI, f"{UVICORN} --workers 2", "Application startup complete"
    ),
    "starlette-uvicorn": Served(STARLETTE, UVICORN, "Uvicorn running on"),
    "django-uvicorn": Served(django_site(ASYNC_DJANGO, "asgi"), UVICORN, "Uvicorn running on"),
    "flask-gunicorn": Served(FLASK, f"{GUNICORN} --workers 2", "Listening at"),
    "flask-gunicorn-threads": Served(FLASK, f"{GUNICORN} --threads 4", "Listening at"),
    # The service, and its client, are made before the workers are forked.
    "flask-gunicorn-preload": Served(FLASK, f"{GUNICORN} --workers 2 --preload", "Listening at"),
    "django-gunicorn": Served(django_site(DJANGO, "wsgi"), GUNICORN, "Listening at"),
}


@pytest.fixture(scope="module")
def daemon(tmp_path_factory: pytest.TempPathFactory) -> Iterator[Daemon]:
    with Site(tmp_path_factory.mktemp("servers")).start() as running:
        yield running


@contextmanager
def serving(served: Served, folder: Path, target: str) -> Iterator[int]:
    """Run a server until the context ends; yield its port."""
    module = served.module.replace("127.0.0.1:8181", target)
    (folder / "service.py").write_text(module, encoding="utf-8")
    port = free_port()
    scripts = Path(sys.executable).parent
    terminal = Terminal(
        f"{scripts}/{served.command.format(port=port)}",
        folder,
        {**os.environ, "PYTHONPATH": f"{ROOT / 'clients' / 'python'}:{folder}"},
    )
    try:
        assert terminal.wait_for("...", served.serving, {}), terminal.printed
        # Workers of uvicorn print nothing more between their start and their first `listen`.
        until(lambda: accepts(port), "nothing accepts connections")
        yield port
        # Before the end: gunicorn shows where its workers were when they were told to stop.
        assert "Traceback" not in terminal.printed, terminal.printed
    finally:
        terminal.stop()


def accepts(port: int) -> bool:
    with closing(socket.socket()) as caller:
        return caller.connect_ex(("127.0.0.1", port)) == 0


def get(port: int, name: str, headers: Headers) -> Reply:
    connection = HTTPConnection("127.0.0.1", port, timeout=PATIENCE)
    connection.putrequest("GET", f"/patients/{name}")
    for field, value in headers:
        connection.putheader(field, value)
    connection.endheaders()
    response = connection.getresponse()
    body = response.read().decode()
    connection.close()
    found = {field.lower(): value for field, value in response.getheaders()}
    return Reply(response.status, found, body)


def bearer(token: str) -> Headers:
    return [("Authorization", f"Bearer {token}")]


@pytest.mark.slow
@pytest.mark.parametrize("name", SERVED)
def test_lets_in_and_refuses(name: str, tmp_path: Path, daemon: Daemon) -> None:
    allowed, narrow = access_token(), access_token(scope="openid")
    with (
        Client(daemon.addresses[0]) as client,
        serving(SERVED[name], tmp_path, daemon.addresses[0]) as port,
    ):
        reply = get(port, "p1", bearer(allowed))
        assert (reply.status, json.loads(reply.body)) == (200, {"patient": "p1"})
        for token, status in ((narrow, 403), ("none", 401), ("", 401)):
            resource = Resource("patient", "p1", {"sealed": False})
            expected = client.ask(Question(token, "read", resource, "health"))
            reply = get(port, "p1", bearer(token) if token else [])
            assert (reply.status, expected.http_status) == (status, status)
            assert reply.headers["www-authenticate"] == expected.www_authenticate
            assert "patient" not in reply.body
        assert get(port, "p1", bearer(allowed) * 2).status == 401
        assert get(port, "p1", [("Authorization", allowed)]).status == 401
        # Each caller gets the answer to its own question, however many ask.
        with ThreadPoolExecutor(8) as pool:
            asked = [(f"p{number}", allowed if number % 2 else narrow) for number in range(40)]
            replies = list(pool.map(lambda one: get(port, one[0], bearer(one[1])), asked))
        for (patient, token), reply in zip(asked, replies, strict=True):
            assert reply.status == (200 if token is allowed else 403)
            assert (f'"{patient}"' in reply.body) is (token is allowed)


@pytest.mark.slow
@pytest.mark.parametrize("name", ["fastapi-uvicorn", "flask-gunicorn-preload"])
def test_without_a_daemon_nobody_is_let_in(name: str, tmp_path: Path) -> None:
    with serving(SERVED[name], tmp_path, f"unix:{tmp_path}/gone.sock") as port:
        reply = get(port, "p1", bearer(access_token()))
    assert (reply.status, reply.headers["retry-after"]) == (503, "5")
    assert "patient" not in reply.body
