"""BatchCheck: each part of the request counts. What one of them is turned into turns the answer."""

from __future__ import annotations

from collections.abc import Callable, Iterator

import pytest

from policyd.v1 import authorization_pb2 as messages
from tests.support.daemon import AUDIENCE, Caller, Site, access_token, check_request, resource
from tests.support.proofs import CERTIFICATE, jkt

POLICY = """\
api {api}

audience "{audience}"

context {{
    zone: string?
}}

resource doc {{
    owner: string
    actions read, write
}}

resource note {{
    owner: string
    actions read
}}

allow read: read on doc
    when resource.owner == token.sub and resource.id == "d1"

deny elsewhere: any on doc
    when context.zone != "inside"
"""
TOKEN = access_token(cnf={"x5t#S256": CERTIFICATE}, sub="ann")
Change = Callable[[messages.BatchCheckRequest], object]


def asked() -> messages.BatchCheckRequest:
    """Return a batch of two questions, each answered with ALLOWED."""
    request = messages.BatchCheckRequest(
        access_token=TOKEN,
        api="one",
        items=[
            messages.BatchCheckItem(id=name, action="read", resource=resource("doc", "d1"))
            for name in ("a", "b")
        ],
        proof=messages.SenderProof(client_certificate_sha256=CERTIFICATE),
    )
    request.context.update({"zone": "inside"})
    for item in request.items:
        item.resource.properties.update({"owner": "ann"})
    return request


@pytest.fixture(scope="module")
def caller(tmp_path_factory: pytest.TempPathFactory, transport: str) -> Iterator[Caller]:
    site = Site(tmp_path_factory.mktemp("daemon"), transport)
    site.policy.unlink()
    for api, audience in (("one", AUDIENCE), ("two", "https://two.example/")):
        text = POLICY.format(api=api, audience=audience)
        (site.policies / f"{api}.policy").write_text(text)
    with site.start() as daemon, Caller(daemon.addresses[0]) as connection:
        yield connection


def test_a_batch_is_allowed(caller: Caller) -> None:
    results = caller.batch_check(asked()).results
    assert [(one.id, one.response.reason) for one in results] == [
        ("a", "ALLOWED"),
        ("b", "ALLOWED"),
    ]


#: What is changed for all items, and the reason of both answers then.
FOR_ALL: dict[str, tuple[Change, str]] = {
    "context": (lambda batch: batch.context.update({"zone": "outside"}), "DENIED_BY_RULE"),
    "no context": (lambda batch: batch.ClearField("context"), "DENIED_BY_RULE"),
    "proof": (
        lambda batch: batch.proof.MergeFrom(messages.SenderProof(client_certificate_sha256=jkt())),
        "TOKEN_BINDING_INVALID",
    ),
    "no proof": (lambda batch: batch.ClearField("proof"), "TOKEN_BINDING_INVALID"),
    "api": (lambda batch: setattr(batch, "api", "two"), "AUDIENCE_MISMATCH"),
    "access_token": (
        lambda batch: setattr(batch, "access_token", access_token(sub="eve")),
        "NO_RULE_ALLOWS",
    ),
}


@pytest.mark.parametrize("part", FOR_ALL)
def test_what_is_said_for_all_items(caller: Caller, part: str) -> None:
    change, reason = FOR_ALL[part]
    batch = asked()
    change(batch)
    results = caller.batch_check(batch).results
    assert [one.response.reason for one in results] == [reason, reason]


#: What is changed of the second item, and the reason of its answer then.
FOR_ONE: dict[str, tuple[Callable[[messages.BatchCheckItem], object], str]] = {
    "action": (lambda item: setattr(item, "action", "write"), "NO_RULE_ALLOWS"),
    "type": (lambda item: setattr(item.resource, "type", "note"), "NO_RULE_ALLOWS"),
    "id": (lambda item: setattr(item.resource, "id", "d2"), "NO_RULE_ALLOWS"),
    "properties": (
        lambda item: item.resource.properties.update({"owner": "eve"}),
        "NO_RULE_ALLOWS",
    ),
}


@pytest.mark.parametrize("part", FOR_ONE)
def test_what_is_said_of_one_item(caller: Caller, part: str) -> None:
    change, reason = FOR_ONE[part]
    batch = asked()
    change(batch.items[1])
    results = caller.batch_check(batch).results
    assert [one.response.reason for one in results] == ["ALLOWED", reason]


def test_a_check_says_the_same_of_each_part(caller: Caller) -> None:
    for change, reason in FOR_ALL.values():
        batch = asked()
        change(batch)
        alone = check_request(
            batch.access_token,
            api=batch.api,
            resource=batch.items[0].resource,
            context=batch.context,
            proof=batch.proof,
        )
        assert caller.check(alone).reason == reason
