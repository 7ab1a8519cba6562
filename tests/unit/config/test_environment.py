"""Environment variables: what they set, what they leave alone, and what is a finding."""

from __future__ import annotations

from pathlib import Path

import pytest

from policyd.config.addresses import TcpAddress
from policyd.config.decision_log import FileSettings
from policyd.config.findings import ConfigurationInvalid
from policyd.config.listeners import Listener
from policyd.config.tables import Introspection, Log, Server, Tls
from policyd.server.listeners import naming
from policyd.server.transport.interface import BindFailed
from tests.unit.config.test_configuration import MINIMAL, configured, server


def finding(tmp_path: Path) -> tuple[str, str, str | None]:
    """Return code, headline and help of the only finding, which points at no line of the file."""
    with pytest.raises(ConfigurationInvalid) as caught:
        configured(tmp_path, MINIMAL)
    (found,) = caught.value.diagnostics
    assert found.primary is None
    return found.code, found.headline, found.help


@pytest.mark.parametrize(
    ("name", "text", "expected"),
    [
        ("POLICYD_SERVER__THREADS", "3", Server(threads=3)),
        ("policyd_server__threads", "3", Server(threads=3)),
        ("POLICYD_SERVER__GRACE", "2", Server(grace=2.0)),
        ("POLICYD_SERVER__INSECURE", "true", Server(insecure=True)),
        ("POLICYD_SERVER__INSECURE", "1", Server(insecure=True)),
        ("POLICYD_SERVER__DEFAULT_API", "3", Server(default_api="3")),
        ("POLICYD_SERVER__DEFAULT_API", "", Server()),
        ("POLICYD_SERVER__TRANSPORT", "standard", Server(transport="standard")),
        ("POLICYD_SERVER__LISTEN", '["unix:a"]', Server(listen=("unix:a",))),
        ("POLICYD_SERVER", '{"threads": 3}', Server(threads=3)),
    ],
)
def test_each_type_has_its_text(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch, name: str, text: str, expected: Server
) -> None:
    monkeypatch.setenv(name, text)
    assert configured(tmp_path, MINIMAL).server == expected


