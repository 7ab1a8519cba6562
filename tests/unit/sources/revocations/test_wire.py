"""A line of JSON and a revocation are the same thing, and every other line is an error."""

from __future__ import annotations

import json

import pytest
from hypothesis import given
from hypothesis import strategies as st

from policyd.diagnostics import catalogue
from policyd.sources.revocations.wire import EntryInvalid, decode, decode_lines, encode, read_lines
from policyd.tokens.revocation.model import Revocation, RevocationKind
from tests.support.catalogue import examples
from tests.support.revocations import revoked, revoked_token

GOOD = b'{"issuer":"https://i.example/","jti":"a","until":2000000000}'
TEXT = st.text(st.characters(codec="utf-8"), min_size=1, max_size=20)
TIMES = st.integers(0, 253_402_300_799)
REASONS = st.text(st.characters(codec="utf-8"), max_size=20)
REVOCATIONS = st.one_of(
    st.builds(Revocation, TEXT, st.just(RevocationKind.TOKEN), TEXT, TIMES, st.none(), REASONS),
    st.builds(
        Revocation,
        TEXT,
        st.sampled_from([kind for kind in RevocationKind if kind is not RevocationKind.TOKEN]),
        TEXT,
        TIMES,
        TIMES,
        REASONS,
    ),
)


@given(REVOCATIONS)
def test_what_is_written_is_read(revocation: Revocation) -> None:
    line = encode(revocation)
    assert b"\n" not in line
    assert decode(line) == revocation
    assert decode(json.dumps(json.loads(line), indent=1).encode()) == revocation


def test_the_form_is_fixed() -> None:
    """Other versions read it, and people."""
    assert encode(revoked_token("a", issuer="https://i.example/", until=2000000000)) == GOOD
    subject = revoked(RevocationKind.SUBJECT, "u1", 5, issuer="i", until=9, reason="left")
    assert encode(subject) == (
        b'{"issuer":"i","subject":"u1","issued_before":5,"until":9,"reason":"left"}'
    )


@pytest.mark.parametrize(
    ("line", "said"),
    [
        (b"{}", "`issuer`"),
        (b"", "truncated"),
        (b"[1]", "expected `object`"),
        (GOOD[:-1], "truncated"),
        (GOOD + GOOD, "trailing"),
        (b'{"issuer":"i","until":9}', "names one of `jti`, `subject`"),
        (b'{"issuer":"i","jti":"a","subject":"b","until":9}', "names one of"),
        (b'{"issuer":"i","jti":"a"}', "`until` is missing"),
        (b'{"issuer":"i","jti":"a","until":-1}', "`until` is missing, or lies before 1970"),
        (b'{"issuer":"i","jti":"a","until":"9"}', "expected `int`"),
        (b'{"issuer":"i","jti":"a","until":true}', "expected `int`"),
        (b'{"issuer":"i","jti":"a","until":9.5}', "expected `int`"),
        (b'{"issuer":"i","jti":"a","until":NaN}', "invalid character"),
        (b'{"issuer":"i","jti":"","until":9}', "`jti` must have"),
        (b'{"issuer":"i","jti":7,"until":9}', "expected `str"),
        (b'{"issuer":"i","jti":"a","until":9,"issued_before":3}', "not for a `jti`"),
        (b'{"issuer":"i","subject":"a","until":9}', "needs `issued_before`"),
        (b'{"issuer":"i","jti":"a","until":9,"device":"d"}', "unknown field `device`"),
        (b'{"issuer":"i","jti":"a","jti":"b","until":9}', "`jti` is given twice"),
        (b'{"issuer":"i","jti":"a","until":1,"until":9}', "`until` is given twice"),
        (b'{"issuer":"i","jti":"a","\\u006ati":"b","until":9}', "`jti` is given twice"),
        (b'{"issuer":"i","jti":"\xff","until":9}', "utf"),
        (b'{"issuer":"i","jti":"\\ud800","until":9}', "surrogate"),
        (b'\xef\xbb\xbf{"issuer":"i","jti":"a","until":9}', "byte order mark"),
    ],
)
def test_every_other_line_is_an_error(line: bytes, said: str) -> None:
    with pytest.raises(EntryInvalid) as caught:
        decode(line)
    assert said.lower() in str(caught.value).lower()


def test_lines() -> None:
    assert [one.value for one in decode_lines([GOOD, b"", b"  ", GOOD + b"\r"])] == ["a", "a"]


def test_findings_stand_on_their_lines() -> None:
    data = b"\n".join([GOOD, "{é}".encode(), b"", GOOD, b"[]", GOOD])
    read = read_lines("list.ndjson", data)
    assert len(read.revocations) == 3
    places = []
    for found in read.diagnostics:
        assert found.primary is not None
        source, span = found.primary.source, found.primary.span
        places.append((found.code, source.position(span.start), source.text[slice(*span)]))
    assert places == [("P5011", (2, 1), "{é}"), ("P5011", (5, 1), "[]")]


def test_reading_can_begin_further_down() -> None:
    other = GOOD.replace(b'"a"', b'"b"')
    data = GOOD + b"\n" + other + b"\n"
    read = read_lines("list.ndjson", data, len(GOOD) + 1)
    assert [one.value for one in read.revocations] == ["b"]
    (found,) = read_lines("list.ndjson", data + b"x", len(data)).diagnostics
    assert found.primary is not None
    assert found.primary.source.position(found.primary.span.start).line == 3


def test_findings_end_somewhere() -> None:
    assert len(read_lines("list.ndjson", b"x\n" * 1000).diagnostics) == 20


def test_the_page_of_the_finding_is_right() -> None:
    page = catalogue.page("P5011")
    assert page is not None
    shown = examples(page)
    for fails, example in shown.items():
        (file,) = example.files
        read = read_lines("list.ndjson", file.text.encode())
        assert [found.code for found in read.diagnostics] == ["P5011"] * fails
        assert len(read.revocations) == (not fails)
