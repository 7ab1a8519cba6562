"""Benchmarks: `python -m bench` prints the rows of the performance table and asserts nothing."""
