"""AuthZEN over the real daemon: the certification scenario, and what else may come.

The scenario is the public one of the Authorization API 1.0 (levels Basic, Batch and Discovery, Core
and Properties); the numbers of its sections stand beside the cases.
"""

from __future__ import annotations

import json
from collections.abc import Iterator
from pathlib import Path

import pytest

from policyd.json_types import Json
from tests.support.daemon import Daemon, LogLine, Site, access_token
from tests.support.redis import until
from tests.support.web import Reply, addresses, send

ONE, SEVERAL = "/access/v1/evaluation", "/access/v1/evaluations"
SECRET = "an-enforcement-points-secret"
POINT = "https://pdp.example.com"
ISSUER = "asserted:token:pep"

#: The fixture of the scenario, as a policy; what it decides is section 1.4.
RECORDS = """\
api records

audience "https://example.com/records"

claim role: string?

resource record {
    status: string?
    soft: bool?
    actions read, write, delete
}

define alice    as token.subject == "alice"
define admin    as token.role is present and token.role == "admin"
define archived as resource.status is present and resource.status == "archived"

allow reads: read on record
    when alice or token.subject == "bob"

allow writes: write on record
    when alice and not archived

allow admins-write: write on record
    when admin and archived

allow soft-deletes: delete on record
    when alice and resource.soft == true
"""


def user(name: str, **properties: Json) -> Json:
    return {"type": "user", "id": name, **({"properties": properties} if properties else {})}


def record(number: int, **properties: Json) -> Json:
    made: dict[str, Json] = {"type": "record", "id": f"record-{number}"}
    return {**made, "properties": properties} if properties else made


def act(name: str, **properties: Json) -> Json:
    return {"name": name, **({"properties": properties} if properties else {})}


def asks(subject: Json, action: Json, resource: Json, **more: Json) -> dict[str, Json]:
    return {"subject": subject, "action": action, "resource": resource, **more}


def several(*evaluations: Json, **defaults: Json) -> dict[str, Json]:
    return {**defaults, "evaluations": list(evaluations)}


ALICE, BOB, READ, WRITE = user("alice"), user("bob"), act("read"), act("write")
FIXTURE = asks(ALICE, READ, record(1))


@pytest.fixture(scope="module")
def site(tmp_path_factory: pytest.TempPathFactory) -> Site:
    made = Site(tmp_path_factory.mktemp("daemon"))
    (made.policies / "records.policy").write_text(RECORDS)
    (made.folder / "pep").write_text(f"{SECRET}\n")
    made.listen(
        'address = "127.0.0.1:0"\nservices = ["authzen", "pages"]\ntoken_file = "pep"',
        further=f'[authzen]\npolicy_decision_point = "{POINT}"\napi = "records"\n'
        'asserted = ["records"]',
    )
    text = (made.folder / "policyd.toml").read_text()
    (made.folder / "policyd.toml").write_text(f'{text}apis = ["health"]\n')
    return made


@pytest.fixture(scope="module")
def daemon(site: Site) -> Iterator[Daemon]:
    with site.start() as running:
        yield running


def evaluate(daemon: Daemon, path: str, body: Json | bytes, **headers: str) -> Reply:
    headers = {"Authorization": f"Bearer {SECRET}", **headers}
    return send(addresses(daemon)[0], "POST", path, body, **headers)


def decisions(reply: Reply) -> list[object]:
    assert (reply.status, reply.headers["content-type"]) == (200, "application/json")
    found = reply.json()["evaluations"]
    assert isinstance(found, list)
    return [one["decision"] for one in found if isinstance(one, dict)]


