"""Calls from the first INVITE to the last response, in any weather."""

from __future__ import annotations

from typing import Any

import pytest

from bridge.signalling.endpoint_settings import EndpointSettings
from bridge.signalling.event import CallAnswered, CallConfirmed, CallEnded, CallProgress, IncomingCall
from bridge.signalling.message import Request, parse
from bridge.signalling.session_table import WrongState
from tests.signalling.network import Network, Phone
from tests.signalling.scenario import (
    ANSWER,
    OFFER,
    A,
    B,
    C,
    D,
    answering,
    call,
    dial,
    ended,
    flow,
    request,
    respond,
    tag_of,
)

# ---------------------------------------------------------------------------------------------- in and out


def test_a_call_is_answered_and_hung_up_by_the_caller(net: Network) -> None:
    alice, bob = net.endpoint(A), net.endpoint(B)
    ours, theirs = call(net, alice, bob)
    assert net.the(alice, CallAnswered) == CallAnswered(ours, ANSWER, "Visiopont")
    assert net.the(bob, CallConfirmed) == CallConfirmed(theirs)
    incoming = net.the(bob, IncomingCall)
    assert (incoming.offer, incoming.from_uri) == (OFFER, "sip:alice@192.0.2.1")
    alice.hangup(ours, net.now)
    net.run(20)
    assert ended(net, alice, ours) == CallEnded(ours, 0, "", True)
    assert ended(net, bob, theirs) == CallEnded(theirs, 0, "", False)


def test_a_call_is_hung_up_by_the_callee(net: Network) -> None:
    alice, bob = net.endpoint(A), net.endpoint(B)
    ours, theirs = call(net, alice, bob)
    bob.hangup(theirs, net.now)
    net.run(20)
    assert ended(net, alice, ours) == CallEnded(ours, 0, "", False)


def test_both_hang_up_at_once(net: Network) -> None:
    alice, bob = net.endpoint(A), net.endpoint(B)
    ours, theirs = call(net, alice, bob)
    alice.hangup(ours, net.now)
    bob.hangup(theirs, net.now)
    net.run(20)
    assert ended(net, alice, ours)
    assert ended(net, bob, theirs)


def test_ringing_is_heard(net: Network) -> None:
    alice, bob = net.endpoint(A), net.endpoint(B)
    net.when(bob, IncomingCall, lambda event: bob.ring(event.call, net.now))
    ours = dial(net, alice)
    net.run(5)
    bob.answer(net.the(bob, IncomingCall).call, ANSWER, net.now)
    net.run(20)
    assert all(event == CallProgress(ours, 180, None) for event in net.events(alice, CallProgress))
    assert net.the(alice, CallAnswered).body == ANSWER
    alice.hangup(ours, net.now)


def test_a_call_is_refused(net: Network) -> None:
    alice, bob = net.endpoint(A), net.endpoint(B)
    net.when(bob, IncomingCall, lambda event: bob.reject(event.call, 486, net.now, "Occupé", retry_after=60))
    ours = dial(net, alice)
    net.run(20)
    assert ended(net, alice, ours) == CallEnded(ours, 486, "Occupé", False)
    assert (ended(net, bob, net.the(bob, IncomingCall).call) or CallEnded(0, 0, "", False)).local


def test_nobody_answers_the_invite(net: Network) -> None:
    alice = net.endpoint(A)
    ours = dial(net, alice)
    net.run(40)
    assert ended(net, alice, ours) == CallEnded(ours, 408, "Request Timeout", False)


@pytest.mark.parametrize("wrong", [{"from_display": "a\nb"}, {"headers": [("Subject", "a\r\nTo: b")]}, {"targets": []}])
def test_a_call_that_cannot_be_said_in_one_line_each_leaves_nothing(calm: Network, wrong: dict[str, Any]) -> None:
    alice = calm.endpoint(A)
    with pytest.raises(ValueError, match=r"line|nowhere"):
        dial(calm, alice, **wrong)
    assert not any(alice.held().values())


