"""Browsers and the gateway, from the description to the keys, on good networks and bad ones."""

from __future__ import annotations

from dataclasses import replace
from typing import Any

import pytest

from bridge.signalling.transport_parameters import Fingerprint, Setup, TransportParameters
from gateways.webrtc import stun
from gateways.webrtc.dtls import Closed as PeerClosed
from gateways.webrtc.dtls import Dtls
from gateways.webrtc.event import Closed, Connected, ConsentLost, Failed, Keys, Moved
from gateways.webrtc.gateway import GatewayFull, GatewaySettings
from gateways.webrtc.ice import CONSENT, MAX_REMOTES
from gateways.webrtc.transport import PATIENCE
from tests.gateways.webrtc.air import HERE, OTHER, OURS, THEIRS, Address, Air, Browser, here

HOME: Address = ("198.51.100.7", 50000)
MOBILE: Address = ("203.0.113.9", 40000)
SIX: Address = ("2001:db8::7", 50001)
WEATHER: dict[str, dict[str, Any]] = {
    "calm": {"seed": 1},
    "lossy": {"seed": 2, "loss": 0.2},
    "repeating": {"seed": 3, "repeat": 0.5, "delay": 0.2},
    "storm": {"seed": 4, "loss": 0.3, "repeat": 0.3, "delay": 0.1},
    "storm again": {"seed": 5, "loss": 0.3, "repeat": 0.2, "delay": 0.15},
    "hail": {"seed": 6, "loss": 0.4},
}


@pytest.fixture(params=list(WEATHER))
def air(request: pytest.FixtureRequest) -> Air:
    return Air(**WEATHER[request.param])


@pytest.fixture
def calm() -> Air:
    return Air()


def test_a_browser_gets_its_keys_in_any_weather(air: Air) -> None:
    browser = Browser(air, HOME)
    air.join("a", browser)
    air.run(25)
    assert air.agree("a", browser)
    assert air.of(Keys)[0].remote == here(HOME)
    assert [event.remote for event in air.of(Connected)] == [here(HOME)]
    assert browser.mapped == {HOME}
    assert not air.of(Failed)
    assert max(map(len, air.sent)) <= 1200
    air.gateway.close("a", air.now)
    air.drain()
    air.quiet()


def test_we_begin_where_the_peer_is_passive(air: Air) -> None:
    browser = Browser(air, HOME, setup=Setup.PASSIVE)
    air.join("a", browser)
    assert browser.gateway is not None
    assert browser.gateway.setup is Setup.ACTIVE
    air.run(25)
    assert air.agree("a", browser)


def test_without_loss_two_round_trips_of_dtls_suffice(calm: Air) -> None:
    browser = Browser(calm, HOME)
    calm.join("a", browser)
    calm.run(0.5)
    assert calm.agree("a", browser)
    assert sum(20 <= data[0] < 64 for data in calm.sent) == 2


def test_ipv6(calm: Air) -> None:
    browser = Browser(calm, SIX)
    calm.join("a", browser)
    calm.run(1)
    assert calm.agree("a", browser)
    assert browser.mapped == {SIX}


def test_many_at_once_are_told_apart(calm: Air) -> None:
    browsers = [Browser(calm, ("198.51.100.7", 1000 + n)) for n in range(20)]
    for n, browser in enumerate(browsers):
        calm.join(f"{n}", browser)
    calm.run(1)
    assert all(calm.agree(f"{n}", browser) for n, browser in enumerate(browsers))
    assert len({keys.send.material for keys in calm.of(Keys)}) == 20


@pytest.mark.parametrize("aggressive", [False, True])
def test_the_pair_that_the_peer_chose_is_the_one(aggressive: bool, air: Air) -> None:
    browser = Browser(air, HOME, MOBILE, aggressive=aggressive)
    air.join("a", browser)
    air.run(60)
    last = [event for event in air.events if isinstance(event, (Moved, Connected))][-1]
    assert last.remote.remote == browser.nominated == HOME


