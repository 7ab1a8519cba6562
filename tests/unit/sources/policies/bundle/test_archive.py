"""The bytes of a bundle: what is read, and 200 attacks that are not."""

from __future__ import annotations

import os
import tarfile
import tracemalloc
from datetime import UTC, datetime, timedelta, timezone
from pathlib import Path

import msgspec
import pytest

from policyd.language.limits import FILE_BYTES
from policyd.sources.policies.bundle.archive import read_bundle, write_bundle
from policyd.sources.policies.bundle.fetching import fetch
from policyd.sources.policies.bundle.helper import Request
from policyd.sources.policies.bundle.manifest import (
    BundleMalformed,
    Manifest,
    check_names,
    read_manifest,
)
from policyd.sources.policies.model import Limits
from tests.support.hostile_archives import (
    ATTACKS,
    GOOD,
    MEBIBYTE,
    good,
    made_by_tarfile,
    manifest,
    member,
    packed,
)

BOUNDS = Limits(files=1000, bytes=MEBIBYTE)


def test_what_is_well_formed_is_read() -> None:
    bundle = read_bundle(good(), BOUNDS)
    assert bundle.manifest.label == "orders@42"
    assert {one.name: one.data for one in bundle.contents} == GOOD


@pytest.mark.parametrize("kind", [tarfile.USTAR_FORMAT, tarfile.GNU_FORMAT, tarfile.PAX_FORMAT])
def test_plain_files_of_other_programs_are_read(kind: int) -> None:
    assert len(read_bundle(made_by_tarfile(kind), BOUNDS).contents) == 2


def test_there_are_two_hundred_attacks() -> None:
    assert len(ATTACKS) >= 200


@pytest.mark.parametrize("what", ATTACKS)
def test_an_attack_is_refused_in_little_memory(what: str) -> None:
    data = ATTACKS[what]()
    tracemalloc.start()
    try:
        with pytest.raises(BundleMalformed) as raised:
            read_bundle(data, BOUNDS)
        _, peak = tracemalloc.get_traced_memory()
    finally:
        tracemalloc.stop()
    assert peak < 16 * MEBIBYTE
    assert str(raised.value).isprintable()


def test_attacks_leave_nothing_but_what_was_fetched(tmp_path: Path) -> None:
    folder, place = tmp_path / "state" / "folder", tmp_path / "b.tar.gz"
    folder.mkdir(parents=True)
    request = Request(
        folder=str(folder),
        path=str(place),
        max_bytes=64 * MEBIBYTE,
        max_files=1000,
        largest_file=64 * MEBIBYTE,
    )
    for what, attack in ATTACKS.items():
        if "bomb" not in what or "10 MiB" in what:
            place.write_bytes(attack())
            answer = fetch(request)
            assert (bool(answer.problem), answer.label) == (True, ""), what
    found = sorted(path for _, _, names in os.walk(tmp_path) for path in names)
    assert found == ["b.tar.gz", "bundle"]


def test_a_manifest_is_written_in_one_way() -> None:
    moment = datetime(2027, 1, 1, tzinfo=timezone(timedelta(hours=2)))
    made = Manifest(1, "orders", 42, moment, "1", {"b.policy": "b" * 64, "a.policy": "a" * 64})
    text = made.encoded().decode()
    assert '"created": "2026-12-31T22:00:00Z"' in text
    assert text.index("a.policy") < text.index("b.policy")
    assert "expires" not in text
    assert read_manifest(text.encode()) == made
    ending = msgspec.structs.replace(made, expires=moment)
    assert '"expires": "2026-12-31T22:00:00Z"' in ending.encoded().decode()
    assert read_manifest(ending.encoded()) == ending


def test_the_longest_and_the_deepest_names() -> None:
    check_names(["x" * 233 + ".policy", "d/" * 31 + "x.policy"])
    for name in ("x" * 234 + ".policy", "d/" * 32 + "x.policy"):
        with pytest.raises(BundleMalformed):
            check_names([name])
    for name in ("x" * 94 + ".policy", "d" * 156 + "/x.policy"):
        made = Manifest(1, "orders", 1, datetime(2027, 1, 1, tzinfo=UTC), "1", {name: "a" * 64})
        with pytest.raises(BundleMalformed, match="has too long a name"):
            write_bundle(made, {name: b""})


def test_limits_are_named() -> None:
    with pytest.raises(BundleMalformed, match=r"more than 1 policy files \(`max_files`\)"):
        read_bundle(good(), Limits(1, MEBIBYTE))
    with pytest.raises(BundleMalformed, match=r"more than 11 bytes \(`max_bytes`\)"):
        read_bundle(good(), Limits(2, 11))
    assert read_bundle(good(), Limits(2, 12)).contents
    long = {"a.policy": bytes(FILE_BYTES + 1)}
    data = packed(member(b"manifest.json", manifest(long)), member(b"a.policy", long["a.policy"]))
    with pytest.raises(BundleMalformed, match=f"`a.policy` holds more than {FILE_BYTES:,} bytes"):
        read_bundle(data, Limits(2, 64 * MEBIBYTE))


@pytest.mark.parametrize(
    ("what", "said"),
    [
        ("name, in the manifest: up", "`../x.policy` leads out of its folder"),
        ("name, in the manifest: absolute", "`/etc/x.policy` is an absolute path"),
        ("type b'2' to b'../../../etc/passwd'", "`x.policy` is a symbolic link, and no plain file"),
        ("PAX x: path", "`pax` is an extended header (PAX)"),
        ("packed by bzip2", "it is not packed by gzip; `policyd bundle build` makes bundles"),
        ("other bytes", "`b/c.policy` has other bytes than its manifest says"),
        ("alike: A.policy and a.policy", "`A.policy` and `a.policy` differ by case or spelling"),
        ("cut off after 20 parts of 25", "it is cut off"),
        ("a file twice", "`a.policy` is in it twice"),
        ("name, in the manifest: many levels", "has more than 32 levels of folders"),
        ("name: too long", "has too long a name"),
        ("manifest: a later format", "of format 2, and format 1 is read here"),
    ],
)
def test_the_reason_is_said(what: str, said: str) -> None:
    with pytest.raises(BundleMalformed) as raised:
        read_bundle(ATTACKS[what](), BOUNDS)
    assert said in str(raised.value)
