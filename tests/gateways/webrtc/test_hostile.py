"""Whatever comes to the port: nothing raises, nothing grows, and calls in progress go on."""

from __future__ import annotations

import random

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from bridge.signalling.transport_parameters import Setup
from gateways.webrtc.event import Connected, ConsentLost, Failed, Keys, Moved
from gateways.webrtc.gateway import GatewaySettings
from gateways.webrtc.ice import MAX_REMOTES
from gateways.webrtc.transport import PATIENCE
from tests.gateways.webrtc.air import HERE, THEIRS, Address, Air, Browser, here

HOME: Address = ("198.51.100.7", 50000)


@settings(max_examples=300)
@given(st.lists(st.tuples(st.binary(max_size=120), st.integers(1, 3)), max_size=6))
def test_any_bytes_from_anywhere(packets: list[tuple[bytes, int]]) -> None:
    air = Air()
    for data, host in packets:
        air.give(data, (f"203.0.113.{host}", 9))
    assert air.gateway.held()["addresses"] == 0
    assert not air.events


def test_spoiled_copies_of_true_packets_from_everywhere() -> None:
    """Each packet of a call comes again, spoiled, from a stranger, and its truth from the caller."""
    rng = random.Random(7)
    air = Air()
    real = air.send

    def send(data: bytes, source: Address, to: Address) -> None:
        real(data, source, to)
        if to == HERE:
            for _ in range(20):
                spoiled = bytearray(data)
                spoiled[rng.randrange(len(data))] = rng.randrange(256)
                stranger = (f"203.0.113.{rng.randrange(256)}", rng.randrange(1, 65_536))
                real(bytes(spoiled[: rng.randrange(1, len(data) + 1)]), stranger, to)

    air.send = send  # type: ignore[method-assign]
    browser = Browser(air, HOME)
    air.join("a", browser)
    air.run(40, step=0.05)
    assert air.agree("a", browser)
    assert len(air.of(Keys)) == 1
    assert not air.of(Failed)
    assert not air.of(ConsentLost)
    assert air.gateway.held() == {"transports": 1, "fragments": 1, "addresses": 1, "handshakes": 0, "alarms": 1}


def test_a_callers_junk_after_the_handshake_is_dropped() -> None:
    rng = random.Random(8)
    air = Air()
    browser = Browser(air, HOME)
    air.join("a", browser)
    air.run(1)
    for _ in range(5_000):
        kind = rng.choice((20, 21, 22, 23, 25, 40, 63))
        size = rng.randrange(60)
        record = bytes((kind, 254, 253, 0, rng.randrange(3), *rng.randbytes(6))) + size.to_bytes(2, "big")
        air.give(record + rng.randbytes(size), HOME)
    air.run(PATIENCE + 5, step=0.1)
    assert not air.of(Failed)
    assert not air.of(ConsentLost)


@pytest.mark.parametrize("seed", range(16))
def test_any_order_of_what_control_may_say(seed: int) -> None:
    """Open, update, restart, close, identities and addresses that change, loss: all at random. What is closed leaves
    nothing, and whoever is left in peace for a while is connected."""
    rng = random.Random(seed)
    air = Air(seed, loss=0.1, repeat=0.1, settings=GatewaySettings(transports=6, handshakes=3))
    browsers: dict[str, Browser] = {}
    for turn in range(120):
        id = str(rng.randrange(8))
        browser = browsers.get(id)
        match rng.randrange(8):
            case _ if browser is None:
                if len(browsers) < 6:
                    setup = rng.choice((Setup.ACTPASS, Setup.PASSIVE))
                    browsers[id] = browser = Browser(air, ("198.51.100.7", 10_000 + turn), setup=setup)
                    air.join(id, browser)
            case 0:
                air.gateway.close(id, air.now)
                for address in browsers.pop(id).priorities:
                    air.nodes.pop(address, None)
            case 1:
                browser.restart()
                browser.learn(air.gateway.update(id, browser.parameters, air.now), air.now)
            case 2:
                browser.learn(air.gateway.offer(id, air.now, restart=True), air.now)
                browser.restart()
                air.gateway.update(id, browser.parameters, air.now)
            case 3:
                browser.move(next(iter(browser.priorities)), ("203.0.113.5", 10_000 + turn), air.now)
            case 4:
                air.gateway.update(id, browser.parameters, air.now)
            case 5:
                air.gateway.offer(id, air.now, restart=True)
            case 6:
                browser.checking = rng.random() < 0.8
        air.drain()
        air.run(rng.random() * 3, step=0.05)
        held = air.gateway.held()
        assert held["transports"] == len(browsers)
        assert held["fragments"] <= 4 * len(browsers)
        assert held["addresses"] <= MAX_REMOTES * len(browsers)
        assert held["handshakes"] <= 3
        assert held["alarms"] <= len(browsers)
    for id, browser in browsers.items():
        browser.checking = True
        browser.restart()
        browser.learn(air.gateway.update(id, browser.parameters, air.now), air.now)
    air.run(PATIENCE, step=0.05)
    for id, browser in browsers.items():
        said = [event for event in air.events if event.id == id]
        assert air.agree(id, browser), said
        last = [event for event in said if not isinstance(event, Keys)][-1]
        assert isinstance(last, (Connected, Moved)), said
        assert last.remote.remote == browser.nominated
        air.gateway.close(id, air.now)
    air.drain()
    air.quiet()


def test_an_alarm_does_not_ring_more_often_than_it_must() -> None:
    """Each check puts the end of consent off; that costs no timer."""
    air = Air()
    browser = Browser(air, HOME)
    air.join("a", browser)
    air.run(1)
    deadlines = set()
    for _ in range(100):
        browser.check(HOME)
        air.run(0.2)
        deadlines.add(air.gateway.deadline())
    assert len(deadlines) == 1
    assert THEIRS.fingerprint in browser.parameters.fingerprints
    assert air.gateway.knows(here(HOME))
