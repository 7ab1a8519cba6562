"""Examples at the end of a verb's `--help`: `@click.command(epilog=examples(…))`."""

from __future__ import annotations


def examples(*lines: str) -> str:
    """Return the epilog that shows `lines`, each a command as typed, 76 columns at most."""
    # `\b` keeps click from joining the lines.
    return "\n".join(("\b", "Examples:", *(f"  {line}" for line in lines)))


def examples_of(epilog: str | None) -> list[str]:
    """Return the commands that an epilog shows."""
    return [line.strip() for line in (epilog or "").split("\n")[2:]]
