"""P3020: how texts are written."""

from __future__ import annotations

import pytest

from tests.support.lint import Case, assert_found, below_preamble, linted, pointed


def role(text: str) -> str:
    return f'deny one: any on patient\n    when "{text}" in token.roles\n    because "n"\n'


CASES = [
    Case("P3020 Cyrillic in Latin", role("contr\u0430ctor"), ("contr\u0430ctor",)),
    Case("P3020 Latin in Cyrillic", role("a \u0441o\u0441"), ("\u0441o\u0441",)),
    Case("P3020 Greek twin", role("r\u03bfle"), ("r\u03bfle",)),
    Case("P3020 Armenian", role("r\u0585le"), ("r\u0585le",)),
    Case("P3020 full-width", role("\uff52ole"), ("\uff52ole",)),
    Case("P3020 mathematical", role("\U0001d42bole"), ("\U0001d42bole",)),
    Case("P3020 Kelvin", role("\u212aim"), ("\u212aim",)),
    Case("P3020 accents", role("p\u0430\u0301y"), ("p\u0430\u0301y",)),
    Case("P3020 twice", role("p\u0430y b\u0430d"), ("p\u0430y", "b\u0430d")),
    Case(
        "P3020 message",
        'deny one: any on patient\n    when resource.sealed\n    because "n\u043e"\n',
        ("n\u043e",),
    ),
    Case("P3020 claim", 'claim other: string? from "\u043ether"\n', ("\u043ether",)),
    Case("P3020 Cyrillic alone", role("\u0441\u043e\u0441 admin")),
    Case("P3020 Greek alone", role("\u03bb\u03cc\u03b3\u03bf\u03c2")),
    Case("P3020 joined by a hyphen", role("IT-\u043e\u0442\u0434\u0435\u043b")),
    Case("P3020 Chinese beside Latin", role("API\u7528\u6237")),
    Case("P3020 Japanese", role("\u30c7\u30fc\u30bf\u3092read")),
    Case("P3020 units", role("5 k\u03a9 \u03bcs \u00b5s")),
    Case("P3020 Latin with accents", role("Stra\u00dfe nai\u0308ve \u0141\u00f3d\u017a")),
    Case("P3020 an escape is meant", role("contr\\u{430}ctor")),
    Case("P3020 a line feed is no letter", role("a\\n\u0434\u0430")),
    Case("P3020 comment", "// p\u0430y\n/// p\u0430y\n" + role("x")),
]


@pytest.mark.parametrize("case", CASES, ids=lambda case: case.name)
def test_rule(case: Case) -> None:
    assert_found(case)


def test_audience() -> None:
    text = 'api x\naudience "https://ex\u0430mple.com/"\nresource r {\n    actions a\n}\n'
    (found,) = linted(text, selected={"P3020"})
    assert pointed(found) == "ex\u0430mple"


def test_the_finding_says_which_letter() -> None:
    (found,) = below_preamble(role("contr\u0430ctor"), "P3020")
    assert found.headline == "`contr\u0430ctor` mixes Cyrillic and Latin letters"
    assert found.remarks == ("`\u0430` is U+0430 CYRILLIC SMALL LETTER A, which looks like `a`",)
