"""A policy beside an OpenAPI document: what one of them has and the other has not.

Paths are compared by their words and by where their parameters are, not by what parameters are
called. A route may have the servers' common path before it, or not: some gateways take it away.
"""

from __future__ import annotations

import re
from collections.abc import Iterable, Iterator

from policyd.diagnostics import Diagnostic, Label, Source, closest
from policyd.errors import PolicydError
from policyd.language import nodes
from policyd.language.parser import parse
from policyd.language.policy import Api, PolicySet, Route
from policyd.tooling.starting.derive import OF_ID_TOKENS
from policyd.tooling.starting.openapi import Document, Operation
from policyd.tooling.starting.project import name_of

_BESIDE_A_WORD = re.compile(r"[^/]\{|\}[^/]")
_PARAMETER = re.compile(r"\{[^{}]*\}")


class WhichApi(PolicydError):
    """The policies have several APIs, and the document says of none that it is meant."""


def compare(
    document: Document, policies: PolicySet, sources: Iterable[Source]
) -> tuple[Diagnostic, ...]:
    """Return a finding for each difference; `sources` are the policies' files.

    Raises `WhichApi`.
    """
    api = _meant(document, policies)
    scopes = _scopes(document, api, sources)
    return (*_operations(document, api), *_routes(document, api), *scopes)


def _meant(document: Document, policies: PolicySet) -> Api:
    apis = policies.apis.values()
    if len(apis) == 1:
        return next(iter(apis))
    name = name_of(document.title)
    for api in apis:
        if name == api.name or document.audience in api.audiences:
            return api
    raise WhichApi(
        f"{document.source.name}: its title, `{document.title}`, names none of the APIs "
        f"{', '.join(sorted(policies.apis))}; check one of them by its PATH"
    )


def _operations(document: Document, api: Api) -> Iterator[Diagnostic]:
    there = {_shape(route.method, route.template) for route in api.routes}
    for operation in document.operations:
        if operation.scopes is None or there.intersection(_shapes(operation, document)):
            continue
        yield Diagnostic(
            "P5023",
            f"no route of `{api.name}` leads from {operation.shown}",
            operation.label,
            help=_remedy(operation),
        )


def _remedy(operation: Operation) -> str:
    if _BESIDE_A_WORD.search(operation.path):
        return "a route's parameter is a whole segment: let the gateway ask for this one by name"
    return (
        f'add `route {operation.method} "{operation.path}" as ACTION on RESOURCE`, or say in the '
        "document that it needs no token: `security: []`"
    )


def _routes(document: Document, api: Api) -> Iterator[Diagnostic]:
    there = {shape for one in document.operations for shape in _shapes(one, document)}
    known = [one.shown for one in document.operations]
    for route in api.routes:
        if _shape(route.method, route.template) in there:
            continue
        shown = f"{route.method} {route.template}"
        near = closest(shown, known)
        yield Diagnostic(
            "P5025",
            f"{document.source.name} has no operation {shown}",
            _label(route),
            help=None if near is None else f"did you mean {near}?",
        )


def _scopes(document: Document, api: Api, sources: Iterable[Source]) -> Iterator[Diagnostic]:
    named = {name for name in document.scopes if name not in OF_ID_TOKENS}
    if not named:  # a plain bearer scheme names none
        return
    for name in sorted(named - api.scopes.keys()):
        near = closest(name, api.scopes)
        meant = "" if near is None else f"did you mean `{near}`? Else "
        yield Diagnostic(
            "P5024",
            f"`{api.name}` declares no scope `{name}`, which {document.source.name} names",
            document.place_of(name),
            help=f"{meant}declare it: `scope {name}`",
        )
    places = dict(_declared(api.name, sources))
    for name in sorted(api.scopes.keys() - named):
        near = closest(name, named)
        yield Diagnostic(
            "P5024",
            f"{document.source.name} names no scope `{name}`",
            places.get(name),
            help=None if near is None else f"did you mean `{near}`?",
        )


def _declared(api: str, sources: Iterable[Source]) -> Iterator[tuple[str, Label]]:
    """Yield each scope that an API declares, and where."""
    for source in sources:
        file = parse(source).file
        if file is None or file.api.text != api:
            continue
        for one in file.declarations:
            if isinstance(one, nodes.Scope):
                yield one.name.text, Label(source, one.name.span, "declared here")


def _shapes(operation: Operation, document: Document) -> tuple[str, str]:
    """Return an operation with the servers' path before it, and without."""
    own = operation.path.removeprefix(document.prefix) or "/"
    return _shape(operation.method, operation.path), _shape(operation.method, own)


def _shape(method: str, path: str) -> str:
    return f"{method} {_PARAMETER.sub('{}', path)}"


def _label(route: Route) -> Label:
    return Label(route.source, route.span)
