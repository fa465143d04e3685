"""Offers and answers: late, reliable, early, crossing; and the session timers that repeat them."""

from __future__ import annotations

import pytest

from bridge.signalling.endpoint_settings import EndpointSettings
from bridge.signalling.event import (
    AnswerReceived,
    CallAnswered,
    CallConfirmed,
    CallEnded,
    CallProgress,
    IncomingCall,
    OfferAnswered,
    OfferReceived,
    OfferRefused,
)
from bridge.signalling.message import Request, Response
from bridge.signalling.session_table import WrongState
from tests.signalling.network import Network, Phone
from tests.signalling.scenario import (
    ANSWER,
    OFFER,
    OTHER,
    A,
    B,
    answering,
    call,
    dial,
    ended,
    request,
    respond,
    tag_of,
)

NO_TIMER = EndpointSettings(session_expires=0)


# --------------------------------------------------------------------------------------------- late offers


def test_a_late_offer_is_answered_in_the_ack(net: Network) -> None:
    alice, bob = net.endpoint(A), net.endpoint(B)
    net.when(bob, IncomingCall, lambda event: bob.answer(event.call, OFFER, net.now))
    net.when(alice, CallAnswered, lambda event: alice.acknowledge(event.call, ANSWER, net.now))
    ours = dial(net, alice, None)
    net.run(20)
    theirs = net.the(bob, IncomingCall)
    assert theirs.offer is None
    assert net.the(alice, CallAnswered).body == OFFER
    assert net.the(bob, AnswerReceived) == AnswerReceived(theirs.call, ANSWER)
    assert net.the(bob, CallConfirmed)
    alice.hangup(ours, net.now)


def test_an_ack_that_lacks_the_answer_to_a_late_offer_is_told(calm: Network) -> None:
    bob, phone = calm.endpoint(B), Phone(calm, A)
    calm.when(bob, IncomingCall, lambda event: bob.answer(event.call, OFFER, calm.now))
    phone.send(request("INVITE"), B)
    calm.run(0.2)
    phone.send(request("ACK", to_tag=tag_of(phone)), B)
    calm.run(0.2)
    call = calm.the(bob, IncomingCall).call
    assert calm.the(bob, AnswerReceived) == AnswerReceived(call, b"")
    bob.hangup(call, calm.now)


def test_hanging_up_instead_of_answering_a_late_offer(net: Network) -> None:
    alice, bob = net.endpoint(A), net.endpoint(B)
    net.when(bob, IncomingCall, lambda event: bob.answer(event.call, OFFER, net.now))
    ours = dial(net, alice, None)
    net.run(15)
    alice.hangup(ours, net.now)
    net.run(20)
    theirs = net.the(bob, IncomingCall).call
    assert ended(net, alice, ours) == CallEnded(ours, 0, "", True)
    assert ended(net, bob, theirs) == CallEnded(theirs, 0, "", False)


def test_a_re_invite_without_offer_asks_for_one(net: Network) -> None:
    alice, bob = net.endpoint(A), net.endpoint(B)
    ours, theirs = call(net, alice, bob)
    net.when(bob, OfferReceived, lambda event: bob.accept(event.call, OTHER, net.now))
    net.when(alice, OfferAnswered, lambda event: alice.acknowledge(event.call, ANSWER, net.now))
    alice.offer(ours, None, net.now)
    net.run(20)
    assert net.the(bob, OfferReceived) == OfferReceived(theirs, None)
    assert net.the(alice, OfferAnswered).body == OTHER
    assert net.the(bob, AnswerReceived) == AnswerReceived(theirs, ANSWER)
    bob.hangup(theirs, net.now)


# --------------------------------------------------------------------------------------------- 100rel, PRACK


def test_a_description_in_183_is_sent_reliably_and_acknowledged(net: Network) -> None:
    alice, bob = net.endpoint(A), net.endpoint(B)
    net.when(bob, IncomingCall, lambda event: bob.ring(event.call, net.now, ANSWER, code=183))
    ours = dial(net, alice)
    net.run(20)
    assert net.the(alice, CallProgress) == CallProgress(ours, 183, ANSWER)
    assert net.sent("PRACK")
    bob.answer(net.the(bob, IncomingCall).call, ANSWER, net.now)
    net.run(20)
    assert net.the(alice, CallAnswered)
    alice.hangup(ours, net.now)


