"""A room and its people in virtual time."""

from __future__ import annotations

from typing import Any

from bridge.conference.event import Announce, Event
from bridge.conference.phrase import Phrase
from bridge.conference.room import Room
from bridge.conference.settings import RoomSettings

HOST, ANNE, BRUNO, CLAIRE = 1, 2, 3, 4
NAMES = {HOST: "Hélène", ANNE: "Anne", BRUNO: "Bruno", CLAIRE: "Claire"}


def room(**settings: Any) -> Room:
    """Quiet about comings and goings unless told otherwise."""
    quiet = {"name": "salle", "entry": "silent", "announce_people": False, "announce_alone": False}
    return Room(RoomSettings(**{**quiet, **settings}), 0.0)


def join(here: Room, *numbers: int, now: float = 0.0, **details: Any) -> list[Event]:
    """These come in, HOST as host; what that emits."""
    for number in numbers:
        role = "host" if number == HOST else "guest"
        name = NAMES.get(number, f"n{number}")
        here.join(
            number, now, **{"kind": "sip", "name": name, "uri": f"sip:{number}@example.ca", "role": role, **details}
        )
    return list(here.events())


def held(**settings: Any) -> Room:
    """A host and two guests are in; nothing is left to drain."""
    here = room(**settings)
    join(here, HOST, ANNE, BRUNO)
    return here


def heard(events: list[Event], number: int | None) -> list[Phrase]:
    """What was said to one (None: to all)."""
    return [event.spoken.phrase for event in events if isinstance(event, Announce) and event.to == number]


def key(here: Room, number: int, digits: str, now: float = 0.0) -> list[Event]:
    for digit in digits:
        here.press(number, digit, now)
    return list(here.events())
