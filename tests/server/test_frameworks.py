"""Guards of web frameworks: the real framework, over the real daemon, each asked the same.

Every framework serves `GET /patients/{id}`, whose resource is sealed where its id begins with `s`,
and `GET /twice/p1`, which is guarded twice.
"""

from __future__ import annotations

import asyncio
import json
import logging
import subprocess
import sys
import time
from collections.abc import Callable, Iterator
from typing import Protocol, cast

import grpc
import pytest

from policyd.client import (
    Answer,
    AsyncClient,
    Client,
    Question,
    Resource,
)
from policyd.embedded import Embedded
from tests.support.daemon import Daemon, Site, access_token
from tests.support.documents import ROOT, fences
from tests.support.frameworks import App, Headers, Reply, Service, asgi_service
from tests.support.proofs import jkt, proof

ORIGIN = "https://api.example.com"


def patient(name: str) -> Resource:
    return Resource("patient", name, {"sealed": name.startswith("s")})


#: Decision points in this process, by the target that stands for each.
EMBEDDED: dict[str, Embedded] = {}


def waiting(target: str) -> Client | Embedded:
    return EMBEDDED.get(target) or Client(target, attempts=1)


def awaited(target: str) -> AsyncClient | Embedded:
    return EMBEDDED.get(target) or AsyncClient(target, attempts=1)


def fastapi_service(target: str, origin: str = ORIGIN) -> Service:
    from fastapi import Depends, FastAPI
    from starlette.requests import Request

    from policyd.client.starlette import Guard

    guard = Guard(awaited(target), api="health", external_origin=origin)

    async def named(request: Request) -> Resource:
        return patient(request.path_params["patient_id"])

    app = FastAPI()
    reads = guard.requires("read", named)
    again = guard.requires("read", patient("p1"))

    @app.get("/patients/{patient_id}")
    async def read(patient_id: str, answer: Answer = Depends(reads)) -> dict[str, object]:  # noqa: B008
        return {"patient": patient_id, "rules": answer.rules}

    @app.get(
        "/twice/p1", dependencies=[Depends(again), Depends(guard.requires("read", patient("p2")))]
    )
    async def twice() -> dict[str, object]:
        return {"patient": "p1", "rules": ["reads"]}

    return asgi_service(app)


def starlette_service(target: str, origin: str = ORIGIN) -> Service:
    from starlette.applications import Starlette
    from starlette.requests import Request
    from starlette.responses import JSONResponse, Response
    from starlette.routing import Route

    from policyd.client.starlette import Guard

    guard = Guard(awaited(target), api="health", external_origin=origin)

    @guard.protect("read", lambda request: patient(request.path_params["patient_id"]))
    async def read(request: Request) -> Response:
        answer: Answer = request.state.policyd
        name = request.path_params["patient_id"]
        return JSONResponse({"patient": name, "rules": answer.rules})

    @guard.protect("read", patient("p1"))
    @guard.protect("read", patient("p2"))
    async def twice(request: Request) -> Response:
        return JSONResponse({"patient": "p1", "rules": ["reads"]})

    app = Starlette(routes=[Route("/patients/{patient_id}", read), Route("/twice/p1", twice)])

    return asgi_service(app)


def flask_service(target: str, origin: str = ORIGIN) -> Service:
    from flask import Flask, g
    from flask.typing import ResponseReturnValue

    from policyd.client.flask import Guard

    guard = Guard(waiting(target), api="health", external_origin=origin)
    app = Flask(__name__)

    @app.get("/patients/<patient_id>")
    @guard.requires("read", lambda patient_id: patient(patient_id))
    def read(patient_id: str) -> ResponseReturnValue:
        return {"patient": patient_id, "rules": g.policyd.rules}

    @app.get("/twice/p1")
    @guard.requires("read", patient("p1"))
    @guard.requires("read", patient("p2"))
    def twice() -> ResponseReturnValue:
        return {"patient": "p1", "rules": ["reads"]}

    def get(path: str, headers: Headers) -> Reply:
        response = app.test_client().get(path, headers=headers, base_url=ORIGIN)
        names = {name.lower(): value for name, value in response.headers.items()}
        return Reply(response.status_code, names, response.text)

    return get


def django_service(target: str, origin: str = ORIGIN, *, asynchronous: bool = False) -> Service:
    import django
    from django.conf import settings
    from django.test import AsyncClient as AsyncCaller
    from django.test import Client as Caller
    from django.urls import path

    if not settings.configured:
        settings.configure(ALLOWED_HOSTS=["*"], DATABASES={})
        django.setup()
    views = _async_views(target, origin) if asynchronous else _views(target, origin)
    routes = (path("patients/<patient_id>", views[0]), path("twice/p1", views[1]))

    def get(path: str, headers: Headers) -> Reply:
        joined: dict[str, str] = {}
        for name, value in headers:  # as servers do
            joined[name] = f"{joined[name]},{value}" if name in joined else value
        settings.ROOT_URLCONF = routes
        if asynchronous:
            response = asyncio.run(AsyncCaller().get(path, headers=joined))
        else:
            response = Caller().get(path, headers=joined)
        names = {name.lower(): value for name, value in response.headers.items()}
        return Reply(response.status_code, names, response.content.decode())

    return get


