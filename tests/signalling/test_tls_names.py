"""Whom a TLS connection of ours must prove to be: the domain that was asked for."""

from __future__ import annotations

import asyncio
import datetime
import ssl
from collections.abc import Iterator
from pathlib import Path

import pytest
from cryptography import x509
from cryptography.hazmat.primitives import hashes, serialization
from cryptography.hazmat.primitives.asymmetric import ec
from cryptography.x509.oid import NameOID

from bridge.io import Driver, Listener
from bridge.signalling.flow import Flow, Transport


class Core:
    """Sends what it is given, keeps what comes."""

    def __init__(self) -> None:
        self.out: list[tuple[bytes, Flow]] = []
        self.came: asyncio.Future[bytes] = asyncio.get_running_loop().create_future()

    def receive(self, data: bytes, flow: Flow, now: float) -> None:
        if not self.came.done():
            self.came.set_result(data)

    def closed(self, flow: Flow, now: float) -> None:
        if not self.came.done():
            self.came.set_exception(ConnectionError(str(flow.remote)))

    def expire(self, now: float) -> None:
        return

    def deadline(self) -> float | None:
        return None

    def datagrams(self) -> Iterator[tuple[bytes, Flow]]:
        while self.out:
            yield self.out.pop()

    def events(self) -> Iterator[object]:
        return iter(())


@pytest.fixture
def certificate(tmp_path: Path) -> Path:
    """Key and self-signed certificate of sip.example in one PEM file."""
    key = ec.generate_private_key(ec.SECP256R1())
    name = x509.Name([x509.NameAttribute(NameOID.COMMON_NAME, "sip.example")])
    begin = datetime.datetime(2026, 1, 1, tzinfo=datetime.UTC)
    made = (
        x509.CertificateBuilder()
        .subject_name(name)
        .issuer_name(name)
        .public_key(key.public_key())
        .serial_number(1)
        .not_valid_before(begin)
        .not_valid_after(begin + datetime.timedelta(days=36500))
        .add_extension(x509.SubjectAlternativeName([x509.DNSName("sip.example")]), critical=False)
        .sign(key, hashes.SHA256())
    )
    file = tmp_path / "sip.pem"
    file.write_bytes(
        key.private_bytes(serialization.Encoding.PEM, serialization.PrivateFormat.PKCS8, serialization.NoEncryption())
        + made.public_bytes(serialization.Encoding.PEM)
    )
    return file


async def send(certificate: Path, name: str | None) -> bytes:
    """One message by TLS to a listener with that certificate, whose name is expected to be ``name``."""
    server_tls = ssl.SSLContext(ssl.PROTOCOL_TLS_SERVER)
    server_tls.load_cert_chain(certificate)
    client_tls = ssl.create_default_context(cafile=str(certificate))
    there, here = Core(), Core()
    server = Driver(there, lambda event: None, server_tls=server_tls)
    client = Driver(here, lambda event: None, client_tls=client_tls)
    try:
        bound = await server.listen(Listener(Transport.TLS, "127.0.0.1", 0))
        remote = (bound.host, bound.port)
        if name is not None:
            client.expect(remote, name)
        here.out.append((b"hello", Flow(Transport.TLS, ("127.0.0.1", 5061), remote)))
        client.drain()
        done, _ = await asyncio.wait([there.came, here.came], timeout=5, return_when=asyncio.FIRST_COMPLETED)
        return done.pop().result()
    finally:
        await client.close()
        await server.close()


def test_the_certificate_must_name_the_domain_that_was_looked_up(certificate: Path) -> None:
    assert asyncio.run(send(certificate, "sip.example")) == b"hello"


@pytest.mark.parametrize("name", ["other.example", None])
def test_a_certificate_of_another_name_ends_the_connection(certificate: Path, name: str | None) -> None:
    with pytest.raises(ConnectionError):
        asyncio.run(send(certificate, name))
