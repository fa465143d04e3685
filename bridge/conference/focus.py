"""The focus (RFC 4579): joins calls to rooms. The one place that knows calls, rooms and workers; it owns no socket and
no clock.

What comes in: the endpoint's events (:meth:`Focus.signalled`), the workers' (:meth:`Focus.heard`), commands of
operators, time. What goes out: commands to the endpoint and the workers, at once; and :meth:`Focus.events`, for whoever
watches and for what the focus can't do itself (look names up in the DNS).
"""

from __future__ import annotations

import math
import random
from collections import deque
from collections.abc import Callable, Iterator, Mapping, Sequence
from dataclasses import dataclass, field
from typing import Literal, Protocol, TypeVar

from bridge.signalling import event as sip
from bridge.signalling.alarms import Alarms, Sleeper
from bridge.signalling.endpoint import Endpoint
from bridge.signalling.endpoint_settings import EndpointSettings
from bridge.signalling.flow import Flow
from bridge.signalling.media_control import CONTENT_TYPE as MEDIA_CONTROL
from bridge.signalling.offer import Capabilities
from bridge.worker import protocol as media
from bridge.worker import protocol_video

from .address import kind_of, same, user_of
from .announcer import Announcer, Clips
from .attendance import Attendance, call_id_of, language_of, link_of
from .calls import Calls
from .desk import Desk, must_ask
from .dtmf_info import info_digit
from .error import Refused
from .focus_event import (
    CallCame,
    CallOver,
    Event,
    MediaTrouble,
    PinsRefused,
    SnapshotTaken,
    TextReceived,
    TilesChanged,
)
from .house import House, NoSuchRoom
from .inviting import Inviting, callable_uri
from .leg import Hearing, Leg
from .link import BadLink, Links, challenge, no_links, vouched
from .participant import Kind, Language
from .parties import Parties
from .party import Party, Talker, readable
from .phrase import Phrase, Spoken
from .placement import Placement
from .presenting import FloorPorts, Presenting
from .referral import Referring
from .room import Room
from .settings import RoomSettings
from .stage import Stage
from .status import RoomStatus, statuses
from .transports import TransportSettings, first_numbers
from .tries import Tries
from .video import VideoPlane, VideoSettings
from .watch import Watch

T = TypeVar("T")

BEAT = 20.0
"""Milliseconds that a media worker has for a beat."""
DRAINING = 5.0
"""Seconds that people are given to hear that the service closes before their calls are ended."""


class Told(Protocol):
    """A media worker, as far as the focus cares."""

    def send(self, command: media.Command) -> None: ...


@dataclass(frozen=True, slots=True)
class WorkerPorts:
    worker: Told
    ports: tuple[int, ...]
    """Its RTP ports, as it said when it was ready."""


@dataclass(frozen=True, slots=True)
class FocusSettings:
    capabilities: Capabilities
    clips: Clips
    template: RoomSettings
    """What a room is like that opens by being dialled."""
    ad_hoc: bool = True
    entries: Mapping[str, Language | Literal[""]] = field(default_factory=dict)
    """User parts that ask for a room number, with their language; "": the caller chooses it by key."""
    max_rooms: int = 2000
    streams: int = 4096
    """That one worker holds."""
    silence_timeout: float = 60.0
    """Seconds without a packet after which a call that is not on hold is taken for lost."""
    refer: Literal["nobody", "hosts", "participants"] = "hosts"
    """Who may have us call somebody by REFER from inside a room: it may cost money."""
    media_host: str = ""
    links: Links = no_links
    realm: str = "visiopont"


