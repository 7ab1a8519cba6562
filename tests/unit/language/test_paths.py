"""What is said of a path that is not in normal form."""

from __future__ import annotations

import pytest

from policyd.language.paths import problem_of_literal, problem_of_segment, problem_of_whole


@pytest.mark.parametrize(
    ("path", "problem"),
    [
        ("/things/1", None),
        ("/", None),
        ("things", "a path begins with `/`"),
        ("", "a path begins with `/`"),
        ("https://a.example/x", "a path begins with `/`: write it without scheme and host"),
        ("/x?y=1", "write the path without the query, `?y=1`"),
        ("/x?", "write the path without the query, `?`"),
        ("/x#y", "write the path without the fragment, `#y`"),
    ],
)
def test_whole_path(path: str, problem: str | None) -> None:
    assert problem_of_whole(path) == problem


@pytest.mark.parametrize(
    ("segment", "problem"),
    [
        ("a-b.c_d~e:@!$&'()*+,=", None),
        ("%C3%A9", None),
        ("a%20b", None),
        ("", "a path has no empty segment, at its end neither"),
        ("..", "a path has no dot segment, `..`"),
        ("%c3%a9", "write `%C3%A9`, upper-case"),
        ("a%2fb", "a segment has no `/`, nor `%2F`: some servers cut a path there"),
        ("a%2Fb", "a segment has no `/`, nor `%2F`: some servers cut a path there"),
        ("a\\b", "a segment has no `\\`, nor `%5C`: some servers cut a path there"),
        ("a%5cb", "a segment has no `\\`, nor `%5C`: some servers cut a path there"),
        ("%7f", "a segment has no `\\u{7f}`, nor `%7F`"),
        ("%2e%2E", "a path has no dot segment, `%2e%2E`"),
        ("a%2e", "`%2E` means `.`: write that"),
        ("%ff", "what is percent-encoded in a path is UTF-8"),
        ("%c3x", "what is percent-encoded in a path is UTF-8"),
        ("%C3%a9", "write `%C3%A9`, upper-case"),
        ("%70", "`%70` means `p`: write that"),
        ("%7e", "`%7E` means `~`: write that"),
        ("%", "two hexadecimal digits follow a `%`; the sign itself is `%25`"),
        ("%4g", "two hexadecimal digits follow a `%`; the sign itself is `%25`"),
        ("a b", "` ` has to be percent-encoded: write `%20`"),
        ("a;b", "`;` has to be percent-encoded: write `%3B`"),
        ("é", "`é` (U+00E9) has to be percent-encoded: write `%C3%A9`"),
        ("\x00", "a segment has no `\\u{0}`, nor `%00`"),
        ("%0a", "a segment has no `\\u{a}`, nor `%0A`"),
    ],
)
def test_segment_of_a_request(segment: str, problem: str | None) -> None:
    assert problem_of_segment(segment) == problem


@pytest.mark.parametrize(
    ("segment", "problem"),
    [
        ("a-b", None),
        ("", "a path has no empty segment, at its end neither"),
        (".", "a path has no dot segment, `.`"),
        ("%c3%a9", "a literal segment holds nothing percent-encoded, such as `%c3%a9`"),
        ("a;v=1", "a path has no `;`: some servers cut a segment off there"),
        ("é", "`é` (U+00E9) cannot stand for itself in a path"),
        ("100%", "`%` cannot stand for itself in a path"),
    ],
)
def test_literal_segment_of_a_template(segment: str, problem: str | None) -> None:
    assert problem_of_literal(segment) == problem