def test_a_call_that_rings_too_long_is_cancelled(net: Network) -> None:
    alice, bob = net.endpoint(A, settings=EndpointSettings(ring_limit=30)), net.endpoint(B)
    net.when(bob, IncomingCall, lambda event: bob.ring(event.call, net.now))
    ours = dial(net, alice)
    net.run(60)
    assert ended(net, alice, ours) == CallEnded(ours, 408, "no answer", True)
    assert ended(net, bob, net.the(bob, IncomingCall).call) == CallEnded(
        net.the(bob, IncomingCall).call, 487, "cancelled", False
    )


def test_the_ack_never_comes(calm: Network) -> None:
    alice, bob = calm.endpoint(A), calm.endpoint(B)
    calm.drop = lambda data, flow: data.startswith(b"ACK")
    ours, theirs = call(calm, alice, bob)
    calm.run(40)
    assert calm.sent("SIP/2.0 200") >= 10  # T1, doubled up to T2, for 32 s
    assert ended(calm, bob, theirs) == CallEnded(theirs, 408, "no ACK", True)
    assert ended(calm, alice, ours) == CallEnded(ours, 0, "", False)


def test_a_command_for_a_call_that_is_over_does_nothing_and_a_wrong_one_raises(calm: Network) -> None:
    alice, bob = calm.endpoint(A), calm.endpoint(B)
    ours, theirs = call(calm, alice, bob)
    with pytest.raises(WrongState):
        bob.answer(theirs, ANSWER, calm.now)
    with pytest.raises(WrongState):
        alice.ring(ours, calm.now)
    alice.hangup(ours, calm.now)
    calm.run(5)
    alice.hangup(ours, calm.now)
    alice.offer(ours, OFFER, calm.now)
    alice.info(ours, "a/b", b"", calm.now)
    bob.answer(theirs, ANSWER, calm.now)
    bob.reject(theirs, 486, calm.now)


def test_dialling_nonsense_raises_and_leaves_nothing(calm: Network) -> None:
    alice = calm.endpoint(A)
    for uri, targets in (("no uri", [flow()]), ("sip:a b@c", [flow()]), ("sip:x@y", [])):
        with pytest.raises(ValueError):
            alice.dial(uri, targets, OFFER, calm.now, from_uri="sip:a@b")


# -------------------------------------------------------------------------------------------------- CANCEL


def test_cancel_before_anything_was_heard_waits_for_a_provisional_response(net: Network) -> None:
    alice, bob = net.endpoint(A), net.endpoint(B)
    ours = dial(net, alice)
    alice.hangup(ours, net.now)
    net.run(60)
    assert ended(net, alice, ours) == CallEnded(ours, 487, "", True)
    for event in net.events(bob, IncomingCall):
        assert ended(net, bob, event.call) == CallEnded(event.call, 487, "cancelled", False)


def test_cancel_while_it_rings(net: Network) -> None:
    alice, bob = net.endpoint(A), net.endpoint(B)
    net.when(bob, IncomingCall, lambda event: bob.ring(event.call, net.now))
    ours = dial(net, alice)
    net.run(5)
    alice.hangup(ours, net.now)
    net.run(40)
    theirs = net.the(bob, IncomingCall).call
    assert ended(net, alice, ours) == CallEnded(ours, 487, "", True)
    assert ended(net, bob, theirs) == CallEnded(theirs, 487, "cancelled", False)


def test_cancel_that_crosses_the_answer(net: Network) -> None:
    alice, bob = net.endpoint(A), net.endpoint(B)
    net.when(bob, IncomingCall, lambda event: bob.ring(event.call, net.now))
    ours = dial(net, alice)
    net.run(5)
    theirs = net.the(bob, IncomingCall).call
    bob.answer(theirs, ANSWER, net.now)
    alice.hangup(ours, net.now)
    net.run(60)
    assert ended(net, alice, ours) == CallEnded(ours, 487, "", True)
    assert ended(net, bob, theirs) == CallEnded(theirs, 0, "", False)  # ACK, then BYE
    assert not net.events(alice, CallAnswered)


def test_the_answer_comes_before_any_provisional_response_and_we_had_hung_up(calm: Network) -> None:
    alice, bob = calm.endpoint(A), calm.endpoint(B)
    answering(calm, bob)
    ours = dial(calm, alice)
    alice.hangup(ours, calm.now)
    calm.run(40)
    assert ended(calm, alice, ours) == CallEnded(ours, 487, "", True)
    assert calm.sent("CANCEL") == 0
    assert calm.sent("BYE") == 1


