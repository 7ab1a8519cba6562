"""Runs `deploy/docker/compose.yaml`, for `make deploy-check`: policyd, and a service that asks it.

The service is the same image under another user, who reaches the socket by its group alone. Both
run without a network, so that nothing is needed of the machine's.
"""

from __future__ import annotations

import shutil
import subprocess
import tempfile
from pathlib import Path

import yaml

from tests.support.daemon import Site, check_request

ROOT = Path(__file__).resolve().parent.parent
_LIMIT = 180.0
_ASK = """
import grpc
from policyd.v1 import authorization_pb2 as messages
with grpc.insecure_channel("unix:/run/policyd/policyd.sock") as channel:
    call = channel.unary_unary("/policyd.v1.AuthorizationService/Check")
    answer = call(open("/question/request.bin", "rb").read(), timeout=30)
raise SystemExit(not messages.CheckResponse.FromString(answer).allowed)
"""


def program() -> list[str]:
    """Return the command that is Compose here; empty if there is none."""
    plugin = subprocess.run(["docker", "compose", "version"], capture_output=True, check=False)
    if plugin.returncode == 0:
        return ["docker", "compose"]
    alone = shutil.which("docker-compose")
    return [alone] if alone else []


def check(image: str) -> bool:
    """Run the file with an image in place of its two; tell whether the service was allowed."""
    compose = program()
    if not compose:
        print("compose: skipped: needs docker compose, or docker-compose in PATH", flush=True)
        return True
    with tempfile.TemporaryDirectory(prefix="deploy-compose-") as name:
        folder = Path(name)
        folder.chmod(0o755)
        shutil.copy(ROOT / "deploy" / "docker" / "compose.yaml", folder)
        _configure(folder / "policyd")
        (folder / "here.yaml").write_text(yaml.safe_dump(_changes(image)))
        command = [*compose, "--file", "compose.yaml", "--file", "here.yaml"]
        up = [*command, "up", "--abort-on-container-exit", "--exit-code-from", "orders"]
        try:
            done = subprocess.run(
                up, cwd=folder, capture_output=True, text=True, timeout=_LIMIT, check=False
            )
        finally:
            down = [*command, "down", "--volumes", "--timeout", "10"]
            subprocess.run(down, cwd=folder, capture_output=True, check=False)
    print(f"compose: the service was allowed {done.returncode == 0}", flush=True)
    if done.returncode:
        print(done.stdout + done.stderr)
    return done.returncode == 0


def _configure(folder: Path) -> None:
    """Write what the file mounts: a configuration as its head says, a policy, and a question."""
    folder.mkdir()
    site = Site(folder)
    site.listen(
        'address = "unix:/run/policyd/policyd.sock"\nservices = ["authorization"]',
        further='[http]\nlisten = ["127.0.0.1:8182"]',
    )
    path = folder / "policyd.toml"
    path.write_text(path.read_text().replace('path = "decisions.ndjson"', ""))
    (folder / "request.bin").write_bytes(check_request().SerializeToString())


def _changes(image: str) -> dict[str, object]:
    asks = {
        "image": image,
        "user": "10001:10001",
        "entrypoint": ["/opt/policyd/bin/python3", "-c", _ASK],
        "volumes": ["./policyd:/question:ro"],
        "network_mode": "none",
    }
    return {"services": {"policyd": {"image": image, "network_mode": "none"}, "orders": asks}}
