"""From the operations of an OpenAPI document to the skeleton of a policy.

A path that ends in a parameter is an item, `/patients/{id}` a `patient`; one that ends in a word is
the collection, `patients`, or with POST below an item an action of it: `/patients/{id}/discharge`.
Parameters before the last become attributes. An operation that names no scope because its scheme
has none gets one by its method: read or write.
"""

from __future__ import annotations

import re
from collections.abc import Iterable, Mapping

import msgspec

from policyd.tooling.starting.openapi import Document, DocumentUnusable, Operation
from policyd.tooling.starting.project import name_of
from policyd.tooling.starting.skeleton import Action, Alternatives, Resource, Skeleton

_ITEM = {"GET": "read", "HEAD": "peek", "POST": "submit", "PUT": "replace", "PATCH": "update",
         "DELETE": "delete", "OPTIONS": "options"}  # fmt: skip
_COLLECTION = {"GET": "list", "HEAD": "peek", "POST": "create", "PUT": "replace", "PATCH": "update",
               "DELETE": "clear", "OPTIONS": "options"}  # fmt: skip
_PARAMETER = re.compile(r"\{([^{}]+)\}")
#: What an identity provider grants for ID tokens; a policy cannot declare them.
OF_ID_TOKENS = frozenset(("openid", "profile", "email", "address", "phone", "offline_access"))
_ANY = "{}"
_VERSION = re.compile(r"v[0-9]+").fullmatch
_READING = ("GET", "HEAD", "OPTIONS")


class _Asked(msgspec.Struct, frozen=True):
    """An operation as a policy sees it.

    `chain` is what tells resources apart: the words of the path, and `{}` for each parameter but
    the item's own. `parameters` are the names of those.
    """

    chain: tuple[str, ...]
    item: bool
    action: str
    parameters: tuple[str, ...]
    template: str
    operation: Operation


def skeleton_of(document: Document) -> tuple[Skeleton, tuple[str, ...]]:
    """Return the skeleton, and notes about what it leaves out. Raises `DocumentUnusable`."""
    notes: list[str] = []
    asked = []
    paths = {operation.path for operation in document.operations}
    for operation in document.operations:
        if operation.scopes is None:
            notes.append(f"left out: {operation.shown} needs no token")
            continue
        one = _read(operation, paths)
        if one is None:
            notes.append(f"left out: {operation.shown} has a parameter beside a word")
        else:
            asked.append(one)
    if not asked:
        raise DocumentUnusable(f"{document.source.name}: no operation asks for a bearer token")
    asked.sort(key=lambda one: (one.template.count("/"), one.operation.path))
    names = _names(asked)
    scopes = {name: said for name, said in document.scopes.items() if name not in OF_ID_TOKENS}
    resources = []
    for (chain, item), name in names.items():
        own = [one for one in asked if (one.chain, one.item) == (chain, item)]
        resources.append(_resource(name, own, item, scopes))
    api = name_of(document.title)
    skeleton = Skeleton(
        api=api,
        doc=document.title,
        audience=document.audience or f"https://example.com/{api}",
        scopes=scopes,
        resources=tuple(resources),
        reason="as in the OpenAPI document",
    )
    return skeleton, tuple(notes)


def _read(operation: Operation, paths: set[str]) -> _Asked | None:
    segments = [part for part in operation.path.split("/") if part]
    template: list[str] = []
    parameters: list[str] = []
    chain: list[str] = []
    for part in segments:
        whole = _PARAMETER.fullmatch(part)
        if whole is not None:
            name = _name(chain[-1] if chain and chain[-1] != _ANY else whole[1])
            while name in parameters:
                name += "_"
            parameters.append(name)
            template.append(f"{{{name}}}")
            chain.append(_ANY)
        elif "{" in part or "}" in part:
            return None
        else:
            chain.append(part)
            template.append(part)
    item = bool(segments) and _PARAMETER.fullmatch(segments[-1]) is not None
    action = (_ITEM if item else _COLLECTION)[operation.method]
    if not item and operation.method == "POST" and _is_action(operation.path, paths):
        action, item = name_of(chain.pop()), True
    if item:
        chain.pop()
        parameters, template = _with_id(parameters, template)
    path = "/" + "/".join(template)
    return _Asked(tuple(chain), item, action, tuple(parameters), path, operation)


def _is_action(path: str, paths: Iterable[str]) -> bool:
    """Tell whether a path is a word behind an item, and nothing is below it."""
    above, _, _ = path.rpartition("/")
    return above.endswith("}") and not any(other.startswith(f"{path}/") for other in paths)


def _with_id(parameters: list[str], template: list[str]) -> tuple[list[str], list[str]]:
    """Call the last parameter `id`, which fills `resource.id`."""
    last = f"{{{parameters[-1]}}}"
    return parameters[:-1], ["{id}" if part == last else part for part in template]


def _name(text: str) -> str:
    """Return the name of the attribute that a parameter behind this word fills."""
    return f"{_singular(name_of(text)).replace('-', '_')}_id"


def _names(asked: Iterable[_Asked]) -> Mapping[tuple[tuple[str, ...], bool], str]:
    """Give each resource the shortest name that is its own."""
    names: dict[tuple[tuple[str, ...], bool], str] = {}
    for key in dict.fromkeys((one.chain, one.item) for one in asked):
        chain, item = key
        name = ""
        words = [one for one in reversed(chain) if one != _ANY and not _VERSION(one)]
        for word in words or ["root"]:
            part = name_of(word)
            own = _singular(part) if item or name else part
            name = f"{own}-{name}" if name else own
            if name not in names.values():
                break
        while name in names.values():
            name += "-item" if item else "-all"
        names[key] = name
    return names


def _singular(word: str) -> str:
    if word.endswith("ies") and len(word) > 4:
        return f"{word[:-3]}y"
    if word.endswith(("ses", "xes", "zes", "ches", "shes")):
        return word[:-2]
    if word.endswith("s") and not word.endswith(("ss", "us", "is")) and len(word) > 2:
        return word[:-1]
    return word


def _resource(name: str, asked: list[_Asked], item: bool, scopes: dict[str, str]) -> Resource:
    attributes = tuple(dict.fromkeys(one for some in asked for one in some.parameters))
    actions = []
    for action in dict.fromkeys(one.action for one in asked):
        own = [one for one in asked if one.action == action]
        requests = tuple((one.operation.method, one.template) for one in own)
        actions.append(Action(action, requests, _scopes(own[0].operation, name, scopes)))
    paths = sorted({one.operation.path for one in asked})
    return Resource(name, f"{paths[0]}: to be described.", attributes, tuple(actions), item)


def _scopes(operation: Operation, resource: str, scopes: dict[str, str]) -> Alternatives:
    """Return what an operation asks for; declare a scope for one that names none."""
    if operation.named:
        kept = (
            tuple(name for name in names if name not in OF_ID_TOKENS)
            for names in operation.scopes or ()
        )
        return tuple(sorted(set(kept)))
    reading = operation.method in _READING
    what = _singular(resource)
    name = f"{'read' if reading else 'write'}:{what}"
    scopes.setdefault(name, f"{'Read' if reading else 'Change'} each {what}")
    return ((name,),)
