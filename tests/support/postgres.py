"""A PostgreSQL server of one test's own, on a socket in its folder."""

from __future__ import annotations

import os
import pwd
import shutil
import subprocess
import tempfile
from pathlib import Path
from types import TracebackType

_FOLDERS = "/usr/lib/postgresql"
#: Who the server runs as where the tests run as root, which it refuses.
_ACCOUNT = "postgres"


def _program(name: str) -> str | None:
    """Return the newest installed program of PostgreSQL, which Debian keeps outside of PATH."""
    versions = sorted(Path(_FOLDERS).glob(f"*/bin/{name}"), key=lambda one: float(one.parts[4]))
    return str(versions[-1]) if versions else shutil.which(name)


def installed() -> bool:
    """Tell whether a server can be started here."""
    return all(_program(one) for one in ("initdb", "pg_ctl", "psql"))


class Postgres:
    """A server that runs as long as its context. `folder` is for its data."""

    def __init__(self, folder: Path) -> None:
        # A socket's path is short, and pytest's folders are not.
        self._place = Path(tempfile.mkdtemp(prefix="pg-"))
        self._data = self._place / "data"
        self._log = folder / "postgres.log"
        self._as: dict[str, int | str] = {}
        if os.geteuid() == 0:
            account = pwd.getpwnam(_ACCOUNT)
            os.chown(self._place, account.pw_uid, account.pw_gid)
            self._as = {"user": account.pw_uid, "group": account.pw_gid}

    def __enter__(self) -> Postgres:
        self._call("initdb", "-D", self._data, "-U", "postgres", "-A", "trust", "-E", "UTF8",
                   "--locale=C.UTF-8", "--no-sync")  # fmt: skip
        options = f"-k {self._place} -c listen_addresses= -c fsync=off"
        log = self._place / "log"
        self._call("pg_ctl", "-D", self._data, "-l", log, "-w", "-o", options, "start")
        self._psql = subprocess.Popen(
            [str(_program("psql")), "-h", self._place, "-U", "postgres", "-qAtX",
             "-v", "ON_ERROR_STOP=1"],
            stdin=subprocess.PIPE, stdout=subprocess.PIPE, stderr=subprocess.STDOUT, text=True,
        )  # fmt: skip
        return self

    def __exit__(
        self,
        kind: type[BaseException] | None,
        error: BaseException | None,
        traceback: TracebackType | None,
    ) -> None:
        self._psql.communicate("\\q\n")
        self._call("pg_ctl", "-D", self._data, "-m", "immediate", "stop")
        shutil.rmtree(self._place)

    @property
    def conninfo(self) -> str:
        """How libpq reaches it."""
        return f"host={self._place} user=postgres dbname=postgres"

    def run(self, *statements: str) -> list[str]:
        """Run statements; return the lines that they give. Raises `AssertionError`."""
        assert self._psql.stdin is not None
        assert self._psql.stdout is not None
        self._psql.stdin.write(";\n".join(statements) + ";\n\\echo done.\n")
        self._psql.stdin.flush()
        lines: list[str] = []
        while (line := self._psql.stdout.readline().rstrip("\n")) != "done.":
            assert "ERROR" not in line, (line, self._psql.stdout.read())
            assert self._psql.poll() is None, lines
            if not line.startswith("NOTICE"):
                lines.append(line)
        return lines

    def _call(self, program: str, *arguments: object) -> None:
        command = [str(_program(program)), *map(str, arguments)]
        subprocess.run(command, check=True, stdout=subprocess.DEVNULL, cwd=self._place,
                       **self._as)  # type: ignore[call-overload]  # fmt: skip
