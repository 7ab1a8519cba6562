"""Syntax trees to an index of names: declarations, and who uses them.

The trees of one API are read together. A place can refer to several symbols: `resource.sealed` in a
condition that is used on two resources reads the attribute of both.
"""

from __future__ import annotations

import re
from collections import defaultdict
from collections.abc import Iterable, Iterator, Sequence

from policyd.diagnostics import Source, Span
from policyd.editor.index import Declared, Index, Kind, Occurrence, Role, Symbol
from policyd.editor.walk import Part, condition_parts, references
from policyd.editor.words import TYPES
from policyd.language import case_nodes, nodes
from policyd.language.types import RESOURCE_ID, TOKEN_FACTS

_ROOTS = {
    Kind.CLAIM: "token",
    Kind.USERINFO: "userinfo",
    Kind.CONTEXT: "context",
    Kind.ATTRIBUTE: "resource",
}
_PARAMETER = re.compile(r"\{([A-Za-z_][A-Za-z0-9_-]*)\}")


def read_index(files: Iterable[nodes.File]) -> Index:
    """Return the index of a policy set, its tests included."""
    index = Index()
    by_api: defaultdict[str, list[nodes.File]] = defaultdict(list)
    for file in files:
        by_api[file.api.text].append(file)
    for api, parts in sorted(by_api.items()):
        _ApiReader(index, api, parts).read()
    return index


