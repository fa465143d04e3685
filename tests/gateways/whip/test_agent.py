"""Sessions as calls, against the focus itself, in virtual time."""

from __future__ import annotations

import random
from typing import Any, cast

import pytest

from bridge.conference.link import Link, read, sign
from bridge.conference.participant import Participant
from bridge.conference.settings import RoomSettings
from bridge.conference.transport_event import Broken, Keyed, Reached
from bridge.signalling.endpoint import Endpoint
from bridge.signalling.flow import Flow, Transport
from bridge.signalling.sdp import Direction, parse
from gateways.whip.agent import ANSWER, Agent, Answered, Caller, NotRestarted, Over, Restarted
from gateways.whip.description import Credentials, Kind, credentials, offered, read_fragment
from tests.conference.house import BRIDGE, House
from tests.conference.test_transports import KEYS, SOMEWHERE, Desk, bridge
from tests.gateways.whip.offers import offer

HOST = "192.0.2.11"
KEY = bytes(32)
WALL = 1_000_000.0
NEW = Credentials("newU", "newpasswordnewpassword12")
SAID: dict[Kind, str] = {"whip": "sendonly", "whep": "recvonly"}


class Client:
    """One session's way, and what is told of it."""

    def __init__(self, house: House, host: str = HOST) -> None:
        self.house, self.agent = house, Agent(random.Random(7))
        self.flow = Flow(Transport.WS, (host, 5060), BRIDGE)
        house.endpoints[Transport.WS, BRIDGE] = house.bridge
        house.endpoints[Transport.WS, (host, 5060)] = cast(Endpoint, self.agent)

    def call(self, kind: Kind = "whip", room: str = "demo", *, token: str = "", name: str = "", **kw: Any) -> int:
        made = offered(kind, offer("aiortc", SAID[kind]))
        uri = f"sip:{room}@{BRIDGE[0]}"
        number = self.agent.call(uri, self.flow, made, Caller(f"sip:{kind}-1@{HOST}", name, token), self.house.now)
        self.house.run(0.5)
        return number

    def told(self) -> list[Any]:
        return [*self.house.seen[cast(Endpoint, self.agent)]]


def people(house: House) -> list[Participant]:
    return [person for status in house.focus.rooms() for person in status.snapshot.participants]


def joined(kind: Kind = "whip", **kw: Any) -> tuple[House, Desk, Client, int]:
    house, desk = bridge()
    client = Client(house)
    number = client.call(kind, **kw)
    desk.say(house, Reached(next(iter(desk.open_now)), SOMEWHERE), Keyed(next(iter(desk.open_now)), *KEYS))
    house.run(1)
    return house, desk, client, number


@pytest.mark.parametrize(("kind", "way"), [("whip", Direction.RECVONLY), ("whep", Direction.SENDONLY)])
def test_a_session_is_a_participant_of_one_direction(kind: Kind, way: Direction) -> None:
    house, _, client, number = joined(kind, name="OBS")
    (answered,) = client.told()
    assert isinstance(answered, Answered)
    assert (answered.session, answered.etag) == (number, '"ice-1"')
    answer = parse(answered.body)
    assert {answer.direction_of(media) for media in answer.media} == {way}
    assert all(media.port for media in answer.media)
    (person,) = people(house)
    assert (person.name, person.kind, person.role, person.state) == ("OBS", "web", "guest", "in")
    (stream,) = house.notes.streams.values()
    assert (stream.send is None) == (kind == "whip")
    assert bool(stream.receive) == (kind == "whip")
    assert not stream.muted


def test_who_leaves_is_gone_and_nothing_is_kept() -> None:
    house, desk, client, number = joined()
    client.agent.leave(number, house.now)
    house.run(60)
    assert [type(each) for each in client.told()] == [Answered, Over]
    assert not people(house)
    assert not desk.open_now
    assert not any(client.agent.held().values())
    assert client.agent.etag(number) == ""


def test_whom_the_room_removes_is_told() -> None:
    house, _, client, _ = joined()
    (person,) = people(house)
    house.focus.tell("demo", lambda room: room.remove(person.number, by=None, now=house.now), house.now)
    house.run(1)
    house.say_all()
    house.run(60)
    assert client.told()[-1] == Over(1, 0, "")
    assert not any(client.agent.held().values())


