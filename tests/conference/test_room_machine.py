"""Random commands by random people: a room stays sound, and its events alone tell all that changed."""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import replace
from typing import Any

from hypothesis import settings as hypothesis_settings
from hypothesis import strategies as st
from hypothesis.stateful import RuleBasedStateMachine, initialize, invariant, precondition, rule

from bridge.conference.error import Forbidden, NoSuchParticipant, Refused, RoomError
from bridge.conference.event import (
    Admitted,
    Announce,
    Deafened,
    Ended,
    Event,
    EverybodyMuted,
    FloorGiven,
    GainsChanged,
    HandsChanged,
    Hangup,
    HelpAnswered,
    HelpWanted,
    Joined,
    LayoutChanged,
    Left,
    LockChanged,
    Muted,
    Pinned,
    PresentationChanged,
    Renamed,
    Reserved,
    RoleChanged,
    SettingsChanged,
    SpeakerChanged,
    Waiting,
)
from bridge.conference.key import Action
from bridge.conference.participant import Participant
from bridge.conference.room import Room
from bridge.conference.settings import RoomSettings

PEOPLE = st.integers(1, 6)
BY = st.none() | PEOPLE
SETTINGS = st.fixed_dictionaries(
    {
        "lobby": st.sampled_from(["off", "until-host", "until-admitted"]),
        "entry": st.sampled_from(["silent", "tone", "name"]),
        "capacity": st.integers(2, 8),
        "max_duration": st.sampled_from([0.0, 90.0, 700.0]),
        "mute_on_entry": st.booleans(),
        "ends_with_host": st.booleans(),
        "host_grace": st.sampled_from([0.0, 100.0]),
    }
)
COMMANDS: dict[str, Callable[[Room, int, int | None, float], object]] = {
    "admit": lambda room, n, by, now: room.admit(n, by=by, now=now),
    "admit all": lambda room, n, by, now: room.admit_all(by=by, now=now),
    "turn away": lambda room, n, by, now: room.turn_away(n, by=by, now=now),
    "remove": lambda room, n, by, now: room.remove(n, by=by, now=now),
    "take out": lambda room, n, by, now: room.take_out(n, by=by, now=now),
    "host": lambda room, n, by, now: room.set_role(n, "host", by=by, now=now),
    "guest": lambda room, n, by, now: room.set_role(n, "guest", by=by, now=now),
    "mute": lambda room, n, by, now: room.mute(n, by=by, now=now),
    "unmute": lambda room, n, by, now: room.unmute(n, by=by, now=now),
    "mute all": lambda room, n, by, now: room.mute_all(by=by, now=now),
    "unmute all": lambda room, n, by, now: room.unmute_all(by=by, now=now),
    "deafen": lambda room, n, by, now: room.deafen(n, True, by=by, now=now),
    "undeafen": lambda room, n, by, now: room.deafen(n, False, by=by, now=now),
    "volume": lambda room, n, by, now: room.set_volume(n, 14 - 2 * n, by=by, now=now),
    "voice": lambda room, n, by, now: room.step_voice(n, n - 3, by=by, now=now),
    "rename": lambda room, n, by, now: room.rename(n, f"name {by}", by=by, now=now),
    "answer help": lambda room, n, by, now: room.answer_help(n, by=by, now=now),
    "answer all": lambda room, n, by, now: room.answer_help(by=by, now=now),
    "raise": lambda room, n, by, now: room.raise_hand(n, by=by, now=now),
    "lower": lambda room, n, by, now: room.lower_hand(n, by=by, now=now),
    "floor": lambda room, n, by, now: room.give_floor(n, by=by, now=now),
    "next": lambda room, n, by, now: room.give_floor(by=by, now=now),
    "lock": lambda room, n, by, now: room.lock(by=by, now=now),
    "unlock": lambda room, n, by, now: room.unlock(by=by, now=now),
    "roll call": lambda room, n, by, now: room.roll_call(by=by, now=now),
    "end": lambda room, n, by, now: room.end(by=by, now=now),
    "grid": lambda room, n, by, now: room.set_layout("grid", by=by, now=now),
    "strip": lambda room, n, by, now: room.set_layout("strip", by=by, now=now),
    "own layout": lambda room, n, by, now: room.set_own_layout(n, "single", by=by, now=now),
    "no own layout": lambda room, n, by, now: room.set_own_layout(n, None, by=by, now=now),
    "pin": lambda room, n, by, now: room.pin(n, by=by, now=now),
    "unpin": lambda room, n, by, now: room.pin(None, by=by, now=now),
    "reserve": lambda room, n, by, now: room.reserve(n, by=by, now=now),
    "unreserve": lambda room, n, by, now: room.reserve(None, by=by, now=now),
    "present": lambda room, n, by, now: room.take_presentation(n, by=by, now=now),
    "stop presenting": lambda room, n, by, now: room.release_presentation(n, by=by, now=now),
}
OWN = {"mute", "unmute", "deafen", "undeafen", "volume", "voice", "rename", "raise", "lower", "roll call",
       "own layout", "no own layout", "present", "stop presenting"}  # fmt: skip
