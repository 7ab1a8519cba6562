"""A real kube-apiserver with its etcd, on loopback: it admits objects, and issues tokens.

No other part of a cluster runs. So nothing is scheduled or started, and what the controllers make
elsewhere, such as a namespace's service account `default`, is made here. It authorizes by RBAC, as
clusters do; `TOKEN` belongs to an administrator.
"""

from __future__ import annotations

import json
import os
import shutil
import ssl
import subprocess
import time
import urllib.error
import urllib.request
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path

from cryptography.hazmat.primitives.asymmetric import rsa
from cryptography.hazmat.primitives.serialization import (
    Encoding,
    NoEncryption,
    PrivateFormat,
)

from policyd.json_types import Json
from tests.support.https import write_authority, write_certificate
from tests.support.ports import free_port

#: Far more than a start takes.
PATIENCE = 120.0
TOKEN = "administrator"
#: Where the program is that `scripts/apiserver.py` builds, unless it is in PATH.
VARIABLE = "KUBE_APISERVER"

Object = dict[str, Json]


def programs() -> tuple[str, str] | str:
    """Return the paths of etcd and kube-apiserver, or what is missing and how it is had."""
    etcd = shutil.which("etcd")
    if etcd is None:
        return "needs etcd in PATH (apt install etcd-server)"
    server = shutil.which(os.environ.get(VARIABLE) or "kube-apiserver")
    if server is None:
        return f"needs kube-apiserver, in PATH or by {VARIABLE} (scripts/apiserver.py builds it)"
    # They run in a folder of their own.
    return str(Path(etcd).absolute()), str(Path(server).absolute())


class Refused(Exception):
    """The server refused a request: its status, and what it said."""

    def __init__(self, status: int, message: str) -> None:
        super().__init__(f"{status}: {message}")
        self.status = status


class Cluster:
    """What a running server is asked. `signing_key` is the file with which it signs, in PEM.

    It issues tokens under another host name than its own address, as a cluster's API server does.
    """

    def __init__(self, folder: Path, port: int) -> None:
        self.url = f"https://127.0.0.1:{port}"
        self.issuer = f"https://localhost:{port}"
        self.keys_url = f"{self.url}/openid/v1/jwks"
        self.authority = write_authority(folder / "ca.pem")
        self.certificate = write_certificate(folder / "server.pem")
        self.signing_key = folder / "signing.pem"
        key = rsa.generate_private_key(65537, 2048)
        self.signing_key.write_bytes(
            key.private_bytes(Encoding.PEM, PrivateFormat.PKCS8, NoEncryption())
        )
        self._context = ssl.create_default_context(cafile=self.authority)

    def ask(self, method: str, path: str, body: Object | None = None, token: str = TOKEN) -> Object:
        """Ask as the administrator, or as nobody with an empty token. Raises `Refused`."""
        headers = {"Content-Type": "application/json"}
        if token:
            headers["Authorization"] = f"Bearer {token}"
        data = None if body is None else json.dumps(body).encode()
        request = urllib.request.Request(self.url + path, data, headers, method=method)
        try:
            with urllib.request.urlopen(request, timeout=30, context=self._context) as answer:
                found: Object = json.load(answer)
                return found
        except urllib.error.HTTPError as error:
            with error:
                raise Refused(error.code, error.read().decode()) from None

    def create(self, document: Object, *, dry_run: bool = False) -> Object:
        """Create an object, or have the server say whether it would. Unknown fields are refused."""
        metadata = document["metadata"]
        assert isinstance(metadata, dict)
        query = "?fieldValidation=Strict" + ("&dryRun=All" if dry_run else "")
        path = self._path(str(document["apiVersion"]), str(document["kind"]), metadata)
        return self.ask("POST", path + query, document)

    def _path(self, version: str, kind: str, metadata: Object) -> str:
        """Return where objects of a kind are created; the server knows it."""
        root = f"/apis/{version}" if "/" in version else f"/api/{version}"
        known = self.ask("GET", root)["resources"]
        assert isinstance(known, list)
        for one in known:
            assert isinstance(one, dict)
            if one["kind"] == kind and "/" not in str(one["name"]):
                within = f"/namespaces/{metadata['namespace']}" if one["namespaced"] else ""
                return f"{root}{within}/{one['name']}"
        raise AssertionError(f"the server knows no {kind} of {version}")

    def namespace(self, name: str, *accounts: str, standard: str = "privileged") -> None:
        """Create a namespace with its service accounts, where pods satisfy a standard."""
        labels: Object = {"pod-security.kubernetes.io/enforce": standard}
        about: Object = {"name": name, "labels": labels}
        self.create({"apiVersion": "v1", "kind": "Namespace", "metadata": about})
        for account in ("default", *accounts):
            metadata: Object = {"name": account, "namespace": name}
            self.create({"apiVersion": "v1", "kind": "ServiceAccount", "metadata": metadata})

    def token(
        self, namespace: str, account: str, *audiences: str, bound: Object | None = None
    ) -> str:
        """Request a token of a service account, perhaps `bound` to a pod."""
        spec: Object = {"audiences": list(audiences), "expirationSeconds": 600}
        if bound is not None:
            spec["boundObjectRef"] = bound
        made = self.ask(
            "POST",
            f"/api/v1/namespaces/{namespace}/serviceaccounts/{account}/token",
            {"apiVersion": "authentication.k8s.io/v1", "kind": "TokenRequest", "spec": spec},
        )
        status = made["status"]
        assert isinstance(status, dict)
        return str(status["token"])

    def accepts(self, token: str, audience: str) -> bool:
        """Tell whether the server itself holds a token to be valid for an audience."""
        review = self.ask(
            "POST",
            "/apis/authentication.k8s.io/v1/tokenreviews",
            {
                "apiVersion": "authentication.k8s.io/v1",
                "kind": "TokenReview",
                "spec": {"token": token, "audiences": [audience]},
            },
        )
        status = review["status"]
        assert isinstance(status, dict)
        return status.get("authenticated") is True


