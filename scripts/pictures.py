"""Makes the pictures of the documentation anew: the coverage page, and an editor with a finding.

It needs Chromium, Neovim and tmux (`apt-get install chromium neovim tmux`), and is run by hand when
what they show has changed: `make pictures`. Neovim runs in a terminal of tmux with the real
language server; what the terminal shows becomes a page, and Chromium takes the pictures.
"""

from __future__ import annotations

import shutil
import subprocess
import sys
import tempfile
import time
from io import StringIO
from pathlib import Path

from rich.console import Console
from rich.terminal_theme import TerminalTheme
from rich.text import Text

ROOT = Path(__file__).resolve().parent.parent
PICTURES = ROOT / "docs" / "pictures"
PATIENCE = 60.0
_COLUMNS, _LINES = 112, 23
_THEME = TerminalTheme(
    (250, 250, 250),
    (40, 44, 52),
    [
        (40, 44, 52),
        (190, 50, 40),
        (40, 120, 60),
        (150, 100, 0),
        (40, 90, 180),
        (130, 60, 150),
        (20, 120, 130),
        (100, 105, 115),
    ],
)
_POLICY = """\
/// Patient records.
api health

audience "https://example.com/health-api"

scope read:patients  "Read patient records"

resource patient {
    sealed: bool
    actions read
}

define strong_login as token.acr == "urn:example:mfa"

/// Any application that was granted the scope may read.
allow reads: read on patient
    when scope read:patients

deny sealed: any on patient
    when resource.sealed
    unless strong_login
"""
_TEST = """\
api health

test "a client with the scope reads, unless the record is sealed" {
    token { scope: [read:patients] }
    allow read on patient "p1" { sealed: false } by reads
    deny  read on patient "p2" { sealed: true } by sealed
}
"""
_INIT = """
vim.o.number = true
vim.o.signcolumn = "yes"
vim.o.laststatus = 0
vim.o.termguicolors = true
vim.o.background = "light"
vim.o.swapfile = false
vim.o.ruler = false
vim.o.showmode = false
vim.o.fillchars = "eob: "
vim.opt.runtimepath:append("%s/editors/vim")
vim.cmd("filetype on | syntax on")
vim.cmd("highlight SignColumn guibg=NONE")
vim.cmd("highlight Comment guifg=#6a737d")
vim.cmd("highlight SpecialComment guifg=#4d7a50")
vim.cmd("highlight Statement guifg=#82329e gui=NONE")
vim.cmd("highlight Keyword guifg=#82329e gui=NONE")
vim.cmd("highlight Operator guifg=#14788a gui=NONE")
vim.cmd("highlight String guifg=#28783c")
vim.cmd("highlight Constant guifg=#966400")
vim.cmd("highlight Identifier guifg=#285ab4")
vim.cmd("highlight Type guifg=#14788a gui=NONE")
vim.diagnostic.config({ virtual_text = {
  format = function(found) return found.message:match("[^\\n]*") end } })
vim.cmd("highlight LineNr guifg=#9aa0a6")
vim.cmd("highlight DiagnosticError guifg=#be3228")
vim.cmd("highlight DiagnosticSignError guifg=#be3228")
vim.api.nvim_create_autocmd("BufReadPost", { callback = function()
  vim.lsp.buf_attach_client(0, vim.lsp.start_client({
    name = "policyd", cmd = { "%s", "lsp" }, root_dir = vim.fn.getcwd() }))
end })
"""


def main() -> int:
    missing = [name for name in ("chromium", "nvim", "tmux") if shutil.which(name) is None]
    if missing:
        print(f"pictures: {', '.join(missing)} is needed", file=sys.stderr)
        return 1
    PICTURES.mkdir(exist_ok=True)
    with tempfile.TemporaryDirectory() as scratch:
        folder = Path(scratch)
        _photograph(_coverage(folder), PICTURES / "coverage.png", 960, 720)
        _photograph(_editor(folder), PICTURES / "editor.png", 1000, 430)
    return 0


def _policyd() -> str:
    return str(Path(sys.executable).with_name("policyd"))


def _coverage(folder: Path) -> Path:
    """Write the coverage page of a policy whose only test leaves something out."""
    policies = folder / "policies"
    policies.mkdir()
    (policies / "health.policy").write_text(_POLICY, encoding="utf-8")
    (policies / "health_test.policy").write_text(_TEST, encoding="utf-8")
    command = [_policyd(), "test", "policies", "--coverage-html", "coverage.html"]
    subprocess.run(command, cwd=folder, check=True, stdout=subprocess.DEVNULL)
    return folder / "coverage.html"


def _editor(folder: Path) -> Path:
    """Write what Neovim shows of a policy with a mistake."""
    mistaken = _POLICY.replace("when resource.sealed", "when resource.seeled")
    (folder / "health.policy").write_text(mistaken, encoding="utf-8")
    (folder / "init.lua").write_text(_INIT % (ROOT, _policyd()), encoding="utf-8")
    shown = _terminal(folder, ["nvim", "-u", "init.lua", "health.policy"])
    made = Console(file=StringIO(), record=True, width=_COLUMNS, force_terminal=True)
    made.print(Text.from_ansi(shown), no_wrap=True, crop=False)
    page = folder / "editor.html"
    page.write_text(made.export_html(theme=_THEME, inline_styles=True), encoding="utf-8")
    return page


def _terminal(folder: Path, command: list[str]) -> str:
    """Run a command in a terminal until it shows the finding; return what it shows."""
    tmux = ["tmux", "-L", "policyd-pictures", "-f", "/dev/null"]
    size = ["-x", str(_COLUMNS), "-y", str(_LINES)]
    start = [*tmux, "new-session", "-d", *size, "-c", str(folder), *command]
    subprocess.run(start, check=True)
    try:
        end = time.monotonic() + PATIENCE
        while time.monotonic() < end:
            capture = [*tmux, "capture-pane", "-e", "-p"]
            done = subprocess.run(capture, check=True, capture_output=True, text=True)
            if "unknown attribute" in done.stdout:
                return done.stdout
            time.sleep(0.2)
        raise TimeoutError("the editor did not show the finding")
    finally:
        subprocess.run([*tmux, "kill-server"], check=False)


def _photograph(page: Path, picture: Path, width: int, height: int) -> None:
    command = ["chromium", "--headless", "--no-sandbox", "--hide-scrollbars", "--disable-gpu"]
    command += [f"--window-size={width},{height}", f"--screenshot={picture}", page.as_uri()]
    subprocess.run(command, check=True, stdout=subprocess.DEVNULL, stderr=subprocess.DEVNULL)


if __name__ == "__main__":
    sys.exit(main())