"""What a guest may do, to itself."""


class Shadow:
    """What somebody knows who got nothing but the events (and what it said itself when somebody joined)."""

    def __init__(self, settings: RoomSettings) -> None:
        self.settings = settings
        self.people: dict[int, Participant] = {}
        self.hands: tuple[int, ...] = ()
        self.speaker: int | None = None
        self.layout = "strip"
        self.own: dict[int, str] = {}
        self.pinned: int | None = None
        self.reserved: int | None = None
        self.presenter: int | None = None
        self.locked = False
        self.everybody_muted = False
        self.ended = False
        self.hung_up: set[int] = set()

    def change(self, number: int, **changes: Any) -> None:
        self.people[number] = replace(self.people[number], **changes)

    def hear(self, event: Event) -> None:
        assert not self.ended, "nothing follows the end"
        assert event.room == "salle"
        match event:
            case Waiting(_, number):
                self.change(number, state="lobby")
            case Joined(_, number):
                self.change(number, state="in")
            case Admitted(_, number):
                assert self.people[number].state == "lobby", "admitted once"
                self.change(number, state="in")
            case Left(_, number, reason, was):
                assert replace(was, hand=0, speaking=False) == self.people.pop(number)
                self.own.pop(number, None)
                if reason in ("removed", "turned-away", "ended"):
                    self.hung_up.add(number)
            case Hangup(_, number, _, _):
                self.hung_up.remove(number)
            case Muted(_, number, by_host, by_self):
                self.change(number, muted_by_host=by_host, muted_by_self=by_self)
            case Deafened(_, number, deaf):
                assert self.people[number].deaf != deaf
                self.change(number, deaf=deaf)
            case GainsChanged(_, number, voice, volume):
                self.change(number, voice=voice, volume=volume)
            case Renamed(_, number, name):
                self.change(number, name=name)
            case RoleChanged(_, number, role):
                assert self.people[number].role != role
                self.change(number, role=role)
            case HelpWanted(_, number):
                assert not self.people[number].help_wanted
                self.change(number, help_wanted=True)
            case HelpAnswered(_, number, _):
                assert self.people[number].help_wanted
                self.change(number, help_wanted=False)
            case HandsChanged(_, order):
                assert order != self.hands
                self.hands = order
            case SpeakerChanged(_, number):
                assert number != self.speaker
                self.speaker = number
            case LayoutChanged(_, None, str(layout)):
                assert layout != self.layout
                self.layout = layout
            case LayoutChanged(_, int(number), layout):
                assert layout != self.own.get(number)
                self.own[number] = layout or ""
            case Pinned(_, number):
                assert number != self.pinned
                self.pinned = number
            case Reserved(_, number):
                assert number != self.reserved
                self.reserved = number
            case PresentationChanged(_, number):
                assert number != self.presenter
                self.presenter = number
            case LockChanged(_, locked):
                assert locked != self.locked
                self.locked = locked
            case EverybodyMuted(_, muted):
                assert muted != self.everybody_muted
                self.everybody_muted = muted
            case SettingsChanged(_, settings):
                self.settings = settings
            case Announce(_, _, to):
                assert to is None or to in self.people, "who has left is not spoken to"
            case FloorGiven(_, number):
                assert self.people[number]
            case Ended():
                assert not self.people
                assert not self.hung_up
                self.ended = True
            case _:
                pass


