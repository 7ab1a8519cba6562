"""A real kube-apiserver: it admits what `deploy/` has for it, and policyd takes its tokens.

Where etcd or kube-apiserver is not installed, all of this is skipped; where helm is not, the chart.
"""

from __future__ import annotations

import base64
import json
import signal
import time
from collections.abc import Iterator
from pathlib import Path
from typing import NamedTuple
from urllib.parse import urlsplit

import jwt
import pytest
import yaml

from policyd.json_types import Json
from policyd.tooling.starting.issuer import look_up
from policyd.v1 import authorization_pb2 as messages
from tests.docs.test_connecting import section
from tests.docs.test_deployments import (
    BUNDLE,
    GIT,
    MANIFESTS,
    VALUES,
    Object,
    at,
    manifests,
    pod,
    rendered,
)
from tests.support import cluster as clusters
from tests.support.cluster import Cluster, Refused
from tests.support.daemon import Caller, Site, resource
from tests.support.https import fetcher
from tests.support.issuer_tokens import fixture
from tests.support.redis import until

PROGRAMS = clusters.programs()
pytestmark = [
    pytest.mark.slow,
    pytest.mark.skipif(isinstance(PROGRAMS, str), reason=f"a cluster {PROGRAMS}"),
]

SHOP = "shop"
#: A container of the chart's user, who confines it as the chart confines policyd.
CONFINED: Object = {
    "name": "orders",
    "image": "orders:1",
    "securityContext": {"allowPrivilegeEscalation": False, "capabilities": {"drop": ["ALL"]}},
}
WARDS, ROTA = "https://example.com/health-api", "https://example.com/rota"
#: The page's own policy is for `WARDS`. This one asks for the facts of a pod.
ROTA_POLICY = f"""
api rota

audience "{ROTA}"

claim account: string  from "/kubernetes.io/serviceaccount/name"
claim pod:     string? from "/kubernetes.io/pod/name"
claim node:    string? from "/kubernetes.io/node/name"

resource shift {{
    actions read, swap
}}

allow applications: read on shift
    when subject is application and token.subject == "system:serviceaccount:clinic:intake"

allow pods: swap on shift
    when token.account == "intake" and token.pod == "intake-0" and token.node == "worker-1"
"""


@pytest.fixture(scope="module")
def cluster(tmp_path_factory: pytest.TempPathFactory) -> Iterator[Cluster]:
    assert isinstance(PROGRAMS, tuple)
    with clusters.running(*PROGRAMS, tmp_path_factory.mktemp("cluster")) as started:
        started.namespace(SHOP, standard="restricted")
        started.namespace("clinic", "intake", "porter")
        yield started


# -- what it admits --------------------------------------------------------------------------


def admit(cluster: Cluster, path: Path) -> None:
    """Have the server admit each object of a file, and a pod of its Deployment."""
    for document in manifests(path):
        made = cluster.create(placed(document), dry_run=True)
        assert made["kind"] == document["kind"]
    # It checks a Deployment's pods only once they are made, and here nobody makes them.
    made = cluster.create(pod_object(pod(path)), dry_run=True)
    assert at(made, "spec", "initContainers", 0, "restartPolicy") == "Always"


def placed(document: Object) -> Object:
    metadata = document["metadata"]
    assert isinstance(metadata, dict)
    return {**document, "metadata": {**metadata, "namespace": SHOP}}


def pod_object(spec: Object) -> Object:
    return placed({"apiVersion": "v1", "kind": "Pod", "metadata": {"name": "one"}, "spec": spec})


@pytest.mark.parametrize("path", MANIFESTS, ids=lambda path: path.name)
def test_it_admits_the_manifests_in_a_restricted_namespace(cluster: Cluster, path: Path) -> None:
    admit(cluster, path)


@pytest.mark.parametrize("source", ["policies", "bundle", "git"])
def test_it_admits_what_the_chart_renders(cluster: Cluster, source: str, tmp_path: Path) -> None:
    values: Object = {**VALUES, "containers": [CONFINED]}
    if source != "policies":
        del values["policies"]
        values |= {source: BUNDLE if source == "bundle" else GIT, "sourceSecret": "orders"}
    done = rendered(values, tmp_path)
    assert done.returncode == 0, done.stderr
    path = tmp_path / "rendered.yaml"
    path.write_text(done.stdout)
    admit(cluster, path)


def test_it_refuses_what_it_does_not_know_and_what_is_not_restricted(cluster: Cluster) -> None:
    (deployment,) = [one for one in manifests(MANIFESTS[0]) if one["kind"] == "Deployment"]
    spec = at(deployment, "spec")
    assert isinstance(spec, dict)
    with pytest.raises(Refused, match=r'unknown field \\"spec.replica\\"') as unknown:
        cluster.create(placed({**deployment, "spec": {**spec, "replica": 1}}), dry_run=True)
    assert unknown.value.status == 400

    loose: Object = yaml.safe_load(yaml.safe_dump(pod(MANIFESTS[0])))
    context = at(loose, "initContainers", 0, "securityContext")
    assert isinstance(context, dict)
    context["allowPrivilegeEscalation"] = True
    with pytest.raises(Refused, match="violates PodSecurity") as privileged:
        cluster.create(pod_object(loose), dry_run=True)
    assert privileged.value.status == 403


