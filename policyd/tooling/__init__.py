"""Floor 5: what developers of policies run. Files, the test runner, reports, explanations."""
