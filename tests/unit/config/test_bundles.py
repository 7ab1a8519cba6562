"""`[policies.bundle]`: what it may say."""

from __future__ import annotations

from pathlib import Path

import pytest

from policyd.config.configuration import load_configuration
from policyd.config.findings import ConfigurationInvalid
from policyd.sources.policies.bundle.settings import BundleSettings

ISSUER = '[[issuers]]\nissuer = "https://d.auth0.com/"\ndialect = "auth0"\n'
GOOD = 'name = "orders"\nurl = "https://store.example.com/orders.tar.gz"\n'


def configured(folder: Path, keys: str, policies: str = "") -> Path:
    path = folder / "policyd.toml"
    path.write_text(f"{policies}[policies.bundle]\n{keys}\n{ISSUER}")
    return path


def test_paths_are_relative_to_the_configuration(tmp_path: Path) -> None:
    (tmp_path / "signers").touch()
    keys = f'{GOOD}allowed_signers_file = "signers"\nlong_poll = 60\n'
    found = load_configuration(configured(tmp_path, keys))
    assert found.bundle is not None
    assert found.bundle.trust.allowed_signers_file == tmp_path / "signers"
    assert (found.bundle.long_poll, found.bundle.path) == (60.0, None)
    assert found.state == tmp_path / "state"
    file = load_configuration(configured(tmp_path, 'name = "orders"\npath = "b.tar.gz"'))
    assert file.bundle is not None
    assert (file.bundle.url, file.bundle.path) == ("", tmp_path / "b.tar.gz")


@pytest.mark.parametrize(
    ("keys", "said"),
    [
        ('name = "orders"', "`policies.bundle.url` is missing"),
        (f'{GOOD}path = "b"', "the bundle is at a URL and in a file"),
        ('name = "o"\nurl = "http://store.example.com/o"', "must begin with https://"),
        ('name = "o"\nurl = "ftp://store.example.com/o"', "must begin with https://"),
        ('name = "o"\nurl = "https://store.example.com/o?sig=1"', "no user, query or fragment"),
        ('name = "o"\nurl = "https://store.example.com/"', "the URL of the bundle has no path"),
        ('name = "../o"\npath = "b"', "`name` is no name of a bundle"),
        (f'{GOOD}username = "me"', "`policies.bundle.password_file` is missing"),
        (f'{GOOD}password_file = "p"', "`policies.bundle.username` is missing"),
        (f'{GOOD}token_file = "t"\nusername = "me"\npassword_file = "p"', "of two kinds"),
        (f'{GOOD}revoked_keys_file = "r"', "`allowed_signers_file` is missing"),
        (f'{GOOD}allowed_signers_file = "none"', "no file that is there"),
        (f"{GOOD}interval = 0", "interval"),
        (f"{GOOD}sequence = 1", "sequence"),
        ('url = "https://store.example.com/o"', "name"),
    ],
)
def test_what_is_wrong_is_found(tmp_path: Path, keys: str, said: str) -> None:
    with pytest.raises(ConfigurationInvalid) as raised:
        load_configuration(configured(tmp_path, keys), files=True)
    assert any(said in one.headline for one in raised.value.diagnostics)


def test_the_shadow_may_be_another_bundle(tmp_path: Path) -> None:
    (tmp_path / "signers").touch()
    for place, url, path in (
        ("https://store.example.com/next.tar.gz", "https://store.example.com/next.tar.gz", None),
        ("next.tar.gz", "", tmp_path / "next.tar.gz"),
    ):
        shadow = f'[policies.shadow]\nbundle = "{place}"\n'
        keys = f'{GOOD}allowed_signers_file = "signers"\n'
        found = load_configuration(configured(tmp_path, keys, shadow))
        assert found.shadow is not None
        source = found.shadow.source
        assert isinstance(source, BundleSettings)
        assert (source.url, source.path, source.allow_rewind) == (url, path, True)
        assert (source.name, source.trust.allowed_signers_file) == ("orders", tmp_path / "signers")


@pytest.mark.parametrize(
    ("text", "said"),
    [
        (
            '[policies]\npath = "p"\n[policies.shadow]\nbundle = "b"\n',
            "`policies.shadow.bundle` needs a bundle, and the policies come from none",
        ),
        (
            f'[policies.bundle]\n{GOOD}[policies.shadow]\nbundle = "http://store.example.com/b"\n',
            "the URL of the bundle must begin with https://",
        ),
        (
            f'[policies.bundle]\n{GOOD}[policies.shadow]\nbundle = "b"\npath = "p"\n',
            "names no policies, or two sets of them",
        ),
    ],
)
def test_what_is_wrong_with_the_bundle_of_a_shadow(tmp_path: Path, text: str, said: str) -> None:
    path = tmp_path / "policyd.toml"
    path.write_text(text + ISSUER)
    with pytest.raises(ConfigurationInvalid) as raised:
        load_configuration(path)
    assert any(said in one.headline for one in raised.value.diagnostics)


def test_a_secret_in_the_url_is_not_shown(tmp_path: Path) -> None:
    keys = 'name = "o"\nurl = "https://me:hunter2@store.example.com/o"'
    with pytest.raises(ConfigurationInvalid) as raised:
        load_configuration(configured(tmp_path, keys))
    (found,) = raised.value.diagnostics
    assert "a user or a password stands in the URL" in found.headline
    assert "hunter2" not in found.headline + str(found.help)


def test_two_sources_are_one_too_many(tmp_path: Path) -> None:
    git = '[policies.git]\nurl = "https://git.example.com/p"\nref = "main"\n'
    with pytest.raises(ConfigurationInvalid) as raised:
        load_configuration(configured(tmp_path, GOOD, git))
    assert "from a repository and from a bundle" in raised.value.diagnostics[0].headline
