"""Calls over connections: pieces, ends, large requests, keep-alives."""

from __future__ import annotations

from collections.abc import Iterator

import pytest

from bridge.signalling.event import CallAnswered, CallEnded, IncomingCall, Malformed, MessageReceived, OfferReceived
from bridge.signalling.flow import Flow, Transport
from tests.signalling.network import Network
from tests.signalling.scenario import ANSWER, OFFER, OTHER, A, B, answering, call, dial, ended, flow

TCP = Transport.TCP


@pytest.fixture(params=range(5))
def chopped(request: pytest.FixtureRequest) -> Iterator[Network]:
    network = Network(seed=request.param, chop=request.param > 0)
    yield network
    network.settle()


@pytest.mark.parametrize("transport", [Transport.TCP, Transport.TLS])
def test_a_call_over_a_stream_in_pieces(chopped: Network, transport: Transport) -> None:
    net = chopped
    alice, bob = net.endpoint(A, transport=transport), net.endpoint(B, transport=transport)
    ours, theirs = call(net, alice, bob, transport=transport)
    net.when(bob, OfferReceived, lambda event: bob.accept(event.call, ANSWER, net.now))
    alice.offer(ours, OTHER, net.now)
    for n in range(10):
        alice.info(ours, "text/plain", b"x" * n, net.now)
        bob.info(theirs, "text/plain", b"y" * n, net.now)
    net.run(5)
    alice.hangup(ours, net.now)
    net.run(5)
    assert ended(net, bob, theirs)
    assert all(f.transport is transport for _, _, f in net.log)
    assert net.sent("INVITE") == 2
    assert f";transport={transport.lower()}" in net.log[0][1].decode()


def test_a_call_survives_its_connection(calm: Network) -> None:
    alice, bob = calm.endpoint(A, transport=TCP), calm.endpoint(B, transport=TCP)
    ours, theirs = call(calm, alice, bob, transport=TCP)
    calm.cut(flow(transport=TCP))
    calm.run(1)
    assert not calm.events(alice, CallEnded)
    alice.hangup(ours, calm.now)  # over a new connection to the Contact's address
    calm.run(1)
    assert ended(calm, bob, theirs) == CallEnded(theirs, 0, "", False)


def test_a_connection_that_breaks_before_the_answer_fails_the_call(calm: Network) -> None:
    alice, bob = calm.endpoint(A, transport=TCP), calm.endpoint(B, transport=TCP)
    ours = dial(calm, alice, transport=TCP)
    calm.run(0.1)
    calm.cut(flow(transport=TCP))
    calm.run(1)
    assert ended(calm, alice, ours) == CallEnded(ours, 503, "Service Unavailable", False)
    bob.reject(calm.the(bob, IncomingCall).call, 486, calm.now)


def test_the_next_target_is_tried_when_no_connection_can_be_made(calm: Network) -> None:
    alice, bob = calm.endpoint(A, transport=TCP), calm.endpoint(B, transport=TCP)
    answering(calm, bob)
    ours = dial(calm, alice, targets=[Flow(TCP, A, ("192.0.2.99", 5060)), flow(transport=TCP)])
    calm.run(1)
    assert calm.the(alice, CallAnswered).call == ours
    alice.hangup(ours, calm.now)


BIG = b"v=0\r\n" + b"a=filler\r\n" * 200


def test_a_large_offer_over_udp_goes_by_tcp_where_that_is_heard(calm: Network) -> None:
    alice, bob = calm.endpoint(A), calm.endpoint(B)
    for endpoint, address in ((alice, A), (bob, B)):
        calm.endpoints[TCP, address] = endpoint
    answering(calm, bob)
    ours = dial(calm, alice, BIG)
    calm.run(1)
    assert calm.the(bob, IncomingCall).offer == BIG
    assert [f.transport for _, data, f in calm.log if data.startswith(b"INVITE")] == [TCP]
    alice.hangup(ours, calm.now)


def test_a_large_offer_goes_by_udp_after_all_where_nobody_takes_connections(net: Network) -> None:
    alice, bob = net.endpoint(A), net.endpoint(B)
    answering(net, bob)
    for _ in range(2):
        ours = dial(net, alice, BIG)
        net.run(20)
        alice.hangup(ours, net.now)
        net.run(20)
    assert [event.offer for event in net.events(bob, IncomingCall)] == [BIG, BIG]
    assert sum(f.transport is TCP for _, data, f in net.log if data.startswith(b"INVITE")) == 1


def test_a_large_message_inside_a_call(net: Network) -> None:
    alice, bob = net.endpoint(A), net.endpoint(B)
    ours, theirs = call(net, alice, bob)
    alice.message(ours, "text/plain", b"x" * 3000, net.now)
    net.run(20)
    assert net.the(bob, MessageReceived).body == b"x" * 3000
    bob.hangup(theirs, net.now)


def test_keep_alives_are_answered(calm: Network) -> None:
    bob = calm.endpoint(B, transport=TCP)
    back = Flow(TCP, B, A)
    for piece in (b"\r\n", b"\r\n", b"\r\n\r", b"\n\r\n\r\n"):
        bob.receive(piece, back, calm.now)
    assert [data for data, _ in bob.datagrams()] == [b"\r\n", b"\r\n\r\n"]
    assert list(bob.events()) == []


def test_a_stream_of_nonsense_is_closed(calm: Network) -> None:
    bob = calm.endpoint(B, transport=TCP)
    back = Flow(TCP, B, A)
    for _ in range(100):
        bob.receive(b"x" * 1000, back, calm.now)
        calm.run(0.01)
        if calm.closed:
            break
    assert calm.closed == [back]
    assert calm.events(bob, Malformed)


def test_a_late_offer_over_a_stream(chopped: Network) -> None:
    net = chopped
    alice, bob = net.endpoint(A, transport=TCP), net.endpoint(B, transport=TCP)
    net.when(bob, IncomingCall, lambda event: bob.answer(event.call, OFFER, net.now))
    net.when(alice, CallAnswered, lambda event: alice.acknowledge(event.call, ANSWER, net.now))
    ours = dial(net, alice, None, transport=TCP)
    net.run(2)
    assert net.sent("SIP/2.0 200") == 1
    alice.hangup(ours, net.now)
