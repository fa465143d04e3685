"""Too much of anything: said so, counted, slowed, never kept."""

from __future__ import annotations

import pytest

from bridge.signalling.endpoint import CHALLENGES
from bridge.signalling.endpoint_settings import EndpointSettings
from bridge.signalling.event import IncomingCall, Malformed, RegistrationChanged, Rejected, SubscribeReceived
from bridge.signalling.flow import Flow, Transport
from bridge.signalling.message import Response
from bridge.signalling.registrar import Registrar
from bridge.signalling.throttle import site
from tests.signalling.network import Network, Phone
from tests.signalling.scenario import ANSWER, OFFER, A, B, C, answering, call, dial, ended, request, tag_of


def test_beyond_the_limit_calls_get_503_with_retry_after(net: Network) -> None:
    alice, bob = net.endpoint(A), net.endpoint(B, settings=EndpointSettings(max_calls=2))
    first, _ = call(net, alice, bob)
    second, _ = call(net, alice, bob)
    third = dial(net, alice)
    net.run(20)
    over = ended(net, alice, third)
    assert over is not None
    assert over.code == 503
    refusal = next(data for _, data, _ in net.log if data.startswith(b"SIP/2.0 503"))
    assert 10 <= int(refusal.split(b"Retry-After: ")[1].split(b"\r")[0]) <= 20
    assert net.events(bob, Rejected)
    for number in (first, second):
        alice.hangup(number, net.now)


def test_calls_that_come_too_fast_get_503(calm: Network) -> None:
    bob = calm.endpoint(B, settings=EndpointSettings(max_calls_per_second=10, call_burst=20))
    phone = Phone(calm, A)
    calm.when(bob, IncomingCall, lambda event: bob.reject(event.call, 486, calm.now))
    for n in range(50):
        phone.send(request("INVITE", call_id=f"c{n}", body=OFFER), B)
    calm.run(1)
    codes = [m.status for m in phone.got if isinstance(m, Response) and m.status != 100]
    first = dict.fromkeys((m.call_id, m.status) for m in phone.got if isinstance(m, Response) and m.status > 100)
    assert len(codes) >= 50
    assert sorted(status for _, status in first).count(486) == 20
    assert sorted(status for _, status in first).count(503) == 30


def test_draining_takes_no_new_calls_and_keeps_the_old(net: Network) -> None:
    alice, bob = net.endpoint(A), net.endpoint(B)
    old, theirs = call(net, alice, bob)
    bob.drain(net.now)
    new = dial(net, alice)
    net.run(20)
    assert (ended(net, alice, new) or ended(net, alice, old)).code == 503  # type: ignore[union-attr]
    assert ended(net, bob, theirs) is None
    alice.hangup(old, net.now)
    net.run(20)
    assert ended(net, bob, theirs)


def test_who_asks_while_we_drain_is_told(calm: Network) -> None:
    bob, phone = calm.endpoint(B), Phone(calm, A)
    phone.send(request("OPTIONS"), B)
    calm.run(0.2)
    bob.drain(calm.now)
    phone.send(request("OPTIONS", 2), B)
    calm.run(0.2)
    assert phone.responses("OPTIONS") == [200, 503]
    assert "Retry-After" in phone.last().headers
    assert bob.held()["transactions"] == 0


def test_a_scanner_is_counted_then_ignored_then_heard_again(calm: Network) -> None:
    bob = calm.endpoint(B, settings=EndpointSettings(domains=frozenset({"192.0.2.2"}), rejections_per_minute=30))
    scanner = Phone(calm, A)
    for n in range(100):
        scanner.send(request("REGISTER", call_id=f"s{n}", uri="sip:elsewhere.example"), B)
        calm.run(0.1)
    answered = len(scanner.got)
    assert 30 <= answered <= 40
    assert len(calm.events(bob, Rejected)) == answered
    assert bob.held()["transactions"] <= answered
    calm.run(60)
    scanner.send(request("OPTIONS", call_id="later"), B)
    calm.run(0.2)
    assert len(scanner.got) == answered + 1


@pytest.mark.parametrize("method", ["INVITE", "OPTIONS", "SUBSCRIBE"])
def test_who_tries_rooms_that_are_not_there_is_counted_and_slowed(calm: Network, method: str) -> None:
    bob = calm.endpoint(B, settings=EndpointSettings(rejections_per_minute=30))
    bob.consult(lambda uri: "demo" in uri)
    calm.when(bob, IncomingCall, lambda event: bob.reject(event.call, 404, calm.now))
    calm.when(bob, SubscribeReceived, lambda event: bob.reject_subscription(event.subscription, 404, calm.now))
    ports = [Phone(calm, (A[0], 5060 + n)) for n in range(100)]
    for n, phone in enumerate(ports):
        conference = (("Event", "conference"),) if method == "SUBSCRIBE" else ()
        uri = f"sip:{n}@192.0.2.2"
        phone.send(request(method, call_id=f"s{n}", uri=uri, here=phone.place[1], headers=conference, body=OFFER), B)
        calm.run(0.1)
    answered = sum(404 in phone.responses() for phone in ports)
    assert 30 <= answered <= 40
    refused = calm.events(bob, Rejected)
    assert len(refused) == answered
    assert {(event.method, event.code) for event in refused} == {(method, 404)}
    calm.run(60)


