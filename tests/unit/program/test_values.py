"""JSON values as declared types, by the compiled program's readers and by the interpreter's."""

from __future__ import annotations

from ipaddress import ip_address, ip_network

import pytest

from policyd.json_types import Json
from policyd.language.policy import Present
from policyd.language.types import Type
from policyd.program.interpreter import World, interpret
from policyd.program.values import (
    ILL_TYPED,
    all_blocks_hit,
    any_in_blocks,
    block,
    in_blocks,
    merged,
    of_literal,
    reader,
)
from tests.support.program import ATTRIBUTES, SPAN, api_of, payload, rule, token

LARGEST = 2**53 - 1
TEN_1 = b"\x0a\x00\x00\x01"

KNOWN: list[tuple[Type, Json, object]] = [
    (Type.STRING, "", ""),
    (Type.STRING, "é", "é"),
    (Type.STRING, "\U0001f600", "\U0001f600"),
    (Type.BOOL, False, False),
    (Type.INT, 0, 0),
    (Type.INT, 1.0, 1),
    (Type.INT, -0.0, 0),
    (Type.INT, LARGEST, LARGEST),
    (Type.INT, -LARGEST, -LARGEST),
    (Type.INT, float(LARGEST), LARGEST),
    (Type.TIME, 0, 0),
    (Type.TIME, 1.9, 1),
    (Type.TIME, -0.5, -1),
    (Type.TIME, 253_402_300_799.5, 253_402_300_799),
    (Type.TIME, -62_135_596_800, -62_135_596_800),
    (Type.TIME, "1970-01-01T00:00:00Z", 0),
    (Type.TIME, "1970-01-01T00:00:00.999Z", 0),
    (Type.TIME, "1969-12-31T23:59:59.5Z", -1),
    (Type.TIME, "1970-01-01T01:00:00+01:00", 0),
    (Type.TIME, "1969-12-31T14:30:00-09:30", 0),
    (Type.TIME, "1970-01-01T00:00:00-00:00", 0),
    (Type.TIME, "2024-02-29T00:00:00Z", 1_709_164_800),
    (Type.TIME, "0001-01-01T00:00:00Z", -62_135_596_800),
    (Type.TIME, "9999-12-31T23:59:59.999999999Z", 253_402_300_799),
    (Type.IP, "10.0.0.1", (4, TEN_1)),
    (Type.IP, "0.0.0.0", (4, bytes(4))),
    (Type.IP, "::1", (6, bytes(15) + b"\x01")),
    (Type.IP, "2001:DB8::1", (6, b"\x20\x01\x0d\xb8" + bytes(11) + b"\x01")),
    (Type.IP, "::ffff:10.0.0.1", (4, TEN_1)),
    (Type.IP, "::ffff:a00:1", (4, TEN_1)),
    (Type.IP, "::10.0.0.1", (6, bytes(12) + TEN_1)),
    (Type.SET_OF_STRING, [], frozenset()),
    (Type.SET_OF_STRING, ["a", "b", "a"], frozenset({"a", "b"})),
    (Type.SET_OF_INT, [1, 1.0, 2], frozenset({1, 2})),
    (Type.SET_OF_IP, ["::ffff:10.0.0.1", "10.0.0.1"], frozenset({(4, TEN_1)})),
]

