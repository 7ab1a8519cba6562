"""Names and literals: tokens to leaves of the syntax tree."""

from __future__ import annotations

import re
from collections.abc import Container
from decimal import Decimal

from lark import Token, Tree

from policyd.diagnostics import Edit, Span
from policyd.diagnostics.visibility import cite
from policyd.language import limits, nodes
from policyd.language.literals import MAX_DECIMAL
from policyd.language.parser.tokens import NAMES, is_name, span_of, terminal_of
from policyd.language.reporter import Reporter
from policyd.language.text import first_hidden

_INTEGER = re.compile(r"-?(?:0|[1-9][0-9]*)")
_DURATION = re.compile(r"([1-9][0-9]*)([smhd])")
_UNIT = {"s": 1, "m": 60, "h": 3600, "d": 86400}
_LONG_UNITS = {
    "sec": "s", "secs": "s", "second": "s", "seconds": "s", "min": "m", "mins": "m",
    "minute": "m", "minutes": "m", "hour": "h", "hours": "h", "hr": "h", "hrs": "h",
    "day": "d", "days": "d",
}  # fmt: skip
_ESCAPE = re.compile(r"\\(u\{([0-9A-Fa-f]{1,6})\}|.)", re.DOTALL)
_ESCAPES = {'"': '"', "\\": "\\", "n": "\n", "t": "\t"}
#: The largest integer that every JSON implementation reads alike (RFC 8259, section 6).
MAX_INT = 2**53 - 1
_DECIMAL = re.compile(r"-?(?:0|[1-9][0-9]*)\.[0-9]{1,4}")
#: A hundred years; longer is a mistake.
MAX_DURATION = 36_500 * 86_400


