"""HTTP requests to questions: the routes of one API as a tree of segments.

Input are the method and the path of a request line; output are an action, a resource and its
attributes. A path that is not in normal form is refused and never normalised, since the service
might normalise it differently. A parameter's segment is decoded once.
"""

from __future__ import annotations

import re
from collections.abc import Iterable, Mapping
from urllib.parse import unquote

import msgspec

from policyd.errors import PolicydError
from policyd.json_types import Json, put
from policyd.language.paths import problem_of_segment, problem_of_whole
from policyd.language.policy import Parameter, Route
from policyd.language.types import RESOURCE_ID, Type

_INTEGER = re.compile(r"0|-?[1-9][0-9]{0,15}")


class PathRefused(PolicydError):
    """The path is not in normal form, or a parameter is not a value of its type."""


class Matched(msgspec.Struct, frozen=True):
    """What a request asks for. `resource_id` is empty where the path has none."""

    route: Route
    resource_id: str
    attributes: Mapping[str, Json]


class _Node:
    __slots__ = ("literals", "parameter", "routes")

    def __init__(self) -> None:
        self.literals: dict[str, _Node] = {}
        self.parameter: _Node | None = None
        self.routes: dict[str, Route] = {}


class Router:
    """Finds the route of a request. Immutable once made."""

    def __init__(self, routes: Iterable[Route]) -> None:
        self._root = _Node()
        for route in routes:
            node = self._root
            for segment in route.segments:
                if isinstance(segment, Parameter):
                    node.parameter = node.parameter or _Node()
                    node = node.parameter
                else:
                    node = node.literals.setdefault(segment, _Node())
            node.routes[route.method] = route

    def match(self, method: str, path: str) -> Matched | None:
        """Return what a request asks for, `None` where no route fits.

        Raises `PathRefused` for a path that is not in normal form (RFC 3986, section 6.2.2), has a
        query, or holds a value that is not of its parameter's type.
        """
        segments = split_path(path)
        route = _find(self._root, method, segments, 0)
        if route is None:
            return None
        resource_id = ""
        attributes: dict[str, Json] = {}
        for template, text in zip(route.segments, segments, strict=True):
            if isinstance(template, Parameter):
                value = unquote(text, errors="strict")
                if template.fact == RESOURCE_ID:
                    resource_id = value
                else:
                    put(attributes, template.path, _typed(template, value))
        return Matched(route, resource_id, attributes)


def split_path(path: str) -> list[str]:
    """Cut a path into segments, still encoded. Raises `PathRefused` unless in normal form."""
    if path == "/":
        return []
    problem = problem_of_whole(path)
    if problem is not None:
        raise PathRefused(problem)
    segments = path[1:].split("/")
    for segment in segments:
        problem = problem_of_segment(segment)
        if problem is not None:
            raise PathRefused(problem)
    return segments


def _find(node: _Node, method: str, segments: list[str], at: int) -> Route | None:
    """The first segment in which two routes differ decides, a literal before a parameter.

    Each node of the tree is visited once at most, and its depth is that of the longest template.
    """
    if at == len(segments):
        return node.routes.get(method)
    literal = node.literals.get(segments[at])
    if literal is not None:
        found = _find(literal, method, segments, at + 1)
        if found is not None:
            return found
    if node.parameter is not None:
        return _find(node.parameter, method, segments, at + 1)
    return None


def _typed(parameter: Parameter, text: str) -> Json:
    """A parameter as the JSON value that a request would carry; the engine reads it further."""
    match parameter.fact.type:
        case Type.INT:
            if _INTEGER.fullmatch(text) is None:
                raise PathRefused(f"`{parameter.name}` is not a whole number")
            return int(text)
        case Type.BOOL:
            if text not in ("true", "false"):
                raise PathRefused(f"`{parameter.name}` is neither `true` nor `false`")
            return text == "true"
    return text