ILL: list[tuple[Type, Json]] = [
    (Type.STRING, 1),
    (Type.STRING, True),
    (Type.STRING, ["a"]),
    (Type.STRING, {}),
    (Type.STRING, "a\ud800"),
    (Type.STRING, "\udfff"),
    (Type.STRING, "\udc00\ud800"),
    (Type.BOOL, 0),
    (Type.BOOL, 1.0),
    (Type.BOOL, "true"),
    (Type.INT, True),
    (Type.INT, "1"),
    (Type.INT, 0.5),
    (Type.INT, LARGEST + 1),
    (Type.INT, -LARGEST - 1),
    (Type.INT, float(LARGEST + 1)),
    (Type.INT, 1e300),
    (Type.INT, float("inf")),
    (Type.INT, float("nan")),
    (Type.INT, []),
    (Type.TIME, True),
    (Type.TIME, float("nan")),
    (Type.TIME, float("inf")),
    (Type.TIME, 253_402_300_800),
    (Type.TIME, -62_135_596_801),
    (Type.TIME, -62_135_596_800.5),
    (Type.TIME, 10**400),
    (Type.TIME, ""),
    (Type.TIME, "1970-01-01"),
    (Type.TIME, "1970-01-01T00:00:00"),
    (Type.TIME, "1970-01-01 00:00:00Z"),
    (Type.TIME, "1970-01-01t00:00:00Z"),
    (Type.TIME, "1970-01-01T00:00:00z"),
    (Type.TIME, "1970-01-01T00:00Z"),
    (Type.TIME, "1970-01-01T00:00:00.Z"),
    (Type.TIME, "1970-01-01T00:00:00,5Z"),
    (Type.TIME, "1970-01-01T00:00:00+0100"),
    (Type.TIME, "1970-01-01T00:00:00+01"),
    (Type.TIME, "1970-01-01T00:00:00+01:60"),
    (Type.TIME, "1970-01-01T00:00:00+24:00"),
    (Type.TIME, "1970-01-01T24:00:00Z"),
    (Type.TIME, "1970-01-01T00:60:00Z"),
    (Type.TIME, "2016-12-31T23:59:60Z"),
    (Type.TIME, "1970-13-01T00:00:00Z"),
    (Type.TIME, "2023-02-29T00:00:00Z"),
    (Type.TIME, "0000-01-01T00:00:00Z"),
    (Type.TIME, "0001-01-01T00:00:00+01:00"),
    (Type.TIME, "9999-12-31T23:59:59-00:01"),
    (Type.TIME, "+970-01-01T00:00:00Z"),
    (Type.TIME, "1970-01-01T00:00:00Z\n"),
    (Type.TIME, "١٩٧٠-01-01T00:00:00Z"),
    (Type.TIME, "1970-01-01T00:00:00.٥Z"),
    (Type.IP, ""),
    (Type.IP, "10.0.0"),
    (Type.IP, "10.0.0.256"),
    (Type.IP, "10.0.0.01"),
    (Type.IP, "010.0.0.1"),
    (Type.IP, "10.0.0.1:80"),
    (Type.IP, "10.0.0.1/32"),
    (Type.IP, " 10.0.0.1"),
    (Type.IP, "10.0.0.1\0"),
    (Type.IP, "١٠.0.0.1"),
    (Type.IP, "\ud800"),
    (Type.IP, "0x0a.0.0.1"),
    (Type.IP, "fe80::1%eth0"),
    (Type.IP, "fe80::1%1"),
    (Type.IP, "[::1]"),
    (Type.IP, "::1::"),
    (Type.IP, ":::"),
    (Type.IP, "12345::1"),
    (Type.IP, "::ffff:10.0.0.01"),
    (Type.IP, 167_772_161),
    (Type.SET_OF_STRING, "a"),
    (Type.SET_OF_STRING, {}),
    (Type.SET_OF_STRING, ["a", 1]),
    (Type.SET_OF_STRING, ["a", None]),
    (Type.SET_OF_STRING, [["a"]]),
    (Type.SET_OF_INT, [1, True]),
    (Type.SET_OF_INT, 1),
    (Type.SET_OF_IP, ["10.0.0.1", "10.0.0.0/8"]),
    (Type.SET_OF_IP, "10.0.0.1"),
    (Type.SET_OF_IP, {"10.0.0.1": True}),
]


def state(type_: Type, raw: Json) -> str:
    """Tell how the interpreter takes a value."""
    fact = ATTRIBUTES[type_]
    present = rule("r", "allow", Present(SPAN, fact))
    world = World(token(), "", payload({fact.name: raw}), {}, 0)
    return interpret(api_of([present]), [present], world).rules[0].trace.seen[0].state


