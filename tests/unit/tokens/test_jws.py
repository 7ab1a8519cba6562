"""Strict parsing: one spelling for each token, and only what is JSON by the book."""

from __future__ import annotations

import json
import time

import pytest

from policyd.tokens import jws
from policyd.tokens.refusals import TokenEncrypted, TokenMalformed
from tests.support.tokens import key


@pytest.mark.parametrize("data", [b"", b"a", b"ab", b"abc", b"abcd", b"\x00\xff\xfe" * 7])
def test_base64url_reads_back_what_it_wrote(data: bytes) -> None:
    assert jws.decode_segment(jws.encode_segment(data), "payload") == data


@pytest.mark.parametrize(
    "segment",
    [
        b"YQ==",
        b"YW=",
        b"YR",  # the same byte as YQ, with unused bits set
        b"YWJ",  # two bytes, with unused bits set
        b"YQ\n",
        b" YQ",
        b"Y Q",
        b"YWJj\r\n",
        b"-+__",
        b"-/__",
        b"A",
        b"AAAAA",
        b"YW\x00J",
        b"YW%3D",
    ],
)
def test_base64url_has_one_spelling(segment: bytes) -> None:
    with pytest.raises(TokenMalformed, match="the payload is not"):
        jws.decode_segment(segment, "payload")


def test_what_is_wrong_with_base64url_is_told() -> None:
    with pytest.raises(TokenMalformed, match=r"the header is not base64url .* holds '='"):
        jws.decode_segment(b"YWI=", "header")
    with pytest.raises(TokenMalformed, match="the header is not canonical base64url: it is cut"):
        jws.decode_segment(b"YWJjZ", "header")


def test_every_other_last_character_is_refused() -> None:
    alphabet = "ABCDEFGHIJKLMNOPQRSTUVWXYZabcdefghijklmnopqrstuvwxyz0123456789-_"
    accepted = []
    for last in alphabet:
        try:
            jws.decode_segment(f"A{last}".encode(), "payload")
        except TokenMalformed:
            continue
        accepted.append(last)

    assert "".join(accepted) == "AQgw"


@pytest.mark.parametrize("byte", range(128))
def test_every_byte_beyond_the_alphabet_is_refused_wherever_it_stands(byte: int) -> None:
    alphabet = b"ABCDEFGHIJKLMNOPQRSTUVWXYZabcdefghijklmnopqrstuvwxyz0123456789-_"
    for place in range(8):
        segment = bytearray(b"AAAAAAAA")
        segment[place] = byte
        if byte in alphabet:
            assert jws.encode_segment(jws.decode_segment(bytes(segment), "payload")) == segment
        else:
            with pytest.raises(TokenMalformed, match="the payload is not base64url"):
                jws.decode_segment(bytes(segment), "payload")


@pytest.mark.parametrize(("count", "words"), [(4, "has 4 segments"), (6, "more than five")])
def test_how_many_segments_there_are_is_told(count: int, words: str) -> None:
    with pytest.raises(TokenMalformed, match=words):
        jws.split(".".join(["a"] * count))


@pytest.mark.parametrize("count", [0, 2, 4, 6, 7, 100])
def test_three_segments_and_no_other_number(count: int) -> None:
    with pytest.raises(TokenMalformed):
        jws.split(".".join(["a"] * count) if count else "")


def test_five_segments_are_an_encrypted_token() -> None:
    with pytest.raises(TokenEncrypted, match="JWE"):
        jws.split("a.b.c.d.e")


def test_a_token_without_dots_is_opaque() -> None:
    with pytest.raises(TokenMalformed, match="introspection is not configured"):
        jws.split("xJ8s2kQ0pLw")


def test_only_ascii_can_be_a_token() -> None:
    with pytest.raises(TokenMalformed, match="ASCII"):
        jws.split("a.b.c\u00e9")


