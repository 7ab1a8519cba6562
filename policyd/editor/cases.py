"""What may be written at a place of a test, or of a fixture."""

from __future__ import annotations

from collections.abc import Iterator, Sequence
from itertools import chain

from policyd.editor import vocabularies
from policyd.editor.builtin import FACTS
from policyd.editor.index import Kind
from policyd.editor.names import Names
from policyd.editor.phrases import after, last_of, open_blocks, plain
from policyd.editor.proposals import Proposal, keywords, proposal_of
from policyd.language.types import Type
from policyd.reasons import Reason

#: What a line of a test begins with.
_TEST_ITEMS = ("allow", "at", "context", "deny", "token", "userinfo")


class CaseCompleter:
    """Proposals at one place. `tokens` are those of the declaration before the word there."""

    def __init__(self, names: Names, tokens: Sequence[str], begins_line: bool) -> None:
        self._names = names
        self._tokens = tokens
        self._last = tokens[-1] if tokens else ""
        self._begins_line = begins_line

    def test(self) -> Iterator[Proposal]:
        """Propose what goes on in a test."""
        blocks = open_blocks(self._tokens)
        match len(blocks):
            case 1:
                return iter(())
            case 2:
                return self._test_line(blocks[1])
        return self._stated(blocks[1], blocks[2])

    def fixture(self) -> Iterator[Proposal]:
        """Propose what goes on in a `define` of a file of tests."""
        blocks = open_blocks(self._tokens)
        if len(blocks) > 1:
            return self._stated(blocks[0], blocks[1])
        match self._tokens[2:]:
            case ["as"]:
                return keywords("token", "resource")
            case ["as", "token"]:
                return keywords("user", "application")
            case ["as", "resource"]:
                return self._names.declared(Kind.RESOURCE)
        return iter(())

    def _stated(self, statement: Sequence[str], inside: Sequence[str]) -> Iterator[Proposal]:
        """Propose what a block may hold that states a token, a context or attributes."""
        if "[" in inside and "]" not in inside[last_of("[", inside) :]:
            before = inside[: last_of("[", inside)]
            if before[-2:] == ["scope", ":"]:
                return self._names.declared(Kind.SCOPE)
            return self._stated_values(statement, before)
        if self._last == ":":
            return chain(self._stated_values(statement, inside), keywords("true", "false"))
        if self._last not in ("{", ","):
            return iter(())
        return self._keys(statement)

    def _stated_values(self, statement: Sequence[str], inside: Sequence[str]) -> Iterator[Proposal]:
        """Propose the values of the vocabulary that the key has, whose colon comes last."""
        for one in self._keys(statement):
            if inside[-2:] == [one.text, ":"]:
                yield from vocabularies.values(self._names.index, self._names.api, one.detail)

    def _test_line(self, tokens: Sequence[str]) -> Iterator[Proposal]:
        if self._begins_line or not tokens:
            return keywords(*_TEST_ITEMS)
        at = max(last_of(word, tokens) for word in _TEST_ITEMS)
        statement = tokens[max(at, 0) :]
        match statement[0]:
            case "token" if len(statement) == 1:
                fixtures = (one for one in self._names.fixtures() if one.detail == "token")
                return chain(keywords("user", "application"), fixtures)
            case "allow" | "deny" if len(statement) == 1:
                return self._names.actions()
            case "allow" | "deny" if self._last == "on":
                fixtures = (one for one in self._names.fixtures() if one.detail != "token")
                return chain(self._names.resources([statement[1]]), fixtures)
            case "allow" | "deny" if self._last == "missing":
                return self._names.declared(Kind.SCOPE)
            case "allow" | "deny" if self._last == "because":
                return (Proposal(reason, None, "reason") for reason in Reason)
            case "allow" | "deny" if self._last == "by" or (
                self._last == "," and "by" in statement
            ):
                return self._names.declared(Kind.RULE)
            case "allow" | "deny":
                return keywords(
                    *(one for one in ("on", "by", "missing", "because") if one not in statement)
                )
        return iter(())

    def _keys(self, tokens: Sequence[str]) -> Iterator[Proposal]:
        """Propose what a `{` that comes after these tokens may hold."""
        at = max(last_of(word, tokens) for word in (*_TEST_ITEMS, "resource"))
        match tokens[max(at, 0) : at + 1]:
            case ["token"]:
                yield Proposal("scope", None, Type.SET_OF_STRING, ("The scopes granted.",))
                for path, (type_, text) in FACTS.items():
                    if path.startswith("token.") and path != "token.scopes":
                        yield Proposal(path.removeprefix("token."), Kind.FACT, type_, (text,))
                yield from self._names.declared(Kind.CLAIM)
            case ["userinfo"]:
                yield from self._names.declared(Kind.USERINFO)
            case ["context"]:
                yield from self._names.declared(Kind.CONTEXT)
            case ["allow" | "deny" | "resource"]:
                resource = after("resource", tokens[at:]) or after("on", tokens[at:])
                described = {one.text: one.detail for one in self._names.fixtures()}
                resource = described.get(resource or "", resource and plain(resource))
                asked = tokens[at + 1 : at + 2] if tokens[at] != "resource" else ()
                yield from map(proposal_of, self._names.attributes(resource, asked))