def _views(target: str, origin: str) -> tuple[object, object]:
    from django.http import HttpRequest, HttpResponseBase, JsonResponse

    from policyd.client.django import Guard

    guard = Guard(waiting(target), api="health", external_origin=origin)

    @guard.requires("read", lambda request, patient_id: patient(patient_id))
    def read(request: HttpRequest, patient_id: str) -> HttpResponseBase:
        return JsonResponse({"patient": patient_id, "rules": request.policyd.rules})

    @guard.requires("read", patient("p1"))
    @guard.requires("read", patient("p2"))
    def twice(request: HttpRequest) -> HttpResponseBase:
        return JsonResponse({"patient": "p1", "rules": ["reads"]})

    return read, twice


def _async_views(target: str, origin: str) -> tuple[object, object]:
    from django.http import HttpRequest, HttpResponseBase, JsonResponse

    from policyd.client.django import Guard

    guard = Guard(awaited(target), api="health", external_origin=origin)

    @guard.requires("read", lambda request, patient_id: patient(patient_id))
    async def read(request: HttpRequest, patient_id: str) -> HttpResponseBase:
        return JsonResponse({"patient": patient_id, "rules": request.policyd.rules})

    @guard.requires("read", patient("p1"))
    @guard.requires("read", patient("p2"))
    async def twice(request: HttpRequest) -> HttpResponseBase:
        return JsonResponse({"patient": "p1", "rules": ["reads"]})

    return read, twice


def async_django_service(target: str, origin: str = ORIGIN) -> Service:
    return django_service(target, origin, asynchronous=True)


class Make(Protocol):
    """Makes a service that asks the daemon at `target`."""

    __name__: str

    def __call__(self, target: str, origin: str = ORIGIN) -> Service: ...


SERVICES: list[Make] = [
    fastapi_service,
    starlette_service,
    flask_service,
    django_service,
    async_django_service,
]


@pytest.fixture(scope="module")
def daemon(tmp_path_factory: pytest.TempPathFactory) -> Iterator[Daemon]:
    site = Site(tmp_path_factory.mktemp("frameworks"))
    site.configure("[dpop]\nnonce = false")
    with site.start() as running, Embedded.open(site.folder / "policyd.toml") as pdp:
        EMBEDDED["embedded"] = pdp
        yield running
    del EMBEDDED["embedded"]


@pytest.fixture(params=["daemon", "embedded"])
def target(request: pytest.FixtureRequest, daemon: Daemon) -> str:
    """Whom the services ask: the daemon, or what decides in this process."""
    return "embedded" if request.param == "embedded" else daemon.addresses[0]


@pytest.fixture(params=SERVICES, ids=lambda make: make.__name__)
def make(request: pytest.FixtureRequest) -> Make:
    made: Make = request.param
    return made


@pytest.fixture
def service(make: Make, target: str) -> Service:
    return make(target)


def bearer(token: str) -> Headers:
    return [("Authorization", f"Bearer {token}")]


def test_lets_in_whom_the_policy_allows(service: Service) -> None:
    reply = service("/patients/p1", bearer(access_token()))
    assert reply.status == 200
    assert json.loads(reply.body) == {"patient": "p1", "rules": ["reads"]}
    assert "www-authenticate" not in reply.headers


def test_a_deny_is_answered_with_the_ready_made_challenge(
    service: Service, daemon: Daemon, caplog: pytest.LogCaptureFixture
) -> None:
    with Client(daemon.addresses[0]) as client:
        for token, name, status in (
            (access_token(), "sealed", 401),
            (access_token(scope="openid"), "p1", 403),
            ("none", "p1", 401),
            ("", "p1", 401),
        ):
            expected = client.ask(Question(token, "read", patient(name), "health"))
            reply = service(f"/patients/{name}", bearer(token) if token else [])
            assert (expected.allowed, expected.http_status) == (False, status)
            assert (reply.status, reply.headers["www-authenticate"]) == (
                status,
                expected.www_authenticate,
            )
            assert expected.message in reply.body
            assert "patient" not in reply.body
    assert [one for one in caplog.records if one.name == "policyd_client"] == []


def test_another_scheme_and_two_fields_are_no_token(service: Service) -> None:
    token = access_token()
    for headers in (
        [("Authorization", f"Basic {token}")],
        [("Authorization", token)],
        bearer(token) * 2,
    ):
        assert service("/patients/p1", headers).status == 401


def test_no_answer_lets_nobody_in_and_is_loud(make: Make, caplog: pytest.LogCaptureFixture) -> None:
    reply = make("unix:/nowhere/at/all")("/patients/p1", bearer(access_token()))
    assert (reply.status, reply.headers["retry-after"]) == (503, "5")
    assert "rules" not in reply.body
    (said,) = [one for one in caplog.records if one.name == "policyd_client"]
    assert said.levelno == logging.ERROR
    assert "access is refused, because policyd gave no answer: UNAVAILABLE" in said.getMessage()


