"""What calls and strangers ask for besides talking: REFER, Replaces, SUBSCRIBE, OPTIONS, INFO, MESSAGE."""

from __future__ import annotations

import pytest

from bridge.signalling.endpoint import Endpoint
from bridge.signalling.endpoint_settings import EndpointSettings
from bridge.signalling.event import (
    CallEnded,
    IncomingCall,
    InfoReceived,
    MessageReceived,
    ReferProgress,
    ReferReceived,
    SubscribeReceived,
    SubscriptionEnded,
    SubscriptionRefreshed,
)
from bridge.signalling.message import Response
from tests.signalling.network import Honest, Network, Phone
from tests.signalling.scenario import (
    ANSWER,
    OFFER,
    A,
    B,
    C,
    answering,
    call,
    dial,
    ended,
    flow,
    request,
    respond,
    tag_of,
)

# --------------------------------------------------------------------------------------------------- REFER


def test_a_transfer_is_accepted_and_its_progress_told(net: Network) -> None:
    alice, bob = net.endpoint(A), net.endpoint(B)
    ours, theirs = call(net, alice, bob)

    def take(event: ReferReceived) -> None:
        bob.accept_refer(event.refer, net.now)

    net.when(bob, ReferReceived, take)
    alice.refer(ours, "sip:carol@192.0.2.3", net.now)
    net.run(15)
    refer = net.the(bob, ReferReceived)
    assert (refer.call, refer.refer_to, refer.method) == (theirs, "sip:carol@192.0.2.3", "INVITE")
    assert refer.referred_by == "<sip:alice@192.0.2.1>"
    bob.refer_progress(refer.refer, 180, "Ringing", net.now)
    net.run(15)
    bob.refer_progress(refer.refer, 200, "OK", net.now)
    net.run(15)
    assert [(event.code, event.final) for event in net.events(alice, ReferProgress)] == [
        (100, False),
        (180, False),
        (200, True),
    ]
    alice.hangup(ours, net.now)


def test_a_transfer_is_refused(net: Network) -> None:
    alice, bob = net.endpoint(A), net.endpoint(B)
    ours, _ = call(net, alice, bob)
    net.when(bob, ReferReceived, lambda event: bob.reject_refer(event.refer, 603, net.now))
    alice.refer(ours, "sip:carol@192.0.2.3", net.now)
    net.run(20)
    assert net.the(alice, ReferProgress) == ReferProgress(ours, 603, True)
    alice.hangup(ours, net.now)


def test_whoever_transfers_may_hang_up_at_once(net: Network) -> None:
    alice, bob = net.endpoint(A), net.endpoint(B)
    ours, _ = call(net, alice, bob)
    net.when(bob, ReferReceived, lambda event: bob.accept_refer(event.refer, net.now))
    alice.refer(ours, "sip:carol@192.0.2.3", net.now)
    net.run(15)
    alice.hangup(ours, net.now)
    net.run(15)
    bob.refer_progress(net.the(bob, ReferReceived).refer, 200, "OK", net.now)
    net.run(40)


def test_a_refer_outside_of_any_call(calm: Network) -> None:
    bob, phone = calm.endpoint(B), Phone(calm, A)
    calm.when(bob, ReferReceived, lambda event: bob.accept_refer(event.refer, calm.now))
    phone.send(request("REFER", headers=(("Refer-To", "<sip:carol@192.0.2.3;method=INVITE>"),)), B)
    calm.run(0.2)
    assert phone.responses("REFER") == [202]
    refer = calm.the(bob, ReferReceived)
    assert refer.call is None
    (notify,) = phone.requests("NOTIFY")
    assert (notify.headers["Event"], notify.headers["Subscription-State"]) == ("refer;id=1", "active;expires=240")
    assert notify.body.startswith(b"SIP/2.0 100")
    respond(phone, notify, 200)
    phone.send(request("SUBSCRIBE", 2, to_tag=tag_of(phone), headers=(("Event", "refer"), ("Expires", "60"))), B)
    calm.run(0.2)
    assert 200 in phone.responses("SUBSCRIBE")
    bob.refer_progress(refer.refer, 486, "Busy Here", calm.now)
    calm.run(0.2)
    last = phone.requests("NOTIFY")[-1]
    assert (last.body, last.headers["Subscription-State"]) == (
        b"SIP/2.0 486 Busy Here\r\n",
        "terminated;reason=noresource",
    )
    respond(phone, last, 200)