def test_a_cancelled_phone_that_says_nothing_more(calm: Network) -> None:
    alice, phone = calm.endpoint(A), Phone(calm, B)
    ours = dial(calm, alice)
    calm.run(0.2)
    respond(phone, phone.requests("INVITE")[0], 180)
    calm.run(0.2)
    alice.hangup(ours, calm.now)
    calm.run(1)
    respond(phone, phone.requests("CANCEL")[0], 200)
    calm.run(40)
    assert ended(calm, alice, ours) == CallEnded(ours, 487, "", True)


def test_the_response_to_cancel_has_the_tag_of_the_487(calm: Network) -> None:
    calm.endpoint(B)
    phone = Phone(calm, A)
    phone.send(request("INVITE", body=OFFER, branch="z9hG4bK1"), B)
    calm.run(0.1)
    phone.send(request("CANCEL", branch="z9hG4bK1"), B)
    calm.run(0.1)
    tags = {message.cseq.method: message.to.tag for message in phone.got}
    assert tags["INVITE"] == tags["CANCEL"]
    assert phone.responses("INVITE") == [100, 487] or phone.responses("INVITE") == [487]
    phone.send(request("ACK", branch="z9hG4bK1", to_tag=tag_of(phone)), B)


def test_cancel_of_a_call_that_is_up_changes_nothing(calm: Network) -> None:
    bob, phone = calm.endpoint(B), Phone(calm, A)
    answering(calm, bob)
    phone.send(request("INVITE", body=OFFER, branch="z9hG4bK1"), B)
    calm.run(0.2)
    phone.send(request("ACK", to_tag=tag_of(phone)), B)
    phone.send(request("CANCEL", branch="z9hG4bK1"), B)
    calm.run(1)
    assert phone.responses("CANCEL") == [200]
    assert not calm.events(bob, CallEnded)
    phone.send(request("BYE", 2, to_tag=tag_of(phone)), B)


# --------------------------------------------------------------------------------------------------- forks


def test_the_first_fork_to_answer_wins_and_the_second_is_hung_up(calm: Network) -> None:
    alice, phone = calm.endpoint(A), Phone(calm, B)
    ours = dial(calm, alice)
    calm.run(0.2)
    (invite,) = phone.requests("INVITE")
    for tag in ("one", "two", "three"):
        respond(phone, invite, 180, tag)
    respond(phone, invite, 200, "two", ANSWER)
    calm.run(0.1)
    respond(phone, invite, 200, "one", ANSWER)
    calm.run(0.1)
    assert [ack.to.tag for ack in phone.requests("ACK")] == ["two", "one"]
    (bye,) = phone.requests("BYE")
    assert bye.to.tag == "one"
    respond(phone, bye, 200)
    assert calm.the(alice, CallAnswered).call == ours
    respond(phone, invite, 200, "one", ANSWER)
    respond(phone, invite, 200, "two", ANSWER)
    calm.run(0.1)
    assert [ack.to.tag for ack in phone.requests("ACK")][2:] == ["one", "two"]
    assert len(phone.requests("BYE")) == 1
    alice.hangup(ours, calm.now)
    calm.run(0.1)
    assert phone.requests("BYE")[-1].to.tag == "two"
    respond(phone, phone.requests("BYE")[-1], 200)


def test_a_late_fork_of_a_call_that_we_cancelled_is_acknowledged_and_hung_up(calm: Network) -> None:
    alice, phone = calm.endpoint(A), Phone(calm, B)
    ours = dial(calm, alice)
    calm.run(0.2)
    (invite,) = phone.requests("INVITE")
    respond(phone, invite, 180, "one")
    calm.run(0.1)
    alice.hangup(ours, calm.now)
    respond(phone, invite, 200, "one", ANSWER)
    calm.run(0.1)
    respond(phone, invite, 200, "two", ANSWER)
    calm.run(0.1)
    assert {ack.to.tag for ack in phone.requests("ACK")} == {"one", "two"}
    assert {bye.to.tag for bye in phone.requests("BYE")} == {"one", "two"}
    for bye in phone.requests("BYE"):
        respond(phone, bye, 200)
    assert ended(calm, alice, ours) == CallEnded(ours, 487, "", True)


