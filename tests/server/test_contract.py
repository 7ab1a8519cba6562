"""The contract: generated code is what `proto/` says, and what clients rely on stays."""

from __future__ import annotations

import re
import shutil
from pathlib import Path

from policyd.decision.errors import InvalidRequest
from policyd.pdp.failures import ErrorReason
from policyd.v1 import authorization_pb2 as messages
from policyd.v1 import explanation_pb2
from scripts import contract, go_code, proto
from tests.support.documents import ROOT

CHECK_REQUEST = {
    "access_token": 1,
    "api": 2,
    "action": 3,
    "resource": 4,
    "context": 5,
    "request_id": 6,
    "proof": 7,
}
CHECK_RESPONSE = {
    "allowed": 1,
    "reason": 2,
    "message": 3,
    "rules": 4,
    "rules_truncated": 5,
    "missing_scopes": 6,
    "http_status": 7,
    "www_authenticate": 8,
    "subject": 9,
    "decision_id": 10,
    "policy_revision": 11,
    "cacheable_until": 12,
    "retry_after_seconds": 13,
    "dpop_nonce": 14,
    "search_stopped": 15,
    "unknown_facts": 16,
    "policy_commit": 17,
}


def test_the_generated_code_is_up_to_date() -> None:
    assert proto.stale() == []


def test_the_go_clients_code_is_up_to_date() -> None:
    current = go_code.contract()
    assert go_code.stale(current) == []
    (changed,) = [file for file in current.file if file.name == "policyd/v1/explanation.proto"]
    changed.message_type[0].field[0].name = "question"
    assert go_code.stale(current) == ["policyd/v1/explanation.proto"]
    every = [file.name for file in current.file]
    del current.file[:]
    assert go_code.stale(current) == sorted(every)


def test_the_contract_keeps_to_its_style_and_to_what_clients_have() -> None:
    assert contract.findings() == []


def test_what_breaks_clients_is_found(tmp_path: Path) -> None:
    changed = shutil.copytree(ROOT / "proto", tmp_path / "proto")
    file = changed / "policyd" / "v1" / "authorization.proto"
    file.write_text(file.read_text().replace("string reason = 2;", "string Reason = 1000;"))
    (changed / "policyd" / "v1" / "explanation.proto").unlink()
    found = "\n".join(contract.findings(changed))
    assert 'Field name "Reason" should be lower_snake_case' in found
    assert 'Previously present field "2" with name "reason" on message "CheckResponse"' in found
    assert 'file "policyd/v1/explanation.proto" was deleted' in found


def test_field_numbers_never_change() -> None:
    for message, expected in (
        (messages.CheckRequest, CHECK_REQUEST),
        (messages.CheckResponse, CHECK_RESPONSE),
    ):
        assert {field.name: field.number for field in message.DESCRIPTOR.fields} == expected


def test_the_documents_name_every_reason_of_an_error() -> None:
    known = set(ErrorReason) | set(re.findall(r"\b[A-Z]+_[A-Z_]+\b", str(InvalidRequest.__doc__)))
    rows = (ROOT / "docs" / "calling.md").read_text().partition("| reason | meaning |")[2]
    table = rows.partition("\n\n")[0]
    assert set(re.findall(r"`([A-Z_]+)`", table)) == known


def test_who_reads_nothing_denies() -> None:
    assert messages.CheckResponse().allowed is False


def test_each_method_has_messages_of_its_own() -> None:
    for file in (messages.DESCRIPTOR, explanation_pb2.DESCRIPTOR):
        for service in file.services_by_name.values():
            for method in service.methods:
                assert method.input_type.name == f"{method.name}Request"
                assert method.output_type.name == f"{method.name}Response"
