"""README, word by word, in an empty folder: from the first command to a denied call.

How to install is left to `tests/packaging`, which has an environment without policyd.
"""

from __future__ import annotations

import subprocess
from pathlib import Path
from xml.sax.saxutils import escape

from scripts import demo
from tests.support.commands import environment, sessions
from tests.support.documents import ROOT, Fence, fences
from tests.support.ports import free_port
from tests.support.word_by_word import reading

PAGE = ROOT / "README.md"
#: What a person types who has nothing yet, or has the clone.
ELSEWHERE = ("pip", "uv", "git", "make")


def followed() -> list[Fence]:
    """Return the blocks that are typed in one folder, in order."""
    typed = [fence for fence in fences(PAGE) if fence.kind.startswith("console")]
    return [
        fence
        for fence in typed
        if not {command.split()[0] for command, _ in sessions(fence.text)} & {*ELSEWHERE}
    ]


def reader_environment(port: str, commands: Path | None = None) -> dict[str, str]:
    """Return the environment of somebody whose default port is another one."""
    return environment(commands) | {
        "POLICYD_SERVER__LISTEN": f'["127.0.0.1:{port}"]',
        "POLICYD_TARGET": f"127.0.0.1:{port}",
    }


def clone() -> str:
    """Return what git says of the clone, but for the files of this test run."""
    git = ["git", "-C", str(ROOT), "status", "--porcelain"]
    return subprocess.run(git, capture_output=True, text=True, check=False).stdout


def test_word_by_word(tmp_path: Path) -> None:
    before, port = clone(), str(free_port())
    with reading(tmp_path, reader_environment(port)) as reader:
        reader.follow(followed(), port)
    assert clone() == before


def test_ends_with_an_allowed_and_a_denied_call() -> None:
    shown = [answer for fence in followed() for _, answer in sessions(fence.text)]
    decisions = [answer.split("\n")[0] for answer in shown if answer.startswith("decision:")]
    assert decisions[-2:] == ["decision:         allow", "decision:         deny"]


def test_what_is_typed_elsewhere_is_named() -> None:
    typed = [fence for fence in fences(PAGE) if fence.kind.startswith("console")]
    others = [fence for fence in typed if fence not in followed()]
    commands = [command for fence in others for command, _ in sessions(fence.text)]
    assert {"pip install policyd", "uv tool install policyd", "make demo"} <= set(commands)


def test_the_recording_is_of_the_demo_and_loads_nothing() -> None:
    drawn = (ROOT / "docs" / "demo.svg").read_text(encoding="utf-8").replace("&#160;", " ")
    for question in demo.QUESTIONS:
        assert escape(question.bearer, {"'": "&#x27;"}) in drawn
        assert question.reason in drawn
    assert "What to do next" in drawn
    assert "url(" not in drawn.replace("url(#", "")
    assert "<script" not in drawn
    assert "<image" not in drawn
