"""The demo as a picture of a terminal, for README: `docs/demo.svg`.

    python -m scripts.record_demo

It is what `make demo` prints on a terminal of 100 columns. The picture holds all it needs: no font
and nothing else is loaded from elsewhere.
"""

from __future__ import annotations

import io
import re
import sys
from pathlib import Path

from rich.console import Console
from rich.terminal_theme import MONOKAI

from scripts import demo

PICTURE = Path(__file__).resolve().parents[1] / "docs" / "demo.svg"
COLUMNS = 100
_FONT_FACE = re.compile(r"@font-face \{.*?\}\s*", re.DOTALL)


def picture() -> str:
    """Run the demo, and return the picture. Raises `SystemExit` where a decision is wrong."""
    console = Console(
        record=True,
        width=COLUMNS,
        file=io.StringIO(),
        force_terminal=True,
        color_system="truecolor",
    )
    console.print("[green]$[/] make demo")
    code = demo.main(console)
    if code:
        sys.exit(code)
    drawn = console.export_svg(title="make demo", theme=MONOKAI, unique_id="demo")
    alone = _FONT_FACE.sub("", drawn).replace("Fira Code, monospace", "ui-monospace, monospace")
    return "\n".join(line.rstrip() for line in alone.splitlines()) + "\n"


if __name__ == "__main__":
    PICTURE.write_text(picture(), encoding="utf-8")
