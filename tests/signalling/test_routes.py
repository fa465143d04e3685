"""Dialogs that pass proxies, and peers whose addresses change: route sets, targets, early dialogs."""

from __future__ import annotations

import pytest

from bridge.signalling.dialog import address_of
from bridge.signalling.event import CallAnswered, CallEnded, IncomingCall, OfferReceived
from bridge.signalling.message import Request, Response
from tests.signalling.network import Network, Phone
from tests.signalling.scenario import ANSWER, OFFER, OTHER, A, B, C, answering, dial, ended, request, respond, tag_of

PROXY = "<sip:192.0.2.3:5060;lr>"


def test_a_call_through_a_proxy_keeps_its_route(calm: Network) -> None:
    alice, proxy = calm.endpoint(A), Phone(calm, C)
    ours = dial(calm, alice, to=C)
    calm.run(0.2)
    (invite,) = proxy.requests("INVITE")
    headers = [("Contact", "<sip:bob@10.0.0.7:5070>"), ("Record-Route", "<sip:10.9.9.9;lr>"), ("Record-Route", PROXY)]
    proxy.send(Response.answering(invite, 200, headers=headers, body=ANSWER, tag="b"), A)
    calm.run(0.2)
    (ack,) = proxy.requests("ACK")
    assert (str(ack.uri), ack.route) == ("sip:bob@10.0.0.7:5070", [PROXY, "<sip:10.9.9.9;lr>"])
    alice.hangup(ours, calm.now)
    calm.run(0.2)
    (bye,) = proxy.requests("BYE")
    assert (str(bye.uri), bye.route) == (str(ack.uri), ack.route)
    respond(proxy, bye, 200)


def test_a_call_that_came_through_a_proxy_goes_back_by_it(calm: Network) -> None:
    bob, proxy = calm.endpoint(B), Phone(calm, C)
    answering(calm, bob)
    headers = (("Record-Route", PROXY), ("Record-Route", "<sip:10.9.9.9;lr>"), ("Contact", "<sip:a@10.0.0.7>"))
    proxy.send(request("INVITE", here=C, body=OFFER, headers=headers), B)
    calm.run(0.2)
    assert proxy.last().record_route == [PROXY, "<sip:10.9.9.9;lr>"]
    proxy.send(request("ACK", here=C, to_tag=tag_of(proxy)), B)
    calm.run(0.2)
    bob.hangup(calm.the(bob, IncomingCall).call, calm.now)
    calm.run(0.2)
    (bye,) = proxy.requests("BYE")
    assert (str(bye.uri), bye.route) == ("sip:a@10.0.0.7", [PROXY, "<sip:10.9.9.9;lr>"])
    respond(proxy, bye, 200)


def test_a_strict_router_gets_the_request_uri(calm: Network) -> None:
    """§12.2.1.1: the target goes to the end of the route."""
    bob, proxy = calm.endpoint(B), Phone(calm, C)
    answering(calm, bob)
    headers = (("Record-Route", "<sip:192.0.2.3>"), ("Record-Route", PROXY), ("Contact", "<sip:a@10.0.0.7>"))
    proxy.send(request("INVITE", here=C, body=OFFER, headers=headers), B)
    calm.run(0.2)
    proxy.send(request("ACK", here=C, to_tag=tag_of(proxy)), B)
    calm.run(0.2)
    bob.hangup(calm.the(bob, IncomingCall).call, calm.now)
    calm.run(0.2)
    (bye,) = proxy.requests("BYE")
    assert (str(bye.uri), bye.route) == ("sip:192.0.2.3", [PROXY, "<sip:a@10.0.0.7>"])
    respond(proxy, bye, 200)


def test_a_phone_behind_nat_is_reached_the_way_that_it_came(calm: Network) -> None:
    bob, phone = calm.endpoint(B), Phone(calm, ("192.0.2.50", 61234))
    answering(calm, bob)
    phone.send(request("INVITE", here=("10.0.0.7", 5060), body=OFFER), B)
    calm.run(0.2)
    assert phone.last().via.parameter("received") == "192.0.2.50"
    phone.send(request("ACK", here=("10.0.0.7", 5060), to_tag=tag_of(phone)), B)
    calm.run(0.2)
    bob.hangup(calm.the(bob, IncomingCall).call, calm.now)
    calm.run(0.2)
    (bye,) = phone.requests("BYE")
    assert str(bye.uri) == "sip:hand@10.0.0.7:5060"
    respond(phone, bye, 200)


def test_a_peer_that_moves_is_followed(calm: Network) -> None:
    bob, phone, moved = calm.endpoint(B), Phone(calm, A), Phone(calm, C)
    answering(calm, bob)
    phone.send(request("INVITE", body=OFFER), B)
    calm.run(0.2)
    tag = tag_of(phone)
    phone.send(request("ACK", to_tag=tag), B)
    calm.when(bob, OfferReceived, lambda event: bob.accept(event.call, ANSWER, calm.now))
    moved.send(request("UPDATE", 2, here=C, to_tag=tag, body=OTHER), B)
    calm.run(0.2)
    assert moved.responses("UPDATE") == [200]
    bob.hangup(calm.the(bob, IncomingCall).call, calm.now)
    calm.run(0.2)
    (bye,) = moved.requests("BYE")
    assert str(bye.uri) == "sip:hand@192.0.2.3:5060"
    respond(moved, bye, 200)


