"""Resolve the dependencies of pyproject.toml into lock files with hashes.

The locks cover Python 3.11 to 3.13 and name no package index, so each machine uses its own.
`requirements.lock` is what the daemon needs; `requirements-dev.lock` adds the extras and the tools
of development, `requirements-bench.lock` the peers of the benchmark. That of the image has the
extras of a daemon.
"""

from __future__ import annotations

import subprocess
import sys
from pathlib import Path

ROOT = Path(__file__).resolve().parent.parent
_EXTRAS = (
    "--extra",
    "bundle",
    "--extra",
    "editor",
    "--extra",
    "git",
    "--extra",
    "http",
    "--extra",
    "openapi",
    "--extra",
    "otel",
    "--extra",
    "postgres",
    "--extra",
    "redis",
    "--extra",
    "replay",
)
LOCKS: dict[str, list[str]] = {
    "requirements.lock": [],
    "deploy/docker/requirements.lock": [
        *("--extra", "bundle", "--extra", "git", "--extra", "http"),
        *("--extra", "otel", "--extra", "postgres", "--extra", "redis"),
        *("--constraint", "requirements.lock"),
    ],
    "requirements-dev.lock": [*_EXTRAS, "--group", "dev", "--constraint", "requirements.lock"],
    "requirements-bench.lock": [
        *(*_EXTRAS, "--group", "dev", "--group", "bench"),
        *("--constraint", "requirements-dev.lock"),
    ],
}


def main() -> None:
    upgrade = sys.argv[1:]
    for name, options in LOCKS.items():
        subprocess.run(
            [
                *(sys.executable, "-m", "uv", "--quiet", "pip", "compile", "pyproject.toml"),
                *("--universal", "--python-version", "3.11", "--generate-hashes"),
                *(
                    "--no-emit-index-url",
                    "--no-emit-find-links",
                    "--no-annotate",
                    "--no-strip-extras",
                ),
                *("--custom-compile-command", "make lock", "--output-file", name),
                *options,
                *upgrade,
            ],
            cwd=ROOT,
            check=True,
            stdout=subprocess.DEVNULL,
        )


if __name__ == "__main__":
    main()
