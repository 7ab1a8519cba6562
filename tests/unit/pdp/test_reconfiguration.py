"""The configuration read again, in this process: what goes on, what takes over, what is told."""

from __future__ import annotations

from collections.abc import Iterable, Iterator, Sequence
from pathlib import Path

import msgspec
import pytest

from policyd.config import Configuration, load_configuration
from policyd.config.findings import ConfigurationInvalid
from policyd.pdp import reconfiguration
from policyd.pdp.reconfiguration import Reconfiguration
from policyd.server.http.metrics_text import Exposition
from policyd.tokens.assembly import open_issuers
from policyd.tokens.keys.refresher import RefreshedKeys
from policyd.tokens.minting import key_set_text
from policyd.tokens.trust import Issuer
from policyd.tokens.validator import Validator
from tests.support.certificates import self_signed
from tests.support.state import Rig
from tests.support.tokens import ISSUER, NOW, Clock, key, reason, token, verify

OTHER = "https://other.example/"
#: Where nobody listens.
AWAY = 'jwks_uri = "http://127.0.0.1:1/keys"\nallow_http_loopback = true'


class Site:
    """A folder with a configuration, and the parts of a daemon that follow it."""

    def __init__(self, folder: Path) -> None:
        self.folder = folder
        self.refuses = False
        self.looked_at: list[str] = []
        self.clock = Clock()
        self.put_keys("jwks.json", "main")
        self.configure()
        serving = self.load()
        self.rig = Rig()
        self.validator = self.rig.validator
        self.validator.configure(open_issuers(serving.issuers, self.clock))
        self.validator.start()
        assert self.validator.wait_for_keys(30)
        self.reconfiguration = Reconfiguration(
            serving,
            self.load,
            self.validator,
            self.rig.policies,
            lambda settings, known: open_issuers(settings, self.clock, open_already=known),
            self._look_at,
            self.clock,
        )
        self.state = msgspec.structs.replace(self.rig.state, reconfiguration=self.reconfiguration)

    def _look_at(self, issuers: Iterable[Issuer]) -> None:
        self.looked_at = [issuer.settings.issuer for issuer in issuers]
        if self.refuses:
            raise ConfigurationInvalid.of("P5006", "these issuers take a restart")

    def load(self) -> Configuration:
        return load_configuration(self.folder / "policyd.toml", files=True)

    def put_keys(self, name: str, *names: str) -> None:
        (self.folder / name).write_bytes(key_set_text(*(key(name=one) for one in names)))

    def configure(self, source: str = 'jwks_file = "jwks.json"', further: str = "") -> None:
        (self.folder / "policyd.toml").write_text(
            '[policies]\npath = "policies"\n[[issuers]]\n'
            f'issuer = "{ISSUER}"\ndialect = "auth0"\napis = ["health"]\n{source}\n{further}'
        )

    def apply(self) -> str | None:
        self.reconfiguration.apply()
        return self.reconfiguration.figures.problem

    def asked(self, token: str) -> str:
        """Return the reason for which a token is refused, or nothing."""
        return reason(token, self.validator)

    def accepts(self, token: str) -> bool:
        return verify(token, self.validator).issuer == ISSUER

    def figure(self, name: str) -> float:
        """Return what `/metrics` tells of the last reload."""
        text = Exposition(self.state).text().decode()
        lines = dict(line.rsplit(" ", 1) for line in text.splitlines())
        return float(lines[f"policyd_config_last_reload_{name}"])

    def troubles(self) -> str:
        return "; ".join(self.state.troubles())


@pytest.fixture
def site(tmp_path: Path) -> Iterator[Site]:
    made = Site(tmp_path)
    yield made
    made.validator.stop()


