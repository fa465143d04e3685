"""Who shows something: BFCP of room systems, second pictures without it, and the room's one right, in virtual time."""

from __future__ import annotations

from dataclasses import replace

import pytest

from bridge.conference.settings import RoomSettings
from bridge.signalling import bfcp
from bridge.signalling.bfcp import Kind, Message, Primitive, Status
from bridge.signalling.bfcp_server import Peer
from bridge.signalling.flow import Flow, Transport
from bridge.signalling.sdp import MediaDescription, parse
from bridge.signalling.video_codec import VideoCapabilities
from tests.conference.house import BRIDGE, House, Terminal
from tests.conference.test_focus import flow_to

FLOOR = bfcp.number(Kind.FLOOR_ID, 1)
LINES = """\
v=0
o=- 5 {version} IN IP4 {host}
s=-
c=IN IP4 {host}
t=0 0
m=audio 30000 RTP/AVP 0
m=video 30002 RTP/AVP 97
a=rtpmap:97 H264/90000
a=fmtp:97 profile-level-id=42e01f;packetization-mode=1
a=content:main
a=label:11
m=video 30004 RTP/AVP 97
a=rtpmap:97 H264/90000
a=fmtp:97 profile-level-id=42e01f;packetization-mode=1
a=content:slides
a=label:12
a={direction}
"""
BFCP = """\
m=application 30006 {proto} *
a=floorctrl:c-s
a=setup:actpass
a=floorid:1 mstrm:12
"""


class RoomSystem(Terminal):
    """A terminal with a second picture; its descriptions are written by hand."""

    def __init__(self, house: House, host: str, *, proto: str = "UDP/BFCP", direction: str = "sendrecv") -> None:
        super().__init__(house, host, video=VideoCapabilities())
        self.proto, self.direction, self.version = proto, direction, 1
        self.transaction = 0
        self.answer = b""

    def described(self) -> bytes:
        self.version += 1
        text = LINES.format(host=self.host, version=self.version, direction=self.direction)
        return (text + (BFCP.format(proto=self.proto) if self.proto else "")).replace("\n", "\r\n").encode()

    def enter(self, room: str = "demo") -> RoomSystem:
        flow = Flow(Transport.UDP, (self.host, 5060), BRIDGE)
        uri = f"sip:{room}@{BRIDGE[0]}"
        self.call = self.endpoint.dial(uri, [flow], self.described(), self.house.now, from_uri=f"sip:salle@{self.host}")
        self.house.run(2)
        return self

    def take(self, event: object, now: float) -> None:
        body = getattr(event, "body", None)
        if body and type(event).__name__ in ("CallAnswered", "OfferAnswered"):
            self.answer = body
        elif type(event).__name__ == "OfferReceived":
            self.endpoint.accept(self.call, self.described(), now)

    def again(self) -> None:
        """Another offer."""
        self.endpoint.offer(self.call, self.described(), self.house.now)
        self.house.run(2)

    @property
    def line(self) -> MediaDescription:
        return next(media for media in parse(self.answer).media if media.kind == "application")

    @property
    def peer(self) -> Peer:
        if self.proto == "TCP/BFCP":
            return Peer("tcp", (self.host, 40000), int(self.host.rpartition(".")[2]))
        return Peer("udp", (self.host, 30006))

    def send(self, primitive: Primitive, *attributes: bfcp.Attribute, transaction: int = 0) -> None:
        self.transaction += not transaction
        version = 1 if self.proto == "TCP/BFCP" else 2
        conference, user = int(self.line.first("confid") or 0), int(self.line.first("userid") or 0)
        message = Message(primitive, conference, transaction or self.transaction, user, attributes, version)
        self.house.focus.presenting.receive(bfcp.build(message), self.peer, self.house.now)
        self.house.run(0.05)

    def ask(self) -> None:
        self.send(Primitive.FLOOR_REQUEST, FLOOR)


class Floors:
    """Everything that the floor control server says, by host, acknowledged at once."""

    def __init__(self, house: House, *systems: RoomSystem) -> None:
        self.house, self.systems = house, {system.host: system for system in systems}
        self.said: dict[str, list[Message]] = {system.host: [] for system in systems}

    def pump(self) -> None:
        while out := list(self.house.focus.presenting.datagrams()):
            for data, peer in out:
                message = bfcp.parse(data, peer.transport)
                self.said[peer.address[0]].append(message)
                acks = {Primitive.FLOOR_REQUEST_STATUS: Primitive.FLOOR_REQUEST_STATUS_ACK,
                        Primitive.FLOOR_STATUS: Primitive.FLOOR_STATUS_ACK}  # fmt: skip
                ack = acks.get(Primitive(message.primitive))
                if ack and not message.response and peer.transport == "udp":
                    self.systems[peer.address[0]].send(ack, transaction=message.transaction)

    def states(self, system: RoomSystem) -> list[Status]:
        """What became of its requests, since it was asked last."""
        self.pump()
        found = []
        for message in self.said[system.host]:
            information = message.first(Kind.FLOOR_REQUEST_INFORMATION)
            if message.primitive == Primitive.FLOOR_REQUEST_STATUS and information is not None:
                found.append(Status(information.inside[0].inside[0].content[0]))
        self.said[system.host].clear()
        return found


