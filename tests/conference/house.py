"""A focus between real endpoints on a simulated network, and workers that only take notes: all in virtual time."""

from __future__ import annotations

import random
from dataclasses import replace
from typing import Any

from bridge.conference.focus import Focus, FocusSettings, WorkerPorts
from bridge.conference.focus_event import Event
from bridge.conference.phrase import Spoken
from bridge.conference.presenting import FloorPorts
from bridge.conference.settings import RoomSettings
from bridge.conference.transports import TransportSettings
from bridge.conference.video import VideoPorts, VideoSettings
from bridge.signalling import event as sip
from bridge.signalling.endpoint import Endpoint
from bridge.signalling.endpoint_settings import EndpointSettings
from bridge.signalling.flow import Flow, Transport
from bridge.signalling.offer import Capabilities, Local, Negotiator
from bridge.signalling.video_codec import VideoCapabilities
from bridge.worker import protocol as media
from bridge.worker import protocol_video as pictures
from tests.signalling.network import Network

BRIDGE = ("192.0.2.1", 5060)


class Notes:
    """A worker that writes down what it is told."""

    def __init__(self) -> None:
        self.told: list[media.Command] = []

    def send(self, command: media.Command) -> None:
        self.told.append(command)

    @property
    def streams(self) -> dict[int, media.SetStream]:
        """What each stream is now."""
        now: dict[int, media.SetStream] = {}
        for command in self.told:
            if isinstance(command, media.SetStream):
                now[command.stream] = command
            elif isinstance(command, media.DropStream):
                now.pop(command.stream, None)
        return now

    @property
    def rooms(self) -> set[int]:
        now: set[int] = set()
        for command in self.told:
            if isinstance(command, media.SetRoom):
                now.add(command.room)
            elif isinstance(command, media.DropRoom):
                now.discard(command.room)
        return now


class VideoNotes:
    """A video worker that writes down what it is told."""

    def __init__(self) -> None:
        self.told: list[pictures.VideoCommand] = []

    def send(self, command: pictures.VideoCommand) -> None:
        self.told.append(command)

    def of(self, kind: type[Any]) -> list[Any]:
        return [command for command in self.told if isinstance(command, kind)]

    @property
    def streams(self) -> dict[int, pictures.SetVideoStream]:
        """What each stream is now."""
        now: dict[int, pictures.SetVideoStream] = {}
        for command in self.told:
            if isinstance(command, pictures.SetVideoStream):
                now[command.stream] = command
            elif isinstance(command, pictures.DropVideoStream):
                now.pop(command.stream, None)
        return now

    @property
    def tiles(self) -> dict[str, pictures.SetTile]:
        """What each tile is now, by mid."""
        now: dict[int, pictures.SetTile] = {}
        for command in self.told:
            if isinstance(command, pictures.SetTile):
                now[command.stream] = command
            elif isinstance(command, pictures.DropVideoStream):
                now.pop(command.stream, None)
        return {tile.mid: tile for tile in now.values()}

    @property
    def rooms(self) -> dict[int, pictures.SetVideoRoom]:
        now: dict[int, pictures.SetVideoRoom] = {}
        for command in self.told:
            if isinstance(command, pictures.SetVideoRoom):
                now[command.room] = command
            elif isinstance(command, pictures.DropVideoRoom):
                now.pop(command.room, None)
        return now


class Terminal:
    """A phone: an endpoint that makes and answers calls with a negotiator, and keeps what it was told."""

    def __init__(
        self,
        house: House,
        host: str,
        codecs: tuple[str, ...] = ("PCMU",),
        srtp: str = "off",
        video: VideoCapabilities | None = None,
    ) -> None:
        self.house, self.host = house, host
        self.endpoint = house.endpoint((host, 5060))
        self.capabilities = Capabilities.of(codecs, srtp)
        self.negotiator = Negotiator(self.capabilities, house.rng.randbytes, 1, video)
        self.local = Local(host, 30000, 30001, video=30002 if video else 0)
        self.answers = True
        self.call = 0
        house.terminals[self.endpoint] = self

    def dial(self, user: str, *, late: bool = False, **kw: Any) -> None:
        flow = Flow(Transport.UDP, (self.host, 5060), BRIDGE)
        sdp = None if late else self.negotiator.offer(self.local)
        kw.setdefault("from_uri", f"sip:phone@{self.host}")
        self.call = self.endpoint.dial(f"sip:{user}@{BRIDGE[0]}", [flow], sdp, self.house.now, **kw)

    def take(self, event: sip.Event, now: float) -> None:
        match event:
            case sip.CallAnswered(call, body) if call == self.call and body:
                if self.negotiator.agreed is None and b"late" in self.pending:
                    self.endpoint.acknowledge(call, self.negotiator.answer(body, self.local)[0], now)
                else:
                    self.negotiator.accept(body)
            case sip.OfferReceived(call, body):
                if body is None:
                    self.endpoint.accept(call, self.negotiator.offer(self.local), now)
                else:
                    self.endpoint.accept(call, self.negotiator.answer(body, self.local)[0], now)
            case sip.OfferAnswered(call, body) if body:
                if self.asked:
                    self.asked = False
                    self.endpoint.acknowledge(call, self.negotiator.answer(body, self.local)[0], now)
                else:
                    self.negotiator.accept(body)
            case sip.IncomingCall() if self.answers:
                self.call = event.call
                self.endpoint.answer(event.call, self.negotiator.answer(event.offer or b"", self.local)[0], now)

    pending = b""
    asked = False
    """We asked for an offer by an empty re-INVITE: the answer goes into the ACK."""

    def hold(self, on: bool) -> None:
        self.endpoint.offer(self.call, self.negotiator.offer(self.local, hold=on), self.house.now)

    def camera(self, on: bool) -> None:
        local = replace(self.local, video=30002 if on else 0)
        self.endpoint.offer(self.call, self.negotiator.offer(local), self.house.now)

    def hangup(self) -> None:
        self.endpoint.hangup(self.call, self.house.now)

    def events(self, kind: type[Any]) -> list[Any]:
        return self.house.events(self.endpoint, kind)


