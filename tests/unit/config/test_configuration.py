"""The configuration: what is read, and that each mistake is named with its key and place."""

from __future__ import annotations

from pathlib import Path

import pytest

from policyd.config.addresses import Address, TcpAddress, UnixAddress
from policyd.config.apis import ApiSettings
from policyd.config.configuration import Configuration, load_configuration, without_file
from policyd.config.decision_log import FileSettings, OutputSettings
from policyd.config.findings import ConfigurationInvalid
from policyd.config.tables import File
from policyd.diagnostics import Diagnostic

MINIMAL = """\
[policies]
path = "policies"

[[issuers]]
issuer = "https://issuer.example/"
dialect = "auth0"
jwks_file = "jwks.json"
"""


def configured(tmp_path: Path, text: str, *, development: bool = False) -> Configuration:
    path = tmp_path / "policyd.toml"
    path.write_text(text)
    return load_configuration(path, development=development)


def findings(tmp_path: Path, text: str, *, development: bool = False) -> tuple[Diagnostic, ...]:
    with pytest.raises(ConfigurationInvalid) as caught:
        configured(tmp_path, text, development=development)
    return caught.value.diagnostics


def finding(
    tmp_path: Path, text: str, *, development: bool = False
) -> tuple[str, str, str, str | None]:
    """Return code, headline, the line that is pointed at, and help of the only finding."""
    (found,) = findings(tmp_path, text, development=development)
    label = found.primary
    line = "" if label is None else label.source.line(label.source.position(label.span.start).line)
    return found.code, found.headline, line, found.help


def server(line: str) -> str:
    return f"{MINIMAL}\n[server]\n{line}\n"


def addresses(made: Configuration) -> list[Address]:
    return [listener.address for listener in made.listeners]


def test_has_safe_defaults(tmp_path: Path) -> None:
    made = configured(tmp_path, MINIMAL)
    (listener,) = made.listeners
    assert listener.address == TcpAddress("127.0.0.1", 8181)
    assert listener.services == {"authorization"}
    assert listener.tls is None
    assert made.decision_log.sinks[0].to == OutputSettings()
    assert made.decision_log.mask == frozenset()
    assert not made.server.insecure


def test_paths_are_relative_to_the_file(tmp_path: Path) -> None:
    text = server('listen = ["unix:run.sock"]') + '[decision_log]\npath = "log/decisions"\n'
    made = configured(tmp_path, text)
    assert made.policies == tmp_path / "policies"
    assert addresses(made) == [UnixAddress(tmp_path / "run.sock")]
    assert made.decision_log.sinks[0].to == FileSettings(tmp_path / "log" / "decisions")
    assert made.issuers[0].jwks_file == str(tmp_path / "jwks.json")


