"""The files of `deploy/` that run policyd: valid, confined, and with a configuration that loads."""

from __future__ import annotations

import configparser
import importlib.util
import json
import shutil
import subprocess
import sys
from collections.abc import Iterator
from pathlib import Path

import pytest
import yaml

from policyd.config.configuration import Configuration, load_configuration
from policyd.diagnostics import Source
from policyd.json_types import Json
from policyd.language import load
from tests.support.documents import ROOT

DEPLOY = ROOT / "deploy"
MANIFESTS = sorted((DEPLOY / "kubernetes").glob("*.yaml"))
UNIT = DEPLOY / "systemd" / "policyd.service"
CHART = DEPLOY / "helm" / "policyd"
#: Native sidecars are on by default since the first; the last is the newest with a schema here.
KUBERNETES = ("1.29", "1.31", "1.33", "1.35", "1.37")

Object = dict[str, Json]


def manifests(path: Path) -> Iterator[Object]:
    for document in yaml.safe_load_all(path.read_text()):
        assert isinstance(document, dict)
        yield document


def at(value: Json, *path: str | int) -> Json:
    """Return what stands at a path."""
    for step in path:
        if isinstance(step, int):
            assert isinstance(value, list)
            value = value[step]
        else:
            assert isinstance(value, dict)
            value = value[step]
    return value


def program(name: str, package: str = "") -> str:
    """Return the path of a program of the development group, or skip."""
    path = Path(sys.executable).with_name(name)
    found = str(path) if path.exists() else shutil.which(name)
    if found is None:
        pytest.skip(f"{name} is not installed{f': it is in {package}' if package else ''}")
    return found


# -- Kubernetes ------------------------------------------------------------------------------


@pytest.mark.parametrize("version", KUBERNETES)
@pytest.mark.parametrize("path", MANIFESTS, ids=lambda path: path.name)
def test_kubernetes_knows_each_field(path: Path, version: str) -> None:
    if importlib.util.find_spec("kubernetes_validate") is None:
        pytest.skip("kubernetes-validate is not installed: it is in the development group")
    import kubernetes_validate  # type: ignore[import-not-found,import-untyped,unused-ignore]

    for document in manifests(path):
        kubernetes_validate.validate(document, version, strict=True)


def pod(path: Path) -> Object:
    (deployment,) = [one for one in manifests(path) if one["kind"] == "Deployment"]
    found = at(deployment, "spec", "template", "spec")
    assert isinstance(found, dict)
    return found


@pytest.mark.parametrize("path", MANIFESTS, ids=lambda path: path.name)
def test_pods_satisfy_the_restricted_standard(path: Path) -> None:
    """https://kubernetes.io/docs/concepts/security/pod-security-standards/"""
    spec = pod(path)
    assert at(spec, "securityContext", "runAsNonRoot") is True
    assert at(spec, "securityContext", "seccompProfile", "type") == "RuntimeDefault"
    assert spec["automountServiceAccountToken"] is False
    assert not spec.keys() & {"hostNetwork", "hostPID", "hostIPC"}
    containers = [*_list(spec["initContainers"]), *_list(spec["containers"])]
    for one in containers:
        context = at(one, "securityContext")
        assert isinstance(context, dict)
        assert context["allowPrivilegeEscalation"] is False
        assert context["readOnlyRootFilesystem"] is True
        assert context["capabilities"] == {"drop": ["ALL"]}


def _list(value: Json) -> list[Json]:
    assert isinstance(value, list)
    return value


def configured(maps: list[Object], tmp_path: Path) -> Configuration:
    """Load the configuration and the policies that ConfigMaps hold, as the daemon would."""
    data: dict[str, str] = {}
    for one in maps:
        held = one["data"]
        assert isinstance(held, dict)
        data |= {name: str(text) for name, text in held.items()}
    policies = tmp_path / "policies"
    policies.mkdir()
    sources = []
    for name, text in data.items():
        if name.endswith(".policy"):
            (policies / name).write_text(text)
            sources.append(Source(name, text))
    if sources:
        loaded = load(sources)
        assert loaded.policies is not None, loaded.diagnostics
        assert loaded.diagnostics == ()
    text = data["policyd.toml"].replace('"/policies"', f'"{policies}"')
    (tmp_path / "policyd.toml").write_text(text)
    configuration = load_configuration(tmp_path / "policyd.toml")
    addresses = [str(one.address) for one in configuration.listeners]
    assert "unix:/run/policyd/policyd.sock" in addresses
    assert bool(sources) is (configuration.git is None and configuration.bundle is None)
    return configuration


