"""A bundle as a source: fetched by a process, verified and judged here."""

from __future__ import annotations

import threading
from collections.abc import Iterator
from datetime import UTC, datetime, timedelta
from pathlib import Path

import msgspec
import pytest

from policyd.sources.policies import PoliciesUnreadable, PolicyFiles, Step, Steps
from policyd.sources.policies.bundle.settings import BundleSettings
from policyd.sources.policies.bundle.source import BundleSource
from policyd.sources.policies.signatures.trust import Trust
from policyd.sources.policies.state import StateFolder
from tests.support.bundles import (
    COMMIT,
    FILES,
    PRINCIPAL,
    BundleServer,
    allowed,
    bundle_server,
    made,
    nginx_server,
    signed,
)
from tests.support.daemon import PATIENCE
from tests.support.git import SshKey, ssh_key
from tests.support.hostile_archives import ATTACKS

PLACE = "/orders.tar.gz"
NOW = datetime(2026, 12, 2, tzinfo=UTC)


@pytest.fixture
def server(tmp_path: Path) -> Iterator[BundleServer]:
    with bundle_server(tmp_path / "server") as started:
        yield started


@pytest.fixture
def key(tmp_path: Path) -> SshKey:
    return ssh_key(tmp_path, "ci")


class Rig:
    """A source, and what it told."""

    def __init__(self, folder: Path, server: BundleServer, **changes: object) -> None:
        settings = BundleSettings("orders", server.url(PLACE), ca_file=server.ca_file)
        self.folder = folder
        self.server = server
        self.state = StateFolder(folder / "state")
        self.steps = Steps()
        self.now = NOW
        self.source = BundleSource(
            msgspec.structs.replace(settings, **changes),
            self.state,
            steps=self.steps,
            now=lambda: self.now.timestamp(),
        )
        self.told: list[PolicyFiles | PoliciesUnreadable] = []

    def look(self) -> PolicyFiles | PoliciesUnreadable | None:
        """Look once; return what is told of, if anything is."""
        before = len(self.told)
        self.source.look(self.told.append)
        return self.told[-1] if len(self.told) > before else None

    def serve(self) -> PolicyFiles:
        """Let what is there serve."""
        return self.use(self.source.read())

    def use(self, files: PolicyFiles) -> PolicyFiles:
        """Let a set serve."""
        self.state.remember(files, "revision")
        self.source.serves(files.provenance)
        return files

    def refusal(self) -> str:
        """Look, and return the refusal that is told of; a second look tells nothing."""
        told = self.look()
        assert isinstance(told, PoliciesUnreadable), told
        assert self.look() is None
        assert self.source.figures.problem is None
        return f"{told.step}: {told}"


def test_reads_the_files_of_a_bundle(tmp_path: Path, server: BundleServer) -> None:
    server.publish(PLACE, made(42))
    files = Rig(tmp_path, server).source.read()
    assert [source.name for source in files.sources] == ["a.policy"]
    where = files.provenance
    assert (where.kind, where.place, where.commit) == ("bundle", server.url(PLACE), COMMIT)
    assert (where.label, where.signer, where.within) == ("orders@42", "", "orders@42")
    assert [path for path, _, _ in server.asked] == [PLACE]


def test_what_is_unchanged_costs_one_request_without_a_body(
    tmp_path: Path, server: BundleServer
) -> None:
    server.publish(PLACE, made(1))
    rig = Rig(tmp_path, server)
    rig.serve()
    etag = server.etag(PLACE)
    assert [rig.look() for _ in range(3)] == [None] * 3
    assert server.asked[1:] == [(PLACE, etag, 304)] * 3
    assert rig.steps.figures[Step.FETCH].runs == 1
    server.publish(PLACE, made(2))
    told = rig.look()
    assert isinstance(told, PolicyFiles)
    assert told.provenance.label == "orders@2"


def test_a_server_without_etags_is_asked_for_all(tmp_path: Path, server: BundleServer) -> None:
    server.has_etags = False
    server.publish(PLACE, made(1))
    rig = Rig(tmp_path, server)
    rig.serve()
    assert rig.look() is None
    assert server.asked == [(PLACE, "", 200)] * 2
    assert rig.steps.figures[Step.FETCH].runs == 1