def test_a_refer_without_subscription(calm: Network) -> None:
    bob, phone = calm.endpoint(B), Phone(calm, A)
    calm.when(bob, ReferReceived, lambda event: bob.accept_refer(event.refer, calm.now))
    phone.send(request("REFER", headers=(("Refer-To", "<sip:c@192.0.2.3>"), ("Refer-Sub", "false"))), B)
    calm.run(0.2)
    assert phone.last().headers["Refer-Sub"] == "false"
    assert not phone.requests("NOTIFY")


@pytest.mark.parametrize("to", [(), ("<sip:a@b>, <sip:c@d>",), ("<http://x>",), ("<sip:a@b;method=SUBSCRIBE>",)])
def test_a_refer_that_cannot_be_done_gets_400(calm: Network, to: tuple[str, ...]) -> None:
    bob, phone = calm.endpoint(B), Phone(calm, A)
    phone.send(request("REFER", headers=tuple(("Refer-To", value) for value in to)), B)
    calm.run(0.2)
    assert phone.responses("REFER") == [400]
    assert not calm.events(bob, ReferReceived)


def test_a_refer_that_nobody_decides_on_gets_500_in_time(calm: Network) -> None:
    calm.endpoint(B)
    phone = Phone(calm, A)
    phone.send(request("REFER", headers=(("Refer-To", "<sip:c@192.0.2.3>"),)), B)
    calm.run(30)
    assert phone.responses("REFER") == [500]


def test_a_referral_without_end_ends(calm: Network) -> None:
    bob, phone = calm.endpoint(B), Phone(calm, A)
    calm.when(bob, ReferReceived, lambda event: bob.accept_refer(event.refer, calm.now))
    phone.send(request("REFER", headers=(("Refer-To", "<sip:c@192.0.2.3>"),)), B)
    calm.run(0.2)
    respond(phone, phone.requests("NOTIFY")[0], 200)
    calm.run(241)
    assert phone.requests("NOTIFY")[-1].body.startswith(b"SIP/2.0 408")


# ------------------------------------------------------------------------------------------------- Replaces


def test_a_call_takes_the_place_of_another(net: Network) -> None:
    alice, bob, carol = net.endpoint(A), net.endpoint(B), net.endpoint(C)
    ours, theirs = call(net, alice, bob)
    dialog = alice._stack.calls[ours].dialog
    assert dialog is not None
    replaces = f"{dialog.id.call_id};to-tag={dialog.id.remote_tag};from-tag={dialog.id.local_tag}"
    new = carol.dial(
        "sip:demo@192.0.2.2", [flow(C, B)], OFFER, net.now, from_uri="sip:c@x", headers=(("Replaces", replaces),)
    )
    net.run(20)
    incoming = net.events(bob, IncomingCall)[-1]
    assert incoming.replaces == theirs
    bob.hangup(theirs, net.now)
    carol.hangup(new, net.now)
    net.run(20)
    assert ended(net, alice, ours)


@pytest.mark.parametrize(
    ("value", "code"),
    [
        ("{id};to-tag={local};from-tag={remote};early-only", 486),
        ("{id};to-tag=other;from-tag={remote}", 481),
        ("{id};to-tag={local}", 400),
        ("{id}", 400),
        ("{id};to-tag=a;from-tag=b, {id};to-tag=a;from-tag=b", 400),
    ],
)
def test_what_cannot_be_replaced(calm: Network, value: str, code: int) -> None:
    alice, bob, phone = calm.endpoint(A), calm.endpoint(B), Phone(calm, C)
    ours, theirs = call(calm, alice, bob)
    dialog = bob._stack.calls[theirs].dialog
    assert dialog is not None
    text = value.format(id=dialog.id.call_id, local=dialog.id.local_tag, remote=dialog.id.remote_tag)
    headers = (("Replaces", text), ("Require", "replaces"))
    phone.send(request("INVITE", here=C, body=OFFER, headers=headers), B)
    calm.run(0.2)
    assert phone.responses("INVITE") == [code]
    assert bob.calls == 1
    alice.hangup(ours, calm.now)


# ------------------------------------------------------------------------------------------------ SUBSCRIBE


def subscribe(number: int = 1, expires: str = "600", **kw: object) -> bytes:
    headers = (("Event", "conference"), ("Expires", expires), ("Accept", "application/conference-info+xml"))
    return bytes(request("SUBSCRIBE", number, headers=headers, **kw))  # type: ignore[arg-type]


