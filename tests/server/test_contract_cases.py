"""The Python client on the cases that the clients of all languages share."""

from __future__ import annotations

import datetime as dt
import json
import math
from collections.abc import Callable, Iterator, Mapping
from decimal import Decimal
from pathlib import Path
from typing import NamedTuple, TypeVar

import pytest

from policyd.client import (
    Answer,
    AuthorizationFailed,
    Client,
    Filter,
    PartialAnswer,
    Proof,
    Question,
    Resource,
    filtering,
)
from policyd.client.enforcement import refusal
from policyd.embedded import Embedded
from policyd.json_types import Json
from tests.support.contract import CASES, contract_site

Case = dict[str, Json]
Outcome = Answer | AuthorizationFailed
T = TypeVar("T")

ALL: dict[str, list[Case]] = json.loads(CASES.read_text(encoding="utf-8"))
#: What each kind of value that JSON lacks is in Python.
NATIVES: dict[str, object] = {
    "nan": math.nan,
    "infinity": math.inf,
    "big-integer": 2**53 + 1,
    "bytes": b"x",
    "date": dt.date(2026, 11, 30),
    "set": {"a"},
    "broken-text": "\ud800",
}
endless: dict[str, object] = {}
NATIVES["deep"] = endless["x"] = endless


class Place(NamedTuple):
    """Where the daemon is, and what cases name."""

    targets: Mapping[str, str]
    tokens: Mapping[str, str]
    files: Mapping[str, str]


@pytest.fixture(scope="module")
def place(tmp_path_factory: pytest.TempPathFactory) -> Iterator[Place]:
    with contract_site(tmp_path_factory.mktemp("contract")) as path:
        said = json.loads(path.read_text(encoding="utf-8"))
        yield Place(said["targets"], said["tokens"], said["files"])


class InProcess:
    """`policyd.Embedded` under the names of the client's methods."""

    def __init__(self, pdp: Embedded) -> None:
        self.ask = pdp.ask
        self.batch_check = pdp.check_batch
        self.partial_check = pdp.partial
        self.batch_partial_check = pdp.partial_batch


@pytest.fixture(scope="module", params=["daemon", "embedded"])
def client(place: Place, request: pytest.FixtureRequest) -> Iterator[Client | InProcess]:
    """What the questions of all languages are asked of: a daemon, and this process."""
    if request.param == "daemon":
        with Client(place.targets["tcp"]) as made:
            yield made
        return
    folder = Path(place.files["certificate"]).parent
    with Embedded.open(folder / "policyd.toml") as pdp:
        yield InProcess(pdp)


def each(name: str) -> pytest.MarkDecorator:
    return pytest.mark.parametrize("case", ALL[name], ids=lambda case: str(case["name"]))


def native(value: object) -> object:
    """Replace `{"$native": KIND}` by what Python has and JSON lacks."""
    if isinstance(value, dict):
        kind = value.get("$native")
        return (
            NATIVES[kind]
            if isinstance(kind, str)
            else {name: native(inner) for name, inner in value.items()}
        )
    return [native(inner) for inner in value] if isinstance(value, list) else value


def resource(case: Json) -> Resource:
    assert isinstance(case, dict)
    properties = native(case.get("properties", {}))
    return Resource(str(case["type"]), str(case.get("id", "")), properties)  # type: ignore[arg-type]


def proof(case: Json) -> Proof:
    assert isinstance(case, dict)
    dpop = case.get("dpop_proofs", [])
    assert isinstance(dpop, list)
    others = ("http_method", "http_uri", "client_certificate_sha256")
    return Proof(tuple(map(str, dpop)), *(str(case.get(name, "")) for name in others))


def outcome(ask: Callable[[], T]) -> T | AuthorizationFailed:
    try:
        return ask()
    except AuthorizationFailed as failed:
        return failed


def judge(want: Json, got: Outcome) -> None:
    """Compare what came of a question with what must."""
    assert isinstance(want, dict)
    if isinstance(got, AuthorizationFailed):
        error = want.get("error")
        assert isinstance(error, dict), got
        assert (got.code, got.reason) == (error["code"], error["reason"])
        assert f"`{error['names']}" in got.message if "names" in error else True
    else:
        judge_answer(want["answer"], got)
    assert got.allowed is not ("refusal" in want)
    if not got.allowed:
        made = refusal(got)
        assert want["refusal"] == {"status": made.status, "headers": dict(made.headers)}


def judge_answer(want: Json, got: Answer) -> None:
    assert isinstance(want, dict)
    unset = {"www_authenticate": "", "rules": [], "missing_scopes": [], "unknown_facts": []}
    for name, value in {**unset, **want}.items():
        found = getattr(got, name, None)
        if name == "cacheable":
            found = got.cacheable_until is not None
        elif name == "subject":
            assert isinstance(value, dict)
            assert got.subject is not None
            found = {key: getattr(got.subject, key) for key in value}
            found["scopes"] = list(got.subject.scopes)
        assert (list(found) if isinstance(found, tuple) else found) == value, name
    assert got.decision_id
    assert got.policy_revision


