"""One association: flights, repetitions, fragments, alerts, and bytes that are no DTLS."""

from __future__ import annotations

import datetime
import random
from collections.abc import Callable

import pytest
from cryptography import x509
from cryptography.hazmat.primitives import hashes
from cryptography.hazmat.primitives.asymmetric import rsa
from OpenSSL import SSL

from gateways.webrtc import dtls
from gateways.webrtc.dtls import FIRST_TIMEOUT, MTU, Closed, Dtls, DtlsState, Established, Failed
from gateways.webrtc.identity import CIPHERS, DTLS_1_2, PROFILES, Identity
from tests.gateways.webrtc.air import DAY, OURS, THEIRS


def pair(server: Identity = OURS, client: Identity = THEIRS) -> tuple[Dtls, Dtls]:
    return Dtls(server, client=False, now=0.0), Dtls(client, client=True, now=0.0)


def exchange(server: Dtls, client: Dtls, bend: Callable[[bytes], bytes] = bytes, rounds: int = 6) -> list[int]:
    """Sizes of what was sent; ``bend`` spoils what the client says."""
    sizes: list[int] = []
    for _ in range(rounds):
        for source, to in ((client, server), (server, client)):
            for data in source.datagrams():
                sizes.append(len(data))
                to.receive(bend(data) if source is client else data, 0.0)
    return sizes


class Own(Identity):
    """An identity with another certificate or other profiles, as other stacks have them."""

    def __init__(
        self, *, bits: int = 0, profiles: tuple[bytes, ...] = PROFILES, ciphers: str = CIPHERS, long: int = 0
    ) -> None:
        super().__init__(DAY, "own")
        context = SSL.Context(SSL.DTLS_METHOD)
        context.set_min_proto_version(DTLS_1_2)
        context.set_options(SSL.OP_NO_QUERY_MTU)
        context.set_verify(SSL.VERIFY_PEER, lambda *_: True)
        context.set_cipher_list(ciphers.encode())
        if profiles:
            context.set_tlsext_use_srtp(b":".join(profiles))
        if bits:
            key = rsa.generate_private_key(65_537, bits)
            units = [x509.NameAttribute(x509.NameOID.ORGANIZATIONAL_UNIT_NAME, "a long name " * 5)] * long
            name = x509.Name([x509.NameAttribute(x509.NameOID.COMMON_NAME, "own"), *units])
            builder = x509.CertificateBuilder().subject_name(name).issuer_name(name).public_key(key.public_key())
            builder = builder.serial_number(1).not_valid_before(DAY).not_valid_after(DAY + datetime.timedelta(9))
            context.use_certificate(builder.sign(key, hashes.SHA256()))
            context.use_privatekey(key)
        self.context = context


def test_both_ends_have_the_same_keys() -> None:
    server, client = pair()
    assert max(exchange(server, client)) <= MTU
    (ours,), (theirs,) = list(server.events()), list(client.events())
    assert isinstance(ours, Established)
    assert isinstance(theirs, Established)
    assert (ours.send, ours.receive) == (theirs.receive, theirs.send)
    assert ours.send != ours.receive
    assert ours.send.suite == "AEAD_AES_128_GCM"
    assert len(ours.send.material) == 28
    assert server.matches((THEIRS.fingerprint,))
    assert client.matches((OURS.fingerprint,))
    assert server.deadline() is None
    assert client.deadline() is None


@pytest.mark.parametrize(
    ("profile", "suite", "size"),
    [
        (b"SRTP_AES128_CM_SHA1_80", "AES_CM_128_HMAC_SHA1_80", 30),
        (b"SRTP_AEAD_AES_256_GCM", "AEAD_AES_256_GCM", 44),
        (b"SRTP_AEAD_AES_128_GCM", "AEAD_AES_128_GCM", 28),
    ],
)
def test_the_peer_may_know_one_profile_only(profile: bytes, suite: str, size: int) -> None:
    server, client = pair(client=Own(bits=2048, profiles=(profile,)))
    exchange(server, client)
    (event,) = server.events()
    assert isinstance(event, Established)
    assert (event.send.suite, len(event.send.material)) == (suite, size)


def test_of_several_profiles_ours_comes_first() -> None:
    server, client = pair(client=Own(bits=2048, profiles=PROFILES[::-1]))
    exchange(server, client)
    (event,) = server.events()
    assert isinstance(event, Established)
    assert event.send.suite == "AEAD_AES_128_GCM"


def test_a_peer_without_srtp_fails() -> None:
    server, client = pair(client=Own(bits=2048, profiles=()))
    exchange(server, client)
    assert [type(event) for event in server.events()] == [Failed]
    assert server.state is DtlsState.FAILED


def test_a_peer_without_a_certificate_fails() -> None:
    server, client = pair(client=Own())
    exchange(server, client)
    assert [type(event) for event in server.events()] == [Failed]


def test_a_peer_whose_ciphers_we_refuse_fails() -> None:
    server, client = pair(client=Own(bits=2048, ciphers="ECDHE-RSA-AES256-SHA"))
    exchange(server, client)
    (event,) = server.events()
    assert isinstance(event, Failed)
    assert "cipher" in event.reason


@pytest.mark.parametrize("server_has_it", [True, False])
def test_a_large_certificate_comes_in_fragments(server_has_it: bool) -> None:
    large = Own(bits=2048, long=20)
    server, client = pair(*((large, THEIRS) if server_has_it else (OURS, large)))
    sizes = exchange(server, client)
    assert len(sizes) >= 5
    assert max(sizes) <= MTU
    assert server.state is client.state is DtlsState.ESTABLISHED


