"""Limits of policies. Each has its own message; none can be reached by accident."""

from __future__ import annotations

FILE_CHARACTERS = 1_000_000
#: No character of UTF-8 takes more than four.
FILE_BYTES = 4 * FILE_CHARACTERS
FILE_TOKENS = 300_000
DECLARATION_TOKENS = 50_000
NAME_CHARACTERS = 200
TEXT_CHARACTERS = 4096
NESTING = 50
OPERANDS = 1000
#: Pairs of scopes of which one includes the other, by way of others too.
INCLUSIONS = 100_000
LIST_ITEMS = 1000
#: Values of one vocabulary.
VALUES = 10_000
#: More are not collected: an author who corrects a hundred errors runs the check again.
DIAGNOSTICS_PER_FILE = 100
RULES = 200_000
#: Characters of conditions, times the resources on which each reads differently, or, where no rule
#: uses it, is tried.
TRIALS = 5_000_000
#: What each of these takes besides, in characters.
TRIAL = 20
