"""What keeps the daemon from starting: text for people, lines of JSON where the log is JSON."""

from __future__ import annotations

import json
import subprocess
import sys
from pathlib import Path

import pytest

from tests.support.tooling import POLICY, write

SERVE = [sys.executable, "-c", "from policyd.cli.main import main; main()", "serve"]


def started(folder: Path, **environment: str) -> subprocess.CompletedProcess[str]:
    return subprocess.run(
        SERVE, cwd=folder, env=environment, capture_output=True, text=True, check=False
    )


@pytest.fixture
def site(tmp_path: Path) -> Path:
    (tmp_path / "policies").mkdir()
    write(tmp_path / "policies", health=POLICY.replace("resource.sealed", "resource.seeled"))
    (tmp_path / "policyd.toml").write_text(
        '[policies]\npath = "policies"\n[server]\nlisten = ["127.0.0.1:0"]\n'
        '[[issuers]]\nissuer = "https://issuer.example/"\ndialect = "auth0"\n'
    )
    return tmp_path


def test_policies_in_error_as_json(site: Path) -> None:
    done = started(site)
    assert done.returncode == 1
    found = [json.loads(line) for line in done.stderr.splitlines()]
    (line,) = [one for one in found if one.get("code") == "P1005"]
    assert line["level"] == "error"
    assert line["message"] == "unknown attribute `seeled` on resource `patient`"
    assert line["path"] == "policies/health.policy"
    assert line["help"] == "a similar attribute exists: `sealed`"
    place = f"{line['path']}:{line['line']}:{line['column']}"
    assert f"--> {place}\n" in line["findings"]
    assert "resource.seeled" in (site / line["path"]).read_text().splitlines()[line["line"] - 1]


def test_a_configuration_in_error_as_json(site: Path) -> None:
    (site / "policyd.toml").write_text("[policies]\npath = 7\n")
    done = started(site)
    assert done.returncode == 2
    (line,) = map(json.loads, done.stderr.splitlines())
    assert (line["code"], line["path"], line["line"]) == ("P5004", "policyd.toml", 2)


def test_as_text_where_the_log_is_text(site: Path) -> None:
    done = started(site, POLICYD_LOG__FORMAT="text")
    assert done.returncode == 1
    assert "error[P1005]: unknown attribute" in done.stderr
    assert "\n  --> policies/health.policy:" in done.stderr


def test_the_files_format_counts_though_it_has_errors(site: Path) -> None:
    text = (site / "policyd.toml").read_text()
    (site / "policyd.toml").write_text(f'colour = 1\n{text}[log]\nformat = "text"\n')
    done = started(site)
    assert done.returncode == 2
    assert done.stderr.startswith("error[P5002]")


def test_a_folder_that_is_not_there(site: Path) -> None:
    (site / "policies" / "health.policy").unlink()
    (site / "policies").rmdir()
    (line,) = (
        one for one in map(json.loads, started(site).stderr.splitlines()) if one["level"] == "error"
    )
    assert line["message"].startswith("the policies cannot be read: ")
    assert line["help"] == "`policyd init` makes a policy set to begin with"
