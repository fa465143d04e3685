"""Who is gone, of those that send nothing: ICE's consent says it."""

from __future__ import annotations

import pytest

from bridge.conference.transport_event import Keyed, Reached, Unreachable
from bridge.signalling import event as sip
from bridge.worker import protocol as media
from tests.conference.house import House
from tests.conference.test_transports import KEYS, SOMEWHERE, Browser, Desk, bridge


def listening() -> tuple[House, Desk, Browser]:
    """A browser that holds: we may send it nothing, nor it us."""
    house, desk = bridge()
    browser = Browser(house)
    browser.dial("demo")
    house.run(2)
    [id] = desk.open_now
    desk.say(house, Reached(id, SOMEWHERE), Keyed(id, *KEYS))
    house.run(1)
    browser.hold(True)
    house.run(1)
    return house, desk, browser


@pytest.mark.parametrize("lost", [False, True])
def test_who_has_nothing_to_send_is_gone_when_consent_is(lost: bool) -> None:
    house, desk, browser = listening()
    [id] = desk.open_now
    if lost:
        desk.say(house, Unreachable(id))
    [spec] = house.notes.streams.values()
    house.heard(media.Silent(stream=spec.stream, seconds=59.0))
    house.run(1)
    assert not browser.events(sip.CallEnded)
    house.heard(media.Silent(stream=spec.stream, seconds=60.0))
    house.run(10)
    assert len(browser.events(sip.CallEnded)) == lost


def test_a_path_that_is_found_again_is_consent() -> None:
    house, desk, browser = listening()
    [id] = desk.open_now
    desk.say(house, Unreachable(id))
    desk.say(house, Reached(id, media.Address("198.51.100.8", 40001)))
    [spec] = house.notes.streams.values()
    house.heard(media.Silent(stream=spec.stream, seconds=600.0))
    house.run(10)
    assert not browser.events(sip.CallEnded)
