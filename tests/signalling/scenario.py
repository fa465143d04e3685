"""What the scenarios share: two ends that talk, and messages written by hand."""

from __future__ import annotations

from typing import Any

from bridge.signalling.endpoint import Endpoint
from bridge.signalling.event import CallEnded, IncomingCall
from bridge.signalling.flow import Flow, Transport
from bridge.signalling.message import Request, Response
from tests.signalling.network import Network, Phone

A, B, C, D = (("192.0.2.1", 5060), ("192.0.2.2", 5060), ("192.0.2.3", 5060), ("192.0.2.4", 5060))
OFFER, ANSWER, OTHER = b"v=0\r\no=offer\r\n", b"v=0\r\no=answer\r\n", b"v=0\r\no=other\r\n"
ME = "sip:alice@192.0.2.1"


def flow(here: tuple[str, int] = A, there: tuple[str, int] = B, transport: Transport = Transport.UDP) -> Flow:
    return Flow(transport, here, there)


def dial(net: Network, alice: Endpoint, sdp: bytes | None = OFFER, to: tuple[str, int] = B, **kw: Any) -> int:
    targets = kw.pop("targets", [flow(A, to, kw.pop("transport", Transport.UDP))])
    return alice.dial(f"sip:demo@{to[0]}", targets, sdp, net.now, from_uri=ME, **kw)


def answering(net: Network, bob: Endpoint, sdp: bytes = ANSWER, after: float = 0.0) -> None:
    """Bob takes every call."""
    net.when(bob, IncomingCall, lambda event: bob.answer(event.call, sdp, net.now))


def call(net: Network, alice: Endpoint, bob: Endpoint, **kw: Any) -> tuple[int, int]:
    """A call that is up; its numbers at both ends."""
    before = len(net.events(bob, IncomingCall))
    answering(net, bob)
    ours = dial(net, alice, **kw)
    net.run(20)
    return ours, net.events(bob, IncomingCall)[before].call


def ended(net: Network, endpoint: Endpoint, call: int) -> CallEnded | None:
    found = [event for event in net.events(endpoint, CallEnded) if event.call == call]
    assert len(found) <= 1, found
    return found[0] if found else None


def request(
    method: str,
    number: int = 1,
    *,
    call_id: str = "by-hand",
    to_tag: str = "",
    uri: str = "sip:demo@192.0.2.2",
    branch: str = "",
    here: tuple[str, int] = A,
    headers: tuple[tuple[str, str], ...] = (),
    body: bytes = b"",
    from_tag: str = "me",
) -> Request:
    """A request as a phone at ``here`` would send it."""
    sent_by = f"{here[0]}:{here[1]}"
    kind = [("Content-Type", "application/sdp")] if body and "Content-Type" not in dict(headers) else []
    return Request.build(
        method,
        uri,
        [
            ("Via", f"SIP/2.0/UDP {sent_by};branch={branch or f'z9hG4bK{method}{number}{call_id}'};rport"),
            ("Max-Forwards", "70"),
            ("From", f"<sip:hand@{here[0]}>;tag={from_tag}"),
            ("To", f"<sip:demo@192.0.2.2>{f';tag={to_tag}' if to_tag else ''}"),
            ("Call-ID", call_id),
            ("CSeq", f"{number} {method}"),
            *([("Contact", f"<sip:hand@{sent_by}>")] if "Contact" not in dict(headers) else []),
            *kind,
            *headers,
        ],
        body,
    )


def tag_of(phone: Phone) -> str:
    """The To tag of the last response."""
    tags = [m.to.tag for m in phone.got if isinstance(m, Response) and m.to.tag]
    return tags[-1] or ""


def respond(phone: Phone, request: Request, code: int, tag: str = "p", sdp: bytes = b"", **headers: str) -> None:
    """A phone's response, with a Contact of its own."""
    host, port = phone.place[1]
    values = [("Contact", f"<sip:phone@{host}:{port}>"), *((k.replace("_", "-"), v) for k, v in headers.items())]
    if sdp:
        values.append(("Content-Type", "application/sdp"))
    phone.send(Response.answering(request, code, headers=values, body=sdp, tag=tag), via_address(request))


def via_address(request: Request) -> tuple[str, int]:
    return request.via.host, request.via.port or 5060
