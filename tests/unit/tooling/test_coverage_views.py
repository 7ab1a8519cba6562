"""Coverage for people: on a terminal, and as a page."""

from __future__ import annotations

from html.parser import HTMLParser

from policyd.tooling.coverage_html import coverage_html
from policyd.tooling.coverage_text import coverage_text
from tests.support.catalogue import preamble
from tests.support.tooling import OPEN, ORDERS, run

READER = "token { scope: [read:patients] }"
POLICY = f"""{preamble()}
allow reads: read on patient
    when scope read:patients

deny far: update on patient
    when context.ip in [
        "10.0.0.0/8",
        "fd00::/8",
    ]
"""
LINES = (READER, f"allow read on patient {OPEN}")


def test_text_shows_a_bar_and_the_source_of_what_was_not_seen() -> None:
    text = coverage_text(run(*LINES, policy=POLICY).coverage)
    first = POLICY[: POLICY.index("allow reads")].count("\n") + 1
    assert text.splitlines() == [
        "health  ████▍                  22.2 %  2 of 9",
        "",
        "health.policy",
        "",
        "  allow reads of health, which no test shows not to apply",
        f"  {first} | allow reads: read on patient",
        f"  {first + 1} |     when scope read:patients",
        "     |          ~~~~~~~~~~~~~~~~~~~ never false",
        "",
        "  deny far of health, which no test looks at",
        f"  {first + 3} | deny far: update on patient",
        f"  {first + 4} |     when context.ip in [",
        f'  {first + 5} |         "10.0.0.0/8",',
        f'  {first + 6} |         "fd00::/8",',
        f"  {first + 7} |     ]",
        "     |     ~ never looked at",
    ]


def test_text_of_what_is_complete_is_a_bar() -> None:
    lines = (*LINES, "token {}", f"deny read on patient {OPEN}")
    policy = POLICY[: POLICY.index("deny far")]
    assert coverage_text(run(*lines, policy=policy).coverage) == (
        "health  ████████████████████  100.0 %  4 of 4\n"
    )


def test_text_with_colours_says_the_same() -> None:
    coverage = run(*LINES, policy=POLICY).coverage
    coloured = coverage_text(coverage, colour=True)
    assert "\x1b[33m" in coloured
    for code in ("1;34", "32", "33", "31", "1", "0"):
        coloured = coloured.replace(f"\x1b[{code}m", "")
    plain = coverage_text(coverage).splitlines()
    assert [line.rstrip() for line in coloured.splitlines()] == plain


class _Page(HTMLParser):
    """Collects the text, the operands with their titles, and whether each tag is closed."""

    def __init__(self) -> None:
        super().__init__()
        self.open: list[str] = []
        self.texts: list[str] = []
        self.operands: list[tuple[str, str]] = []
        self.outside: list[str] = []

    def handle_starttag(self, tag: str, attrs: list[tuple[str, str | None]]) -> None:
        named = dict(attrs)
        if tag not in ("meta",):
            self.open.append(tag)
        if tag == "mark":
            self.operands.append((named["class"] or "", named["title"] or ""))
        self.outside += [name for name in named if name in ("src", "href")]

    def handle_endtag(self, tag: str) -> None:
        assert self.open.pop() == tag

    def handle_data(self, data: str) -> None:
        self.texts.append(data)


def _page(policy: str, *lines: str) -> _Page:
    page = _Page()
    page.feed(coverage_html(run(*lines, policy=policy).coverage))
    page.close()
    assert page.open == []
    return page


def test_page_marks_each_operand_line_by_line() -> None:
    page = _page(POLICY, *LINES)
    assert page.operands == [
        ("some", "never false"),
        *[("none", "never looked at")] * 4,
    ]
    text = "".join(page.texts)
    assert "22.2 % of the policies are shown by tests" in text
    assert "always applies" in text
    assert "no test looks at it" in text


def test_page_marks_what_is_asked_of_the_elements_of_a_list() -> None:
    lines = ('token { orders: [{ kind: "a", size: 4 }] }', "allow read on order")
    page = _page(ORDERS, *lines)
    assert page.operands == [
        ("some", "never false or unknown"),
        ("some", "never false"),
        ("some", "never false or unknown"),
    ]
    assert "".join(page.texts).count("item.kind") == 1
    assert "    when token.orders has some (" in "".join(page.texts).replace("TFU", "")
    shown = coverage_text(run(*lines, policy=ORDERS).coverage)
    assert "~~~~~~~~~~~~~~~~~~~~~ never false or unknown" in shown
    assert "~~~~~~~~~~~~~ never false or unknown" in shown


def test_page_needs_nothing_but_itself() -> None:
    page = _page(POLICY, *LINES)
    assert page.outside == []
    assert "script" not in coverage_html(run(*LINES, policy=POLICY).coverage)


def test_page_escapes_what_the_policy_says() -> None:
    policy = POLICY.replace("[\n", "[  // <b>&\n", 1).replace(
        "when scope read:patients", 'when scope read:patients and token.sub != "<script>"'
    )
    page = coverage_html(run(*LINES, policy=policy).coverage)
    assert "<script>" not in page
    assert "&lt;script&gt;" in page
    assert "&lt;b&gt;&amp;" in page
