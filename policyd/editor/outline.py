"""The declarations of one file, as an editor lists them."""

from __future__ import annotations

from collections.abc import Iterator

import msgspec

from policyd.diagnostics import Span
from policyd.editor.index import Kind
from policyd.language import case_nodes, nodes


class Item(msgspec.Struct, frozen=True):
    """A declaration: `span` is all of it, `name_span` its name."""

    name: str
    detail: str
    kind: Kind
    span: Span
    name_span: Span
    children: tuple[Item, ...] = ()


def outline(file: nodes.File) -> tuple[Item, ...]:
    """Return the declarations of a file in their order."""
    return tuple(item for declaration in file.declarations for item in _items(declaration))


def _items(node: nodes.Declaration) -> Iterator[Item]:
    span = node.span
    match node:
        case nodes.Scope(name=name, description=description):
            text = description.value if description else ""
            yield Item(name.text, text, Kind.SCOPE, span, name.span)
        case nodes.Values(name=name, values=values):
            listed = ", ".join(value.value for value in values)
            yield Item(name.text, listed, Kind.VOCABULARY, span, name.span)
        case nodes.Claim(name=name, type=type_):
            yield Item(name.text, _type(type_), Kind.CLAIM, span, name.span)
        case nodes.Userinfo(name=name, type=type_):
            yield Item(name.text, _type(type_), Kind.USERINFO, span, name.span)
        case nodes.Context(fields=fields):
            for field in fields:
                yield _field(field, Kind.CONTEXT)
        case nodes.Resource(name=name, fields=fields, actions=actions):
            children = [_field(field, Kind.ATTRIBUTE) for field in fields]
            children += [Item(one.text, "", Kind.ACTION, one.span, one.span) for one in actions]
            yield Item(name.text, "resource", Kind.RESOURCE, span, name.span, tuple(children))
        case nodes.Define(name=name):
            yield Item(name.text, "", Kind.CONDITION, span, name.span)
        case nodes.Rule(name=name, effect=effect, actions=actions, target=target):
            listed = "any" if actions is None else ", ".join(one.text for one in actions)
            said = "never allow" if isinstance(node, nodes.Proof) else effect
            detail = f"{said} {listed} on {target}"
            yield Item(name.text, detail, Kind.RULE, span, name.span)
        case nodes.Route(template=template, action=action, resource=resource):
            title = f"{node.method.text} {template.value}"
            detail = f"{action.text} on {resource.text}"
            yield Item(title, detail, Kind.ROUTE, span, template.span)
        case case_nodes.Fixture(name=name, value=value):
            detail = value.resource.text if isinstance(value, case_nodes.ResourceValue) else "token"
            yield Item(name.text, detail, Kind.FIXTURE, span, name.span)
        case case_nodes.Test(title=title):
            yield Item(title.value or "test", "", Kind.TEST, span, title.span)


def _field(node: nodes.Field, kind: Kind) -> Item:
    return Item(node.name.text, _type(node.type), kind, node.span, node.name.span)


def _type(node: nodes.TypeName) -> str:
    element = "" if node.element is None else f"<{node.element}>"
    return f"{node.name}{element}{'?' if node.optional else ''}"
