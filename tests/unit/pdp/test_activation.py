"""The pipeline of activation: what fails at a step leaves what serves, and says where."""

from __future__ import annotations

import json
import logging
import re
from pathlib import Path

import pytest

from policyd.audit import Mask, Recorder
from policyd.decision.engine import Engine
from policyd.pdp.activation import DEFAULTS, PoliciesRejected, Requirements, SetRefused
from policyd.pdp.policies import PolicyService
from policyd.sources.policies import (
    DirectorySettings,
    DirectorySource,
    PoliciesUnreadable,
    Step,
    Steps,
)
from policyd.sources.policies.state import StateFolder
from tests.unit.pdp.test_policies import POLICY, NoValidator, revision

OTHER = POLICY.replace("api a", "api b").replace("a.example", "b.example")
PASSING = """\
api a

test "all may" {
    token {}
    allow use on thing
}
"""


class Rig:
    """A folder of policies, a state folder, and the service over both."""

    def __init__(
        self, root: Path, requirements: Requirements = DEFAULTS, max_staleness: float = 0.0
    ) -> None:
        self.root = root / "policies"
        self.root.mkdir(exist_ok=True)
        self.state = StateFolder(root / "state")
        self.engine = Engine(NoValidator())
        steps = Steps()
        settings = DirectorySettings(settle=0, with_tests=requirements.tests)
        self.source = DirectorySource(self.root, settings, steps=steps)
        self.service = PolicyService(
            self.source,
            self.engine,
            [Recorder(Mask())],
            Mask(),
            (),
            requirements=requirements,
            steps=steps,
            state=self.state,
            max_staleness=max_staleness,
        )

    def write(self, **texts: str) -> None:
        for name, text in texts.items():
            (self.root / f"{name}.policy").write_text(text)

    def is_current(self) -> bool:
        return self.service.figures.current

    @property
    def outcomes(self) -> list[tuple[str, str]]:
        return [(one.outcome, one.step) for one in reversed(self.state.journal(99))]


def test_the_steps_of_a_good_set_are_counted(tmp_path: Path) -> None:
    rig = Rig(tmp_path)
    rig.write(a=POLICY)
    rig.service.load()
    counted = {step: figures.runs for step, figures in rig.service.steps.items() if figures.runs}
    assert counted == dict.fromkeys(
        (Step.READ, Step.LOAD, Step.TESTS, Step.PROOFS, Step.SWAP, Step.REMEMBER), 1
    )
    last = rig.state.last()
    assert last is not None
    assert last.revision == revision(rig.engine)


def test_an_empty_set_replaces_nothing(tmp_path: Path, caplog: pytest.LogCaptureFixture) -> None:
    rig = Rig(tmp_path, Requirements(allow_api_removal=True))
    rig.write(a=POLICY)
    rig.service.load()
    kept = revision(rig.engine)
    (rig.root / "a.policy").unlink()
    rig.service.look()
    assert (revision(rig.engine), rig.service.figures.step) == (kept, Step.LOAD)
    (line,) = [one for one in caplog.records if one.levelno == logging.ERROR]
    assert "P1017" in vars(line)["findings"]
    assert vars(line)["step"] == "load"


def test_an_api_in_service_is_removed_only_where_that_is_allowed(tmp_path: Path) -> None:
    for allowed in (False, True):
        (tmp_path / str(allowed)).mkdir()
        rig = Rig(tmp_path / str(allowed), Requirements(allow_api_removal=allowed))
        rig.write(a=POLICY, b=OTHER)
        rig.service.load()
        (rig.root / "b.policy").unlink()
        rig.service.look()
        assert rig.service.figures.current is allowed
        serving = rig.engine.snapshot
        assert serving is not None
        assert ("b" in serving.apis) is not allowed
        if not allowed:
            assert "the API `b`" in str(rig.service.figures.problem)
            assert "`allow_api_removal = true`" in str(rig.service.figures.problem)


def test_a_set_whose_tests_fail_does_not_serve(tmp_path: Path) -> None:
    rig = Rig(tmp_path, Requirements(tests=True))
    rig.write(a=POLICY)
    with pytest.raises(SetRefused, match="there are no tests"):
        rig.service.load()
    rig.write(a_test=PASSING)
    rig.service.load()
    kept = revision(rig.engine)
    rig.write(a_test=PASSING.replace("    allow use", "    deny use"))
    rig.service.look()
    problem = str(rig.service.figures.problem)
    assert "a_test.policy:5:" in problem, problem
    assert (revision(rig.engine), rig.service.figures.step) == (kept, Step.TESTS)
    rig.write(a_test=PASSING, a=POLICY.replace("when true", "when scope go"))
    rig.service.look()
    assert rig.service.figures.step is Step.LOAD
    rig.write(a=POLICY + "// mended\n")
    rig.service.look()
    assert rig.service.figures.current
    assert rig.service.steps[Step.TESTS].failed == 2


def test_without_require_tests_no_test_is_run(tmp_path: Path) -> None:
    rig = Rig(tmp_path)
    rig.write(a=POLICY, a_test=PASSING.replace("    allow use", "    deny use"))
    rig.service.load()
    assert rig.service.figures.current