# -- its tokens ------------------------------------------------------------------------------


class Asked(NamedTuple):
    """A daemon that has the cluster as its issuer, and what the cluster is asked for.

    `before` is the reason of a decision while the cluster showed its keys to nobody.
    """

    cluster: Cluster
    caller: Caller
    before: str

    def outcome(self, token: str, api: str = "wards", action: str = "read") -> str:
        """Return the reason of a decision."""
        return outcome(self.caller, token, api, action)

    def token(self, *audiences: str, account: str = "intake", bound: Object | None = None) -> str:
        return self.cluster.token("clinic", account, *audiences, bound=bound)


def outcome(caller: Caller, token: str, api: str = "wards", action: str = "read") -> str:
    of = resource("patient" if api == "wards" else "shift", "1")
    request = messages.CheckRequest(access_token=token, api=api, action=action, resource=of)
    answer = caller.check(request)
    assert answer.allowed is (answer.reason == "ALLOWED")
    return answer.reason


@pytest.fixture(scope="module")
def asked(cluster: Cluster, tmp_path_factory: pytest.TempPathFactory) -> Iterator[Asked]:
    keys = f'jwks_uri = "{cluster.keys_url}"\nca_file = "{cluster.authority}"'
    site = site_for(cluster, tmp_path_factory.mktemp("site"), keys)
    token = cluster.token("clinic", "intake", WARDS)
    with site.start() as daemon, Caller(daemon.addresses[0]) as caller:
        before = outcome(caller, token)
        show_keys(cluster)
        daemon.signal(signal.SIGHUP)
        until(lambda: outcome(caller, token) == "ALLOWED", "the keys are not found")
        yield Asked(cluster, caller, before)


def site_for(cluster: Cluster, folder: Path, keys: str) -> Site:
    """Return the folder of a daemon whose issuer is the cluster, with the page's policy."""
    site = Site(folder)
    site.policy.unlink()
    (page,) = [one.text for one in section("Connect Kubernetes") if one.kind == "policy"]
    (site.policies / "wards.policy").write_text(page)
    (site.policies / "rota.policy").write_text(ROTA_POLICY)
    issuer = f'[[issuers]]\nissuer = "{cluster.issuer}"\ndialect = "kubernetes"\n'
    site.configure(issuers=f"{issuer}{keys}\n")
    return site


def show_keys(cluster: Cluster) -> None:
    """Let everybody read the keys, as docs/tokens.md does with kubectl."""
    group = "rbac.authorization.k8s.io"
    role = "system:service-account-issuer-discovery"
    everybody: Object = {"apiGroup": group, "kind": "Group", "name": "system:unauthenticated"}
    cluster.create(
        {
            "apiVersion": f"{group}/v1",
            "kind": "ClusterRoleBinding",
            "metadata": {"name": "token-keys"},
            "roleRef": {"apiGroup": group, "kind": "ClusterRole", "name": role},
            "subjects": [everybody],
        }
    )


def claims_of(token: str) -> Object:
    part = token.split(".")[1]
    read: Object = json.loads(base64.urlsafe_b64decode(part + "=" * (-len(part) % 4)))
    return read


def again(cluster: Cluster, token: str, **changes: Json) -> str:
    """Return a token with claims changed, signed by the cluster's own key."""
    header = {"kid": jwt.get_unverified_header(token)["kid"], "typ": None}
    changed = {**claims_of(token), **changes}
    return jwt.encode(changed, cluster.signing_key.read_text(), "RS256", headers=header)


def test_its_keys_are_for_those_that_it_knows_until_a_role_shows_them(asked: Asked) -> None:
    assert asked.before == "KEYS_UNAVAILABLE"


def test_a_token_is_for_the_audience_that_it_was_requested_for(asked: Asked) -> None:
    for_wards, for_rota, for_both = (
        asked.token(WARDS),
        asked.token(ROTA),
        asked.token(WARDS, ROTA),
    )
    assert asked.outcome(for_wards, "wards") == "ALLOWED"
    assert asked.outcome(for_wards, "rota") == "AUDIENCE_MISMATCH"
    assert asked.outcome(for_rota, "wards") == "AUDIENCE_MISMATCH"
    assert asked.outcome(for_rota, "rota") == "ALLOWED"
    assert asked.outcome(for_both, "wards") == asked.outcome(for_both, "rota") == "ALLOWED"
    # One that names no audience is for the server itself.
    assert asked.outcome(asked.token()) == "AUDIENCE_MISMATCH"


