"""A conference: who is in it, who may do what, and what follows. One object is one conference, from the first who comes
to the end; it owns no clock, no call and no stream.

Commands say who asks: ``by`` is a participant's number, None an operator. Guests may act on themselves only, hosts and
operators on everybody. A command that changes nothing emits nothing. All raise :class:`.error.RoomError`:
:class:`.error.Forbidden`, :class:`.error.NoSuchParticipant`, :class:`.error.Refused`.

The parts: :class:`.people.People` (the table, permissions, events), :class:`.sound.Sound`, :class:`.floor.Floor`,
:class:`.lobby.Lobby`, :class:`.screen.Screen`, :class:`.schedule.Schedule`, :class:`.assistance.Assistance`,
:class:`.keying.Keying`. The room joins them up and knows comings and goings.
"""

from __future__ import annotations

from collections.abc import Iterator, Mapping, Sequence
from dataclasses import replace
from typing import Any, Literal

from .assistance import Assistance
from .error import Forbidden, Refused
from .event import (
    Admitted,
    Ended,
    EndReason,
    Event,
    Hangup,
    Joined,
    LeaveReason,
    Left,
    Muted,
    Renamed,
    RoleChanged,
    SettingsChanged,
    SpeakerChanged,
    Tone,
    Waiting,
)
from .floor import Floor
from .key import IN_LOBBY, Action
from .keying import Keying
from .lobby import Lobby
from .participant import Kind, Language, Participant, Role, State
from .people import People
from .phrase import Phrase, Spoken
from .schedule import Schedule
from .screen import Look, Place, Screen
from .settings import RoomSettings
from .snapshot import RoomSnapshot
from .sound import Sound

NAME = 100
"""Characters of a participant's name: it goes into every list of people."""

_LAST_WORDS: dict[LeaveReason, Phrase] = {
    "removed": Phrase.YOU_WERE_REMOVED,
    "turned-away": Phrase.GOODBYE,
    "ended": Phrase.CONFERENCE_ENDED,
}


def _readable(name: str) -> str:
    """One line of printable characters, not too long: names come from strangers."""
    return " ".join("".join(c if c.isprintable() else " " for c in name[: 4 * NAME]).split())[:NAME]