def test_the_journal_tells_what_became_of_each_set(tmp_path: Path) -> None:
    rig = Rig(tmp_path)
    rig.write(a=POLICY)
    rig.service.load()
    rig.write(a=POLICY + "\nallow more: use on thing\n    when true\n")
    rig.service.look()
    rig.write(a="nonsense")
    rig.service.look()
    lines = [
        json.loads(line) for line in (tmp_path / "state/journal.ndjson").read_text().splitlines()
    ]
    assert [line["outcome"] for line in lines] == ["activated", "activated", "refused"]
    assert all(re.fullmatch(r"[\d-]+T[\d:]+\.\d{3}Z", line["time"]) for line in lines)
    assert lines[0]["rules"] == {"rules": 1, "added": 1, "removed": 0, "changed": 0}
    assert lines[1]["rules"] == {"rules": 2, "added": 1, "removed": 0, "changed": 0}
    assert lines[1]["revision"] == revision(rig.engine)
    assert lines[2]["step"] == "load"
    assert "a.policy:1:1" in lines[2]["problem"]


@pytest.mark.parametrize("bad", ["gone", "broken"])
def test_a_start_without_a_good_set_serves_the_last_one(
    tmp_path: Path, caplog: pytest.LogCaptureFixture, bad: str
) -> None:
    before = Rig(tmp_path)
    before.write(a=POLICY)
    before.service.load()
    if bad == "gone":
        after = Rig(tmp_path)
        before.root.rename(tmp_path / "away")
    else:
        before.write(a="nonsense")
        after = Rig(tmp_path)
    after.service.load()
    assert revision(after.engine) == revision(before.engine)
    assert not after.is_current()
    (line,) = [one for one in caplog.records if one.levelno == logging.ERROR]
    assert line.message == "there are no good policies; those that served last serve, stale"
    assert after.outcomes[-1] == ("restored", "read" if bad == "gone" else "load")
    after.root.mkdir(exist_ok=True)
    after.write(a=POLICY + "// mended\n")
    after.service.look()
    assert after.is_current()
    assert revision(after.engine) != revision(before.engine)


def test_what_another_source_left_in_the_folder_never_serves(
    tmp_path: Path, caplog: pytest.LogCaptureFixture
) -> None:
    one = Rig(tmp_path)
    one.write(a=POLICY)
    one.service.load()
    (tmp_path / "other").mkdir()
    other = Rig(tmp_path / "other")
    other.write(a="nonsense")
    service = PolicyService(
        other.source, other.engine, [], Mask(), (), steps=Steps(), state=one.state
    )
    with pytest.raises(PoliciesRejected):
        service.load()
    assert other.engine.snapshot is None
    assert caplog.records[-1].message == (
        "the policies that served last are of another source; they do not serve"
    )


def test_a_start_without_any_set_fails_as_ever(tmp_path: Path) -> None:
    rig = Rig(tmp_path)
    rig.write(a="nonsense")
    with pytest.raises(PoliciesRejected):
        rig.service.load()
    rig.root.joinpath("a.policy").unlink()
    rig.root.rmdir()
    with pytest.raises(PoliciesUnreadable):
        rig.service.load()
    assert rig.outcomes == [("refused", "load"), ("refused", "read")]


def test_a_damaged_state_is_told_of_and_no_reason_to_serve_nothing(tmp_path: Path) -> None:
    rig = Rig(tmp_path)
    rig.write(a=POLICY)
    (tmp_path / "state").write_text("no folder")
    rig.service.load()
    assert rig.service.figures.current
    assert "the state folder cannot be used" in str(rig.service.unremembered)
    (tmp_path / "state").unlink()
    rig.write(a=POLICY + "// again\n")
    rig.service.look()
    assert rig.service.unremembered is None


def test_silence_makes_what_serves_too_old(tmp_path: Path) -> None:
    rig = Rig(tmp_path, max_staleness=60)
    rig.write(a=POLICY)
    rig.service.load()
    heard = rig.service.confirmed_at
    assert heard > 0
    assert rig.service.too_old(heard + 60) is None
    assert "was last heard of 61 s ago" in str(rig.service.too_old(heard + 61))
    assert Rig(tmp_path).service.too_old(heard + 10**9) is None, "0 means never"


def test_silence_counts_from_before_the_restart(tmp_path: Path) -> None:
    before = Rig(tmp_path)
    before.write(a=POLICY)
    before.service.load()
    confirmed = before.state.confirmed_at()
    assert confirmed is not None
    before.write(a="nonsense")
    StateFolder(tmp_path / "state", lambda: confirmed - 1000).confirm()
    (tmp_path / "policies" / "a.policy").unlink()
    (tmp_path / "policies").rmdir()
    after = Rig(tmp_path, max_staleness=60)
    after.root.rmdir()
    after.service.load()
    assert after.service.confirmed_at == pytest.approx(confirmed - 1000)
    assert after.service.too_old(confirmed) is not None