def test_a_file(tmp_path: Path, server: BundleServer, key: SshKey) -> None:
    place = tmp_path / "orders.tar.gz"
    signers = allowed(tmp_path / "signers", f"{PRINCIPAL} {key.public}")
    rig = Rig(tmp_path, server, url="", path=place, trust=Trust(signers))
    with pytest.raises(PoliciesUnreadable, match="No such file"):
        rig.source.read()
    place.write_bytes(made(1))
    assert "orders@1 of " in rig.refusal()
    place.with_name("orders.tar.gz.sig").write_bytes(signed(tmp_path, made(1), key))
    told = rig.look()
    assert isinstance(told, PolicyFiles)
    assert told.provenance.signer == PRINCIPAL
    assert rig.look() is None


@pytest.mark.slow
def test_signatures_of_ssh_keygen(tmp_path: Path, server: BundleServer, key: SshKey) -> None:
    foreign = ssh_key(tmp_path, "foreign")
    signers, revoked = tmp_path / "signers", allowed(tmp_path / "revoked")
    line = f'{PRINCIPAL} namespaces="policyd-bundle" {key.public}'
    allowed(signers, line)
    rig = Rig(tmp_path, server, trust=Trust(signers, revoked))
    data = made(1)

    def refused(said: str, signature: bytes | None, bundle: bytes = data) -> None:
        server.publish(PLACE, bundle, signature)
        found = rig.refusal()
        assert found.startswith(f"verify: bundle orders@1 of {server.url(PLACE)} is refused: ")
        assert said in found

    good = signed(tmp_path, data, key)
    refused("it is not signed", None)
    refused("its key is not among the allowed signers", signed(tmp_path, data, foreign))
    refused("for the namespace `git`, not `policyd-bundle`", signed(tmp_path, data, key, "git"))
    refused("its signature is wrong", good, made(1, {"a.policy": b"api b\n"}))
    refused("its signature cannot be read", b"-----BEGIN SSH SIGNATURE-----\nAAAA\n")
    server.publish(PLACE, data, good)
    for said, text in (
        (
            "its key is not valid any more (`valid-before`)",
            f'valid-before="20261201Z" {key.public}',
        ),
        ("its key is not valid yet (`valid-after`)", f'valid-after="20270101Z" {key.public}'),
        ("may not sign for the namespace", f'namespaces="git" {key.public}'),
        ("may certify others", f"cert-authority {key.public}"),
        ("line 1 of the allowed signers cannot be read", "nonsense"),
    ):
        allowed(signers, f"{PRINCIPAL} {text}")
        assert said in rig.refusal()
    allowed(signers, line)
    allowed(revoked, key.public)
    assert "its key is revoked" in rig.refusal()
    allowed(revoked)
    told = rig.look()
    assert isinstance(told, PolicyFiles)
    assert told.provenance.signer == PRINCIPAL
    rig.use(told)
    allowed(revoked, key.public)
    assert "its key is revoked" in rig.refusal()


def test_a_signature_that_comes_late_is_seen(
    tmp_path: Path, server: BundleServer, key: SshKey
) -> None:
    signers = allowed(tmp_path / "signers", f"{PRINCIPAL} {key.public}")
    rig = Rig(tmp_path, server, trust=Trust(signers))
    data = made(1)
    server.publish(PLACE, data)
    assert "it is not signed" in rig.refusal()
    server.publish(PLACE, data, signed(tmp_path, data, key))
    assert isinstance(rig.look(), PolicyFiles)
    assert rig.look() is None
    assert server.asked[-1] == (PLACE, server.etag(PLACE), 304)


def test_an_older_bundle_is_refused_unless_an_operator_wants_it(
    tmp_path: Path, server: BundleServer
) -> None:
    server.publish(PLACE, made(42))
    Rig(tmp_path, server).serve()
    rig = Rig(tmp_path, server)  # after a restart
    server.publish(PLACE, made(41))
    said = rig.refusal()
    assert "verify: bundle orders@41 of " in said
    assert f"lower than that of bundle orders@42 (commit {COMMIT}), which serves" in said
    assert "or run `policyd activate orders@41`" in said
    with pytest.raises(PoliciesUnreadable, match="no set that served is named `orders@40`"):
        rig.source.recall("orders@40")
    files = rig.source.recall("orders@41")
    assert files.provenance.named == rig.source.named == "orders@41"
    rig.use(files)
    assert rig.look() is None
    server.publish(PLACE, made(43))
    assert isinstance(rig.look(), PolicyFiles)


