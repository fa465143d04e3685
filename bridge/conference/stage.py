"""Rooms on stage: what a room's events ask of media, calls and speech, carried out in their order."""

from __future__ import annotations

from collections import deque
from collections.abc import Callable

from bridge.signalling.alarms import Alarms, Sleeper
from bridge.worker import protocol as media
from bridge.worker import protocol_video

from . import event as room_event
from .announcer import Announcer
from .calls import Calls
from .error import Refused
from .focus_event import Event, RoomOpened
from .house import House, Running, TooManyRooms
from .leg import Hearing
from .participant import Language, Participant
from .parties import Parties
from .party import Party
from .phrase import Phrase, Spoken
from .placement import Placement
from .presenting import Presenting
from .settings import RoomSettings
from .video import NOWHERE, WAITING, Sight, VideoPlane
from .watch import Watch


class Stage:
    def __init__(
        self,
        house: House,
        placement: Placement,
        calls: Calls,
        announcer: Announcer,
        watch: Watch,
        alarms: Alarms[Sleeper],
        parties: Parties,
        outbox: deque[Event],
        send: Callable[[int, media.Command], None],
        language: Language,
        video: VideoPlane | None,
        presenting: Presenting,
    ) -> None:
        """``language``: of whoever never came to a room."""
        self._presenting = presenting
        self._video = video
        self._voices: dict[int, tuple[int, int]] = {}
        """Participants whose names stand for pictures: worker and media room where they do."""
        self._house, self._placement, self._calls, self._announcer = house, placement, calls, announcer
        self._watch, self._alarms, self._parties, self._outbox = watch, alarms, parties, outbox
        self._send, self._language = send, language

    def let_go(self, party: Party, reason: str, now: float, spoken: Spoken | None = None) -> None:
        """End a party's call, when ``spoken`` has been said to it."""
        leg = party.leg
        party.leaving = party.leaving or reason
        if leg is None:
            return
        if spoken is None:
            self._calls.hangup(leg, now, reason)
            return
        language = party.language or self._language
        self._announcer.to_one(leg, spoken, language, now, then=lambda now: self._calls.hangup(leg, now, reason))

    def join(self, party: Party, settings: RoomSettings, now: float, moved_from: Participant | None = None) -> None:
        try:
            running = self.open(settings, now, party.leg.worker if party.leg else None)
            running.room.join(
                party.number,
                now,
                kind=party.kind,
                name=party.name,
                uri=party.uri,
                role=party.role,
                language=party.language,
                voice_prompts=party.kind != "simulated",
                recorded_name=party.recorded_name,
                invited=party.invited,
                moved_from=moved_from,
            )
        except Refused as error:
            self.let_go(party, error.reason, now, Spoken(error.phrase or Phrase.GOODBYE))
            return
        except TooManyRooms as error:
            self.let_go(party, str(error), now, Spoken(Phrase.ROOM_FULL))
            return
        party.room = settings.name
        party.language = running.room.participant(party.number).language
        self.carry_out(running, now)
        if party.leg is not None and not settings.video:
            self._calls.without_pictures(party.leg, now)

    def open(self, settings: RoomSettings, now: float, prefer: int | None) -> Running:
        fresh = settings.name not in self._house.running
        running = self._house.open(settings, now, prefer, self._woke)
        if fresh:
            self._outbox.append(RoomOpened(settings.name))
        return running

    def _woke(self, running: Running, now: float) -> None:
        running.room.expire(now)
        self.carry_out(running, now)

    def carry_out(self, running: Running, now: float) -> None:
        """What a room's events ask of media and calls; then pass them on."""
        room = running.room
        news = False
        for event in room.events():
            news = True
            self._outbox.append(event)
            match event:
                case room_event.Joined(_, number) | room_event.Admitted(_, number):
                    self._place(running, number, now)
                    if (party := self._parties.get(number)) is not None:
                        self._presenting.changed_call(party, now)
                case (
                    room_event.Waiting(_, number)
                    | room_event.Muted(_, number)
                    | room_event.Deafened(_, number)
                    | room_event.GainsChanged(_, number)
                    | room_event.Renamed(_, number)
                ):
                    self._place(running, number, now)
                case room_event.LayoutChanged(_, None) | room_event.Reserved():
                    self._house.picture(running)
                case room_event.LayoutChanged(_, int(number)):
                    self._place(running, number, now)
                case room_event.SpeakerChanged() | room_event.Pinned():
                    self._in_view(running)
                case room_event.PresentationChanged():
                    self._house.picture(running)
                    self._presenting.changed_room(running, now)
                case room_event.Left(_, number, _, _):
                    self._take_out(number, now)
                case room_event.Hangup(_, number, reason, spoken):
                    if party := self._parties.get(number):
                        self.let_go(party, reason, now, spoken)
                case room_event.Announce(_, spoken, to):
                    self._announce(running, spoken, to, now)
                case room_event.Tone(_, kind):
                    self._announcer.play(running.worker, running.media, (f"tone:{kind}",))
                case room_event.SettingsChanged():
                    self._house.changed(running)
                    self._house.describe(running)
                    self._pictures(running, now)
                case room_event.Ended():
                    self._over(running, now)
        if room.ended:
            return
        when = room.deadline()
        if when is None:
            self._alarms.clear(running, "room")
        else:
            self._alarms.set(running, "room", when)
        if news:
            self._watch.changed(room.name, now)

    def _place(self, running: Running, number: int, now: float) -> None:
        """Tell the worker what the participant hears, and who hears it."""
        party = self._parties.get(number)
        if party is None or number not in running.room:
            return
        view = running.room.participant(number)
        inside = view.state == "in"
        party.hearing = Hearing(
            running.media if inside else 0, view.muted, view.deaf, float(view.voice), float(view.volume)
        )
        if party.leg is not None:
            party.leg.pictures |= running.room.settings.video
            self._calls.place(party.leg, party.hearing, now, self._sight(running, party, view, inside=inside))
            self._voice(running, party, view, inside=inside)
        elif party.talker is not None:
            talker = party.talker
            self._send(
                talker.worker,
                media.SetTalker(
                    stream=talker.stream,
                    room=running.media,
                    clips=talker.clips,
                    turn=talker.turn,
                    turns=talker.turns,
                    muted=view.muted,
                ),
            )
            if self._video is not None and talker.picture and self._house.has_picture(running):
                painted = protocol_video.SetPainted(
                    stream=talker.picture, room=running.media, name=view.name, participant=number, muted=view.muted
                )
                self._video.send(talker.worker, painted)

    def _sight(self, running: Running, party: Party, view: Participant, *, inside: bool) -> Sight:
        """What the participant sees, and how it is seen."""
        if not inside or not self._house.has_picture(running):
            return NOWHERE
        own = running.room.look_of(party.number)
        waiting = WAITING[party.language or running.room.settings.language]
        return Sight(running.media, party.number, view.name, view.muted, own, waiting)

    def _voice(self, running: Running, party: Party, view: Participant, *, inside: bool) -> None:
        """Who sends no picture has a tile with the name, where the room wants that."""
        if self._video is None or party.leg is None:
            return
        shown = inside and self._house.has_picture(running) and running.room.look.voices
        if shown and party.leg.seen is None:
            self._voices[party.number] = (running.worker, running.media)
            voice = protocol_video.SetVoice(
                participant=party.number, room=running.media, name=view.name, muted=view.muted
            )
            self._video.send(running.worker, voice)
        else:
            self._no_voice(party.number)

    def _no_voice(self, number: int) -> None:
        worker, room = self._voices.pop(number, (0, 0))
        if room and self._video is not None:
            self._video.send(worker, protocol_video.DropVoice(participant=number, room=room))

    def _in_view(self, running: Running) -> None:
        """Who has the large tile."""
        if self._video is not None and self._house.has_picture(running):
            speaker = protocol_video.SetSpeaker(room=running.media, participant=running.room.in_view or 0)
            self._video.send(running.worker, speaker)

    def _pictures(self, running: Running, now: float) -> None:
        """The room's pictures were turned on or off, or who has a tile was changed."""
        if self._video is not None:
            for person in running.room.participants():
                self._place(running, person.number, now)

    def seen(self, party: Party, now: float) -> None:
        """What is agreed of a party's pictures has changed."""
        running = self._house.running.get(party.room)
        if running is not None and party.number in running.room:
            view = running.room.participant(party.number)
            self._voice(running, party, view, inside=view.state == "in")

    def _take_out(self, number: int, now: float) -> None:
        self._no_voice(number)
        party = self._parties.get(number)
        self._presenting.left(number, party.leg if party is not None else None, now)
        if party is None:
            return
        party.room, party.hearing = "", Hearing()
        if party.leg is not None:
            self._calls.place(party.leg, party.hearing, now)
        elif party.talker is not None:
            self._send(party.talker.worker, media.DropStream(stream=party.talker.stream))
            if self._video is not None and party.talker.picture:
                gone = protocol_video.DropVideoStream(stream=party.talker.picture)
                self._video.send(party.talker.worker, gone)
            self._placement.take_away(party.talker.worker, party.talker.stream)
            self._parties.forget(party)

    def _announce(self, running: Running, spoken: Spoken, to: int | None, now: float) -> None:
        if to is None:
            self._announcer.to_room(running.worker, running.media, spoken, running.room.settings.language)
            return
        party = self._parties.get(to)
        if party is not None and party.leg is not None:
            self._announcer.to_one(party.leg, spoken, party.language or running.room.settings.language, now)

    def _over(self, running: Running, now: float) -> None:
        self._alarms.clear(running, "room")
        self._watch.over(running.room.name, now)
        self._announcer.closed(running.media)
        self._house.close(running)
