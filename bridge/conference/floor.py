"""Raised hands and who is called up to speak."""

from __future__ import annotations

from .error import Refused
from .event import FloorGiven, HandsChanged
from .people import People
from .phrase import Phrase
from .sound import Sound
from .speaking_queue import SpeakingQueue


class Floor:
    """One speaking queue for every kind of participant; who is told things by voice hears its place."""

    def __init__(self, people: People, sound: Sound) -> None:
        self._people = people
        self._sound = sound
        self.queue = SpeakingQueue()

    def raise_hand(self, number: int, *, by: int | None) -> int:
        self._people.require_self(number, by)
        self._people.get_inside(number)
        raised = self.queue.raise_(number)
        place = self.queue.place(number)
        if raised:
            self._changed()
            self._people.say(Phrase.HAND_RAISED, number, number=place)
        return place

    def lower_hand(self, number: int, *, by: int | None) -> None:
        self._people.require_self(number, by)
        if self.forget(number):
            self._people.say(Phrase.HAND_LOWERED, number)

    def forget(self, number: int) -> bool:
        """Out of the queue, if it is in it. Who becomes the first by that is told: it is to be ready."""
        first = self.queue.first
        if not self.queue.lower(number):
            return False
        self._changed()
        if self.queue.first is not None and self.queue.first != first:
            self._people.say(Phrase.HAND_RAISED, self.queue.first, number=1)
        return True

    def clear(self) -> None:
        """The conference is over."""
        if len(self.queue):
            self.queue = SpeakingQueue()
            self._changed()

    def give(self, number: int | None, *, by: int | None) -> int:
        self._people.require_host(by)
        if number is None:
            number = self.queue.first
            if number is None:
                raise Refused("nobody", "no hand is up: name who is to speak")
        self._people.get_inside(number)
        self.forget(number)
        self._people.tell(FloorGiven(self._people.room, number))
        self._people.say(Phrase.YOUR_TURN, number)
        self._sound.release(number, silently=True)
        return number

    def toggle(self, number: int) -> None:
        """What ``*9`` does."""
        if number in self.queue:
            self.lower_hand(number, by=number)
        else:
            self.raise_hand(number, by=number)

    def _changed(self) -> None:
        self._people.tell(HandsChanged(self._people.room, self.queue.order))
