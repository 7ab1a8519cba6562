"""What holds for all tests: profiles of Hypothesis, and the garbage collector.

Profiles: `default` for every day, `ci` repeatable, `quick` repeatable with few examples, `nightly`
looks longer, and `mutants` repeatable and content with the first failure, however large. Choose one
by HYPOTHESIS_PROFILE; with CI set in the environment it is `ci`.
"""

from __future__ import annotations

import gc
import os

from hypothesis import HealthCheck, Phase, settings

# Examples differ in cost by orders of magnitude on a shared machine: a deadline would be a time
# assertion in disguise.
_common = settings(deadline=None, suppress_health_check=[HealthCheck.too_slow])

settings.register_profile("default", _common, max_examples=100)
settings.register_profile("ci", _common, max_examples=60, derandomize=True, database=None)
settings.register_profile("quick", settings.get_profile("ci"), max_examples=15)
settings.register_profile(
    "mutants",
    settings.get_profile("ci"),
    phases=[Phase.explicit, Phase.generate],
)
settings.register_profile("nightly", _common, max_examples=5000, print_blob=True)
settings.load_profile(
    os.environ.get("HYPOTHESIS_PROFILE", "ci" if os.environ.get("CI") else "default")
)


def pytest_collection_finish() -> None:
    """Spare the collector thousands of tests: going through them again and again took a fifth."""
    gc.collect()
    gc.freeze()