def test_another_network_moves_the_media_and_keeps_the_keys(air: Air) -> None:
    browser = Browser(air, HOME)
    air.join("a", browser)
    air.run(20)
    browser.move(HOME, MOBILE, air.now)
    air.run(10)
    assert [event.remote.remote for event in air.of(Moved)] == [MOBILE]
    assert len(air.of(Keys)) == 1


def test_a_restart_by_the_peer_keeps_the_association(air: Air) -> None:
    browser = Browser(air, HOME)
    air.join("a", browser)
    air.run(20)
    browser.restart()
    old = browser.gateway
    answer = air.gateway.update("a", browser.parameters, air.now)
    assert old is not None
    assert answer.ufrag != old.ufrag
    assert answer.setup is Setup.PASSIVE
    # Until the peer has the answer it goes on with the old credentials.
    browser.errors.clear()
    air.run(6)
    assert not browser.errors
    browser.move(HOME, MOBILE, air.now)
    browser.learn(answer, air.now)
    air.run(6)
    assert [event.remote.remote for event in air.of(Moved)] == [MOBILE]
    assert len(air.of(Keys)) == 1
    # Now the old ones are void.
    browser.gateway = old
    browser.checking = False
    browser.check(MOBILE)
    air.loss = 0
    browser.check(MOBILE)
    air.run(1)
    assert set(browser.errors) == {401}


def test_a_restart_of_ours_is_answered_by_other_credentials_and_not_restarted_again(calm: Air) -> None:
    browser = Browser(calm, HOME)
    calm.join("a", browser)
    calm.run(1)
    offer = calm.gateway.offer("a", calm.now, restart=True)
    browser.restart()
    browser.learn(offer, calm.now)
    assert calm.gateway.update("a", browser.parameters, calm.now).ufrag == offer.ufrag
    calm.run(1)
    assert not browser.errors
    assert calm.gateway.held()["fragments"] == 1
    calm.run(CONSENT + 10)
    assert not calm.of(ConsentLost)


def test_the_same_description_again_changes_nothing(calm: Air) -> None:
    browser = Browser(calm, HOME)
    calm.join("a", browser)
    calm.run(1)
    before = calm.gateway.held()
    assert calm.gateway.update("a", browser.parameters, calm.now) == browser.gateway
    assert calm.gateway.held() == before


def test_a_client_hello_may_come_before_the_answer(calm: Air) -> None:
    browser = Browser(calm, HOME, setup=Setup.ACTIVE)
    offer = calm.gateway.open("a", None, local=HERE, now=calm.now)
    assert offer.setup is Setup.ACTPASS
    browser.learn(replace(offer, setup=Setup.PASSIVE), calm.now)
    calm.run(1)
    assert browser.keys is not None
    assert not calm.of(Keys)
    calm.gateway.update("a", browser.parameters, calm.now)
    calm.drain()
    assert calm.agree("a", browser)


def test_keys_of_another_certificate_are_not_used(calm: Air) -> None:
    browser = Browser(calm, HOME, identity=OTHER)
    parameters = replace(browser.parameters, fingerprints=(THEIRS.fingerprint,))
    browser.learn(calm.gateway.open("a", parameters, local=HERE, now=calm.now), calm.now)
    calm.run(1)
    assert not calm.of(Keys)
    assert "certificate" in calm.of(Failed)[0].reason
    assert any(isinstance(event, PeerClosed) for event in browser.said)


def test_other_fingerprints_are_another_association(calm: Air) -> None:
    browser = Browser(calm, HOME)
    calm.join("a", browser)
    calm.run(1)
    browser.identity, browser.dtls = OTHER, None
    calm.gateway.update("a", browser.parameters, calm.now)
    calm.run(2)
    assert len(calm.of(Keys)) == 2
    assert calm.agree("a", browser)


def test_consent_ends_when_checks_do_and_comes_back_with_them(calm: Air) -> None:
    browser = Browser(calm, HOME)
    calm.join("a", browser)
    calm.run(1)
    browser.checking = False
    calm.run(CONSENT - 2, step=0.1)
    assert not calm.of(ConsentLost)
    calm.run(3, step=0.1)
    assert len(calm.of(ConsentLost)) == 1
    browser.checking = True
    calm.run(6)
    assert [type(event) for event in calm.events] == [Connected, Keys, ConsentLost, Connected]


