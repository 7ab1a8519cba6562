"""Commands in documents: what is typed, and whether what is printed is what is shown.

A line `...` stands for any lines. A word such as `<KEY>` stands for what differs each time: it is
any text without spaces where it is met first, and the same text from then on, in commands too.
"""

from __future__ import annotations

import os
import re
import subprocess
import sys
from collections.abc import Mapping, MutableMapping
from pathlib import Path

_PLACEHOLDER = re.compile(r"<([A-Z]+)>")


def environment(commands: Path | None = None) -> dict[str, str]:
    """Return that of a terminal without colours, 100 columns wide, with the project's programs, or
    with those in the folder `commands`.
    """
    scripts = str(commands or Path(sys.executable).parent)
    path = f"{scripts}:{os.environ['PATH']}"
    return {**os.environ, "PATH": path, "NO_COLOR": "1", "COLUMNS": "100"}


def sessions(text: str) -> list[tuple[str, str]]:
    """Return (command, output) for each `$ ` line."""
    parts = re.split(r"^\$ (.*)\n", text, flags=re.MULTILINE)
    return list(zip(parts[1::2], parts[2::2], strict=True))


def printed_by(command: str, folder: Path, environment_: Mapping[str, str] | None = None) -> str:
    """Run a line of shell, and return what a person would see."""
    done = subprocess.run(
        ["sh", "-c", command],
        cwd=folder,
        env=environment() if environment_ is None else environment_,
        stdin=subprocess.DEVNULL,
        stdout=subprocess.PIPE,
        stderr=subprocess.STDOUT,
        text=True,
        timeout=60,
        check=False,
    )
    return done.stdout


def filled(command: str, known: MutableMapping[str, str]) -> str:
    """Put what was printed before in the places of placeholders."""
    return _PLACEHOLDER.sub(lambda found: known[found[1]], command)


def matches(shown: str, printed: str, known: MutableMapping[str, str] | None = None) -> bool:
    """Compare; `known` learns what placeholders stand for."""
    known = {} if known is None else known
    if not shown.strip():
        return not printed.strip()
    pattern = "".join(_line(line.rstrip(), known) for line in shown.rstrip("\n").split("\n"))
    found = re.fullmatch(pattern, printed.rstrip("\n") + "\n")
    if found is not None:
        known.update(found.groupdict())
    return found is not None


def _line(line: str, known: MutableMapping[str, str]) -> str:
    if line.strip() == "...":
        return r"(?:.*\n)*?"
    pattern = ""
    for position, part in enumerate(_PLACEHOLDER.split(line)):
        if position % 2 == 0:
            pattern += re.escape(part)
        else:
            pattern += re.escape(known[part]) if part in known else rf"(?P<{part}>\S+)"
    return pattern + r"[ ]*\n"