def test_the_2xx_waits_for_the_prack_of_a_description(net: Network) -> None:
    alice, bob = net.endpoint(A), net.endpoint(B)

    def both(event: IncomingCall) -> None:
        bob.ring(event.call, net.now, ANSWER, code=183)
        bob.answer(event.call, ANSWER, net.now)

    net.when(bob, IncomingCall, both)
    ours = dial(net, alice)
    net.run(30)
    starts = [data.split(b" ", 1)[0] + data.split(b" ", 2)[1] for _, data, _ in net.log]
    ok = next(n for n, (_, data, _) in enumerate(net.log) if data.startswith(b"SIP/2.0 200") and b" INVITE\r\n" in data)
    assert b"PRACK" in b" ".join(starts[:ok])
    assert net.the(alice, CallAnswered)
    alice.hangup(ours, net.now)


def test_several_reliable_responses_go_one_after_the_other(net: Network) -> None:
    alice, bob = net.endpoint(A), net.endpoint(B)

    def ring(event: IncomingCall) -> None:
        for code in (180, 181, 182):
            bob.ring(event.call, net.now, reliable=True, code=code)

    net.when(bob, IncomingCall, ring)
    ours = dial(net, alice)
    net.run(40)
    assert [event.code for event in net.events(alice, CallProgress)] == [180, 181, 182]
    alice.hangup(ours, net.now)


def test_an_offer_in_a_reliable_response_is_answered_in_prack(net: Network) -> None:
    alice, bob = net.endpoint(A), net.endpoint(B)
    net.when(bob, IncomingCall, lambda event: bob.ring(event.call, net.now, OFFER, code=183))
    net.when(alice, CallProgress, lambda event: alice.acknowledge(event.call, ANSWER, net.now) if event.body else None)
    ours = dial(net, alice, None)
    net.run(20)
    theirs = net.the(bob, IncomingCall).call
    assert net.the(bob, AnswerReceived) == AnswerReceived(theirs, ANSWER)
    bob.answer(theirs, b"", net.now)
    net.run(20)
    assert net.the(alice, CallAnswered).body is None
    assert net.the(bob, CallConfirmed)
    alice.hangup(ours, net.now)


def test_a_reliable_response_without_prack_ends_the_call(calm: Network) -> None:
    bob, phone = calm.endpoint(B), Phone(calm, A)
    calm.when(bob, IncomingCall, lambda event: bob.ring(event.call, calm.now))
    phone.send(request("INVITE", body=OFFER, headers=(("Require", "100rel"),)), B)
    calm.run(40)
    rings = [m for m in phone.got if isinstance(m, Response) and m.status == 180]
    assert len(rings) == 7  # T1, doubled, for 32 s
    assert {(m.headers["RSeq"], m.headers["Require"]) for m in rings} == {(rings[0].headers["RSeq"], "100rel")}
    assert phone.responses("INVITE") == [180, 504]
    theirs = calm.the(bob, IncomingCall).call
    assert ended(calm, bob, theirs) == CallEnded(theirs, 504, "no PRACK", True)


def test_a_prack_that_acknowledges_nothing_gets_481(calm: Network) -> None:
    bob, phone = calm.endpoint(B), Phone(calm, A)
    calm.when(bob, IncomingCall, lambda event: bob.ring(event.call, calm.now))
    phone.send(request("INVITE", body=OFFER, headers=(("Require", "100rel"),)), B)
    calm.run(0.2)
    rseq, tag = int(phone.last().headers["RSeq"]), tag_of(phone)
    for number, rack in ((2, f"{rseq + 1} 1 INVITE"), (3, f"{rseq} 2 INVITE"), (4, "x"), (5, f"{rseq} 1 INVITE")):
        phone.send(request("PRACK", number, to_tag=tag, headers=(("RAck", rack),)), B)
        calm.run(0.1)
    answers = [m.status for m in phone.got if isinstance(m, Response) and m.cseq.method == "PRACK"]
    assert answers == [481, 481, 481, 200]
    phone.send(request("CANCEL", branch="z9hG4bKINVITE1by-hand"), B)
    calm.run(0.2)
    phone.send(request("ACK", to_tag=tag, branch="z9hG4bKINVITE1by-hand"), B)


