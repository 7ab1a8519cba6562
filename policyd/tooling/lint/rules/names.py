"""Names out of style: rules are `kebab-case`, what a policy declares otherwise `snake_case`.

Claims are not looked at, since the issuer names them, and actions may be either.
"""

from __future__ import annotations

import re
from collections.abc import Iterator

from policyd.diagnostics import Source
from policyd.language import nodes
from policyd.tooling.lint.model import Finding, LintRule, View, label_of

_KEBAB = re.compile(r"[a-z][a-z0-9]*(-[a-z0-9]+)*")
_SNAKE = re.compile(r"[a-z][a-z0-9]*(_[a-z0-9]+)*")
_HUMP = re.compile(r"(?<=[a-z0-9])(?=[A-Z])")


def check(view: View) -> Iterator[Finding]:
    for file in view.files:
        for declaration in file.declarations:
            for kind, name, separator in _names(declaration):
                if not name.quoted and not _in_style(name.text, separator):
                    yield _finding(file.source, kind, name, separator)


def _names(declaration: nodes.Declaration) -> Iterator[tuple[str, nodes.Name, str]]:
    """Each name with its kind and the separators that it may have, the preferred one first."""
    match declaration:
        case nodes.Rule(name=name):
            yield "rule", name, "-"
        case nodes.Define(name=name):
            yield "condition", name, "_"
        case nodes.Values(name=name):
            yield "vocabulary", name, "_"
        case nodes.Context(fields=fields):
            yield from (("context entry", field.name, "_") for field in fields)
        case nodes.Resource(name=name, fields=fields, actions=actions):
            yield "resource", name, "_"
            yield from (("attribute", field.name, "_") for field in fields)
            yield from (("action", action, "_-") for action in actions)


def _in_style(name: str, separators: str) -> bool:
    return any((_KEBAB if separator == "-" else _SNAKE).fullmatch(name) for separator in separators)


def _finding(source: Source, kind: str, name: nodes.Name, separators: str) -> Finding:
    words = [word.lower() for word in re.split(r"[-_]+", _HUMP.sub("-", name.text)) if word]
    better = separators[0].join(words)
    style = "kebab-case" if separators == "-" else "snake_case"
    return Finding(
        f"the name of the {kind} `{name.text}` is not in {style}",
        label_of(source, name),
        f"call it `{better}`" if _in_style(better, separators) else "use lower case",
    )


RULE = LintRule("P3036", check)