def test_a_question_that_cannot_be_asked_lets_nobody_in(
    make: Make, target: str, caplog: pytest.LogCaptureFixture, monkeypatch: pytest.MonkeyPatch
) -> None:
    """As where the resource's id is longer than the daemon takes."""
    reply = make(target)("/patients/" + "x" * 3000, bearer(access_token()))
    assert reply.status == 500
    assert "retry-after" not in reply.headers
    assert "INVALID_ARGUMENT" in caplog.text


def shown(token: str, path: str, name: str) -> Headers:
    made = proof(token, htm="GET", htu=f"{ORIGIN}{path}", iat=int(time.time()), jti=name)
    return [("Authorization", f"DPoP {token}"), ("DPoP", made)]


def test_a_proof_is_for_one_request_and_all_of_its_questions(
    make: Make, service: Service, target: str, caplog: pytest.LogCaptureFixture
) -> None:
    token = access_token(cnf={"jkt": jkt()})
    name = f"{make.__name__}-{target}"
    once = shown(token, "/patients/p1", f"{name}-1")
    assert service("/patients/p1", once).status == 200
    assert service("/patients/p1", once).status == 401  # replayed
    assert service("/twice/p1", shown(token, "/twice/p1", f"{name}-2")).status == 200
    # A bound token is no bearer token, and without a proof it is refused.
    fresh = shown(token, "/patients/p1", f"{name}-3")
    assert service("/patients/p1", [*bearer(token), fresh[1]]).status == 401
    assert service("/patients/p1", fresh[:1]).status == 401
    assert service("/patients/p1", [("Authorization", f"DPoP {access_token()}")]).status == 401
    # A proof for another address, and one whose address nobody has told.
    assert service("/patients/p1", shown(token, "/patients/p2", f"{name}-4")).status == 401
    silent = make(target, "")
    assert silent("/patients/p1", shown(token, "/patients/p1", f"{name}-5")).status == 401
    assert "give the guard `external_origin`" in caplog.text


def test_django_wants_the_client_of_the_view() -> None:
    from policyd.client.django import Guard

    async def later(request: object) -> object:
        return request

    with pytest.raises(TypeError, match="an async view needs a guard with an AsyncClient"):
        Guard(Client("unix:/nowhere")).requires("read", patient("p1"))(later)
    with pytest.raises(TypeError, match="a blocking view needs a guard with a Client"):
        Guard(AsyncClient("unix:/nowhere")).requires("read", patient("p1"))(lambda request: request)


def test_a_guard_must_know_what_its_client_raises() -> None:
    """That of another package of the same name would let a failure pass by as its framework's."""

    class Stranger:
        failure = ValueError

        def ask(self, question: Question) -> Answer:
            raise NotImplementedError

    from policyd.client.flask import Guard

    with pytest.raises(TypeError, match=r"import the guard from `policyd\.client`"):
        Guard(Stranger())


def test_the_examples_of_the_documentation(daemon: Daemon) -> None:
    """Each makes a guard that lets in and refuses; they are in the order of the page."""
    from django.http import HttpResponseBase
    from django.test import RequestFactory
    from flask import Flask

    made: list[dict[str, object]] = []
    for fence in fences(ROOT / "docs" / "calling.md"):
        if fence.info == "python service":
            names: dict[str, object] = {"__name__": "service"}
            code = fence.text.replace("127.0.0.1:8181", daemon.addresses[0])
            exec(compile(code, str(fence), "exec", dont_inherit=True), names)
            made.append(names)
    fastapi, flask, django, grpc_server = made
    django_service("unix:/nowhere")  # for its settings
    view = cast("Callable[[object, str], HttpResponseBase]", django["read"])
    for token, status in ((access_token(), 200), ("none", 401)):
        headers = bearer(token)
        assert asgi_service(cast("App", fastapi["app"]))("/patients/p1", headers).status == status
        caller = cast("Flask", flask["app"]).test_client()
        assert caller.get("/patients/p1", headers=headers).status_code == status
        assert view(RequestFactory().get("/", headers=dict(headers)), "p1").status_code == status
    assert isinstance(grpc_server["guard"], grpc.ServerInterceptor)


LOADED = """
import sys
import policyd_client
frameworks = {"starlette", "fastapi", "flask", "django"}
assert not frameworks & set(sys.modules), frameworks & set(sys.modules)
ours = {name.partition(".")[2] for name in sys.modules if name.startswith("policyd_client.")}
assert not ours & {*frameworks, "grpc_server", "enforcement"}, ours
__import__("policyd_client." + sys.argv[1])
print(*sorted(frameworks & set(sys.modules)))
"""


@pytest.mark.parametrize(
    ("module", "loads"),
    [("starlette", "starlette"), ("flask", "flask"), ("django", "django"), ("grpc_server", "")],
)
def test_each_is_one_module_behind_one_import(module: str, loads: str) -> None:
    done = subprocess.run(
        [sys.executable, "-c", LOADED, module],
        env={"PYTHONPATH": str(ROOT / "clients" / "python")},
        capture_output=True,
        text=True,
        check=True,
        timeout=60,
    )
    assert done.stdout.strip() == loads