def test_the_environment_overrides(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv("POLICYD_SERVER__LISTEN", '["127.0.0.1:1"]')
    monkeypatch.setenv("POLICYD_LOG__LEVEL", "debug")
    monkeypatch.setenv("POLICYD_SERVER__THREADS", "3")
    made = configured(tmp_path, server("threads = 8\nmax_streams = 2"))
    assert addresses(made) == [TcpAddress("127.0.0.1", 1)]
    assert made.log.level == "debug"
    assert (made.server.threads, made.server.max_streams) == (3, 2)


def test_a_variable_that_names_no_section_is_an_error(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setenv("POLICYD_SRVER__LISTEN", "x")
    code, headline, _, help_ = finding(tmp_path, MINIMAL)
    assert (code, help_) == ("P5002", "did you mean `server`?")
    assert "POLICYD_SRVER__LISTEN" in headline


def test_a_variable_that_is_no_json_is_an_error(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setenv("POLICYD_SERVER__LISTEN", "127.0.0.1:1")
    assert finding(tmp_path, MINIMAL)[0] == "P5004"


def test_a_file_that_is_not_there_is_an_error(tmp_path: Path) -> None:
    with pytest.raises(ConfigurationInvalid, match="cannot be read: No such file"):
        load_configuration(tmp_path / "policyd.toml")


def test_a_file_that_is_no_text_is_an_error(tmp_path: Path) -> None:
    (tmp_path / "policyd.toml").write_bytes(b"\xff")
    with pytest.raises(ConfigurationInvalid) as caught:
        load_configuration(tmp_path / "policyd.toml")
    assert caught.value.diagnostics[0].code == "P0001"


@pytest.mark.parametrize(
    ("text", "line"),
    [("[policies", "[policies"), ("[policies]\npath = 1 2\n", "path = 1 2"), ("a = ", "a = ")],
)
def test_what_is_no_toml_is_an_error_at_its_place(tmp_path: Path, text: str, line: str) -> None:
    assert finding(tmp_path, text)[::2] == ("P5001", line)


@pytest.mark.parametrize(
    ("text", "code", "headline", "line", "help_"),
    [
        (
            server('lisen = ["127.0.0.1:1"]'),
            "P5002",
            "unknown key `server.lisen`",
            'lisen = ["127.0.0.1:1"]',
            "did you mean `listen`?",
        ),
        (
            f"colour = 1\n{MINIMAL}",
            "P5002",
            "unknown key `colour`",
            "colour = 1",
            f"known here: {', '.join(sorted(File.__struct_fields__))}",
        ),
        (
            f"{MINIMAL}leway = 1\n",
            "P5002",
            "unknown key `issuers[0].leway`",
            "leway = 1",
            "did you mean `leeway`?",
        ),
        (
            server('threads = "six"'),
            "P5004",
            "`server.threads` does not fit",
            'threads = "six"',
            "write a whole number from 1 to 64",
        ),
        (
            server("threads = 0"),
            "P5004",
            "`server.threads` does not fit",
            "threads = 0",
            "write a whole number from 1 to 64",
        ),
        (
            server('listen = ["localhost"]'),
            "P5004",
            "`localhost` has no port: write `host:port`, such as `127.0.0.1:8181` or `[::1]:8181`",
            'listen = ["localhost"]',
            None,
        ),
        (
            server('listen = ["127.0.0.1:1", "127.0.0.1:1"]'),
            "P5004",
            "`127.0.0.1:1` is given twice",
            'listen = ["127.0.0.1:1", "127.0.0.1:1"]',
            None,
        ),
        (
            server("listen = []"),
            "P5004",
            "`server.listen` is empty",
            "listen = []",
            None,
        ),
        (
            MINIMAL.split("[[")[0],
            "P5003",
            "no issuer is configured",
            "",
            "add an `[[issuers]]` table, or run with `--dev`",
        ),
        (
            MINIMAL.replace('"auth0"', '"auht0"'),
            "P5006",
            "issuer 'https://issuer.example/': `dialect` is 'auht0'; did you mean auth0?",
            'dialect = "auht0"',
            None,
        ),
    ],
)
def test_a_mistake_is_named_and_pointed_at(
    tmp_path: Path, text: str, code: str, headline: str, line: str, help_: str | None
) -> None:
    (tmp_path / "jwks.json").write_text("{}")
    assert finding(tmp_path, text) == (code, headline, line, help_)


def test_all_mistakes_are_found_at_once(tmp_path: Path) -> None:
    text = server('lisen = 1\nthreads = "x"') + "[log]\nlevel = 'loud'\n"
    assert [found.code for found in findings(tmp_path, text)] == ["P5004", "P5002", "P5004"]


def test_a_missing_key_points_at_its_table(tmp_path: Path) -> None:
    text = MINIMAL.replace('dialect = "auth0"\n', "")
    assert finding(tmp_path, text) == (
        "P5003",
        "`issuers[0].dialect` is missing",
        "[[issuers]]",
        "add `dialect = …`",
    )


def test_of_two_issuers_each_must_name_its_apis(tmp_path: Path) -> None:
    second = MINIMAL.partition("[[")[2].replace("issuer.example", "other.example")
    code, headline, line, _ = finding(tmp_path, f"{MINIMAL}[[{second}")
    assert (code, line) == ("P5006", "[[issuers]]")
    assert "`apis` is missing" in headline


@pytest.mark.parametrize("key", ["listen", "explain_listen"])
@pytest.mark.parametrize("address", ["0.0.0.0:1", "[::]:1", "example.com:1", "192.0.2.1:1"])
def test_plain_text_beyond_this_machine_needs_a_word(
    tmp_path: Path, key: str, address: str
) -> None:
    line = f'{key} = ["{address}"]'
    code, headline, where, help_ = finding(tmp_path, server(line))
    assert (code, where) == ("P5005", line)
    assert f"`{address}` can be reached by others" in headline
    assert help_ is not None
    assert "insecure = true" in help_
    assert configured(tmp_path, server(f"{line}\ninsecure = true")).server.insecure


@pytest.mark.parametrize("address", ["127.0.0.2:1", "[::1]:1", "localhost:1", "unix:a"])
def test_loopback_needs_none(tmp_path: Path, address: str) -> None:
    (made,) = addresses(configured(tmp_path, server(f'listen = ["{address}"]')))
    assert made.is_loopback


def test_development_needs_no_issuers_and_takes_none(tmp_path: Path) -> None:
    without = MINIMAL.split("[[")[0]
    assert configured(tmp_path, without, development=True).issuers == ()
    assert configured(tmp_path, MINIMAL, development=True).issuers == ()


def test_development_needs_no_file(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    made = without_file(tmp_path / "policyd.toml")
    assert (made.policies, made.issuers) == (tmp_path / "policies", ())
    assert [str(one.address) for one in made.listeners] == ["127.0.0.1:8181"]
    monkeypatch.setenv("POLICYD_SERVER__LISTEN", '["0.0.0.0:1"]')
    with pytest.raises(ConfigurationInvalid):
        without_file(tmp_path / "policyd.toml")


def test_development_stays_on_this_machine(tmp_path: Path) -> None:
    text = f'{MINIMAL.split("[[")[0]}[server]\nlisten = ["0.0.0.0:1"]\ninsecure = true\n'
    code, _, line, _ = finding(tmp_path, text, development=True)
    assert (code, line) == ("P5007", 'listen = ["0.0.0.0:1"]')


def test_pages_and_metadata(tmp_path: Path) -> None:
    made = configured(tmp_path, MINIMAL)
    assert (len(made.listeners), made.in_challenges, made.apis) == (1, False, {})
    assert not made.details_in_challenges
    text = (
        '[http]\nlisten = ["0.0.0.0:8182"]\n[metadata]\nin_challenges = true\n'
        "details_in_challenges = true\n"
        '[apis.health]\nresource = "https://example.com/"\nname = "Health"\n'
        'base_scopes = ["openid", "read:patients"]\n'
    )
    made = configured(tmp_path, f"{text}{MINIMAL}")
    assert addresses(made)[1:] == [TcpAddress("0.0.0.0", 8182)]
    assert made.in_challenges and made.details_in_challenges
    assert made.apis == {
        "health": ApiSettings("https://example.com/", "Health", None, ("openid", "read:patients"))
    }


@pytest.mark.parametrize(
    "line",
    [
        'resource = "http://example.com/"',
        'resource = "api://x"',
        'documentation = "http://example.com/"',
        'documentation = "https://"',
        'documentation = "https://[x"',
    ],
)
def test_metadata_of_an_api_is_made_of_https_urls(tmp_path: Path, line: str) -> None:
    code, headline, shown, _ = finding(tmp_path, f"{MINIMAL}\n[apis.health]\n{line}\n")
    assert (code, shown) == ("P5004", line)
    assert line.split('"')[1] in headline


def test_two_apis_are_not_one_resource(tmp_path: Path) -> None:
    line = 'resource = "https://example.com/"'
    text = f"{MINIMAL}\n[apis.one]\n{line}\n[apis.two]\n{line}\n[apis.three]\n[apis.four]\n"
    assert finding(tmp_path, text)[0] == "P5004"


def test_suggests_keys_of_an_api(tmp_path: Path) -> None:
    found = finding(tmp_path, f'{MINIMAL}\n[apis.health]\nresorce = "https://example.com/"\n')
    assert found[0] == "P5002"
    assert found[3] == "did you mean `resource`?"


def test_development_shows_pages_to_this_machine_alone(tmp_path: Path) -> None:
    text = '[policies]\npath = "policies"\n[http]\nlisten = ["0.0.0.0:8182"]\n'
    assert finding(tmp_path, text, development=True)[0] == "P5007"
