"""Policies on their way into an engine."""

from __future__ import annotations

import gc
import logging
import os
import sys
import threading
import time
import weakref
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path

import msgspec
import pytest

from policyd.audit import Mask, Recorder
from policyd.decision.engine import Engine
from policyd.diagnostics import Diagnostic, Label, Source, Span
from policyd.language.policy import PolicySet
from policyd.pdp import background
from policyd.pdp.activation import MasksUnknown, PoliciesRejected, Requirements
from policyd.pdp.policies import LoadFigures, PolicyService
from policyd.pdp.protection import ConfiguredChallenger
from policyd.program.compiler import compile_policies
from policyd.program.index import Program
from policyd.sources.policies import (
    DirectorySettings,
    DirectorySource,
    LookFigures,
    PoliciesUnreadable,
    PolicyFiles,
    Provenance,
)
from policyd.sources.policies.model import Changed
from policyd.tokens.model import NO_PROOF, ResourceServer, SenderProof, VerifiedToken
from policyd.tokens.settings.issuers import IssuerSettings
from tests.support.daemon import PATIENCE

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

    def userinfo(self, token: VerifiedToken, access_token: str, now: float) -> None:
        raise NotImplementedError


@pytest.fixture
def engine() -> Engine:
    return Engine(NoValidator())


def directory(root: Path) -> DirectorySource:
    return DirectorySource(root, DirectorySettings(settle=0))


def service(root: Path, engine: Engine) -> PolicyService:
    return PolicyService(directory(root), engine, [Recorder(Mask())], Mask(), ())


class Handed:
    """A source that hands over what a test gives it, and notes who watches."""

    figures = LookFigures()
    source = Provenance("handed", "here")

    def __init__(self, root: Path) -> None:
        self.read = directory(root).read
        self.changed: list[Changed] = []
        self.stopped = 0

    def look(self, changed: Changed) -> None:
        changed(self.read())

    def watch(self, changed: Changed) -> None:
        self.changed.append(changed)

    def stop(self) -> None:
        self.stopped += 1

    def soon(self) -> None:
        raise NotImplementedError

    def serves(self, provenance: Provenance) -> None:
        pass

    def recall(self, name: str) -> PolicyFiles:
        raise NotImplementedError

    named = ""


def test_loads_what_is_there(
    tmp_path: Path, engine: Engine, caplog: pytest.LogCaptureFixture
) -> None:
    caplog.set_level(logging.INFO)
    (tmp_path / "a.policy").write_text(POLICY)
    loading = service(tmp_path, engine)
    loading.load()
    assert engine.snapshot is not None
    assert gc.isenabled()
    (line,) = [one for one in caplog.records if one.message == "policies loaded"]
    told = {name: vars(line)[name] for name in ("revision", "apis", "rules", "files")}
    assert told == {"revision": revision(engine), "apis": ["a"], "rules": 1, "files": 1}
    assert vars(line)["seconds"] == round(loading.figures.seconds, 3)
    assert loading.figures.seconds < time.perf_counter(), "a span and no time of day"


def test_hands_what_the_source_sees_to_the_engine(tmp_path: Path, engine: Engine) -> None:
    (tmp_path / "a.policy").write_text(POLICY)
    source = Handed(tmp_path)
    loading = PolicyService(source, engine, [Recorder(Mask())], Mask(), ())
    loading.watch()
    (changed,) = source.changed
    changed(source.read())
    assert engine.snapshot is not None
    assert (loading.figures.loaded, source.stopped) == (1, 0)
    loading.stop()
    assert source.stopped == 1


