"""AuthZEN: which questions a body is, and what the decisions become."""

from __future__ import annotations

import json

import pytest

from policyd.config.request_limits import RequestLimits
from policyd.decision.errors import InvalidRequest, NotReady
from policyd.decision.model import (
    Asserted,
    BatchItem,
    BatchRequest,
    Decision,
    Expected,
)
from policyd.json_types import Json
from policyd.pdp.calls import CallFailed, StatusCode
from policyd.server.services.authzen import AuthzenMetadata, AuthzenService
from policyd.server.services.authzen_request import Subjects
from policyd.server.transport.web import WebRequest, WebResponse
from tests.support.deciding import (
    ALLOWED,
    DENIED,
    Decider,
    KeptLog,
    Outcome,
    answering,
    settled,
)

ONE, SEVERAL = "/access/v1/evaluation", "/access/v1/evaluations"
KIND = ("content-type", "application/json")
Object = dict[str, Json]
ANN: Object = {"type": "user", "id": "ann"}
READ: Object = {"name": "read"}
DOC: Object = {"type": "doc", "id": "1"}
ASKS: Object = {"subject": ANN, "action": READ, "resource": DOC}
EVERYTHING: Object = {"policyd.access_token": "t", "policyd.api": "other", "a": 1}
OPEN: Object = {**READ, "properties": {"open": True}}
CLOSED: Object = {**DOC, "properties": {"open": False}}
TOKEN: Object = {"type": "access_token", "id": "t"}
ISSUER = "asserted:token:pep"
MAY_ASSERT = Subjects(frozenset({"docs"}))


class Fixture:
    """The service over a decider and a log."""

    def __init__(
        self,
        decider: Decider | None = None,
        subjects: Subjects = MAY_ASSERT,
        values: int = 1000,
        items: int = 50,
    ) -> None:
        self.decider = decider or Decider()
        self.log = KeptLog()
        limits = RequestLimits(values, items)
        self.service = AuthzenService(answering(self.decider, self.log), "docs", subjects, limits)

    def post(
        self, body: Json | bytes, path: str = SEVERAL, *fields: tuple[str, str]
    ) -> WebResponse:
        data = body if isinstance(body, bytes) else json.dumps(body).encode()
        request = WebRequest("POST", path, fields=(KIND, *fields), body=data, called_by="token:pep")
        answer = settled(self.service.answer(request))
        assert isinstance(answer, WebResponse)
        return answer

    def asked(self, body: Json, path: str = SEVERAL) -> list[BatchRequest]:
        assert self.post(body, path).status == 200
        return [one for one in self.decider.asked if isinstance(one, BatchRequest)]


def results(answer: WebResponse) -> list[Object]:
    assert (answer.status, answer.content_type) == (200, "application/json")
    found: list[Object] = json.loads(answer.body)["evaluations"]
    return found


def errors(answer: WebResponse) -> list[object]:
    """Return what is said of each evaluation that is wrong, `None` of the others."""
    found: list[object] = []
    for result in results(answer):
        context = result["context"]
        assert isinstance(context, dict)
        error = context.get("error")
        assert error is None or (isinstance(error, dict) and error["status"] == 400)
        found.append(error["message"] if isinstance(error, dict) else None)
    return found


def refused(body: Json, path: str = ONE, **settings: object) -> str:
    """Return what a body is refused with, before anything is asked."""
    fixture = Fixture(**settings)  # type: ignore[arg-type]
    answer = fixture.post(body, path)
    assert (answer.status, answer.content_type) == (400, "text/plain; charset=utf-8")
    assert fixture.decider.asked == []
    return answer.body.decode()


def with_(entity: str, **changes: Json) -> Object:
    """Return the request with one entity changed."""
    own = ASKS[entity]
    assert isinstance(own, dict)
    return {**ASKS, entity: {**own, **changes}}


BY_ANN = Asserted(ISSUER, "ann", "user")


