"""The linter: style and safety of policies that load, beyond errors. One file a rule."""

from policyd.tooling.lint.linter import DEFAULT as DEFAULT
from policyd.tooling.lint.linter import NAMES as NAMES
from policyd.tooling.lint.linter import lint as lint
