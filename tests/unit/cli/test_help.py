"""What a stranger meets first: help, examples, near misses, completion, the default PATH."""

from __future__ import annotations

import shlex
from pathlib import Path

import click
import pytest

from policyd import __version__
from policyd.cli import main, nearest, target
from policyd.cli.completion import SHELLS
from policyd.cli.examples import examples_of
from policyd.diagnostics import CODES, catalogue
from tests.support.cli import Run
from tests.support.tooling import OPEN, POLICY, in_a_test, write


def commands() -> dict[str, click.Command]:
    """Return each verb, and each verb below `token`, by its words."""
    context = click.Context(main.policyd, info_name="policyd")
    found: dict[str, click.Command] = {"": main.policyd}
    for verb in main.VERBS:
        command = main.policyd.get_command(context, verb)
        assert command is not None
        found[verb] = command
        if isinstance(command, click.Group):
            found |= {f"{verb} {name}": one for name, one in command.commands.items()}
    return found


COMMANDS = commands()


@pytest.mark.parametrize("words", COMMANDS)
def test_help_holds_eighty_columns_and_ends_with_examples(policyd: Run, words: str) -> None:
    shown = policyd(*words.split(), "--help").out
    assert [line for line in shown.splitlines() if len(line) > 80] == []
    assert "\n  Examples:\n    " in shown


def typed(epilog: str | None) -> list[list[str]]:
    """Return the words behind `policyd` of each example."""
    lines = "\n".join(examples_of(epilog)).replace("\\\n", " ").splitlines()
    found = []
    for line in lines:
        words = shlex.split(line.replace('"$(', "").replace(')"', ""), comments=True)
        after = words[words.index("policyd") + 1 :]
        end = next((number for number, word in enumerate(after) if word in "<>|"), len(after))
        found.append(after[:end] + [word for word in after[end + 2 :] if word != "-"])
    return found


@pytest.mark.parametrize("words", COMMANDS)
def test_examples_are_commands_that_exist(words: str) -> None:
    shown = typed(COMMANDS[words].epilog)
    assert shown
    for arguments in shown:
        command: click.Command = main.policyd
        context = click.Context(main.policyd, info_name="policyd")
        while isinstance(command, click.Group) and arguments:
            inner = command.get_command(context, arguments.pop(0))
            assert inner is not None
            command = inner
        if "--help" not in arguments:
            arguments = ["--help" if word == "-" else word for word in arguments]
            parser = command.make_parser(click.Context(command))
            parser.parse_args(arguments)


def test_version_is_an_option_too(policyd: Run) -> None:
    assert policyd("--version").out == f"policyd {__version__}\n"


@pytest.mark.parametrize(
    ("arguments", "said"),
    [
        (("chekc",), "Error: there is no verb `chekc`; did you mean `check`?\n"),
        (("validate",), "Error: there is no verb `validate`; did you mean `check`?\n"),
        (("zzzzzzz",), "Error: there is no verb `zzzzzzz`; `policyd --help` lists the verbs\n"),
        (("check", "--confg", "x"), "No such option '--confg'. Did you mean '--config'?\n"),
        (("token", "inspekt"), "No such command 'inspekt'. Did you mean 'inspect'?\n"),
    ],
)
def test_near_misses(policyd: Run, arguments: tuple[str, ...], said: str) -> None:
    result = policyd(*arguments)
    assert (result.code, result.out) == (2, "")
    assert result.err.endswith(said)


def test_words_of_other_tools_lead_to_verbs() -> None:
    assert set(main.OTHER_WORDS.values()) <= set(main.VERBS)
    assert not set(main.OTHER_WORDS) & set(main.VERBS)


@pytest.mark.parametrize("shell", SHELLS)
def test_completion(policyd: Run, shell: str) -> None:
    script = policyd("completion", shell)
    assert (script.code, script.err) == (0, "")
    assert "_POLICYD_COMPLETE" in script.out


@pytest.mark.parametrize(
    ("typed", "place", "offered"),
    [
        ("policyd che", "1", ["plain,check"]),
        ("policyd check --f", "2", ["plain,--fix", "plain,--follow-outside", "plain,--format"]),
        ("policyd explain P1005", "2", ["plain,P1005"]),
    ],
)
def test_what_is_completed(
    capsys: pytest.CaptureFixture[str],
    monkeypatch: pytest.MonkeyPatch,
    typed: str,
    place: str,
    offered: list[str],
) -> None:
    monkeypatch.setenv("_POLICYD_COMPLETE", "bash_complete")
    monkeypatch.setenv("COMP_WORDS", typed)
    monkeypatch.setenv("COMP_CWORD", place)
    with pytest.raises(SystemExit):
        main.run([])
    assert capsys.readouterr().out.splitlines() == offered


