"""Bundles: what is built is what is read, always by the same bytes; what is changed is refused."""

from __future__ import annotations

from contextlib import suppress
from datetime import UTC, datetime

from hypothesis import given
from hypothesis import strategies as st

from policyd.sources.policies.bundle.archive import read_bundle
from policyd.sources.policies.bundle.manifest import BundleMalformed
from policyd.sources.policies.model import Limits
from policyd.tooling.bundles import Named, build
from tests.support.hostile_archives import GOOD, good

LIMITS = Limits(100, 1024 * 1024)
STEPS = st.text("abcxyz\u00e9\u4e2d-_", min_size=1, max_size=8)
NAMES = st.lists(STEPS, min_size=1, max_size=4).map(lambda steps: "/".join(steps) + ".policy")
FILES = st.dictionaries(NAMES, st.binary(max_size=2000), min_size=1, max_size=8).filter(
    lambda files: any(not name.endswith("_test.policy") for name in files)
)
MOMENTS = st.datetimes(datetime(1980, 1, 1), datetime(2200, 1, 1), timezones=st.just(UTC))  # noqa: DTZ001


@given(files=FILES, sequence=st.integers(1, 2**53 - 1), created=MOMENTS)
def test_what_is_built_is_what_is_read(
    files: dict[str, bytes], sequence: int, created: datetime
) -> None:
    named = Named("orders", sequence, created, "0" * 40)
    manifest, data = build(named, files)
    bundle = read_bundle(data, LIMITS)
    assert bundle.manifest == manifest
    assert {one.name: one.data for one in bundle.contents} == files
    assert build(named, dict(reversed(files.items())))[1] == data


@given(at=st.integers(0, len(good()) - 1), bit=st.integers(0, 7))
def test_a_bit_that_is_flipped_changes_no_file(at: int, bit: int) -> None:
    data = bytearray(good())
    data[at] ^= 1 << bit
    try:
        bundle = read_bundle(bytes(data), LIMITS)
    except BundleMalformed:
        return
    # The time and the system in gzip's header, and the bits that fill up a byte, are in no file.
    assert {one.name: one.data for one in bundle.contents} == GOOD


@given(data=st.binary(max_size=3000))
def test_any_bytes_are_read_or_refused(data: bytes) -> None:
    for each in (data, b"\x1f\x8b\x08" + data):
        with suppress(BundleMalformed):
            assert read_bundle(each, LIMITS).contents
