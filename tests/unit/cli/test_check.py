from __future__ import annotations

import json
from functools import partial
from pathlib import Path

import pytest

from policyd.pdp import proving
from policyd.pdp.proving import HelperProver
from policyd.tokens.minting import key_set_text
from tests.support.cli import Run
from tests.support.pigeons import PIGEONS
from tests.support.tokens import key
from tests.support.tooling import OPEN, POLICY, in_a_test, write

EVAL = ("--claims", "-", "--action", "read", "--resource", "patient:1")
TEST = in_a_test("token { scope: [read:patients] }", f"allow read on patient {OPEN}")
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
    (tmp_path / "keys.json").write_bytes(key_set_text(key()))
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
    assert result.err.startswith(f"mended {path}: 3 changes\nmended {path}: 1 change\n")
    assert path.read_text(encoding="utf-8") == POLICY + (
        'define a as token.org_id in ["org_red"]\n'
        "define b as token.auth_time within last 15m\n"
        "define c as scope read:patients\n"
    )
    assert (result.code, result.out) == (0, "")


@pytest.mark.parametrize(
    ("written", "meant"),
    [
        ("when token.sub = “x”", 'when token.sub == "x"'),
        ("when token.sub == 'x'", 'when token.sub == "x"'),
        ("if read:patients", "when scope read:patients"),
        ("where scope read:patient", "when scope read:patients"),
        ("when !scope read:patients&&true_enough", "when not scope read:patients and true_enough"),
        ("when read_only", "when read-only"),
    ],
)
def test_what_a_message_says_to_write_is_written(
    policyd: Run, tmp_path: Path, written: str, meant: str
) -> None:
    head = f"{POLICY}\ndefine true_enough as resource.sealed\n\ndefine read-only as true_enough\n"
    rule = "\nallow more: read on patient\n    {}\n"
    path = write(tmp_path, health=head + rule.format(written)) / "health.policy"
    result = policyd("check", "--fix", tmp_path)
    assert (result.code, result.out) == (0, "")
    assert path.read_text(encoding="utf-8") == head + rule.format(meant)


@pytest.mark.parametrize(
    ("written", "help_", "mended"),
    [
        (
            "\npermit more: read on patient\n    when scope read:patients\n",
            "did you mean `allow`?",
            True,
        ),
        (
            "\nresource bill {\n    price: float\n    actions read\n}\n",
            "did you mean `decimal`?",
            True,
        ),
        (
            "\nresource bill {\n    paid: boolean\n    actions read\n}\n",
            "did you mean `bool`?",
            True,
        ),
        (
            "\nallow more: * on patient\n    when scope read:patients\n",
            "list the actions by name",
            False,
        ),
        ('\ndefine more as scope == "read:patients"\n', "write `scope NAME`", False),
    ],
)
def test_words_of_other_languages_get_a_hint(
    policyd: Run, tmp_path: Path, written: str, help_: str, mended: bool
) -> None:
    write(tmp_path, health=POLICY + written)
    result = policyd("check", tmp_path)
    assert result.code == 1
    assert help_ in result.out
    assert policyd("check", "--fix", tmp_path).code == (0 if mended else 1)


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
    assert policyd("check", tmp_path / "root", "--follow-outside").code == 0

    config = tmp_path / "policyd.toml"
    config.write_text(
        '[policies]\npath = "root"\nfollow_outside = true\n\n'
        '[[issuers]]\nissuer = "https://a.example"\ndialect = "oidc"\napis = ["health"]\n'
    )
    assert policyd("check", tmp_path / "root", "--config", config).code == 0
    config.write_text(config.read_text().replace("follow_outside = true", ""))
    assert policyd("check", tmp_path / "root", "--config", config).code == 1
    assert policyd("check", "--follow-outside", "--config", config).code == 0


@pytest.mark.parametrize(
    "command",
    [
        ("check",),
        ("test",),
        ("lint", "--ignore", "P3001,P3002"),
        ("fmt", "--check"),
        ("mutate",),
        ("routes",),
        ("eval", *EVAL, "--policies"),
        ("token", "inspect", "-", "--policies"),
    ],
    ids=" ".join,
)
def test_every_verb_can_follow_links(
    policyd: Run, tmp_path: Path, command: tuple[str, ...]
) -> None:
    """A link below a directory, and one that is named itself."""
    write(tmp_path, secret=POLICY)
    (tmp_path / "root").mkdir()
    link = tmp_path / "root" / "a.policy"
    link.symlink_to("../secret.policy")
    for path in (tmp_path / "root", link):
        refused = policyd(*command, path, stdin="{}")
        assert "leads outside" in refused.out + refused.err
        followed = policyd(*command, path, "--follow-outside", stdin="{}")
        assert "leads outside" not in followed.out + followed.err


@pytest.mark.parametrize(
    "command",
    [
        ("check",),
        ("test",),
        ("lint",),
        ("mutate",),
        ("routes",),
        ("eval", *EVAL, "--policies"),
        ("token", "inspect", "-", "--policies"),
    ],
    ids=" ".join,
)
def test_every_verb_warns_of_misnamed_files(
    policyd: Run, tmp_path: Path, command: tuple[str, ...]
) -> None:
    """A deny in one of them would be missed everywhere, not only in the daemon."""
    write(tmp_path, health=POLICY, health_test=TEST)
    (tmp_path / "deny.polciy").write_text("deny all: read on patient\n")
    result = policyd(*command, tmp_path, stdin="{}")
    assert "P0028" in result.out + result.err