def test_the_collector_rests_while_it_loads_and_is_spared_what_stays(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(background, "_process_is_ours", True)

    class Circle:
        me: Circle

    (tmp_path / "a.policy").write_text(POLICY)
    collecting: list[bool] = []

    def compiling(policies: PolicySet) -> Program:
        collecting.append(gc.isenabled())
        return compile_policies(policies)

    made = service(tmp_path, Engine(NoValidator(), compiler=compiling))
    circle = Circle()
    circle.me = circle
    gone = weakref.ref(circle)
    before = gc.get_freeze_count()
    with collector_off():
        del circle
        made.load()
        assert gone() is None, "garbage is collected, and not put away"
    assert (collecting, gc.isenabled()) == ([False], True)
    assert gc.get_freeze_count() > before


@contextmanager
def collector_off() -> Iterator[None]:
    gc.disable()
    try:
        yield
    finally:
        gc.enable()


@pytest.mark.parametrize(("before", "after"), [(-5, 0), (0, 5), (14, 19), (15, 19), (19, 19)])
def test_how_far_it_stands_back(
    tmp_path: Path, engine: Engine, monkeypatch: pytest.MonkeyPatch, before: int, after: int
) -> None:
    stood: list[tuple[int, int, int]] = []
    monkeypatch.setattr(sys, "platform", "linux")
    monkeypatch.setattr(os, "getpriority", lambda which, who: before)
    monkeypatch.setattr(os, "setpriority", lambda *given: stood.append(given))
    (tmp_path / "a.policy").write_text(POLICY)
    source = Handed(tmp_path)
    loading = PolicyService(source, engine, [Recorder(Mask())], Mask(), ())
    loading.look()
    assert stood == [(os.PRIO_PROCESS, threading.get_native_id(), after)]


def test_a_mask_that_names_nothing_at_all_ends_the_start_and_no_reload(
    tmp_path: Path, engine: Engine
) -> None:
    (tmp_path / "a.policy").write_text(POLICY)
    mask = Mask(frozenset({"context.x"}))
    loading = PolicyService(directory(tmp_path), engine, [Recorder(mask)], mask, ())
    with pytest.raises(MasksUnknown, match=r"^masks that name nothing: context\.x$"):
        loading.load()
    assert engine.snapshot is None

    with_it = POLICY.replace("resource thing", "context {\n    x: string?\n}\n\nresource thing")
    (tmp_path / "a.policy").write_text(with_it)
    loading.load()
    before = revision(engine)
    (tmp_path / "a.policy").write_text(POLICY)
    loading.look()
    assert revision(engine) != before


def test_issuers_may_change_before_there_are_policies(tmp_path: Path, engine: Engine) -> None:
    swapped: list[bool] = []
    both = speaking("https://one.example", "https://two.example")
    loading = service(tmp_path, engine)
    loading.change_issuers(both, lambda: swapped.append(True))
    assert (swapped, engine.snapshot) == ([True], None)
    (tmp_path / "a.policy").write_text(NAMELESS)
    with pytest.raises(PoliciesRejected, match="P1025"):
        loading.load()


def test_policies_that_cannot_be_read_keep_the_old_ones(
    tmp_path: Path, engine: Engine, caplog: pytest.LogCaptureFixture
) -> None:
    root = tmp_path / "policies"
    root.mkdir()
    source = Handed(root)
    loading = PolicyService(source, engine, [Recorder(Mask())], Mask(), ())
    loading.watch()
    unreadable = PoliciesUnreadable("the disk is gone")
    for kept in (None, "kept"):
        if kept:
            (root / "a.policy").write_text(POLICY)
            loading.load()
            kept = revision(engine)
        caplog.clear()
        source.changed[0](unreadable)
        (line,) = [one for one in caplog.records if one.levelno == logging.ERROR]
        assert line.message == "the policies cannot be read; the old ones keep serving"
        assert (vars(line)["revision"], vars(line)["error"]) == (kept, "the disk is gone")
        assert line.exc_info is None
    assert loading.figures.failed == 2
    assert (loading.figures.current, loading.figures.problem) == (False, "the disk is gone")
    loading.look()
    assert (loading.figures.current, loading.figures.problem) == (True, None)


@pytest.mark.skipif(sys.platform != "linux", reason="threads have no priority of their own")
def test_the_thread_that_loads_stands_back(tmp_path: Path) -> None:
    (tmp_path / "a.policy").write_text(POLICY)
    seen: list[int] = []

    def compiling(policies: PolicySet) -> Program:
        seen.append(os.getpriority(os.PRIO_PROCESS, threading.get_native_id()))
        return compile_policies(policies)

    made = service(tmp_path, Engine(NoValidator(), compiler=compiling))
    made.load()
    thread = threading.Thread(target=made._changed, args=(directory(tmp_path).read(),))
    thread.start()
    thread.join()
    own = os.getpriority(os.PRIO_PROCESS, os.getpid())
    assert seen == [own, min(own + 5, 19)]


def test_turns_are_short_only_while_it_loads(tmp_path: Path) -> None:
    (tmp_path / "a.policy").write_text(POLICY)
    before = sys.getswitchinterval()
    seen: list[float] = []

    def compiling(policies: PolicySet) -> Program:
        seen.append(sys.getswitchinterval())
        assert not gc.isenabled()
        return compile_policies(policies)

    made = service(tmp_path, Engine(NoValidator(), compiler=compiling))
    made.load()
    (tmp_path / "a.policy").write_text("nonsense")
    with pytest.raises(PoliciesRejected):
        made.load()
    assert seen == [pytest.approx(0.0002)]
    assert sys.getswitchinterval() == before


def test_an_error_loads_nothing(tmp_path: Path, engine: Engine) -> None:
    (tmp_path / "a.policy").write_text(POLICY)
    (tmp_path / "b.policy").write_text("nonsense")
    with pytest.raises(
        PoliciesRejected, match=r"\.policy:\d+:\d+: error\[P\d+\]: .* \(and 1 more\)$"
    ):
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
    loading = PolicyService(directory(tmp_path), engine, [Defective(Mask())], Mask(), ())
    loading.load()
    before = engine.snapshot
    path.write_text(POLICY + "// changed\n")
    loading.look()
    assert engine.snapshot is before
    (record,) = [one for one in caplog.records if one.levelno == logging.ERROR]
    assert record.exc_info is not None
    assert (loading.figures.failed, loading.figures.current) == (1, False)
    assert loading.figures.problem == "loading them failed; the log says how"


NAMELESS = POLICY.replace("when true", 'when token.subject == "jane"')


def revision(engine: Engine) -> str:
    assert engine.snapshot is not None
    return engine.snapshot.revision


def speaking(*names: str) -> list[IssuerSettings]:
    return [
        IssuerSettings(issuer=name, dialect="oidc", jwks_file="unused.json", apis=frozenset(("a",)))
        for name in names
    ]


def test_issuers_change_where_the_policies_can_tell_their_subjects_apart(
    tmp_path: Path, engine: Engine
) -> None:
    (tmp_path / "a.policy").write_text(NAMELESS)
    loading = service(tmp_path, engine)
    loading.load()
    swapped: list[str] = []

    loading.change_issuers(speaking("https://one.example"), lambda: swapped.append("one"))
    with pytest.raises(PoliciesRejected, match="without testing"):
        loading.change_issuers(
            speaking("https://one.example", "https://two.example"), lambda: swapped.append("two")
        )

    assert swapped == ["one"]


def test_policies_are_judged_by_the_issuers_of_the_moment(
    tmp_path: Path, engine: Engine, caplog: pytest.LogCaptureFixture
) -> None:
    (tmp_path / "a.policy").write_text(POLICY)
    loading = service(tmp_path, engine)
    loading.load()
    before = revision(engine)
    both = speaking("https://one.example", "https://two.example")
    loading.change_issuers(both, lambda: None)

    (tmp_path / "a.policy").write_text(NAMELESS)
    loading.look()
    assert revision(engine) == before
    assert "P1025" in str(vars(caplog.records[-1])["places"])
    assert vars(caplog.records[-1])["revision"] == before

    loading.change_issuers(both[:1], lambda: None)
    (tmp_path / "a.policy").write_text(NAMELESS + "// again\n")
    loading.look()
    assert revision(engine) != before


def test_challenges_follow_the_issuers(tmp_path: Path) -> None:
    (tmp_path / "a.policy").write_text(POLICY)
    issuers = speaking("https://one.example")
    engine = Engine(NoValidator(), challenger=ConfiguredChallenger(lambda: issuers))
    loading = service(tmp_path, engine)
    loading.load()

    def swap() -> None:
        issuers[:] = [msgspec.structs.replace(issuers[0], require_binding="dpop")]

    offered = []
    for _ in range(2):
        assert engine.snapshot is not None
        offered.append(engine.snapshot.protections["a"].schemes)
        loading.change_issuers(issuers, swap)

    assert offered == [("Bearer",), ("DPoP",)]


def test_files_that_only_the_issuers_kept_from_service_are_tried_again(
    tmp_path: Path, engine: Engine
) -> None:
    (tmp_path / "a.policy").write_text(POLICY)
    loading = service(tmp_path, engine)
    loading.load()
    before = revision(engine)
    both = speaking("https://one.example", "https://two.example")
    loading.change_issuers(both, lambda: None)
    (tmp_path / "a.policy").write_text(NAMELESS)
    loading.look()
    assert (revision(engine), loading.figures.current) == (before, False)

    loading.change_issuers(both, lambda: None)
    assert (revision(engine), loading.figures.current) == (before, False)
    loading.change_issuers(both[:1], lambda: None)
    assert revision(engine) != before
    assert loading.figures.current
    assert (loading.figures.loaded, loading.figures.failed) == (2, 2)


@pytest.mark.parametrize("newer", ["nonsense", POLICY + "// newer\n"])
def test_files_that_are_not_the_newest_are_not_tried_again(
    tmp_path: Path, engine: Engine, newer: str
) -> None:
    (tmp_path / "a.policy").write_text(POLICY)
    loading = service(tmp_path, engine)
    loading.load()
    both = speaking("https://one.example", "https://two.example")
    loading.change_issuers(both, lambda: None)
    for text in (NAMELESS, newer):
        (tmp_path / "a.policy").write_text(text)
        loading.look()
    before = revision(engine), loading.figures

    loading.change_issuers(both[:1], lambda: None)

    assert (revision(engine), loading.figures) == before


def test_names_that_no_policy_declares_are_told_of(
    tmp_path: Path, engine: Engine, caplog: pytest.LogCaptureFixture
) -> None:
    (tmp_path / "a.policy").write_text(POLICY)
    loading = service(tmp_path, engine)
    loading.load()
    assert not loading.unknown_names
    source = Source("policyd.toml", 'apis = ["b"]\n')
    found = Diagnostic("P5004", "names the API `b`", Label(source, Span(0, 4)), help="`a`?")

    loading.change_issuers(
        (), lambda: None, lambda policies: () if "b" in policies.apis else (found,)
    )

    assert vars(caplog.records[-1])["places"] == [
        "policyd.toml:1:1: error[P5004]: names the API `b`"
    ]
    assert "help: `a`?" in str(vars(caplog.records[-1])["findings"])
    assert list(loading.unknown_names) == [found]
    (tmp_path / "b.policy").write_text(POLICY.replace("api a", "api b").replace("a.ex", "b.ex"))
    loading.look()
    assert not loading.unknown_names


def test_tells_how_loading_went(tmp_path: Path, engine: Engine) -> None:
    path = tmp_path / "a.policy"
    path.write_text(POLICY)
    loading = PolicyService(directory(tmp_path), engine, [Recorder(Mask())], Mask(), ())
    assert loading.figures == LoadFigures()
    assert not loading.figures.current
    loading.load()
    first = loading.figures
    assert (first.loaded, first.failed, first.current) == (1, 0, True)
    assert first.loaded_at > 0
    for number, content in enumerate(("nonsense", "more nonsense"), start=1):
        path.write_text(content)
        loading.look()
        now = loading.figures
        assert (now.loaded, now.failed, now.current) == (1, number, False)
        assert now.loaded_at == first.loaded_at
    path.write_text(POLICY + "// repaired\n")
    loading.look()
    assert (loading.figures.loaded, loading.figures.failed, loading.figures.current) == (2, 2, True)


def test_one_thing_changes_at_a_time(tmp_path: Path) -> None:
    """A set that loads was checked against the issuers that it will serve with."""
    (tmp_path / "a.policy").write_text(POLICY)
    order: list[str] = []
    swapped = threading.Event()
    reloading = False

    def swap() -> None:
        order.append("issuers")
        swapped.set()

    def compiling(policies: PolicySet) -> Program:
        if reloading:
            changing.start()
            swapped.wait(0.2)  # it cannot be, so the time is always spent
            order.append("policies")
        return compile_policies(policies)

    made = service(tmp_path, Engine(NoValidator(), compiler=compiling))
    made.load()
    changing = threading.Thread(target=made.change_issuers, args=((), swap))
    reloading = True
    (tmp_path / "a.policy").write_text(POLICY + "// changed\n")
    made.look()
    changing.join()
    assert order == ["policies", "issuers"]


def test_an_older_state_of_the_source_never_comes_last(tmp_path: Path) -> None:
    """A look by signal and the watch may both see a change: the one that came first goes first."""
    compiling, go_on = threading.Event(), threading.Event()
    order: list[int] = []

    def slowly(policies: PolicySet) -> Program:
        rules = len(policies.apis["a"].rules)
        if rules == 2:
            compiling.set()
            assert go_on.wait(PATIENCE)
        order.append(rules)
        return compile_policies(policies)

    (tmp_path / "a.policy").write_text(POLICY)
    source = Handed(tmp_path)
    made = PolicyService(
        source, Engine(NoValidator(), compiler=slowly), [Recorder(Mask())], Mask(), ()
    )
    made.load()
    made.watch()
    states = []
    for number in (2, 3):
        more = "".join(f"allow r{n}: use on thing when true\n" for n in range(1, number))
        (tmp_path / "a.policy").write_text(POLICY + more)
        states.append(source.read())
    (changed,) = source.changed
    threads = [threading.Thread(target=changed, args=(state,)) for state in states]
    threads[0].start()
    assert compiling.wait(PATIENCE)
    threads[1].start()
    threads[1].join(0.1)  # it cannot get on, so the time is always spent
    assert order == [1]
    go_on.set()
    for thread in threads:
        thread.join(PATIENCE)
    assert order == [1, 2, 3]
    assert made.figures.rules == 3


@pytest.mark.parametrize("name", ["deny.POLICY", "stress_test.policy"])
def test_a_misnamed_file_is_warned_of_and_the_others_serve(
    tmp_path: Path, engine: Engine, caplog: pytest.LogCaptureFixture, name: str
) -> None:
    (tmp_path / "a.policy").write_text(POLICY)
    loading = service(tmp_path, engine)
    loading.load()
    (tmp_path / name).write_text("api a\n\ndeny closed: any on thing\n")
    loading.look()
    (warning,) = [one for one in caplog.records if one.levelno == logging.WARNING]
    assert name in str(vars(warning)["findings"])
    assert loading.figures.current


def test_a_bad_entry_keeps_the_old_policies_until_it_is_gone(
    tmp_path: Path, engine: Engine, caplog: pytest.LogCaptureFixture
) -> None:
    (tmp_path / "a.policy").write_text(POLICY)
    loading = service(tmp_path, engine)
    loading.load()
    before = revision(engine)
    (tmp_path / "deny.policy").symlink_to("../shared/deny.policy")
    for _ in range(3):
        loading.look()
    (error,) = [one for one in caplog.records if one.levelno == logging.ERROR]
    assert "`../shared/deny.policy` leads nowhere" in str(vars(error)["findings"])
    assert (revision(engine), loading.figures.current) == (before, False)
    (tmp_path / "deny.policy").unlink()
    loading.look()
    assert (revision(engine), loading.figures.current) == (before, True)


PROMISED = f"""{POLICY}
scope go "Go"

prove nobody: never allow use on thing
    when scope go
    unless scope go
"""
BROKEN_PROMISE = PROMISED.replace("    unless scope go\n", "")


def test_a_broken_promise_keeps_the_old_policies(
    tmp_path: Path, engine: Engine, caplog: pytest.LogCaptureFixture
) -> None:
    (tmp_path / "a.policy").write_text(PROMISED)
    loading = service(tmp_path, engine)
    try:
        loading.load()
        kept = revision(engine)
        (tmp_path / "a.policy").write_text(BROKEN_PROMISE)
        loading.look()
        assert revision(engine) == kept
        assert loading.figures.failed == 1
        assert loading.figures.problem is not None
        assert "the promise `nobody` is broken" in loading.figures.problem
        (line,) = [one for one in caplog.records if "old ones keep serving" in one.message]
        assert "token { scope: [go] }" in vars(line)["findings"]
        (tmp_path / "a.policy").write_text(PROMISED + "// mended\n")
        loading.look()
        assert loading.figures.current
        assert revision(engine) != kept
    finally:
        loading.stop()


def test_without_require_proofs_a_broken_promise_is_a_warning(
    tmp_path: Path, engine: Engine, caplog: pytest.LogCaptureFixture
) -> None:
    (tmp_path / "a.policy").write_text(BROKEN_PROMISE)
    loading = PolicyService(
        directory(tmp_path),
        engine,
        [Recorder(Mask())],
        Mask(),
        (),
        requirements=Requirements(proofs=False),
    )
    try:
        loading.load()
    finally:
        loading.stop()
    assert engine.snapshot is not None
    assert [one.message for one in caplog.records] == ["the policies have warnings"]


def test_policies_do_not_serve_where_the_process_that_proves_ends(
    tmp_path: Path, engine: Engine, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(sys, "executable", "/bin/false")
    (tmp_path / "a.policy").write_text(PROMISED)
    loading = service(tmp_path, engine)
    with pytest.raises(PoliciesRejected, match="promises cannot be proven here"):
        loading.load()
    loading.stop()
