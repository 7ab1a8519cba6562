"""Literals where they meet a fact: each takes the fact's type, or is reported."""

from __future__ import annotations

from bisect import bisect_left
from functools import lru_cache
from ipaddress import IPv4Network, IPv6Network

from policyd.diagnostics import Span
from policyd.language import nodes, policy
from policyd.language.literals import read_block
from policyd.language.reporter import Reporter, renamed
from policyd.language.resolver import OIDC_SCOPES, oidc_scope
from policyd.language.scalars import read_scalar
from policyd.language.symbols import Symbols
from policyd.language.types import TOKEN_FACTS, Fact, Type, Vocabulary

_SCOPES = TOKEN_FACTS["scopes"]
_PERMISSIONS = TOKEN_FACTS["permissions"]
#: As many vocabularies keep their values in order.
_VOCABULARIES = 64
#: As many values as a finding lists.
_LISTED = 10
_SET_OF = {
    Type.STRING: Type.SET_OF_STRING,
    Type.INT: Type.SET_OF_INT,
    Type.IP: Type.SET_OF_IP,
}


class OperandReader:
    """Reads the literals of one file."""

    def __init__(self, symbols: Symbols, reporter: Reporter) -> None:
        self._symbols = symbols
        self._reporter = reporter

    def literal(self, node: nodes.Operand, fact: Fact) -> policy.Literal | None:
        """A literal compared with `fact`."""
        if isinstance(node, nodes.List):
            self._reporter.error(
                "P2009",
                "a list cannot be compared",
                node.span,
                help=f"`{fact.path} in […]` asks whether the value is one of several",
            )
            return None
        assert not isinstance(node, nodes.Reference)  # what reads a fact is no literal
        value = self._scalar(node, fact.type, f"`{fact.path}` has type `{fact.type_name}`")
        if value is None or not self._is_value(value, node, fact):
            return None
        return policy.Literal(fact.type, value)

    def element(self, node: nodes.Operand, set_fact: Fact, type_: Type) -> policy.Literal | None:
        """A literal to the left of `in SET`."""
        assert not isinstance(node, nodes.Reference | nodes.List)
        value = self._member(
            node, type_, set_fact, f"`{set_fact.path}` has type `{set_fact.type_name}`"
        )
        return None if value is None else policy.Literal(type_, value)

    def items(
        self, node: nodes.Operand, type_: Type, operator: str, fact: Fact
    ) -> policy.Literal | None:
        """A literal list of elements of `type_`, with which a fact is compared; blocks of addresses
        may stand among addresses."""
        if not isinstance(node, nodes.List):
            self._reporter.error(
                "P2003",
                f"`{operator}` needs a list or a set on its right",
                node.span,
                help="put brackets around it: `[…]`",
            )
            return None
        if type_ not in _SET_OF:
            self._reporter.error(
                "P2003",
                f"`{operator}` takes no values of type `{type_}`",
                node.span,
                help="sets hold `string`, `int` or `ip`",
            )
            return None
        values: dict[policy.Scalar, None] = {}
        complete = True
        for item in node.items:
            value = self._member(item, type_, fact, f"the others have type `{type_}`", True)
            if value is None:
                complete = False
            elif value in values:
                self._reporter.error(
                    "P1024",
                    "the list names this twice",
                    item.span,
                    help="remove one of the two",
                )
            else:
                values[value] = None
        return policy.Literal(_SET_OF[type_], tuple(values)) if complete else None

    def check_scope(self, name: str, span: Span) -> None:
        """Report a scope that the API does not declare."""
        if name in self._symbols.scopes or name in self._symbols.broken:
            return
        label = self._reporter.label(span)
        if name in OIDC_SCOPES:
            self._reporter.add(oidc_scope(name, label))
            return
        self._symbols.report_unknown(
            self._reporter.add, "P1003", "scope", name, label, self._symbols.scopes,
            otherwise=f'declare it: `scope {name} "…"`',
        )  # fmt: skip

    def _member(
        self, node: nodes.Literal, type_: Type, fact: Fact, expected: str,
        block_allowed: bool = False,
    ) -> policy.Scalar | None:  # fmt: skip
        of_scopes = fact == _SCOPES
        if isinstance(node, nodes.Name) and (of_scopes or fact == _PERMISSIONS):
            value: policy.Scalar | None = node.text
        elif (
            block_allowed
            and type_ is Type.IP
            and isinstance(node, nodes.Text)
            and ("/" in node.value)
        ):
            return self._block(node)
        else:
            value = self._scalar(node, type_, expected)
        if of_scopes and isinstance(value, str):
            self.check_scope(value, node.span)
        return value if value is not None and self._is_value(value, node, fact) else None

    def affix(self, node: nodes.Text, fact: Fact, operator: str) -> None:
        """Report a prefix or suffix that no value of the fact's vocabulary has."""
        vocabulary = fact.vocabulary
        if vocabulary is None:
            return
        backwards = operator == "ends with"
        values, text = _sorted(vocabulary, backwards), node.value[::-1] if backwards else node.value
        at = bisect_left(values, text)
        if at == len(values) or not values[at].startswith(text):
            self._reporter.error(
                "P2018",
                f'no value of `{vocabulary.name}` {operator} "{node.value}"',
                node.span,
                help=f"its values are {_listed(vocabulary)}",
            )

    def _is_value(self, value: policy.Scalar, node: nodes.Literal, fact: Fact) -> bool:
        """Whether a value is one of the fact's vocabulary; reports it where it is not."""
        vocabulary = fact.vocabulary
        if vocabulary is None or value in vocabulary.values:
            return True
        near = self._symbols.closest(str(value), vocabulary.values)
        report_foreign(self._reporter, "P2018", node.span, str(value), vocabulary, near)
        return False

    def _block(self, node: nodes.Text) -> IPv4Network | IPv6Network | None:
        try:
            return read_block(node.value)
        except ValueError as error:
            self._reporter.error(
                "P2004", f'"{node.value}" is not a block of addresses', node.span, help=str(error)
            )
            return None

    def _scalar(self, node: nodes.Literal, type_: Type, expected: str) -> policy.Scalar | None:
        match node:
            case nodes.Duration(text=text, span=span):
                self._reporter.error(
                    "P2013",
                    f"the duration `{text}` stands after `within last` and `within next` only",
                    span,
                    help=f"`T within last {text}`",
                )
                return None
            case nodes.Text(value=text, span=span) if type_ is Type.IP and "/" in text:
                self._reporter.error(
                    "P2004",
                    f'"{text}" is a block, not an address',
                    span,
                    help=f'`… in ["{text}"]` asks whether an address is in it',
                )
                return None

        def mismatched() -> None:
            headline = f"{_LITERAL_KINDS[type(node)]} meets a value of another type"
            self._reporter.error("P2002", headline, node.span, help=expected)

        return read_scalar(node, type_, self._reporter, mismatched)


@lru_cache(_VOCABULARIES)
def _sorted(vocabulary: Vocabulary, backwards: bool) -> list[str]:
    """Return the values in order; each read from its end, if `backwards`."""
    return sorted(value[::-1] if backwards else value for value in vocabulary.values)


def report_foreign(
    reporter: Reporter, code: str, span: Span, value: str, vocabulary: Vocabulary, near: str | None
) -> None:
    """Report a text that is not a value of a vocabulary; `near` is the value that was meant."""
    reporter.error(
        code,
        f'"{value}" is no value of `{vocabulary.name}`',
        span,
        help=f"its values are {_listed(vocabulary)}"
        if near is None
        else f'a similar value exists: "{near}"',
        fix=renamed(reporter.label(span), value, near),
    )


def _listed(vocabulary: Vocabulary) -> str:
    """Return the values for a message, all of them where they are few."""
    values = _sorted(vocabulary, backwards=False)
    more = f" and {len(values) - _LISTED} more" if len(values) > _LISTED else ""
    return ", ".join(f'"{value}"' for value in values[:_LISTED]) + more


_LITERAL_KINDS = {
    nodes.Text: "a text",
    nodes.Number: "a number",
    nodes.Decimal: "a number",
    nodes.Boolean: "a boolean",
}