@pytest.mark.parametrize(
    ("body", "expected"),
    [
        (ASKS, BatchRequest("", "docs", [BatchItem("read", "doc", "1")], claim=BY_ANN)),
        (
            {**ASKS, "subject": TOKEN, "context": {"zone": "inside"}},
            BatchRequest("t", "docs", [BatchItem("read", "doc", "1")], {"zone": "inside"}),
        ),
        (
            {**ASKS, "context": EVERYTHING},
            BatchRequest(
                "t", "other", [BatchItem("read", "doc", "1")], {"a": 1}, claim=Expected("ann")
            ),
        ),
        (
            {**ASKS, "context": {"policyd.api": "other"}},  # where subjects may not be asserted
            BatchRequest("", "other", [BatchItem("read", "doc", "1")]),
        ),
        (
            with_("subject", type="application", properties={"role": "x", "scope": "a b"}),
            BatchRequest(
                "",
                "docs",
                [BatchItem("read", "doc", "1")],
                claim=Asserted(ISSUER, "ann", "application", (), {"role": "x", "scope": "a b"}),
            ),
        ),
        (
            with_("subject", type="robot"),
            BatchRequest(
                "", "docs", [BatchItem("read", "doc", "1")], claim=Asserted(ISSUER, "ann")
            ),
        ),
        (
            {
                "subject": ANN,
                "action": {"name": "read", "properties": {"how": "fast", "open": True}},
                "resource": {"type": "doc", "id": "1", "properties": {"open": True, "n": 2}},
            },
            BatchRequest(
                "",
                "docs",
                [BatchItem("read", "doc", "1", {"open": True, "n": 2, "how": "fast"})],
                claim=BY_ANN,
            ),
        ),
    ],
)
def test_an_evaluation_is_a_question(body: Object, expected: BatchRequest) -> None:
    assert Fixture().asked(body, ONE) == [expected]


def test_the_path_may_name_the_api() -> None:
    fixture = Fixture(subjects=Subjects(frozenset({"other"})))
    assert [one.api for one in fixture.asked(ASKS, f"/other{ONE}")] == ["other"]
    has = fixture.service.has
    assert [has(one) for one in (ONE, SEVERAL, f"/a{ONE}", f"/a{SEVERAL}")] == [True] * 4
    assert [has(one) for one in (f"/a/b{ONE}", "/", f"{ONE}/", f"{SEVERAL}/a")] == [False] * 4


@pytest.mark.parametrize(
    ("scope", "scopes"),
    [
        ("a b", ("a", "b")),
        (" a  b ", ("a", "b")),
        (["a", "b c"], ("a", "b c")),
        ("", ()),
        ([], ()),
    ],
)
def test_scopes_are_asserted_where_that_is_configured(scope: Json, scopes: tuple[str]) -> None:
    body = with_("subject", properties={"scope": scope})
    for may, expected in ((True, scopes), (False, ())):
        fixture = Fixture(subjects=Subjects(frozenset({"docs"}), may))
        (batch,) = fixture.asked(body, ONE)
        assert isinstance(batch.claim, Asserted)
        assert (batch.claim.scopes, batch.claim.claims) == (expected, {"scope": scope})


@pytest.mark.parametrize(
    ("scope", "said"),
    [
        (1, "is a text, or a list of texts"),
        ({}, "is a text, or a list of texts"),
        (["a", 1], "holds something else than texts"),
        (["a", None], "holds something else than texts"),
    ],
)
def test_scopes_that_are_none(scope: Json, said: str) -> None:
    body = with_("subject", properties={"scope": scope})
    assert said in refused(body, subjects=Subjects(frozenset({"docs"}), True))


