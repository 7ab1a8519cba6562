"""The words of the language by their use: one list for highlighting and for completion.

A test compares the list with the grammar: it has exactly the words of `grammar.lark`.
"""

from __future__ import annotations

from policyd.language.parser.tokens import SECTIONS as SECTIONS
from policyd.language.types import Type

#: Words that join the parts of a declaration.
CLAUSES = (
    "actions", "any", "as", "at", "because", "by", "for", "from", "includes", "key", "missing",
    "never", "of", "on", "token", "unless", "when",
)  # fmt: skip
#: Words that join the parts of a condition.
OPERATORS = (
    "all", "and", "ends", "has", "in", "is", "last", "next", "not", "or", "some", "starts",
    "subject", "with", "within",
)  # fmt: skip
CONSTANTS = ("false", "true")
#: What may stand after `is`; the grammar takes them for names.
STATES = ("application", "asserted", "present", "user")
TYPES = tuple(sorted({type_.value.partition("<")[0] for type_ in Type} | {"set"}))
#: What begins a dotted name, and the clock.
ROOTS = ("context", "item", "now", "resource", "token", "userinfo")
COMPARISONS = ("==", "!=", "<=", ">=", "<", ">")
