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
from policyd.editor.index import Declared, Index, Kind
from policyd.editor.phrases import (
    after,
    last_of,
    list_around,
    lists_scopes,
    open_blocks,
    option_of,
    plain,
    resource_of,
)
from policyd.editor.proposals import Completion, Proposal, keywords, proposal_of, unique, written
from policyd.editor.words import RESERVED, SECTIONS
from policyd.editor.workspace import is_test
from policyd.language.routes import METHODS
from policyd.language.types import Type
from policyd.reasons import Reason

_WORD = re.compile(r"[A-Za-z0-9_.:\-]*\Z")
_TOKEN = re.compile(
    r'//[^\n]*|"(?:[^"\\\n]|\\[^\n])*"?|[A-Za-z_][\w.\-]*(?::[\w.\-]+)*|[\w.\-]+|[=!<>]=|\S'
)
_NAME = re.compile(r'[A-Za-z_"]')
_CONDITION_STARTS = frozenset({"when", "unless", "as", "and", "or", "not", "("})
#: What a line of a test begins with.
_TEST_ITEMS = ("allow", "at", "context", "deny", "token", "userinfo")


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
        self._index = index
        self._file = source.name
        self._is_test = is_test(source.name)
        self._api = api
        self._tokens = tokens
        self._last = tokens[-1] if tokens else ""
        self._begins_line = begins_line

    def proposals(self, *, at_margin: bool) -> Iterable[Proposal]:
        """Return them in a stable order, each once."""
        if at_margin:
            return self._sections()
        match self._tokens[:1]:
            case ["api"] if len(self._tokens) == 1:
                return (Proposal(name, Kind.API) for name in self._index.apis())
            case ["allow" | "deny" as effect]:
                return self._rule(effect)
            case ["define"] if len(self._tokens) == 2:
                return keywords("as")
            case ["define"] if len(self._tokens) > 2 and self._is_test:
                return self._fixture()
            case ["define"] if len(self._tokens) > 2:
                return self._condition(None)
            case ["claim" | "userinfo" | "context" | "resource" as section]:
                return self._fields(section)
            case ["scope"] if "includes" in self._tokens:
                return self._declared(Kind.SCOPE) if self._last in ("includes", ",") else ()
            case ["scope"] if len(self._tokens) == 3:
                return keywords("includes")
            case ["route"]:
                return self._route()
            case ["test"]:
                return self._test()
        return ()

    def _sections(self) -> Iterator[Proposal]:
        if not self._api:
            return keywords("api")
        if self._is_test:
            return keywords("define", "test")
        return keywords(*(one for one in SECTIONS if one not in {*RESERVED, "api", "test"}))

    def _fields(self, section: str) -> Iterator[Proposal]:
        tokens = self._tokens
        if self._last == ":":
            return vocabularies.types(self._index, self._api)
        if section in ("claim", "userinfo") and len(tokens) >= 4 and self._last != "<":
            return keywords(*(word for word in ("from", "of") if word not in tokens))
        option = option_of(tokens)
        if option and "{" in tokens:
            return self._options(section, option)
        if section == "resource" and "{" in tokens and "}" not in tokens and self._begins_line:
            return keywords("actions")
        return iter(())

    def _options(self, section: str, option: Sequence[str]) -> Iterator[Proposal]:
        """Propose what goes on with the words of an option, the sign before it included."""
        if len(option) == 1:
            of_resource = section == "resource" and len(open_blocks(self._tokens)) == 2
            first = ["from"] if option[0] == "(" else []
            return keywords(*first, *(["for"] if of_resource else []))
        if option[1] != "for":
            return iter(())
        return (
            Proposal(name, Kind.ACTION, "", one.docs)
            for one in self._actions_of(self._tokens[1])
            if (name := written(one.place.symbols[0])) not in option
        )

    def _route(self) -> Iterator[Proposal]:
        match self._tokens[1:]:
            case []:
                return keywords(*METHODS)
            case [_, _]:
                return keywords("as")
            case [_, _, "as"]:
                return self._actions()
            case [_, _, "as", _]:
                return keywords("on")
            case [_, _, "as", action, "on"]:
                return self._resources([action])
        return iter(())

    # -- rules -------------------------------------------------------------------------------

    def _rule(self, effect: str) -> Iterator[Proposal]:
        tokens = self._tokens
        header = next(
            (at for at, token in enumerate(tokens) if token in ("when", "unless")), len(tokens)
        )
        resource = resource_of(tokens[:header])
        if self._last == "because":
            return iter(())
        if header < len(tokens):
            return self._condition(resource, ends=self._clauses(effect))
        if ":" not in tokens:
            return iter(())
        if "on" not in tokens:
            if self._last in (":", ","):
                return self._actions(with_any=effect == "deny" and self._last == ":")
            return keywords("on")
        if self._last == "on" or self._last == ",":
            at = tokens.index("on")
            actions = [token for token in tokens[tokens.index(":") : at] if _NAME.match(token)]
            named = {token for token in tokens[at + 1 :] if _NAME.match(token)}
            found = (one for one in self._resources(actions) if one.text not in named)
            if effect == "deny" and self._last == "on":
                every = Proposal("any", None, "each resource, also those added later")
                return chain((every,), found)
            return found
        return keywords(*self._clauses(effect))

    def _clauses(self, effect: str) -> list[str]:
        words = ["when", "unless", *(["because"] if effect == "deny" else [])]
        return [word for word in words if word not in self._tokens]

    def _actions(self, *, with_any: bool = False) -> Iterator[Proposal]:
        if with_any:
            yield Proposal("any", None, "each action of the resource, also those added later")
        owners: dict[str, list[Declared]] = {}
        for declared in self._index.all(self._api, Kind.ACTION):
            owners.setdefault(written(declared.place.symbols[0]), []).append(declared)
        for name, found in owners.items():
            listed = ", ".join(one.place.symbols[0].owner for one in found)
            yield Proposal(name, Kind.ACTION, f"on {listed}", found[0].docs)

    def _resources(self, actions: Sequence[str]) -> Iterator[Proposal]:
        """Propose the resources that have all these actions, or all if none has."""
        found = list(self._declared(Kind.RESOURCE))
        fitting = [
            proposal
            for proposal in found
            if set(actions) - {"any"}
            <= {written(one.place.symbols[0]) for one in self._actions_of(proposal.text)}
        ]
        return iter(fitting or found)

    # -- conditions --------------------------------------------------------------------------

    def _condition(self, resource: str | None, ends: Sequence[str] = ()) -> Iterator[Proposal]:
        tokens, last = self._tokens, self._last
        if last == "is":
            subject = tokens[-2:-1] == ["subject"]
            return keywords(*(("application", "user") if subject else ("missing", "present")))
        if last == "scope" or (last in ("[", ",") and lists_scopes(tokens)):
            return self._declared(Kind.SCOPE)
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
        yield from keywords("scope", "subject is user", "subject is application")
        yield from self._declared(Kind.CONDITION)
        yield from self._facts(resource)

    def _facts(self, resource: str | None) -> Iterator[Proposal]:
        for path, (type_, text) in FACTS.items():
            yield Proposal(path, Kind.FACT, type_, (text,))
        yield from self._declared(Kind.CLAIM, "token.")
        yield from self._declared(Kind.USERINFO, "userinfo.")
        yield from self._declared(Kind.CONTEXT, "context.")
        yield from unique(
            proposal_of(one, "resource.") for one in self._having(resource, Kind.ATTRIBUTE)
        )
        of = list_around(self._tokens)
        if of is not None:
            fields = self._index.all(self._api, Kind.FIELD)
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
                yield from vocabularies.values(self._index, self._api, one.detail)

    def _after_operand(self, resource: str | None, ends: Sequence[str]) -> Iterator[Proposal]:
        known = {one.text: one.detail for one in self._facts(resource)}
        detail = known.get(self._last)
        starts = self._tokens[-2:-1]
        if detail is not None and (not starts or starts[0] in _CONDITION_STARTS):
            yield from keywords(*vocabularies.operators(detail), "is present", "is missing")
        yield from keywords("and", "or", *ends)

    # -- tests -------------------------------------------------------------------------------

    def _test(self) -> Iterator[Proposal]:
        blocks = open_blocks(self._tokens)
        match len(blocks):
            case 1:
                return iter(())
            case 2:
                return self._test_line(blocks[1])
        return self._stated(blocks[1], blocks[2])

    def _fixture(self) -> Iterator[Proposal]:
        blocks = open_blocks(self._tokens)
        if len(blocks) > 1:
            return self._stated(blocks[0], blocks[1])
        match self._tokens[2:]:
            case ["as"]:
                return keywords("token", "resource")
            case ["as", "token"]:
                return keywords("user", "application")
            case ["as", "resource"]:
                return self._declared(Kind.RESOURCE)
        return iter(())

    def _stated(self, statement: Sequence[str], inside: Sequence[str]) -> Iterator[Proposal]:
        """Propose what a block may hold that states a token, a context or attributes."""
        if "[" in inside and "]" not in inside[last_of("[", inside) :]:
            before = inside[: last_of("[", inside)]
            if before[-2:] == ["scope", ":"]:
                return self._declared(Kind.SCOPE)
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
                yield from vocabularies.values(self._index, self._api, one.detail)

    def _test_line(self, tokens: Sequence[str]) -> Iterator[Proposal]:
        if self._begins_line or not tokens:
            return keywords(*_TEST_ITEMS)
        at = max(last_of(word, tokens) for word in _TEST_ITEMS)
        statement = tokens[max(at, 0) :]
        match statement[0]:
            case "token" if len(statement) == 1:
                fixtures = (one for one in self._fixtures() if one.detail == "token")
                return chain(keywords("user", "application"), fixtures)
            case "allow" | "deny" if len(statement) == 1:
                return self._actions()
            case "allow" | "deny" if self._last == "on":
                fixtures = (one for one in self._fixtures() if one.detail != "token")
                return chain(self._resources([statement[1]]), fixtures)
            case "allow" | "deny" if self._last == "missing":
                return self._declared(Kind.SCOPE)
            case "allow" | "deny" if self._last == "because":
                return (Proposal(reason, None, "reason") for reason in Reason)
            case "allow" | "deny" if self._last == "by" or (
                self._last == "," and "by" in statement
            ):
                return self._declared(Kind.RULE)
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
                yield from self._declared(Kind.CLAIM)
            case ["userinfo"]:
                yield from self._declared(Kind.USERINFO)
            case ["context"]:
                yield from self._declared(Kind.CONTEXT)
            case ["allow" | "deny" | "resource"]:
                resource = after("resource", tokens[at:]) or after("on", tokens[at:])
                described = {one.text: one.detail for one in self._fixtures()}
                resource = described.get(resource or "", resource and plain(resource))
                yield from map(proposal_of, self._having(resource, Kind.ATTRIBUTE))

    # -- names -------------------------------------------------------------------------------

    def _declared(self, kind: Kind, prefix: str = "") -> Iterator[Proposal]:
        return (proposal_of(one, prefix) for one in self._index.all(self._api, kind))

    def _fixtures(self) -> Iterator[Proposal]:
        found = self._index.all(self._api, Kind.FIXTURE, self._file)
        return (proposal_of(one) for one in found)

    def _actions_of(self, resource: str) -> Iterator[Declared]:
        """Yield the actions of a resource that is called as a policy writes it."""
        for one in self._index.all(self._api, Kind.RESOURCE):
            symbol = one.place.symbols[0]
            if written(symbol) == resource:
                yield from self._having(symbol.name, Kind.ACTION)

    def _having(self, resource: str | None, kind: Kind) -> Iterator[Declared]:
        return self._index.all(self._api, kind, resource)