@pytest.mark.parametrize("path", MANIFESTS, ids=lambda path: path.name)
def test_the_daemon_takes_what_its_config_maps_hold(path: Path, tmp_path: Path) -> None:
    configured([one for one in manifests(path) if one["kind"] == "ConfigMap"], tmp_path)


@pytest.mark.parametrize("path", MANIFESTS, ids=lambda path: path.name)
def test_the_sidecar_starts_first_and_is_probed(path: Path) -> None:
    (sidecar,) = _list(pod(path)["initContainers"])
    assert at(sidecar, "restartPolicy") == "Always"
    for probe, page in (
        ("startupProbe", "/readyz"),
        ("livenessProbe", "/healthz"),
        ("readinessProbe", "/readyz"),
    ):
        assert at(sidecar, probe, "httpGet", "path") == page
        assert at(sidecar, probe, "httpGet", "port") == at(sidecar, "ports", 0, "name")


# -- the chart -------------------------------------------------------------------------------


def test_the_schema_of_the_values_names_each_of_them() -> None:
    schema = json.loads((CHART / "values.schema.json").read_text())
    values = yaml.safe_load((CHART / "values.yaml").read_text())
    assert values.keys() == schema["properties"].keys() - {"global"}
    assert schema["additionalProperties"] is False


VALUES: Object = {
    "containers": [{"name": "orders", "image": "orders:1", "env": [{"name": "A", "value": "b"}]}],
    "configuration": '[[issuers]]\nissuer = "https://d.auth0.com/"\ndialect = "auth0"\n',
    "policies": {
        "orders.policy": 'api orders\n\naudience "https://orders.example.com"\n\n'
        'scope read "Read"\n\nresource order {\n    actions read\n}\n\n'
        "allow readers: read on order\n    when scope read\n"
    },
}


BUNDLE: Object = {
    "name": "orders",
    "url": "https://store.example.com/orders.tar.gz",
    "interval": 5,
    "long_poll": 60.5,
    "token_file": "token",
    "allowed_signers_file": "allowed_signers",
    "max_bytes": 33_554_432,
}
GIT: Object = {
    "url": "https://git.example.com/a&b.git",
    "ref": "main",
    "path": "policies",
    "username": 'a "quoted" name',
    "password_file": "password",
    "allow_rewind": True,
}


def rendered(values: Object, tmp_path: Path) -> subprocess.CompletedProcess[str]:
    path = tmp_path / "values.yaml"
    path.write_text(yaml.safe_dump(values))
    command = [program("helm"), "template", "shop", str(CHART), "--values", str(path)]
    return subprocess.run(command, capture_output=True, text=True, timeout=60, check=False)


def test_the_chart_makes_what_kubernetes_and_the_daemon_take(tmp_path: Path) -> None:
    done = rendered(VALUES, tmp_path)
    assert done.returncode == 0, done.stderr
    path = tmp_path / "rendered.yaml"
    path.write_text(done.stdout)
    for version in KUBERNETES:
        test_kubernetes_knows_each_field(path, version)
    test_the_sidecar_starts_first_and_is_probed(path)
    (service,) = _list(pod(path)["containers"])
    assert {"name": "POLICYD", "value": "unix:/run/policyd/policyd.sock"} in _list(
        at(service, "env")
    )
    assert at(service, "volumeMounts", 0, "mountPath") == "/run/policyd"
    configured([one for one in manifests(path) if one["kind"] == "ConfigMap"], tmp_path)


@pytest.mark.parametrize("kind", ["bundle", "git"])
def test_the_chart_takes_policies_from_elsewhere(kind: str, tmp_path: Path) -> None:
    values: Object = {
        **{name: value for name, value in VALUES.items() if name != "policies"},
        kind: BUNDLE if kind == "bundle" else GIT,
        "sourceSecret": "orders-source",
        "maxStaleness": 3600,
    }
    done = rendered(values, tmp_path)
    assert done.returncode == 0, done.stderr
    path = tmp_path / "rendered.yaml"
    path.write_text(done.stdout)
    for version in KUBERNETES:
        test_kubernetes_knows_each_field(path, version)
    found = configured([one for one in manifests(path) if one["kind"] == "ConfigMap"], tmp_path)
    assert (found.state, found.file.policies.max_staleness) == (Path("/state"), 3600.0)
    if found.bundle is not None:
        assert (found.bundle.interval, found.bundle.long_poll) == (5.0, 60.5)
        assert (found.bundle.token_file, found.bundle.max_bytes) == (Path("/source/token"), 2**25)
        assert found.bundle.trust.allowed_signers_file == Path("/source/allowed_signers")
    else:
        assert found.git is not None
        assert (found.git.url, found.git.username) == (GIT["url"], GIT["username"])
        assert (found.git.password_file, found.git.allow_rewind) == (Path("/source/password"), True)
    (sidecar,) = _list(pod(path)["initContainers"])
    mounts = {at(one, "mountPath"): at(one, "name") for one in _list(at(sidecar, "volumeMounts"))}
    assert mounts["/state"] == "policyd-state"
    assert "/policies" not in mounts
    volumes = {at(one, "name"): one for one in _list(pod(path)["volumes"])}
    assert at(volumes[mounts["/source"]], "secret", "secretName") == "orders-source"


