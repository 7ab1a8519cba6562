"""Static analysis of checked policies."""
