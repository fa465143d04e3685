"""Who may come in: the lock, the room's size, the lobby."""

from __future__ import annotations

from .error import Refused
from .event import LockChanged
from .participant import Role
from .people import People
from .phrase import Phrase
from .settings import RoomSettings


class Lobby:
    """What is between the outside and the room."""

    def __init__(self, people: People) -> None:
        self._people = people
        self.locked = False
        self.host_came = False
        """A host has been in the room: ``until-host`` holds nobody any more."""

    def check(self, settings: RoomSettings, number: int, role: Role, *, invited: bool) -> None:
        """Raises :class:`.error.Refused`: ``present``, ``full``, ``locked``."""
        if number in self._people:
            raise Refused("present", f"participant {number} is in room {settings.name} already")
        if len(self._people) >= settings.capacity:
            raise Refused(
                "full",
                f"room {settings.name} is full ({settings.capacity}): raise its capacity or remove somebody",
                Phrase.ROOM_FULL,
            )
        if self.locked and role != "host" and not invited:
            raise Refused(
                "locked", f"room {settings.name} is locked: a host unlocks it with *7, or calls you", Phrase.ROOM_LOCKED
            )

    def holds(self, settings: RoomSettings, role: Role, *, invited: bool) -> bool:
        """Is a newcomer to wait?"""
        if role == "host" or invited or settings.lobby == "off":
            return False
        return settings.lobby == "until-admitted" or not self.host_came

    def greet(self, settings: RoomSettings, number: int) -> None:
        """Tell somebody what it waits for, and the hosts that it does."""
        if settings.lobby == "until-host" and not self.host_came:
            self._people.say(Phrase.WAIT_FOR_HOST, number)
            return
        self._people.say(Phrase.WAIT_TO_BE_ADMITTED, number)

    def call_hosts(self) -> None:
        for person in self._people:
            if person.role == "host" and person.state == "in":
                self._people.say(Phrase.SOMEBODY_WAITS, person.number)

    def lock(self, locked: bool, *, by: int | None) -> None:
        self._people.require_host(by)
        if self.locked != locked:
            self.locked = locked
            self._people.tell(LockChanged(self._people.room, locked))
            self._people.say(Phrase.ROOM_NOW_LOCKED if locked else Phrase.ROOM_NOW_OPEN)