class RoomMachine(RuleBasedStateMachine):
    def __init__(self) -> None:
        super().__init__()
        self.now = 0.0

    @initialize(changes=SETTINGS)
    def open(self, changes: dict[str, Any]) -> None:
        settings = RoomSettings(name="salle", host_pin="1234", **changes)
        self.room, self.shadow = Room(settings, self.now), Shadow(settings)

    def hear(self) -> list[Event]:
        events = list(self.room.events())
        for event in events:
            self.shadow.hear(event)
        return events

    # ------------------------------------------------------------------------------------------ what people do

    @rule(number=PEOPLE, host=st.booleans(), web=st.booleans(), invited=st.booleans())
    def join(self, number: int, host: bool, web: bool, invited: bool) -> None:
        expected = Participant(
            number=number,
            kind="web" if web else "sip",
            name=f"n{number}",
            uri="",
            role="host" if host else "guest",
            state="lobby",
            joined=self.now,
            language="fr-CA",
            voice_prompts=not web,
        )
        room, settings = self.room, self.room.settings
        refused = (
            room.ended or number in room or len(room) >= settings.capacity or (room.locked and not host and not invited)
        )
        try:
            state = room.join(
                number,
                self.now,
                kind=expected.kind,
                name=expected.name,
                role=expected.role,
                voice_prompts=not web,
                invited=invited,
            )
        except Refused:
            assert refused
            assert not list(room.events())
            return
        assert not refused
        assert state == "in" or not (host or invited or settings.lobby == "off")
        self.shadow.people[number] = expected
        events = self.hear()
        assert events[0] in (Joined("salle", number), Waiting("salle", number)), "the coming is told first"

    @rule(number=PEOPLE)
    def leave(self, number: int) -> None:
        self.room.leave(number, self.now)
        self.hear()
        assert number not in self.room

    @rule(command=st.sampled_from(sorted(COMMANDS)), number=PEOPLE, by=BY)
    def ask(self, command: str, number: int, by: int | None) -> None:
        present = by is None or by in self.room
        guest = by is not None and present and self.room.participant(by).role == "guest"
        may = not guest or (command in OWN and (number == by or command == "roll call"))
        before = self.room.snapshot()
        try:
            COMMANDS[command](self.room, number, by, self.now)
        except RoomError as error:
            if isinstance(error, Forbidden):
                assert not may
            if isinstance(error, NoSuchParticipant):
                assert not present or number not in self.room
            assert self.room.snapshot() == before
            assert not list(self.room.events())
            return
        assert present
        assert may
        events = self.hear()
        if not events:
            assert self.room.snapshot() == before

    @rule(number=PEOPLE, action=st.sampled_from(Action))
    def act(self, number: int, action: Action) -> None:
        guest = number in self.room and self.room.participant(number).role == "guest"
        others = {p.number: p for p in self.room.participants() if p.number != number}
        self.room.act(number, action, self.now)
        self.hear()
        if guest and action is not Action.RAISE_HAND:  # which moves others in the queue
            assert others == {p.number: p for p in self.room.participants() if p.number != number}

    @rule(number=PEOPLE, digits=st.text("*#0123456789", max_size=4))
    def key(self, number: int, digits: str) -> None:
        for digit in digits:
            self.room.press(number, digit, self.now)
        self.hear()

    @rule(number=st.none() | PEOPLE)
    def speak(self, number: int | None) -> None:
        self.room.speaking(number, self.now)
        self.hear()

    @rule(seconds=st.floats(0.1, 400.0))
    def wait(self, seconds: float) -> None:
        until = self.now + seconds
        for _ in range(100):
            due = self.room.deadline()
            if due is None or due > until:
                break
            self.now = max(self.now, due)
            self.room.expire(self.now)
            self.hear()
        else:
            raise AssertionError("a deadline that expiring does not move")
        self.now = until

    @precondition(lambda self: not self.room.ended)
    @rule(changes=SETTINGS)
    def change_settings(self, changes: dict[str, Any]) -> None:
        self.room.change_settings(changes, by=None, now=self.now)
        self.hear()

    # ------------------------------------------------------------------------------------------ what holds

    @invariant()
    def events_tell_everything(self) -> None:
        if not hasattr(self, "room"):
            return
        seen = [replace(person, hand=0, speaking=False) for person in self.room.participants()]
        assert seen == list(self.shadow.people.values())
        assert self.room.hands == self.shadow.hands
        assert self.room.speaker == self.shadow.speaker
        assert self.room.look.layout == self.shadow.layout
        shown = self.room.snapshot()
        assert (shown.pinned, shown.reserved, shown.presenter) == (
            self.shadow.pinned, self.shadow.reserved, self.shadow.presenter
        )  # fmt: skip
        for number in self.shadow.people:
            own = self.room.look_of(number)
            assert (own.layout if own else "") == self.shadow.own.get(number, "")
        assert self.room.locked == self.shadow.locked
        assert self.room.everybody_muted == self.shadow.everybody_muted
        assert self.room.ended == self.shadow.ended
        assert self.room.settings == self.shadow.settings
        assert not self.shadow.hung_up, "who is thrown out is hung up"

    @invariant()
    def the_room_is_sound(self) -> None:
        if not hasattr(self, "room"):
            return
        room = self.room
        people = {person.number: person for person in room.participants()}
        inside = {number for number, person in people.items() if person.state == "in"}
        assert len(people) == len(room)
        assert len(set(room.hands)) == len(room.hands)
        assert set(room.hands) <= inside
        assert [people[number].hand for number in room.hands] == list(range(1, len(room.hands) + 1))
        assert {n for n, person in people.items() if person.hand} == set(room.hands)
        assert room.speaker is None or room.speaker in inside
        assert {room.presenter, room.reserved, room.in_view} - {None} <= inside
        assert {n for n, person in people.items() if person.speaking} == ({room.speaker} - {None})
        assert room._people.inside == len(inside)
        assert room._people.hosts == sum(person.role == "host" for person in people.values())
        assert all(person.state == "in" for person in people.values() if person.role == "host"), "hosts never wait"
        if room.settings.lobby == "off":
            assert len(inside) == len(people)
        assert all(-12 <= gain <= 12 for person in people.values() for gain in (person.volume, person.voice))
        assert set(room._keying._pads) <= set(people)
        if room.ended:
            assert not people
            assert room.deadline() is None


RoomMachine.TestCase.settings = hypothesis_settings(max_examples=120, stateful_step_count=40, deadline=None)
TestRoom = RoomMachine.TestCase