@pytest.mark.parametrize(
    ("text", "message"),
    [
        (b"", "not JSON"),
        (b"   ", "not JSON"),
        (b"{", "not JSON"),
        (b"nil", "not JSON"),
        (b"{} {}", "more after"),
        (b'{"a":1}x', "more after"),
        (b"[]", "not a JSON object"),
        (b'"text"', "not a JSON object"),
        (b'{"a":1,"a":1}', "'a' twice"),
        (b'{"a":{"b":1,"b":2}}', "'b' twice"),
        (b'{"a":1,"b":1,"b":2}', "'b' twice"),
        (b'{"a":}', "at character 6"),
        (b'{"a":1,"\\u0061":2}', "'a' twice"),
        (b'{"a":NaN}', "NaN"),
        (b'{"a":Infinity}', "Infinity"),
        (b'{"a":-Infinity}', "-Infinity"),
        (b'{"a":1e999}', "too large"),
        (b'{"a":-1e999}', "too large"),
        (b'{"a":' + b"9" * 5000 + b"}", "too large"),
        (b'{"a":01}', "not JSON"),
        (b'{"a":+1}', "not JSON"),
        (b'{"a":.5}', "not JSON"),
        (b'{"a":0x10}', "not JSON"),
        ('{"a":\u0661}'.encode(), "not JSON"),
        (b"{'a':1}", "not JSON"),
        (b'{"a":1,}', "not JSON"),
        (b'{"a":"\x01"}', "not JSON"),
        (b'{"a":"\xff"}', "not UTF-8"),
        (b'{"a":"\xed\xa0\x80"}', "not UTF-8"),
        (b'{"a":"\xc0\x80"}', "not UTF-8"),
        (b'{"a":"\\ud800"}', "surrogate"),
        (b'{"\\udc00":1}', "surrogate"),
        (b"\xef\xbb\xbf{}", "not JSON"),
        ('{"a":1}'.encode("utf-16-le"), "not JSON"),
        ('{"a":1}'.encode("utf-16"), "not UTF-8"),
        (b'{"a":' + b"[" * 40 + b"]" * 40 + b"}", "deeper than 32"),
        (b"[" * 100_000, "deeper than 32"),
        (b'{"a":' * 33 + b"1" + b"}" * 33, "deeper than 32"),
        # Whatever strings come before, what follows them counts.
        (b'{"a":"\\\\","b":' + b"[" * 40 + b"]" * 40 + b"}", "deeper than 32"),
        (b'{"a":"\\"","b":' + b"[" * 40 + b"]" * 40 + b"}", "deeper than 32"),
        (b'{"a":"\\n[","b":' + b"[" * 40 + b"]" * 40 + b"}", "deeper than 32"),
    ],
)
def test_what_is_no_strict_json_object_is_refused(text: bytes, message: str) -> None:
    with pytest.raises(TokenMalformed, match=message):
        jws.read_object(text, "payload")


@pytest.mark.parametrize(
    ("text", "value"),
    [
        (b"{}", {}),
        (b" \t\r\n{} \n", {}),
        (b'{"a":1.5,"b":-1,"c":1e3,"d":null,"e":true}', None),
        (b'{"a":"\\ud83d\\ude00 \\u00e9 \\u0000"}', {"a": "\U0001f600 \u00e9 \x00"}),
        ('{"\u00e9":"\U0001f600"}'.encode(), {"\u00e9": "\U0001f600"}),
        (b'{"a":' + b"9" * 40 + b"}", {"a": int("9" * 40)}),
        (b'{"a":' * 32 + b"1" + b"}" * 32, None),
        (b'{"a":' * 31 + b'{"b":1},"c":[]' + b"}" * 31, None),
        (b'{"a":"' + b"[{" * 30 + b'\\"[["}', {"a": "[{" * 30 + '"[['}),
        (b'{"a":"\\"' + b"[" * 40 + b'"}', {"a": '"' + "[" * 40}),
        (b'{"a":[' + b"[]," * 40 + b"[]]}", {"a": [[]] * 41}),
        (b'{"a":0.' + b"1" * 38 + b"}", None),
    ],
)
def test_strict_json_is_read(text: bytes, value: object) -> None:
    expected = json.loads(text) if value is None else value

    assert jws.read_object(text, "payload") == expected


def test_a_header_tells_what_policyd_reads_of_it() -> None:
    header = jws.read_header(b'{"alg":"Ed25519","kid":"k","typ":"application/AT+JWT","jku":"x"}')

    assert (header.algorithm, header.key_id, header.type) == ("EdDSA", "k", "at+jwt")


def test_a_header_needs_no_more_than_an_algorithm() -> None:
    header = jws.read_header(b'{"alg":"RS256"}')

    assert (header.algorithm, header.key_id, header.type) == ("RS256", None, None)


def header_of(length: int) -> bytes:
    """Return a header of so many bytes."""
    return b'{"alg":"RS256","x":"' + b"x" * (length - 22) + b'"}'