@pytest.mark.parametrize(
    ("body", "expected"),
    [
        (FIXTURE, True),  # 2.2.1
        (asks(BOB, WRITE, record(1)), False),  # 2.2.2
        (asks(ALICE, WRITE, record(1)), True),  # 1.4, rule 2
        (asks(BOB, READ, record(1)), True),  # 1.4, rule 3
        (asks(ALICE, READ, record(1), context={"time": "2025-06-27T18:03-07:00"}), True),  # 2.2.3
        (asks(ALICE, WRITE, record(2, status="archived")), False),  # 2.2.4
        (asks(user("bob", role="admin"), WRITE, record(2, status="archived")), True),  # 2.2.5
        (asks(ALICE, act("delete", soft=True), record(1)), True),  # 2.2.6
        (asks(ALICE, act("delete", soft=False), record(1)), False),  # 2.2.7
        (
            asks(
                user("alice", department="Sales", role="manager"),
                act("read", method="GET"),
                record(1, status="active", owner="bob"),
            ),
            True,
        ),  # 2.2.8
        ({**FIXTURE, "foo": "bar", "futureField": {"nested": True}}, True),  # 2.2.9
    ],
)
def test_basic(daemon: Daemon, body: Json, expected: bool) -> None:
    told = [evaluate(daemon, ONE, body) for _ in range(3)]  # 2.6: always the same
    for one in told:
        assert (one.status, one.headers["content-type"]) == (200, "application/json")
        assert one.json()["decision"] is expected  # 2.3.1
        assert isinstance(one.json()["context"], dict)  # 2.3.2


def without(name: str, part: str | None = None) -> Json:
    body = json.loads(json.dumps(FIXTURE))
    if part is None:
        del body[name]
    else:
        del body[name][part]
    changed: Json = body
    return changed


@pytest.mark.parametrize(
    "body",
    [
        *(without(name) for name in ("subject", "action", "resource")),  # 2.4.1
        without("subject", "type"),  # 2.4.2
        without("subject", "id"),
        without("action", "name"),
        without("resource", "type"),
        without("resource", "id"),
        b'{"subject": ',  # 2.4.4
        b"",  # 2.4.5
        asks("alice", READ, record(1)),  # 2.4.6
        asks(ALICE, {"name": 123}, record(1)),
        asks(ALICE, READ, record(1), context=[]),
        asks(ALICE, READ, {"type": "record", "id": 1}),
        asks(ALICE, READ, {"type": "record", "id": "a", "properties": []}),
        b"[]",
        b'{"subject": {}, "subject": {}}',
        b'{"a": "\\ud800"}',
        b"[" * 5000,
        b'{"a": [' + b"1," * 100_000 + b"1]}",
        {"evaluations": {}},
    ],
)
def test_bad_requests(daemon: Daemon, body: Json | bytes) -> None:
    headers = {"Content-Type": "application/json", "X-Request-ID": "bad-1"}
    for path in (ONE, SEVERAL):
        if path == ONE and body == {"evaluations": {}}:
            continue
        told = evaluate(daemon, path, body, **headers)
        assert told.status == 400
        assert told.headers["x-request-id"] == "bad-1"
        assert told.body.strip()
        assert b"decision" not in told.body


def test_header_fields(daemon: Daemon) -> None:
    body = json.dumps(FIXTURE).encode()
    assert evaluate(daemon, ONE, body, Content_Type="text/plain").status == 400  # 2.4.3
    assert evaluate(daemon, ONE, body).status == 400
    kind = "application/json; charset=utf-8"
    assert evaluate(daemon, ONE, body, Content_Type=kind).status == 200
    told = evaluate(daemon, ONE, FIXTURE, X_Request_ID="a-1")
    assert told.headers["x-request-id"] == "a-1"  # 2.5.1
    assert "x-request-id" not in evaluate(daemon, ONE, FIXTURE).headers  # 2.5.2
    assert send(addresses(daemon)[0], "GET", ONE, Authorization=f"Bearer {SECRET}").status == 405


def test_401_speaks_of_the_enforcement_point(daemon: Daemon) -> None:
    for header in ("", "Bearer wrong", f"Bearer {access_token()}"):
        told = evaluate(daemon, ONE, FIXTURE, Authorization=header, X_Request_ID="a-2")
        assert (told.status, told.headers["x-request-id"]) == (401, "a-2")


