"""Boots a system with `deploy/systemd/policyd.service`, for `make deploy-check`.

`ROOTFS` names a folder with a Debian that has systemd and Python with venv:

    debootstrap --variant=minbase --include=systemd,systemd-sysv,dbus,python3-venv bookworm FOLDER

The folder is not changed. In the system that boots, `scripts.unit_witness` asks the daemon through
its socket, has it reload, and stops it. The system then ends, with 0 if all was as it should be.
"""

from __future__ import annotations

import os
import shutil
import subprocess
import sys
import tempfile
import time
from pathlib import Path

from tests.support.daemon import Site, check_request

ROOT = Path(__file__).resolve().parent.parent
LOCK = ROOT / "deploy" / "docker" / "requirements.lock"
#: Seconds for the whole life of the system; far more than it takes.
_LIFE = 120.0
_WITNESS = """[Unit]
Description=Asks policyd
Wants=policyd.service
After=policyd.service
SuccessAction=exit
FailureAction=exit

[Service]
Type=oneshot
ExecStart=/opt/policyd/bin/python3 /etc/policyd/unit_witness.py
StandardOutput=append:/etc/policyd/seen
StandardError=append:/etc/policyd/seen
"""


def missing() -> str:
    """Return what the check needs and is not here; empty if nothing."""
    if shutil.which("systemd-nspawn") is None:
        return "needs systemd-nspawn (apt install systemd-container)"
    if not os.environ.get("ROOTFS"):
        return "needs in ROOTFS a folder with a Debian to boot (scripts/deploy_unit.py says how)"
    return "" if os.getuid() == 0 else "needs root, for systemd-nspawn"


def check() -> bool:
    """Install policyd beside the system, boot it, and tell whether the witness is content."""
    with tempfile.TemporaryDirectory(prefix="deploy-unit-") as name:
        folder = Path(name)
        folder.chmod(0o755)
        program, wheels, site = folder / "program", folder / "wheels", folder / "site"
        for one in (program, wheels, site):
            one.mkdir()
        _install(program, wheels)
        _configure(site)
        witness = folder / "witness.service"
        witness.write_text(_WITNESS)
        units = "/etc/systemd/system"
        unit = ROOT / "deploy" / "systemd" / "policyd.service"
        done = _nspawn(
            "--boot",
            f"--bind-ro={program}:/opt/policyd",
            f"--bind={site}:/etc/policyd",
            f"--bind-ro={unit}:{units}/policyd.service",
            f"--bind-ro={witness}:{units}/witness.service",
            "systemd.wants=witness.service",
        )
        seen = site / "seen"
        print(seen.read_text() if seen.exists() else "unit: nobody saw the daemon", end="")
        if done.returncode or not seen.exists():
            print(f"unit: the system ended with {done.returncode}\n{done.stdout}{done.stderr}")
        return done.returncode == 0 and seen.exists()


def _install(program: Path, wheels: Path) -> None:
    """Install into `program` what the lock names, as wheels for the Python of the system."""
    asked = "import sys; print('%d.%d' % sys.version_info[:2])"
    version = _run(_nspawn("--", "/usr/bin/python3", "-c", asked)).strip()
    pip = [sys.executable, "-m", "pip", "--quiet"]
    download = [*pip, "download", "--require-hashes", "--only-binary", ":all:", "--no-deps"]
    download += ["--python-version", version, "--dest", str(wheels), "--requirement", str(LOCK)]
    subprocess.run(download, check=True)
    own = [*pip, "wheel", "--no-deps", "--wheel-dir", str(wheels), str(ROOT)]
    subprocess.run(own, check=True)
    script = (
        "python3 -m venv /opt/policyd && "
        "/opt/policyd/bin/pip --quiet install --no-index --no-deps /wheels/*.whl"
    )
    binds = [f"--bind={program}:/opt/policyd", f"--bind-ro={wheels}:/wheels"]
    _run(_nspawn(*binds, "--", "/bin/sh", "-c", script))


def _configure(folder: Path) -> None:
    """Write what is in /etc/policyd: the configuration, a policy, a question and who asks it."""
    site = Site(folder)
    site.listen('address = "unix:/run/policyd/policyd.sock"\nservices = ["authorization"]')
    path = folder / "policyd.toml"
    path.write_text(path.read_text().replace("decisions.ndjson", "/var/log/policyd/decisions"))
    (folder / "request.bin").write_bytes(check_request().SerializeToString())
    shutil.copy(ROOT / "scripts" / "unit_witness.py", folder)


def _nspawn(*options: str) -> subprocess.CompletedProcess[str]:
    """Run or boot the system of ROOTFS under a layer that is thrown away."""
    command = ["systemd-nspawn", "--quiet", "--directory", os.environ["ROOTFS"]]
    command += [
        "--volatile=overlay",
        "--register=no",
        "--keep-unit",
        "--console=read-only",
        *options,
    ]
    with subprocess.Popen(
        command,
        stdin=subprocess.DEVNULL,
        stdout=subprocess.PIPE,
        stderr=subprocess.PIPE,
        text=True,
    ) as process:
        try:
            said, errors = process.communicate(timeout=_LIFE)
        except subprocess.TimeoutExpired:
            # Killed at once, it would leave the system running: the second signal ends that too.
            process.terminate()
            time.sleep(1.0)
            process.terminate()
            said, errors = process.communicate()
            errors += f"\nstill there after {_LIFE:.0f} seconds"
    return subprocess.CompletedProcess(command, process.returncode, said, errors)


def _run(done: subprocess.CompletedProcess[str]) -> str:
    if done.returncode:
        raise SystemExit(f"unit: {done.args[-1]} ended with {done.returncode}\n{done.stderr}")
    return done.stdout


if __name__ == "__main__":
    sys.exit(missing() or not check())
