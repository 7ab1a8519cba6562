"""Findings about the configuration, and where in the file they are.

Input: keys such as `("server", "listen")` or `("issuers", 0, "dialect")`. Output: diagnostics that
point at the line, where there is one: a value may come from the environment.
"""

from __future__ import annotations

import re
import tomllib
from collections import Counter
from collections.abc import Iterable, Iterator, Mapping, Sequence
from pathlib import Path
from typing import Self

from policyd.diagnostics import Diagnostic, Label, Severity, Source, Span, closest
from policyd.errors import PolicydError
from policyd.language.text import read as read_text

Key = tuple[int | str, ...]
#: How the name of an environment variable that sets a key is made, in either case.
PREFIX, NESTED = "policyd_", "__"
Toml = dict[str, object]

_ASSIGNMENT = re.compile(r"[ \t]*(?P<key>[A-Za-z0-9_.-]+)[ \t]*=")
_HEADER = re.compile(r"[ \t]*(?P<open>\[\[?)[ \t]*(?P<key>[A-Za-z0-9_.-]+)[ \t]*\]")
_TOML_PLACE = re.compile(r"\(at line (\d+), column (\d+)\)")


class ConfigurationInvalid(PolicydError):
    """The configuration cannot be used. Its text is the findings' headlines."""

    def __init__(self, diagnostics: Sequence[Diagnostic]) -> None:
        super().__init__("; ".join(found.headline for found in diagnostics))
        self.diagnostics = tuple(diagnostics)

    @classmethod
    def of(cls, code: str, headline: str, help: str | None = None) -> Self:
        """Return the error of one finding that has no place in the file."""
        return cls([Diagnostic(code, headline, None, help=help)])


class Findings:
    """Collects what is wrong with the configuration in `source`."""

    def __init__(self, source: Source) -> None:
        self.source = source
        self._places = dict(_places(source))
        self.found: list[Diagnostic] = []
        #: The environment that was put over the file.
        self.environment: Mapping[str, str] = {}

    def add(
        self,
        code: str,
        key: Key,
        headline: str,
        help_: str | None = None,
        *,
        severity: Severity = Severity.ERROR,
    ) -> None:
        """Add a finding about the value at `key`, or about none where it is empty."""
        variable = variable_of(key, self.environment)
        self.found.append(
            Diagnostic(
                code,
                headline,
                self._label(key) if variable is None else None,
                help=help_,
                notes=() if variable is None else (f"it is set by `{variable}`",),
                severity=severity,
            )
        )

    def error(self) -> ConfigurationInvalid:
        """Return the error that holds all findings."""
        return ConfigurationInvalid(self.found)

    def _label(self, key: Key) -> Label | None:
        """Point at the key, or at the nearest table around it that the file has."""
        while key:
            span = self._places.get(key)
            if span is not None:
                return Label(self.source, span)
            key = key[:-1]
        return None


def variable_of(key: Key, environment: Mapping[str, str]) -> str | None:
    """Return the environment variable that sets the value at a key, or a table or list around it,
    if one does."""
    names = {name.lower(): name for name in environment}
    for length in range(len(key), 0, -1):
        name = PREFIX + NESTED.join(map(str, key[:length]))
        if name in names:
            return names[name]
    return None


def dotted(key: Key) -> str:
    """Return a key as people write it: `server.listen`, `issuers[0].dialect`."""
    text = ""
    for step in key:
        if isinstance(step, int):
            text += f"[{step}]"
        else:
            text += f".{step}" if text else step
    return text


def did_you_mean(word: str, known: Iterable[str]) -> str | None:
    """Return help for a name that is none of those known, where one of them is similar."""
    similar = closest(word, known)
    return None if similar is None else f"did you mean `{similar}`?"


def read_toml(path: Path) -> tuple[Source, Toml]:
    """Read a TOML file.

    Raises:
        ConfigurationInvalid: it cannot be read, is not UTF-8, or is not TOML.
    """
    try:
        data = path.read_bytes()
    except OSError as error:
        headline = f"the configuration `{path}` cannot be read: {error.strerror}"
        help_ = "name the file with `--config`, or make one: `policyd init`"
        raise ConfigurationInvalid([Diagnostic("P5001", headline, None, help=help_)]) from None
    text = read_text(str(path), data, _in_toml)
    if text.diagnostics:
        raise ConfigurationInvalid(text.diagnostics)
    source = text.source
    try:
        return source, tomllib.loads(source.text)
    except tomllib.TOMLDecodeError as error:
        raise ConfigurationInvalid([_no_toml(source, str(error))]) from None


def _in_toml(character: str) -> str:
    return f"\\U{ord(character):08X}"


def _no_toml(source: Source, message: str) -> Diagnostic:
    place = _TOML_PLACE.search(message)
    line, column = (int(place[1]), int(place[2])) if place else (source.line_count, 1)
    start = sum(len(text) for text in source.text.splitlines(keepends=True)[: line - 1])
    at = min(start + column - 1, len(source.text))
    words = _TOML_PLACE.sub("", message).removesuffix("(at end of document)").strip()
    return Diagnostic(
        "P5001",
        "the file is not TOML",
        Label(source, Span(at, min(at + 1, len(source.text))), words),
    )


def _places(source: Source) -> Iterator[tuple[Key, Span]]:
    """Yield each key that a line begins with, and where it stands.

    It reads lines, not TOML: a key inside a text of several lines would count, one in an inline
    table does not. That is good enough to point at a line, and decides nothing.
    """
    table: Key = ()
    counts: Counter[str] = Counter()
    at = 0
    for line in source.text.splitlines(keepends=True):
        header, assignment = _HEADER.match(line), _ASSIGNMENT.match(line)
        if header is not None:
            if header["open"] == "[[":
                counts[header["key"]] += 1
            table = _table(header["key"], counts)
            yield table, Span(at + header.start("key"), at + header.end("key"))
        elif assignment is not None:
            key = (*table, *assignment["key"].split("."))
            yield key, Span(at + assignment.start("key"), at + assignment.end("key"))
        at += len(line)


def _table(name: str, counts: Counter[str]) -> Key:
    """Return the key of a table: of several with one name, a header speaks of the last so far."""
    key: Key = ()
    path = ""
    for step in name.split("."):
        path = f"{path}.{step}" if path else step
        key = (*key, step, counts[path] - 1) if counts[path] else (*key, step)
    return key