def test_other_files_of_the_same_sequence_are_refused(tmp_path: Path, server: BundleServer) -> None:
    server.publish(PLACE, made(42))
    rig = Rig(tmp_path, server)
    rig.serve()
    server.publish(PLACE, made(42, {"a.policy": b"api b\n"}))
    assert "it has the sequence of bundle orders@42" in rig.refusal()
    server.publish(PLACE, made(42, expires=NOW + timedelta(days=9)))
    assert isinstance(rig.look(), PolicyFiles)


def test_what_an_operator_passed_over_stays_so(tmp_path: Path, server: BundleServer) -> None:
    server.publish(PLACE, made(1))
    rig = Rig(tmp_path, server)
    first = rig.serve()
    server.publish(PLACE, made(2))
    assert isinstance(rig.look(), PolicyFiles)
    rig.state.remember(first, "revision", rig.source.named)
    again = Rig(tmp_path, server)
    assert again.source.read().provenance.label == "orders@1"
    assert again.look() is None
    server.publish(PLACE, made(3))
    assert isinstance(again.look(), PolicyFiles)


def test_expired_bundles(tmp_path: Path, server: BundleServer) -> None:
    server.publish(PLACE, made(1, expires=NOW - timedelta(seconds=1)))
    rig = Rig(tmp_path, server)
    said = rig.refusal()
    assert "it expired at 2026-12-01T23:59:59+00:00; build, sign and publish a newer one" in said
    server.publish(PLACE, made(2, expires=NOW + timedelta(hours=1)))
    told = rig.look()
    assert isinstance(told, PolicyFiles)
    rig.use(told)
    assert rig.look() is None
    rig.now += timedelta(hours=1)
    assert "bundle orders@2 of " in rig.refusal()


def test_bundles_for_others_and_of_other_languages(tmp_path: Path, server: BundleServer) -> None:
    server.publish(PLACE, made(1, name="billing"))
    rig = Rig(tmp_path, server)
    assert "it is for `billing`, and `name` is `orders` here" in rig.refusal()


@pytest.mark.parametrize(
    "what",
    [
        "name, in the manifest: up",
        "type b'2' to b'../../../etc/passwd'",
        "packed by xz",
        "other bytes",
        "a bomb of 1024 MiB in a file",
        "a bomb of 1024 MiB in the manifest",
    ],
)
def test_hostile_archives_are_refused_once(tmp_path: Path, server: BundleServer, what: str) -> None:
    server.publish(PLACE, ATTACKS[what]())
    rig = Rig(tmp_path, server)
    assert "read: the bundle of https://127.0.0.1:" in rig.refusal()
    assert server.asked[-1][2] == 304


def test_too_long_a_bundle_is_not_fetched(tmp_path: Path, server: BundleServer) -> None:
    server.publish(PLACE, bytes(2000))
    rig = Rig(tmp_path, server, max_bytes=1999)
    assert rig.look() is None
    assert "answered with more than 1999 bytes" in str(rig.source.figures.problem)


@pytest.mark.parametrize(
    ("instead", "said"),
    [
        (404, "answered with status 404, expected 200; is it published there?"),
        (403, "answered with status 403, expected 200; see `token_file`"),
        (302, "answered with status 302, and redirects are not followed"),
        (304, "answered with status 304"),
        (500, "answered with status 500"),
    ],
)
def test_what_a_server_says_instead(
    tmp_path: Path, server: BundleServer, instead: int, said: str
) -> None:
    server.publish(PLACE, made(1))
    server.instead[PLACE] = instead
    rig = Rig(tmp_path, server)
    with pytest.raises(PoliciesUnreadable) as raised:
        rig.source.read()
    assert raised.value.step is Step.FETCH
    assert str(raised.value).startswith(f"{server.url(PLACE)}: ")
    assert said in str(raised.value)


