"""OpenAPI 3 documents: the operations, and what each asks of an access token.

Only what policies can speak of is read: paths, methods, OAuth 2.0 scopes and servers. An operation
that needs no bearer token is none of policyd's. JSON needs nothing; YAML needs the extra package of
`policyd[openapi]`. Every scalar of YAML is read as text, so that nothing turns into a date or a
truth value by its looks.
"""

from __future__ import annotations

import re
from collections.abc import Iterator, Mapping, Sequence
from pathlib import Path
from urllib.parse import urlsplit

import msgspec

from policyd.diagnostics import Label, Source, Span
from policyd.errors import PolicydError
from policyd.regular_file import read_regular

#: Bytes of a document that are read at most.
LARGEST = 16 * 1024 * 1024
METHODS = ("get", "put", "post", "delete", "options", "head", "patch")


class DocumentUnusable(PolicydError):
    """The file is no OpenAPI 3 document that can be read."""


class Operation(msgspec.Struct, frozen=True):
    """An operation. `path` has the servers' common path before it, and parameters in braces.

    `scopes` are alternatives, each of scopes that are all needed; `None` where no token is needed.
    `named` tells whether the scopes are the document's: a plain bearer scheme names none.
    """

    method: str
    path: str
    scopes: tuple[tuple[str, ...], ...] | None
    named: bool
    label: Label

    @property
    def shown(self) -> str:
        """The operation as people write it."""
        return f"{self.method} {self.path}"


class Document(msgspec.Struct, frozen=True):
    """`scopes` maps names to descriptions; `places` says where they stand. `prefix` is the servers'
    common path, which stands before each operation's own."""

    source: Source
    title: str
    audience: str | None
    prefix: str
    scopes: Mapping[str, str]
    operations: tuple[Operation, ...]

    def place_of(self, name: str) -> Label:
        """Return where a scope is first named."""
        found = re.search(rf"(?<![\w:.-]){re.escape(name)}(?![\w:.-])", self.source.text)
        at = found.start() if found else 0
        return Label(self.source, Span(at, at + (len(name) if found else 0)))


def read_document(path: Path) -> Document:
    """Read a document. Raises `DocumentUnusable`."""
    try:
        data = read_regular(path, LARGEST)
    except OSError as error:
        raise DocumentUnusable(f"{path}: {error.strerror or error}") from None
    try:
        source = Source(str(path), data.decode("utf-8-sig"))
    except UnicodeDecodeError:
        raise DocumentUnusable(f"{path}: the file is not UTF-8") from None
    return _document(source, _parsed(path, source.text))


def _parsed(path: Path, text: str) -> Mapping[str, object]:
    if text.lstrip().startswith("{"):
        try:
            value = msgspec.json.decode(text)
        except (msgspec.DecodeError, RecursionError) as error:
            raise DocumentUnusable(f"{path}: no JSON: {error}") from None
    else:
        value = _yaml(path, text)
    document = _table(value)
    version = str(document.get("openapi", ""))
    if not version.startswith("3."):
        old = "Swagger 2, which converters turn into OpenAPI 3" if "swagger" in document else None
        said = old or f"`openapi` is {version or 'missing'}"
        raise DocumentUnusable(f"{path}: no OpenAPI 3 document: {said}")
    return document


def _yaml(path: Path, text: str) -> object:
    try:
        # JSON needs no such package.
        import yaml
    except ModuleNotFoundError:
        raise DocumentUnusable(
            f"{path}: YAML takes one more package: install `policyd[openapi]`, or give JSON"
        ) from None
    try:
        return yaml.load(text, Loader=yaml.BaseLoader)  # noqa: S506 - its scalars are texts only
    except (yaml.YAMLError, RecursionError) as error:
        said = " ".join(str(error).split())
        raise DocumentUnusable(f"{path}: no YAML: {said}") from None