class LiteralBuilder:
    """Builds leaves and reports what is wrong with them."""

    def __init__(self, reporter: Reporter) -> None:
        self._reporter = reporter

    def name(self, tree: Tree[Token]) -> nodes.Name:
        """A `name` or `key` of the grammar."""
        token = tree.children[0]
        while not isinstance(token, Token):
            token = token.children[0]
        return self.checked_name(str(token), span_of(token))

    def checked_name(self, text: str, span: Span) -> nodes.Name:
        if len(text) > limits.NAME_CHARACTERS:
            self._reporter.error(
                "P0015", f"a name has more than {limits.NAME_CHARACTERS} characters", span
            )
        return nodes.Name(span, text)

    def part(self, text: str, span: Span, terminals: Container[str]) -> nodes.Name:
        """One side of a colon that lacks its space: it must be what it would be with the space."""
        if terminal_of(text) not in terminals:
            self._reporter.error(
                "P0008",
                f"unexpected `{text}`",
                span,
                help="write a space after a colon, except in the name of a scope",
            )
        return self.checked_name(text, span)

    def named(self, child: Token | Tree[Token]) -> nodes.Name:
        """What others named, an action or a resource: a name, or a text in quotes."""
        if not isinstance(child, Token):
            return self.name(child)
        text = self.text(child)
        if not text.value:
            self._reporter.error("P0031", "a name in quotes is empty", text.span)
        hidden = first_hidden(text.value)
        if hidden is not None:
            self._reporter.error(
                "P0002",
                f"the character {cite(hidden)} is not allowed in a name",
                text.span,
                help="remove the escape: two names that look alike must be the same",
            )
        name = self.checked_name(text.value, text.span)
        return nodes.Name(name.span, name.text, quoted=not is_name(name.text))

    def scope_name(self, tree: Tree[Token]) -> nodes.Name:
        """A scope, with or without quotes."""
        child = tree.children[0]
        if not isinstance(child, Token):
            return self.name(child)
        if child.type == "STRING":
            text = self.text(child)
            return nodes.Name(text.span, text.value, quoted=True)
        return self.checked_name(str(child), span_of(child))

    def text(self, token: Token | Tree[Token]) -> nodes.Text:
        """A text in quotes, its escapes resolved."""
        assert isinstance(token, Token)  # the grammar has nothing else where this is called
        span = span_of(token)
        if len(token) > limits.TEXT_CHARACTERS:
            self._reporter.error(
                "P0015", f"a text has more than {limits.TEXT_CHARACTERS:,} characters", span
            )
        body = str(token)[1:-1]
        if "\\" not in body:
            return nodes.Text(span, body)

        def resolve(match: re.Match[str]) -> str:
            escape, digits = match.groups()
            if digits is not None:
                number = int(digits, 16)
                if number <= 0x10FFFF and not 0xD800 <= number <= 0xDFFF:
                    return chr(number)
            elif escape in _ESCAPES:
                return _ESCAPES[escape]
            start = span.start + 1 + match.start()
            self._reporter.error(
                "P0006",
                f"unknown escape `{match.group()}`",
                Span(start, start + len(match.group())),
                help='the escapes are `\\"`, `\\\\`, `\\n`, `\\t` and `\\u{…}` with a code point',
            )
            return ""

        return nodes.Text(span, _ESCAPE.sub(resolve, body))

    def literal(self, token: Token) -> nodes.Literal:
        """A text, number, duration or boolean."""
        if token.type == "STRING":
            return self.text(token)
        if token.type == "NUMERIC":
            return self._numeric(str(token), span_of(token))
        return nodes.Boolean(span_of(token), token.type == "TRUE")

    def bare(self, text: str, span: Span) -> nodes.Literal:
        """What stands after the colon of `sealed:false`, read by the same rules as alone."""
        if text in ("true", "false"):
            return nodes.Boolean(span, text == "true")
        if re.match(r"-?[0-9]", text):
            return self._numeric(text, span)
        return self.part(text, span, NAMES | {"DOTTED"})

    def value(self, child: Token | Tree[Token]) -> nodes.Literal | nodes.List:
        """A literal, a list, or a word without quotes."""
        if not isinstance(child, Token):
            return self.list(child) if child.data == "list" else self.name(child)
        if child.type in ("DOTTED", "SCOPED"):
            return self.checked_name(str(child), span_of(child))
        return self.literal(child)

    def list(self, tree: Tree[Token]) -> nodes.List:
        span = Span(tree.meta.start_pos, tree.meta.end_pos)
        if len(tree.children) > limits.LIST_ITEMS:
            self._reporter.error("P0015", f"a list has more than {limits.LIST_ITEMS:,} items", span)
        items: list[nodes.Literal] = []
        for child in tree.children[: limits.LIST_ITEMS]:
            item = self.value(child)
            assert not isinstance(item, nodes.List)  # the grammar has no list in a list
            items.append(item)
        return nodes.List(span, tuple(items))

    def _numeric(self, text: str, span: Span) -> nodes.Literal:
        if _INTEGER.fullmatch(text) and len(text) < 20:
            value = int(text)
            if abs(value) > MAX_INT:
                self._reporter.error(
                    "P0007",
                    f"`{text}` is beyond the integers that JSON carries exactly",
                    span,
                    help="integers reach from -9007199254740991 to 9007199254740991",
                )
            return nodes.Number(span, value)
        if _DECIMAL.fullmatch(text):
            return self._decimal(text, span)
        if match := _DURATION.fullmatch(text):
            seconds = int(match[1]) * _UNIT[match[2]] if len(match[1]) < 12 else MAX_DURATION + 1
            if seconds > MAX_DURATION:
                self._reporter.error(
                    "P0007", f"the duration `{text}` is longer than a century", span
                )
            return nodes.Duration(span, seconds, text)
        return self._bad_number(text, span)

    def _decimal(self, text: str, span: Span) -> nodes.Literal:
        value = Decimal(text)
        if abs(value) > MAX_DECIMAL:
            self._reporter.error(
                "P0007",
                f"`{text[:40]}` is beyond the decimals that there are",
                span,
                help="decimals reach from -9007199254740992 to 9007199254740992",
            )
        return nodes.Decimal(span, value)

    def _bad_number(self, text: str, span: Span) -> nodes.Literal:
        """Report a number, and return one of the kind that was meant."""
        unit = re.fullmatch(r"([1-9][0-9]*)([a-z]+)", text)
        if unit and unit[2] in _LONG_UNITS:
            repair = unit[1] + _LONG_UNITS[unit[2]]
            self._reporter.error(
                "P0007",
                f"`{text}` is not a duration",
                span,
                help=f"write `{repair}`",
                fix=(Edit(span, repair),),
            )
            return nodes.Duration(span, 0, repair)
        if re.fullmatch(r"-?0[0-9]+", text):
            help = "a number has no leading zeros"
        elif re.fullmatch(r"-?[0-9]+\.[0-9]*", text):
            help = "a decimal has one to four digits after its point"
        else:
            help = "a number is digits only; a duration is digits and one of `s`, `m`, `h`, `d`"
        self._reporter.error("P0007", f"`{text[:40]}` is not a number", span, help=help)
        return nodes.Number(span, 0)