@pytest.mark.parametrize(("type_", "raw", "value"), KNOWN)
def test_a_value_of_the_type(type_: Type, raw: Json, value: object) -> None:
    read = reader(type_)(raw)
    assert read == value
    assert type(read) is type(value)
    assert state(type_, raw) == "known"


@pytest.mark.parametrize(("type_", "raw"), ILL)
def test_a_value_of_another_type(type_: Type, raw: Json) -> None:
    assert reader(type_)(raw) is ILL_TYPED
    assert state(type_, raw) == "ill-typed"


def test_absent_and_null_are_missing() -> None:
    assert state(Type.STRING, None) == "missing"


def address(text: str) -> tuple[int, bytes]:
    value = of_literal(ip_address(text))
    assert isinstance(value, tuple)
    return value


def test_literals() -> None:
    assert of_literal("a") == "a"
    assert of_literal(True) is True
    assert of_literal(ip_address("10.0.0.1")) == (4, TEN_1)
    assert of_literal(ip_address("::1")) == (6, bytes(15) + b"\x01")
    assert of_literal(ip_address("::ffff:10.0.0.1")) == (4, TEN_1)
    with pytest.raises(TypeError, match="block"):
        of_literal(ip_network("10.0.0.0/8"))
    with pytest.raises(TypeError, match="addresses"):
        block("a")


def test_blocks() -> None:
    assert block(ip_network("10.0.0.0/8")) == (address("10.0.0.0"), address("10.255.255.255"))
    assert block(ip_network("::/127")) == (address("::"), address("::1"))
    assert block(ip_address("10.0.0.1")) == (address("10.0.0.1"), address("10.0.0.1"))


def test_an_ipv4_mapped_block_is_its_ipv4_block() -> None:
    assert block(ip_network("::ffff:10.0.0.0/104")) == block(ip_network("10.0.0.0/8"))
    assert block(ip_network("::ffff:0:0/96")) == block(ip_network("0.0.0.0/0"))
    # A larger one is no block of IPv4 addresses: what is in it and mapped has the other family.
    assert block(ip_network("::fffe:0:0/95")) == (
        (6, bytes(10) + b"\xff\xfe" + bytes(4)),
        (6, bytes(10) + b"\xff" * 6),
    )


def test_merged_blocks() -> None:
    wide, inner, next_to, apart = (
        block(ip_network(text)) for text in ("10.0.0.0/8", "10.1.0.0/16", "11.0.0.0/8", "::/64")
    )
    assert merged((apart, inner, wide)) == (wide, apart)
    assert merged((wide, next_to)) == (wide, next_to)
    assert merged((inner, (wide[0], inner[0]))) == ((wide[0], inner[1]),)
    assert merged(()) == ()


def test_membership_in_blocks() -> None:
    blocks = merged((block(ip_network("10.0.0.0/8")), block(ip_network("2001:db8::/32"))))
    for text in ("10.0.0.0", "10.255.255.255", "2001:db8::", "2001:db8:ffff::1"):
        assert in_blocks(address(text), blocks)
    for text in ("9.255.255.255", "11.0.0.0", "::a00:1", "2001:db7::", "ffff::"):
        assert not in_blocks(address(text), blocks)
    assert not in_blocks(address("10.0.0.0"), ())


def test_sets_of_addresses_and_blocks() -> None:
    blocks = (block(ip_network("10.0.0.0/8")), block(ip_network("::/64")))
    inside = frozenset({address("10.0.0.1"), address("192.0.2.1")})
    outside = frozenset({address("192.0.2.1")})
    assert any_in_blocks(inside, blocks)
    assert not any_in_blocks(outside, blocks)
    assert not any_in_blocks(frozenset(), blocks)
    assert not all_blocks_hit(inside, blocks)
    assert all_blocks_hit(inside | {address("::1")}, blocks)
    assert not all_blocks_hit(frozenset({address("11.0.0.0")}), blocks)
    assert all_blocks_hit(frozenset(), ())