def test_a_member_that_stands_twice_is_found_in_one_pass() -> None:
    """Anyone can send 128 KiB of members: no signature has been looked at by then."""
    members = ",".join(f'"{number:x}":1' for number in range(10_000))
    began = time.thread_time()
    with pytest.raises(TokenMalformed, match="'270f' twice"):
        jws.read_object(f'{{{members},"270f":2}}'.encode(), "payload")
    assert time.thread_time() - began < 0.5


def test_short_headers_are_remembered_and_long_ones_are_not() -> None:
    shortest, longest, longer = header_of(100), header_of(512), header_of(513)

    assert jws.read_header(shortest) is jws.read_header(shortest)
    assert jws.read_header(longest) is jws.read_header(longest)
    assert jws.read_header(longer) is not jws.read_header(longer)


def test_short_segments_of_headers_are_remembered_and_long_ones_are_not() -> None:
    shortest, longest, longer = (jws.encode_segment(header_of(n)) for n in (99, 384, 387))
    assert (len(longest), len(longer)) == (512, 516)

    assert jws.decode_header(shortest) is jws.decode_header(shortest)
    assert jws.decode_header(longest) is jws.decode_header(longest)
    assert jws.decode_header(longer) is not jws.decode_header(longer)
    assert jws.decode_header(longer) == header_of(387)


def test_a_long_header_is_read_like_a_short_one() -> None:
    long = json.dumps({"alg": "RS256", "x5c": ["A" * 2000]}).encode()

    assert jws.read_header(long).algorithm == "RS256"


@pytest.mark.parametrize(
    ("header", "message"),
    [
        ({}, "no `alg`"),
        ({"alg": None}, "`alg` is not text"),
        ({"alg": ["RS256"]}, "`alg` is not text"),
        ({"alg": "R" * 65}, "`alg` is not text"),
        ({"alg": "RS256", "kid": 7}, "`kid` is not text"),
        ({"alg": "RS256", "kid": None}, "`kid` is not text"),
        ({"alg": "RS256", "kid": "k" * 257}, "`kid` is not text"),
        ({"alg": "RS256", "typ": True}, "`typ` is not text"),
        ({"alg": "RS256", "typ": "t" * 65}, "`typ` is not text"),
        ({"alg": "RS256", "crit": ["exp"]}, "`crit`"),
        ({"alg": "RS256", "crit": []}, "`crit`"),
        ({"alg": "RS256", "crit": "b64"}, "`crit`"),
        ({"alg": "RS256", "b64": True}, "`b64`"),
        ({"alg": "RS256", "zip": "DEF"}, "`zip`"),
        ({"alg": "RS256", "enc": "A128GCM"}, "`enc`"),
    ],
)
def test_a_header_that_could_change_the_reading_is_refused(
    header: dict[str, object], message: str
) -> None:
    with pytest.raises(TokenMalformed, match=message):
        jws.read_header(json.dumps(header).encode())


@pytest.mark.parametrize("algorithm", ["RS256", "PS384", "ES512", "EdDSA"])
def test_a_key_verifies_what_it_signed_and_nothing_else(algorithm: str) -> None:
    private = key(algorithm)
    public = jws.import_key(private.public_jwk(), algorithm)
    signature = private.signer(b"message")

    assert public.verify(b"message", signature)
    assert not public.verify(b"messagE", signature)
    assert not public.verify(b"message", signature[:-1])
    assert not public.verify(b"message", b"")


def test_a_key_may_have_no_name() -> None:
    nameless = {name: value for name, value in key().public_jwk().items() if name != "kid"}

    assert jws.import_key(key().public_jwk(), "RS256").key_id == key().key_id
    assert jws.import_key(nameless, "RS256").key_id is None


def test_a_key_that_cannot_be_imported_is_a_value_error() -> None:
    with pytest.raises(ValueError, match="cannot be imported"):
        jws.import_key({"kty": "EC", "crv": "P-256", "x": "AA", "y": "AA"}, "ES256")


def test_a_public_key_does_not_sign() -> None:
    with pytest.raises(ValueError, match="no private members"):
        jws.import_signer(key().public_jwk(), "RS256")
    with pytest.raises(ValueError, match="cannot sign with this key"):
        jws.import_signer({**key("ES256").jwk, "d": "AA"}, "ES256")