@pytest.mark.parametrize(
    ("body", "said"),
    [
        ({**ASKS, "subject": 1}, "`subject` is an object"),
        ({**ASKS, "context": []}, "`context` is an object"),
        (with_("resource", properties=[]), "`resource.properties` is an object"),
        (with_("action", properties=1), "`action.properties` is an object"),
        (with_("subject", properties="a"), "`subject.properties` is an object"),
        (with_("subject", type=None), "`subject.type` is a text"),
        (with_("subject", id=7), "`subject.id` is a text"),
        (with_("subject", id=""), "`subject.id` is empty"),
        (with_("subject", id="a" * 2049), "`subject.id` has more than 2048 characters"),
        (with_("action", name=1), "`action.name` is a text"),
        (with_("resource", type=1), "`resource.type` is a text"),
        (with_("resource", id=1), "`resource.id` is a text"),
        ({**ASKS, "context": {"policyd.api": 1}}, "`policyd.api` is a text"),
        ({**ASKS, "context": {"policyd.access_token": 1}}, "`policyd.access_token` is a text"),
        ({"subject": ANN, "action": READ}, "`resource` is missing"),
        ({"action": READ, "resource": DOC}, "`subject` is missing"),
        ({**ASKS, "action": {}}, "`action.name` is missing"),
        ({**ASKS, "resource": {"type": "doc"}}, "`resource.id` is missing"),
        ({**ASKS, "resource": {"id": "1"}}, "`resource.type` is missing"),
        ({**ASKS, "subject": {"id": "1"}}, "`subject.type` is missing"),
        (
            {
                **ASKS,
                "action": OPEN,
                "resource": CLOSED,
            },
            "`open` is one thing of the action and another of the resource",
        ),
        (with_("action", name="a" * 5000), "action"),
        (with_("resource", id="a" * 5000), "resource.id"),
        (with_("resource", type="a" * 5000), "resource.type"),
        ({**ASKS, "context": {"policyd.api": "a" * 5000}}, "api"),
    ],
)
def test_a_body_that_is_no_request(body: Object, said: str) -> None:
    assert said in refused(body)
    # Among others, the same mistake denies that one evaluation.
    fixture = Fixture()
    told = errors(fixture.post({"evaluations": [ASKS, body, ASKS]}))
    assert said in str(told[1])
    assert (told[0], told[2]) == (None, None)
    assert (
        sum(len(one.items) for one in fixture.decider.asked if isinstance(one, BatchRequest)) == 2
    )


@pytest.mark.parametrize(
    ("body", "said"),
    [
        ({"evaluations": {}}, "`evaluations` is a list"),
        ({"evaluations": [{}] * 51, **ASKS}, "a body holds at most 50 evaluations"),
        ({"evaluations": [{}], **ASKS, "subject": 1}, "`subject` is an object"),
        ({"evaluations": [{}], **ASKS, "action": 1}, "`action` is an object"),
        ({"evaluations": [{}], **ASKS, "resource": None}, "`resource` is an object"),
        ({"evaluations": [{}], **ASKS, "context": 1}, "`context` is an object"),
        (
            {"evaluations": [{}], **ASKS, "options": {"evaluations_semantic": "guess"}},
            "is one of execute_all, deny_on_first_deny, permit_on_first_permit",
        ),
        ({"evaluations": [{}], **ASKS, "options": {"evaluations_semantic": 1}}, "is one of"),
    ],
)
def test_a_body_of_several_that_is_no_request(body: Object, said: str) -> None:
    assert said in refused(body, SEVERAL)


def test_as_many_evaluations_as_allowed() -> None:
    (batch,) = Fixture().asked({"evaluations": [{}] * 50, **ASKS})
    assert len(batch.items) == 50


@pytest.mark.parametrize("path", [ONE, SEVERAL])
def test_one_evaluation_is_no_list(path: str) -> None:
    """On the path of one, `evaluations` are a member that AuthZEN does not know there."""
    fixture = Fixture()
    listed: Json = [{}, {}] if path == ONE else []
    answer = fixture.post({**ASKS, "evaluations": listed}, path)
    assert json.loads(answer.body)["decision"] is True
    assert len(fixture.decider.asked) == 1


def test_defaults_complete_what_an_evaluation_leaves_out() -> None:
    body: Object = {
        "subject": {**ANN, "properties": {"role": "x"}},
        "action": READ,
        "resource": {**DOC, "properties": {"n": 1}},
        "context": {"zone": "inside"},
        "evaluations": [
            {},
            {"resource": {"id": "2"}},
            {"action": {"properties": {"how": "fast"}}},
            {"subject": {"id": "bob"}},
            {"context": {}},
        ],
    }
    inside: Object = {"zone": "inside"}
    ann = Asserted(ISSUER, "ann", "user", (), {"role": "x"})
    first = BatchItem("read", "doc", "1", {"n": 1})
    assert Fixture().asked(body) == [
        BatchRequest(
            "",
            "docs",
            [
                first,
                BatchItem("read", "doc", "2"),  # what names the resource itself has no properties
                BatchItem("read", "doc", "1", {"how": "fast", "n": 1}),
            ],
            inside,
            claim=ann,
        ),
        BatchRequest("", "docs", [first], inside, claim=Asserted(ISSUER, "bob", "user")),
        BatchRequest("", "docs", [first], {}, claim=ann),
    ]