def watched(net: Network, **kw: object) -> tuple[Endpoint, Phone]:
    bob, phone = net.endpoint(B), Phone(net, A)

    def take(event: SubscribeReceived) -> None:
        bob.accept_subscription(event.subscription, net.now)
        bob.notify(event.subscription, b"<full/>", net.now)

    net.when(bob, SubscribeReceived, take)
    phone.send(subscribe(**kw), B)  # type: ignore[arg-type]
    net.run(0.2)
    respond(phone, phone.requests("NOTIFY")[0], 200)  # it is where it says
    net.run(0.2)
    return bob, phone


def test_a_subscriber_gets_the_state_and_what_changes(calm: Network) -> None:
    bob, phone = watched(calm)
    number = calm.the(bob, SubscribeReceived).subscription
    ok = next(m for m in phone.got if isinstance(m, Response))
    assert (ok.status, ok.headers["Expires"]) == (200, "600")
    proof, full = phone.requests("NOTIFY")
    assert (proof.body, proof.headers["Subscription-State"]) == (b"", "pending;expires=600")
    assert (full.body, full.headers["Event"]) == (b"<full/>", "conference")
    assert full.headers["Subscription-State"].startswith("active;expires=")
    bob.notify(number, b"<one/>", calm.now)
    bob.notify(number, b"<two/>", calm.now)
    calm.run(0.2)
    assert len(phone.requests("NOTIFY")) == 2  # one at a time
    for n in range(1, 4):
        respond(phone, phone.requests("NOTIFY")[n], 200)
        calm.run(0.2)
    assert [m.body for m in phone.requests("NOTIFY")] == [b"", b"<full/>", b"<one/>", b"<two/>"]
    bob.end_subscription(number, calm.now)
    calm.run(0.2)
    last = phone.requests("NOTIFY")[-1]
    assert last.headers["Subscription-State"] == "terminated;reason=noresource"
    respond(phone, last, 200)
    assert calm.the(bob, SubscriptionEnded)


def test_states_arrive_in_their_order_in_any_weather(net: Network) -> None:
    bob, phone = net.endpoint(B), Honest(net, A)

    def wait(seconds: float) -> None:
        for _ in range(int(seconds * 2)):
            net.run(0.5)
            phone.repeat()

    def take(event: SubscribeReceived) -> None:
        bob.accept_subscription(event.subscription, net.now)
        bob.notify(event.subscription, b"<0/>", net.now)

    net.when(bob, SubscribeReceived, take)
    headers = (("Event", "conference"), ("Expires", "600"))
    phone.ask(request("SUBSCRIBE", headers=headers), B)
    wait(10)
    number = net.the(bob, SubscribeReceived).subscription
    for n in range(1, 6):
        bob.notify(number, b"<%d/>" % n, net.now)
        wait(3)
    wait(30)
    numbers = [notify.cseq.number for notify in phone.requests("NOTIFY")]
    first = {notify.cseq.number: notify.body for notify in phone.requests("NOTIFY")}
    assert [first[number] for number in sorted(first)] == [b"", *(b"<%d/>" % n for n in range(6))]
    assert list(dict.fromkeys(numbers)) == sorted(first)  # none overtook another
    phone.ask(request("SUBSCRIBE", 2, to_tag=tag_of(phone), headers=(("Event", "conference"), ("Expires", "0"))), B)
    wait(30)
    assert phone.requests("NOTIFY")[-1].headers["Subscription-State"].startswith("terminated")
    assert net.the(bob, SubscriptionEnded)


@pytest.mark.parametrize(
    ("method", "number", "headers", "code"),
    [
        ("OPTIONS", 2, (), 200),
        ("INFO", 2, (), 403),
        ("SUBSCRIBE", 0, (("Event", "conference"),), 500),
        ("SUBSCRIBE", 2, (("Event", "conference"), ("Expires", "3")), 423),
    ],
)
def test_what_else_is_said_in_a_subscription(
    calm: Network, method: str, number: int, headers: tuple[tuple[str, str], ...], code: int
) -> None:
    bob, phone = watched(calm)
    respond(phone, phone.requests("NOTIFY")[1], 200)
    phone.send(request(method, number, to_tag=tag_of(phone), headers=headers), B)
    calm.run(0.2)
    assert phone.responses(method)[-1] == code
    assert not calm.events(bob, SubscriptionEnded)
    bob.end_subscription(calm.the(bob, SubscribeReceived).subscription, calm.now)