def judge_partial(want: Json, got: PartialAnswer | AuthorizationFailed) -> None:
    if isinstance(got, AuthorizationFailed):
        judge(want, got)
        return
    assert isinstance(want, dict)
    judge(want, got.answer)
    seen = {"outcome": got.outcome, "depends_on": list(got.depends_on)}
    partial = want["partial"]
    assert isinstance(partial, dict)
    assert seen == {"depends_on": [], **partial}


def judge_filter(want: Case, got: Filter | AuthorizationFailed) -> None:
    if isinstance(got, AuthorizationFailed):
        judge(want, got)
        return
    judge(want, got.answer)
    filter_, answer = want["filter"], want["answer"]
    assert isinstance(filter_, dict)
    assert isinstance(answer, dict)
    assert got.outcome == filter_["outcome"]
    condition = None if got.condition is None else shape(got.condition)
    assert condition == filter_.get("condition")
    attributes = [
        {
            "name": one.name,
            "type": one.type,
            **({"optional": True} if one.optional else {}),
            **({"values": list(one.values)} if one.values else {}),
        }
        for one in got.attributes
    ]
    assert attributes == filter_.get("attributes", [])
    if "cacheable" in answer:
        assert (got.valid_until is not None) is answer["cacheable"]


def shape(given: filtering.Condition) -> Json:
    """Return a condition as the cases write it."""
    match given:
        case filtering.All(conditions=several):
            return {"all": [shape(one) for one in several]}
        case filtering.AnyOf(conditions=several):
            return {"any": [shape(one) for one in several]}
        case filtering.Not(condition=inner):
            return {"not": shape(inner)}
        case filtering.HasSome(attribute=attribute, condition=inner):
            return {"has_some": attribute, "of": shape(inner)}
        case filtering.Test(operator=operator, left=left, right=right):
            sides = {"left": left, "right": right}
            shown = {name: operand(one) for name, one in sides.items() if one is not None}
            return {"test": operator, **shown}


def operand(given: filtering.Operand) -> Json:
    if isinstance(given, filtering.Attribute):
        return {"attribute": given.name, "type": given.type}
    if isinstance(given, filtering.Field):
        return {"field": given.name, "type": given.type}
    value: Json
    if isinstance(given.value, frozenset):
        value = [*sorted(given.value, key=str)]
    else:
        value = str(given.value) if isinstance(given.value, Decimal) else given.value
    return {"value": value, "type": given.type}


def names(case: Case) -> list[str]:
    unknown = case["unknown"]
    assert isinstance(unknown, list)
    return list(map(str, unknown))


@each("questions")
def test_questions(case: Case, place: Place, client: Client | InProcess) -> None:
    question = Question(
        str(case["token"]).format(**place.tokens),
        str(case["action"]),
        resource(case["resource"]),
        str(case["api"]),
        native(case.get("context", {})),  # type: ignore[arg-type]
        proof(case["proof"]) if "proof" in case else None,
    )
    if "unknown" in case:
        judge_partial(case, outcome(lambda: client.partial_check(question, names(case))))
    elif "filter" in case:
        if isinstance(client, InProcess):
            pytest.skip("who decides in this process has no filters")
        judge_filter(
            case,
            outcome(
                lambda: client.filter(
                    question.access_token,
                    action=question.action,
                    resource_type=question.resource.type,
                    api=question.api,
                )
            ),
        )
    else:
        judge(case, outcome(lambda: client.ask(question)))


@each("batches")
def test_batches(case: Case, place: Place, client: Client | InProcess) -> None:
    items, results = case["items"], case.get("results", [])
    assert isinstance(items, list)
    assert isinstance(results, list)
    asked = [
        (str(one["action"]), resource(one["resource"])) for one in items if isinstance(one, dict)
    ]
    token, api = str(case["token"]).format(**place.tokens), str(case["api"])
    if "unknown" in case:
        certain = client.batch_partial_check(token, asked, names(case), api=api)
        for want, partial in zip(results, certain, strict=True):
            judge_partial(want, partial)
        return
    try:
        outcomes = client.batch_check(token, asked, api=api)
    except AuthorizationFailed as failed:
        judge(case, failed)
        return
    for want, got in zip(results, outcomes, strict=True):
        judge(want, got)


@each("connections")
def test_connections(case: Case, place: Place) -> None:
    def file(name: str) -> bytes | None:
        return Path(place.files[str(case[name])]).read_bytes() if name in case else None

    timeout = case.get("timeout_ms", 5000)
    assert isinstance(timeout, int)
    with Client(
        place.targets[str(case["target"])],
        timeout=timeout / 1000,
        authorities=file("authorities"),
        certificate=file("certificate"),
        private_key=file("private_key"),
    ) as made:
        question = Resource("patient", "p1", {"sealed": False})
        token = place.tokens["reader"]
        judge(
            case,
            outcome(lambda: made.check(token, api="health", action="read", resource=question)),
        )
