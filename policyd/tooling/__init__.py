"""Floor 7: tools for policy authors: files, the test runner, reports, explanations, the linter."""