@pytest.mark.parametrize("code", [480, 486, 488, 603])
def test_what_a_caller_has_no_hand_in_is_not_held_against_him(calm: Network, code: int) -> None:
    bob = calm.endpoint(B, settings=EndpointSettings(rejections_per_minute=3))
    calm.when(bob, IncomingCall, lambda event: bob.reject(event.call, code, calm.now))
    phone = Phone(calm, A)
    for n in range(10):
        phone.send(request("INVITE", call_id=f"c{n}", body=OFFER), B)
        calm.run(0.1)
    assert len({m.call_id for m in phone.got if isinstance(m, Response) and m.status == code}) == 10
    calm.run(60)


def test_who_never_answers_a_challenge_gets_none_after_a_while(calm: Network) -> None:
    settings = EndpointSettings(rejections_per_minute=3)
    bob = calm.endpoint(B, settings=settings, registrar=Registrar(), passwords={"hand": "x"}.get)
    scanner, other = Phone(calm, A), Phone(calm, C)
    for n in range(100):
        scanner.send(request("REGISTER", call_id=f"s{n}"), B)
        calm.run(0.05)
    assert CHALLENGES * 3 <= len(scanner.got) <= CHALLENGES * 3 + 4
    assert len(calm.events(bob, Rejected)) == len(scanner.got), "counted"
    other.send(request("REGISTER", call_id="o", here=C), B)
    calm.run(0.1)
    assert other.responses() == [401]
    calm.run(60)
    scanner.send(request("REGISTER", call_id="later"), B)
    calm.run(0.1)
    assert scanner.last().call_id == "later"


def test_an_office_that_comes_back_from_a_power_cut_is_challenged_and_let_in(calm: Network) -> None:
    """Every phone behind one address, all at once; each answers its challenge, and again an hour of refreshes later."""
    settings = EndpointSettings(rejections_per_minute=3, authenticate_calls=True)
    us = calm.endpoint(B, settings=settings, registrar=Registrar(), passwords=lambda user: "secret")
    calm.when(us, RegistrationChanged, lambda event: None)
    office = [calm.endpoint((A[0], 5060 + n)) for n in range(25)]
    for round_ in range(4):
        for n, phone in enumerate(office):
            flow = Flow(Transport.UDP, (A[0], 5060 + n), B)
            phone.register("sip:192.0.2.2", [flow], f"u{n}", "secret", 3600, calm.now)
        calm.run(5)
        for n, phone in enumerate(office):
            states = calm.events(phone, RegistrationChanged)
            assert len(states) == round_ + 1
            assert states[-1].registered, n
    for phone in office:
        for number in range(1, 5):
            phone.unregister(number, calm.now)
    calm.run(100)


def test_nobody_else_pays_for_a_scanner(calm: Network) -> None:
    bob = calm.endpoint(B, settings=EndpointSettings(rejections_per_minute=5))
    scanner, caller = Phone(calm, A), Phone(calm, C)
    answering(calm, bob)
    for n in range(20):
        scanner.send(request("PUBLISH", call_id=f"s{n}"), B)
        calm.run(0.05)
    caller.send(request("INVITE", call_id="good", body=OFFER, here=C), B)
    calm.run(0.2)
    assert caller.responses("INVITE") == [200]
    caller.send(request("ACK", call_id="good", to_tag=tag_of(caller), here=C), B)
    caller.send(request("BYE", 2, call_id="good", to_tag=tag_of(caller), here=C), B)


def test_a_silenced_source_can_still_end_its_call(calm: Network) -> None:
    bob = calm.endpoint(B, settings=EndpointSettings(rejections_per_minute=5))
    phone = Phone(calm, A)
    answering(calm, bob)
    phone.send(request("INVITE", body=OFFER), B)
    calm.run(0.2)
    tag = tag_of(phone)
    phone.send(request("ACK", to_tag=tag), B)
    for n in range(20):
        phone.send(request("PUBLISH", call_id=f"s{n}"), B)
        calm.run(0.05)
    assert len([m for m in phone.got if isinstance(m, Response) and m.status == 405]) < 10
    phone.send(request("BYE", 2, to_tag=tag), B)
    calm.run(0.2)
    assert phone.responses("BYE") == [200]