def test_what_the_server_itself_refuses_is_refused(asked: Asked) -> None:
    token, now = asked.token(WARDS), int(time.time())
    same = again(asked.cluster, token)
    assert asked.cluster.accepts(same, WARDS)
    assert asked.outcome(same) == "ALLOWED"

    head, _, signature = token.split(".")
    other = again(asked.cluster, token, sub="system:serviceaccount:clinic:porter")
    altered = f"{head}.{other.split('.')[1]}.{signature}"
    expired = again(asked.cluster, token, iat=now - 7200, nbf=now - 7200, exp=now - 3600)
    early = again(asked.cluster, token, iat=now + 3600, nbf=now + 3600, exp=now + 7200)
    foreign = again(asked.cluster, token, iss="https://kubernetes.default.svc")
    for refused, reason in (
        (altered, "SIGNATURE_INVALID"),
        (expired, "TOKEN_EXPIRED"),
        (early, "TOKEN_NOT_YET_VALID"),
        (foreign, "ISSUER_UNKNOWN"),
    ):
        assert asked.outcome(refused) == reason
        assert not asked.cluster.accepts(refused, WARDS)
    assert not asked.cluster.accepts(token, ROTA)


def test_policies_read_whose_token_it_is(asked: Asked) -> None:
    assert asked.outcome(asked.token(WARDS)) == "ALLOWED"
    assert asked.outcome(asked.token(WARDS, account="porter")) == "NO_RULE_ALLOWS"
    assert asked.outcome(asked.cluster.token(SHOP, "default", WARDS)) == "NO_RULE_ALLOWS"


def test_policies_read_the_pod_and_node_that_a_token_is_bound_to(asked: Asked) -> None:
    cluster = asked.cluster
    cluster.create({"apiVersion": "v1", "kind": "Node", "metadata": {"name": "worker-1"}})
    made = cluster.create(
        {
            "apiVersion": "v1",
            "kind": "Pod",
            "metadata": {"name": "intake-0", "namespace": "clinic"},
            "spec": {
                "nodeName": "worker-1",
                "serviceAccountName": "intake",
                "containers": [{"name": "intake", "image": "intake:1"}],
            },
        }
    )
    uid = at(made, "metadata", "uid")
    whose: Object = {"apiVersion": "v1", "kind": "Pod", "name": "intake-0", "uid": uid}
    bound, free = asked.token(ROTA, bound=whose), asked.token(ROTA)
    assert asked.outcome(bound, "rota", "swap") == "ALLOWED"
    assert asked.outcome(free, "rota", "swap") == "NO_RULE_ALLOWS"

    # The fixture of this dialect is as the server writes it.
    shown = fixture("kubernetes", "machine")
    assert shape(claims_of(bound)) == shape(dict(shown.claims))
    assert shape(jwt.get_unverified_header(bound)) == shape(dict(shown.header))

    # As the page says: policyd asks nobody whether a pod is still there, and the server does.
    assert cluster.accepts(bound, ROTA)
    gone: Object = {"apiVersion": "v1", "kind": "DeleteOptions", "gracePeriodSeconds": 0}
    cluster.ask("DELETE", "/api/v1/namespaces/clinic/pods/intake-0", gone)
    until(lambda: not cluster.accepts(bound, ROTA), "the server still accepts it")
    assert asked.outcome(bound, "rota", "swap") == "ALLOWED"


def shape(value: Json) -> Json:
    """Return which claims there are, and of which types."""
    if isinstance(value, dict):
        return {name: shape(one) for name, one in value.items()}
    return [shape(one) for one in value] if isinstance(value, list) else type(value).__name__


@pytest.mark.parametrize(
    ("keys", "reason"),
    [
        ('jwks_file = "keys.json"', "ALLOWED"),
        ('ca_file = "AUTHORITY"\njwks_hosts = ["HOST"]', "ALLOWED"),
        ('ca_file = "AUTHORITY"', "KEYS_UNAVAILABLE"),  # discovered on another host
    ],
    ids=["file", "discovered", "elsewhere"],
)
def test_its_keys_come_from_a_file_or_from_hosts_that_are_named(
    asked: Asked, tmp_path: Path, keys: str, reason: str
) -> None:
    cluster = asked.cluster
    (tmp_path / "keys.json").write_text(json.dumps(cluster.ask("GET", "/openid/v1/jwks")))
    for name, value in (("AUTHORITY", cluster.authority), ("HOST", urlsplit(cluster.url).netloc)):
        keys = keys.replace(name, str(value))
    with (
        site_for(cluster, tmp_path, keys).start() as daemon,
        Caller(daemon.addresses[0]) as caller,
    ):
        assert outcome(caller, asked.token(WARDS)) == reason


def test_a_new_configuration_finds_out_what_it_is(asked: Asked) -> None:
    cluster = asked.cluster
    found = look_up(cluster.issuer, fetcher(cluster.authority.parent))
    assert (found.issuer, found.dialect, found.algorithms) == (
        cluster.issuer,
        "kubernetes",
        ("RS256",),
    )
    assert found.jwks_hosts == (urlsplit(cluster.url).netloc,)