@pytest.mark.parametrize(
    ("body", "expected"),
    [
        (
            several({"action": READ}, {"action": WRITE}, subject=BOB, resource=record(1)),
            [True, False],
        ),  # 3.2.2
        (
            several(
                {"resource": record(1, status="active")},
                {"resource": record(2, status="archived")},
                subject=ALICE,
                action=WRITE,
            ),
            [True, False],
        ),  # 3.2.3
        (
            several(
                {"subject": ALICE},
                {"subject": user("bob", role="admin")},
                action=WRITE,
                resource=record(2, status="archived"),
            ),
            [False, True],
        ),  # 3.2.4
        (several(FIXTURE, asks(BOB, WRITE, record(1))), [True, False]),  # 3.2.5
        (
            several(
                {"resource": record(1)},
                {"resource": record(2), "context": {"source": "batch-override"}},
                subject=ALICE,
                action=READ,
                context={"time": "2025-06-27T18:03-07:00"},
            ),
            [True, True],
        ),  # 3.2.1, 3.2.6
        (
            several(
                {"resource": {"id": "record-1", "properties": {"status": "active"}}},
                {"resource": record(2, status="archived")},
                subject=ALICE,
                action=WRITE,
                resource={"type": "record"},
            ),
            [True, False],
        ),  # 3.2.7
        (
            several(
                {"resource": record(1)},
                {},
                "no object",
                {"resource": 1},
                subject=ALICE,
                action=READ,
            ),
            [True, False, False, False],
        ),  # 3.4.1
        (several({}, {"action": act("fly")}, **FIXTURE), [True, False]),
        (
            several(
                {},
                {"subject": BOB, "action": WRITE},
                {},
                options={"evaluations_semantic": "deny_on_first_deny"},
                **FIXTURE,
            ),
            [True, False],
        ),
        (
            several(
                {"action": act("fly")},
                {},
                {},
                options={"evaluations_semantic": "permit_on_first_permit", "other": 1},
                **FIXTURE,
            ),
            [False, True],
        ),
    ],
)
def test_batch(daemon: Daemon, body: Json, expected: list[bool]) -> None:
    told = evaluate(daemon, SEVERAL, body)
    assert decisions(told) == expected
    assert "decision" not in told.json()


@pytest.mark.parametrize("body", [FIXTURE, {**FIXTURE, "evaluations": []}])
def test_a_batch_of_none_is_one_evaluation(daemon: Daemon, body: Json) -> None:
    assert evaluate(daemon, SEVERAL, body).json()["decision"] is True  # 3.4.2, 3.4.3


def test_unknown_semantics_are_refused(daemon: Daemon) -> None:
    body = several({}, options={"evaluations_semantic": "guess"}, **FIXTURE)
    assert evaluate(daemon, SEVERAL, body).status == 400


def test_discovery(daemon: Daemon) -> None:
    (address,) = addresses(daemon)
    well_known = "/.well-known/authzen-configuration"
    for path, base in ((well_known, POINT), (f"{well_known}/records", f"{POINT}/records")):
        told = send(address, "GET", path, Host="elsewhere.example")
        assert (told.status, told.headers["content-type"]) == (200, "application/json")
        assert told.json() == {
            "policy_decision_point": base,
            "access_evaluation_endpoint": f"{base}/access/v1/evaluation",
            "access_evaluations_endpoint": f"{base}/access/v1/evaluations",
        }
    assert send(address, "GET", f"{well_known}/a/b").status == 404
    assert send(address, "POST", well_known).status == 405


def test_discovery_without_a_configured_url_says_so(tmp_path: Path) -> None:
    site = Site(tmp_path)
    site.listen('address = "127.0.0.1:0"\nservices = ["authzen"]')
    with site.start() as running:
        (address,) = addresses(running)
        told = send(address, "GET", "/.well-known/authzen-configuration", Host="pdp.example.com")
        assert (told.status, told.headers["content-type"]) == (404, "text/plain; charset=utf-8")
        assert "`[authzen] policy_decision_point` is not configured" in told.body.decode()
        assert "pdp.example.com" not in told.body.decode()


PATIENT: Json = {"type": "patient", "id": "p1", "properties": {"sealed": False}}


