"""The rules of the linter in one table, sorted by code: each module here is one.

A module holds a `RULE`, and its name is the rule's. There is no list to keep beside them.
"""

from __future__ import annotations

from collections.abc import Iterator
from importlib import import_module
from pkgutil import iter_modules

from policyd.tooling.lint.model import LintRule


def _rules() -> Iterator[LintRule]:
    for module in iter_modules(__path__):
        rule = import_module(f"{__name__}.{module.name}").RULE
        assert isinstance(rule, LintRule), f"{module.name} holds no rule"
        yield rule


RULES: tuple[LintRule, ...] = tuple(sorted(_rules(), key=lambda rule: rule.code))
