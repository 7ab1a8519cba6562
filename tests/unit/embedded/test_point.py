"""Decisions in this process: what is answered, what is kept fresh, and where it cannot be used."""

from __future__ import annotations

import asyncio
import json
import subprocess
import sys
import threading
from collections.abc import Callable, Iterator
from concurrent.futures import ThreadPoolExecutor
from pathlib import Path

import pytest

from policyd.client import Answer, AuthorizationFailed, Question, Resource
from policyd.config.findings import ConfigurationInvalid
from policyd.embedded import Embedded
from policyd.errors import PolicydError
from tests.support.authorization_server import AuthorizationServer, Reply, authorization_server
from tests.support.daemon import ISSUER, PATIENCE, Site, access_token
from tests.support.documents import ROOT

P1 = ("patient", "p1", {"sealed": False})


@pytest.fixture
def site(tmp_path: Path) -> Site:
    return Site(tmp_path)


@pytest.fixture
def pdp(site: Site) -> Iterator[Embedded]:
    with opened(site) as running:
        yield running


def opened(site: Site, timeout: float = PATIENCE) -> Embedded:
    return Embedded.open(site.folder / "policyd.toml", timeout=timeout)


def ask(pdp: Embedded, token: str | None = None) -> Answer:
    token = access_token() if token is None else token
    return pdp.check(token, api="health", action="read", resource=P1)


def until(holds: Callable[[], bool]) -> None:
    """Wait for what a thread of the decision point brings about, `PATIENCE` seconds at most."""
    news = threading.Event()
    for _ in range(int(PATIENCE / 0.01)):
        if holds():
            return
        news.wait(0.01)
    raise AssertionError("it did not come true")


def test_answers_as_the_daemon_does(pdp: Embedded, site: Site) -> None:
    token = access_token()
    allowed = pdp.check(
        f"Bearer {token}\n", api="health", action="read", resource=P1, context={"ip": "192.0.2.7"}
    )
    assert (allowed.allowed, allowed.reason, allowed.rules) == (True, "ALLOWED", ("reads",))
    assert allowed.subject is not None
    assert allowed.subject.issuer == ISSUER
    assert allowed.policy_revision == pdp.revision
    assert allowed.cacheable_until is not None
    denied = pdp.check(
        token, api="health", action="read", resource=Resource("patient", "p2", {"sealed": True})
    )
    assert (denied.allowed, denied.http_status) == (False, 401)
    assert 'error="insufficient_user_authentication"' in denied.www_authenticate
    refused = ask(pdp, "nonsense")
    assert (refused.reason, refused.http_status, refused.subject) == ("TOKEN_MALFORMED", 401, None)
    pdp.close()
    records = site.records()
    assert [one["decision_id"] for one in records] == [
        one.decision_id for one in (allowed, denied, refused)
    ]
    assert {one["caller"] for one in records} == {"in process"}
    assert token not in site.decisions.read_text()


def test_what_cannot_be_asked_is_the_programs_mistake(pdp: Embedded) -> None:
    token = access_token()

    def mistake(resource: object, **asked: object) -> tuple[str, str]:
        with pytest.raises(AuthorizationFailed) as raised:
            pdp.check(
                token,
                **{"api": "health", "action": "read", "resource": resource, **asked},  # type: ignore[arg-type]
            )
        assert not raised.value.allowed
        return raised.value.code, raised.value.reason

    invalid = "INVALID_ARGUMENT"
    assert mistake(P1, action="raed") == (invalid, "UNKNOWN_ACTION")
    assert mistake(P1, api="wealth") == (invalid, "UNKNOWN_API")
    assert mistake(("patient", "p1", {"sealed": {1}})) == (invalid, "ATTRIBUTE_INVALID")
    assert mistake(("patient", "x" * 3000)) == (invalid, "FIELD_TOO_LONG")
    assert mistake("patient") == (invalid, "VALUE_INVALID")
    assert mistake(("patient", 1)) == (invalid, "VALUE_INVALID")
    many = {"sealed": False, "list": [0] * 10_000}
    assert mistake(("patient", "p1", many)) == ("RESOURCE_EXHAUSTED", "TOO_MANY_VALUES")
    endless: list[object] = []
    endless.append(endless)
    assert mistake(("patient", "p1", {"x": endless})) == (invalid, "ATTRIBUTE_INVALID")