def test_tokens(daemon: Daemon) -> None:
    subject: Json = {"type": "access_token", "id": access_token()}
    path = f"/health{ONE}"
    assert evaluate(daemon, path, asks(subject, READ, PATIENT)).json()["decision"] is True
    context: Json = {
        "policyd.access_token": access_token(sub="auth0|123456"),
        "policyd.api": "health",
    }
    for name, expected in (("auth0|123456", True), ("auth0|1234567", False), ("", False)):
        told = evaluate(daemon, ONE, asks(user(name), READ, PATIENT, context=context)).json()
        assert told["decision"] is expected
    assert "is not the subject" in str(told["context"])
    # Whoever may not assert subjects of an API needs a token there.
    told = evaluate(daemon, path, asks(user("auth0|123456"), READ, PATIENT)).json()
    assert told["decision"] is False
    assert isinstance(told["context"], dict)
    assert told["context"]["reason"] == "TOKEN_MISSING"
    assert told["context"]["www_authenticate"] == 'Bearer realm="health", scope="read:patients"'


@pytest.mark.parametrize(
    ("body", "said"),
    [
        (asks(ALICE, act("fly"), record(1)), "no action `fly`"),
        (asks(ALICE, READ, {"type": "spaceship", "id": "1"}), "spaceship"),
        (asks(ALICE, act("delete", soft=1), record(1)), "soft"),
        (asks(ALICE, act("delete", soft=True), record(1, soft=False)), None),
        (asks(ALICE, READ, record(1), context={"policyd.api": "none"}), "no API"),
    ],
)
def test_what_cannot_be_decided_is_a_denial_with_a_reason(
    daemon: Daemon, body: Json, said: str | None
) -> None:
    told = evaluate(daemon, ONE, body)
    if said is None:  # one thing of the action and another of the resource
        assert told.status == 400
        return
    assert (told.status, told.json()["decision"]) == (200, False)
    assert said in str(told.json()["context"])


def test_many_subjects_are_asked_for_together_or_refused(daemon: Daemon) -> None:
    items: list[Json] = [{"subject": user(f"user-{number}")} for number in range(40)]
    body: Json = {
        "action": READ,
        "resource": record(1),
        "evaluations": [*items, {"subject": ALICE}],
    }
    told = evaluate(daemon, SEVERAL, body).json()["evaluations"]
    assert isinstance(told, list)
    assert "at most 32 subjects" in str(told[-1])
    assert "at most 32 subjects" not in str(told[31])
    many: Json = {**FIXTURE, "evaluations": [{}] * 500}
    assert decisions(evaluate(daemon, SEVERAL, many)) == [True] * 500
    too_many: Json = {**FIXTURE, "evaluations": [{}] * 2000}
    assert evaluate(daemon, SEVERAL, too_many).status == 400


def test_who_asserted_is_recorded(site: Site, daemon: Daemon) -> None:
    evaluate(daemon, ONE, FIXTURE, X_Request_ID="recorded-1")
    evaluate(daemon, f"/health{ONE}", asks({"type": "access_token", "id": "x"}, READ, PATIENT))

    def recorded() -> list[LogLine]:
        return [one for one in site.records() if one.get("request_id") == "recorded-1"]

    until(lambda: bool(recorded()), "no record was written")
    (one,) = recorded()
    assert one["caller"] == "token:pep"
    assert isinstance(one["token"], dict)
    assert (one["token"]["issuer"], one["token"]["subject"]) == (ISSUER, "alice")


def test_rules_of_an_api_with_two_kinds_of_subjects_tell_issuers_apart(site: Site) -> None:
    text = (site.folder / "policyd.toml").read_text()
    changed = text.replace('asserted = ["records"]', 'asserted = ["records", "health"]')
    other = site.folder / "other.toml"
    other.write_text(changed)
    (site.policies / "reader.policy").write_text(
        'api extra\n\naudience "https://example.com/extra"\n\nresource page {\n'
        '    actions read\n}\n\nallow reads: read on page\n    when token.subject == "alice"\n'
    )
    try:
        other.write_text(
            changed.replace('"health"]\n', '"extra"]\n').replace(
                'apis = ["health"]', 'apis = ["health", "extra"]'
            )
        )
        done = site.run("--config", "other.toml")
        assert done.returncode == 1
        assert "P1025" in done.stderr
    finally:
        (site.policies / "reader.policy").unlink()