def test_a_flight_is_repeated_with_new_numbers_until_the_next() -> None:
    server, client = pair()
    (hello,) = client.datagrams()
    assert client.deadline() == FIRST_TIMEOUT
    client.expire(FIRST_TIMEOUT - 0.01)
    assert not list(client.datagrams())
    client.expire(FIRST_TIMEOUT)
    (again,) = client.datagrams()
    assert again[:5] + again[11:] == hello[:5] + hello[11:]
    assert int.from_bytes(again[5:11], "big") == int.from_bytes(hello[5:11], "big") + 1
    assert client.deadline() == FIRST_TIMEOUT * 3
    server.receive(again, 0.0)
    assert server.deadline() == FIRST_TIMEOUT
    first = list(server.datagrams())
    server.expire(FIRST_TIMEOUT)
    assert len(list(server.datagrams())) == len(first)
    assert server.repeats == 1


def test_the_final_flight_is_repeated_when_the_peer_repeats_its() -> None:
    server, client = pair()
    server.receive(next(client.datagrams()), 0.0)
    for data in server.datagrams():
        client.receive(data, 0.0)
    for data in list(client.datagrams()):
        server.receive(data, 0.0)
    assert server.state is DtlsState.ESTABLISHED
    (lost,) = server.datagrams()
    for when in (FIRST_TIMEOUT, 10.0):
        client.expire(when)
        for data in list(client.datagrams()) * 2:  # the network doubles them
            server.receive(data, when)
        (again,) = server.datagrams()
        assert len(again) == len(lost)
    client.receive(again, 10.0)
    assert client.state is DtlsState.ESTABLISHED


def test_close_notify_ends_it_once() -> None:
    server, client = pair()
    exchange(server, client)
    list(server.events())
    client.close()
    client.close()
    exchange(server, client)
    assert list(server.events()) == [Closed()]
    assert server.state is client.state is DtlsState.CLOSED
    server.close()
    server.expire(99.0)
    server.receive(b"\x16" * 50, 0.0)
    assert not list(server.datagrams())


def test_data_that_nobody_asked_for_is_dropped() -> None:
    server, client = pair()
    exchange(server, client)
    list(server.events())
    assert client._connection is not None
    client._connection.send(b"sctp" * 100)
    for data in dtls._records(dtls._output(client._connection)):
        server.receive(data, 0.0)
    assert not list(server.events())
    assert server.state is DtlsState.ESTABLISHED


def test_noise_between_the_flights_does_no_harm() -> None:
    rng = random.Random(1)
    for _ in range(20):
        server, client = pair()
        for _ in range(4):
            for source, to in ((client, server), (server, client)):
                for data in source.datagrams():
                    for _ in range(5):
                        # The size in the record header is wrong, so it is no record: RFC 6347 §4.1.2.7 says drop it.
                        to.receive(bytes([rng.randrange(20, 64)]) + rng.randbytes(rng.randrange(200)), 0.0)
                    to.receive(data, 0.0)
        assert server.state is client.state is DtlsState.ESTABLISHED


def test_spoiled_handshakes_raise_nothing() -> None:
    rng = random.Random(2)

    def spoil(data: bytes) -> bytes:
        if rng.random() < 0.4:
            return data
        spoiled = bytearray(data)
        for _ in range(rng.randrange(1, 4)):
            # Behind the record header, or anywhere.
            at = rng.randrange(min(25, len(data) - 1), len(data)) if rng.random() < 0.7 else rng.randrange(len(data))
            spoiled[at] = rng.randrange(256)
        return bytes(spoiled[: rng.randrange(1, len(data) + 1)] if rng.random() < 0.2 else spoiled)

    ends = dict.fromkeys(DtlsState, 0)
    for _ in range(300):
        server, client = pair()
        exchange(server, client, spoil, rounds=4)
        events = list(server.events())
        ends[server.state] += 1
        assert sum(isinstance(event, Failed) for event in events) <= 1
        assert (server.state is DtlsState.FAILED) == any(isinstance(event, Failed) for event in events)
    assert ends[DtlsState.FAILED] > 20
    assert ends[DtlsState.ESTABLISHED] > 5


def test_what_one_peer_breaks_is_not_laid_at_anothers_door() -> None:
    """OpenSSL's errors wait in a queue that all connections of a thread share."""
    rng = random.Random(3)
    bad, _ = pair()
    whole, other = pair()
    exchange(whole, other)
    list(whole.events())
    for _ in range(300):
        server, client = pair()
        for _ in range(3):
            for source, to in ((client, server), (server, client)):
                for data in source.datagrams():
                    spoiled = bytearray(data)
                    for _ in range(rng.randrange(1, 5)):
                        spoiled[rng.randrange(len(data))] = rng.randrange(256)
                    bad.receive(bytes(spoiled), 0.0)
                    whole.receive(bytes(spoiled), 0.0)
                    to.receive(data, 0.0)
        assert server.state is client.state is DtlsState.ESTABLISHED
        if bad.state is not DtlsState.HANDSHAKE:
            bad, _ = pair()
    assert not list(whole.events())


def test_one_identity_a_day_has_one_fingerprint() -> None:
    assert Identity(DAY).fingerprint != Identity(DAY).fingerprint
    assert str(OURS.fingerprint).startswith("sha-256 ")
    assert len(OURS.fingerprint.digest) == 32
