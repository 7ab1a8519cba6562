"""The parts of a daemon that does not run, for what shows their state."""

from __future__ import annotations

from policyd.audit import DecisionLog, Mask, Recorder
from policyd.decision.engine import Engine
from policyd.pdp.counters import DecisionCounter, KeyCounter
from policyd.pdp.policies import PolicyService
from policyd.server.http.metrics_text import Exposition
from policyd.server.services.health import Health
from policyd.server.state import DaemonState
from policyd.sources.policies import DirectorySource, PolicySource
from policyd.sources.revocations import RevocationSources
from policyd.tokens.keys.source import KeySource
from policyd.tokens.proof.constraints import SenderConstraints
from policyd.tokens.revocation.model import RevocationKind
from policyd.tokens.revocation.revocation_list import RevocationFigures
from tests.support.audit import MemorySink
from tests.support.documents import ROOT
from tests.support.tokens import Clock, issuer, settings, validator


class NoKeys:
    """Keys that never come."""

    snapshot = None

    def __init__(self, problem: str | None = None) -> None:
        self.problem = problem

    def look_for(self, key_id: str, now: float) -> int | None:
        return 1

    def doubt(self, now: float) -> None:
        pass

    def fetch_anew(self) -> None:
        pass

    def renew(self, now: float) -> int:
        return 1

    def start(self) -> None:
        pass

    def stop(self) -> None:
        pass

    def wait(self, seconds: float) -> bool:
        return False


class StaleSources(RevocationSources):
    """A list of two tokens and a subject whose source went silent."""

    def __init__(self) -> None:
        super().__init__({})

    def figures(self) -> dict[str, RevocationFigures]:
        entries = {RevocationKind.TOKEN: 2, RevocationKind.SUBJECT: 1}
        stale = RevocationFigures(entries, loaded=True, stale=True, age=301.5, problem="gone")
        never = RevocationFigures({}, loaded=False, stale=False, age=None, problem=None)
        return {"file": stale, "redis": never}


class Rig:
    """The parts, and their page of figures."""

    def __init__(
        self,
        keys: KeySource | None = None,
        revocations: RevocationSources | None = None,
        source: PolicySource | None = None,
    ) -> None:
        recorder = Recorder(Mask())
        self.validator = validator(issuer(keys))
        self.engine = Engine(self.validator)
        self.counter = DecisionCounter()
        self.keys = KeyCounter(lambda _: None, Clock())
        self.log = DecisionLog(recorder, MemorySink(), 1, observe=self.counter.observe)
        self.policies = PolicyService(
            source or DirectorySource(ROOT / "policies" / "health"),
            self.engine,
            [recorder],
            Mask(),
            [settings()],
        )
        self.health = Health(())
        self.state = DaemonState(
            engine=self.engine,
            validator=self.validator,
            policies=self.policies,
            health=self.health,
            decisions=self.log,
            decision_counter=self.counter,
            key_counter=self.keys,
            revocations=revocations or RevocationSources({}),
            constraints=SenderConstraints(),
        )
        self.page = Exposition(self.state)

    def figures(self) -> dict[str, float]:
        """Return each sample by the text before its value."""
        text = self.page.text().decode()
        lines = (line for line in text.splitlines() if not line.startswith("#"))
        return {name: float(value) for name, _, value in (line.rpartition(" ") for line in lines)}
