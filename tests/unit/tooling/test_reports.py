from __future__ import annotations

import json
from xml.etree import ElementTree

from policyd.tooling.reports import failures, json_report, junit_report
from tests.support.tooling import OPEN, POLICY, run

PASSING = f"allow read on patient {OPEN}"
FAILING = f"deny read on patient {OPEN} by sealed"
READER = "token { scope: [read:patients] }"


def test_json() -> None:
    document = json.loads(json_report(run(READER, PASSING, FAILING)))
    assert (document["expectations"], document["failed"]) == (2, 1)
    (test,) = document["tests"]
    assert (test["api"], test["title"], test["file"], test["line"]) == (
        "health",
        "an example",
        "health_test.policy",
        3,
    )
    assert test["expectations"][0] == {
        "line": 5,
        "passed": True,
        "problems": [],
        "allowed": True,
        "reason": "ALLOWED",
        "rules": ["reads"],
    }
    assert test["expectations"][1]["problems"] == [
        "expected deny, got allow (ALLOWED)",
        "expected it by sealed, got reads",
    ]
    coverage = document["coverage"]
    assert (coverage["percentage"], coverage["seen"], coverage["possible"]) == (42.8, 6, 14)
    _, reads, _ = coverage["parts"]
    assert (reads["api"], reads["kind"], reads["name"]) == ("health", "allow", "reads")
    assert (reads["applies"]["possible"], reads["applies"]["seen"]) == ([True, False], [True])
    (operand,) = reads["operands"]
    assert (operand["text"], operand["seen"]) == ("scope read:patients", [True])


def test_junit() -> None:
    tree = ElementTree.fromstring(junit_report(run(READER, PASSING, FAILING)))
    suite = tree.find("testsuite")
    assert suite is not None
    assert suite.attrib == {"name": "health_test.policy", "tests": "1", "failures": "1"}
    case = suite.find("testcase")
    assert case is not None
    assert case.attrib == {"classname": "health", "name": "an example"}
    (failure,) = case.findall("failure")
    assert failure.attrib["message"].startswith("expected deny, got allow")
    assert failure.text is not None
    assert failure.text.startswith("health_test.policy:6\n")
    assert "allow reads: true, so it applies" in failure.text


def test_junit_of_a_run_that_holds() -> None:
    tree = ElementTree.fromstring(junit_report(run(READER, PASSING)))
    assert [case.tag for case in tree.iter("testcase")] == ["testcase"]
    assert list(tree.iter("failure")) == []


def test_failures_name_what_is_missing() -> None:
    (finding,) = failures(run("token {}", PASSING))
    assert finding.notes[0] == "missing scopes: read:patients"
    assert failures(run(READER, PASSING)) == ()


def test_refused_token_says_why() -> None:
    refused = run(READER, PASSING, policy=POLICY + "claim tenant: string\n")
    (finding,) = failures(refused)
    assert "tenant" in finding.notes[0]