def test_reliable_responses_out_of_order_are_not_acknowledged(calm: Network) -> None:
    alice, phone = calm.endpoint(A), Phone(calm, B)
    ours = dial(calm, alice)
    calm.run(0.2)
    (invite,) = phone.requests("INVITE")
    for rseq in (10, 12, 10, 11):
        respond(phone, invite, 180, RSeq=str(rseq), Require="100rel")
        calm.run(0.1)
    assert [r.headers["RAck"].split()[0] for r in phone.requests("PRACK")] == ["10", "11"]
    for prack in phone.requests("PRACK"):
        respond(phone, prack, 200)
    respond(phone, invite, 486)
    calm.run(0.1)
    assert ended(calm, alice, ours)


# -------------------------------------------------------------------------------------- re-INVITE and UPDATE


@pytest.mark.parametrize("update", [False, True])
def test_an_offer_inside_the_call_is_accepted(net: Network, update: bool) -> None:
    alice, bob = net.endpoint(A), net.endpoint(B)
    ours, theirs = call(net, alice, bob)
    net.when(bob, OfferReceived, lambda event: bob.accept(event.call, ANSWER, net.now))
    alice.offer(ours, OTHER, net.now, update)
    net.run(20)
    assert net.the(bob, OfferReceived) == OfferReceived(theirs, OTHER)
    assert net.the(alice, OfferAnswered) == OfferAnswered(ours, ANSWER)
    assert bool(net.sent("UPDATE")) == update
    bob.hangup(theirs, net.now)


@pytest.mark.parametrize("update", [False, True])
def test_an_offer_inside_the_call_is_refused_and_the_call_goes_on(net: Network, update: bool) -> None:
    alice, bob = net.endpoint(A), net.endpoint(B)
    ours, theirs = call(net, alice, bob)
    net.when(bob, OfferReceived, lambda event: bob.refuse(event.call, 488, net.now))
    alice.offer(ours, OTHER, net.now, update)
    net.run(20)
    assert net.the(alice, OfferRefused) == OfferRefused(ours, 488)
    assert not net.events(bob, CallEnded)
    alice.hangup(ours, net.now)
    net.run(20)
    assert ended(net, bob, theirs)


@pytest.mark.parametrize("update", [False, True])
def test_of_offers_that_cross_one_is_made_and_voids_the_other(net: Network, update: bool) -> None:
    alice, bob = net.endpoint(A), net.endpoint(B)
    ours, theirs = call(net, alice, bob)
    for endpoint in (alice, bob):
        net.when(endpoint, OfferReceived, lambda event, e=endpoint: e.accept(event.call, ANSWER, net.now))
    alice.offer(ours, OTHER, net.now, update)
    bob.offer(theirs, OTHER, net.now, update)
    net.run(60)
    assert net.sent("SIP/2.0 491")
    made = [event.body for end in (alice, bob) for event in net.events(end, OfferAnswered)]
    void = [event.code for end in (alice, bob) for event in net.events(end, OfferRefused)]
    assert set(made) == {ANSWER}
    assert set(void) <= {491}
    assert len(made) + len(void) == 2
    bob.hangup(theirs, net.now)


@pytest.mark.parametrize("update", [False, True])
def test_an_offer_put_off_by_491_is_never_made_after_theirs_was_accepted(calm: Network, update: bool) -> None:
    alice, bob = calm.endpoint(A), calm.endpoint(B)
    ours, theirs = call(calm, alice, bob)
    calm.when(alice, OfferReceived, lambda event: alice.accept(event.call, ANSWER, calm.now))
    alice.offer(ours, OTHER, calm.now, update)
    bob.offer(theirs, OFFER, calm.now, update)
    while not calm.events(alice, OfferReceived):
        calm.run(0.1)
    calm.run(60)
    assert calm.the(alice, OfferRefused) == OfferRefused(ours, 491, void=True)
    assert not calm.events(alice, OfferAnswered)
    assert not calm.events(bob, OfferReceived)
    alice.offer(ours, OTHER, calm.now, update)
    calm.run(1)
    assert calm.the(bob, OfferReceived).body == OTHER
    bob.accept(theirs, ANSWER, calm.now)
    calm.run(1)
    assert calm.the(alice, OfferAnswered).body == ANSWER
    alice.hangup(ours, calm.now)