def test_who_never_nominates_has_keys_and_is_missed_too(calm: Air) -> None:
    browser = Browser(calm, HOME, dtls=False)
    calm.join("a", browser)
    browser.checking = False
    browser.check(HOME)
    calm.run(0.1)
    browser.with_dtls, browser.dtls = True, Dtls(THEIRS, client=True, now=calm.now)
    calm.run(1)
    assert calm.agree("a", browser)
    assert [type(event) for event in calm.events] == [Keys]
    calm.run(CONSENT)
    assert [type(event) for event in calm.events] == [Keys, ConsentLost]


def test_checks_keep_consent(air: Air) -> None:
    browser = Browser(air, HOME)
    air.join("a", browser)
    air.run(300, step=0.05)
    assert not air.of(ConsentLost)


def test_close_notify_goes_both_ways(calm: Air) -> None:
    one, two = Browser(calm, HOME), Browser(calm, MOBILE)
    calm.join("a", one)
    calm.join("b", two)
    calm.run(1)
    assert two.dtls is not None
    two.dtls.close()
    calm.run(1)
    assert [event.id for event in calm.of(Closed)] == ["b"]
    calm.gateway.close("a", calm.now)
    calm.drain()
    calm.run(1)
    assert any(isinstance(event, PeerClosed) for event in one.said)


@pytest.mark.parametrize(
    ("what", "reason"), [("silent", "no ICE check"), ("no DTLS", "no DTLS"), ("stuck", "handshake took too long")]
)
def test_who_never_gets_there_fails_in_time(what: str, reason: str, calm: Air) -> None:
    browser = Browser(calm, HOME, dtls=what != "no DTLS")
    browser.checking = what != "silent"
    calm.join("a", browser)
    if what == "stuck":
        calm.run(0.1)
        hello = next(Dtls(THEIRS, client=True, now=0.0).datagrams())
        browser.with_dtls = False
        calm.send(hello, HOME, HERE)
    calm.run(PATIENCE + 2)
    assert reason in calm.of(Failed)[0].reason
    assert calm.gateway.held()["handshakes"] == 0
    calm.run(5)
    assert len(calm.of(Failed)) == 1


def test_dtls_is_taken_from_proved_addresses_only(calm: Air) -> None:
    browser = Browser(calm, HOME)
    calm.join("a", browser)
    hello = next(Dtls(THEIRS, client=True, now=0.0).datagrams())
    for n in range(10_000):
        calm.give(hello, (f"203.0.{n >> 8}.{n & 255}", 5000))
    assert calm.gateway.counters.strangers == 10_000
    assert not calm.sent
    assert calm.gateway.held()["handshakes"] == 0
    calm.run(1)
    assert calm.agree("a", browser)


def test_handshakes_at_once_are_bounded_and_all_get_their_turn() -> None:
    air = Air(settings=GatewaySettings(handshakes=2))
    browsers = [
        Browser(air, ("198.51.100.7", 1000 + n), setup=Setup.PASSIVE if n % 2 else Setup.ACTPASS) for n in range(10)
    ]
    for n, browser in enumerate(browsers):
        air.join(f"{n}", browser)
    most = 0
    for _ in range(400):
        air.run(0.02)
        most = max(most, air.gateway.held()["handshakes"])
    assert most == 2
    assert air.gateway.counters.crowded
    assert all(air.agree(f"{n}", browser) for n, browser in enumerate(browsers))


def test_transports_are_bounded() -> None:
    air = Air(settings=GatewaySettings(transports=1))
    air.join("a", Browser(air, HOME))
    with pytest.raises(GatewayFull):
        air.join("b", Browser(air, MOBILE))
    with pytest.raises(ValueError, match="open"):
        air.join("a", Browser(air, MOBILE))


