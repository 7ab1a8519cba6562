"""Envoy as `deploy/envoy/envoy.yaml` configures it, before real services, with listeners beside.

One Envoy has all of them, so that a module starts one process:

* `plain` is the file's own listener;
* `open` lets requests pass where policyd does not answer (`failure_mode_allow`), tells of header
  fields as they came, and of the beginning of bodies; it traces, for a collector that is not there;
* `tls` speaks TLS, and asks clients for a certificate.
"""

from __future__ import annotations

import copy
from collections.abc import Iterator
from concurrent.futures import ThreadPoolExecutor
from contextlib import ExitStack, contextmanager
from pathlib import Path
from typing import Final, cast

import grpc
import yaml

from policyd.json_types import Json
from tests.support.certificates import Authority
from tests.support.daemon import Daemon, Site
from tests.support.gateways import Upstream, configured, envoy, running
from tests.support.ports import free_port

#: What stands for itself in the configuration.
Yaml = dict[str, "Json"]
_TRACER: Final = "type.googleapis.com/envoy.config.trace.v3.OpenTelemetryConfig"
_TLS: Final = "type.googleapis.com/envoy.extensions.transport_sockets.tls.v3.DownstreamTlsContext"
LIST, CANCEL = "/orders.v1.Orders/List", "/orders.v1.Orders/Cancel"


class GrpcUpstream:
    """A service over gRPC that keeps what reaches it."""

    def __init__(self) -> None:
        self.requests: list[tuple[str, dict[str, str]]] = []
        self._server = grpc.server(ThreadPoolExecutor(2), handlers=[_Any(self)])
        self.address = f"127.0.0.1:{self._server.add_insecure_port('127.0.0.1:0')}"
        self._server.start()

    def close(self) -> None:
        self._server.stop(0).wait()


class _Any(grpc.GenericRpcHandler):
    def __init__(self, upstream: GrpcUpstream) -> None:
        self._upstream = upstream

    def service(
        self, details: grpc.HandlerCallDetails
    ) -> grpc.RpcMethodHandler[bytes, bytes] | None:
        fields = {name: str(value) for name, value in details.invocation_metadata}
        method = details.method
        self._upstream.requests.append((str(method), fields))
        return grpc.unary_unary_rpc_method_handler(lambda message, _context: message)


class Stack:
    """Envoy, its services, and the daemon that it asks, which can be started anew."""

    def __init__(self, site: Site, port: int) -> None:
        self.site = site
        self.asked = f"127.0.0.1:{port}"
        self.upstream = Upstream()
        self.orders = GrpcUpstream()
        self.plain = f"127.0.0.1:{free_port()}"
        self.open = f"127.0.0.1:{free_port()}"
        self.tls = f"127.0.0.1:{free_port()}"
        self.authority = Authority()
        self.daemon: Daemon | None = None

    def start_daemon(self) -> None:
        """Start the daemon, and wait until it serves."""
        self.daemon = Daemon(self.site.folder, ())
        self.daemon.wait_for_log("serving")

    def restart(self) -> None:
        """End the daemon, and start it anew."""
        assert self.daemon is not None
        self.daemon.end()
        self.start_daemon()

    def configuration(self) -> str:
        """Return the file of `deploy/`, with further listeners."""
        put = {
            "port_value: 8000": f"port_value: {self.plain.rpartition(':')[2]}",
            "port_value: 8080": f"port_value: {self.upstream.address.rpartition(':')[2]}",
            "port_value: 8081": f"port_value: {self.orders.address.rpartition(':')[2]}",
            "port_value: 8184": f"port_value: {self.asked.rpartition(':')[2]}",
        }
        whole = cast("Yaml", yaml.safe_load(configured("envoy/envoy.yaml", put, "orders")))
        listeners = cast("list[Yaml]", cast("Yaml", whole["static_resources"])["listeners"])
        (plain,) = listeners
        listeners += [self._open(plain), self._tls(plain)]
        clusters = cast("list[Yaml]", cast("Yaml", whole["static_resources"])["clusters"])
        clusters.append({"name": "collector", "connect_timeout": "0.1s"})
        return yaml.safe_dump(whole)

    def _open(self, plain: Yaml) -> Yaml:
        made = _copy(plain, "open", self.open)
        manager = _manager(made)
        # A client that is refused before all of its body was read is not waited for.
        manager["delayed_close_timeout"] = "0.02s"
        # What a client says of its trace goes into the header fields of the call to policyd.
        manager["tracing"] = {
            "provider": {
                "name": "envoy.tracers.opentelemetry",
                "typed_config": {
                    "@type": _TRACER,
                    "grpc_service": {"envoy_grpc": {"cluster_name": "collector"}},
                    "service_name": "gateway",
                },
            }
        }
        asking = _asking(manager)
        asking["failure_mode_allow"] = True
        asking["encode_raw_headers"] = True
        asking["with_request_body"] = {
            "max_request_bytes": 100_000,
            "allow_partial_message": True,
            "pack_as_bytes": True,
        }
        return made

    def _tls(self, plain: Yaml) -> Yaml:
        made = _copy(plain, "tls", self.tls)
        (chain,) = cast("list[Yaml]", made["filter_chains"])
        pair = self.authority.issue("127.0.0.1", "localhost")
        context: Yaml = {
            "tls_certificates": [
                {
                    "certificate_chain": {"inline_string": pair.certificate.decode()},
                    "private_key": {"inline_string": pair.key.decode()},
                }
            ],
            # The token says which certificate it is bound to; who vouches for that is no matter.
            "validation_context": {
                "trusted_ca": {"inline_string": self.authority.certificate.decode()},
                "trust_chain_verification": "ACCEPT_UNTRUSTED",
            },
            "alpn_protocols": ["http/1.1"],
        }
        chain["transport_socket"] = {
            "name": "envoy.transport_sockets.tls",
            "typed_config": {"@type": _TLS, "common_tls_context": context},
        }
        return made

    def close(self) -> None:
        self.upstream.close()
        self.orders.close()
        if self.daemon is not None:
            self.daemon.end()


def _copy(listener: Yaml, name: str, address: str) -> Yaml:
    made = copy.deepcopy(listener)
    made["name"] = name
    host, _, port = address.rpartition(":")
    made["address"] = {"socket_address": {"address": host, "port_value": int(port)}}
    return made


def _manager(listener: Yaml) -> Yaml:
    """Return the configuration of what reads a listener's HTTP."""
    (chain,) = cast("list[Yaml]", listener["filter_chains"])
    (manager,) = cast("list[Yaml]", chain["filters"])
    return cast("Yaml", manager["typed_config"])


def _asking(manager: Yaml) -> Yaml:
    """Return the configuration of the filter that asks policyd."""
    filters = cast("list[Yaml]", manager["http_filters"])
    return cast("Yaml", filters[0]["typed_config"])


@contextmanager
def stack(site: Site, folder: Path, port: int) -> Iterator[Stack]:
    """Run all of it until the context ends; the site's daemon listens at `port`."""
    with ExitStack() as closing:
        made = Stack(site, port)
        closing.callback(made.close)
        command = envoy(folder, made.configuration())
        made.start_daemon()
        closing.enter_context(running(command, folder, made.plain))
        yield made