def test_an_offer_that_waits_is_void_when_theirs_is_accepted(calm: Network) -> None:
    alice, bob = calm.endpoint(A), calm.endpoint(B)
    ours, theirs = call(calm, alice, bob)
    bob.offer(theirs, OFFER, calm.now)
    calm.run(0.5)
    assert calm.the(alice, OfferReceived)
    alice.offer(ours, OTHER, calm.now)
    alice.accept(ours, ANSWER, calm.now)
    calm.run(60)
    assert calm.the(alice, OfferRefused) == OfferRefused(ours, 491, void=True)
    assert not calm.events(bob, OfferReceived)
    bob.hangup(theirs, calm.now)


def test_a_newer_offer_takes_the_place_of_one_that_waits(net: Network) -> None:
    alice, bob = net.endpoint(A), net.endpoint(B)
    ours, theirs = call(net, alice, bob)
    net.when(bob, OfferReceived, lambda event: bob.accept(event.call, ANSWER, net.now))
    for number in range(4):
        alice.offer(ours, b"v=0\r\ns=%d\r\n" % number, net.now)
    net.run(40)
    assert [event.body for event in net.events(bob, OfferReceived)] == [b"v=0\r\ns=0\r\n", b"v=0\r\ns=3\r\n"]
    alice.hangup(ours, net.now)
    net.run(20)
    assert ended(net, bob, theirs)


def test_an_offer_right_after_the_answer_waits_for_the_ack(net: Network) -> None:
    alice, bob = net.endpoint(A), net.endpoint(B)

    def both(event: IncomingCall) -> None:
        bob.answer(event.call, ANSWER, net.now)
        bob.offer(event.call, OTHER, net.now)

    net.when(bob, IncomingCall, both)
    net.when(alice, OfferReceived, lambda event: alice.accept(event.call, ANSWER, net.now))
    ours = dial(net, alice)
    net.run(30)
    assert net.the(alice, OfferReceived).body == OTHER
    assert net.the(bob, OfferAnswered).body == ANSWER
    alice.hangup(ours, net.now)


def test_a_re_invite_is_cancelled(calm: Network) -> None:
    bob, phone = calm.endpoint(B), Phone(calm, A)
    answering(calm, bob)
    phone.send(request("INVITE", body=OFFER), B)
    calm.run(0.2)
    tag = tag_of(phone)
    phone.send(request("ACK", to_tag=tag), B)
    phone.send(request("INVITE", 2, to_tag=tag, body=OTHER, branch="z9hG4bKre"), B)
    calm.run(0.5)
    phone.send(request("CANCEL", 2, to_tag=tag, branch="z9hG4bKre"), B)
    calm.run(0.2)
    assert phone.responses("CANCEL") == [200]
    assert 487 in phone.responses("INVITE")
    phone.send(request("ACK", 2, to_tag=tag, branch="z9hG4bKre"), B)
    bob.accept(calm.the(bob, IncomingCall).call, ANSWER, calm.now)  # too late: nothing happens
    calm.run(0.2)
    assert not calm.events(bob, CallEnded)
    phone.send(request("BYE", 3, to_tag=tag), B)


@pytest.mark.parametrize("method", ["INVITE", "UPDATE"])
def test_an_offer_that_nobody_decides_on_gets_500_in_time(calm: Network, method: str) -> None:
    bob, phone = calm.endpoint(B), Phone(calm, A)
    answering(calm, bob)
    phone.send(request("INVITE", body=OFFER), B)
    calm.run(0.2)
    tag = tag_of(phone)
    phone.send(request("ACK", to_tag=tag), B)
    phone.send(request(method, 2, to_tag=tag, body=OTHER), B)
    calm.run(21)
    assert 500 in phone.responses(method)
    bob.accept(calm.the(bob, IncomingCall).call, ANSWER, calm.now)
    assert not calm.events(bob, CallEnded)
    phone.send(request("BYE", 3, to_tag=tag), B)


