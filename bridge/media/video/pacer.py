"""Spreads a frame's packets over the frame's interval, so that a keyframe does not fill the receivers' queues at once.

One to an encoding: all its receivers get the same packets in the same slots. A new frame pushes out what is left of the
one before, so nothing waits longer than an interval, and no queue grows.
"""

from __future__ import annotations

from typing import Final

BEAT: Final = 0.02
"""Seconds of a slot where nothing finer is asked for: the media beat."""
SHARE: Final = 0.8
"""Of the interval over which packets are spread, so that the last are gone before the next frame comes."""
BURST: Final = 4
"""Packets sent together at once: queues of any path hold so many (RFC 9002 §7.7 allows 10)."""
RUNS: Final = 8
"""Pieces of earlier frames that may wait; there are more only where nobody calls :meth:`Pacer.due`."""


class Pacer:
    def __init__(self, slot: float = BEAT) -> None:
        """Args:
        slot: seconds between two calls of :meth:`due`; a part of the beat for a finer spread.
        """
        self.slot = slot
        self.dropped = 0
        """Packets that nobody came for."""
        self._late: list[tuple[int, int]] = []
        self._first = self._count = self._sent = 0
        self._begin = self._spread = 0.0

    @property
    def waiting(self) -> int:
        """Packets that are still to be sent."""
        return self._count - self._sent + sum(count for _, count in self._late)

    def rest(self) -> list[tuple[int, int]]:
        """Runs of packets (first, count) that are still to be sent, in order; they stay so."""
        rest = [(self._first + self._sent, self._count - self._sent)] if self._count > self._sent else []
        return [*self._late, *rest]

    def add(self, first: int, count: int, now: float, interval: float) -> None:
        """A frame's packets are there, ``first`` to ``first + count - 1`` of their encoding.

        Args:
            interval: seconds to the next frame, as it is expected.
        """
        self._push(self._first + self._sent, self._count - self._sent)
        self._first, self._count, self._sent = first, count, 0
        self._begin, self._spread = now, SHARE * interval

    def _push(self, first: int, count: int) -> None:
        if not count:
            return
        if self._late and sum(self._late[-1]) == first:
            first, count = self._late[-1][0], self._late[-1][1] + count
            self._late.pop()
        self._late.append((first, count))
        if len(self._late) > RUNS:
            self.dropped += self._late.pop(0)[1]

    def due(self, now: float) -> list[tuple[int, int]]:
        """Runs of packets (first, count) to send in the slot that begins now, in order."""
        # What falls due before the next slot begins goes now, for there is no later call in time.
        elapsed = now + self.slot - self._begin
        share = 1.0 if elapsed >= self._spread else elapsed / self._spread
        upto = min(self._count, max(BURST, -int(-self._count * share // 1)))
        if upto > self._sent:
            self._push(self._first + self._sent, upto - self._sent)
            self._sent = upto
        runs, self._late = self._late, []
        return runs
