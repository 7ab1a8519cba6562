"""Runs what `deploy/` says: `make deploy-check`. A part that is not here is skipped with a line.

* the files: what `tests/docs/test_deployments.py` tests, with the real helm where it is in PATH;
* a cluster: what `tests/docs/test_cluster.py` tests on a real kube-apiserver, a line for each. It
  admits the manifests and, with helm, the chart, and policyd takes the tokens that it issues. It
  needs etcd in PATH (apt install etcd-server) and kube-apiserver, in PATH or named by
  KUBE_APISERVER: `python -m scripts.apiserver` builds it;
* the unit: booted by systemd-nspawn, as root, in the system that `ROOTFS` names; the daemon is
  asked, reloads and stops there. `scripts.deploy_unit` says how such a system is made;
* the image: built from `BASE`, an image that this machine has, and run read-only, without
  capabilities, in 128 MB; a check is answered through a mounted socket. `BUILD_OPTIONS` are given
  to `docker build`, such as `--network host`;
* Compose, where it is installed: the Compose file, with that image.
"""

from __future__ import annotations

import os
import shlex
import shutil
import subprocess
import sys
import tempfile
import time
from pathlib import Path

import grpc

from scripts import deploy_compose, deploy_unit
from tests.support import cluster
from tests.support.daemon import Caller, Site, check_request

ROOT = Path(__file__).resolve().parent.parent
TAG = "policyd-deploy-check"
PATIENCE = 60.0


def main() -> None:
    failed = not _tests("-q", "tests/docs/test_deployments.py")
    found = cluster.programs()
    if isinstance(found, str):
        print(f"cluster: skipped: {found}", flush=True)
    else:
        failed = not _tests("-v", "tests/docs/test_cluster.py") or failed
    lacking = deploy_unit.missing()
    if lacking:
        print(f"unit: skipped: {lacking}", flush=True)
    else:
        failed = not deploy_unit.check() or failed
    base = os.environ.get("BASE")
    docker = shutil.which("docker")
    if docker is None or not base:
        print("image: skipped: needs docker, and in BASE the name of an image with Python")
    else:
        built = _image(docker, base)
        failed = not (built and deploy_compose.check(TAG)) or failed
    sys.exit(failed)


def _tests(*options: str) -> bool:
    """Run tests, with a reason for each that is skipped; tell whether they pass."""
    command = [sys.executable, "-m", "pytest", "-rs", *options]
    return subprocess.run(command, cwd=ROOT, check=False).returncode == 0


def _image(docker: str, base: str) -> bool:
    """Build and run the image; tell whether it answers."""
    build = [docker, "build", "--build-arg", f"BASE={base}", "--tag", TAG]
    build += shlex.split(os.environ.get("BUILD_OPTIONS", ""))
    build += ["--file", "deploy/docker/Dockerfile", "."]
    if subprocess.run(build, cwd=ROOT, check=False).returncode:
        print("image: it cannot be built")
        return False
    with tempfile.TemporaryDirectory(prefix="deploy-check-") as name:
        folder = Path(name)
        folder.chmod(0o755)
        site = Site(folder)
        sockets = folder / "sockets"
        sockets.mkdir()
        sockets.chmod(0o777)
        site.listen('address = "unix:/run/policyd/policyd.sock"\nservices = ["authorization"]')
        text = (folder / "policyd.toml").read_text()
        (folder / "policyd.toml").write_text(text.replace('path = "decisions.ndjson"', ""))
        run = [docker, "run", "--detach", "--read-only", "--cap-drop", "ALL", "--memory", "128m"]
        run += ["--security-opt", "no-new-privileges", "--network", "none"]
        run += ["--volume", f"{folder}:/etc/policyd:ro", "--volume", f"{sockets}:/run/policyd", TAG]
        container = subprocess.run(run, capture_output=True, text=True, check=True).stdout.strip()
        try:
            with Caller(f"unix:{sockets / 'policyd.sock'}") as caller:
                allowed = _allowed(caller)
            ended = subprocess.run([docker, "stop", container], capture_output=True, check=False)
            code = subprocess.run(
                [docker, "inspect", "--format", "{{.State.ExitCode}}", container],
                capture_output=True,
                text=True,
                check=True,
            ).stdout.strip()
            fine = allowed and ended.returncode == 0 and code == "0"
            print(f"image: allowed {allowed}, ended with {code}")
            return fine
        finally:
            subprocess.run([docker, "logs", container], check=False)
            subprocess.run([docker, "rm", "--force", container], capture_output=True, check=False)


def _allowed(caller: Caller) -> bool:
    """Ask until the daemon serves; tell whether it allows."""
    limit = time.monotonic() + PATIENCE
    while True:
        try:
            return caller.check(check_request()).allowed
        except grpc.RpcError as error:
            if time.monotonic() > limit:
                print(f"image: no answer: {error}")
                return False
            time.sleep(0.2)


if __name__ == "__main__":
    main()