def configure(folder: Path, text: str = "", policies: str = POLICY) -> Path:
    """Write a set of policies and a configuration that goes with it but for `text`."""
    (folder / "policies").mkdir()
    write(folder / "policies", health=policies)
    (folder / "keys.json").write_bytes(key_set_text(key()))
    config = folder / "policyd.toml"
    config.write_text(
        '[policies]\npath = "policies"\n' + (text or ISSUER.format(name="one")), encoding="utf-8"
    )
    return config


def test_a_configuration_needs_no_path(policyd: Run, tmp_path: Path) -> None:
    result = policyd("check", "--config", configure(tmp_path))
    assert (result.code, result.out) == (0, "")
    assert "1 file" in result.err


def test_without_both_there_is_nothing_to_check(policyd: Run) -> None:
    result = policyd("check")
    assert result.code == 2
    assert "give a PATH: there is no policyd.toml here or in a folder above" in result.err


@pytest.mark.parametrize(
    ("text", "says", "line"),
    [
        (ISSUER.replace("keys.json", "none.json"), "No such file", 'jwks_file = "none.json"'),
        (
            ISSUER.replace('"health"', '"heath"'),
            "names the API `heath`, which no policy declares",
            'apis = ["heath"]',
        ),
        ("[apis.heath]" + ISSUER, "`apis` names the API `heath`", "[apis.heath]"),
        (
            '[server]\ndefault_api = "heath"' + ISSUER,
            "`server.default_api` names the API `heath`",
            'default_api = "heath"',
        ),
        (
            '[revocations]\nfile = "none.ndjson"' + ISSUER,
            "none.ndjson: there is no such file",
            'file = "none.ndjson"',
        ),
        (
            '[revocations]\nfile = "keys.json"' + ISSUER,
            "keys.json:1: this is no revocation",
            'file = "keys.json"',
        ),
        (
            '[server.tls]\ncertificate = "keys.json"\nprivate_key = "keys.json"' + ISSUER,
            "holds no certificate in PEM",
            'certificate = "keys.json"',
        ),
        (ISSUER + 'ca_file = "keys.json"', "holds no certificate in PEM", 'ca_file = "keys.json"'),
        ('[server]\nlisten = ["localhost"]' + ISSUER, "has no port", 'listen = ["localhost"]'),
        (
            '[decision_log]\nmask = ["token.emial"]' + ISSUER,
            "`token.emial` in `mask` names a fact",
            'mask = ["token.emial"]',
        ),
    ],
)
def test_what_serve_would_find_is_found_at_its_line(
    policyd: Run, tmp_path: Path, text: str, says: str, line: str
) -> None:
    config = configure(tmp_path, text.format(name="one"))

    result = policyd("check", "--config", config)

    assert result.code == 2
    assert says in result.out
    assert f"| {line}" in result.out
    assert "cannot be used: 1 error" in result.err


def test_a_name_that_is_nearly_right_is_suggested(policyd: Run, tmp_path: Path) -> None:
    config = configure(tmp_path, ISSUER.format(name="one").replace('"health"', '"heath"'))
    assert "did you mean `health`?" in policyd("check", "--config", config).out


def test_findings_of_both_come_together(policyd: Run, tmp_path: Path) -> None:
    config = configure(
        tmp_path, ISSUER.format(name="one").replace("keys", "none"), policies="api health {"
    )
    result = policyd("check", "--config", config, "--format", "concise")
    assert result.code == 2
    assert "P5008" in result.out
    assert "P0" in result.out


def test_errors_of_policies_alone_are_findings(policyd: Run, tmp_path: Path) -> None:
    config = configure(tmp_path, policies="api health {")
    assert policyd("check", "--config", config).code == 1


def test_a_part_of_the_policies_is_not_held_against_names(policyd: Run, tmp_path: Path) -> None:
    config = configure(tmp_path, ISSUER.format(name="one").replace('"health"', '"other"'))
    path = tmp_path / "policies" / "health.policy"
    assert policyd("check", path, "--config", config).code == 0
    assert policyd("check", path.parent, "--config", config).code == 2


def test_a_broken_promise_is_an_error_and_its_counterexample_a_test(
    policyd: Run, tmp_path: Path
) -> None:
    promise = "\nprove nobody: never allow read on patient\n    when scope read:patients\n"
    folder = write(tmp_path, health=POLICY + promise)
    shown = policyd("check", folder, "--write-counterexamples", tmp_path / "broken")
    assert shown.code == 1
    assert "error[P7001]: the promise `nobody` is broken" in shown.out
    (test,) = (tmp_path / "broken").iterdir()
    assert f"wrote {test}" in shown.err
    assert policyd("test", folder / "health.policy", test).code == 0, "what it shows is so"

    write(tmp_path, health=f"{POLICY}{promise}    unless scope read:patients\n")
    assert policyd("check", folder / "health.policy").code == 0


def test_what_takes_too_much_is_undecided(
    policyd: Run, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    folder = write(tmp_path, birds=PIGEONS)
    shown = policyd("check", folder)
    assert shown.code == 1
    assert "error[P7002]: the promise `grounded` could not be decided" in shown.out
    assert "`fly` on `bird`: undecided after 50,000 conflicts" in shown.out

    monkeypatch.setattr(proving, "HelperProver", partial(HelperProver, 0.01))
    shown = policyd("check", folder)
    assert shown.code == 1
    assert "it takes longer than 0.01 seconds" in shown.out