@pytest.mark.parametrize(
    "other",
    [
        {"subject": {"type": "user", "id": "bob"}},
        {"subject": {"type": "application", "id": "ann"}},
        {"subject": {**ANN, "properties": {"role": "y"}}},
        {"subject": {"type": "access_token", "id": "u"}},
        {"context": {"policyd.access_token": "t"}},
        {"context": {"policyd.api": "other"}},
        {"context": {"zone": "outside"}},
    ],
)
def test_only_what_is_asked_about_one_subject_in_one_context_is_asked_together(
    other: Object,
) -> None:
    fixture = Fixture(Decider(lambda item: DENIED if item.resource_id == "2" else ALLOWED))
    two: Object = {"resource": {**DOC, "id": "2"}}
    body: Object = {**ASKS, "evaluations": [{}, other, two, {**other, **two}, {}]}
    told = results(fixture.post(body))
    assert [one["decision"] for one in told] == [True, True, False, False, True]
    batches = [one for one in fixture.decider.asked if isinstance(one, BatchRequest)]
    apart = [(one.access_token, one.api, one.claim, one.context) for one in batches]
    assert len(apart) >= 2
    assert apart[0] == ("", "docs", BY_ANN, {})
    assert [item.resource_id for item in batches[0].items] == ["1", "2", "1"]
    assert all(one != apart[0] for one in apart[1:])


def test_a_body_asks_about_so_many_subjects() -> None:
    users: list[Json] = [{"subject": {**ANN, "id": f"u{number}"}} for number in range(34)]
    fixture = Fixture()
    told = errors(
        fixture.post({**ASKS, "evaluations": [*users, users[33], users[0], {"subject": 1}]})
    )
    said = "one body asks about at most 32 subjects and contexts"
    assert told == [None] * 32 + [said] * 3 + [None, "`subject` is an object"]
    assert len(fixture.decider.asked) == 32


def test_evaluations_read_so_many_values_together() -> None:
    """Twenty times those that a body may hold: evaluations may share their defaults."""
    body: Object = {
        **ASKS,
        "resource": {**DOC, "properties": {"a": 1, "b": 2}},
        "action": {**READ, "properties": {"c": 1}},
        "context": {"d": 1},
    }
    fixture = Fixture(values=2)
    told = errors(fixture.post({**body, "evaluations": [{}] * 11}))
    assert told == [None] * 10 + ["the evaluations of this body read too many values together"]


def test_a_body_holds_so_many_values() -> None:
    """Sixteen for each evaluation and for the body itself, beside the values of the limit."""
    for values, fits in ((53, True), (54, False)):
        fixture = Fixture(values=5, items=2)
        data = json.dumps({**ASKS, "more": [0] * (values - 9)}).encode()
        assert data.count(b",") + data.count(b"{") + data.count(b"[") == values
        if fits:
            fixture.post(data, ONE)
        else:
            with pytest.raises(CallFailed, match="more than 53 values"):
                fixture.post(data, ONE)


@pytest.mark.parametrize(
    ("semantic", "expected"),
    [
        (None, [True, False, True, False]),
        ("execute_all", [True, False, True, False]),
        ("deny_on_first_deny", [True, False]),
        ("permit_on_first_permit", [True]),
    ],
)
def test_results_end_where_the_semantic_says(semantic: Json, expected: list[bool]) -> None:
    fixture = Fixture(Decider(lambda item: ALLOWED if item.resource_id == "1" else DENIED))
    two: Object = {"resource": {**DOC, "id": "2"}}
    body: Object = {**ASKS, "evaluations": [{}, two, {}, two]}
    body["options"] = {"evaluations_semantic": semantic}
    assert [one["decision"] for one in results(fixture.post(body))] == expected


