"""When packets with transport-wide numbers came, for the feedback that tells their senders."""

from __future__ import annotations

from typing import ClassVar, Final

import numpy as np
from numpy.typing import NDArray

from .places import Places
from .transport_cc import REFERENCE_TICKS, TICK, TransportCc

Rows = NDArray[np.intp]

JUNK: Final = 0x1000
"""Numbers further from the others are another count, or rubbish."""


class Arrivals(Places):
    """Of some rows, from one feedback to the next; at most ``capacity`` packets a feedback."""

    capacity = 512
    """At a feedback each 100 ms, 60 Mbit/s."""
    columns: ClassVar[dict[str, type]] = {"started": np.bool_, "highest": np.int64, "next": np.int64, "count": np.int64}
    rings: ClassVar[dict[str, type]] = {"number": np.int64, "stamp": np.int64}
    started: NDArray[np.bool_]
    highest: NDArray[np.int64]
    """Extended number; the first is beyond 65535, so that 0 is none."""
    next: NDArray[np.int64]
    """The first that was not told of."""
    count: NDArray[np.int64]
    number: NDArray[np.int64]
    stamp: NDArray[np.int64]
    """Ticks."""

    def add(self, rows: Rows, numbers: NDArray[np.int64], arrivals: NDArray[np.float64]) -> None:
        """Packets came, any number a row, in order.

        Args:
            rows: (n,) all of which have a place.
            numbers: (n,) 16 bits.
            arrivals: (n,) seconds.
        """
        at = self.place[rows]
        new, first = np.unique(at, return_index=True)
        anew = ~self.started[new]
        begin = numbers[first[anew]] + 0x10000
        self.started[new[anew]] = True
        self.number[new[anew]] = 0
        self.highest[new[anew]] = self.next[new[anew]] = begin
        distance = (numbers - self.highest[at] + 0x8000) % 0x10000 - 0x8000
        junk = np.abs(distance) > JUNK
        if junk.any():  # begin anew with the next
            self.started[at[junk]] = False
            kept = ~np.isin(at, at[junk])
            at, distance, arrivals = at[kept], distance[kept], arrivals[kept]
        extended = self.highest[at] + distance
        np.maximum.at(self.highest, at, extended)
        fresh = (extended >= self.next[at]) & (extended > self.highest[at] - self.capacity)
        at, extended, arrivals = at[fresh], extended[fresh], arrivals[fresh]
        cell = extended % self.capacity
        fresh = self.number[at, cell] != extended
        first_last = fresh.nonzero()[0][::-1]  # of what came twice the first counts
        at, cell = at[first_last], cell[first_last]
        self.number[at, cell] = extended[first_last]
        self.stamp[at, cell] = np.rint(arrivals[first_last] / TICK).astype(np.int64)

    def waiting(self) -> Rows:
        """Rows of which there is something to tell."""
        at = self.place
        has = at >= 0
        has &= self.started[at] & (self.highest[at] >= self.next[at])
        return has.nonzero()[0]

    def take(self, row: int, sender: int, media: int) -> TransportCc | None:
        """Feedback of what came since the last one; None: nothing did."""
        at = int(self.place[row])
        if at < 0 or not self.started[at] or self.highest[at] < self.next[at]:
            return None
        first = max(int(self.next[at]), int(self.highest[at]) + 1 - self.capacity)
        numbers = np.arange(first, int(self.highest[at]) + 1)
        cells = numbers % self.capacity
        came = (self.number[at, cells] == numbers).nonzero()[0]
        if not came.size:
            self.next[at] = self.highest[at] + 1
            return None
        stamps = self.stamp[at, cells[came]]
        reference = int(stamps[0]) // REFERENCE_TICKS
        ticks = stamps - reference * REFERENCE_TICKS
        far = (np.abs(np.diff(ticks, prepend=0)) > 0x7FFF).nonzero()[0]
        if far.size:  # a pause of 8 s: its end is for the next feedback
            came, ticks = came[: far[0]], ticks[: far[0]]
        arrivals: list[int | None] = [None] * (int(came[-1]) + 1)
        for n, tick in zip(came.tolist(), ticks.tolist(), strict=True):
            arrivals[n] = tick
        message = TransportCc(
            sender, media, first & 0xFFFF, int(self.count[at]) & 0xFF, reference & 0xFFFFFF, tuple(arrivals)
        )
        self.next[at] = first + len(arrivals)
        self.count[at] += 1
        return message