def test_a_second_offer_before_the_first_is_answered_gets_500(calm: Network) -> None:
    bob, phone = calm.endpoint(B), Phone(calm, A)
    answering(calm, bob)
    phone.send(request("INVITE", body=OFFER), B)
    calm.run(0.2)
    tag = tag_of(phone)
    phone.send(request("ACK", to_tag=tag), B)
    for number in (2, 3):
        phone.send(request("UPDATE", number, to_tag=tag, body=OTHER), B)
        calm.run(0.1)
    calm.run(0.2)
    assert phone.responses("UPDATE") == [500]
    assert 0 <= int(phone.last().headers["Retry-After"]) <= 10
    bob.refuse(calm.the(bob, IncomingCall).call, 488, calm.now)
    calm.run(0.1)
    assert phone.responses("UPDATE") == [500, 488]
    phone.send(request("BYE", 4, to_tag=tag), B)


def test_hanging_up_answers_a_re_invite_that_waits(calm: Network) -> None:
    bob, phone = calm.endpoint(B), Phone(calm, A)
    answering(calm, bob)
    phone.send(request("INVITE", body=OFFER), B)
    calm.run(0.2)
    tag = tag_of(phone)
    phone.send(request("ACK", to_tag=tag), B)
    phone.send(request("INVITE", 2, to_tag=tag, body=OTHER), B)
    calm.run(0.2)
    phone.send(request("BYE", 3, to_tag=tag), B)
    calm.run(0.2)
    assert phone.responses("BYE") == [200]
    assert 487 in phone.responses("INVITE")


def test_a_re_invite_that_finds_no_dialog_ends_the_call(calm: Network) -> None:
    alice, phone = calm.endpoint(A), Phone(calm, B)
    ours = dial(calm, alice)
    calm.run(0.2)
    respond(phone, phone.requests("INVITE")[0], 200, sdp=ANSWER)
    calm.run(0.2)
    alice.offer(ours, OTHER, calm.now)
    calm.run(0.2)
    respond(phone, phone.requests("INVITE")[-1], 481)
    calm.run(0.2)
    assert ended(calm, alice, ours) == CallEnded(ours, 481, "Call/Transaction Does Not Exist", True)
    respond(phone, phone.requests("BYE")[0], 481)


def test_no_offer_may_be_made_before_there_is_a_call(calm: Network) -> None:
    alice = calm.endpoint(A)
    ours = dial(calm, alice)
    with pytest.raises(WrongState):
        alice.offer(ours, OTHER, calm.now)
    calm.run(40)


def test_the_ack_of_a_re_invite_that_got_lost_is_sent_again(calm: Network) -> None:
    alice, bob = calm.endpoint(A), calm.endpoint(B)
    ours, _ = call(calm, alice, bob)
    calm.when(bob, OfferReceived, lambda event: bob.accept(event.call, ANSWER, calm.now))
    lost = iter([True, True, False])
    calm.drop = lambda data, flow: data.startswith(b"ACK") and next(lost, False)
    alice.offer(ours, OTHER, calm.now)
    calm.run(10)
    assert calm.sent("ACK") == 4
    assert calm.the(alice, OfferAnswered)
    alice.hangup(ours, calm.now)


# -------------------------------------------------------------------------------------------- session timers


def short(seconds: int = 90) -> EndpointSettings:
    return EndpointSettings(session_expires=seconds)


def test_a_session_timer_keeps_the_call_up_without_a_word_to_anybody(net: Network) -> None:
    alice, bob = net.endpoint(A, settings=short(180)), net.endpoint(B, settings=short(180))
    ours, theirs = call(net, alice, bob)
    net.run(1200)
    assert net.sent("UPDATE") >= 12  # every 90 s
    assert not net.events(alice, CallEnded)
    assert not net.events(bob, CallEnded)
    assert not net.events(bob, OfferReceived)
    alice.hangup(ours, net.now)
    net.run(20)
    assert ended(net, bob, theirs)


@pytest.mark.parametrize("who", ["caller", "callee"])
def test_a_peer_that_vanished_is_noticed(net: Network, who: str) -> None:
    alice, bob = net.endpoint(A, settings=short()), net.endpoint(B, settings=short())
    ours, theirs = call(net, alice, bob)
    gone = A if who == "caller" else B
    net.drop = lambda data, flow: gone in (flow.local, flow.remote)
    net.run(200)
    for endpoint, number in ((alice, ours), (bob, theirs)):
        end = ended(net, endpoint, number)
        assert end is not None
        assert (end.code, end.local) == (408, True)