def test_a_bad_phone_silences_strangers_at_its_address_only(calm: Network) -> None:
    bob = calm.endpoint(B, settings=EndpointSettings(rejections_per_minute=5), registrar=Registrar())
    answering(calm, bob)
    bad, registered, talking, stranger = (Phone(calm, ("192.0.2.1", 5060 + n)) for n in range(4))
    registered.send(request("REGISTER", call_id="r", here=registered.place[1], headers=(("Expires", "90"),)), B)
    talking.send(request("INVITE", call_id="t", here=talking.place[1], body=OFFER), B)
    calm.run(0.2)
    tag = tag_of(talking)
    talking.send(request("ACK", call_id="t", to_tag=tag, here=talking.place[1]), B)
    for n in range(20):
        bad.send(request("PUBLISH", call_id=f"s{n}"), B)
        calm.run(0.05)
    for phone in (registered, talking, stranger):
        phone.got.clear()
        phone.send(request("OPTIONS", call_id=f"o{phone.place[1][1]}", here=phone.place[1]), B)
    calm.run(0.2)
    assert [phone.responses() for phone in (registered, talking, stranger)] == [[200], [200], []]
    guess = (("Authorization", 'Digest username="x"'),)
    talking.send(request("OPTIONS", call_id="guess", here=talking.place[1], headers=guess), B)
    calm.run(0.2)
    assert len(talking.got) == 1, "who is in a call has no more tries at a password than others"
    talking.send(request("BYE", 2, call_id="t", to_tag=tag, here=talking.place[1]), B)
    calm.run(1)
    talking.send(request("OPTIONS", call_id="after", here=talking.place[1]), B)
    calm.run(0.2)
    assert talking.responses("OPTIONS") == [200]
    assert len([m for m in talking.got if m.cseq.method == "OPTIONS"]) == 1, "the call is over"
    calm.run(100)


def test_who_is_known_answers_for_himself(calm: Network) -> None:
    bob = calm.endpoint(B, settings=EndpointSettings(rejections_per_minute=5), registrar=Registrar())
    bad, other = Phone(calm, A), Phone(calm, ("192.0.2.1", 5090))
    bad.send(request("REGISTER", call_id="r", headers=(("Expires", "90"),)), B)
    calm.run(0.2)
    for n in range(20):
        bad.send(request("PUBLISH", call_id=f"s{n}"), B)
        calm.run(0.05)
    assert len([m for m in bad.got if m.status == 405]) < 10
    other.send(request("OPTIONS", call_id="o", here=other.place[1]), B)
    calm.run(0.2)
    assert other.responses() == [200]
    calm.run(100)
    assert len(calm.events(bob, Rejected)) < 10


def test_unreadable_bytes_are_counted_and_slow_their_sender_down(calm: Network) -> None:
    bob = calm.endpoint(B, settings=EndpointSettings(rejections_per_minute=10))
    noise = Phone(calm, A)
    broken = bytes(request("OPTIONS")).replace(b"Max-Forwards: 70", b"Max-Forwards: many")
    for _ in range(50):
        noise.send(broken, B)
        noise.send(b"\xff" * 40, B)
        calm.run(0.01)
    calm.run(0.1)
    assert len(calm.events(bob, Malformed)) == 100
    assert 4 <= len(noise.got) <= 12
    assert noise.responses() == [400]


def test_a_retransmission_flood_makes_nothing_new(calm: Network) -> None:
    bob, phone = calm.endpoint(B), Phone(calm, A)
    calm.when(bob, IncomingCall, lambda event: bob.answer(event.call, ANSWER, calm.now))
    invite = request("INVITE", body=OFFER)
    for _ in range(200):
        phone.send(invite, B)
    calm.run(0.3)
    assert len(calm.events(bob, IncomingCall)) == 1
    assert bob.held()["transactions"] == 1
    phone.send(request("ACK", to_tag=tag_of(phone)), B)
    phone.send(request("BYE", 2, to_tag=tag_of(phone)), B)


@pytest.mark.parametrize(
    ("uri", "code"),
    [("sip:demo@192.0.2.2", 200), ("sip:nothing@192.0.2.2", 404), ("sip:192.0.2.2", 200)],
)
def test_options_say_what_an_invite_would_get(calm: Network, uri: str, code: int) -> None:
    bob, phone = calm.endpoint(B), Phone(calm, A)
    bob.consult(lambda uri: "demo" in uri)
    phone.send(request("OPTIONS", uri=uri), B)
    calm.run(0.2)
    assert phone.responses("OPTIONS") == [code]
    assert bob.held()["transactions"] == 0


def test_options_tell_no_names_where_calls_need_proof(calm: Network) -> None:
    bob, phone = calm.endpoint(B, settings=EndpointSettings(authenticate_calls=True)), Phone(calm, A)
    bob.consult(lambda uri: False)
    phone.send(request("OPTIONS"), B)
    calm.run(0.2)
    assert phone.responses("OPTIONS") == [200]


def test_ipv6_sites_answer_for_all_their_addresses() -> None:
    assert site("2001:db8:1:2:3::4") == site("2001:db8:1:2::9%eth0") != site("2001:db8:1:3::4")
    assert site("192.0.2.1") == site("::ffff:192.0.2.1") != site("192.0.2.2")


def test_options_tell_that_the_uri_is_a_conference(calm: Network) -> None:
    calm.endpoint(B)
    phone = Phone(calm, A)
    phone.send(request("OPTIONS"), B)
    calm.run(0.2)
    assert phone.last().headers["Contact"] == "<sip:demo@192.0.2.2:5060>;isfocus"