def test_a_question_is_copied(pdp: Embedded, site: Site) -> None:
    """The service may go on changing what it asked with, while the record is on its way."""
    attributes: dict[str, object] = {"sealed": False}
    pdp.check(
        access_token(),
        api="health",
        action="read",
        resource=("patient", "p1", attributes),  # type: ignore[arg-type]
    )
    attributes["sealed"] = object()
    pdp.close()
    (record,) = site.records()
    assert record["attributes"] == {"sealed": False}


def test_batches_explanations_and_what_is_certain(pdp: Embedded) -> None:
    token = access_token()
    long = ("patient", "x" * 3000)
    first, mistaken, unsendable, last = pdp.check_batch(
        token, [("read", P1), ("raed", P1), ("read", long), ("read", P1)], api="health"
    )
    assert isinstance(first, Answer)
    assert isinstance(last, Answer)
    assert (first.allowed, last.allowed) == (True, True)
    assert isinstance(mistaken, AuthorizationFailed)
    assert isinstance(unsendable, AuthorizationFailed)
    assert (mistaken.reason, unsendable.reason) == ("UNKNOWN_ACTION", "FIELD_TOO_LONG")
    question = Question(token, "read", Resource(*P1), "health")
    explained = pdp.explain(question)
    assert explained.answer.allowed
    assert {one.rule: one.value for one in explained.rules}["reads"] is True
    certain = pdp.partial(
        Question(token, "read", Resource("patient", "p1"), "health"), ["resource.sealed"]
    )
    assert (certain.outcome, certain.depends_on) == ("maybe", ("resource.sealed",))
    menu = pdp.partial_batch(token, [("read", P1), ("raed", P1)], ["resource"], api="health")
    assert [isinstance(one, AuthorizationFailed) for one in menu] == [False, True]


def test_threads_share_it(pdp: Embedded, site: Site) -> None:
    token = access_token()
    with ThreadPoolExecutor(8) as threads:
        answers = list(threads.map(lambda _: ask(pdp, token), range(400)))
    assert all(one.allowed for one in answers)
    pdp.close()
    assert {one.decision_id for one in answers} == {one["decision_id"] for one in site.records()}


def test_once_closed_it_answers_nothing(pdp: Embedded) -> None:
    assert pdp.ready()
    assert pdp.troubles() == []
    pdp.close()
    pdp.close()
    assert not pdp.ready()
    with pytest.raises(AuthorizationFailed, match="is closed"):
        ask(pdp)


def test_changed_policies_serve_and_broken_ones_do_not(pdp: Embedded, site: Site) -> None:
    token, before = access_token(), pdp.revision
    assert ask(pdp, token).allowed
    good = site.policy.read_text()
    site.policy.write_text(f"{good}\ndeny all: any on patient\n")
    until(lambda: pdp.revision != before)
    assert ask(pdp, token).reason == "DENIED_BY_RULE"
    site.policy.write_text("nonsense")
    until(lambda: pdp.troubles() != [])
    assert "the newest policies are not in service" in pdp.troubles()[0]
    assert ask(pdp, token).reason == "DENIED_BY_RULE"


def test_a_reload_takes_over_issuers(pdp: Embedded, site: Site) -> None:
    assert ask(pdp).allowed
    other = '[[issuers]]\nissuer = "https://other.example.com/"\ndialect = "auth0"\n'
    site.configure(issuers=f'{other}jwks_file = "jwks.json"\n')
    pdp.reload()
    assert ask(pdp).reason == "ISSUER_UNKNOWN"
    (site.folder / "policyd.toml").write_text("nonsense")
    pdp.reload()
    assert "nothing changed" in pdp.troubles()[-1]
    assert ask(pdp).reason == "ISSUER_UNKNOWN"


