"""What the conference hears of the gateway."""

from __future__ import annotations

from bridge.conference.transport_event import Broken, Keyed, Reached, Unreachable
from bridge.worker.protocol import Address
from gateways.webrtc.focus import FocusGateway
from gateways.webrtc.ice import CONSENT
from tests.gateways.webrtc.air import HERE, OURS, Air, Browser

HOME = ("198.51.100.7", 50000)


def test_the_path_is_told_with_the_keys_and_when_it_ends() -> None:
    air = Air()
    gateway = air.gateway = FocusGateway(OURS, air.rng.randbytes)
    told: list[object] = []
    air.hear = lambda: told.extend(gateway.told())
    browser = Browser(air, HOME)
    air.join("a", browser)
    air.run(1)
    assert browser.keys is not None
    reached = Reached("a", Address(*HOME))
    assert [event for event in told if event != reached] == [Keyed("a", browser.keys.receive, browser.keys.send)]
    assert told[0] == reached
    browser.checking = False
    told.clear()
    air.run(CONSENT + 6)
    assert told == [Unreachable("a")]
    gateway.open("b", browser.parameters, local=HERE, now=air.now)
    told.clear()
    air.run(31)
    assert [type(event) for event in told] == [Broken]
