"""Policy files, and their tests, from a command line to checked models."""

from __future__ import annotations

from collections.abc import Iterable
from pathlib import Path

import msgspec

from policyd.diagnostics import Diagnostic, has_errors
from policyd.language import load, load_tests
from policyd.language.cases import TestCase
from policyd.language.parser import TEST_SUFFIX
from policyd.language.policy import PolicySet
from policyd.tooling.files import ReadFile, Wanted, find_files


class LoadedFiles(msgspec.Struct, frozen=True):
    """`policies` is `None` exactly when a policy file has an error.

    `tests` are to be used only when no diagnostic is an error.
    """

    files: tuple[ReadFile, ...]
    policies: PolicySet | None
    tests: tuple[TestCase, ...]
    diagnostics: tuple[Diagnostic, ...]

    @property
    def summary(self) -> str:
        """Say what was read, in a few words."""
        number = len(self.files)
        return "1 file" if number == 1 else f"{number} files"


def load_policies(
    paths: Iterable[Path], wanted: Wanted, *, follow_outside: bool = False
) -> LoadedFiles:
    """Read and check policies, and with `Wanted.ALL` their tests too. Raises `FilesUnusable`."""
    read = find_files(paths, wanted, follow_outside=follow_outside)
    files = read.files
    unfit = (*read.diagnostics, *(found for file in files for found in file.diagnostics))
    if has_errors(unfit):
        return LoadedFiles(files, None, (), unfit)
    sources = [file.source for file in files]
    loaded = load([source for source in sources if not source.name.endswith(TEST_SUFFIX)])
    if loaded.policies is None or wanted is Wanted.POLICIES:
        return LoadedFiles(files, loaded.policies, (), (*unfit, *loaded.diagnostics))
    tests = load_tests(
        [source for source in sources if source.name.endswith(TEST_SUFFIX)], loaded.policies
    )
    diagnostics = (*unfit, *loaded.diagnostics, *tests.diagnostics)
    return LoadedFiles(files, loaded.policies, tests.tests, diagnostics)