def test_a_subscriber_that_lags_gets_the_full_state_instead(calm: Network) -> None:
    bob, phone = watched(calm)
    number = calm.the(bob, SubscribeReceived).subscription
    for n in range(10):
        bob.notify(number, b"<%d/>" % n, calm.now)
    calm.run(0.1)
    assert calm.events(bob, SubscriptionRefreshed)
    respond(phone, phone.requests("NOTIFY")[1], 481)
    calm.run(0.1)
    assert calm.the(bob, SubscriptionEnded)


def test_a_subscription_is_refreshed_and_left(calm: Network) -> None:
    bob, phone = watched(calm)
    respond(phone, phone.requests("NOTIFY")[1], 200)
    tag = tag_of(phone)
    calm.run(500)
    phone.send(subscribe(2, to_tag=tag), B)
    calm.run(500)
    assert len(calm.events(bob, SubscriptionRefreshed)) == 1
    phone.send(subscribe(3, "0", to_tag=tag), B)
    calm.run(0.2)
    last = phone.requests("NOTIFY")[-1]
    assert last.headers["Subscription-State"] == "terminated;reason=timeout"
    respond(phone, last, 200)
    assert calm.the(bob, SubscriptionEnded)


def test_a_subscription_that_is_not_refreshed_ends(calm: Network) -> None:
    bob, phone = watched(calm)
    respond(phone, phone.requests("NOTIFY")[1], 200)
    calm.run(601)
    assert phone.requests("NOTIFY")[-1].headers["Subscription-State"] == "terminated;reason=timeout"
    assert calm.the(bob, SubscriptionEnded)


def test_a_subscriber_that_is_gone_is_forgotten(calm: Network) -> None:
    bob, _ = watched(calm)
    calm.run(40)
    assert calm.the(bob, SubscriptionEnded)


def test_fetching_the_state_once(calm: Network) -> None:
    bob, phone = watched(calm, expires="0")
    _, only = phone.requests("NOTIFY")
    assert (only.body, only.headers["Subscription-State"]) == (b"<full/>", "terminated;reason=timeout")
    respond(phone, only, 200)
    assert calm.the(bob, SubscriptionEnded)


def unanswered(net: Network, sent: bytes, there: tuple[str, int] = A) -> tuple[Endpoint, Phone]:
    """A subscription whose NOTIFYs nobody answers, and who gets them."""
    bob, phone, victim = net.endpoint(B), Phone(net, A), Phone(net, there) if there != A else None

    def take(event: SubscribeReceived) -> None:
        bob.accept_subscription(event.subscription, net.now)
        bob.notify(event.subscription, b"<state/>" * 1000, net.now)

    net.when(bob, SubscribeReceived, take)
    phone.send(sent, B)
    net.run(60)
    return bob, victim or phone


def test_whoever_answers_no_notify_is_sent_no_state_and_soon_nothing(calm: Network) -> None:
    bob, phone = unanswered(calm, subscribe())
    sent = phone.requests("NOTIFY")
    assert len(sent) == 6
    assert not any(notify.body for notify in sent)
    assert max(len(bytes(notify)) for notify in sent) < 1.25 * len(subscribe())
    assert calm.the(bob, SubscriptionEnded)


def test_a_route_to_somebody_else_brings_him_no_state(calm: Network) -> None:
    """Whoever sends from his own address can put anybody's into Record-Route."""
    headers = (("Event", "conference"), ("Record-Route", f"<sip:{C[0]};lr>"))
    bob, victim = unanswered(calm, bytes(request("SUBSCRIBE", headers=headers)), C)
    assert len(victim.requests("NOTIFY")) == 6
    assert not any(notify.body for notify in victim.requests("NOTIFY"))
    assert calm.the(bob, SubscriptionEnded)