def test_a_peer_without_session_timers_is_refreshed_by_re_invite(calm: Network) -> None:
    alice, phone = calm.endpoint(A, settings=short()), Phone(calm, B)
    ours = dial(calm, alice)
    calm.run(0.2)
    respond(phone, phone.requests("INVITE")[0], 200, sdp=ANSWER)
    calm.run(46)
    refresh = phone.requests("INVITE")[-1]
    assert refresh.to.tag == "p"
    assert refresh.body == OFFER
    respond(phone, refresh, 200, sdp=ANSWER)
    calm.run(1)
    assert not calm.events(alice, OfferAnswered)
    alice.hangup(ours, calm.now)
    calm.run(0.2)
    respond(phone, phone.requests("BYE")[0], 200)


def test_too_brief_an_interval_gets_422_and_ours_is_raised(calm: Network) -> None:
    alice = calm.endpoint(A, settings=short(90))
    bob = calm.endpoint(B, settings=EndpointSettings(min_session_expires=300))
    ours, _ = call(calm, alice, bob)
    assert calm.sent("SIP/2.0 422") == 1
    assert calm.the(alice, CallAnswered).call == ours
    invites = [data for _, data, _ in calm.log if data.startswith(b"INVITE")]
    assert b"Session-Expires: 300" in invites[-1]
    assert b"Min-SE: 300" in invites[-1]
    alice.hangup(ours, calm.now)


@pytest.mark.parametrize(
    ("supported", "asked", "granted"),
    [
        ("timer", "1800;refresher=uac", "1800;refresher=uac"),
        ("timer", "1800;refresher=uas", "1800;refresher=uas"),
        ("timer", "600", "600;refresher=uac"),
        ("timer", "", "1800;refresher=uac"),
        ("", "", "1800;refresher=uas"),
        ("timer", "x", None),
        ("timer", "30", "422"),
    ],
)
def test_what_the_callee_grants(calm: Network, supported: str, asked: str, granted: str | None) -> None:
    bob, phone = calm.endpoint(B), Phone(calm, A)
    answering(calm, bob)
    headers = [("Supported", supported)] if supported else []
    headers += [("Session-Expires", asked)] if asked else []
    phone.send(request("INVITE", body=OFFER, headers=tuple(headers)), B)
    calm.run(0.2)
    response = phone.last()
    if granted is None:
        assert response.status == 400
    elif granted == "422":
        assert (response.status, response.headers["Min-SE"]) == (422, "90")
    else:
        assert response.headers["Session-Expires"] == granted
        assert (response.headers.get("Require") == "timer") == granted.endswith("uac")
    phone.send(
        request("ACK", to_tag=tag_of(phone), branch="" if response.status == 200 else "z9hG4bKINVITE1by-hand"), B
    )
    phone.send(request("BYE", 2, to_tag=tag_of(phone)), B)


def test_without_a_wish_for_timers_there_is_none(calm: Network) -> None:
    alice, bob = calm.endpoint(A, settings=NO_TIMER), calm.endpoint(B, settings=NO_TIMER)
    ours, _ = call(calm, alice, bob)
    calm.run(40)
    assert alice.held()["alarms"] == 0
    alice.hangup(ours, calm.now)


def test_their_refresh_is_answered_without_a_word_to_the_conference(calm: Network) -> None:
    bob, phone = calm.endpoint(B), Phone(calm, A)
    answering(calm, bob)
    headers = (("Supported", "timer"), ("Session-Expires", "90;refresher=uac"))
    phone.send(request("INVITE", body=OFFER, headers=headers), B)
    calm.run(0.2)
    tag = tag_of(phone)
    phone.send(request("ACK", to_tag=tag), B)
    for number in range(2, 8):
        calm.run(40)
        phone.send(request("UPDATE", number, to_tag=tag, headers=headers), B)
    calm.run(0.2)
    assert phone.responses("UPDATE") == [200]
    assert not calm.events(bob, OfferReceived)
    calm.run(59)
    theirs = calm.the(bob, IncomingCall).call
    assert not calm.events(bob, CallEnded)
    calm.run(3)
    assert ended(calm, bob, theirs) == CallEnded(theirs, 408, "session timer expired", True)
    assert isinstance(phone.last(), Request)
