"""What completion proposes: a text, what it is, and what the policy says of it."""

from __future__ import annotations

from collections.abc import Iterable, Iterator

import msgspec

from policyd.diagnostics import Span
from policyd.editor.index import Declared, Kind, Symbol
from policyd.language import case_nodes, nodes
from policyd.language.parser.tokens import is_name, quoted


class Proposal(msgspec.Struct, frozen=True):
    """A text that may stand here. `kind` is `None` for a word of the language."""

    text: str
    kind: Kind | None
    detail: str = ""
    docs: tuple[str, ...] = ()


class Completion(msgspec.Struct, frozen=True):
    """Proposals, each to be put in place of `span`."""

    span: Span
    proposals: tuple[Proposal, ...]


def keywords(*words: str) -> Iterator[Proposal]:
    """Yield words of the language."""
    return (Proposal(word, None) for word in words)


def proposal_of(declared: Declared, prefix: str = "") -> Proposal:
    """Return the name of what is declared, after a prefix such as `token.`."""
    symbol = declared.place.symbols[0]
    return Proposal(prefix + written(symbol), symbol.kind, _detail(declared.node), declared.docs)


def written(symbol: Symbol) -> str:
    """Return the name of a symbol as a policy writes it."""
    in_quotes = symbol.kind in (Kind.ACTION, Kind.RESOURCE) and not is_name(symbol.name)
    return quoted(symbol.name) if in_quotes else symbol.name


def _detail(node: nodes.Node) -> str:
    match node:
        case nodes.Scope(description=nodes.Text(value=text)):
            return text
        case nodes.Claim(type=type_) | nodes.Userinfo(type=type_) | nodes.Field(type=type_):
            element = "" if type_.element is None else f"<{type_.element}>"
            return f"{type_.name}{element}{'?' if type_.optional else ''}"
        case nodes.Proof(target=target):
            return f"never allow on {target}"
        case nodes.Rule(effect=effect, target=target):
            return f"{effect} on {target}"
        case case_nodes.Fixture(value=case_nodes.ResourceValue(resource=resource)):
            return resource.text
        case case_nodes.Fixture():
            return "token"
    return ""


def unique(proposals: Iterable[Proposal]) -> Iterator[Proposal]:
    """Return those of one text once: the last, at the place of the first."""
    return iter({proposal.text: proposal for proposal in proposals}.values())