def test_who_fails_to_prove_where_he_is_is_slowed_and_the_others_are_bounded(calm: Network) -> None:
    bob = calm.endpoint(B, settings=EndpointSettings(rejections_per_minute=5))
    forger = Phone(calm, A)
    calm.when(bob, SubscribeReceived, lambda event: _tell(calm, bob, event))
    for n in range(20):
        forger.send(subscribe(call_id=f"c{n}"), B)
        calm.run(4)
    assert len({m.call_id for m in forger.requests("NOTIFY")}) < 16
    calm.run(20)
    flood = [Phone(calm, (f"198.51.100.{n % 250}", 5060 + n)) for n in range(600)]
    for n, phone in enumerate(flood):
        phone.send(subscribe(call_id=f"f{n}", here=phone.place[1]), B)
    calm.run(0.5)
    codes = [m.status for phone in flood for m in phone.got if isinstance(m, Response)]
    assert (codes.count(200), codes.count(503)) == (512, 88)
    calm.run(60)


def _tell(net: Network, bob: Endpoint, event: SubscribeReceived) -> None:
    bob.accept_subscription(event.subscription, net.now)
    bob.notify(event.subscription, b"<state/>", net.now)


def test_the_way_to_a_subscriber_that_moves_is_proved_anew(calm: Network) -> None:
    bob, phone = watched(calm)
    respond(phone, phone.requests("NOTIFY")[1], 200)
    there = Phone(calm, C)
    there.send(subscribe(2, to_tag=tag_of(phone), here=C), B)
    calm.run(0.2)
    bob.notify(calm.the(bob, SubscribeReceived).subscription, b"<moved/>", calm.now)
    calm.run(0.2)
    (proof,) = there.requests("NOTIFY")
    assert not proof.body
    respond(there, proof, 200)
    calm.run(0.2)
    assert there.requests("NOTIFY")[1].body == b"<moved/>"
    bob.end_subscription(calm.the(bob, SubscribeReceived).subscription, calm.now)


@pytest.mark.parametrize(
    ("headers", "code"),
    [
        ((("Event", "presence"),), 489),
        ((), 489),
        ((("Event", "conference"), ("Accept", "text/plain")), 406),
        ((("Event", "conference"), ("Expires", "5")), 423),
        ((("Event", "conference"), ("Contact", "*")), 400),
    ],
)
def test_subscriptions_that_cannot_be(calm: Network, headers: tuple[tuple[str, str], ...], code: int) -> None:
    calm.endpoint(B)
    phone = Phone(calm, A)
    phone.send(request("SUBSCRIBE", headers=headers), B)
    calm.run(0.2)
    assert phone.responses("SUBSCRIBE") == [code]


def test_a_subscription_that_nobody_decides_on_or_that_is_refused(calm: Network) -> None:
    bob, phone = calm.endpoint(B), Phone(calm, A)
    phone.send(subscribe(), B)
    calm.run(30)
    assert phone.responses("SUBSCRIBE") == [500]
    calm.when(bob, SubscribeReceived, lambda event: bob.reject_subscription(event.subscription, 404, calm.now))
    phone.send(subscribe(call_id="second"), B)
    calm.run(1)
    assert phone.responses("SUBSCRIBE") == [500, 404]


def test_too_many_subscriptions_get_503(calm: Network) -> None:
    bob, phone = calm.endpoint(B, settings=EndpointSettings(max_subscriptions=2)), Phone(calm, A)
    calm.when(bob, SubscribeReceived, lambda event: bob.accept_subscription(event.subscription, calm.now))
    for n in range(4):
        phone.send(subscribe(call_id=f"c{n}"), B)
    calm.run(1)
    assert sorted(m.status for m in phone.got if isinstance(m, Response)) == [200, 200, 503, 503]
    calm.run(700)


# ------------------------------------------------------------------------------------ OPTIONS, INFO, MESSAGE


def test_options_tells_what_we_can(calm: Network) -> None:
    calm.endpoint(B)
    phone = Phone(calm, A)
    phone.send(request("OPTIONS"), B)
    calm.run(0.2)
    ok = phone.last()
    assert ok.status == 200
    assert {"INVITE", "UPDATE", "PRACK"} <= {part.strip() for part in ok.headers["Allow"].split(",")}
    assert (ok.headers["Accept"], ok.headers["Allow-Events"]) == ("application/sdp", "conference, refer")
    assert "100rel" in ok.supported
    assert ok.to.tag