class Focus:
    def __init__(
        self,
        settings: FocusSettings,
        endpoint: Endpoint,
        endpoint_settings: EndpointSettings,
        workers: Mapping[int, WorkerPorts],
        *,
        rng: random.Random,
        random_bytes: Callable[[int], bytes],
        video: VideoSettings | None = None,
        floor: FloorPorts | None = None,
        transports: TransportSettings | None = None,
    ) -> None:
        """
        Args:
            video: None: nobody has a picture.
            floor: where terminals ask by BFCP for the right to show something; None: nowhere.
            transports: the gateway for browsers, and for phones that key by DTLS; None: neither is served.
        """
        self._video = (
            VideoPlane(video, lambda: self._calls.stream_number(), lambda: first_numbers(rng)) if video else None
        )
        self._last_snapshot = 0
        self._settings, self._endpoint = settings, endpoint
        self._alarms: Alarms[Sleeper] = Alarms()
        self._workers = workers
        self._placement = Placement({number: w.ports for number, w in workers.items()}, settings.streams)
        self._announcer = Announcer(self._send, settings.clips, self._alarms)
        self._house = House(
            settings.template,
            self._placement,
            self._send,
            ad_hoc=settings.ad_hoc,
            limit=settings.max_rooms,
            video=self._video,
        )
        self._calls = Calls(
            endpoint,
            endpoint_settings,
            self._placement,
            settings.capabilities,
            self._send,
            self,
            rng=rng,
            random_bytes=random_bytes,
            media_host=settings.media_host,
            video=self._video,
            transports=transports,
        )
        self._parties = Parties()
        self.attendance = Attendance(self._house, self._parties, self._calls, endpoint)
        self._outbox: deque[Event] = deque()
        """Drained after every mutation, so its length is bounded by what one event can cause."""
        self.presenting = Presenting(floor, self._house, self._parties, self._alarms, self._act, rng)
        """Its datagrams are to be sent, and what comes for it is to be given to it."""
        if self._video is not None:
            self._video.access, self._video.forget_floor = self.presenting.access, self.presenting.forget
        self._watch = Watch(endpoint, self._house, self._alarms, self._pictures)
        self._stage = Stage(
            self._house,
            self._placement,
            self._calls,
            self._announcer,
            self._watch,
            self._alarms,
            self._parties,
            self._outbox,
            self._send,
            settings.template.language,
            self._video,
            self.presenting,
        )
        self.tries = Tries()
        """Those at PINs: whoever asks for one elsewhere counts here too."""
        self._desk = Desk(self._stage, self._house, self._announcer, self._alarms, self._send, self.tries)
        self._referring = Referring(endpoint, self, settings.refer)
        self._inviting = Inviting(
            self._house,
            self._calls,
            self._parties,
            self._placement,
            self._stage,
            self._referring,
            self._outbox,
            self._forget,
        )
        self._draining = False
        endpoint.consult(self._can_be_called)
        endpoint.believe(lambda token: vouched(token, settings.links))

    def _send(self, worker: int, command: media.Command) -> None:
        self._workers[worker].worker.send(command)

    # ------------------------------------------------------------------------------------ the sans-IO core

    def events(self) -> Iterator[Event]:
        """Drain what happened."""
        while self._outbox:
            yield self._outbox.popleft()

    def deadline(self) -> float | None:
        times = (self._alarms.deadline(), self._calls.deadline())
        return min((when for when in times if when is not None), default=None)

    def expire(self, now: float) -> None:
        self._calls.expire(now)
        for sleeper, name in self._alarms.due(now):
            sleeper.wake(name, now)

    def wake(self, name: str, now: float) -> None:
        """Our own alarm: the service closes."""
        for leg in list(self._calls.by_call.values()):
            self._calls.hangup(leg, now, "the service closes")

    # ------------------------------------------------------------------------------------ what calls do

    def signalled(self, event: sip.Event, now: float) -> None:
        """Take an event of the endpoint."""
        match event:
            case sip.IncomingCall():
                self._incoming(event, now)
            case sip.CallProgress():
                self._calls.progress(event)
                self._referring.progress(self._party_of(event.call), event.code, now)
            case sip.CallAnswered():
                self._calls.answered(event, now)
            case sip.AnswerReceived():
                self._calls.answer_received(event, now)
            case sip.OfferReceived():
                self._calls.offered(event, now)
            case sip.OfferAnswered():
                self._calls.offer_answered(event, now)
            case sip.OfferRefused():
                self._calls.offer_refused(event, now)
            case sip.CallEnded():
                self._calls.ended(event, now)
            case sip.InfoReceived():
                self._informed(event, now)
            case sip.MessageReceived():
                self._message(event)
            case sip.ReferReceived():
                self._referring.received(event, self._party_of(event.call) if event.call else None, now)
            case sip.SubscribeReceived():
                self._watch.subscribed(event, now)
            case sip.SubscriptionRefreshed():
                self._watch.refreshed(event, now)
            case sip.SubscriptionEnded():
                self._watch.ended(event)
            case sip.CallConfirmed():
                self._calls.confirmed(event)
            case _:  # registrations, rejections, malformed bytes, how a REFER of ours goes: for whoever watches
                self._outbox.append(event)

    def _party_of(self, call: int) -> Party | None:
        return self._parties.of(self._calls.by_call.get(call))

    def _incoming(self, event: sip.IncomingCall, now: float) -> None:
        replaced = self._party_of(event.replaces) if event.replaces is not None else None
        if replaced is not None:
            self._replace(event, replaced, now)
            return
        user = user_of(event.request_uri)
        entry = self._settings.entries.get(user.lower())
        settings: RoomSettings | None = None
        if entry is None:
            try:
                settings = self._house.dialled(user)
            except NoSuchRoom as error:
                self._endpoint.reject(event.call, 404, now, str(error))
                return
        try:
            link = link_of(event, settings, self._settings.links)
        except BadLink as error:
            told = [challenge(self._settings.realm, error.fault)]
            self._endpoint.reject(event.call, 401, now, str(error), headers=told)
            return
        if settings is not None and settings.guest_pin and link is None:
            wait = self.tries.refuse(event.flow.remote[0], event.from_uri, now)
            if wait > 0:
                self._endpoint.reject(event.call, 480, now, "Too many wrong PINs", math.ceil(wait))
                self._outbox.append(PinsRefused(event.from_uri, event.flow.remote[0], settings.name))
                return
        on = self._house.running.get(settings.name) if settings else None
        worker = on.worker if on else self._placement.least_busy()
        leg = self._calls.answer(event, worker, Hearing(), now, pictures=settings is None or settings.video)
        if leg is None:
            return
        leg.call_id = call_id_of(event)
        caller = readable(event.from_display) or readable(link.name if link else "")
        caller = caller or readable(user_of(event.from_uri)) or readable(event.from_uri)
        kind: Kind = "web" if event.flow.transport.websocket else kind_of(event.from_uri)
        party = self._parties.add(Party(0, kind, caller, event.from_uri, leg, event.user, settings))
        party.language = entry or language_of(event)
        party.vouched, party.role = link is not None, link.role if link else "guest"
        self._outbox.append(CallCame(party.number, event.call, event.from_uri, user, leg.call_id))
        if event.offer is not None and leg.keyed:  # Calls told us before we knew the party
            self.call_up(leg, now)

    def _can_be_called(self, uri: str) -> bool:
        user = user_of(uri)
        return user.lower() in self._settings.entries or self._house.find(user) is not None

    def _replace(self, event: sip.IncomingCall, party: Party, now: float) -> None:
        """RFC 3891: another device of the same participant takes its call over."""
        assert party.leg is not None
        before = party.leg
        leg = self._calls.answer(event, before.worker, party.hearing, now, before.sight, pictures=before.pictures)
        if leg is None:
            return
        old, leg.call_id = party.leg, call_id_of(event)
        self._parties.connect(party, leg)
        self._announcer.gone(old.stream)
        self._calls.hangup(old, now, "replaced")
        self.presenting.replaced(party, now)
        self.presenting.changed_call(party, now)

    def call_up(self, leg: Leg, now: float) -> None:
        """Media is agreed: on to the PIN, or the room."""
        party = self._parties.of(leg)
        if party is not None:
            self.presenting.changed_call(party, now)
        if party is None or party.room or party.admission is not None or party.leaving:
            return
        settings = party.bound_for
        if party.referral is not None:
            self._referring.answered(party, now)
        if settings is not None and (party.invited or party.vouched or not must_ask(settings, party.kind)):
            self._stage.join(party, settings, now)
        else:
            self._desk.ask(party, now)

    def call_over(self, leg: Leg, code: int, reason: str, local: bool, now: float) -> None:
        """The call has ended, or never came to be."""
        party = self._parties.disconnect(leg)
        self._announcer.gone(leg.stream)
        if party is None or party.leg is not leg:
            return
        self._referring.failed(party, code or 487, reason, now)
        self._forget(party)
        room = party.room or (party.bound_for.name if party.bound_for else "")
        if party.room:
            running = self._house.on(party.room)
            lost = bool(code) or party.leaving == "lost"
            running.room.leave(party.number, now, reason="lost" if lost else "hung-up")
            self._stage.carry_out(running, now)
        self._outbox.append(CallOver(party.number, party.uri, room, code, party.leaving or reason, local))

    def _forget(self, party: Party) -> None:
        self._parties.forget(party)
        self._desk.forget(party)

    def call_changed(self, leg: Leg, now: float) -> None:
        """Something else is agreed, of its pictures perhaps."""
        if (party := self._parties.of(leg)) is not None:
            self._stage.seen(party, now)
            self.presenting.changed_call(party, now)
            if party.room:
                self._watch.changed(party.room, now)

    def _pictures(self, room: str) -> dict[int, str] | None:
        """Whose pictures go which way, as they see it; None: the room has none."""
        running = self._house.running.get(room)
        if running is None or not self._house.has_picture(running):
            return None
        found = {}
        for person in running.room.participants():
            party = self._parties.get(person.number)
            seen = party.leg.seen if party is not None and party.leg is not None else None
            if seen is not None:
                found[person.number] = seen.direction.reversed.value
        return found

    def _informed(self, event: sip.InfoReceived, now: float) -> None:
        """INFO: a key, or a wish for a whole picture (RFC 5168)."""
        if event.content_type == MEDIA_CONTROL:
            leg = self._calls.by_call.get(event.call)
            if leg is not None and self._video is not None:
                self._video.asked(leg, event.body)
            return
        party, digit = self._party_of(event.call), info_digit(event.content_type, event.body)
        if party is not None and digit:
            self._pressed(party, digit, "info", now)

    def _message(self, event: sip.MessageReceived) -> None:
        party = self._party_of(event.call) if event.call else None
        if party is not None and party.room and event.content_type == "text/plain":
            text = event.body[:4096].decode("utf-8", "replace")
            self._outbox.append(TextReceived(party.number, party.room, text))

    # ------------------------------------------------------------------------------------ what workers say

    def heard(self, worker: int, event: media.Event, now: float) -> None:
        """Take an event of a media worker."""
        match event:
            case media.Latched(stream, remote):
                self._calls.latched(worker, stream, remote.host)
            case media.Key(stream, digit, source):
                if (party := self._party_at(stream)) is not None:
                    self._pressed(party, digit, source, now)
            case media.Speaking(number, stream):
                running = self._house.by_media(number)
                if running is not None:
                    party = self._party_at(stream)
                    running.room.speaking(party.number if party else None, now)
                    self._stage.carry_out(running, now)
            case media.Datagrams():
                self._calls.arrived(event, now)
            case media.Silent(stream, seconds):
                self._silent(stream, seconds, now)
            case media.Said(number, _):
                self._announcer.said(number, now)
            case media.Captured(capture, _, seconds):
                self._desk.captured(capture, seconds, now)
            case media.Report():
                self._placement.works(worker, event.beat_p50_ms / BEAT)
                self._calls.reported(event.streams)
                self._parties.reported(event.streams)
            case media.Trouble(reason, _, _):
                self._outbox.append(MediaTrouble(worker, reason))
            case _:
                pass

    def watched(self, worker: int, event: protocol_video.VideoEvent, now: float) -> None:
        """Take an event of a video worker."""
        video = self._video
        if video is None:
            return
        match event:
            case media.Latched(stream, remote):
                video.latched(worker, stream, remote.host)
            case protocol_video.KeyframeWanted(stream):
                wish = video.wish(stream, now)
                if wish is not None:
                    call, body = wish
                    self._endpoint.info(call, MEDIA_CONTROL, body, now)
            case protocol_video.TileShows():
                if (party := self._party_of(video.tiles.shows(event))) is not None:
                    self._outbox.append(TilesChanged(party.number))
            case protocol_video.VideoReport():
                video.reported(event.streams)
            case protocol_video.SnapshotDone(number, error):
                self._outbox.append(SnapshotTaken(number, error))
            case media.Trouble(reason, _, _):
                self._outbox.append(MediaTrouble(worker, reason))
            case _:
                pass

    def _party_at(self, stream: int) -> Party | None:
        leg = self._calls.by_stream.get(stream)
        return self._parties.of(leg) or self._parties.simulated(stream)

    def _pressed(self, party: Party, digit: str, source: str, now: float) -> None:
        """A key: once a press, in however many forms it arrives."""
        if not party.digits.accept(digit, source, now):
            return
        if party.admission is not None:
            self._desk.pressed(party, digit, now)
        elif party.room:
            if party.leg is not None:
                self._announcer.hush(party.leg)
            running = self._house.on(party.room)
            running.room.press(party.number, digit, now)
            self._stage.carry_out(running, now)

    def _silent(self, stream: int, seconds: float, now: float) -> None:
        """Nothing comes from there: gone without BYE, unless it is on hold or has nothing to send. Whoever does ICE
        says all the same that it is there (RFC 7675)."""
        leg = self._calls.by_stream.get(stream)
        party = self._parties.of(leg)
        if leg is None or party is None or leg.agreed is None or seconds < self._settings.silence_timeout:
            return
        if leg.reached and (leg.agreed.on_hold or not leg.agreed.receive):
            return
        self._stage.let_go(party, "lost", now)

    # ------------------------------------------------------------------------------------ operators' commands

    def add_room(self, settings: RoomSettings) -> None:
        """A room that can be dialled from now on.

        Raises:
            ValueError: its number is another room's.
        """
        self._house.register(settings)

    def known_rooms(self) -> tuple[RoomSettings, ...]:
        """Those that were added; on or not."""
        return tuple(self._house.known())

    def remove_room(self, name: str, now: float) -> None:
        """End the conference for all, and forget the room."""
        running = self._house.running.get(name.lower())
        if running is not None:
            running.room.end(by=None, now=now)
            self._stage.carry_out(running, now)
        else:
            self._watch.over(name.lower(), now)
        self._house.forget(name.lower())

    def tell(self, room: str, command: Callable[[Room], T], now: float) -> T:
        """Run a command of the room ``room`` and carry out what follows.

        Raises:
            NoSuchRoom: it is not on.
            RoomError: what the command raises.
        """
        running = self._house.on(room)
        result = command(running.room)
        self._stage.carry_out(running, now)
        return result

    def _act(self, room: str, command: Callable[[Room], None], now: float) -> None:
        self.tell(room, command, now)

    def move(self, participant: int, room: str, now: float, by: int | None = None) -> None:
        """Move somebody to another room without ending the call.

        Raises:
            NoSuchRoom: there is no such room, or the participant is in none.
            RoomError: it may not be taken out.
        """
        party = self._parties.get(participant)
        settings = self._house.dialled(room)
        if party is None or not party.room or party.leg is None:
            raise NoSuchRoom(f"participant {participant} is in no room: `visiopont rooms` lists who is where")
        running = self._house.on(party.room)
        was = running.room.take_out(participant, by=by, now=now)
        self._stage.carry_out(running, now)
        party.invited, party.role = True, was.role
        self._stage.join(party, settings, now, moved_from=was)

    def transfer(self, participant: int, uri: str, now: float) -> None:
        """Ask a participant's terminal to call ``uri`` instead (REFER); it hangs up when that call is up.

        Raises:
            NoSuchRoom: nobody of that number has a call.
            ValueError: ``uri`` is none that can be called.
        """
        callable_uri(uri)
        party = self._parties.get(participant)
        if party is None or party.leg is None:
            raise NoSuchRoom(f"participant {participant} has no call: `visiopont rooms` lists who is where")
        self._endpoint.refer(party.leg.call, uri, now)

    def snapshot(self, room: str, path: str, now: float) -> int:
        """Have the room's picture written as PNG; :class:`SnapshotTaken` with the number follows.

        Raises:
            NoSuchRoom: it is not on.
            Refused: it has no picture.
        """
        running = self._house.on(room)
        if self._video is None or not self._house.has_picture(running):
            raise Refused("no-picture", f"room {running.room.name} has no picture: see [video] and the room's settings")
        self._last_snapshot += 1
        wanted = protocol_video.Snapshot(snapshot=self._last_snapshot, room=running.media, path=path)
        self._video.send(running.worker, wanted)
        return self._last_snapshot

    def dial(
        self,
        room: str,
        uri: str,
        now: float,
        *,
        name: str = "",
        headers: Sequence[tuple[str, str]] = (),
        referral: int | None = None,
    ) -> int:
        """As :meth:`.inviting.Inviting.dial`."""
        return self._inviting.dial(room, uri, name=name, headers=headers, referral=referral)

    def resolved(self, participant: int, targets: Sequence[Flow], error: str, now: float, *, uri: str = "") -> None:
        """As :meth:`.inviting.Inviting.resolved`."""
        self._inviting.resolved(participant, targets, error, now, uri=uri)

    def cancel(self, participant: int, now: float) -> None:
        """Stop calling somebody."""
        self._inviting.cancel(participant, now)

    def dialled_room(self, uri: str) -> str:
        """The room that a Request-URI means; "" if none."""
        try:
            return self._house.dialled(user_of(uri)).name
        except NoSuchRoom:
            return ""

    def is_host(self, party: Party) -> bool:
        """Of the room that it is in."""
        running = self._house.running.get(party.room)
        return running is not None and running.room.participant(party.number).role == "host"

    def participant_of(self, room: str, uri: str) -> int | None:
        """Who of ``room`` has that address."""
        running = self._house.running.get(room)
        people = running.room.participants() if running is not None else ()
        return next((person.number for person in people if same(person.uri, uri)), None)

    def simulate(self, room: str, talkers: Sequence[tuple[str, tuple[str, ...]]], now: float) -> None:
        """Put simulated talkers, (name, clips) each, into a room; they take turns."""
        settings = self._house.dialled(room)
        running = self._stage.open(settings, now, None)
        for turn, (name, clips) in enumerate(talkers):
            stream = self._calls.stream_number()
            self._placement.simulate(running.worker, stream)
            picture = self._calls.stream_number() if self._video is not None else 0
            talker = Talker(running.worker, stream, clips, turn, len(talkers), picture)
            party = self._parties.add(Party(0, "simulated", name, f"sim:{turn + 1}", talker=talker))
            self._stage.join(party, settings, now)

    def drain(self, now: float) -> None:
        """No new calls any more; those in rooms are told, and hung up after :data:`DRAINING` seconds."""
        if self._draining:
            return
        self._draining = True
        self._endpoint.drain(now)
        for running in self._house.running.values():
            spoken = Spoken(Phrase.SERVICE_CLOSES)
            self._announcer.to_room(running.worker, running.media, spoken, running.room.settings.language)
        self._alarms.set(self, "close", now + (DRAINING if self._calls.by_call else 0.0))

    @property
    def calls(self) -> int:
        """Calls that are up, or on their way."""
        return len(self._calls.by_call)

    def rooms(self) -> list[RoomStatus]:
        """Every conference that is on."""
        return statuses(self._house, self._parties, self._calls, self._video)