class Room:
    """One conference."""

    def __init__(self, settings: RoomSettings, now: float) -> None:
        self._settings = settings
        self._people = People(settings.name)
        self._sound = Sound(self._people)
        self._floor = Floor(self._people, self._sound)
        self._lobby = Lobby(self._people)
        self._screen = Screen(self._people, settings)
        self._assistance = Assistance(self._people)
        self._schedule = Schedule()
        self._keying = Keying(self._people, self._sound, self._floor, settings.table)
        self._speaker: int | None = None
        self._ended = False
        self.opened = now
        """When it was made (monotonic seconds)."""

    # ---------------------------------------------------------------------------------- the sans-IO core

    def events(self) -> Iterator[Event]:
        """Drain what happened, in order."""
        return self._people.drain()

    def deadline(self) -> float | None:
        """When :meth:`expire` is due."""
        if self._ended:
            return None
        return min((t for t in (self._schedule.deadline(), self._keying.deadline()) if t is not None), default=None)

    def expire(self, now: float) -> None:
        """Warn of the end, end the conference, give half a key sequence up."""
        if self._ended:
            return
        self._keying.expire(now)
        due = self._schedule.expire(now)
        if due.ended:
            self._finish("host-left" if due.host_left else "duration")
        elif due.minutes is not None:
            self._people.say(Phrase.MINUTES_LEFT, number=due.minutes)

    # ------------------------------------------------------------------------------------------- looking

    @property
    def name(self) -> str:
        return self._settings.name

    @property
    def settings(self) -> RoomSettings:
        return self._settings

    @property
    def ended(self) -> bool:
        """It takes nobody any more. It ends by command, by time, or when the last participant has left."""
        return self._ended

    @property
    def locked(self) -> bool:
        return self._lobby.locked

    @property
    def everybody_muted(self) -> bool:
        return self._sound.everybody_muted

    @property
    def speaker(self) -> int | None:
        return self._speaker

    @property
    def hands(self) -> tuple[int, ...]:
        """The speaking queue, the next to speak first."""
        return self._floor.queue.order

    @property
    def look(self) -> Look:
        """What all see who want nothing else."""
        return self._screen.look

    def look_of(self, number: int) -> Look | None:
        """What somebody wants to see; None: what the room does."""
        return self._screen.own(number)

    @property
    def in_view(self) -> int | None:
        """Who has the large tile: the one pinned, else who speaks."""
        return self._speaker if self._screen.pinned is None else self._screen.pinned

    @property
    def reserved(self) -> int | None:
        """Who stays in view whoever speaks."""
        return self._screen.reserved

    @property
    def presenter(self) -> int | None:
        """Whose content is shown."""
        return self._screen.presenter

    def __len__(self) -> int:
        """How many are in the room or its lobby."""
        return len(self._people)

    def __contains__(self, number: object) -> bool:
        return number in self._people

    def __bool__(self) -> bool:
        """A room without people is still a room."""
        return True

    def participant(self, number: int) -> Participant:
        """Raises :class:`.error.NoSuchParticipant`."""
        return self._view(self._people.get(number), self._floor.queue.place(number))

    def participants(self) -> tuple[Participant, ...]:
        """In the order they came; the lobby's too."""
        places = self._floor.queue.places()
        return tuple(self._view(person, places.get(person.number, 0)) for person in self._people)

    def _view(self, person: Participant, hand: int) -> Participant:
        speaking = person.number == self._speaker
        return replace(person, hand=hand, speaking=speaking) if hand or speaking else person

    def snapshot(self) -> RoomSnapshot:
        settings = self._settings
        return RoomSnapshot(
            name=settings.name,
            number=settings.number,
            title=settings.shown,
            language=settings.language,
            capacity=settings.capacity,
            lobby=settings.lobby,
            locked=self.locked,
            everybody_muted=self.everybody_muted,
            ended=self._ended,
            started=self._schedule.started,
            ends=self._schedule.ends,
            speaker=self._speaker,
            hands=self.hands,
            layout=self.look.layout,
            pinned=self._screen.pinned,
            reserved=self.reserved,
            presenter=self.presenter,
            participants=self.participants(),
        )

    # --------------------------------------------------------------------------------- coming and going

    def join(
        self,
        number: int,
        now: float,
        *,
        kind: Kind,
        name: str,
        uri: str = "",
        role: Role = "guest",
        language: Language | None = None,
        voice_prompts: bool = True,
        recorded_name: str = "",
        invited: bool = False,
        moved_from: Participant | None = None,
    ) -> State:
        """Somebody comes: into the room, or its lobby.

        Args:
            language: None: the room's.
            invited: a host or operator called or moved it here: neither lock nor lobby holds it.
            moved_from: what :meth:`take_out` of another room returned: its own mute, gains, deafness, recorded name
                and wish for help go with it, and it is told that it was moved.

        Raises:
            Refused: ``locked``, ``full``, ``ended``, ``present`` (that number is here); ``phrase`` is what to say.
        """
        self._require_going_on()
        self._lobby.check(self._settings, number, role, invited=invited)
        waits = self._lobby.holds(self._settings, role, invited=invited)
        person = Participant(
            number=number,
            kind=kind,
            name=_readable(name) or _readable(uri) or str(number),
            uri=uri,
            role=role,
            state="lobby",
            joined=now,
            language=language or self._settings.language,
            voice_prompts=voice_prompts and kind != "simulated",
            recorded_name=recorded_name,
        )
        if moved_from is not None:
            person = replace(
                person,
                muted_by_self=moved_from.muted_by_self,
                deaf=moved_from.deaf,
                volume=moved_from.volume,
                voice=moved_from.voice,
                recorded_name=recorded_name or moved_from.recorded_name,
            )
        self._people.put(person)
        if waits:
            self._people.tell(Waiting(self.name, number))
            self._lobby.greet(self._settings, number)
            if self._settings.lobby == "until-admitted":
                self._lobby.call_hosts()
        else:
            self._enter(person, now, moved=moved_from is not None, straight=True)
        if moved_from is not None and moved_from.help_wanted:
            self._assistance.carry_over(number)
        return "lobby" if waits else "in"

    def _enter(self, person: Participant, now: float, *, moved: bool = False, straight: bool = False) -> None:
        """From outside (``straight``) or the lobby into the room."""
        number, guest = person.number, person.role == "guest"
        by_host = person.muted_by_host or (guest and self.everybody_muted)
        by_self = person.muted_by_self or (guest and not moved and self._settings.mute_on_entry)
        self._people.put(replace(person, state="in", muted_by_host=by_host, muted_by_self=by_self))
        self._people.tell(Joined(self.name, number) if straight else Admitted(self.name, number))
        news = straight or (by_host, by_self) != (person.muted_by_host, person.muted_by_self)
        if news and (by_host or by_self):
            self._people.tell(Muted(self.name, number, by_host=by_host, by_self=by_self))
        self._screen.came_in(number)
        if self._schedule.started is None:
            self._schedule.start(now, self._settings.max_duration)
        if self._people.inside > 1:
            self._make_known(person, "join", Phrase.HAS_JOINED)
        self._welcome(person, moved=moved)
        if by_host:
            self._people.say(Phrase.MUTED_BY_HOST, number)
        elif by_self:
            self._people.say(Phrase.MUTED_BY_SELF, number)
        if not guest:
            self._host_is_in(now)

    def _welcome(self, person: Participant, *, moved: bool) -> None:
        if moved:
            self._people.say(Phrase.YOU_WERE_MOVED, person.number)
        elif person.role == "host":
            self._people.say(Phrase.YOU_ARE_HOST, person.number)
        if self._people.inside > 1:
            if self._settings.announce_people:
                self._people.say(Phrase.PEOPLE_IN_ROOM, person.number, number=self._people.inside)
        elif self._settings.announce_alone:
            self._people.say(Phrase.YOU_ARE_ALONE, person.number)

    def _make_known(self, person: Participant, kind: Literal["join", "leave"], phrase: Phrase) -> None:
        """A coming or going, to all who are in the room, as the settings say."""
        if self._settings.entry == "tone":
            self._people.tell(Tone(self.name, kind))
        elif self._settings.entry == "name":
            self._people.say(phrase, names=(person.recorded_name,) if person.recorded_name else ())

    def _host_is_in(self, now: float) -> None:
        """A host came in, or somebody in the room became host."""
        self._lobby.host_came = True
        self._schedule.host_back(now)
        if self._settings.lobby != "until-admitted":
            self._admit_waiting(now)

    def _admit_waiting(self, now: float) -> int:
        waiting = [person for person in self._people if person.state == "lobby"]
        for person in waiting:
            self._enter(person, now)
        return len(waiting)

    def leave(self, number: int, now: float, *, reason: LeaveReason = "hung-up") -> None:
        """Its call is over. Not being here is no error: calls end while rooms do."""
        if number in self._people:
            self._depart(number, reason, now)

    def _depart(self, number: int, reason: LeaveReason, now: float, *, hangup: bool = False) -> Participant:
        person = self.participant(number)
        self._floor.forget(number)
        self._screen.forget(number)
        if self._speaker == number:
            self._set_speaker(None)
        self._keying.forget(number)
        self._people.take_away(number)
        self._people.tell(Left(self.name, number, reason, person))
        if hangup:
            self._people.tell(self._hangup(person, reason))
        if not len(self._people):
            self._finish("empty")
        elif person.state == "in":
            self._somebody_went(person, now)
        return person

    def _somebody_went(self, person: Participant, now: float) -> None:
        self._make_known(person, "leave", Phrase.HAS_LEFT)
        if person.role == "host" and not self._people.hosts:
            self._people.say(Phrase.HOST_HAS_LEFT)
            if self._settings.ends_with_host:
                self._schedule.host_left(now, self._settings.host_grace)
                if not self._settings.host_grace:
                    self._finish("host-left")
                    return
        if self._people.inside == 1 and self._settings.announce_alone:
            last = next(one for one in self._people if one.state == "in")
            self._people.say(Phrase.YOU_ARE_ALONE, last.number)

    def _hangup(self, person: Participant, reason: LeaveReason) -> Hangup:
        phrase = _LAST_WORDS.get(reason) if person.voice_prompts else None
        return Hangup(self.name, person.number, reason, Spoken(phrase) if phrase else None)

    def admit(self, number: int, *, by: int | None, now: float) -> None:
        """Let somebody in from the lobby."""
        self._people.require_host(by)
        person = self._people.get(number)
        if person.state == "lobby":
            self._enter(person, now)

    def admit_all(self, *, by: int | None, now: float) -> int:
        """Let everybody in who waits; how many that were."""
        self._people.require_host(by)
        return self._admit_waiting(now)

    def turn_away(self, number: int, *, by: int | None, now: float) -> None:
        """Send somebody in the lobby away: the call ends."""
        self._people.require_host(by)
        person = self._people.get(number)
        if person.state != "lobby":
            raise Refused("in", f"{person.name} is in the room already: remove them instead")
        self._depart(number, "turned-away", now, hangup=True)

    def remove(self, number: int, *, by: int | None, now: float) -> None:
        """Throw somebody out: the call ends."""
        self._people.require_host(by)
        self._people.get(number)
        self._depart(number, "removed", now, hangup=True)

    def take_out(self, number: int, *, by: int | None, now: float) -> Participant:
        """Take somebody out without ending the call: the focus joins it to another room
        (``join(..., invited=True, moved_from=...)``)."""
        self._people.require_host(by)
        self._people.get(number)
        return self._depart(number, "moved", now)

    def end(self, *, by: int | None, now: float) -> None:
        """End the conference for all."""
        self._require_going_on()
        self._people.require_host(by)
        self._finish("by-operator" if by is None else "by-host")

    def _finish(self, reason: EndReason) -> None:
        """Everybody leaves at once; the room takes nobody any more."""
        if self._speaker is not None:
            self._set_speaker(None)
        self._floor.clear()
        for person in self._people:
            self._screen.forget(person.number)
            self._people.take_away(person.number)
            self._people.tell(Left(self.name, person.number, "ended", person))
            self._people.tell(self._hangup(person, "ended"))
        self._keying.clear()
        self._ended = True
        self._people.tell(Ended(self.name, reason))

    def _require_going_on(self) -> None:
        if self._ended:
            raise Refused("ended", f"the conference in room {self.name} is over", Phrase.CONFERENCE_ENDED)

    # ----------------------------------------------------------------------------------------- one person

    def set_role(self, number: int, role: Role, *, by: int | None, now: float) -> None:
        """Make somebody host or guest; a new host leaves the lobby."""
        self._people.require_host(by)
        person = self._people.get(number)
        if person.role == role:
            return
        if role == "guest" and self._settings.ends_with_host and self._people.hosts == 1:
            raise Refused("last-host", "the conference ends with its last host: make somebody else host first")
        person = self._people.change(number, role=role)
        self._people.tell(RoleChanged(self.name, number, role))
        if role == "guest":
            return
        if person.state == "lobby":
            self._enter(person, now)
        else:
            self._people.say(Phrase.YOU_ARE_HOST, number)
            self._host_is_in(now)

    def mute(self, number: int, *, by: int | None, now: float) -> None:
        """Set its own flag when it asks itself, the host's flag when somebody else does."""
        self._sound.mute(number, by=by)

    def unmute(self, number: int, *, by: int | None, now: float) -> None:
        """Clear the flag that :meth:`mute` by the same would set; a host who unmutes himself clears both."""
        self._sound.unmute(number, by=by)

    def deafen(self, number: int, deaf: bool, *, by: int | None, now: float) -> None:
        """Let it hear prompts only, or everything again."""
        self._sound.deafen(number, deaf, by=by)

    def set_volume(self, number: int, db: int, *, by: int | None, now: float) -> None:
        """Gain on what it hears, -12 to 12 dB."""
        self._sound.set_gain(number, "volume", db, by=by)

    def set_voice(self, number: int, db: int, *, by: int | None, now: float) -> None:
        """Gain on its voice, -12 to 12 dB."""
        self._sound.set_gain(number, "voice", db, by=by)

    def step_volume(self, number: int, steps: int, *, by: int | None, now: float) -> None:
        """Steps of 3 dB, up or down as far as they go, and spoken."""
        self._sound.step_gain(number, "volume", steps, by=by)

    def step_voice(self, number: int, steps: int, *, by: int | None, now: float) -> None:
        """Steps of 3 dB, up or down as far as they go, and spoken."""
        self._sound.step_gain(number, "voice", steps, by=by)

    def read_events(self, number: int, reads: bool) -> None:
        """It is told things by a page instead of by voice, or no more."""
        if self._people.get(number).voice_prompts == reads:
            self._people.change(number, voice_prompts=not reads)

    def rename(self, number: int, name: str, *, by: int | None, now: float) -> None:
        """One line, at most 100 characters."""
        person = self._people.require_self(number, by)
        readable = _readable(name)
        if not readable:
            raise Refused("name", "write a name that people can read")
        if readable != person.name:
            self._people.change(number, name=readable)
            self._people.tell(Renamed(self.name, number, readable))

    def help(self, number: int, *, now: float) -> None:
        """It asks for an operator, until a host or operator answers that."""
        self._assistance.ask(number)

    def answer_help(self, number: int | None = None, *, by: int | None, now: float) -> int:
        """Somebody's wish for help (None: everybody's) is seen to, and they hear that; how many that were."""
        return self._assistance.answer(number, by=by)

    # ---------------------------------------------------------------------------------- the speaking queue

    def raise_hand(self, number: int, *, by: int | None, now: float) -> int:
        """Its place in the queue, from 1, which it also hears."""
        return self._floor.raise_hand(number, by=by)

    def lower_hand(self, number: int, *, by: int | None, now: float) -> None:
        """Out of the queue; who is not in it stays so."""
        self._floor.lower_hand(number, by=by)

    def give_floor(self, number: int | None = None, *, by: int | None, now: float) -> int:
        """Call somebody up to speak (None: the next in the queue); who it is. Takes the host's mute off it."""
        return self._floor.give(number, by=by)

    # ----------------------------------------------------------------------------------------- the picture

    def set_layout(self, layout: str, places: Sequence[Place] = (), *, by: int | None, now: float) -> None:
        """What all see who want nothing else; ``places``: for ``fixed``."""
        self._require_going_on()
        self._screen.set_layout(layout, places, by=by)

    def set_own_layout(self, number: int, layout: str | None, *, by: int | None, now: float) -> None:
        """What one participant sees; None: what the others do."""
        self._screen.set_own_layout(number, layout, by=by)

    def pin(self, number: int | None, *, by: int | None, now: float) -> None:
        """Show somebody as if he spoke, whoever speaks; None: nobody any more."""
        self._require_going_on()
        self._screen.pin(number, by=by)

    def reserve(self, number: int | None, *, by: int | None, now: float) -> None:
        """Keep somebody in view beside whoever speaks; None: nobody any more."""
        self._require_going_on()
        self._screen.reserve(number, by=by)

    def take_presentation(self, number: int, *, by: int | None, now: float) -> None:
        """Show its content to all; who did before has to stop. Raises Forbidden where only hosts may."""
        self._screen.take_presentation(number, by=by)

    def release_presentation(self, number: int, *, by: int | None, now: float) -> None:
        """Stop showing; nothing changes where somebody else shows something by now."""
        self._screen.release_presentation(number, by=by)

    # -------------------------------------------------------------------------------------------- the room

    def mute_all(self, *, by: int | None, now: float) -> None:
        """Host's mute on everybody but the hosts, and on guests who come from now on."""
        self._require_going_on()
        self._sound.mute_all(by=by)

    def unmute_all(self, *, by: int | None, now: float) -> None:
        """Host's mute off everybody."""
        self._require_going_on()
        self._sound.unmute_all(by=by)

    def lock(self, *, by: int | None, now: float) -> None:
        """Guests can't come in any more; hosts can."""
        self._require_going_on()
        self._lobby.lock(True, by=by)

    def unlock(self, *, by: int | None, now: float) -> None:
        """Guests can come in again."""
        self._require_going_on()
        self._lobby.lock(False, by=by)

    def roll_call(self, *, by: int | None, now: float) -> None:
        """How many are in, and the recorded names, said to who asks; to all when an operator asks."""
        self._require_going_on()
        if by is not None:
            self._people.get_inside(by)
        names = tuple(p.recorded_name for p in self._people if p.state == "in" and p.recorded_name)
        self._people.say(Phrase.PEOPLE_IN_ROOM, by, number=self._people.inside)
        if names:
            self._people.say(Phrase.ROLL_CALL, by, names=names)

    def speaking(self, number: int | None, now: float) -> None:
        """The mixer says who speaks now; who is not in the room (any more) counts as nobody."""
        known = number is not None and number in self._people and self._people.get(number).state == "in"
        self._set_speaker(number if known else None)

    def _set_speaker(self, number: int | None) -> None:
        if number != self._speaker:
            self._speaker = number
            self._people.tell(SpeakerChanged(self.name, number))

    def change_settings(self, changes: Mapping[str, Any], *, by: int | None, now: float) -> None:
        """Change settings at run time, named as in :class:`.settings.RoomSettings`; only operators may.

        Raises:
            ValueError: one is unknown or wrong; none is changed then.
        """
        self._require_going_on()
        if by is not None:
            raise Forbidden("only operators may change a room's settings: ask one")
        before, after = self._settings, self._settings.changed(changes)
        if before == after:
            return
        self._settings = after
        self._people.tell(SettingsChanged(self.name, after))
        self._screen.changed(after)
        if after.keys != before.keys:
            self._keying.change(after.table)
        if after.max_duration != before.max_duration:
            self._schedule.limit(now, after.max_duration)
        if not after.ends_with_host:
            self._schedule.host_back(now)
        if after.lobby == "off" or (after.lobby == "until-host" and self._lobby.host_came):
            self._admit_waiting(now)

    # -------------------------------------------------------------------------------------------- keys

    def press(self, number: int, digit: str, now: float) -> None:
        """A key of somebody's telephone, once a press (see :class:`.key.DigitFilter`). Raises nothing: what is
        wrong is said to who pressed."""
        if number in self._people:
            self._keying.press(self, number, digit, now)

    def act(self, number: int, action: Action, now: float) -> None:
        """What a key sequence stands for; likewise."""
        if number not in self._people:
            return
        person = self._people.get(number)
        if person.state == "lobby" and action not in IN_LOBBY:
            self._lobby.greet(self._settings, number)
        else:
            self._keying.act(self, person, action, now)