def test_refusals_are_bounded(calm: Air) -> None:
    for n in range(1_000):
        calm.give(stun.build(stun.REQUEST, n.to_bytes(12, "big")), ("203.0.113.1", 1000 + n))
    assert len(calm.sent) == 100
    assert {stun.parse(data).error for data in calm.sent} == {400}
    assert calm.gateway.counters.unanswered == 900
    calm.now += 1
    calm.give(stun.build(stun.REQUEST, bytes(12)), ("203.0.113.1", 1000))
    assert len(calm.sent) == 101


def test_addresses_of_one_peer_are_bounded(calm: Air) -> None:
    browser = Browser(calm, HOME)
    calm.join("a", browser)
    calm.run(1)
    for n in range(500):
        address = ("198.51.100.8", 1000 + n)
        browser.priorities[address] = 1
        browser.check(address)
    calm.run(1)
    assert calm.gateway.held()["addresses"] == MAX_REMOTES
    assert calm.gateway.knows(here(HOME))


def test_an_address_in_use_is_nobody_elses(calm: Air) -> None:
    browser, thief = Browser(calm, HOME), Browser(calm, MOBILE)
    calm.join("a", browser)
    calm.join("b", thief)
    calm.run(1)
    thief.priorities[HOME] = 2_000_000
    thief.check(HOME, nominate=True)
    calm.run(1)
    assert calm.gateway.counters.contested == 1
    assert not calm.of(Moved)
    # Once its owner is silent it can be had: a NAT may have given it to another.
    browser.checking = False
    calm.run(16, step=0.1)
    thief.check(HOME, nominate=True)
    calm.nodes[HOME] = thief
    calm.run(1)
    assert [event.id for event in calm.of(ConsentLost)] == ["a"]
    assert [(event.id, event.remote.remote) for event in calm.of(Moved)] == [("b", HOME)]


def phone(setup: Setup, address: Address) -> TransportParameters:
    return TransportParameters((THEIRS.fingerprint,), setup, address=address)


@pytest.mark.parametrize("setup", [Setup.ACTIVE, Setup.PASSIVE])
def test_a_phone_without_ice_has_the_address_of_its_description(setup: Setup, air: Air) -> None:
    answer = air.gateway.open("a", phone(setup, HOME), local=HERE, now=air.now)
    browser = Browser(air, HOME)
    browser.learn(answer, air.now)
    browser.checking, browser.nominated = False, HOME
    air.drain()
    air.run(25)
    assert air.agree("a", browser)
    assert [event.remote for event in air.of(Connected)] == [here(HOME)]
    air.gateway.close("a", air.now)
    air.drain()
    air.quiet()


def test_a_named_address_takes_nobodys_away(calm: Air) -> None:
    browser = Browser(calm, HOME)
    calm.join("a", browser)
    calm.run(1)
    calm.gateway.open("b", phone(Setup.ACTIVE, HOME), local=HERE, now=calm.now)
    calm.drain()
    assert [event.id for event in calm.of(Failed)] == ["b"]
    calm.gateway.close("b", calm.now)
    assert calm.gateway.knows(here(HOME))


def test_an_address_named_before_goes_to_who_proves_it(calm: Air) -> None:
    calm.gateway.open("b", phone(Setup.ACTIVE, HOME), local=HERE, now=calm.now)
    browser = Browser(calm, HOME)
    calm.join("a", browser)
    calm.run(1)
    assert calm.agree("a", browser)


def test_the_strongest_hash_function_counts() -> None:
    client, server = Dtls(THEIRS, client=True, now=0.0), Dtls(OURS, client=False, now=0.0)
    for _ in range(3):
        for data in client.datagrams():
            server.receive(data, 0.0)
        for data in server.datagrams():
            client.receive(data, 0.0)
    good, bad = THEIRS.fingerprint, OTHER.fingerprint
    assert server.matches((good,))
    assert server.matches((bad, good))
    assert server.matches((Fingerprint("sha-1", bytes(20)), good))
    assert not server.matches((bad,))
    assert not server.matches(())
    assert not server.matches((Fingerprint("sha-1", bytes(20)),))
    assert not server.matches((good, Fingerprint("sha-512", bytes(64))))