class _ApiReader:
    """Reads the files of one API: declarations first, since references are read by them."""

    def __init__(self, index: Index, api: str, files: Sequence[nodes.File]) -> None:
        self._index = index
        self._api = api
        self._files = files
        self._owners = _owners(files)
        self._resources = [
            declaration
            for file in files
            for declaration in file.declarations
            if isinstance(declaration, nodes.Resource)
        ]
        self._described: dict[str, str] = {}  # fixtures of the file at hand, with their resources

    def read(self) -> None:
        for file in self._files:
            self._described = dict(_described(file))
            place = self._place(file.source, file.api.span, Kind.API, self._api)
            self._index.declare(place.symbols[0], Declared(place, file.api, file.docs))
            for declaration in file.declarations:
                self._declaration(file.source, declaration)

    # -- declarations ------------------------------------------------------------------------

    def _declaration(self, source: Source, node: nodes.Declaration) -> None:
        match node:
            case nodes.Scope(name=name, includes=includes):
                user = self._declare(source, name, Kind.SCOPE, node)
                for one in includes:
                    self._use(source, one.span, Kind.SCOPE, one.text, user)
            case nodes.Values(name=name):
                self._declare(source, name, Kind.VOCABULARY, node)
            case nodes.Claim():
                self._typed(source, node, Kind.CLAIM)
            case nodes.Userinfo():
                self._typed(source, node, Kind.USERINFO)
            case nodes.Context(fields=fields):
                for field in fields:
                    self._typed(source, field, Kind.CONTEXT)
            case nodes.Resource():
                self._resource(source, node)
            case nodes.Define(name=name, condition=condition):
                user = self._declare(source, name, Kind.CONDITION, node)
                owners = self._owners.get(name.text)
                self._condition(source, condition, owners, user)
            case nodes.Rule():
                self._rule(source, node)
            case nodes.Route():
                self._route(source, node)
            case case_nodes.Test():
                self._test(source, node)
            case case_nodes.Fixture():
                self._fixture(source, node)

    def _declare(
        self, source: Source, name: nodes.Name, kind: Kind, node: nodes.Declaration, owner: str = ""
    ) -> Symbol:
        symbol = Symbol(self._api, kind, name.text, owner)
        place = Occurrence(source, name.span, name.span, (symbol,), Role.DECLARED)
        self._index.declare(symbol, Declared(place, node, node.docs))
        return symbol

    def _typed(
        self,
        source: Source,
        node: nodes.Claim | nodes.Userinfo | nodes.Field,
        kind: Kind,
        owner: str = "",
    ) -> None:
        """Read what has a type, which may be a vocabulary."""
        user = self._declare(source, node.name, kind, node, owner)
        word = node.type.word
        if word.text not in TYPES:
            self._use(source, word.span, Kind.VOCABULARY, word.text, user)
        if kind is Kind.FIELD:  # has no fields of its own
            return
        of = f"{_ROOTS[kind]}.{node.name.text} {owner}".rstrip()
        for field in () if node.record is None else node.record.fields:
            self._typed(source, field, Kind.FIELD, of)

    def _resource(self, source: Source, node: nodes.Resource) -> None:
        owner = node.name.text
        self._declare(source, node.name, Kind.RESOURCE, node)
        for field in node.fields:
            self._typed(source, field, Kind.ATTRIBUTE, owner)
            user = Symbol(self._api, Kind.ATTRIBUTE, field.name.text, owner)
            for one in field.actions:
                self._use(source, one.span, Kind.ACTION, one.text, user, owner)
        for action in node.actions:
            symbol = Symbol(self._api, Kind.ACTION, action.text, owner)
            place = Occurrence(source, action.span, action.span, (symbol,), Role.DECLARED)
            self._index.declare(symbol, Declared(place, action, node.actions_docs))

    def _route(self, source: Source, node: nodes.Route) -> None:
        name = f"{node.method.text} {node.template.value}"
        user = Symbol(self._api, Kind.ROUTE, name)
        span = node.template.span
        place = Occurrence(source, span, span, (user,), Role.DECLARED)
        self._index.declare(user, Declared(place, node, node.docs))
        owner = node.resource.text
        self._use(source, node.action.span, Kind.ACTION, node.action.text, user, owner)
        self._use(source, node.resource.span, Kind.RESOURCE, owner, user)
        for parameter in _PARAMETER.finditer(source.text, *span):
            if parameter[1] != RESOURCE_ID.name:
                name_span = Span(*parameter.span(1))
                self._use(source, name_span, Kind.ATTRIBUTE, parameter[1], user, owner)

    def _rule(self, source: Source, node: nodes.Rule) -> None:
        user = self._declare(source, node.name, Kind.RULE, node)
        owners = self._targets(node)
        for action in node.actions or ():
            meant = [Symbol(self._api, Kind.ACTION, action.text, one) for one in owners]
            self._index.add(
                Occurrence(source, action.span, action.span, tuple(meant), Role.USED, user)
            )
        implied: list[tuple[Span | None, list[Symbol]]] = [
            (
                node.any_span,
                [
                    Symbol(self._api, Kind.ACTION, action.text, resource.name.text)
                    for resource in self._resources
                    if resource.name.text in owners
                    for action in resource.actions
                ],
            ),
            (
                node.any_resource_span,
                [Symbol(self._api, Kind.RESOURCE, owner) for owner in owners],
            ),
        ]
        for span, symbols in implied:
            if span is not None:
                self._index.add(Occurrence(source, span, span, tuple(symbols), Role.IMPLIED, user))
        for name in node.resources or ():
            self._use(source, name.span, Kind.RESOURCE, name.text, user)
        for condition in (node.when, node.unless):
            if condition is not None:
                self._condition(source, condition, set(owners), user)

    def _targets(self, node: nodes.Rule) -> list[str]:
        return targets(node, self._resources)

    # -- conditions --------------------------------------------------------------------------

    def _condition(
        self, source: Source, node: nodes.Condition, owners: set[str] | None, user: Symbol
    ) -> None:
        for part in condition_parts(node):
            match part.kind:
                case "scope":
                    self._use(source, part.span, Kind.SCOPE, part.text, user)
                case "condition":
                    self._use(source, part.span, Kind.CONDITION, part.text, user)
                case "fact":
                    self._fact(source, part, owners, user)

    def _fact(self, source: Source, part: Part, owners: set[str] | None, user: Symbol) -> None:
        root, _, name = part.text.partition(".")
        span = Span(part.span.end - len(name), part.span.end)
        match root:
            case "token" if name not in TOKEN_FACTS:
                symbols = [Symbol(self._api, Kind.CLAIM, name)]
            case "userinfo":
                symbols = [Symbol(self._api, Kind.USERINFO, name)]
            case "context":
                symbols = [Symbol(self._api, Kind.CONTEXT, name)]
            case "item" if part.of:
                symbols = [
                    Symbol(self._api, Kind.FIELD, name, owner)
                    for owner in self._lists(part.of, owners)
                ]
            case "resource" if name != "id":
                read_on = self._having(name) if owners is None else owners
                symbols = [Symbol(self._api, Kind.ATTRIBUTE, name, one) for one in sorted(read_on)]
            case _:
                span = part.span
                symbols = [Symbol(self._api, Kind.FACT, part.text)]
        self._index.add(Occurrence(source, span, part.span, tuple(symbols), Role.USED, user))

    def _lists(self, path: str, owners: set[str] | None) -> list[str]:
        """Return what the lists of a path are called: of an attribute there may be several."""
        root, _, name = path.partition(".")
        if root != "resource":
            return [path]
        on = self._having(name) if owners is None else owners
        return [f"{path} {owner}" for owner in sorted(on)]

    def _having(self, attribute: str) -> set[str]:
        """Return the resources that have an attribute."""
        return {
            resource.name.text
            for resource in self._resources
            if any(field.name.text == attribute for field in resource.fields)
        }

    # -- tests -------------------------------------------------------------------------------

    def _test(self, source: Source, node: case_nodes.Test) -> None:
        user = Symbol(self._api, Kind.TEST, node.title.value)
        place = Occurrence(source, node.title.span, node.title.span, (user,), Role.DECLARED)
        self._index.declare(user, Declared(place, node, node.docs))
        for item in node.items:
            match item:
                case case_nodes.TokenBlock():
                    self._token(source, item, user)
                case case_nodes.UserinfoBlock(pairs=pairs):
                    for pair in pairs:
                        self._use(source, pair.key.span, Kind.USERINFO, pair.key.text, user)
                case case_nodes.ContextBlock(pairs=pairs):
                    for pair in pairs:
                        self._use(source, pair.key.span, Kind.CONTEXT, pair.key.text, user)
                case case_nodes.Expectation():
                    self._expectation(source, item, user)

    def _fixture(self, source: Source, node: case_nodes.Fixture) -> None:
        user = self._declare(source, node.name, Kind.FIXTURE, node, source.name)
        match node.value:
            case case_nodes.TokenBlock() as block:
                self._token(source, block, user)
            case case_nodes.ResourceValue(resource=resource, attributes=attributes):
                self._use(source, resource.span, Kind.RESOURCE, resource.text, user)
                for pair in attributes:
                    name = pair.key.text
                    self._use(source, pair.key.span, Kind.ATTRIBUTE, name, user, resource.text)

    def _token(self, source: Source, node: case_nodes.TokenBlock, user: Symbol) -> None:
        kind = node.kind
        if kind is not None and kind.text not in ("user", "application"):
            self._use(source, kind.span, Kind.FIXTURE, kind.text, user, source.name)
        for pair in node.pairs:
            self._token_pair(source, pair, user)

    def _token_pair(self, source: Source, pair: case_nodes.Pair, user: Symbol) -> None:
        name = pair.key.text
        if name == "scope":
            if isinstance(pair.value, nodes.List):
                for item in pair.value.items:
                    if isinstance(item, nodes.Name | nodes.Text):
                        text = item.text if isinstance(item, nodes.Name) else item.value
                        self._use(source, item.span, Kind.SCOPE, text, user)
        elif name in TOKEN_FACTS:
            self._use(source, pair.key.span, Kind.FACT, f"token.{name}", user)
        else:
            self._use(source, pair.key.span, Kind.CLAIM, name, user)

    def _expectation(self, source: Source, node: case_nodes.Expectation, user: Symbol) -> None:
        name = node.resource.text
        owner = self._described.get(name, name)
        self._use(source, node.action.span, Kind.ACTION, node.action.text, user, owner)
        if name in self._described:
            self._use(source, node.resource.span, Kind.FIXTURE, name, user, source.name)
        else:
            self._use(source, node.resource.span, Kind.RESOURCE, name, user)
        for scope in node.missing:
            self._use(source, scope.span, Kind.SCOPE, scope.text, user)
        for pair in node.attributes:
            self._use(source, pair.key.span, Kind.ATTRIBUTE, pair.key.text, user, owner)
        for rule in node.by:
            self._use(source, rule.span, Kind.RULE, rule.text, user)

    def _use(
        self, source: Source, span: Span, kind: Kind, name: str, user: Symbol, owner: str = ""
    ) -> None:
        symbol = Symbol(self._api, kind, name, owner)
        self._index.add(Occurrence(source, span, span, (symbol,), Role.USED, user))

    def _place(self, source: Source, span: Span, kind: Kind, name: str) -> Occurrence:
        return Occurrence(source, span, span, (Symbol(self._api, kind, name),), Role.DECLARED)