def test_explain_lists_all(policyd: Run) -> None:
    listed = policyd("explain").out
    assert [line for line in listed.splitlines() if len(line) > 80] == []
    titles = catalogue.titles()
    assert set(CODES) <= set(titles)
    for name, title in titles.items():
        assert f"\n{name}" in listed
        assert f"  {title}\n" in listed


def configured(folder: Path) -> Path:
    (folder / "policies").mkdir()
    write(
        folder / "policies",
        health=POLICY,
        health_test=in_a_test(
            "token { scope: [read:patients] }", f"allow read on patient {OPEN} by reads"
        ),
    )
    (folder / "policyd.toml").write_text(
        '[policies]\npath = "policies"\n\n'
        '[[issuers]]\nissuer = "https://my-domain.auth0.com/"\ndialect = "auth0"\n'
    )
    return folder


@pytest.mark.parametrize("below", [".", "policies", "a/b"])
@pytest.mark.parametrize("verb", ["check", "lint", "test", "fmt", "routes"])
def test_the_nearest_configuration_says_where_the_policies_are(
    policyd: Run, tmp_path: Path, monkeypatch: pytest.MonkeyPatch, verb: str, below: str
) -> None:
    here = configured(tmp_path) / below
    here.mkdir(parents=True, exist_ok=True)
    monkeypatch.chdir(here)
    result = policyd(verb)
    assert result.code == (1 if verb == "lint" else 0)  # the linter has something to say
    assert "policyd.toml" in result.err.splitlines()[0]


def test_the_nearest_configuration_says_where_links_may_lead(
    policyd: Run, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    folder = configured(tmp_path)
    file = folder / "policyd.toml"
    (folder / "policies" / "health.policy").rename(folder / "health.policy")
    (folder / "policies" / "health.policy").symlink_to("../health.policy")
    monkeypatch.chdir(folder)
    assert "P0027" in policyd("routes").out
    assert policyd("routes", "--follow-outside").code == 0
    text = file.read_text()
    file.write_text(text.replace("[policies]", "[policies]\nfollow_outside = true"))
    assert policyd("routes").code == 0
    assert policyd("fmt", "--check").code == 0


def test_findings_name_files_as_seen_from_here(
    policyd: Run, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    write(configured(tmp_path) / "policies", health=POLICY.replace("resource.sealed", "resource.x"))
    (tmp_path / "here").mkdir()
    monkeypatch.chdir(tmp_path / "here")
    assert "../policies/health.policy:" in policyd("check").out
    assert "../policies/health.policy:" in policyd("test").out


def test_without_a_configuration_a_path_is_asked_for(
    policyd: Run, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.chdir(tmp_path)
    for verb in ("check", "lint", "test", "fmt", "routes", "mutate"):
        result = policyd(verb)
        assert result.code == 2
        assert result.err.endswith(
            "Error: give a PATH: there is no policyd.toml here or in a folder above\n"
        )


def test_a_configuration_that_cannot_be_read_is_named(
    policyd: Run, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    (tmp_path / "policyd.toml").write_text("[policies]\npath = 7\n")
    monkeypatch.chdir(tmp_path)
    result = policyd("test")
    assert result.code == 2
    assert "policyd.toml cannot be used\n" in result.err
    assert "policyd.toml:2:" in result.err


def test_what_is_far_away_stays_absolute(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    deep = tmp_path / "a" / "b" / "c"
    deep.mkdir(parents=True)
    monkeypatch.chdir(deep)
    assert nearest.from_here(tmp_path / "a" / "x") == Path("../../x")
    assert nearest.from_here(tmp_path / "x") == tmp_path / "x"


@pytest.mark.parametrize(
    ("written", "meant"),
    [
        ("localhost", "localhost:8181"),
        ("127.0.0.1", "127.0.0.1:8181"),
        ("[::1]", "[::1]:8181"),
        ("[::1]:9", "[::1]:9"),
        ("pdp.example.com:443", "pdp.example.com:443"),
        ("unix:policyd.sock", "unix:policyd.sock"),
        ("http://localhost", "http://localhost"),
    ],
)
def test_a_host_without_a_port_gets_the_default_one(written: str, meant: str) -> None:
    assert target.full_target(written) == meant
