"""Trees to statements: what is written, in the order of the source.

Leaves are copied from the source as they were written; all that is decided here is the white space,
the trailing commas and the parentheses. Comments and documentation are not looked at, but for one
thing: a list or a chain with a comment between its parts is broken over lines, to keep it there.
"""

from __future__ import annotations

from collections.abc import Iterator, Sequence
from enum import Enum
from typing import TypeVar

import msgspec

from policyd.diagnostics import Span
from policyd.diagnostics.terminal import width
from policyd.language import case_nodes, nodes
from policyd.language.formatter.document import (
    LINE_LIMIT,
    STEP,
    Document,
    Group,
    Indent,
    Line,
    joined,
    lay_out,
)
from policyd.language.formatter.expressions import ExpressionPrinter
from policyd.language.formatter.source import WrittenSource


class Gap(Enum):
    """What may stand before a statement."""

    NONE = "no blank line"  # a clause that continues a declaration
    CLOSING = "a blank line before comments only"  # a closing brace
    ITEM = "a blank line where the author left one"
    SECTION = "always a blank line"


class Statement(msgspec.Struct, frozen=True):
    """Something that begins on a line of its own."""

    indent: int
    body: Document
    gap: Gap


#: What takes one line; those of one kind that follow each other stand in columns.
_Columned = (
    nodes.Audience
    | nodes.Scope
    | nodes.Claim
    | nodes.Userinfo
    | nodes.Define
    | nodes.Route
    | nodes.Field
)
_Item = TypeVar("_Item", bound=nodes.Node)