@pytest.mark.parametrize(
    ("source", "says"),
    [
        ('jwks_file = "none.json"', "none.json' cannot be read: No such file or directory"),
        ('jwks_file = "empty.json"', "`jwks_file` cannot be used"),
        ('jwks_file = "folder"', "cannot be read"),
        (f'ca_file = "none.pem"\n{AWAY}', "`ca_file` cannot be used"),
        (f'ca_file = "empty.json"\n{AWAY}', "holds no certificate in PEM"),
        ("jwks_file = ", "the file is not TOML"),
        ('jwks_flie = "jwks.json"', "unknown key"),
    ],
)
def test_a_file_of_no_use_changes_nothing(site: Site, source: str, says: str) -> None:
    (site.folder / "empty.json").write_text("")
    (site.folder / "folder").mkdir()
    before = site.validator.issuers
    site.configure(source)

    problem = site.apply()

    assert problem is not None
    assert says in problem
    assert problem in site.troubles()
    assert site.validator.issuers == before
    assert site.accepts(token())
    assert site.figure("successful") == 0
    assert site.figure("success_timestamp_seconds") == NOW


def test_of_several_errors_the_first_is_told_with_its_place_and_the_log_has_all(
    site: Site, caplog: pytest.LogCaptureFixture
) -> None:
    site.configure(further="nonsense = 1\n")
    file = site.folder / "policyd.toml"
    one = f"the changed configuration has errors; nothing changed: {file}:8:1: error[P5002]: "
    assert str(site.apply()).startswith(one)
    assert "more)" not in str(site.apply())
    site.configure(further="nonsense = 1\nmore = 2\n")
    caplog.clear()

    assert str(site.apply()).startswith(one)
    assert str(site.apply()).endswith(" (and 1 more)")

    line = next(one for one in caplog.records if one.levelname == "ERROR")
    assert [place.split(": ")[0] for place in vars(line)["places"]] == [
        f"{file}:8:1",
        f"{file}:9:1",
    ]
    assert "9 | more = 2" in vars(line)["findings"]


def test_a_success_ends_the_trouble(site: Site) -> None:
    site.configure("jwks_file = ")
    assert site.apply() is not None
    site.configure()
    site.clock.move(5)

    assert site.apply() is None

    assert site.troubles() == ""
    assert site.figure("successful") == 1
    assert site.figure("success_timestamp_seconds") == NOW + 5


def test_the_configuration_may_be_away(site: Site) -> None:
    (site.folder / "policyd.toml").unlink()

    assert "cannot be read: No such file or directory" in str(site.apply())
    assert site.accepts(token())


def told(caplog: pytest.LogCaptureFixture) -> dict[str, object]:
    """Return what the log says of the last configuration that was taken over."""
    line = [one for one in caplog.records if one.message == "configuration read again"][-1]
    return {name: vars(line)[name] for name in ("issuers", "added", "changed", "removed")}


LATE = "some keys are not there yet; until then those from before serve, if any"


def test_tells_which_issuers_came_changed_and_went(
    site: Site, caplog: pytest.LogCaptureFixture
) -> None:
    caplog.set_level("INFO")
    nothing: dict[str, object] = {"issuers": [ISSUER], "added": [], "changed": [], "removed": []}
    site.apply()
    assert told(caplog) == nothing
    site.configure(further="leeway = 1\n" + second_issuer(site))
    site.apply()
    both = sorted([ISSUER, OTHER])
    assert told(caplog) == nothing | {"issuers": both, "added": [OTHER], "changed": [ISSUER]}
    site.configure(further="leeway = 1\n")
    site.apply()
    assert told(caplog) == nothing | {"removed": [OTHER]}
    assert LATE not in caplog.messages