def test_forks_without_end_are_not_kept(calm: Network) -> None:
    alice, phone = calm.endpoint(A), Phone(calm, B)
    dial(calm, alice)
    calm.run(0.2)
    (invite,) = phone.requests("INVITE")
    for n in range(100):
        respond(phone, invite, 180, f"t{n}")
    calm.run(0.2)
    assert alice.held()["dialogs"] == 16
    respond(phone, invite, 486, "t1")
    calm.run(0.2)
    assert alice.held()["dialogs"] == 0


# ------------------------------------------------------------------------------------- nobody decides on a call


@pytest.mark.parametrize(("expires", "after", "code"), [(None, 180, 480), ("20", 20, 487), ("9999", 180, 480)])
def test_a_call_that_nobody_answers_is_refused(calm: Network, expires: str | None, after: float, code: int) -> None:
    bob, phone = calm.endpoint(B), Phone(calm, A)
    calm.when(bob, IncomingCall, lambda event: bob.ring(event.call, calm.now))
    headers = (("Expires", expires),) if expires else ()
    phone.send(request("INVITE", body=OFFER, headers=headers), B)
    calm.run(after - 0.2)
    assert phone.responses("INVITE") == [180]
    calm.run(0.5)
    assert phone.responses("INVITE") == [180, code]
    theirs = calm.the(bob, IncomingCall).call
    assert ended(calm, bob, theirs) == CallEnded(theirs, code, "not answered", True)


def test_a_call_that_rings_long_says_so_each_minute(calm: Network) -> None:
    bob, phone = calm.endpoint(B), Phone(calm, A)
    calm.when(bob, IncomingCall, lambda event: bob.ring(event.call, calm.now))
    phone.send(request("INVITE", body=OFFER), B)
    calm.run(150)
    assert len([m for m in phone.got if m.status == 180]) == 3
    bob.reject(calm.the(bob, IncomingCall).call, 486, calm.now)


# ------------------------------------------------------------------------------- targets, redirects, merging


def test_the_next_target_is_tried_when_one_is_silent_or_overloaded(net: Network) -> None:
    alice, full, bob = net.endpoint(A), net.endpoint(C, settings=EndpointSettings(max_calls=0)), net.endpoint(B)
    answering(net, bob)
    ours = dial(net, alice, targets=[flow(A, D), flow(A, C), flow(A, B)])
    net.run(60)
    assert net.the(alice, CallAnswered).call == ours
    assert not net.events(full, IncomingCall)
    alice.hangup(ours, net.now)


def test_a_refusal_is_no_reason_to_try_the_next_target(net: Network) -> None:
    alice, busy, bob = net.endpoint(A), net.endpoint(C), net.endpoint(B)
    net.when(busy, IncomingCall, lambda event: busy.reject(event.call, 486, net.now))
    ours = dial(net, alice, targets=[flow(A, C), flow(A, B)])
    net.run(20)
    assert ended(net, alice, ours) == CallEnded(ours, 486, "Busy Here", False)
    assert not net.events(bob, IncomingCall)


def test_a_redirection_is_followed(net: Network) -> None:
    alice, signpost, bob = net.endpoint(A), net.endpoint(C), net.endpoint(B)
    net.when(
        signpost,
        IncomingCall,
        lambda event: signpost.redirect(event.call, ["sip:demo@192.0.2.2:5060", "sip:x@192.0.2.9"], net.now),
    )
    answering(net, bob)
    ours = dial(net, alice, to=C)
    net.run(30)
    assert net.the(alice, CallAnswered).call == ours
    assert net.the(bob, IncomingCall).request_uri == "sip:demo@192.0.2.2:5060"
    alice.hangup(ours, net.now)


def test_a_circle_of_redirections_ends(net: Network) -> None:
    alice, one, two = net.endpoint(A), net.endpoint(B), net.endpoint(C)
    net.when(one, IncomingCall, lambda event: one.redirect(event.call, ["sip:demo@192.0.2.3"], net.now))
    net.when(two, IncomingCall, lambda event: two.redirect(event.call, ["sip:demo@192.0.2.2"], net.now))
    ours = dial(net, alice)
    net.run(60)
    assert ended(net, alice, ours) == CallEnded(ours, 302, "Moved Temporarily", False)
    assert len(net.events(one, IncomingCall)) + len(net.events(two, IncomingCall)) == 6


