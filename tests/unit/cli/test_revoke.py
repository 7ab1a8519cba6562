"""`policyd revoke`: what it writes, where, and what it refuses to write."""

from __future__ import annotations

import json
import time
from pathlib import Path

import pytest

from policyd.sources.revocations.wire import decode, encode_end
from policyd.tokens.revocation.model import Revocation, RevocationKind
from tests.support.cli import Result, Run
from tests.support.redis import redis_server

ISSUER = "https://my-domain.auth0.com/"
CONFIGURATION = f"""\
[policies]
path = "policies"

[[issuers]]
issuer = "{ISSUER}"
dialect = "auth0"

"""
FILE = '[revocations]\nfile = "list.ndjson"\nlongest_token_life = 86400\n'


class Desk:
    """A folder with a configuration, and the command that uses it."""

    def __init__(self, folder: Path, policyd: Run) -> None:
        self.folder = folder
        self.list = folder / "list.ndjson"
        self._policyd = policyd
        self.configure(FILE)

    def configure(self, revocations: str) -> None:
        (self.folder / "policyd.toml").write_text(CONFIGURATION + revocations)

    def __call__(self, *options: object) -> Result:
        return self._policyd("revoke", "--config", self.folder / "policyd.toml", *options)

    def entries(self) -> list[Revocation]:
        *entries, end = self.list.read_bytes().splitlines(keepends=True)
        assert end == encode_end(len(entries))
        return list(map(decode, entries))


@pytest.fixture
def desk(tmp_path: Path, policyd: Run) -> Desk:
    made = Desk(tmp_path, policyd)
    assert made("--create").code == 0
    return made


@pytest.mark.parametrize(
    ("option", "kind"),
    [
        ("--subject", RevocationKind.SUBJECT),
        ("--client", RevocationKind.CLIENT),
        ("--session", RevocationKind.SESSION),
        ("--organisation", RevocationKind.ORGANISATION),
    ],
)
def test_everything_issued_up_to_now(desk: Desk, option: str, kind: RevocationKind) -> None:
    before = int(time.time())
    result = desk(option, "x y", "--issuer", ISSUER, "--reason", "left")
    assert result.code == 0
    assert result.out.startswith(f"revoked: {kind} 'x y' of {ISSUER}, for tokens issued before 20")
    assert result.out.endswith(f"written to {desk.list}\n")
    (entry,) = desk.entries()
    assert (entry.issuer, entry.kind, entry.value, entry.reason) == (ISSUER, kind, "x y", "left")
    assert entry.issued_before is not None
    # A token of this very second is revoked too: its `iat` may be the second before it ends.
    assert entry.issued_before > before
    assert entry.until == entry.issued_before + 86_400


def test_one_token(desk: Desk) -> None:
    before = int(time.time())
    assert desk("--jti", "a", "--issuer", ISSUER).code == 0
    assert desk("--jti", "b", "--issuer", ISSUER, "--until", "2100-01-01T00:00:00Z").code == 0
    first, second = desk.entries()
    assert (first.kind, first.value, first.issued_before) == (RevocationKind.TOKEN, "a", None)
    assert first.until >= before + 86_400
    assert second.until == 4_102_444_800


def test_a_given_time(desk: Desk) -> None:
    options = ("--issued-before", "2026-11-22T10:00:00Z", "--until", "2027-11-22T10:00:00Z")
    assert desk("--subject", "u", "--issuer", ISSUER, *options).code == 0
    (entry,) = desk.entries()
    assert entry.issued_before == 1_795_341_600
    assert entry.until == 1_795_341_600 + 365 * 86_400


def test_json(desk: Desk) -> None:
    result = desk("--jti", "a", "--issuer", ISSUER, "--format", "json")
    document = json.loads(result.out)
    assert document["list"] == str(desk.list)
    assert decode(json.dumps(document["revocation"]).encode()) == desk.entries()[0]
    desk.list.unlink()
    assert json.loads(desk("--create", "--format", "json").out)["revocation"] is None


