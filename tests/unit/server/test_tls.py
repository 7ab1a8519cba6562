"""The daemon's own certificate: what can be served, and what goes on when files change."""

from __future__ import annotations

import logging
import os
from pathlib import Path
from threading import Event

import pytest
from cryptography.hazmat.primitives.serialization import (
    BestAvailableEncryption,
    Encoding,
    PrivateFormat,
    load_pem_private_key,
)

from policyd.config.tls_files import TlsFiles, TlsUnusable, read_tls
from policyd.server import tls
from policyd.server.tls import TlsIdentity
from tests.support.certificates import BEGIN, DAY, Pair, self_signed
from tests.support.tokens import Clock

ONE, TWO = self_signed(), self_signed()


@pytest.fixture
def files(tmp_path: Path) -> TlsFiles:
    made = TlsFiles(tmp_path / "cert.pem", tmp_path / "key.pem", tmp_path / "ca.pem")
    put(made, ONE)
    (tmp_path / "ca.pem").write_bytes(ONE.certificate)
    return made


def put(files: TlsFiles, pair: Pair) -> None:
    files.certificate.write_bytes(pair.certificate)
    files.private_key.write_bytes(pair.key)


def locked(pair: Pair) -> bytes:
    key = load_pem_private_key(pair.key, None)
    return key.private_bytes(Encoding.PEM, PrivateFormat.PKCS8, BestAvailableEncryption(b"word"))


@pytest.mark.parametrize(
    ("name", "content", "setting", "problem"),
    [
        ("cert.pem", b"garbage", "certificate", "holds no certificate in PEM"),
        ("cert.pem", b"", "certificate", "holds no certificate in PEM"),
        ("cert.pem", ONE.certificate[:300], "certificate", "holds no certificate in PEM"),
        ("cert.pem", ONE.key, "certificate", "holds no certificate in PEM"),
        ("cert.pem", TWO.certificate, "certificate", "is not the certificate of the key in"),
        ("cert.pem", TWO.certificate + ONE.certificate, "certificate", "must come first"),
        ("cert.pem", b"\n" * (1024 * 1024 + 1), "certificate", "more than 1,048,576 bytes"),
        ("key.pem", b"garbage", "private_key", "holds no private key in PEM"),
        ("key.pem", ONE.certificate, "private_key", "holds no private key in PEM"),
        ("key.pem", TWO.key, "certificate", "is not the certificate of the key in"),
        ("key.pem", locked(ONE), "private_key", "is encrypted"),
        ("ca.pem", b"garbage", "client_authorities", "holds no certificate in PEM"),
    ],
)
def test_what_does_not_fit_is_named(
    files: TlsFiles, name: str, content: bytes, setting: str, problem: str
) -> None:
    (files.certificate.parent / name).write_bytes(content)

    with pytest.raises(TlsUnusable, match=problem) as caught:
        read_tls(files)

    assert caught.value.setting == setting
    assert name in str(caught.value)


@pytest.mark.parametrize("setting", ["certificate", "private_key", "client_authorities"])
def test_a_pipe_is_waited_for_by_nobody(files: TlsFiles, setting: str) -> None:
    path: Path = getattr(files, setting)
    path.unlink()
    os.mkfifo(path)
    with pytest.raises(TlsUnusable, match="a pipe") as caught:
        read_tls(files)
    assert caught.value.setting == setting


@pytest.mark.parametrize("setting", ["certificate", "private_key", "client_authorities"])
def test_a_file_that_is_missing_is_named(files: TlsFiles, setting: str) -> None:
    getattr(files, setting).unlink()

    with pytest.raises(TlsUnusable, match="No such file") as caught:
        read_tls(files)

    assert caught.value.setting == setting


def test_a_chain_begins_with_the_certificate(files: TlsFiles) -> None:
    chain = ONE.certificate + TWO.certificate
    files.certificate.write_bytes(chain)

    assert read_tls(files).identity.certificate == chain


def test_what_is_replaced_is_served(files: TlsFiles) -> None:
    identity = TlsIdentity(files, Clock(BEGIN + DAY))
    before = identity.identity()
    assert before.certificate == ONE.certificate

    identity.look()
    assert identity.identity() is before

    put(files, TWO)
    identity.look()
    assert identity.identity().certificate == TWO.certificate
    assert identity.identity().private_key == TWO.key
    assert list(identity.troubles()) == []


def test_what_counts_is_the_content_and_not_its_date(files: TlsFiles) -> None:
    identity = TlsIdentity(files, Clock(BEGIN + DAY))
    dates = {path: path.stat().st_mtime_ns for path in (files.certificate, files.private_key)}
    put(files, TWO)
    for path, date in dates.items():
        os.utime(path, ns=(date, date))

    identity.look()

    assert identity.identity().certificate == TWO.certificate


