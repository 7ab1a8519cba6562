"""What of a URI is written in several ways and means one thing, and what never does."""

from __future__ import annotations

import pytest

from policyd.tokens.proof.uri import LONGEST, normalised

URI = "https://api.example.com/a/b"


@pytest.mark.parametrize(
    "same",
    [
        URI,
        "HTTPS://api.example.com/a/b",
        "https://API.Example.COM/a/b",
        "https://api.example.com:443/a/b",
        "https://api.example.com:/a/b",
        f"{URI}?x=1",
        f"{URI}#x",
        f"{URI}?x=/#y?z",
    ],
)
def test_spellings_of_one_uri(same: str) -> None:
    assert normalised(same) == URI


@pytest.mark.parametrize(
    ("uri", "expected"),
    [
        ("https://a.example", "https://a.example/"),
        ("https://a.example?x", "https://a.example/"),
        ("https://a.example#x", "https://a.example/"),
        ("http://a.example:80/", "http://a.example/"),
        ("http://a.example:443/", "http://a.example:443/"),
        ("https://a.example:80/", "https://a.example:80/"),
        ("https://a.example:0443/", "https://a.example:0443/"),
        ("https://[2001:DB8::1]:8443/x", "https://[2001:db8::1]:8443/x"),
        ("https://a.example/%7Ea/%7ea/~a", "https://a.example/%7Ea/%7ea/~a"),
        ("https://a.example/a/../b/./c//", "https://a.example/a/../b/./c//"),
        ("https://a.example/A", "https://a.example/A"),
        ("https://a.example./", "https://a.example./"),
        ("https://a.example/a;b=c@d:e", "https://a.example/a;b=c@d:e"),
    ],
)
def test_everything_else_stays_as_it_is(uri: str, expected: str) -> None:
    assert normalised(uri) == expected


@pytest.mark.parametrize(
    "uri",
    [
        "",
        "/a",
        "a.example/a",
        "//a.example/a",
        "ftp://a.example/",
        "https:/a.example/",
        "https:///a",
        "https://:443/a",
        "https://user@a.example/",
        "https://user:secret@a.example/",
        "https://a.example\\@b.example/",
        "https://a.example:x/",
        "https://a.example:1:2/",
        "https://[::1/",
        "https://[v1.x]/",
        "https://a.example/a b",
        "https://a.example/a\n",
        "https://a.example/\ta",
        "\nhttps://a.example/a",
        "https://a.example/ä",
        "https://ä.example/",
        "https://a.example/?ä",
        "https://a.example/\x7f",
        "http\u017f://a.example/",
        "http\u017f://a.example:443/",
        "https://a.example.\u212a/",
        "https://a.example/" + "a" * LONGEST,
    ],
)
def test_what_is_no_uri_of_a_request(uri: str) -> None:
    assert normalised(uri) is None


def test_a_uri_may_have_8192_characters() -> None:
    longest = "https://a.example/".ljust(LONGEST, "a")
    assert normalised(longest) == longest
    assert normalised(longest + "a") is None