def test_revocations(site: Site) -> None:
    site.configure(issuers=f'[revocations]\nfile = "list.ndjson"\n{ISSUERS}')
    listed = site.folder / "list.ndjson"
    token = access_token(jti="one")
    with opened(site) as pdp:
        assert not pdp.ready()
        assert ask(pdp, token).reason == "REVOCATIONS_UNAVAILABLE"
        run("revoke", "--create", cwd=site.folder)
        until(pdp.ready)
        assert ask(pdp, token).allowed
        run("revoke", "--jti", "one", "--issuer", ISSUER, cwd=site.folder)
        until(lambda: ask(pdp, token).reason == "TOKEN_REVOKED")
    assert listed.exists()


ISSUERS = f'[[issuers]]\nissuer = "{ISSUER}"\ndialect = "auth0"\njwks_file = "jwks.json"\n'


def run(*arguments: str, cwd: Path) -> None:
    program = "from policyd.cli.main import main; main()"
    subprocess.run([sys.executable, "-c", program, *arguments], cwd=cwd, check=True, timeout=60)


# -- issuers that must be asked --------------------------------------------------------------------


@pytest.fixture
def issuer(site: Site) -> Iterator[AuthorizationServer]:
    with authorization_server(site.folder) as server:
        site.configure(issuers=server.configuration())
        yield server


def test_an_issuer_is_asked_once_for_all_who_wait(site: Site, issuer: AuthorizationServer) -> None:
    issuer.tokens["opaque"] = issuer.active()
    issuer.tokens["awaited"] = issuer.active()

    async def several(pdp: Embedded) -> list[Answer]:
        asked = (pdp.acheck("awaited", api="health", action="read", resource=P1) for _ in range(5))
        return await asyncio.gather(*asked)

    with opened(site) as pdp:
        with ThreadPoolExecutor(5) as threads:
            blocked = list(threads.map(lambda _: ask(pdp, "opaque"), range(5)))
        assert {one.reason for one in [*blocked, *asyncio.run(several(pdp))]} == {"ALLOWED"}
        assert (issuer.count("opaque"), issuer.count("awaited")) == (1, 1)
        assert ask(pdp, "unknown").reason == "TOKEN_INACTIVE"


def test_nobody_waits_longer_than_agreed(site: Site, issuer: AuthorizationServer) -> None:
    """And the event loop goes on while a task waits."""
    held = threading.Event()

    def hang(_: object) -> Reply:
        held.wait(PATIENCE)
        return Reply(b"{}")

    issuer.routes["/introspect"] = hang

    async def waits(pdp: Embedded) -> tuple[str, bool]:
        task = asyncio.ensure_future(pdp.acheck("opaque", api="health", action="read", resource=P1))
        await asyncio.sleep(0)
        went_on = not task.done()
        with pytest.raises(AuthorizationFailed) as raised:
            await task
        return raised.value.code, went_on

    try:
        with opened(site, timeout=0.05) as pdp:
            with pytest.raises(AuthorizationFailed) as raised:
                ask(pdp, "opaque")
            assert raised.value.code == "DEADLINE_EXCEEDED"
            assert asyncio.run(waits(pdp)) == ("DEADLINE_EXCEEDED", True)
    finally:
        held.set()


# -- the decision log ------------------------------------------------------------------------------


def test_an_answer_waits_for_its_record(site: Site) -> None:
    site.configure(decision_log='path = "decisions.ndjson"\ndurability = "sync"')
    with opened(site) as pdp:
        assert ask(pdp).allowed
        assert len(site.records()) == 1

        async def awaited() -> Answer:
            return await pdp.acheck(access_token(), api="health", action="read", resource=P1)

        assert asyncio.run(awaited()).allowed
        assert len(site.records()) == 2