def presenter(house: House) -> str:
    """Whose content the room shows: by its address."""
    for status in house.focus.rooms():
        number = status.snapshot.presenter
        for person in status.snapshot.participants:
            if person.number == number:
                return person.uri.partition("@")[2]
    return ""


def shown(house: House) -> int:
    return next(iter(house.screen.rooms.values())).presenting


@pytest.mark.parametrize("proto", ["UDP/BFCP", "TCP/BFCP"])
def test_a_room_system_takes_the_floor_and_gives_it_back(proto: str) -> None:
    house = House(video=1)
    system = RoomSystem(house, "192.0.2.11", proto=proto).enter()
    floors = Floors(house, system)
    specs = list(house.screen.streams.values())
    assert [spec.content for spec in specs] == [False, True]
    assert len({spec.port for spec in specs}) == 2
    assert {spec.participant for spec in specs} == {specs[0].participant}
    system.send(Primitive.HELLO)
    system.ask()
    assert floors.states(system) == [Status.PENDING, Status.GRANTED]
    assert presenter(house) == "192.0.2.11"
    assert shown(house) == specs[0].participant
    request = bfcp.number(Kind.FLOOR_REQUEST_ID, 1)
    system.send(Primitive.FLOOR_RELEASE, request)
    assert floors.states(system) == [Status.RELEASED]
    assert presenter(house) == ""
    assert shown(house) == 0


def test_the_next_who_asks_takes_it_from_the_one_who_has_it() -> None:
    house = House(video=1)
    first, second = RoomSystem(house, "192.0.2.11").enter(), RoomSystem(house, "192.0.2.12").enter()
    floors = Floors(house, first, second)
    first.ask()
    assert floors.states(first) == [Status.PENDING, Status.GRANTED]
    second.ask()
    assert floors.states(first) == [Status.REVOKED]
    assert floors.states(second) == [Status.PENDING, Status.GRANTED]
    assert presenter(house) == "192.0.2.12"
    second.hangup()
    house.run(2)
    assert presenter(house) == ""
    first.ask()
    assert floors.states(first) == [Status.PENDING, Status.GRANTED]


def test_who_watches_the_floor_reads_the_name() -> None:
    house = House(video=1)
    first, second = RoomSystem(house, "192.0.2.11").enter(), RoomSystem(house, "192.0.2.12").enter()
    floors = Floors(house, first, second)
    second.send(Primitive.FLOOR_QUERY, FLOOR)
    first.ask()
    floors.pump()
    told = [message for message in floors.said[second.host] if message.primitive == Primitive.FLOOR_STATUS]
    information = told[-1].first(Kind.FLOOR_REQUEST_INFORMATION)
    assert information is not None
    assert "salle" in str(information)


def test_operators_take_it_too() -> None:
    house = House(video=1)
    system = RoomSystem(house, "192.0.2.11").enter()
    other = Terminal(house, "192.0.2.12")
    other.dial("demo")
    house.run(2)
    floors = Floors(house, system)
    system.ask()
    floors.states(system)
    number = house.focus.rooms()[0].snapshot.participants[1].number
    house.focus.tell("demo", lambda room: room.take_presentation(number, by=None, now=house.now), house.now)
    assert floors.states(system) == [Status.REVOKED]
    mine = house.focus.rooms()[0].snapshot.participants[0].number
    house.focus.tell("demo", lambda room: room.take_presentation(mine, by=None, now=house.now), house.now)
    system.ask()
    assert floors.states(system) == [Status.PENDING, Status.GRANTED]


def test_a_room_where_only_hosts_present_says_no() -> None:
    house = House(video=1, ad_hoc=False)
    house.focus.add_room(RoomSettings(name="conseil", presenters="hosts"))
    system = RoomSystem(house, "192.0.2.11").enter("conseil")
    floors = Floors(house, system)
    system.ask()
    assert floors.states(system) == [Status.PENDING, Status.DENIED]
    number = house.focus.rooms()[0].snapshot.participants[0].number
    house.focus.tell("conseil", lambda room: room.set_role(number, "host", by=None, now=house.now), house.now)
    system.ask()
    assert floors.states(system) == [Status.PENDING, Status.GRANTED]


