"""What may be written at a place of a policy file, as far as the text before it tells.

Input: an index, a text and an offset. Output: proposals and the range that each would replace.
The declaration around the offset usually does not parse, since it is just being written: it is
read as a mere list of words, from its first column to the offset.
"""

from __future__ import annotations

import re
from collections.abc import Iterable, Iterator, Sequence
from itertools import chain

from policyd.diagnostics import Source, Span
from policyd.editor import vocabularies
from policyd.editor.builtin import FACTS
from policyd.editor.cases import CaseCompleter
from policyd.editor.index import Index, Kind
from policyd.editor.names import Names
from policyd.editor.phrases import (
    actions_of,
    list_around,
    lists_scopes,
    open_blocks,
    option_of,
    resource_of,
)
from policyd.editor.proposals import Completion, Proposal, keywords, proposal_of, unique, written
from policyd.editor.words import SECTIONS
from policyd.editor.workspace import is_test
from policyd.language.routes import METHODS

_WORD = re.compile(r"[A-Za-z0-9_.:\-]*\Z")
_TOKEN = re.compile(
    r'//[^\n]*|"(?:[^"\\\n]|\\[^\n])*"?|[A-Za-z_][\w.\-]*(?::[\w.\-]+)*|[\w.\-]+|[=!<>]=|\S'
)
_NAME = re.compile(r'[A-Za-z_"]')
_SUBJECTS = ("application", "asserted", "user")
_CONDITION_STARTS = frozenset({"when", "unless", "as", "and", "or", "not", "("})


def complete(index: Index, source: Source, offset: int) -> Completion:
    """Return what may stand at an offset."""
    start = _declaration_start(source.text, offset)
    before = source.text[start:offset]
    word = _word(before)
    span = Span(offset - len(word), offset)
    tokens = _TOKEN.findall(before[: len(before) - len(word)])
    if tokens and (tokens[-1].startswith("//") and "\n" not in before.rpartition("//")[2]):
        return Completion(span, ())
    if tokens and tokens[-1].startswith('"') and not re.fullmatch(r'".*"', tokens[-1]):
        return Completion(span, ())
    tokens = [token for token in tokens if not token.startswith("//")]
    line = before.rpartition("\n")[2]
    completer = _Completer(index, source, _api(source.text), tokens, line.strip() == word)
    return Completion(span, tuple(completer.proposals(at_margin=line == word)))


def _declaration_start(text: str, offset: int) -> int:
    """Return where the last line begins, up to that of the offset, that is not indented."""
    start = text.rfind("\n", 0, offset) + 1
    while start > 0 and (text[start:offset][:1].isspace() or text[start : start + 1] in "}\n"):
        start = text.rfind("\n", 0, start - 1) + 1
    return start


def _word(before: str) -> str:
    """Return the word that is being written. Only a scope may have a colon."""
    found = _WORD.search(before)
    word = found.group() if found else ""
    tokens = _TOKEN.findall(before[: len(before) - len(word)])
    is_scope = tokens[-1:] in (["scope"], ["includes"]) or ("[" in tokens and "]" not in tokens)
    is_scope = is_scope or (tokens[:1] == ["scope"] and tokens[-1:] == [","])
    return word if is_scope else word.rpartition(":")[2]


def _api(text: str) -> str:
    found = re.search(r"^api[ \t]+([A-Za-z_][\w\-]*)", text, re.MULTILINE)
    return found[1] if found else ""