def test_info_and_message_inside_a_call(net: Network) -> None:
    alice, bob = net.endpoint(A), net.endpoint(B)
    ours, theirs = call(net, alice, bob)
    alice.info(ours, "application/dtmf-relay", b"Signal=5\r\nDuration=160\r\n", net.now)
    net.run(20)
    bob.message(theirs, "text/plain", "Bonjour à tous".encode(), net.now)
    net.run(20)
    assert net.the(bob, InfoReceived) == InfoReceived(theirs, "application/dtmf-relay", b"Signal=5\r\nDuration=160\r\n")
    heard = net.the(alice, MessageReceived)
    assert (heard.call, heard.content_type, heard.body.decode()) == (ours, "text/plain", "Bonjour à tous")
    alice.hangup(ours, net.now)


def test_an_info_that_finds_no_dialog_ends_the_call(calm: Network) -> None:
    alice, phone = calm.endpoint(A), Phone(calm, B)
    ours = dial(calm, alice)
    calm.run(0.2)
    respond(phone, phone.requests("INVITE")[0], 200, sdp=ANSWER)
    calm.run(0.2)
    alice.info(ours, "application/dtmf-relay", b"", calm.now)
    calm.run(0.2)
    respond(phone, phone.requests("INFO")[0], 481)
    calm.run(0.2)
    assert ended(calm, alice, ours) == CallEnded(ours, 481, "Call/Transaction Does Not Exist", True)
    respond(phone, phone.requests("BYE")[0], 481)


def test_an_info_package_that_we_did_not_announce_gets_469(calm: Network) -> None:
    bob, phone = calm.endpoint(B), Phone(calm, A)
    answering(calm, bob)
    phone.send(request("INVITE", body=OFFER), B)
    calm.run(0.2)
    phone.send(request("ACK", to_tag=tag_of(phone)), B)
    phone.send(request("INFO", 2, to_tag=tag_of(phone), headers=(("Info-Package", "x"),)), B)
    calm.run(0.2)
    assert phone.responses("INFO") == [469]
    phone.send(request("BYE", 3, to_tag=tag_of(phone)), B)


def test_a_message_outside_of_any_call_is_taken(calm: Network) -> None:
    bob, phone = calm.endpoint(B), Phone(calm, A)
    phone.send(request("MESSAGE", headers=(("Content-Type", "text/plain;charset=utf-8"),), body=b"hi"), B)
    calm.run(0.2)
    assert phone.responses("MESSAGE") == [200]
    heard = calm.the(bob, MessageReceived)
    assert (heard.call, heard.content_type, heard.body) == (None, "text/plain", b"hi")


# ----------------------------------------------------------------------------------- what nobody can do (§8.2)


@pytest.mark.parametrize(
    ("method", "uri", "headers", "body", "code", "told"),
    [
        ("PUBLISH", "sip:demo@192.0.2.2", (), b"", 405, "Allow"),
        ("REGISTER", "sip:192.0.2.2", (), b"", 405, "Allow"),
        ("INVITE", "http://x/", (), OFFER, 416, None),
        ("INVITE", "sip:demo@192.0.2.2", (("Require", "telepathy, 100rel"),), OFFER, 420, "Unsupported"),
        ("INVITE", "sip:demo@192.0.2.2", (("Content-Type", "text/plain"),), b"x", 415, "Accept"),
        ("INVITE", "sip:demo@192.0.2.2", (("Content-Encoding", "gzip"),), OFFER, 415, "Accept-Encoding"),
        ("INVITE", "sip:demo@192.0.2.2", (("Accept", "text/plain"),), OFFER, 406, "Accept"),
        ("INVITE", "sip:demo@192.0.2.2", (("Contact", "*"),), OFFER, 400, None),
        ("INVITE", "sip:demo@elsewhere.example", (), OFFER, 404, None),
        ("BYE", "sip:demo@192.0.2.2", (), b"", 481, None),
        ("UPDATE", "sip:demo@192.0.2.2", (), b"", 481, None),
        ("NOTIFY", "sip:demo@192.0.2.2", (), b"", 481, None),
    ],
)
def test_refusals(
    calm: Network, method: str, uri: str, headers: tuple[tuple[str, str], ...], body: bytes, code: int, told: str | None
) -> None:
    bob = calm.endpoint(B, settings=EndpointSettings(domains=frozenset({"192.0.2.2"})))
    phone = Phone(calm, A)
    phone.send(request(method, uri=uri, headers=headers, body=body), B)
    calm.run(0.2)
    assert phone.responses(method) == [code]
    if told:
        assert phone.last().headers.get(told)
    if told == "Unsupported":
        assert phone.last().headers[told] == "telepathy"
    assert bob.calls == 0