def test_before_the_room_there_is_no_floor_to_have_but_somebody_to_talk_to() -> None:
    house = House(video=1, ad_hoc=False)
    house.focus.add_room(RoomSettings(name="conseil", host_pin="1234", guest_pin="5678"))
    system = RoomSystem(house, "192.0.2.11").enter("conseil")
    floors = Floors(house, system)
    system.send(Primitive.HELLO)
    floors.pump()
    assert [message.primitive for message in floors.said[system.host]] == [Primitive.HELLO_ACK]
    system.ask()
    assert floors.states(system) == [Status.PENDING, Status.DENIED]


def test_who_moves_to_another_room_leaves_the_floor_behind() -> None:
    house = House(video=1)
    system = RoomSystem(house, "192.0.2.11").enter()
    RoomSystem(house, "192.0.2.12").enter()
    RoomSystem(house, "192.0.2.13").enter("autre")
    floors = Floors(house, system)
    system.ask()
    floors.states(system)
    number = house.focus.rooms()[0].snapshot.participants[0].number
    house.focus.move(number, "autre", house.now)
    assert floors.states(system) == [Status.REVOKED]
    assert presenter(house) == ""
    system.ask()
    assert floors.states(system) == [Status.PENDING, Status.GRANTED]
    assert [s.snapshot.name for s in house.focus.rooms() if s.snapshot.presenter] == ["autre"]


def test_a_terminal_that_answers_nothing_any_more_loses_it() -> None:
    house = House(video=1)
    system = RoomSystem(house, "192.0.2.11").enter()
    RoomSystem(house, "192.0.2.12").enter()
    system.ask()
    assert presenter(house) == "192.0.2.11"
    house.run(20)
    assert presenter(house) == ""


def test_a_connection_that_ends_gives_it_back() -> None:
    house = House(video=1)
    system = RoomSystem(house, "192.0.2.11", proto="TCP/BFCP").enter()
    system.ask()
    assert presenter(house) == "192.0.2.11"
    house.focus.presenting.disconnected(system.peer, house.now)
    assert presenter(house) == ""


def test_a_second_picture_that_ends_gives_it_back() -> None:
    house = House(video=1)
    system = RoomSystem(house, "192.0.2.11").enter()
    system.ask()
    assert presenter(house) == "192.0.2.11"
    system.proto = ""
    system.again()
    assert presenter(house) == ""
    assert len(house.focus.presenting.server) == 0


def test_one_that_just_comes_is_shown_and_one_that_stops_is_not() -> None:
    house = House(video=1)
    system = RoomSystem(house, "192.0.2.11", proto="", direction="inactive").enter()
    assert presenter(house) == ""
    system.direction = "sendonly"
    system.again()
    assert presenter(house) == "192.0.2.11"
    other = RoomSystem(house, "192.0.2.12").enter()
    other.ask()
    assert presenter(house) == "192.0.2.12"
    system.again()
    assert presenter(house) == "192.0.2.12", "it was revoked, and an offer that says nothing new asks for nothing"
    system.direction = "inactive"
    system.again()
    assert presenter(house) == "192.0.2.12"


def test_the_end_of_the_call_takes_all_of_it_away() -> None:
    house = House(video=1)
    system = RoomSystem(house, "192.0.2.11").enter()
    system.ask()
    assert len(house.focus.presenting.server) == 1
    system.hangup()
    house.run(40)
    assert len(house.focus.presenting.server) == 0
    assert not house.screen.streams
    assert house.focus.calls == 0


def test_numbers_cannot_be_guessed_and_are_each_calls_own() -> None:
    house = House(video=1)
    systems = [RoomSystem(house, f"192.0.2.{n}").enter() for n in range(11, 15)]
    numbers = {int(system.line.first("confid") or 0) for system in systems}
    assert len(numbers) == 4
    assert all(number < 1 << 31 for number in numbers)
    stranger = replace(systems[0].peer, address=("192.0.2.66", 1))
    message = Message(Primitive.FLOOR_REQUEST, min(numbers), 1, int(systems[0].line.first("userid") or 0), (FLOOR,))
    house.focus.presenting.receive(bfcp.build(message), stranger, house.now)
    assert not list(house.focus.presenting.datagrams())
    assert presenter(house) == ""


def test_both_pictures_of_a_dialled_out_terminal() -> None:
    house = House(video=1)
    phone = Terminal(house, "192.0.2.11", video=VideoCapabilities())
    phone.local = replace(phone.local, content=30004)
    participant = house.focus.dial("demo", "sip:phone@192.0.2.11", house.now)
    house.focus.resolved(participant, [flow_to(phone)], "", house.now)
    house.run(3)
    assert sorted(spec.content for spec in house.screen.streams.values()) == [False, True]
    content = next(spec for spec in house.screen.streams.values() if spec.content)
    assert content.look is None
    assert presenter(house) == ""