FULL = Decision(
    False,
    DENIED.reason,
    "no",
    "docs",
    "r7",
    1.0,
    missing_scopes=("a", "b"),
    http_status=429,
    www_authenticate="Bearer",
    retry_after=3,
    cacheable_until=1_800_000_000,
)


def test_a_decision_is_told_whole() -> None:
    fixture = Fixture(Decider(FULL))
    told = json.loads(fixture.post(ASKS, ONE).body)
    assert told == {
        "decision": False,
        "context": {
            "reason": "NO_RULE_ALLOWS",
            "message": "no",
            "decision_id": fixture.log.entries[0].decision_id,
            "policy_revision": "r7",
            "missing_scopes": ["a", "b"],
            "http_status": 429,
            "www_authenticate": "Bearer",
            "retry_after": 3,
            "cacheable_until": 1_800_000_000,
        },
    }
    allowed = json.loads(Fixture(Decider(ALLOWED)).post(ASKS, ONE).body)
    assert allowed["decision"] is True
    assert allowed["context"].keys() == {"reason", "decision_id", "policy_revision"}


@pytest.mark.parametrize(
    ("error", "status", "said"),
    [
        (InvalidRequest("action", "no such", "UNKNOWN_ACTION", "read"), 404,
         "action: no such; did you mean `read`?"),
        (InvalidRequest("resource.a", "absent", "ATTRIBUTE_MISSING"), 400, "resource.a: absent"),
    ],
)  # fmt: skip
def test_a_mistake_denies(error: InvalidRequest, status: int, said: str) -> None:
    """Whether it is one of an item, or of the question as a whole."""

    class Refusing(Decider):
        def check_batch(self, batch: BatchRequest) -> list[Outcome]:
            raise error

    for decider in (Decider(error), Refusing()):
        told = results(Fixture(decider).post({**ASKS, "evaluations": [{}, {}]}))
        expected = {"decision": False, "context": {"error": {"status": status, "message": said}}}
        assert told == [expected] * 2


@pytest.mark.parametrize("asks", [False, True])
def test_without_policies_there_is_no_answer(asks: bool) -> None:
    fixture = Fixture(Decider(NotReady(), asks=asks))
    request = WebRequest("POST", ONE, fields=(KIND,), body=json.dumps(ASKS).encode())
    try:
        failed = settled(fixture.service.answer(request))
    except CallFailed as raised:
        failed = raised
    assert isinstance(failed, CallFailed)
    assert (failed.code, failed.message) == (StatusCode.UNAVAILABLE, str(NotReady()))


def test_an_issuer_that_must_be_asked_first_changes_no_answer() -> None:
    """Nor which of the results belongs to which evaluation."""

    def outcome(item: BatchItem) -> Outcome:
        return DENIED if item.resource_id == "2" else ALLOWED

    two: Object = {"resource": {**DOC, "id": "2"}}
    other: Object = {"subject": TOKEN}
    third: Object = {"subject": {**TOKEN, "id": "u"}, **two}
    body: Object = {**ASKS, "evaluations": [{}, {**other, **two}, third, other, two]}
    told = []
    for asks in (False, True):
        fixture = Fixture(Decider(outcome, asks=asks))
        told.append([one["decision"] for one in results(fixture.post(body))])
        assert len(fixture.decider.asked) == 3
    assert told == [[True, False, False, True, False]] * 2


def test_the_record_names_who_asked_and_the_request() -> None:
    fixture = Fixture()
    noted: Object = {**ASKS, "context": {"note": "n" * 100_000}}
    answer = fixture.post(noted, ONE, ("x-request-id", "i" * 600), ("traceparent", "00-1"))
    assert answer.headers == (("X-Request-ID", "i" * 600),)
    (entry,) = fixture.log.entries
    details = entry.details
    assert (details.caller, details.request_id) == ("token:pep", "i" * 512)
    assert details.traceparent == "00-1"
    assert fixture.log.sizes[0] > 100_000  # the log keeps little of a large body


