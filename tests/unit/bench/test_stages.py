"""Each stage that is timed stands where the benchmark looks for it."""

from __future__ import annotations

from importlib import import_module

import pytest

from bench.stages import STAGES


@pytest.mark.parametrize(("stage", "module", "path"), STAGES)
def test_a_stage_has_not_moved(stage: str, module: str, path: str) -> None:
    holder: object = import_module(module)
    for name in path.split("."):
        holder = getattr(holder, name, None)
    assert callable(holder), f"{stage}: {module}.{path}"