class House(Network):
    """The bridge at 192.0.2.1, with workers 1 to N of 4 ports each."""

    def __init__(
        self,
        *,
        workers: int = 1,
        video: int = 0,
        seed: int = 1,
        loss: float = 0.0,
        transports: TransportSettings | None = None,
        tiles: int = 0,
        tiles_held: int = 100,
        **settings: Any,
    ) -> None:
        """``video``: so many video workers. ``tiles``: of a call."""
        super().__init__(seed, loss=loss)
        self.terminals: dict[Endpoint, Terminal] = {}
        endpoint_settings = EndpointSettings()
        self.bridge = self.endpoint(BRIDGE, settings=endpoint_settings)
        self.workers = {n: Notes() for n in range(1, workers + 1)}
        ports = {
            n: WorkerPorts(notes, tuple(range(16000 + 100 * n, 16008 + 100 * n, 2)))
            for n, notes in self.workers.items()
        }
        self.screens = {n: VideoNotes() for n in range(video)}
        seen = {
            n: VideoPorts(notes, tuple(range(26000 + 100 * n, 26016 + 100 * n, 2))) for n, notes in self.screens.items()
        }
        settings.setdefault("capabilities", Capabilities.of(("opus", "G722", "PCMU"), "offered"))
        settings.setdefault("template", RoomSettings(name="template"))
        self.focus = Focus(
            FocusSettings(clips=clips, **settings),
            self.bridge,
            endpoint_settings,
            ports,
            rng=random.Random(seed),
            random_bytes=self.rng.randbytes,
            video=VideoSettings(VideoCapabilities(), seen, tiles=tiles, tiles_held=tiles_held) if seen else None,
            floor=FloorPorts(5070, 5070) if seen else None,
            transports=transports,
        )
        self.told: list[Event] = []

    @property
    def notes(self) -> Notes:
        return self.workers[1]

    def _drain(self) -> None:
        busy = True
        while busy:
            busy = False
            for endpoint in list(dict.fromkeys(self.endpoints.values())):
                for data, flow in endpoint.datagrams():
                    self.carry(data, flow)
                for event in endpoint.events():
                    busy = True
                    self.seen[endpoint].append(event)
                    if endpoint is self.bridge:
                        self.focus.signalled(event, self.now)
                    elif endpoint in self.terminals:
                        self.terminals[endpoint].take(event, self.now)
        self.told.extend(self.focus.events())

    def run(self, seconds: float = 1.0) -> None:
        """Network, endpoints and focus together."""
        end = self.now + seconds
        while self.now < end:
            when = self.focus.deadline()
            step = end if when is None else min(max(when, self.now), end)
            super().run(step - self.now)
            if when is not None and when <= self.now:
                self.focus.expire(self.now)
                self._drain()

    def heard(self, event: media.Event, worker: int = 1) -> None:
        self.focus.heard(worker, event, self.now)
        self._drain()

    def watched(self, event: pictures.VideoEvent, worker: int = 0) -> None:
        self.focus.watched(worker, event, self.now)
        self._drain()

    @property
    def screen(self) -> VideoNotes:
        return self.screens[0]

    def press(self, stream: int, keys: str) -> None:
        for key in keys:
            self.heard(media.Key(stream=stream, digit=key, source="event"))
            self.run(0.3)

    def say_all(self) -> None:
        """Everything that is being said comes to its end."""
        for notes in self.workers.values():
            for command in [c for c in notes.told if isinstance(c, media.Say)]:
                self.heard(media.Said(say=command.say))

    def spoken(self, stream: int = 0, room: int = 0) -> list[str]:
        """Phrases said to a stream or a room."""
        return [
            clip.partition(" ")[0]
            for notes in self.workers.values()
            for command in notes.told
            if isinstance(command, media.Say) and (command.stream, command.room) == (stream, room)
            for clip in command.clips
        ]

    def people(self, room: str) -> list[str]:
        return [
            person.uri
            for status in self.focus.rooms()
            if status.snapshot.name == room
            for person in status.snapshot.participants
        ]


def clips(spoken: Spoken, language: str) -> tuple[str, ...]:
    """Phrases as they are, instead of files."""
    return (f"{spoken.phrase} {language}",)
