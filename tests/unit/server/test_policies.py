"""Policies on their way into an engine."""

from __future__ import annotations

import gc
import logging
from pathlib import Path

import pytest

from policyd.audit import Mask, Recorder
from policyd.decision.engine import Engine
from policyd.server.policies import PoliciesRejected, PolicyService
from policyd.sources import PoliciesUnreadable
from policyd.tokens.model import NO_PROOF, ResourceServer, SenderProof, VerifiedToken

POLICY = """\
api a

audience "https://a.example"

resource thing {
    actions use
}

allow all: use on thing
    when true
"""


class NoValidator:
    """Verifies nothing, which nobody asks for."""

    def verify(
        self,
        access_token: str,
        resource_server: ResourceServer,
        now: float,
        proof: SenderProof = NO_PROOF,
    ) -> VerifiedToken:
        raise NotImplementedError


@pytest.fixture
def engine() -> Engine:
    return Engine(NoValidator())


def service(root: Path, engine: Engine) -> PolicyService:
    return PolicyService(root, engine, Recorder(Mask()), Mask(), ())


def test_loads_what_is_there(tmp_path: Path, engine: Engine) -> None:
    (tmp_path / "a.policy").write_text(POLICY)
    service(tmp_path, engine).load()
    assert engine.snapshot is not None
    assert gc.isenabled()


def test_an_error_loads_nothing(tmp_path: Path, engine: Engine) -> None:
    (tmp_path / "a.policy").write_text(POLICY)
    (tmp_path / "b.policy").write_text("nonsense")
    with pytest.raises(PoliciesRejected, match="errors: 2, the first: "):
        service(tmp_path, engine).load()
    assert engine.snapshot is None
    assert gc.isenabled()


def test_a_directory_that_is_not_there_loads_nothing(tmp_path: Path, engine: Engine) -> None:
    with pytest.raises(PoliciesUnreadable):
        service(tmp_path / "none", engine).load()
    assert engine.snapshot is None


def test_a_defect_while_reloading_keeps_the_old_policies(
    tmp_path: Path, engine: Engine, caplog: pytest.LogCaptureFixture
) -> None:
    class Defective(Recorder):
        """Fails once there are policies."""

        def use(self, policies: object) -> None:
            if engine.snapshot is not None:
                raise ZeroDivisionError

    path = tmp_path / "a.policy"
    path.write_text(POLICY)
    loading = PolicyService(tmp_path, engine, Defective(Mask()), Mask(), ())
    loading.load()
    before = engine.snapshot
    path.write_text(POLICY + "// changed\n")
    loading.look()
    assert engine.snapshot is before
    (record,) = [one for one in caplog.records if one.levelno == logging.ERROR]
    assert record.exc_info is not None
