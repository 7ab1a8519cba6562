"""Listening: Unix sockets, TLS, several addresses, and what is refused."""

from __future__ import annotations

import datetime
import signal
import socket
import stat
import time

import grpc
import pytest
from cryptography import x509
from cryptography.hazmat.primitives import hashes
from cryptography.hazmat.primitives.asymmetric import ec
from cryptography.hazmat.primitives.serialization import Encoding, NoEncryption, PrivateFormat
from cryptography.x509.oid import NameOID

from policyd.client import AuthorizationFailed, Client, Resource
from tests.support.certificates import Pair, self_signed
from tests.support.daemon import (
    PATIENCE,
    SERVICE,
    Caller,
    Daemon,
    Failure,
    Site,
    access_token,
    check_request,
)

TLS = '[server.tls]\ncertificate = "cert.pem"\nprivate_key = "key.pem"\n'
PATIENT = Resource("patient", "p1", {"sealed": False})


def test_a_unix_socket_serves_owner_and_group(site: Site) -> None:
    site.configure('listen = ["unix:run.sock", "127.0.0.1:0"]')
    path = site.folder / "run.sock"
    with site.start() as daemon:
        assert stat.S_IMODE(path.stat().st_mode) == 0o660
        unix, tcp = daemon.addresses
        assert unix == f"unix:{path}"
        for address in (unix, tcp):
            with Caller(address) as caller:
                assert caller.check(check_request()).allowed
    assert not path.exists()


def test_a_socket_that_was_left_behind_is_replaced(site: Site) -> None:
    site.configure('listen = ["unix:run.sock"]')
    with socket.socket(socket.AF_UNIX) as left_behind:
        left_behind.bind(str(site.folder / "run.sock"))
    with site.start() as daemon, Caller(daemon.addresses[0]) as caller:
        assert caller.check(check_request()).allowed


def test_a_socket_that_policyd_serves_is_not_taken(site: Site) -> None:
    site.configure('listen = ["unix:run.sock"]')
    with site.start() as daemon:
        second = site.run()
        assert second.returncode == 2
        assert "error[P5009]" in second.stderr
        assert "is served by another policyd" in second.stderr
        with Caller(daemon.addresses[0]) as caller:
            assert caller.check(check_request()).allowed


def test_a_socket_that_another_process_serves_is_not_taken(site: Site) -> None:
    site.configure('listen = ["unix:run.sock"]')
    with socket.socket(socket.AF_UNIX) as other:
        other.bind(str(site.folder / "run.sock"))
        other.listen()
        refused = site.run()
    assert refused.returncode == 2
    assert "is served by another process" in refused.stderr


def test_a_file_that_is_no_socket_is_not_removed(site: Site) -> None:
    site.configure('listen = ["unix:run.sock"]')
    path = site.folder / "run.sock"
    path.write_text("precious")
    refused = site.run()
    assert refused.returncode == 2
    assert "exists and is no socket" in refused.stderr
    assert path.read_text() == "precious"


def test_a_port_that_is_taken_is_an_error(site: Site) -> None:
    with socket.socket() as other:
        other.bind(("127.0.0.1", 0))
        other.listen()
        port = other.getsockname()[1]
        site.configure(f'listen = ["127.0.0.1:{port}"]')
        refused = site.run()
    assert refused.returncode == 2
    assert f"cannot listen on `127.0.0.1:{port}`: Address already in use" in refused.stderr


def test_two_daemons_cannot_share_a_port(site: Site) -> None:
    with site.start() as daemon:
        site.configure(f'listen = ["{daemon.addresses[0]}"]')
        assert site.run().returncode == 2


def test_plain_text_beyond_this_machine_needs_a_word(site: Site) -> None:
    listen = 'listen = ["0.0.0.0:0"]'
    site.configure(listen)
    refused = site.run()
    assert refused.returncode == 2
    assert "error[P5005]" in refused.stderr
    lines = (site.folder / "policyd.toml").read_text().splitlines()
    assert f"policyd.toml:{lines.index(listen) + 1}:1" in refused.stderr
    site.configure('listen = ["0.0.0.0:0"]\ninsecure = true')
    with site.start() as daemon:
        port = daemon.addresses[0].rpartition(":")[2]
        with Caller(f"127.0.0.1:{port}") as caller:
            assert caller.check(check_request()).allowed


def write_certificate(site: Site) -> bytes:
    """Write a self-signed certificate for localhost and its key; return the certificate."""
    key = ec.generate_private_key(ec.SECP256R1())
    name = x509.Name([x509.NameAttribute(NameOID.COMMON_NAME, "localhost")])
    now = datetime.datetime.now(datetime.UTC)
    certificate = (
        x509.CertificateBuilder()
        .subject_name(name)
        .issuer_name(name)
        .public_key(key.public_key())
        .serial_number(x509.random_serial_number())
        .not_valid_before(now - datetime.timedelta(hours=1))
        .not_valid_after(now + datetime.timedelta(hours=1))
        .add_extension(x509.SubjectAlternativeName([x509.DNSName("localhost")]), critical=False)
        .sign(key, hashes.SHA256())
        .public_bytes(Encoding.PEM)
    )
    (site.folder / "cert.pem").write_bytes(certificate)
    (site.folder / "key.pem").write_bytes(
        key.private_bytes(Encoding.PEM, PrivateFormat.PKCS8, NoEncryption())
    )
    return certificate