def test_authorities_are_served_anew(files: TlsFiles) -> None:
    identity = TlsIdentity(files, Clock(BEGIN + DAY))
    assert files.client_authorities is not None
    files.client_authorities.write_bytes(TWO.certificate)

    identity.look()

    assert identity.identity().client_authorities == TWO.certificate


def test_a_link_that_is_swapped_is_followed(tmp_path: Path) -> None:
    """As volumes of Kubernetes are: `tls.crt` -> `..data/tls.crt`, and `..data` -> a folder."""
    for name, pair in (("one", ONE), ("two", TWO)):
        (tmp_path / name).mkdir()
        (tmp_path / name / "tls.crt").write_bytes(pair.certificate)
        (tmp_path / name / "tls.key").write_bytes(pair.key)
    (tmp_path / "..data").symlink_to("one")
    for name in ("tls.crt", "tls.key"):
        (tmp_path / name).symlink_to(Path("..data", name))
    identity = TlsIdentity(TlsFiles(tmp_path / "tls.crt", tmp_path / "tls.key"), Clock(BEGIN + 1))

    (tmp_path / "..data_tmp").symlink_to("two")
    (tmp_path / "..data_tmp").rename(tmp_path / "..data")
    identity.look()

    assert identity.identity().certificate == TWO.certificate


def test_the_last_good_pair_goes_on(files: TlsFiles, caplog: pytest.LogCaptureFixture) -> None:
    identity = TlsIdentity(files, Clock(BEGIN + DAY))
    before = identity.identity()
    files.certificate.write_bytes(TWO.certificate)

    with caplog.at_level(logging.INFO):
        for _ in range(3):
            identity.look()

        assert identity.identity() is before
        (trouble,) = identity.troubles()
        assert "`server.tls.certificate`" in trouble
        assert identity.problem is not None

        files.private_key.write_bytes(TWO.key)
        identity.look()

    assert identity.identity().certificate == TWO.certificate
    assert list(identity.troubles()) == []
    assert [record.message for record in caplog.records] == [
        "the TLS files cannot be used; the last good ones go on",
        "the TLS files are in order again",
        "a new TLS certificate is in use",
    ]


@pytest.mark.parametrize(
    ("now", "remark"),
    [
        (BEGIN - 1, "is not valid yet: it begins at 2023-11-14T22:13:20Z"),
        (BEGIN, None),
        (BEGIN + 93 * DAY - 1, None),
        (BEGIN + 93 * DAY + 1, "expires soon: it ends at 2024-02-22T22:13:20Z"),
        (BEGIN + 100 * DAY, "has expired: it ended at 2024-02-22T22:13:20Z"),
    ],
)
def test_a_certificate_out_of_its_time_is_told(
    files: TlsFiles, caplog: pytest.LogCaptureFixture, now: float, remark: str | None
) -> None:
    identity = TlsIdentity(files, Clock(now))
    identity.look()

    said = [str(vars(record)["problem"]) for record in caplog.records]
    assert said == ([] if remark is None else [f"it {remark}"])
    troubles = list(identity.troubles())
    assert troubles == (
        [] if remark is None else [f"the TLS certificate (`server.tls.certificate`) {remark}"]
    )


def test_time_goes_by_while_it_is_served(files: TlsFiles, caplog: pytest.LogCaptureFixture) -> None:
    clock = Clock(BEGIN + DAY)
    identity = TlsIdentity(files, clock)
    assert not caplog.records
    clock.now = BEGIN + 101 * DAY

    identity.look()

    assert "has expired" in str(vars(caplog.records[-1])["problem"])


def test_of_a_short_life_a_tenth_is_soon(files: TlsFiles) -> None:
    put(files, self_signed(days=1))
    served = read_tls(files)

    assert served.remark(BEGIN + 0.89 * DAY) is None
    assert "expires soon" in str(served.remark(BEGIN + 0.91 * DAY))


def test_the_thread_looks(files: TlsFiles, monkeypatch: pytest.MonkeyPatch) -> None:

    monkeypatch.setattr(tls, "LOOK_EVERY", 0.001)
    identity = TlsIdentity(files, Clock(BEGIN + DAY))
    looks, enough = [0], Event()

    def look() -> None:
        looks[0] += 1
        if looks[0] == 3:
            enough.set()
        raise OSError("a defect must not end it")

    monkeypatch.setattr(identity, "look", look)
    identity.start()
    assert enough.wait(30)
    identity.stop()
