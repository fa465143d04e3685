"""Whose turn it is: one queue for every kind of participant."""

from __future__ import annotations


class SpeakingQueue:
    """Raised hands, first come first called. Nobody is in it twice."""

    def __init__(self) -> None:
        self._hands: dict[int, None] = {}

    def __contains__(self, number: object) -> bool:
        return number in self._hands

    def __len__(self) -> int:
        return len(self._hands)

    @property
    def order(self) -> tuple[int, ...]:
        """The next to speak first."""
        return tuple(self._hands)

    @property
    def first(self) -> int | None:
        return next(iter(self._hands), None)

    def places(self) -> dict[int, int]:
        """Participant -> its place, from 1."""
        return {number: place for place, number in enumerate(self._hands, 1)}

    def place(self, number: int) -> int:
        """From 1; 0: its hand is down."""
        return self.places().get(number, 0)

    def raise_(self, number: int) -> bool:
        """At the end of the queue; False: it is in it already, and stays where it is."""
        if number in self._hands:
            return False
        self._hands[number] = None
        return True

    def lower(self, number: int) -> bool:
        """False: it was not up."""
        if number not in self._hands:
            return False
        del self._hands[number]
        return True
