"""Transport-wide numbers of what is sent, and what the far end's feedback says became of it."""

from __future__ import annotations

from dataclasses import dataclass
from typing import ClassVar

import numpy as np
from numpy.typing import NDArray

from .places import Places
from .transport_cc import REFERENCE_TICKS, TICK, TransportCc

Rows = NDArray[np.intp]


@dataclass(frozen=True, slots=True)
class Fate:
    """What became of packets; (n,) arrays of those that came."""

    sent: NDArray[np.float64]
    """Seconds, on our clock."""
    arrived: NDArray[np.float64]
    """Seconds, on the far end's."""
    sizes: NDArray[np.int64]
    """Octets."""
    lost: int
    """Packets that had not come when it was written."""


class Departures(Places):
    """Of some rows."""

    capacity = 2048
    """Packets: feedback about older ones says nothing about now; five seconds of 4 Mbit/s."""
    columns: ClassVar[dict[str, type]] = {"next": np.int64}
    rings: ClassVar[dict[str, type]] = {"number": np.int64, "when": np.float64, "size": np.int64}
    next: NDArray[np.int64]
    """Extended number of the next packet, less 65536: so that 0 is none."""
    number: NDArray[np.int64]
    when: NDArray[np.float64]
    size: NDArray[np.int64]

    def advance(self, rows: Rows, sizes: NDArray[np.int64], now: float) -> NDArray[np.int64]:
        """Number packets that are sent now.

        Args:
            rows: (n,) all of which have a place, each row's packets side by side.
            sizes: (n,) octets.

        Returns:
            (n,) numbers of 16 bits.
        """
        at = self.place[rows]
        index = np.arange(len(at))
        begins = np.ones(len(at), np.bool_)
        begins[1:] = at[1:] != at[:-1]
        rank = index - np.maximum.accumulate(np.where(begins, index, 0))
        extended = self.next[at] + 0x10000 + rank
        np.add.at(self.next, at, 1)
        cell = extended % self.capacity
        self.number[at, cell], self.when[at, cell], self.size[at, cell] = extended, now, sizes
        return extended & 0xFFFF

    def fate(self, row: int, message: TransportCc) -> Fate:
        """What a feedback says of what was sent; of what is not remembered, nothing."""
        at = int(self.place[row])
        ticks = np.array([-1 << 31 if tick is None else tick for tick in message.arrivals], np.int64)
        if at < 0:
            ticks = ticks[:0]
        last = int(self.next[at]) + 0xFFFF
        numbers = last - (last - message.base) % 0x10000 + np.arange(len(ticks))
        cells = numbers % self.capacity
        known = (self.number[at, cells] == numbers) & (numbers >= 0x10000)
        came = known & (ticks > -1 << 31)
        cells = cells[came]
        arrived = (message.reference * REFERENCE_TICKS + ticks[came]) * TICK
        return Fate(self.when[at, cells], arrived, self.size[at, cells], int((known & ~came).sum()))
