"""Who is in a room or its lobby, who may do what, and what is told of it: what the room's parts share."""

from __future__ import annotations

import dataclasses
from collections import deque
from collections.abc import Iterator
from typing import Any

from .error import Forbidden, NoSuchParticipant, Refused
from .event import Announce, Event
from .participant import Participant
from .phrase import Phrase, Spoken


class People:
    """The participants by number, in the order they came, and the events about them."""

    def __init__(self, room: str) -> None:
        self.room = room
        self._table: dict[int, Participant] = {}
        self._events: deque[Event] = deque()
        self.inside = 0
        """How many are in the room; the others are in the lobby."""
        self.hosts = 0
        """Hosts in the room."""

    def __len__(self) -> int:
        return len(self._table)

    def __contains__(self, number: object) -> bool:
        return number in self._table

    def __iter__(self) -> Iterator[Participant]:
        """Over a copy: they may be changed and removed meanwhile."""
        return iter(tuple(self._table.values()))

    # ------------------------------------------------------------------------------------ the table

    def get(self, number: int) -> Participant:
        """Raises :class:`.error.NoSuchParticipant`."""
        person = self._table.get(number)
        if person is None:
            raise NoSuchParticipant(f"participant {number} is not in room {self.room}: look who is there now")
        return person

    def get_inside(self, number: int) -> Participant:
        """Raises :class:`.error.Refused` (``lobby``) for who waits."""
        person = self.get(number)
        if person.state != "in":
            raise Refused("lobby", f"{person.name} waits in the lobby: admit them first", Phrase.WAIT_TO_BE_ADMITTED)
        return person

    def put(self, person: Participant) -> None:
        """Add somebody, or replace the view of somebody."""
        before = self._table.get(person.number)
        if before is not None:
            self._count(before, -1)
        self._table[person.number] = person
        self._count(person, 1)

    def change(self, number: int, **changes: Any) -> Participant:
        person = dataclasses.replace(self._table[number], **changes)
        self.put(person)
        return person

    def take_away(self, number: int) -> None:
        self._count(self._table.pop(number), -1)

    def _count(self, person: Participant, by: int) -> None:
        if person.state == "in":
            self.inside += by
            self.hosts += by * (person.role == "host")

    # ------------------------------------------------------------------------------------ who may

    def require_host(self, by: int | None) -> None:
        """Only hosts in the room, and operators (None)."""
        if by is not None and self.get(by).role != "host":
            raise Forbidden("only hosts may do that: ask one, or an operator")

    def require_self(self, number: int, by: int | None) -> Participant:
        """Only who is concerned, hosts, and operators; who is concerned."""
        if by != number:
            self.require_host(by)
        return self.get(number)

    # ------------------------------------------------------------------------------------ telling

    def tell(self, event: Event) -> None:
        self._events.append(event)

    def say(self, phrase: Phrase, to: int | None = None, **filling: Any) -> None:
        """To one who hears prompts by voice (others are passed over), or to all in the room if anybody is."""
        if to is not None:
            person = self._table.get(to)
            if person is None or not person.voice_prompts:
                return
        elif not self.inside:
            return
        self.tell(Announce(self.room, Spoken(phrase, **filling), to))

    def drain(self) -> Iterator[Event]:
        while self._events:
            yield self._events.popleft()
