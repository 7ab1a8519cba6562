"""`[revocations]`: what is read, and that nothing leaks or lies open by mistake."""

from __future__ import annotations

from pathlib import Path

import pytest

from policyd.config.configuration import load_configuration
from policyd.config.findings import ConfigurationInvalid
from policyd.sources.revocations import RedisSettings, RevocationSettings
from policyd.tokens.revocation.revocation_list import ClaimNames

MINIMAL = """\
[policies]
path = "policies"

[[issuers]]
issuer = "https://issuer.example/"
dialect = "auth0"

"""


def read(folder: Path, table: str) -> RevocationSettings | None:
    path = folder / "policyd.toml"
    path.write_text(MINIMAL + table)
    return load_configuration(path).revocations


def finding(folder: Path, table: str) -> tuple[str, str]:
    """Return code and text, everything that a user sees, of the only finding."""
    with pytest.raises(ConfigurationInvalid) as caught:
        read(folder, table)
    (found,) = caught.value.diagnostics
    return found.code, f"{found.headline} ({found.help})"


def redis(folder: Path, lines: str) -> RedisSettings:
    settings = read(folder, f"[revocations.redis]\n{lines}\n")
    assert settings is not None
    assert settings.redis is not None
    return settings.redis


def test_without_a_table_nobody_revokes(tmp_path: Path) -> None:
    assert read(tmp_path, "") is None


def test_a_file(tmp_path: Path) -> None:
    assert read(tmp_path, '[revocations]\nfile = "list.ndjson"\n') == RevocationSettings(
        file=tmp_path / "list.ndjson"
    )


def test_everything(tmp_path: Path) -> None:
    table = """\
[revocations]
file = "list.ndjson"
max_staleness = 60
on_stale = "allow"
session_claims = ["sid", "session_state"]
organisation_claims = ["organization"]
longest_token_life = 3600

[revocations.redis]
url = "rediss://me%40work@redis.example.com:6390/3"
key = "ours"
password_file = "secret"
password_env = "SECRET"
ca_file = "ca.pem"
certificate = "cert.pem"
private_key = "key.pem"
"""
    assert read(tmp_path, table) == RevocationSettings(
        file=tmp_path / "list.ndjson",
        redis=RedisSettings(
            host="redis.example.com",
            port=6390,
            database=3,
            username="me@work",
            tls=True,
            key="ours",
            password_file=tmp_path / "secret",
            password_env="SECRET",
            ca_file=tmp_path / "ca.pem",
            certificate=tmp_path / "cert.pem",
            private_key=tmp_path / "key.pem",
        ),
        max_staleness=60,
        deny_when_stale=False,
        claims=ClaimNames(("sid", "session_state"), ("organization",)),
        longest_token_life=3600,
    )


@pytest.mark.parametrize(
    ("url", "host", "port"),
    [
        ("redis://127.0.0.1", "127.0.0.1", 6379),
        ("redis://localhost:1/", "localhost", 1),
        ("redis://[::1]:7", "::1", 7),
        ("rediss://redis.example.com", "redis.example.com", 6379),
    ],
)
def test_urls(tmp_path: Path, url: str, host: str, port: int) -> None:
    found = redis(tmp_path, f'url = "{url}"')
    assert (found.host, found.port, found.path) == (host, port, None)


def test_a_unix_socket(tmp_path: Path) -> None:
    found = redis(tmp_path, 'url = "unix:/run/redis%20one.sock"')
    assert (found.path, str(found)) == (Path("/run/redis one.sock"), "unix:/run/redis one.sock")


def test_an_open_network_has_to_be_trusted_by_name(tmp_path: Path) -> None:
    url = 'url = "redis://redis.example.com"'
    code, said = finding(tmp_path, f"[revocations.redis]\n{url}\n")
    assert code == "P5012"
    assert "`redis.example.com:6379` is not protected" in said
    assert redis(tmp_path, f"{url}\ninsecure = true").host == "redis.example.com"


@pytest.mark.parametrize(
    "url",
    [
        "rediss://me:s3cret@redis.example.com",
        "rediss://:s3cret@redis.example.com/0",
        "rediss://redis.example.com?password=s3cret",
        "rediss://redis.example.com#s3cret",
        "s3cret",
        "https://s3cret.example.com",
        "rediss://",
        "rediss:///0",
        "rediss://redis.example.com:s3cret",
        "rediss://redis.example.com/s3cret",
        "rediss://[s3cret",
        "unix:s3cret",
        "unix://host/s3cret",
        "",
    ],
)
def test_what_is_wrong_with_a_url_shows_no_secret(tmp_path: Path, url: str) -> None:
    code, said = finding(tmp_path, f'[revocations.redis]\nurl = "{url}"\n')
    assert code == "P5012"
    assert "s3cret" not in said


def test_a_certificate_needs_its_key(tmp_path: Path) -> None:
    lines = 'url = "rediss://redis.example.com"\ncertificate = "cert.pem"'
    code, said = finding(tmp_path, f"[revocations.redis]\n{lines}\n")
    assert code == "P5012"
    assert "go together" in said


@pytest.mark.parametrize(
    ("table", "code"),
    [
        ("[revocations]\n", "P5003"),
        ("[revocations]\nmax_staleness = 60\n", "P5003"),
        ('[revocations]\nfile = "x"\nmax_staleness = 0\n', "P5004"),
        ('[revocations]\nfile = "x"\non_stale = "ignore"\n', "P5004"),
        ('[revocations]\nfile = "x"\nlongest_token_life = 1\n', "P5004"),
        ('[revocations]\nfile = "x"\nredis = "redis://localhost"\n', "P5004"),
        ('[revocations]\nflie = "x"\n', "P5002"),
        ("[revocations.redis]\n", "P5003"),
        ('[revocations.redis]\nurl = "redis://localhost"\nkey = ""\n', "P5004"),
        ('[revocations.redis]\nurl = "redis://localhost"\nkey = "{x}"\n', "P5004"),
        ('[revocations.redis]\nurl = "redis://localhost"\npassword = "s3cret"\n', "P5002"),
    ],
)
def test_what_does_not_fit(tmp_path: Path, table: str, code: str) -> None:
    found, said = finding(tmp_path, table)
    assert found == code
    assert "s3cret" not in said