# -- where it cannot be used -----------------------------------------------------------------------


def test_what_is_wrong_is_said_at_once(site: Site) -> None:
    site.policy.write_text("nonsense")
    with pytest.raises(PolicydError, match="no declaration begins with `nonsense`"):
        opened(site)
    (site.folder / "policyd.toml").write_text("[server]\nlistne = []\n")
    with pytest.raises(ConfigurationInvalid, match="listne"):
        opened(site)


def test_listeners_are_none_of_its_business(site: Site) -> None:
    site.listen(
        'address = "127.0.0.1:1"\nservices = ["connect"]\n'
        'tls = { certificate = "none.pem", private_key = "none.pem" }'
    )
    with opened(site) as pdp:
        assert ask(pdp).allowed


def test_a_forked_process_gets_a_clear_error(site: Site) -> None:
    done = subprocess.run(
        [sys.executable, "-W", "ignore", "-c", FORK, str(site.folder / "policyd.toml")],
        input=access_token(),
        capture_output=True,
        text=True,
        timeout=60,
        check=True,
        cwd=ROOT,
    )
    assert json.loads(done.stdout) == {
        "child": ["FORKED", False],
        "reopened": True,
        "parent": True,
        "records": 2,
    }


FORK = """
import json, os, sys
from pathlib import Path
from policyd.embedded import Embedded, Forked
configuration, token = sys.argv[1], sys.stdin.read()

def ask(pdp):
    return pdp.check(token, api="health", action="read",
                     resource=("patient", "p1", {"sealed": False})).allowed

read, write = os.pipe()
with Embedded.open(configuration) as pdp:
    child = os.fork()
    if child == 0:
        try:
            ask(pdp)
        except Forked as error:
            found = [error.reason, pdp.ready()]
        pdp.close()
        with Embedded.open(configuration) as own:
            os.write(write, json.dumps([found, ask(own)]).encode())
        os._exit(0)
    os.waitpid(child, 0)
    found, reopened = json.loads(os.read(read, 1000))
    parent = ask(pdp)
records = len(Path(configuration).with_name("decisions.ndjson").read_text().splitlines())
print(json.dumps({"child": found, "reopened": reopened, "parent": parent, "records": records}))
"""


def test_neither_grpc_nor_protobuf_is_needed(site: Site) -> None:
    done = subprocess.run(
        [sys.executable, "-c", BARE, str(site.folder / "policyd.toml")],
        input=access_token(),
        capture_output=True,
        text=True,
        timeout=60,
        check=True,
        cwd=ROOT,
    )
    assert done.stdout.split() == ["ALLOWED", "ALLOWED", "allow", "Forked"]


BARE = """
import sys

class Nothing:
    \"\"\"What only the daemon needs is not there.\"\"\"
    DAEMON = {"grpc", "grpc_health", "grpc_reflection", "google", "h2", "httptools", "uvicorn",
              "opentelemetry", "prometheus_client", "rich", "click"}
    OURS = {"policyd.server", "policyd.v1", "policyd.envoy", "policyd.cli", "policyd.client.wire"}

    def find_spec(self, name, path=None, target=None):
        if name.partition(".")[0] in self.DAEMON or name in self.OURS:
            raise ModuleNotFoundError(f"No module named {name!r}", name=name)

sys.meta_path.insert(0, Nothing())
import policyd
from policyd.client import Question, Resource
token, p1 = sys.stdin.read(), ("patient", "p1", {"sealed": False})
with policyd.Embedded.open(sys.argv[1]) as pdp:
    print(pdp.check(token, api="health", action="read", resource=p1).reason)
    question = Question(token, "read", Resource(*p1), "health")
    print(pdp.explain(question).answer.reason, pdp.partial(question, ["resource.id"]).outcome)
from policyd.embedded import Forked
print(Forked.__name__)
loaded = {name.partition(".")[0] for name in sys.modules} & Nothing.DAEMON
assert not loaded, loaded
"""