@contextmanager
def running(etcd: str, server: str, folder: Path) -> Iterator[Cluster]:
    """Run both programs until the context ends. Raises `TimeoutError` with their last words."""
    client, port = free_port(), free_port()
    peer = f"http://127.0.0.1:{client + 1}"
    store = f"http://127.0.0.1:{client}"
    cluster = Cluster(folder, port)
    (folder / "tokens.csv").write_text(f'{TOKEN},admin,admin,"system:masters"\n')
    commands = [
        [
            *(etcd, "--data-dir", str(folder / "etcd"), "--initial-cluster", f"default={peer}"),
            *("--listen-client-urls", store, "--advertise-client-urls", store),
            *("--listen-peer-urls", peer, "--initial-advertise-peer-urls", peer),
        ],
        [
            *(server, f"--etcd-servers={store}", f"--cert-dir={folder}"),
            *("--bind-address=127.0.0.1", f"--secure-port={port}", "--advertise-address=127.0.0.1"),
            *(f"--tls-cert-file={cluster.certificate}", "--endpoint-reconciler-type=none"),
            *(f"--tls-private-key-file={cluster.certificate}", "--authorization-mode=RBAC"),
            f"--service-account-issuer={cluster.issuer}",
            f"--service-account-key-file={cluster.signing_key}",
            f"--service-account-signing-key-file={cluster.signing_key}",
            *(
                f"--token-auth-file={folder / 'tokens.csv'}",
                "--service-cluster-ip-range=10.0.0.0/24",
            ),
        ],
    ]
    log = folder / "cluster.log"
    processes: list[subprocess.Popen[bytes]] = []
    with log.open("wb") as output:
        try:
            for command in commands:
                processes.append(
                    subprocess.Popen(command, cwd=folder, stdout=output, stderr=subprocess.STDOUT)
                )
            _wait(cluster, processes, log)
            yield cluster
        finally:
            for process in reversed(processes):
                process.terminate()
            for process in processes:
                try:
                    process.wait(30)
                except subprocess.TimeoutExpired:
                    process.kill()
                    process.wait()


def _wait(cluster: Cluster, processes: list[subprocess.Popen[bytes]], log: Path) -> None:
    """Wait until the server is ready, and has made the roles that every cluster has."""
    limit = time.monotonic() + PATIENCE
    role = "/apis/rbac.authorization.k8s.io/v1/clusterroles/system:service-account-issuer-discovery"
    while True:
        try:
            cluster.ask("GET", role)
            return
        except (OSError, Refused):
            ended = [one.args for one in processes if one.poll() is not None]
            if ended or time.monotonic() > limit:
                said = log.read_text(errors="replace")[-4000:]
                raise TimeoutError(f"the cluster does not start; ended: {ended}\n{said}") from None
        time.sleep(0.1)
