"""STUN at the SIP port: the flow is kept open, nothing larger comes back, and not without end (RFC 5626, RFC 8489)."""

from __future__ import annotations

import ipaddress
import struct

import pytest
from hypothesis import given
from hypothesis import strategies as st

from bridge.signalling import stun
from bridge.signalling.flow import Flow, Transport
from bridge.signalling.transaction import KEEP_ALIVES
from tests.signalling.network import Network
from tests.signalling.scenario import A, B

TRANSACTION = bytes.fromhex("b7e7a701bc34d686fa87dfae")
"""RFC 5769 §2's."""


def binding(*attributes: tuple[int, bytes], kind: int = stun.REQUEST, cookie: int = stun.COOKIE) -> bytes:
    body = b"".join(struct.pack("!HH", t, len(v)) + v + bytes(-len(v) % 4) for t, v in attributes)
    return struct.pack("!HHI", kind, len(body), cookie) + TRANSACTION + body


def test_the_answer_is_that_of_rfc_5769() -> None:
    """§2.2 and §2.3, the mapped addresses of the test vectors."""
    four = stun.response(binding(), ("192.0.2.1", 32853))
    assert four == bytes.fromhex("0101000c2112a442") + TRANSACTION + bytes.fromhex("002000080001a147e112a643")
    six = stun.response(binding(), ("2001:db8:1234:5678:11:2233:4455:6677", 32853))
    mapped = bytes.fromhex("002000140002a1470113a9faa5d3f179bc25f4b5bed2b9d9")
    assert six == bytes.fromhex("010100182112a442") + TRANSACTION + mapped


def test_a_scope_is_none_of_the_address() -> None:
    scoped, plain = ("fe80::1%eth0", 5060), ("fe80::1", 5060)
    assert stun.response(binding(), scoped) == stun.response(binding(), plain)


def test_what_must_be_understood_and_is_not_gets_420() -> None:
    found = stun.response(binding((0x8022, b"a phone"), (0x0003, bytes(4)), (0x0024, bytes(4))), ("192.0.2.1", 5060))
    assert struct.unpack_from("!H", found) == (stun.ERROR,)
    assert stun.UNKNOWN in found
    assert found.endswith(struct.pack("!HHHH", stun.UNKNOWN_ATTRIBUTES, 4, 0x0003, 0x0024))
    assert stun.response(binding((0x8022, b"a phone")), ("192.0.2.1", 5060))[1] == 1, "others may be passed over"


@pytest.mark.parametrize(
    "datagram",
    [
        b"",
        bytes(20),
        binding()[:19],
        binding() + b"\0",
        binding(cookie=0),
        binding(kind=stun.SUCCESS),
        binding(kind=0x0011),
        struct.pack("!HHI", 1, 4, stun.COOKIE) + TRANSACTION + struct.pack("!HH", 0x8022, 40),
        struct.pack("!HHI", 1, 3, stun.COOKIE) + TRANSACTION + b"abc",
    ],
)
def test_what_is_no_binding_request_is_not_answered(datagram: bytes) -> None:
    with pytest.raises(stun.NotStun):
        stun.response(datagram, ("192.0.2.1", 5060))


@given(st.binary(max_size=200), st.booleans(), st.ip_addresses(), st.integers(1, 65535))
def test_any_bytes_get_little_more_than_they_are_or_nothing(body: bytes, framed: bool, host: object, port: int) -> None:
    datagram = struct.pack("!HHI", 1, len(body), stun.COOKIE) + TRANSACTION + body if framed else body
    try:
        found = stun.response(datagram, (str(host), port))
    except stun.NotStun:
        return
    assert len(found) <= len(datagram) + 24
    if found[1] == 1:
        size = 4 if ipaddress.ip_address(str(host)).version == 4 else 16
        assert len(found) == 28 + size


def test_a_keep_alive_is_answered_where_it_came_from_and_a_flood_is_not(calm: Network) -> None:
    bob = calm.endpoint(B)
    there = Flow(Transport.UDP, B, A)
    bob.receive(binding(), there, 0.0)
    assert list(bob.datagrams()) == [(stun.response(binding(), A), there)]
    for noise in (bytes(4), b"\0", binding(cookie=1), b"\r\n\r\n", b"\3" * 300):
        bob.receive(noise, there, 0.0)
    assert not list(bob.datagrams())
    assert not list(bob.events()), "keep-alives of any make are no fault"
    for _ in range(2 * KEEP_ALIVES):
        bob.receive(binding(), Flow(Transport.UDP, B, (A[0], 7000)), 1.0)
    assert len(list(bob.datagrams())) <= KEEP_ALIVES + 200
    other = Flow(Transport.UDP, B, ("192.0.2.77", 5060))
    bob.receive(binding(), other, 1.0)
    assert [flow for _, flow in bob.datagrams()] == [other]
