"""`[decision_log]`: which sinks there are, and which mistakes are told where."""

from __future__ import annotations

from pathlib import Path

import pytest

from policyd.audit.courier import Batches
from policyd.audit.sinks.http import HttpSettings
from policyd.audit.sinks.rotation import Rotation
from policyd.config.configuration import Configuration, examine
from policyd.config.decision_log import FileSettings, OutputSettings
from policyd.config.findings import ConfigurationInvalid
from policyd.diagnostics import Diagnostic
from policyd.server.workers import configuration_of
from policyd.tokens.minting import key_set_text
from tests.support.tokens import key

ISSUER = (
    '[[issuers]]\nissuer = "https://issuer.example/"\ndialect = "auth0"\njwks_file = "jwks.json"\n'
)
HTTP = '[[decision_log.sinks]]\nkind = "http"\nurl = "https://logs.example.com/"\n'
FILE = '[[decision_log.sinks]]\nkind = "file"\npath = "b.ndjson"\n'


def examined(folder: Path, log: str) -> tuple[Configuration | None, list[Diagnostic]]:
    (folder / "jwks.json").write_bytes(key_set_text(key()))
    text = f'[policies]\npath = "policies"\n[server]\nworkers = 1\n[decision_log]\n{log}{ISSUER}'
    (folder / "policyd.toml").write_text(text)
    try:
        configuration, found = examine(folder / "policyd.toml", files=True)
    except ConfigurationInvalid as error:  # a table of another form
        return None, list(error.diagnostics)
    return configuration, list(found)


def made(folder: Path, log: str) -> Configuration:
    configuration, found = examined(folder, log)
    assert found == []
    assert configuration is not None
    return configuration


@pytest.mark.parametrize(
    ("log", "to"),
    [
        ("", OutputSettings()),
        ('[[decision_log.sinks]]\nkind = "stdout"\n', OutputSettings()),
        ('path = "b.ndjson"\n', FileSettings(Path("b.ndjson"))),
        (FILE, FileSettings(Path("b.ndjson"))),
        (
            FILE + "rotate_bytes = 5000\nrotate_seconds = 60\nkeep = 2\ngzip = true\n",
            FileSettings(Path("b.ndjson"), Rotation(5000, 60, 2, True)),
        ),
    ],
)
def test_one_file_or_standard_output_needs_no_spool(
    tmp_path: Path, log: str, to: FileSettings | OutputSettings
) -> None:
    settings = made(tmp_path, log).decision_log
    (sink,) = settings.sinks
    if isinstance(to, FileSettings):
        to = FileSettings(tmp_path / to.path, to.rotation)
    assert (sink.to, settings.spool) == (to, None)


@pytest.mark.parametrize(
    ("log", "names", "folder"),
    [
        (HTTP, ["http"], "spool"),
        ('path = "a.ndjson"\n' + HTTP, ["file", "http"], "spool"),
        ('path = "a.ndjson"\n' + FILE, ["file", "file-2"], "spool"),
        (FILE + HTTP + HTTP, ["file", "http", "http-2"], "spool"),
        ('path = "a.ndjson"\nspool = "there"\n', ["file"], "there"),
        (HTTP + 'name = "siem"\n', ["siem"], "spool"),
    ],
)
def test_several_sinks_or_remote_ones_have_a_spool(
    tmp_path: Path, log: str, names: list[str], folder: str
) -> None:
    settings = made(tmp_path, log).decision_log
    assert [sink.name for sink in settings.sinks] == names
    assert settings.spool is not None
    assert settings.spool.folder == tmp_path / folder
    assert settings.spool.max_bytes == 1024**3


def test_a_worker_has_its_own_folder(tmp_path: Path) -> None:
    configuration = configuration_of(3, made(tmp_path, HTTP))
    assert configuration.decision_log.spool is not None
    assert configuration.decision_log.spool.worker == 3


def test_reads_what_is_said_of_a_server(tmp_path: Path) -> None:
    for name in ("token", "cert.pem", "key.pem"):
        (tmp_path / name).write_text("x")
    more = (
        'token_file = "token"\ncertificate = "cert.pem"\nprivate_key = "key.pem"\n'
        "gzip = true\ntimeout = 3\nbatch_records = 7\nbatch_bytes = 2000\nbatch_seconds = 0.5\n"
    )
    (sink,) = made(tmp_path, HTTP + more).decision_log.sinks
    assert isinstance(sink.to, HttpSettings)
    assert sink.batches == Batches(7, 2000, 0.5)
    assert (sink.to.gzip, sink.to.timeout) == (True, 3)
    assert sink.to.url.geturl() == "https://logs.example.com/"
    found = (sink.to.token_file, sink.to.certificate, sink.to.private_key, sink.to.ca_file)
    assert found == (tmp_path / "token", tmp_path / "cert.pem", tmp_path / "key.pem", None)


@pytest.mark.parametrize(
    ("log", "says", "place"),
    [
        ('[[decision_log.sinks]]\nkind = "http"\n', "`url` is missing", "[[decision_log.sinks]]"),
        ('[[decision_log.sinks]]\nkind = "file"\n', "`path` is missing", "[[decision_log.sinks]]"),
        ('[[decision_log.sinks]]\nkind = "kafka"\n', "`decision_log.sinks", "kind"),
        (HTTP + 'path = "x"\n', "a sink of the kind `http` has no `path`", "path"),
        (FILE + "timeout = 3\n", "a sink of the kind `file` has no `timeout`", "timeout"),
        (FILE + "keep = 3\n", "the file is never rotated", "keep"),
        (FILE + "gzip = true\n", "the file is never rotated", "gzip"),
        (HTTP + 'name = "a b"\n', "does not fit", "name"),
        (HTTP + 'name = "x"\n' + FILE + 'name = "x"\n', "two sinks are called `x`", "name"),
        (HTTP + 'certificate = "jwks.json"\n', "go together", "certificate"),
        (HTTP + 'token_file = "no"\n', "no`: No such file", "token_file"),
        (HTTP + 'ca_file = "policyd.toml"\n', "holds no certificate in PEM", "ca_file"),
        (HTTP.replace("https", "http"), "`url` must begin with https://", "url"),
        (FILE.replace("b.ndjson", "no/b"), "No such file or directory", "path"),
        ('spool = "policyd.toml/x"\n' + FILE, "cannot be written", "spool"),
        ('durability = "sync"\n', "nobody knows when", "durability"),
        ("max_bytes = 5\n" + HTTP, "does not fit", "max_bytes"),
    ],
)
def test_a_mistake_is_told_at_its_line(tmp_path: Path, log: str, says: str, place: str) -> None:
    configuration, found = examined(tmp_path, log)
    (one,) = found
    assert configuration is None
    assert says in one.headline
    assert one.primary is not None
    source = one.primary.source
    line = source.line(source.position(one.primary.span.start).line)
    assert line.startswith(place)