def _described(file: nodes.File) -> Iterator[tuple[str, str]]:
    """Yield the fixtures of a file that are resources, each with the resource's name."""
    for declaration in file.declarations:
        match declaration:
            case case_nodes.Fixture(name=name, value=case_nodes.ResourceValue(resource=resource)):
                yield name.text, resource.text


def _owners(files: Sequence[nodes.File]) -> dict[str, set[str]]:
    """Return, by condition, the resources on which rules use it, through other conditions too."""
    inside: defaultdict[str, set[str]] = defaultdict(set)
    found: defaultdict[str, set[str]] = defaultdict(set)
    resources: list[nodes.Resource] = []
    for file in files:
        for declaration in file.declarations:
            if isinstance(declaration, nodes.Define):
                inside[declaration.name.text].update(references(declaration.condition))
            elif isinstance(declaration, nodes.Resource):
                resources.append(declaration)
    for file in files:
        for declaration in file.declarations:
            if not isinstance(declaration, nodes.Rule):
                continue
            stack = [
                name
                for condition in (declaration.when, declaration.unless)
                if condition is not None
                for name in references(condition)
            ]
            on = set(targets(declaration, resources))
            while stack:
                name = stack.pop()
                if not on <= found[name]:
                    found[name] |= on
                    stack.extend(inside[name])
    return dict(found)


def targets(rule: nodes.Rule, declared: Sequence[nodes.Resource]) -> list[str]:
    """Return the resources that a rule is for: those it lists, or those that `any` stands for."""
    if rule.resources is not None:
        return [name.text for name in rule.resources]
    actions = None if rule.actions is None else {action.text for action in rule.actions}
    return [
        resource.name.text
        for resource in declared
        if actions is None or any(action.text in actions for action in resource.actions)
    ]