def test_tls(site: Site) -> None:
    certificate = write_certificate(site)
    site.configure(
        'listen = ["0.0.0.0:0"]\ntls = { certificate = "cert.pem", private_key = "key.pem" }'
    )
    with site.start() as daemon:
        target = f"localhost:{daemon.addresses[0].rpartition(':')[2]}"
        with Client(target, authorities=certificate) as client:
            assert client.check(
                access_token(), api="health", action="read", resource=PATIENT
            ).allowed
        with Client(target) as plain, pytest.raises(AuthorizationFailed) as caught:
            plain.check(access_token(), api="health", action="read", resource=PATIENT)
    assert caught.value.code == grpc.StatusCode.UNAVAILABLE.name


def test_a_certificate_that_cannot_be_read_is_an_error(site: Site) -> None:
    site.configure('[server.tls]\ncertificate = "cert.pem"\nprivate_key = "key.pem"')
    refused = site.run()
    assert refused.returncode == 2
    assert "error[P5008]: `server.tls`: " in refused.stderr
    assert "cert.pem`: No such file or directory" in refused.stderr
    assert "policyd.toml:" in refused.stderr


@pytest.mark.parametrize(
    ("certificate", "says"),
    [
        (self_signed().certificate, "it is not the certificate of the key in"),
        (b"garbage", "holds no certificate in PEM"),
    ],
)
def test_a_pair_that_does_not_fit_is_named(site: Site, certificate: bytes, says: str) -> None:
    put(site, self_signed())
    (site.folder / "cert.pem").write_bytes(certificate)
    site.configure(TLS)
    refused = site.run()
    assert refused.returncode == 2
    assert "error[P5008]: `server.tls`: " in refused.stderr
    assert says in refused.stderr
    assert "Failed to bind" not in refused.stderr


def test_an_expired_certificate_is_served_and_named(site: Site) -> None:
    put(site, self_signed(days=1))
    site.configure(TLS)
    with site.start() as daemon:
        line = daemon.wait_for_log("the certificate of `server.tls` has to be renewed")
        assert "it has expired: it ended at 2023-11-15" in str(line["problem"])


def test_certificates_are_served_anew(site: Site) -> None:
    one, two = (self_signed(begin=time.time() - 60) for _ in range(2))
    put(site, one)
    site.configure(TLS)
    with site.start() as daemon:
        target = f"localhost:{daemon.addresses[0].rpartition(':')[2]}"
        with Client(target, authorities=one.certificate) as before:
            assert allowed(before)
            put(site, two)
            daemon.wait_for_log("a new TLS certificate is in use")
            # What stands goes on; who comes now gets the new one.
            assert allowed(before)
        with Client(target, authorities=two.certificate) as client:
            assert allowed(client)
        with (
            Client(target, authorities=one.certificate) as client,
            pytest.raises(AuthorizationFailed),
        ):
            allowed(client)

        (site.folder / "cert.pem").write_bytes(one.certificate)
        daemon.signal(signal.SIGHUP)
        daemon.wait_for_log("the TLS files cannot be used; the last good ones go on")
        with Client(target, authorities=two.certificate) as client:
            assert allowed(client)

        (site.folder / "key.pem").write_bytes(one.key)
        daemon.signal(signal.SIGHUP)
        daemon.wait_for_log("the TLS files are in order again")
        daemon.wait_for_log("a new TLS certificate is in use", lambda line: is_second(daemon))
        with Client(target, authorities=one.certificate) as client:
            assert allowed(client)


def test_client_authorities_are_served_anew(site: Site) -> None:
    ours, one, two = (self_signed(begin=time.time() - 60) for _ in range(3))
    put(site, ours)
    (site.folder / "ca.pem").write_bytes(one.certificate)
    site.configure(f'{TLS}client_authorities = "ca.pem"')
    with site.start() as daemon:
        target = f"localhost:{daemon.addresses[0].rpartition(':')[2]}"
        assert is_let_in(target, ours, one)
        assert not is_let_in(target, ours, two)
        (site.folder / "ca.pem").write_bytes(two.certificate)
        daemon.wait_for_log("a new TLS certificate is in use")
        assert is_let_in(target, ours, two)
        assert not is_let_in(target, ours, one)


def put(site: Site, pair: Pair) -> None:
    (site.folder / "cert.pem").write_bytes(pair.certificate)
    (site.folder / "key.pem").write_bytes(pair.key)


def allowed(client: Client) -> bool:
    return client.check(access_token(), api="health", action="read", resource=PATIENT).allowed


def is_second(daemon: Daemon) -> bool:
    said = [line["message"] for line in daemon.log]
    return said.count("a new TLS certificate is in use") == 2


def is_let_in(target: str, server: Pair, caller: Pair) -> bool:
    """Tell whether who presents the certificate `caller` can call."""
    credentials = grpc.ssl_channel_credentials(server.certificate, caller.key, caller.certificate)
    options = [("grpc.use_local_subchannel_pool", 1)]
    with grpc.secure_channel(target, credentials, options) as channel:
        call: grpc.UnaryUnaryMultiCallable[bytes, bytes] = channel.unary_unary(f"{SERVICE}/Check")
        try:
            call(check_request().SerializeToString(), timeout=PATIENCE)
        except grpc.RpcError as error:
            how = Failure(error).code
        else:
            return True
    assert how == grpc.StatusCode.UNAVAILABLE
    return False