@pytest.mark.parametrize(
    ("options", "said"),
    [
        ((), "name one of"),
        (("--issuer", ISSUER), "name one of"),
        (("--jti", "a", "--subject", "b", "--issuer", ISSUER), "name one of"),
        (("--create", "--jti", "a", "--issuer", ISSUER), "name one of"),
        (("--jti", ""), "name one of"),
        (("--jti", "a"), "--issuer is missing; configured: https://my"),
        (("--jti", "a", "--issuer", ISSUER[:-1]), "is not configured; configured: https://my"),
        (
            ("--jti", "a", "--issuer", ISSUER, "--issued-before", "2026-01-01T00:00:00Z"),
            "cannot be combined with --jti",
        ),
        (
            ("--jti", "a", "--issuer", ISSUER, "--until", "2026-01-01T00:00:00Z"),
            "have ended already",
        ),
        (("--jti", "a", "--issuer", ISSUER, "--until", "soon"), "RFC 3339"),
        (("--jti", "a" * 1025, "--issuer", ISSUER), "1 to 1024 characters"),
        (
            ("--subject", "a", "--issuer", ISSUER, "--issued-before", "2100-01-01T00:00:00Z"),
            "cannot be undone",
        ),
        (
            (
                *("--subject", "a", "--issuer", ISSUER),
                *("--issued-before", "2026-11-22T10:00:00Z", "--until", "2026-11-23T09:59:59Z"),
            ),
            "must not lie before 2026-11-23T10:00:00Z",
        ),
    ],
)
def test_wrong_usage_writes_nothing(desk: Desk, options: tuple[str, ...], said: str) -> None:
    result = desk(*options)
    assert (result.code, result.out) == (2, "")
    assert said in " ".join(result.err.split())
    assert desk.entries() == []


def test_without_a_list_nothing_is_written(desk: Desk) -> None:
    desk.list.unlink()
    result = desk("--jti", "a", "--issuer", ISSUER)
    assert result.code == 2
    assert "--create" in result.err
    assert not desk.list.exists()


def test_create_never_empties_a_list(desk: Desk) -> None:
    assert desk("--jti", "a", "--issuer", ISSUER).code == 0
    result = desk("--create")
    assert result.code == 2
    assert "is there already" in result.err
    assert len(desk.entries()) == 1


def test_a_file_with_errors_is_shown(desk: Desk) -> None:
    desk.list.write_text("nonsense\n")
    result = desk("--jti", "a", "--issuer", ISSUER)
    assert (result.code, result.out) == (1, "")
    assert "error[P5011]" in result.err
    assert "list.ndjson:1:1" in result.err
    assert desk.list.read_text() == "nonsense\n"


def test_a_configuration_without_a_list(desk: Desk) -> None:
    desk.configure("")
    result = desk("--jti", "a", "--issuer", ISSUER)
    assert (result.code, result.out) == (2, "")
    assert "has no `[revocations]`" in result.err
    desk.configure("[revocations]\n")
    result = desk("--jti", "a", "--issuer", ISSUER)
    assert result.code == 2
    assert "error[P5003]" in result.err


def test_redis(desk: Desk, tmp_path: Path) -> None:
    with redis_server(tmp_path, durable=False) as server:
        desk.configure(f'{FILE}[revocations.redis]\nurl = "{server.url}"\n')
        result = desk("--jti", "a", "--issuer", ISSUER)
        assert result.code == 2
        assert "has no complete list" in result.err
        place = f"Redis at 127.0.0.1:{server.port}, key policyd:revocations"
        assert desk("--create").out == f"made an empty list: {place}\n"
        result = desk("--jti", "a", "--issuer", ISSUER)
        assert result.code == 0
        assert result.out.endswith(f"written to {place}\n")
        assert "keeps no log on disk" in result.err
        with server.client() as client:
            assert client.xlen("policyd:revocations") == 2
    assert desk.entries() == []


def test_redis_that_is_away(desk: Desk) -> None:
    desk.configure('[revocations.redis]\nurl = "redis://127.0.0.1:1"\n')
    result = desk("--jti", "a", "--issuer", ISSUER)
    assert (result.code, result.out) == (2, "")
    assert "Redis at 127.0.0.1:1" in result.err
