"""What a benchmark says of the Python that it ran on."""

from __future__ import annotations

import pytest

from bench.report import optimisation


@pytest.mark.parametrize(
    "build",
    [
        {"CONFIG_ARGS": "'--prefix=/usr' '--enable-optimizations' '--with-lto'"},
        {"CONFIG_ARGS": "'--prefix=/usr'", "PY_CORE_CFLAGS": "-O3 -fprofile-use -DNDEBUG"},
        {"CFLAGS_NODIST": "-fprofile-instr-use=code.profclangd"},
    ],
)
def test_a_build_that_used_a_profile_is_told(build: dict[str, object]) -> None:
    assert optimisation(build) == "profile-guided optimisation"


@pytest.mark.parametrize(
    "build",
    [
        {},  # where there is no Makefile
        {"CONFIG_ARGS": None},
        # As Debian builds, by `make profile-opt`.
        {"CONFIG_ARGS": "'--prefix=/usr' '--enable-shared'", "PGO_PROF_USE_FLAG": ""},
        # As configure writes it into each Makefile.
        {"CONFIG_ARGS": "'--prefix=/usr'", "PGO_PROF_USE_FLAG": "-fprofile-use"},
        {"CONFIG_ARGS": "'--disable-optimizations'", "CFLAGS": "-fprofile-use-nothing"},
    ],
)
def test_nothing_is_said_that_the_build_does_not_tell(build: dict[str, object]) -> None:
    assert optimisation(build) == "profile-guided optimisation unknown"
