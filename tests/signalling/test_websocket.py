"""SIP over WebSocket (RFC 7118): what differs from other streams, and a peer that comes back by another connection."""

from __future__ import annotations

import random

import pytest

from bridge.signalling.endpoint import Endpoint
from bridge.signalling.endpoint_settings import EndpointSettings
from bridge.signalling.event import CallEnded, Event, IncomingCall, OfferReceived, OfferRefused
from bridge.signalling.flow import Flow, Transport
from bridge.signalling.message import Message, Request, Response, parse
from bridge.signalling.session import AWAY

HERE = ("192.0.2.2", 443)
FIRST = Flow(Transport.WSS, HERE, ("192.0.2.1", 50000))
SECOND = Flow(Transport.WSS, HERE, ("198.51.100.7", 40000))
OFFER = b"v=0\r\no=offer\r\n"


class Server:
    def __init__(self) -> None:
        self.core = Endpoint(EndpointSettings(), random.Random(7))
        self.now = 100.0
        self.seen: list[Event] = []
        self.out: list[tuple[bytes, Flow]] = []
        self.tag = ""
        self.number = 0

    def take(self) -> None:
        self.out += self.core.datagrams()
        self.seen += self.core.events()

    def hear(self, data: bytes, flow: Flow = FIRST) -> list[tuple[Message, Flow]]:
        """What is answered."""
        self.core.receive(data, flow, self.now)
        return self.sent()

    def sent(self) -> list[tuple[Message, Flow]]:
        self.take()
        out, self.out = self.out, []
        return [(parse(data), flow) for data, flow in out if data and not data.isspace()]

    def run(self, seconds: float) -> None:
        until = self.now + seconds
        while (when := self.core.deadline()) is not None and when <= until:
            self.now = max(self.now, when)
            self.core.expire(self.now)
            self.take()
        self.now = until

    def request(self, method: str, sdp: bytes = b"") -> bytes:
        """As a browser sends it: without Content-Length, with hosts that nobody can reach."""
        self.number += method != "ACK"
        lines = [
            f"{method} sip:demo@bridge.example SIP/2.0",
            f"Via: SIP/2.0/WSS x7k2.invalid;branch=z9hG4bK{method}{self.number}",
            "Max-Forwards: 69",
            "From: <sip:guest@bridge.example>;tag=browser",
            f"To: <sip:demo@bridge.example>{self.tag and ';tag='}{self.tag}",
            "Call-ID: ws1",
            f"CSeq: {self.number} {method}",
            "Contact: <sip:9f3@x7k2.invalid;transport=ws;ob>",
            *(["Content-Type: application/sdp"] if sdp else []),
        ]
        return "\r\n".join(lines).encode() + b"\r\n\r\n" + sdp

    def call(self) -> int:
        """One that is up."""
        self.hear(self.request("INVITE", OFFER))
        call = next(event.call for event in self.seen if isinstance(event, IncomingCall))
        self.core.answer(call, b"v=0\r\no=answer\r\n", self.now)
        ((answer, flow),) = self.sent()
        assert isinstance(answer, Response)
        assert flow == FIRST
        assert answer.headers["Contact"].startswith("<sip:demo@192.0.2.2:443;transport=ws>")
        self.tag = answer.to.tag or ""
        self.hear(self.request("ACK"))
        return call


def test_a_message_is_a_frame_and_needs_no_content_length() -> None:
    server = Server()
    server.hear(server.request("INVITE", OFFER))
    (call,) = [event for event in server.seen if isinstance(event, IncomingCall)]
    assert call.offer == OFFER


def test_half_a_message_is_not_waited_for() -> None:
    server = Server()
    whole = server.request("OPTIONS").replace(b"\r\n\r\n", b"\r\nContent-Length: 10\r\n\r\n")
    ((answer, _),) = server.hear(whole + b"v=0\r\n")
    assert isinstance(answer, Response)
    assert answer.status == 400