def _document(source: Source, values: Mapping[str, object]) -> Document:
    schemes = _schemes(values)
    scopes: dict[str, str] = {}
    for scheme in schemes.values():
        for flow in _table(scheme.get("flows")).values():
            for name, said in _table(_table(flow).get("scopes")).items():
                scopes.setdefault(name, str(said or ""))
    prefix, audience = _server(values)
    operations = tuple(_operations(source, values, schemes, prefix))
    for operation in operations:
        for name in (name for names in operation.scopes or () for name in names):
            scopes.setdefault(name, "")
    title = str(_table(values.get("info")).get("title", "")) or source.name
    return Document(source, title, audience, prefix, scopes, operations)


def _schemes(values: Mapping[str, object]) -> dict[str, Mapping[str, object]]:
    """Return the security schemes that carry access tokens, by name."""
    listed = _table(_table(values.get("components")).get("securitySchemes"))
    found = {}
    for name, value in listed.items():
        scheme = _table(value)
        kind, how = scheme.get("type"), str(scheme.get("scheme", "")).lower()
        if kind in ("oauth2", "openIdConnect") or (kind == "http" and how in ("bearer", "dpop")):
            found[name] = scheme
    return found


def _server(values: Mapping[str, object]) -> tuple[str, str | None]:
    """Return the path that all servers have in common, and the first server's URL."""
    urls = [str(_table(server).get("url", "")) for server in _list(values.get("servers"))]
    paths = {urlsplit(url).path.rstrip("/") for url in urls}
    first = urls[0] if urls and urls[0].startswith("https://") and "{" not in urls[0] else None
    prefix = paths.pop() if len(paths) == 1 else ""
    return ("" if "{" in prefix else prefix), first


def _operations(
    source: Source,
    values: Mapping[str, object],
    schemes: Mapping[str, Mapping[str, object]],
    prefix: str,
) -> Iterator[Operation]:
    everywhere = values.get("security")
    for path, item in sorted(_table(values.get("paths")).items()):
        for method in METHODS:
            if method not in _table(item):
                continue
            own = _table(_table(item)[method]).get("security", everywhere)
            scopes, named = _asked(own, schemes)
            place = _place(source, path, method)
            yield Operation(method.upper(), prefix + path, scopes, named, place)


def _asked(
    security: object, schemes: Mapping[str, Mapping[str, object]]
) -> tuple[tuple[tuple[str, ...], ...] | None, bool]:
    """Return the alternatives of scopes, and whether a scheme that names scopes asks for them."""
    alternatives: set[tuple[str, ...]] = set()
    named = False
    for requirement in map(_table, _list(security)):
        used = [name for name in requirement if name in schemes]
        if not used:
            if not requirement:
                return None, False  # nothing is asked for: the token is optional
            continue
        named = named or any(schemes[name].get("type") != "http" for name in used)
        names = {str(one) for name in used for one in _list(requirement[name])}
        alternatives.add(tuple(sorted(names)))
    if not alternatives:
        return None, False
    named = named or any(alternatives)
    return tuple(sorted(alternatives)), named


def _place(source: Source, path: str, method: str) -> Label:
    """Return where an operation begins: its method's key behind its path's."""
    text = source.text
    begin = re.search(rf"^[ \t]*[\"']?{re.escape(path)}[\"']?[ \t]*:", text, re.MULTILINE)
    begin = begin or re.search(rf"\"{re.escape(path)}\"\s*:", text)
    if begin is None:
        return Label(source, Span(0, 0))
    found = re.compile(rf"[\"']?\b{method}\b[\"']?\s*:").search(text, begin.end())
    start, end = (found.start(), found.end() - 1) if found else (begin.start(), begin.end() - 1)
    return Label(source, Span(start, end))


def _table(value: object) -> Mapping[str, object]:
    if not isinstance(value, Mapping):
        return {}
    return {str(name): one for name, one in value.items()}


def _list(value: object) -> Sequence[object]:
    return value if isinstance(value, list) else ()
