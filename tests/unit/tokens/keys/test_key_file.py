"""Key sets in files: the daemon takes regular files alone, a command may wait for a pipe."""

from __future__ import annotations

import os
from pathlib import Path
from threading import Thread

import pytest

from policyd.tokens.assembly import open_issuers
from policyd.tokens.https.fetch import LONGEST_BODY
from policyd.tokens.keys.key_file import FILE_LIFE, read_key_file, read_key_pipe
from policyd.tokens.keys.key_set import KeySetUnusable
from policyd.tokens.minting import key_set_text
from tests.support.tokens import Clock, key, settings

KEYS = key_set_text(key())


@pytest.mark.parametrize("read", [read_key_file, read_key_pipe])
def test_a_file_is_read_whole_and_a_link_leads_to_it(tmp_path: Path, read: object) -> None:
    assert callable(read)
    (tmp_path / "keys.json").write_bytes(KEYS)
    (tmp_path / "link.json").symlink_to("keys.json")

    for name in ("keys.json", "link.json"):
        fetched = read(tmp_path / name)
        assert (fetched.body, fetched.max_age) == (KEYS, FILE_LIFE)


@pytest.mark.parametrize("read", [read_key_file, read_key_pipe])
def test_a_file_is_as_long_as_the_limit_and_no_longer(tmp_path: Path, read: object) -> None:
    assert callable(read)
    file = tmp_path / "keys.json"
    file.write_bytes(b" " * LONGEST_BODY)
    assert len(read(file).body) == LONGEST_BODY

    file.write_bytes(b" " * (LONGEST_BODY + 1))
    with pytest.raises(KeySetUnusable, match=r"keys\.json' has more than 262144 bytes"):
        read(file)
    with pytest.raises(KeySetUnusable, match=r"gone' cannot be read: No such file"):
        read(tmp_path / "gone")


@pytest.mark.parametrize(
    ("path", "kind"), [("pipe", "a pipe"), ("/dev/zero", "a device"), ("", "a directory")]
)
def test_the_daemon_waits_for_no_pipe_and_reads_no_device(
    tmp_path: Path, path: str, kind: str
) -> None:
    os.mkfifo(tmp_path / "pipe")
    (issuer,) = open_issuers([settings(jwks_file=str(tmp_path / path))], Clock())

    issuer.keys.start()  # nobody ever writes into the pipe
    try:
        assert not issuer.keys.wait(0)
        with pytest.raises(KeySetUnusable, match=f"it is {kind} and no file"):
            read_key_file(tmp_path / path)
    finally:
        issuer.keys.stop()


def test_a_command_waits_for_a_pipe(tmp_path: Path) -> None:
    pipe = tmp_path / "pipe"
    os.mkfifo(pipe)
    writer = Thread(target=pipe.write_bytes, args=(KEYS,), daemon=True)
    writer.start()

    assert read_key_pipe(pipe).body == KEYS
    writer.join(10)