def test_a_ping_is_answered() -> None:
    server = Server()
    server.core.receive(b"\r\n\r\n", FIRST, 1.0)
    assert list(server.core.datagrams()) == [(b"\r\n", FIRST)]


@pytest.mark.parametrize("garbage", [b"GET / HTTP/1.1", b"{}", b"\x00\xff" * 40])
def test_another_protocol_is_closed(garbage: bytes) -> None:
    server = Server()
    server.core.receive(garbage, FIRST, 1.0)
    assert (b"", FIRST) in list(server.core.datagrams())


def test_what_we_ask_goes_by_the_peers_connection() -> None:
    server = Server()
    call = server.call()
    server.core.hangup(call, server.now)
    ((bye, flow),) = server.sent()
    assert isinstance(bye, Request)
    assert (bye.method, flow) == ("BYE", FIRST)
    assert bye.headers["Via"].startswith("SIP/2.0/WSS ")


def test_a_call_outlives_its_connection_and_goes_on_by_another() -> None:
    server = Server()
    call = server.call()
    server.core.closed(FIRST, server.now)
    server.run(AWAY - 1)
    answers = server.hear(server.request("INVITE", OFFER), SECOND)
    assert not answers
    assert isinstance(server.seen[-1], OfferReceived)
    server.core.accept(call, b"v=0\r\no=answer\r\n", server.now)
    ((answer, flow),) = server.sent()
    assert isinstance(answer, Response)
    assert (answer.status, flow) == (200, SECOND)
    server.hear(server.request("ACK"), SECOND)
    server.run(2 * AWAY)
    assert not [event for event in server.seen if isinstance(event, CallEnded)]
    server.core.hangup(call, server.now)
    ((_, flow),) = server.sent()
    assert flow == SECOND


def test_an_offer_of_ours_that_went_into_the_void_is_not_in_the_way() -> None:
    """The old connection looks open for as long as nobody finds out that it leads nowhere."""
    server = Server()
    call = server.call()
    server.core.offer(call, b"v=0\r\no=other\r\n", server.now)
    ((ours, _),) = server.sent()
    assert isinstance(ours, Request)
    server.run(3)
    assert not server.hear(server.request("INVITE", OFFER), SECOND)  # no 491
    assert [type(event) for event in server.seen[-2:]] == [OfferRefused, OfferReceived]
    server.core.accept(call, b"v=0\r\no=answer\r\n", server.now)
    server.hear(server.request("ACK"), SECOND)
    server.run(2 * AWAY)
    assert not [event for event in server.seen if isinstance(event, CallEnded)]


def test_the_old_connection_is_closed() -> None:
    server = Server()
    server.call()
    server.core.receive(server.request("INVITE", OFFER), SECOND, server.now)
    assert (b"", FIRST) in list(server.core.datagrams())


def test_who_does_not_come_back_has_left() -> None:
    server = Server()
    call = server.call()
    server.core.closed(FIRST, server.now)
    server.run(AWAY + 1)
    assert CallEnded(call, 408, "connection lost", True) in server.seen
    # The driver can't open such a connection, and says so.
    server.core.closed(FIRST, server.now)
    assert server.core.calls == 0
    assert server.core.held()["alarms"] == 0


def test_a_peer_that_asks_to_be_called_elsewhere_is_not_followed_there() -> None:
    server = Server()
    server.core.dial("sip:9f3@x7k2.invalid", [FIRST], OFFER, server.now, from_uri="sip:demo@bridge.example")
    ((invite, _),) = server.sent()
    assert isinstance(invite, Request)
    moved = Response.answering(invite, 302, headers=[("Contact", "<sip:x@203.0.113.9:5060>")], tag="t")
    out = server.hear(bytes(moved))
    assert {flow for _, flow in out} == {FIRST}
    assert any(isinstance(event, CallEnded) and event.code == 302 for event in server.seen)