def test_an_invite_that_comes_by_a_second_path_gets_482(calm: Network) -> None:
    bob, phone = calm.endpoint(B), Phone(calm, A)
    phone.send(request("INVITE", body=OFFER, branch="z9hG4bK1"), B)
    phone.send(request("INVITE", body=OFFER, branch="z9hG4bK2"), B)
    calm.run(0.1)
    assert phone.responses() == [482]
    assert len(calm.events(bob, IncomingCall)) == 1
    phone.send(request("ACK", branch="z9hG4bK2", to_tag=tag_of(phone)), B)
    bob.reject(calm.the(bob, IncomingCall).call, 486, calm.now)
    calm.run(0.1)
    phone.send(request("ACK", branch="z9hG4bK1", to_tag=tag_of(phone)), B)


# -------------------------------------------------------------------------------------------- oddities of BYE


def test_bye_before_the_answer(calm: Network) -> None:
    bob, phone = calm.endpoint(B), Phone(calm, A)
    net = calm
    net.when(bob, IncomingCall, lambda event: bob.ring(event.call, net.now))
    phone.send(request("INVITE", body=OFFER), B)
    net.run(0.1)
    phone.send(request("BYE", 2, to_tag=tag_of(phone)), B)
    net.run(0.1)
    assert phone.responses("BYE") == [200]
    assert phone.responses("INVITE") == [180, 487]
    theirs = net.the(bob, IncomingCall).call
    assert ended(net, bob, theirs) == CallEnded(theirs, 0, "", False)
    phone.send(request("ACK", to_tag=tag_of(phone)), B)


def test_hanging_up_before_the_ack_waits_for_it(calm: Network) -> None:
    """§15: whoever answered may not send BYE before the ACK came."""
    bob, phone = calm.endpoint(B), Phone(calm, A)
    answering(calm, bob)
    phone.send(request("INVITE", body=OFFER), B)
    calm.run(0.2)
    theirs = calm.the(bob, IncomingCall).call
    bob.hangup(theirs, calm.now)
    calm.run(2)
    assert ended(calm, bob, theirs)
    assert not phone.requests("BYE")
    phone.send(request("ACK", to_tag=tag_of(phone)), B)
    calm.run(0.2)
    (bye,) = phone.requests("BYE")
    respond(phone, bye, 200)


def test_a_request_of_an_old_number_gets_500_and_one_for_no_dialog_481(calm: Network) -> None:
    bob, phone = calm.endpoint(B), Phone(calm, A)
    answering(calm, bob)
    phone.send(request("INVITE", 10, body=OFFER), B)
    calm.run(0.2)
    tag = tag_of(phone)
    phone.send(request("ACK", 10, to_tag=tag), B)
    phone.send(request("INFO", 9, to_tag=tag), B)
    phone.send(request("INFO", 11, to_tag="other"), B)
    calm.run(0.2)
    assert phone.responses("INFO") == [500, 481]
    phone.send(request("BYE", 12, to_tag=tag), B)


def test_a_bye_that_gets_no_answer_ends_the_call_all_the_same(calm: Network) -> None:
    bob, phone = calm.endpoint(B), Phone(calm, A)
    answering(calm, bob)
    phone.send(request("INVITE", body=OFFER), B)
    calm.run(0.2)
    phone.send(request("ACK", to_tag=tag_of(phone)), B)
    calm.run(0.2)
    theirs = calm.the(bob, IncomingCall).call
    bob.hangup(theirs, calm.now)
    calm.run(40)
    assert bob.calls == 0


def test_a_request_uri_with_the_rest_of_our_contact_behind_it_is_understood() -> None:
    """As pyVoIP writes it."""
    ack = (
        b"ACK sip:demo@192.0.2.1:5060>;isfocus SIP/2.0\r\nVia: SIP/2.0/UDP 192.0.2.9:5060;branch=z9hG4bKa\r\n"
        b"From: <sip:a@192.0.2.9>;tag=a\r\nTo: <sip:demo@192.0.2.1>;tag=b\r\nCall-ID: c\r\nCSeq: 1 ACK\r\n"
        b"Content-Length: 0\r\n\r\n"
    )
    message = parse(ack)
    assert isinstance(message, Request)
    assert str(message.uri) == "sip:demo@192.0.2.1:5060"
