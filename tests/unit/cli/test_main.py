"""The frame: verbs, exit codes, and what an error looks like."""

from __future__ import annotations

import json
import subprocess
import sys
from pathlib import Path

import pytest

from policyd import __version__
from policyd.cli import check, main
from policyd.errors import InternalError, PolicydError
from tests.support.cli import Run
from tests.support.tooling import POLICY, write


def test_help_lists_every_verb(policyd: Run) -> None:
    result = policyd("--help")
    assert result.code == 0
    for verb, said in main.VERBS.items():
        assert verb in result.out
        assert said.split()[0] in result.out


@pytest.mark.parametrize("verb", sorted(main.VERBS))
def test_every_verb_has_help(policyd: Run, verb: str) -> None:
    result = policyd(verb, "--help")
    assert result.code == 0
    assert result.out.startswith(f"Usage: policyd {verb}")


@pytest.mark.parametrize(
    "arguments", [("no-such-verb",), ("check",), ("check", "--no-such-option", "x"), ()]
)
def test_wrong_usage(policyd: Run, arguments: tuple[str, ...]) -> None:
    result = policyd(*arguments)
    assert result.code == 2
    assert result.out == ""
    assert "Usage: policyd" in result.err


def test_version(policyd: Run) -> None:
    assert f"policyd   {__version__}\n" in policyd("version").out
    document = json.loads(policyd("version", "--format", "json").out)
    assert document["policyd"] == __version__
    assert set(document) == {"policyd", "language", "api", "python"}


@pytest.mark.parametrize(
    ("error", "code", "said"),
    [
        (PolicydError("mend this"), 2, "Error: mend this\n"),
        (InternalError("two answers"), 3, "Internal error: two answers\n"),
        (KeyError("gone"), 3, "Internal error: KeyError: 'gone'\n"),
    ],
)
def test_errors_become_exit_codes(
    policyd: Run,
    monkeypatch: pytest.MonkeyPatch,
    tmp_path: Path,
    error: Exception,
    code: int,
    said: str,
) -> None:
    def fail(*_: object, **__: object) -> None:
        raise error

    monkeypatch.setattr(check, "load_policies", fail)
    result = policyd("check", tmp_path)
    assert (result.code, result.out) == (code, "")
    assert result.err.startswith(said)
    assert "Traceback" not in result.err
    monkeypatch.setenv("POLICYD_DEBUG", "1")
    with pytest.raises(type(error)):
        policyd("check", tmp_path)


def test_interrupt(policyd: Run, monkeypatch: pytest.MonkeyPatch, tmp_path: Path) -> None:
    def interrupt(*_: object, **__: object) -> None:
        raise KeyboardInterrupt

    monkeypatch.setattr(check, "load_policies", interrupt)
    assert policyd("check", tmp_path).code == 130


def test_reader_that_stops_gets_no_traceback(tmp_path: Path) -> None:
    write(tmp_path, health="api health\n" + "scope a\n" * 5000)
    command = [sys.executable, "-c", "from policyd.cli.main import main; main()"]
    with subprocess.Popen(
        [*command, "check", "--format", "concise", str(tmp_path)],
        stdout=subprocess.PIPE,
        stderr=subprocess.PIPE,
        text=True,
    ) as process:
        assert process.stdout is not None
        assert process.stderr is not None
        process.stdout.close()
        said = process.stderr.read()
    assert process.returncode == 1
    assert "Traceback" not in said
    assert "Error" not in said


def test_checking_does_not_load_what_serving_needs(tmp_path: Path) -> None:
    write(tmp_path, health=POLICY)
    program = (
        "import sys\n"
        "from policyd.cli.main import run\n"
        f"assert run(['check', {str(tmp_path)!r}]) == 0\n"
        "print(sorted({'grpc', 'cryptography', 'rich'} & set(sys.modules)))\n"
    )
    done = subprocess.run(
        [sys.executable, "-c", program], capture_output=True, text=True, check=True
    )
    assert done.stdout.splitlines()[-1] == "[]"


@pytest.mark.parametrize(
    ("environment", "coloured"),
    [({}, False), ({"FORCE_COLOR": "1"}, True), ({"FORCE_COLOR": "1", "NO_COLOR": "1"}, False)],
)
def test_colours_arrive_in_a_pipe_that_asks_for_them(
    policyd: Run,
    monkeypatch: pytest.MonkeyPatch,
    tmp_path: Path,
    environment: dict[str, str],
    coloured: bool,
) -> None:
    for name in ("NO_COLOR", "FORCE_COLOR"):
        monkeypatch.delenv(name, raising=False)
    for name, value in environment.items():
        monkeypatch.setenv(name, value)
    (tmp_path / "a.policy").write_text("api a\n")
    for arguments in (("check", tmp_path), ("explain", "P1005")):
        assert ("\x1b[" in policyd(*arguments).out) is coloured