def test_credentials_are_read_anew(tmp_path: Path, server: BundleServer) -> None:
    server.publish(PLACE, made(1))
    server.authorization = "Bearer first"
    token, password = tmp_path / "token", tmp_path / "password"
    token.write_text("other\n")
    rig = Rig(tmp_path, server, token_file=token)
    assert rig.look() is None
    assert "answered with status 401, expected 200; see `token_file`" in str(
        rig.source.figures.problem
    )
    token.write_text("first\n")
    rig.serve()
    server.authorization = "Basic cG9saWN5ZDpzZWNyZXQ="
    password.write_text("secret\n")
    basic = Rig(tmp_path, server, username="policyd", password_file=password)
    assert basic.source.read().provenance.label == "orders@1"
    missing = Rig(tmp_path, server, token_file=tmp_path / "none")
    with pytest.raises(PoliciesUnreadable, match=r"`token_file`: .*none: No such file"):
        missing.source.read()


def test_nginx(tmp_path: Path, key: SshKey) -> None:
    signers = allowed(tmp_path / "signers", f"{PRINCIPAL} {key.public}")
    with nginx_server(tmp_path / "nginx") as store:
        place = tmp_path / "nginx" / "root" / "orders.tar.gz"
        settings = BundleSettings(
            "orders",
            f"{store.url}/orders.tar.gz",
            ca_file=store.ca_file,
            username=store.username,
            password_file=store.password_file,
            trust=Trust(signers),
        )
        steps, told = Steps(), list[PolicyFiles | PoliciesUnreadable]()
        source = BundleSource(settings, StateFolder(tmp_path / "state"), steps=steps)
        for sequence in (1, 2):
            place.with_name("orders.tar.gz.sig").write_bytes(signed(tmp_path, made(sequence), key))
            place.write_bytes(made(sequence, {**FILES, f"b{sequence}.policy": b"api b\n"}))
            source.look(told.append)
            assert "its signature is wrong" in str(told[-1])
            place.write_bytes(made(sequence))
            source.look(told.append)
            source.look(told.append)
            news = told[-1]
            assert isinstance(news, PolicyFiles), news
            assert (news.provenance.sequence, news.provenance.signer) == (sequence, PRINCIPAL)
        assert len(told) == 4
        assert steps.figures[Step.FETCH].runs == 4


def test_a_server_that_nobody_vouches_for(tmp_path: Path, server: BundleServer) -> None:
    with pytest.raises(PoliciesUnreadable, match="the server's certificate does not hold"):
        Rig(tmp_path, server, ca_file=None).source.read()


def test_a_server_that_is_away_is_a_problem_and_no_change(tmp_path: Path) -> None:
    with bundle_server(tmp_path / "server") as server:
        server.publish(PLACE, made(1))
        rig = Rig(tmp_path, server)
        rig.serve()
        heard = rig.source.figures.succeeded_at
    rig.now += timedelta(seconds=1)
    assert [rig.look(), rig.look()] == [None, None]
    figures = rig.source.figures
    assert "Connection refused" in str(figures.problem)
    assert (figures.failed, figures.succeeded_at) == (2, heard)


def test_a_long_poll_brings_a_bundle_as_it_comes(tmp_path: Path, server: BundleServer) -> None:
    server.waits = True
    server.publish(PLACE, made(1))
    rig = Rig(tmp_path, server, interval=1.0, long_poll=PATIENCE)
    rig.serve()
    came = threading.Event()

    def changed(state: PolicyFiles | PoliciesUnreadable) -> None:
        rig.told.append(state)
        came.set()

    rig.source.watch(changed)
    try:
        assert server.waiting.wait(PATIENCE)
        rig.source.look(rig.told.append)  # an operator does not wait for it
        assert rig.told == []
        assert rig.source.figures.failed == 0
        assert server.waiting.wait(PATIENCE)
        server.publish(PLACE, made(2))
        assert came.wait(PATIENCE)
    finally:
        rig.source.stop()
    (told,) = rig.told
    assert isinstance(told, PolicyFiles)
    assert told.provenance.label == "orders@2"
    assert set(server.preferred) == {f"wait={PATIENCE:g}"}


def test_nothing_is_left_behind(tmp_path: Path, server: BundleServer) -> None:
    server.publish(PLACE, made(1))
    rig = Rig(tmp_path, server)
    rig.serve()
    server.publish(PLACE, ATTACKS["name, in the manifest: up"]())
    rig.refusal()
    left = sorted(path.name for path in (tmp_path / "state").iterdir())
    assert left == ["active.json", "sets"]
    assert FILES["a.policy"] in {
        one.text.encode()
        for one in rig.state.last().policy_files().sources  # type: ignore[union-attr]
    }