@pytest.mark.parametrize(
    "changes",
    [
        {"containers": []},
        {"containers": [{"name": "policyd", "image": "x"}]},
        {"configuration": ""},
        {"policies": {}},
        {"policiesConfigMap": "policies"},  # besides `policies`
        {"bundle": BUNDLE},
        {"policies": {}, "bundle": BUNDLE, "git": GIT},
        {"policies": {}, "bundle": {**BUNDLE, "name": "../orders"}},
        {"policies": {}, "bundle": {**BUNDLE, "url": "http://store.example.com/orders.tar.gz"}},
        {"policies": {}, "bundle": {**BUNDLE, "path": "orders.tar.gz"}},
        {"policies": {}, "bundle": {**BUNDLE, "token_file": "../token"}},
        {"policies": {}, "git": {"url": "https://git.example.com/p.git"}},
        {"policies": {}, "git": {**GIT, "url": "file:///p"}},
        {"sourceSecret": "orders-source"},  # and nothing that names its files
        {"policies": {"orders.txt": "api orders"}},
        {"port": 80},
        {"replica": 3},
    ],
    ids=str,
)
def test_values_that_are_wrong_never_reach_a_cluster(changes: Object, tmp_path: Path) -> None:
    done = rendered({**VALUES, **changes}, tmp_path)
    assert done.returncode != 0
    assert "values.schema.json" in done.stderr or "schema" in done.stderr


# -- images ----------------------------------------------------------------------------------


def test_hadolint_finds_nothing_in_the_dockerfile() -> None:
    command = [program("hadolint", "the development group"), str(DEPLOY / "docker" / "Dockerfile")]
    done = subprocess.run(command, capture_output=True, text=True, timeout=60, check=False)
    assert (done.returncode, done.stdout) == (0, ""), done.stdout + done.stderr


def test_the_image_is_nobodys_and_the_compose_file_takes_all_from_it() -> None:
    lines = (DEPLOY / "docker" / "Dockerfile").read_text().splitlines()
    (user,) = [line for line in lines if line.startswith("USER ")]
    assert user == "USER 65532:65532"
    compose = yaml.safe_load((DEPLOY / "docker" / "compose.yaml").read_text())
    daemon = compose["services"]["policyd"]
    assert (daemon["read_only"], daemon["cap_drop"]) == (True, ["ALL"])
    assert f"USER {daemon['user']}" == user


def test_what_the_dockerfile_copies_is_there_and_reaches_the_builder() -> None:
    lines = (DEPLOY / "docker" / "Dockerfile").read_text().splitlines()
    copied = [
        name for line in lines if line.startswith("COPY ") and "--from" not in line
        for name in line.split()[1:-1]
    ]  # fmt: skip
    ignored = (DEPLOY / "docker" / "Dockerfile.dockerignore").read_text().splitlines()
    kept = {line[1:] for line in ignored if line.startswith("!")}
    assert set(copied) == kept
    assert all((ROOT / name).exists() for name in copied)


# -- systemd ---------------------------------------------------------------------------------


def test_systemd_knows_each_line_of_the_unit(tmp_path: Path) -> None:
    """It exits with 0 on lines that it does not know: its output is what counts."""
    copy = tmp_path / UNIT.name
    # What is started has to be there.
    copy.write_text(UNIT.read_text().replace("/opt/policyd/bin/policyd", sys.executable))
    done = subprocess.run(
        [program("systemd-analyze"), "verify", "--man=no", str(copy)],
        capture_output=True,
        text=True,
        timeout=60,
        check=False,
    )
    said = [line for line in done.stderr.splitlines() if UNIT.name in line]
    assert (done.returncode, said) == (0, []), done.stderr


def test_the_unit_is_told_by_the_daemon_and_confines_it() -> None:
    parser = configparser.RawConfigParser(strict=False, interpolation=None)
    parser.optionxform = str  # type: ignore[assignment,method-assign]
    parser.read(UNIT)
    service = parser["Service"]
    assert service["Type"] == "notify"
    for name in ("DynamicUser", "NoNewPrivileges", "MemoryDenyWriteExecute", "PrivateDevices"):
        assert service[name] == "yes"
    assert service["ProtectSystem"] == "strict"
    assert service["CapabilityBoundingSet"] == ""