@pytest.mark.parametrize(
    ("uri", "address"),
    [
        ("sip:a@192.0.2.1", ("192.0.2.1", 5060)),
        ("sips:a@192.0.2.1", ("192.0.2.1", 5061)),
        ("sip:a@192.0.2.1;transport=TLS", ("192.0.2.1", 5061)),
        ("sip:a@[2001:db8::1]:5070", ("2001:db8::1", 5070)),
        ("sip:a@host.example", None),
        ("tel:+15145550100", None),
        ("no uri", None),
    ],
)
def test_addresses_that_need_no_dns(uri: str, address: tuple[str, int] | None) -> None:
    assert address_of(uri) == address


# -------------------------------------------------------------------------------------------- early dialogs


def of_callee(invite: Request, method: str, number: int, tag: str, body: bytes = b"") -> Request:
    """A request of the callee's in the early dialog of our INVITE."""
    kind = [("Content-Type", "application/sdp")] if body else []
    return Request.build(
        method,
        str(invite.contacts[0].uri),
        [
            ("Via", f"SIP/2.0/UDP 192.0.2.2:5060;branch=z9hG4bK{method}{number}{tag}"),
            ("Max-Forwards", "70"),
            ("From", f"{invite.headers['To']};tag={tag}"),
            ("To", invite.headers["From"]),
            ("Call-ID", invite.call_id),
            ("CSeq", f"{number} {method}"),
            ("Contact", "<sip:phone@192.0.2.2:5060>"),
            *kind,
        ],
        body,
    )


def test_a_branch_that_hangs_up_before_answering_leaves_the_others(calm: Network) -> None:
    alice, phone = calm.endpoint(A), Phone(calm, B)
    ours = dial(calm, alice)
    calm.run(0.2)
    (invite,) = phone.requests("INVITE")
    for tag in ("one", "two"):
        respond(phone, invite, 180, tag)
    calm.run(0.1)
    phone.send(of_callee(invite, "BYE", 1, "one"), A)
    calm.run(0.1)
    assert phone.responses("BYE") == [200]
    assert not calm.events(alice, CallEnded)
    respond(phone, invite, 200, "two", ANSWER)
    calm.run(0.1)
    assert calm.the(alice, CallAnswered).call == ours
    alice.hangup(ours, calm.now)
    calm.run(0.1)
    respond(phone, phone.requests("BYE")[0], 200)


def test_what_a_branch_may_ask_before_it_answers(calm: Network) -> None:
    alice, phone = calm.endpoint(A), Phone(calm, B)
    ours = dial(calm, alice)
    calm.run(0.2)
    (invite,) = phone.requests("INVITE")
    respond(phone, invite, 180, "one")
    calm.run(0.1)
    for number, (method, tag, body) in enumerate(
        [("OPTIONS", "one", b""), ("INVITE", "one", OTHER), ("UPDATE", "one", OTHER), ("SUBSCRIBE", "one", b"")], 1
    ):
        phone.send(of_callee(invite, method, number, tag, body), A)
        calm.run(0.1)
    phone.send(of_callee(invite, "UPDATE", 9, "nobody", OTHER), A)
    calm.run(0.1)
    assert phone.responses("OPTIONS") == [200]
    assert phone.responses("INVITE")[-1] == 491  # our offer has no answer yet
    assert phone.responses("UPDATE") == [491, 481]
    assert phone.responses("SUBSCRIBE") == [403]
    phone.send(
        Request.build(
            "ACK",
            "sip:x@192.0.2.1",
            [(k, v.replace("INVITE", "ACK")) for k, v in of_callee(invite, "INVITE", 2, "one").headers if k != "Via"]
            + [("Via", "SIP/2.0/UDP 192.0.2.2:5060;branch=z9hG4bKINVITE2one")],
        ),
        A,
    )
    respond(phone, invite, 486, "one")
    calm.run(0.1)
    assert ended(calm, alice, ours) == CallEnded(ours, 486, "Busy Here", False)


def test_a_refresh_that_is_too_brief_is_raised(calm: Network) -> None:
    alice, phone = calm.endpoint(A), Phone(calm, B)
    ours = dial(calm, alice)
    calm.run(0.2)
    headers = {"Session_Expires": "90;refresher=uac", "Allow": "INVITE, BYE, UPDATE", "Supported": "timer"}
    respond(phone, phone.requests("INVITE")[0], 200, sdp=ANSWER, **headers)
    calm.run(46)
    first = phone.requests("UPDATE")[-1]
    assert first.headers["Session-Expires"] == "90;refresher=uac"
    respond(phone, first, 422, Min_SE="200")
    calm.run(0.2)
    second = phone.requests("UPDATE")[-1]
    assert (second.headers["Session-Expires"], second.headers["Min-SE"]) == ("200;refresher=uac", "200")
    respond(phone, second, 422, Min_SE="x")  # nonsense is no reason to go on asking
    calm.run(0.2)
    assert phone.requests("UPDATE")[-1].cseq == second.cseq
    alice.hangup(ours, calm.now)
    calm.run(0.2)
    respond(phone, phone.requests("BYE")[0], 200)