def asked_with(method: str, *fields: tuple[str, str]) -> tuple[WebResponse, Decider]:
    fixture = Fixture()
    body = json.dumps(ASKS).encode()
    identified = (("x-request-id", "i-1"), ("x-request-id", "i-2"), *fields)
    answer = settled(fixture.service.answer(WebRequest(method, ONE, "", identified, body)))
    assert isinstance(answer, WebResponse)
    assert ("X-Request-ID", "i-1") in answer.headers
    assert ("X-Request-ID", "i-2") not in answer.headers
    return answer, fixture.decider


@pytest.mark.parametrize(
    ("method", "fields", "status", "said"),
    [
        ("POST", (KIND,), 200, ""),
        ("POST", (("content-type", " Application/JSON ; charset=utf-8"),), 200, ""),
        ("POST", (), 400, "the body must be application/json\n"),
        ("POST", (("content-type", "text/json"),), 400, "the body must be application/json\n"),
        ("POST", (KIND, KIND), 400, "the header field `content-type` stands more than once\n"),
        ("GET", (KIND,), 405, "ask with POST\n"),
        ("post", (KIND,), 405, "ask with POST\n"),
    ],
)
def test_requests_are_posted_in_json(
    method: str, fields: tuple[tuple[str, str], ...], status: int, said: str
) -> None:
    answer, decider = asked_with(method, *fields)
    assert status == 200 or answer.body.decode() == said
    assert (answer.status, len(decider.asked)) == (status, int(status == 200))
    assert (("Allow", "POST") in answer.headers) is (status == 405)


@pytest.mark.parametrize("code", StatusCode)
def test_401_and_403_speak_of_the_enforcement_point(code: StatusCode) -> None:
    request = WebRequest("POST", ONE, fields=(("x-request-id", "i-1"),))
    answer = Fixture().service.failed(request, CallFailed(code, "no"))
    statuses = {
        StatusCode.UNAUTHENTICATED: 401,
        StatusCode.PERMISSION_DENIED: 403,
        StatusCode.INVALID_ARGUMENT: 400,
        StatusCode.RESOURCE_EXHAUSTED: 400,
        StatusCode.UNAVAILABLE: 503,
    }
    assert (answer.status, answer.body) == (statuses.get(code, 500), b"no\n")
    challenge = (("WWW-Authenticate", "Bearer"),) if answer.status == 401 else ()
    assert answer.headers == (*challenge, ("X-Request-ID", "i-1"))


WELL_KNOWN = "/.well-known/authzen-configuration"


def test_metadata_says_where_the_endpoints_are() -> None:
    room = AuthzenMetadata("https://pdp.example/")
    paths = (WELL_KNOWN, f"{WELL_KNOWN}/docs", f"{WELL_KNOWN}/a/b", f"{WELL_KNOWN}x", "*")
    assert [room.has(path) for path in paths] == [True, True, False, False, False]
    named = (("x-request-id", "i-1"), ("host", "elsewhere.example"))
    for method in ("GET", "HEAD"):
        answer = room.answer(WebRequest(method, f"{WELL_KNOWN}/docs", fields=named))
        assert isinstance(answer, WebResponse)
        assert (answer.status, answer.content_type) == (200, "application/json")
        assert answer.headers == (("X-Request-ID", "i-1"),)
        assert json.loads(answer.body) == {
            "policy_decision_point": "https://pdp.example/docs",
            "access_evaluation_endpoint": "https://pdp.example/docs/access/v1/evaluation",
            "access_evaluations_endpoint": "https://pdp.example/docs/access/v1/evaluations",
        }
    refusal = room.answer(WebRequest("POST", WELL_KNOWN, fields=named))
    assert isinstance(refusal, WebResponse)
    assert (refusal.status, refusal.headers) == (
        405,
        (("Allow", "GET, HEAD"), ("X-Request-ID", "i-1")),
    )
    failed = room.failed(
        WebRequest("GET", WELL_KNOWN, fields=named), CallFailed(StatusCode.INTERNAL, "")
    )
    assert (failed.status, failed.headers) == (500, (("X-Request-ID", "i-1"),))


def test_without_a_url_there_is_no_metadata() -> None:
    answer = AuthzenMetadata(None).answer(WebRequest("GET", WELL_KNOWN))
    assert isinstance(answer, WebResponse)
    assert (answer.status, b"`[authzen] policy_decision_point`" in answer.body) == (404, True)
