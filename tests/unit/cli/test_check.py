from __future__ import annotations

import json
from pathlib import Path

from tests.support.cli import Run
from tests.support.tooling import POLICY, in_a_test, write

BROKEN = POLICY + "allow odd: read on patients\n    when scope read:patients\n"


def test_good_policies(policyd: Run, tmp_path: Path) -> None:
    write(tmp_path, health=POLICY, health_test="no test at all")
    result = policyd("check", tmp_path)
    assert (result.code, result.out, result.err) == (0, "", "1 file: 0 errors, 0 warnings\n")


def test_findings_go_to_standard_output(policyd: Run, tmp_path: Path) -> None:
    path = write(tmp_path, health=BROKEN) / "health.policy"
    result = policyd("check", path)
    assert result.code == 1
    assert result.out.startswith("error[P1001]: unknown resource `patients`\n")
    assert f"{path}:" in result.out
    assert result.err == "1 file: 1 error, 0 warnings\n"


def test_formats(policyd: Run, tmp_path: Path) -> None:
    write(tmp_path, health=BROKEN)
    assert policyd("check", tmp_path, "--format", "concise").out.count("\n") == 1
    document = json.loads(policyd("check", tmp_path, "--format", "json").out)
    assert document["errors"] == 1
    assert policyd("check", tmp_path, "--format", "github").out.startswith("::error file=")
    sarif = json.loads(policyd("check", tmp_path, "--format", "sarif").out)
    assert sarif["runs"][0]["results"][0]["ruleId"] == "P1001"


def test_several_paths_are_one_set(policyd: Run, tmp_path: Path) -> None:
    write(tmp_path, one=POLICY, two="api health\nallow more: update on patient\n    when true\n")
    assert policyd("check", tmp_path / "one.policy", tmp_path / "two.policy").code == 0
    alone = policyd("check", tmp_path / "two.policy", "--format", "concise")
    assert alone.code == 1
    assert "P1016" in alone.out


def test_nothing_to_check(policyd: Run, tmp_path: Path) -> None:
    write(tmp_path, health_test=in_a_test())
    for path in (tmp_path, tmp_path / "missing"):
        result = policyd("check", path)
        assert (result.code, result.out) == (2, "")
        assert str(path) in result.err


def test_unreadable_text_is_a_finding(policyd: Run, tmp_path: Path) -> None:
    (tmp_path / "a.policy").write_bytes(b"api \xff")
    result = policyd("check", tmp_path)
    assert result.code == 1
    assert "P0001" in result.out


ISSUER = """
[[issuers]]
issuer = "https://{name}.example/"
dialect = "auth0"
jwks_file = "keys.json"
apis = ["health"]
"""


def test_identity_needs_its_issuer_where_several_speak(policyd: Run, tmp_path: Path) -> None:
    rule = 'allow own: update on patient\n    when token.subject == "auth0|x"\n'
    write(tmp_path, health=POLICY + rule)
    config = tmp_path / "policyd.toml"
    table = '[policies]\npath = "."\n'
    config.write_text(table + ISSUER.format(name="one"), encoding="utf-8")
    assert policyd("check", tmp_path, "--config", config).code == 0
    both = table + ISSUER.format(name="one") + ISSUER.format(name="two")
    config.write_text(both, encoding="utf-8")
    result = policyd("check", tmp_path, "--config", config, "--format", "concise")
    assert result.code == 1
    assert "P1025" in result.out
    assert policyd("check", tmp_path).code == 0
    config.write_text("nonsense", encoding="utf-8")
    result = policyd("check", tmp_path, "--config", config)
    assert result.code == 2
    assert "P5001" in result.err


def test_certain_repairs_are_written(policyd: Run, tmp_path: Path) -> None:
    slips = (
        "define a as token.org_id in [org_red];\n"
        "define b as token.auth_time within last 15min\n"
        "define c as scope read:patient\n"
    )
    path = write(tmp_path, health=POLICY + slips) / "health.policy"
    result = policyd("check", "--fix", "--format", "concise", tmp_path)
    assert result.err.startswith(f"mended {path}: 2 changes\nmended {path}: 1 change\n")
    assert path.read_text(encoding="utf-8") == POLICY + (
        'define a as token.org_id in ["org_red"]\n'
        "define b as token.auth_time within last 15m\n"
        "define c as scope read:patient\n"
    )
    assert result.code == 1
    assert result.out.count("\n") == result.out.count("P1003") == 1


def test_nothing_to_mend(policyd: Run, tmp_path: Path) -> None:
    path = write(tmp_path, health=POLICY) / "health.policy"
    before = path.stat().st_mtime_ns
    assert policyd("check", "--fix", tmp_path).err == "1 file: 0 errors, 0 warnings\n"
    assert path.stat().st_mtime_ns == before


def test_links_lead_where_the_configuration_lets_them(policyd: Run, tmp_path: Path) -> None:
    write(tmp_path, secret=POLICY)
    (tmp_path / "root").mkdir()
    (tmp_path / "root" / "a.policy").symlink_to("../secret.policy")
    result = policyd("check", tmp_path / "root")
    assert (result.code, "leads outside" in result.out) == (1, True)
    assert "read:patients" not in result.out

    config = tmp_path / "policyd.toml"
    config.write_text(
        '[policies]\npath = "root"\nfollow_outside = true\n\n'
        '[[issuers]]\nissuer = "https://a.example"\ndialect = "oidc"\napis = ["health"]\n'
    )
    assert policyd("check", tmp_path / "root", "--config", config).code == 0