def test_a_table_is_put_over_the_files_key_by_key(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    (tmp_path / "x.pem").touch()
    monkeypatch.setenv("POLICYD_SERVER", '{"threads": 3, "workers": 2, "tls": {}}')
    monkeypatch.setenv("POLICYD_SERVER__WORKERS", "1")
    monkeypatch.setenv("POLICYD_SERVER__TLS__CERTIFICATE", "x.pem")
    text = server("threads = 8\nmax_calls = 9") + (
        '[server.tls]\ncertificate = "a.pem"\nprivate_key = "x.pem"\n'
    )
    assert configured(tmp_path, text).server == Server(
        threads=3, max_calls=9, tls=Tls(certificate="x.pem", private_key="x.pem")
    )


def test_a_section_may_stand_in_the_environment_alone(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setenv("POLICYD_APIS__HEALTH__NAME", "Health records")
    monkeypatch.setenv("POLICYD_DECISION_LOG__PATH", "null")
    monkeypatch.setenv("POLICYD_LOG", '{"level": "error"}')
    made = configured(tmp_path, MINIMAL)
    assert made.apis["health"].name == "Health records"
    assert made.decision_log.sinks[0].to == FileSettings(tmp_path / "null")
    assert made.log == Log(level="error")


def test_issuers_are_replaced_as_a_whole(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv(
        "POLICYD_ISSUERS",
        '[{"issuer": "https://b.example", "dialect": "oidc",'
        ' "introspection": {"client_id": "p", "client_secret_env": "S"}}]',
    )
    made = configured(tmp_path, MINIMAL)
    (issuer,) = made.file.issuers
    assert issuer.issuer == "https://b.example"
    assert issuer.introspection == Introspection(client_id="p", client_secret_env="S")


@pytest.mark.parametrize("name", ["POLICYD_TOKEN", "POLICYD", "XPOLICYD_SERVER__THREADS"])
def test_other_variables_are_let_be(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch, name: str
) -> None:
    monkeypatch.setenv(name, "x")
    assert configured(tmp_path, MINIMAL).server == Server()


@pytest.mark.parametrize(
    ("name", "help_"),
    [
        ("POLICYD_SRVER__LISTEN", "did you mean `server`?"),
        ("POLICYD_SERVER__LISEN", "did you mean `listen`?"),
        ("POLICYD_HTTP__COLOUR", "known here: listen, webhook_secret_file"),
        ("POLICYD_SERVER__TLS__CERTIFICAT", "did you mean `certificate`?"),
        ("POLICYD_ISSUERS__0__LEEWAY", "set a list as a whole, as JSON"),
    ],
)
def test_what_names_no_key_is_a_finding(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch, name: str, help_: str
) -> None:
    monkeypatch.setenv(name, "1")
    headline = f"the environment variable `{name}` names no key of the configuration"
    assert finding(tmp_path) == ("P5002", headline, help_)


@pytest.mark.parametrize(
    ("name", "text", "help_"),
    [
        ("POLICYD_SERVER__THREADS", "s3cret", "write a whole number from 1 to 64"),
        ("POLICYD_SERVER__THREADS", "65", "write a whole number from 1 to 64"),
        ("POLICYD_SERVER__GRACE", "nan", "write a number from 0 to 3600"),
        ("POLICYD_SERVER__INSECURE", "s3cret", "write `true` or `false`"),
        ("POLICYD_LOG__LEVEL", "s3cret", "write `debug`, `info`, `warning` or `error`"),
        ("POLICYD_SERVER__LISTEN", "s3cret", "write a list, each item a text, as JSON"),
        ("POLICYD_SERVER__TLS", "s3cret", "write a table, as JSON"),
        ("POLICYD_SERVER__TLS", '"\udcff"', "write a table, as JSON"),
    ],
)
def test_what_does_not_fit_is_a_finding_that_shows_no_value(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch, name: str, text: str, help_: str
) -> None:
    monkeypatch.setenv(name, text)
    headline = f"the environment variable `{name}` does not fit"
    assert finding(tmp_path) == ("P5004", headline, help_)


@pytest.mark.parametrize(
    ("name", "meant"),
    [
        ("POLICYD_LOG_LEVEL", "POLICYD_LOG__LEVEL"),
        ("policyd_server_listen", "POLICYD_SERVER__LISTEN"),
        ("POLICYD_POLICIES_PATH", "POLICYD_POLICIES__PATH"),
        ("POLICYD_SERVER_TLS_PRIVATE_KEY", "POLICYD_SERVER__TLS__PRIVATE_KEY"),
        ("POLICYD_DECISION_LOG_PATH", "POLICYD_DECISION_LOG__PATH"),
    ],
)
def test_one_underscore_in_place_of_two_is_a_finding(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch, name: str, meant: str
) -> None:
    monkeypatch.setenv(name, "s3cret")
    headline = f"the environment variable `{name}` names no key of the configuration"
    help_ = f"did you mean `{meant}`, with two underscores?"
    assert finding(tmp_path) == ("P5002", headline, help_)


@pytest.mark.parametrize("service", ["POLICYD", "POLICYD_SERVER", "POLICYD_LOG", "POLICYD_HTTP"])
def test_what_kubernetes_sets_for_a_service_is_let_be(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch, service: str
) -> None:
    for name in (
        *("SERVICE_HOST", "SERVICE_PORT", "SERVICE_PORT_GRPC", "PORT", "PORT_8181_TCP"),
        *("PORT_8181_TCP_ADDR", "PORT_8181_TCP_PORT", "PORT_8181_TCP_PROTO"),
    ):
        monkeypatch.setenv(f"{service}_{name}", "tcp://10.0.0.1:8181")
    assert configured(tmp_path, MINIMAL).server == Server()


@pytest.mark.parametrize("value", ["", " ", "\t"])
def test_an_empty_path_is_a_finding(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch, value: str
) -> None:
    monkeypatch.setenv("POLICYD_POLICIES__PATH", value)
    headline = "the environment variable `POLICYD_POLICIES__PATH` does not fit"
    assert finding(tmp_path) == ("P5004", headline, "write a path, which is not empty")


def test_a_finding_about_what_a_variable_sets_names_the_variable(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setenv("Policyd_Server__Listen", '["127.0.0.1:x"]')
    with pytest.raises(ConfigurationInvalid) as caught:
        configured(tmp_path, MINIMAL)
    (found,) = caught.value.diagnostics
    assert (found.code, found.primary) == ("P5004", None)
    assert found.notes == ("it is set by `Policyd_Server__Listen`",)


def test_an_address_in_use_is_told_with_what_sets_it(monkeypatch: pytest.MonkeyPatch) -> None:
    listener = Listener(
        TcpAddress("127.0.0.1", 1), frozenset({"authorization"}), ("server", "listen")
    )

    def said() -> str:
        with pytest.raises(ConfigurationInvalid) as caught, naming(listener):
            raise BindFailed("Address already in use")
        return str(caught.value)

    assert said() == "cannot listen on `127.0.0.1:1`: Address already in use"
    monkeypatch.setenv("POLICYD_SERVER", '{"listen": ["127.0.0.1:1"]}')
    assert "(set by `POLICYD_SERVER`)" in said()
    monkeypatch.setenv("POLICYD_SERVER__LISTEN", '["127.0.0.1:1"]')
    assert "(set by `POLICYD_SERVER__LISTEN`)" in said()