def test_media_that_never_comes_ends_it() -> None:
    house, desk = bridge()
    client = Client(house)
    client.call()
    desk.say(house, Broken(next(iter(desk.open_now)), "no ICE check came"))
    house.run(2)
    assert isinstance(client.told()[-1], Over)


@pytest.mark.parametrize(
    ("token", "role"), [(sign(Link("board", role, int(WALL) + 60, "Zoé"), KEY), role) for role in ("host", "guest")]
)
def test_a_link_opens_a_room_with_a_pin(token: str, role: str) -> None:
    house, desk = bridge(links=lambda found: read(found, KEY, WALL))
    house.focus.add_room(RoomSettings(name="board", host_pin="2468", guest_pin="1357"))
    client = Client(house)
    client.call(room="board", token=token)
    desk.say(house, Reached(next(iter(desk.open_now)), SOMEWHERE), Keyed(next(iter(desk.open_now)), *KEYS))
    house.run(1)
    (person,) = people(house)
    assert (person.role, person.name) == (role, "Zoé")


def test_a_refusal_comes_with_what_it_says() -> None:
    house, _ = bridge(links=lambda found: read(found, KEY, WALL))
    client = Client(house)
    client.call(token="nonsense")
    (over,) = client.told()
    assert (over.code, over.reason[:9]) == (401, "this link")
    assert dict(over.headers)["WWW-Authenticate"].startswith("Bearer ")
    assert not len(client.agent)


def test_a_bridge_that_is_silent_is_not_waited_for() -> None:
    house, _ = bridge()
    client = Client(house)
    house.drop = lambda data, flow: True
    client.call()
    house.run(ANSWER)
    (over,) = client.told()
    assert over.code == 408
    house.run(120)
    assert not any(client.agent.held().values())


def test_names_that_would_break_a_line_are_refused() -> None:
    house, _ = bridge()
    client = Client(house)
    with pytest.raises(ValueError):
        client.call(name="a\r\nb")
    assert not len(client.agent)


# --------------------------------------------------------------------------------------------- ICE restarts


def test_ice_is_restarted_and_all_else_stays() -> None:
    house, desk, client, number = joined()
    (before,) = house.notes.streams.values()
    assert client.agent.restart(number, NEW, house.now)
    assert client.agent.restarting(number)
    house.run(1)
    made = client.told()[-1]
    assert isinstance(made, Restarted)
    assert made.etag == client.agent.etag(number) == '"ice-2"'
    [theirs] = desk.open_now.values()
    assert theirs is not None
    assert (theirs.ufrag, theirs.password) == (NEW.ufrag, NEW.password)
    ours, first = read_fragment(made.fragment), credentials(parse(client.told()[0].body))
    assert ours is not None
    assert ours != first
    (after,) = house.notes.streams.values()
    assert after == before
    assert len(people(house)) == 1


def test_candidates_of_the_ice_session_in_force_change_nothing() -> None:
    house, _, client, number = joined()
    same = credentials(parse(offer("aiortc")))
    sent = len(house.log)
    assert not client.agent.restart(number, same, house.now)
    assert not client.agent.restart(number, None, house.now)
    assert not client.agent.restart(99, NEW, house.now)
    house.run(1)
    assert len(house.log) == sent


def test_a_restart_that_fails_leaves_the_session_as_it_was(monkeypatch: pytest.MonkeyPatch) -> None:
    house, _, client, number = joined()
    monkeypatch.setattr(house.focus._calls, "offered", lambda event, now: house.bridge.refuse(event.call, 488, now))
    client.agent.restart(number, NEW, house.now)
    house.run(1)
    assert isinstance(client.told()[-1], NotRestarted)
    monkeypatch.undo()
    assert client.agent.restart(number, NEW, house.now)
    house.run(1)
    assert client.told()[-1].etag == '"ice-2"'
    assert len(people(house)) == 1


def test_what_the_bridge_offers_in_mid_call_is_refused_and_the_call_goes_on() -> None:
    house, _, client, _ = joined()
    (leg,) = house.focus._calls.by_call.values()
    house.focus._calls.without_pictures(leg, house.now)
    house.run(5)
    assert len(people(house)) == 1
    assert [type(each) for each in client.told()] == [Answered]
