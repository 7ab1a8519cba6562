"""Several daemons beside each other: a table, who serves what, and whether they agree."""

from __future__ import annotations

import json
from datetime import UTC, datetime, timedelta

import pytest

from policyd.cli import fleet
from policyd.cli.fleet import Daemon
from policyd.server.wire.admin import PolicyStatus, ProvenanceTold, Status
from tests.support.cli import Run

NOW = datetime(2026, 1, 1, tzinfo=UTC)
OLD, NEW = "a" * 64, "b" * 64


def daemon(
    target: str, revision: str = NEW, *, serving: bool = True, troubles: tuple[str, ...] = ()
) -> Daemon:
    policies = PolicyStatus(
        revision=revision,
        provenance=ProvenanceTold(name="orders", sequence=42),
        loaded_at=NOW - timedelta(hours=3),
        heard_at=NOW - timedelta(seconds=12),
    )
    because = "" if serving else "the revocation list has not been loaded yet"
    return Daemon(
        target,
        Status(serving=serving, not_serving_because=because, troubles=troubles, policies=policies),
        "",
    )


SILENT = Daemon("c:1", None, "c:1 gives no answer: connection refused")


def test_daemons_that_agree() -> None:
    daemons = [daemon("a:1"), daemon("unix:/run/b.sock")]
    assert fleet.agree(daemons)
    assert list(fleet.page(daemons, NOW)) == [
        "daemon            state    revision      from       in service  source heard",
        "a:1               serving  bbbbbbbbbbbb  orders@42  3 hours     12 seconds ago",
        "unix:/run/b.sock  serving  bbbbbbbbbbbb  orders@42  3 hours     12 seconds ago",
        "",
        "revisions bbbbbbbbbbbb  2 daemons",
        "amiss     nothing",
    ]


def test_two_revisions_are_no_agreement() -> None:
    daemons = [daemon("a:1"), daemon("b:1", OLD), daemon("c:1")]
    assert not fleet.agree(daemons)
    assert list(fleet.page(daemons, NOW))[-3:] == [
        "revisions bbbbbbbbbbbb  2 daemons",
        "          aaaaaaaaaaaa  1 daemon",
        "amiss     nothing",
    ]


@pytest.mark.parametrize(
    ("other", "said"),
    [
        (daemon("b:1", troubles=("the keys are old",)), "b:1: the keys are old"),
        (
            daemon("b:1", serving=False),
            "b:1: it does not serve: the revocation list has not been loaded yet",
        ),
        (SILENT, "c:1 gives no answer: connection refused"),
    ],
)
def test_what_is_amiss_with_one_is_no_agreement(other: Daemon, said: str) -> None:
    daemons = [daemon("a:1"), other]
    assert not fleet.agree(daemons)
    assert list(fleet.page(daemons, NOW))[-1] == f"amiss     {said}"


def test_nobody_is_counted_for_a_revision_that_does_not_serve_it() -> None:
    daemons = [daemon("a:1"), daemon("b:1", serving=False), SILENT]
    assert fleet.revisions(daemons) == {NEW: ["a:1"], "": ["b:1", "c:1"]}


def test_control_characters_stay_off_the_terminal() -> None:
    shown = "\n".join(fleet.page([daemon("a:1\x1b[2J"), daemon("b:1")], NOW))
    assert "\x1b" not in shown


def test_nobody_answers(policyd: Run) -> None:
    targets = ("--target", "127.0.0.1:1", "--target", "127.0.0.1:2")
    asked = policyd("status", *targets, "--timeout", "5", "--format", "json")
    assert asked.code == 1
    found = json.loads(asked.out)
    assert found["agree"] is False
    assert found["revisions"] == {"": ["127.0.0.1:1", "127.0.0.1:2"]}
    assert all("connection refused" in one["problem"] for one in found["daemons"])


def test_activations_are_those_of_one(policyd: Run) -> None:
    asked = policyd("status", "--target", "a:1", "--target", "b:1", "--activations", "3")
    assert asked.code == 2
    assert "those of one daemon" in asked.err