def test_new_keys_are_fetched_before_they_take_over(
    site: Site, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(reconfiguration, "PATIENCE", 30)
    configure = Validator.configure
    had_keys: list[bool] = []

    def noting(validator: Validator, issuers: Sequence[Issuer]) -> None:
        had_keys.extend(issuer.keys.snapshot is not None for issuer in issuers)
        configure(validator, issuers)

    monkeypatch.setattr(Validator, "configure", noting)
    site.configure(further=second_issuer(site))

    assert site.apply() is None

    assert had_keys == [True, True]


def test_keys_go_on_until_the_new_ones_came(
    site: Site, monkeypatch: pytest.MonkeyPatch, caplog: pytest.LogCaptureFixture
) -> None:
    monkeypatch.setattr(reconfiguration, "PATIENCE", 0)
    site.configure(AWAY)

    assert site.apply() is None

    (issuer,) = site.validator.issuers
    assert issuer.settings.jwks_uri is not None
    assert not issuer.keys.wait(0)
    assert site.accepts(token())
    assert LATE in caplog.messages


def test_what_else_changed_counts_at_once(site: Site, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(reconfiguration, "PATIENCE", 0)
    assert site.accepts(token())

    for further, why in [
        ('algorithms = ["ES256"]\n', "ALGORITHM_NOT_ALLOWED"),
        ("max_token_age = 30\nleeway = 0\n", "TOKEN_EXPIRED"),
        ('require_binding = "dpop"\n', "TOKEN_BINDING_INVALID"),
    ]:
        site.configure(AWAY, further)
        assert site.apply() is None
        assert site.asked(token()) == why


def test_keys_that_came_replace_the_old_ones(site: Site) -> None:
    site.put_keys("new.json", "new")
    site.configure('jwks_file = "new.json"')

    assert site.apply() is None

    assert site.accepts(token(by=key(name="new")))
    assert site.asked(token()) == "KEY_UNKNOWN"


def test_an_issuer_that_is_gone_is_gone(site: Site) -> None:
    site.configure(AWAY)
    text = (site.folder / "policyd.toml").read_text().replace(ISSUER, OTHER)
    (site.folder / "policyd.toml").write_text(text)
    site.put_keys("other.json", "main")
    (site.folder / "policyd.toml").write_text(text.replace(AWAY, 'jwks_file = "other.json"'))

    assert site.apply() is None

    assert site.asked(token()) == "ISSUER_UNKNOWN"


def test_old_keys_serve_no_longer_than_the_new_settings_let_them(
    site: Site, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(reconfiguration, "PATIENCE", 0)
    (before,) = site.validator.issuers
    assert before.keys.snapshot is not None
    site.configure(AWAY, "max_stale = 10\n")

    assert site.apply() is None

    (after,) = site.validator.issuers
    assert after.keys.snapshot is not None
    assert after.keys.snapshot.key_set is before.keys.snapshot.key_set
    assert after.keys.snapshot.usable_until == before.keys.snapshot.usable_until - 3590


def test_warnings_are_told(site: Site, caplog: pytest.LogCaptureFixture) -> None:
    (site.folder / "ca.pem").write_bytes(self_signed().certificate)
    site.configure(further='ca_file = "ca.pem"\n')

    assert site.apply() is None

    (line,) = [one for one in caplog.records if one.message == "the configuration has warnings"]
    assert "is no authority, and vouches for itself alone" in str(vars(line)["findings"])
    assert "policyd.toml:8" in str(vars(line)["places"])


@pytest.mark.parametrize("source", ['jwks_file = "jwks.json"', "jwks_file = "])
def test_keys_are_fetched_anew_in_any_case(
    site: Site, monkeypatch: pytest.MonkeyPatch, source: str
) -> None:
    fetched: list[Validator] = []
    monkeypatch.setattr(Validator, "fetch_keys", lambda validator: fetched.append(validator))
    site.configure(source)
    site.apply()
    assert fetched == [site.validator]


def second_issuer(site: Site) -> str:
    """Return the table of another issuer that speaks for the same API."""
    site.put_keys("other.json", "other")
    return (
        f'[[issuers]]\nissuer = "{OTHER}"\ndialect = "auth0"\n'
        'apis = ["health"]\njwks_file = "other.json"\n'
    )


def test_all_issuers_are_looked_at_before_they_take_over(site: Site) -> None:
    before = site.validator.issuers
    site.configure(further=second_issuer(site))
    site.refuses = True

    assert "these issuers take a restart" in str(site.apply())

    assert site.looked_at == [ISSUER, OTHER]
    assert site.validator.issuers == before


def test_policies_that_cannot_tell_the_issuers_apart_keep_the_old_ones(
    site: Site, monkeypatch: pytest.MonkeyPatch
) -> None:
    """And what was started for the new one stops again; the old one goes on."""
    stopped: list[RefreshedKeys] = []
    stop = RefreshedKeys.stop

    def noted(keys: RefreshedKeys) -> None:
        stopped.append(keys)
        stop(keys)

    monkeypatch.setattr(RefreshedKeys, "stop", noted)
    site.rig.policies.load()
    (before,) = site.validator.issuers
    site.configure(further=second_issuer(site))

    assert "the policies do not go with the changed issuers" in str(site.apply())

    assert site.validator.issuers == (before,)
    (keys,) = stopped
    assert keys is not before.keys
    assert site.accepts(token())


def test_what_waits_for_a_restart_is_named(site: Site, caplog: pytest.LogCaptureFixture) -> None:
    """And what does not, is not."""
    tls = "[server.tls]\ncertificate = 'c.pem'\nprivate_key = 'k.pem'\n"
    certificate = self_signed()
    (site.folder / "c.pem").write_bytes(certificate.certificate)
    (site.folder / "k.pem").write_bytes(certificate.key)
    dialects = "[dialects.own]\nmarks = [{ token_use = 'access' }]\n"
    site.configure(
        further=f"leeway = 1\n[log]\nlevel = 'debug'\n[server]\nmax_calls = 2\n{tls}{dialects}"
    )

    assert site.apply() is None

    message = "settings changed that wait for a restart"
    (line,) = [one for one in caplog.records if one.message == message]
    assert vars(line)["keys"] == ("log.level", "server.max_calls", "server.tls")


def test_names_are_judged_by_what_is_in_force(site: Site) -> None:
    """Those of issuers change at once; what waits for a restart is not looked at before."""
    site.rig.policies.load()
    site.configure(further='[server]\ndefault_api = "gone"\n')
    assert site.apply() is None
    assert not site.rig.policies.unknown_names
    text = (site.folder / "policyd.toml").read_text()
    (site.folder / "policyd.toml").write_text(text.replace('["health"]', '["health", "lost"]'))
    assert site.apply() is None
    assert ["`lost`" in found.headline for found in site.rig.policies.unknown_names] == [True]


def test_a_table_that_came_or_went_is_named_as_a_whole() -> None:
    none: dict[str, object] = {"a": {"b": None}, "issuers": 1}
    some: dict[str, object] = {"a": {"b": {"c": 1}}, "issuers": 2}
    other: dict[str, object] = {"a": {"b": {"c": 2}, "issuers": 1}}
    changed = reconfiguration._changed
    assert list(changed(none, some, "")) == list(changed(some, none, "")) == ["a.b"]
    assert list(changed(some, other, "")) == ["a.b.c", "a.issuers"]


def test_a_defect_is_told_and_changes_nothing(
    site: Site, monkeypatch: pytest.MonkeyPatch, caplog: pytest.LogCaptureFixture
) -> None:
    before = site.validator.issuers
    monkeypatch.setattr(Validator, "configure", lambda *_: 1 // 0)

    assert site.apply() == "reading the configuration again failed"

    assert site.validator.issuers == before
    assert site.accepts(token())
    assert "ZeroDivisionError" in caplog.text


def test_where_nothing_can_be_read_again_that_is_said(
    site: Site, caplog: pytest.LogCaptureFixture
) -> None:
    alone = Reconfiguration(
        site.load(), None, site.validator, site.rig.policies, lambda *_: (), lambda _: None
    )
    alone.apply()
    assert "there is no configuration to read again" in caplog.text
    assert alone.figures.problem is None