class _Completer:
    """Proposals at one place. `tokens` are those of the declaration before the word there."""

    def __init__(
        self, index: Index, source: Source, api: str, tokens: Sequence[str], begins_line: bool
    ) -> None:
        self._names = Names(index, api, source.name)
        self._is_test = is_test(source.name)
        self._tokens = tokens
        self._last = tokens[-1] if tokens else ""
        self._begins_line = begins_line
        self._cases = CaseCompleter(self._names, tokens, begins_line)

    def proposals(self, *, at_margin: bool) -> Iterable[Proposal]:
        """Return them in a stable order, each once."""
        if at_margin:
            return self._sections()
        match self._tokens[:1]:
            case ["api"] if len(self._tokens) == 1:
                return (Proposal(name, Kind.API) for name in self._names.index.apis())
            case ["allow" | "deny" as effect]:
                return self._rule(effect, ":")
            case ["prove"] if "allow" not in self._tokens:
                said = {":": "never allow", "never": "allow"}
                return keywords(*(said[one] for one in said if one == self._last))
            case ["prove"]:
                return self._rule("prove", "allow")
            case ["define"] if len(self._tokens) == 2:
                return keywords("as")
            case ["define"] if len(self._tokens) > 2 and self._is_test:
                return self._cases.fixture()
            case ["define"] if len(self._tokens) > 2:
                return self._condition(None)
            case ["claim" | "userinfo" | "context" | "resource" as section]:
                return self._fields(section)
            case ["scope"] if "includes" in self._tokens:
                return self._names.declared(Kind.SCOPE) if self._last in ("includes", ",") else ()
            case ["scope"] if len(self._tokens) == 3:
                return keywords("includes")
            case ["route"]:
                return self._route()
            case ["test"]:
                return self._cases.test()
        return ()

    def _sections(self) -> Iterator[Proposal]:
        if not self._names.api:
            return keywords("api")
        if self._is_test:
            return keywords("define", "test")
        return keywords(*(one for one in SECTIONS if one not in {"api", "test"}))

    def _fields(self, section: str) -> Iterator[Proposal]:
        tokens = self._tokens
        if self._last == ":":
            return vocabularies.types(self._names.index, self._names.api)
        told = section in ("claim", "userinfo")
        if told and "{" not in tokens and len(tokens) >= 4 and self._last != "<":
            return keywords(*(word for word in ("from", "of") if word not in tokens))
        option = option_of(tokens)
        if option and "{" in tokens:
            return self._options(section, option)
        if section == "resource" and "{" in tokens and "}" not in tokens and self._begins_line:
            return keywords("actions")
        return iter(())

    def _options(self, section: str, option: Sequence[str]) -> Iterator[Proposal]:
        """Propose what goes on with the words of an option, the sign before it included."""
        depth = len(open_blocks(self._tokens)) - 1
        of_record = depth == (1 if section in ("claim", "userinfo") else 2)
        if len(option) == 1:
            first = ["from"] if option[0] == "(" else []
            return keywords(*first, *(["for"] if section == "resource" and depth == 1 else []))
        if option[1:] == ["from"] and of_record:
            return keywords("key")
        if option[1] != "for":
            return iter(())
        return (
            Proposal(name, Kind.ACTION, "", one.docs)
            for one in self._names.actions_of(self._tokens[1])
            if (name := written(one.place.symbols[0])) not in option
        )

    def _route(self) -> Iterator[Proposal]:
        match self._tokens[1:]:
            case []:
                return keywords(*METHODS)
            case [_, _]:
                return keywords("as")
            case [_, _, "as"]:
                return self._names.actions()
            case [_, _, "as", _]:
                return keywords("on")
            case [_, _, "as", action, "on"]:
                return self._names.resources([action])
        return iter(())

    # -- rules -------------------------------------------------------------------------------

    def _rule(self, effect: str, begin: str) -> Iterator[Proposal]:
        """Propose what continues a rule, whose actions stand after `begin`."""
        tokens = self._tokens
        header = next(
            (at for at, token in enumerate(tokens) if token in ("when", "unless")), len(tokens)
        )
        resource = resource_of(tokens[:header])
        if self._last == "because":
            return iter(())
        if header < len(tokens):
            return self._condition(resource, ends=self._clauses(effect))
        if begin not in tokens:
            return iter(())
        if "on" not in tokens:
            if self._last in (begin, ","):
                return self._names.actions(with_any=effect != "allow" and self._last == begin)
            return keywords("on")
        if self._last == "on" or self._last == ",":
            at = tokens.index("on")
            actions = actions_of(tokens[: at + 1])
            named = {token for token in tokens[at + 1 :] if _NAME.match(token)}
            found = (one for one in self._names.resources(actions) if one.text not in named)
            if effect != "allow" and self._last == "on":
                every = Proposal("any", None, "each resource, also those added later")
                return chain((every,), found)
            return found
        return keywords(*self._clauses(effect))

    def _clauses(self, effect: str) -> list[str]:
        words = ["when", "unless", *(["because"] if effect == "deny" else [])]
        return [word for word in words if word not in self._tokens]

    # -- conditions --------------------------------------------------------------------------

    def _condition(self, resource: str | None, ends: Sequence[str] = ()) -> Iterator[Proposal]:
        tokens, last = self._tokens, self._last
        if last == "is":
            subject = tokens[-2:-1] == ["subject"]
            return keywords(*(_SUBJECTS if subject else ("missing", "present")))
        if last == "scope" or (last in ("[", ",") and lists_scopes(tokens)):
            return self._names.declared(Kind.SCOPE)
        if last == "subject":
            return keywords("is")
        following = {"has": ("any", "all", "some"), "starts": ("with",), "ends": ("with",),
                     "within": ("last", "next")}.get(last)  # fmt: skip
        if following is not None:
            return keywords(*following)
        if last in _CONDITION_STARTS:
            return self._operands(resource)
        if last in ("==", "!=", "<", "<=", ">", ">=", "in") or (
            last in ("any", "all") and tokens[-2:-1] == ["has"]
        ):
            return chain(self._values(resource), self._facts(resource))
        if last in ("[", ","):
            return self._values(resource)
        if last in ("with", "last", "next"):
            return iter(())
        return self._after_operand(resource, ends)

    def _operands(self, resource: str | None) -> Iterator[Proposal]:
        if self._last not in ("not", "("):
            yield from keywords("not")
        yield from keywords(
            "scope", "subject is user", "subject is application", "subject is asserted"
        )
        yield from self._names.declared(Kind.CONDITION)
        yield from self._facts(resource)

    def _facts(self, resource: str | None) -> Iterator[Proposal]:
        for path, (type_, text) in FACTS.items():
            yield Proposal(path, Kind.FACT, type_, (text,))
        yield from self._names.declared(Kind.CLAIM, "token.")
        yield from self._names.declared(Kind.USERINFO, "userinfo.")
        yield from self._names.declared(Kind.CONTEXT, "context.")
        yield from unique(
            proposal_of(one, "resource.")
            for one in self._names.attributes(resource, actions_of(self._tokens))
        )
        of = list_around(self._tokens)
        if of is not None:
            fields = self._names.index.all(self._names.api, Kind.FIELD)
            yield from unique(
                proposal_of(one, "item.")
                for one in fields
                if one.place.symbols[0].owner.partition(" ")[0] == of
            )

    def _values(self, resource: str | None) -> Iterator[Proposal]:
        """Propose the values of the vocabulary that the fact on the left has, if it has one."""
        fact = vocabularies.compared(self._tokens)
        for one in self._facts(resource):
            if one.text == fact:
                yield from vocabularies.values(self._names.index, self._names.api, one.detail)

    def _after_operand(self, resource: str | None, ends: Sequence[str]) -> Iterator[Proposal]:
        known = {one.text: one.detail for one in self._facts(resource)}
        detail = known.get(self._last)
        starts = self._tokens[-2:-1]
        if detail is not None and (not starts or starts[0] in _CONDITION_STARTS):
            yield from keywords(*vocabularies.operators(detail), "is present", "is missing")
        yield from keywords("and", "or", *ends)