class Printer:
    """Prints one file. `comments` are the places of all comments, documentation included."""

    def __init__(self, file: nodes.File, comments: Sequence[Span]) -> None:
        self._file = file
        self._source = WrittenSource(file.source.text, comments)
        self._expressions = ExpressionPrinter(self._source)

    def statements(self) -> Iterator[Statement]:
        """Yield all statements in the order of the source."""
        api = self._file.api
        yield Statement(0, f"api {self._source.raw(api)}", Gap.SECTION)
        previous: type[nodes.Declaration] | None = None
        for run in self._runs(self._file.declarations):
            kind = type(run[0])
            if isinstance(run[0], _Columned) and self._takes_one_line(run[0]):
                yield from self._columns(run, Gap.ITEM if previous is kind else Gap.SECTION)
            else:
                related = previous is kind and kind in (case_nodes.Fixture, nodes.Values)
                yield from self._block(run[0], Gap.ITEM if related else Gap.SECTION)
            is_block = isinstance(run[0], _Columned) and not self._takes_one_line(run[0])
            previous = None if is_block else kind

    # -- declarations of one line --------------------------------------------------------------

    def _runs(self, items: Sequence[_Item]) -> Iterator[list[_Item]]:
        """Yield what stands in common columns: one kind, and no blank line in between."""
        run: list[_Item] = []
        for item in items:
            if run and not self._continues(run[-1], item):
                yield run
                run = []
            run.append(item)
        if run:
            yield run

    def _continues(self, before: nodes.Node, item: nodes.Node) -> bool:
        if type(before) is not type(item):
            return False
        if not (self._takes_one_line(before) and self._takes_one_line(item)):
            return False
        between = self._source.text[before.span.end : item.span.start].split("\n")
        return all(line.strip() for line in between[1:-1])

    def _takes_one_line(self, item: nodes.Node) -> bool:
        if isinstance(item, nodes.Claim | nodes.Userinfo | nodes.Field) and item.record:
            return False
        if isinstance(item, case_nodes.Expectation):
            return len(lay_out(self._item(item), STEP, LINE_LIMIT)) == 1
        return isinstance(item, _Columned)

    def _columns(self, run: Sequence[nodes.Declaration], gap: Gap) -> Iterator[Statement]:
        names = max(width(self._heading(declaration)) for declaration in run)
        types = max(width(self._type_of(declaration)) for declaration in run)
        for declaration in run:
            yield Statement(0, self._columned(declaration, names, types), gap)
            gap = Gap.ITEM

    def _heading(self, declaration: nodes.Declaration) -> str:
        match declaration:
            case nodes.Scope(name=name):
                return f"scope {self._source.raw(name)}"
            case nodes.Claim(name=name):
                return f"claim {self._source.raw(name)}:"
            case nodes.Userinfo(name=name):
                return f"userinfo {self._source.raw(name)}:"
            case nodes.Define(name=name):
                return f"define {self._source.raw(name)}"
            case nodes.Route(method=method):
                return f"route {self._source.raw(method)}"
            case _:
                return "audience"

    def _type_of(self, declaration: nodes.Declaration) -> str:
        match declaration:
            case nodes.Claim(type=type_) | nodes.Userinfo(type=type_):
                return _type(type_)
            case nodes.Route(template=template):
                return self._source.raw(template)
            case _:
                return ""

    def _columned(self, declaration: nodes.Declaration, names: int, types: int) -> Document:
        heading = self._heading(declaration)
        padded = heading + " " * (names - width(heading))
        match declaration:
            case nodes.Audience(value=value):
                return f"audience {self._source.raw(value)}"
            case nodes.Scope(description=description, includes=includes) if description is not None:
                written = f"{padded}  {self._source.raw(description)}"
                if not includes:
                    return written
                listed = Indent((Line(), "includes ", Indent(self._source.listed(includes))))
                return Group((written, listed), self._source.has_comment_between(includes))
            case nodes.Claim(type=type_) | nodes.Userinfo(type=type_):
                return f"{padded} {_type(type_):<{types}}{self._origin(declaration)}".rstrip()
            case nodes.Route(template=template, action=action, resource=resource):
                padding = " " * (types - width(self._source.raw(template)))
                meaning = f"as {self._source.named(action)} on {self._source.named(resource)}"
                return f"{padded} {self._source.raw(template)}{padding} {meaning}"
            case nodes.Define(condition=condition):
                return Group(
                    (f"{padded} as", Indent((Line(), self._expressions.condition(condition))))
                )
            case _:
                return heading

    # -- declarations of several lines ---------------------------------------------------------

    def _block(self, declaration: nodes.Declaration, gap: Gap) -> Iterator[Statement]:
        match declaration:
            case nodes.Claim() | nodes.Userinfo():
                yield from self._list(declaration)
            case case_nodes.Fixture(name=name, value=value):
                heading = f"define {self._source.raw(name)} as "
                yield Statement(0, (heading, self._fixture(value)), gap)
            case nodes.Values(name=name, values=values):
                heading = f"values {self._source.raw(name)}:"
                body = Group(
                    (heading, Indent((Line(), self._source.listed(values)))),
                    self._source.has_comment_between(values),
                )
                yield Statement(0, body, gap)
            case nodes.Context(fields=fields):
                yield Statement(0, "context {", Gap.SECTION)
                yield from self._fields(fields)
                yield Statement(0, "}", Gap.CLOSING)
            case nodes.Resource(name=name):
                yield Statement(0, f"resource {self._source.named(name)} {{", Gap.SECTION)
                yield from self._resource(declaration)
                yield Statement(0, "}", Gap.CLOSING)
            case nodes.Rule():
                yield from self._rule(declaration)
            case case_nodes.Test():
                yield from self._test(declaration)

    def _test(self, test: case_nodes.Test) -> Iterator[Statement]:
        title = self._source.raw(test.title)
        yield Statement(0, f"test {title} {{", Gap.SECTION)
        for run in self._runs(test.items):
            effects = {item.effect for item in run if isinstance(item, case_nodes.Expectation)}
            for item in run:
                body = self._item(item, "deny " if len(effects) > 1 else "deny")
                yield Statement(STEP, body, Gap.ITEM)
        yield Statement(0, "}", Gap.CLOSING)

    def _origin(self, claim: nodes.Claim | nodes.Userinfo) -> str:
        """Print where a claim stands, and whose it is."""
        path = "" if claim.path is None else f" from {self._source.raw(claim.path)}"
        return path if claim.issuer is None else f"{path} of {self._source.raw(claim.issuer)}"

    def _list(self, claim: nodes.Claim | nodes.Userinfo) -> Iterator[Statement]:
        """Print a claim that is a list of records."""
        heading = f"{self._heading(claim)} {_type(claim.type)}{self._origin(claim)} {{"
        yield Statement(0, heading, Gap.SECTION)
        yield from self._fields(() if claim.record is None else claim.record.fields)
        yield Statement(0, "}", Gap.CLOSING)

    def _fields(self, fields: Sequence[nodes.Field], indent: int = STEP) -> Iterator[Statement]:
        for run in self._runs(fields):
            names = max(width(self._source.raw(field.name)) for field in run) + 1
            types = max(width(_type(field.type)) for field in run)
            for field in run:
                name = f"{self._source.raw(field.name)}:"
                options = self._options(field)
                type_ = f"{_type(field.type):<{types}} " if options else _type(field.type)
                body = (f"{name:<{names}} {type_}", options)
                if field.record is None:
                    yield Statement(indent, body, Gap.ITEM)
                    continue
                yield Statement(indent, (body, " {"), Gap.ITEM)
                yield from self._fields(field.record.fields, indent + STEP)
                yield Statement(indent, "}", Gap.CLOSING)

    def _options(self, field: nodes.Field) -> Document:
        """Print what is in parentheses: where a field stands, and then which actions have it."""
        parts: list[Document] = []
        if field.from_key:
            parts.append("from key")
        elif field.path is not None:
            parts.append(f"from {self._source.raw(field.path)}")
        if field.actions:
            names = joined(Line(), map(self._source.named, field.actions))
            parts.append(
                ("for ", Group(Indent(names), self._source.has_comment_between(field.actions)))
            )
        return ("(", joined(", ", parts), ")") if parts else ""

    def _resource(self, resource: nodes.Resource) -> Iterator[Statement]:
        yield from self._fields(resource.fields)
        if resource.actions:
            names = self._source.listed(resource.actions)
            body = Group(
                ("actions", Indent((Line(), names))),
                self._source.has_comment_between(resource.actions),
            )
            yield Statement(STEP, body, Gap.ITEM)

    def _rule(self, rule: nodes.Rule) -> Iterator[Statement]:
        actions: Document = "any"
        broken = False
        if rule.actions is not None:
            actions = self._source.listed(rule.actions)
            broken = self._source.has_comment_between(rule.actions)
        heading = f"{rule.effect} {self._source.raw(rule.name)}:"
        if isinstance(rule, nodes.Proof):
            heading = f"prove {self._source.raw(rule.name)}: never allow"
        resources: Document = "any"
        if rule.resources is not None:
            resources = self._source.group(rule.resources)
        body = (actions, Line(), "on ", resources)
        header = Group((heading, Indent(Indent((Line(), body)))), broken)
        yield Statement(0, header, Gap.SECTION)
        for word, condition in (("when", rule.when), ("unless", rule.unless)):
            if condition is not None:
                clause = (f"{word} ", Indent(self._expressions.condition(condition)))
                yield Statement(STEP, clause, Gap.NONE)
        if rule.because is not None:
            because = f"because {self._source.raw(rule.because)}"
            yield Statement(STEP, because, Gap.NONE)

    def _item(self, item: case_nodes.TestItem, deny: str = "deny ") -> Document:
        match item:
            case case_nodes.Clock(time=time):
                return f"at {self._source.raw(time)}"
            case case_nodes.TokenBlock() | case_nodes.ClaimsBlock():
                return self._token(item)
            case case_nodes.UserinfoBlock(pairs=pairs):
                return ("userinfo ", self._expressions.pairs(pairs))
            case case_nodes.ContextBlock(pairs=pairs):
                return ("context ", self._expressions.pairs(pairs))
        effect = deny if item.effect == "deny" else "allow"
        heading = f"{effect} {self._source.named(item.action)} on "
        parts: list[Document] = [heading, self._described(item)]
        if item.by:
            parts += [" by ", self._source.group(item.by)]
        if item.missing:
            parts += [" missing ", self._source.group(item.missing)]
        if item.reason is not None:
            parts.append(f" because {self._source.raw(item.reason)}")
        return tuple(parts)

    def _fixture(
        self, value: case_nodes.TokenBlock | case_nodes.ClaimsBlock | case_nodes.ResourceValue
    ) -> Document:
        if isinstance(value, case_nodes.ResourceValue):
            return ("resource ", self._described(value))
        return self._token(value)

    def _token(self, block: case_nodes.TokenBlock | case_nodes.ClaimsBlock) -> Document:
        if isinstance(block, case_nodes.ClaimsBlock):
            heading = f"token from {self._source.raw(block.dialect)} "
            return (heading, self._expressions.json(block.claims))
        if block.kind is None:
            return ("token ", self._expressions.pairs(block.pairs))
        heading = f"token {self._source.raw(block.kind)}"
        if block.pairs or self._source.opens_after(block.kind):
            return (f"{heading} ", self._expressions.pairs(block.pairs))
        return heading

    def _described(self, item: case_nodes.Expectation | case_nodes.ResourceValue) -> Document:
        """Print a resource, its id and its attributes."""
        parts: list[Document] = [self._source.named(item.resource)]
        if item.id is not None:
            parts.append(f" {self._source.raw(item.id)}")
        if item.attributes or self._source.opens_after(item.id or item.resource):
            parts += [" ", self._expressions.pairs(item.attributes)]
        return tuple(parts)


def _type(type_: nodes.TypeName) -> str:
    element = "" if type_.element is None else f"<{type_.element}>"
    return f"{type_.name}{element}{'?' if type_.optional else ''}"
