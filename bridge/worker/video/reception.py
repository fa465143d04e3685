"""How well each stream comes in: the counts of RFC 3550 A.1, A.3 and A.8, for whole batches."""

from __future__ import annotations

from typing import TypeAlias

import numpy as np
from numpy.typing import NDArray

from bridge.media.video.payload import CLOCK_RATE
from bridge.media.wire import F64, I32, U32

Rows: TypeAlias = NDArray[np.intp]

RESTART = 3000
"""Numbers further apart than this are another count (RFC 3550 A.1, MAX_DROPOUT)."""


class Reception:
    """A row a stream; what :class:`bridge.worker.report.Reporter` asks for."""

    def __init__(self, rows: int) -> None:
        self.received: NDArray[np.int64] = np.zeros(rows, np.int64)
        self.highest: NDArray[np.int64] = np.zeros(rows, np.int64)
        self.first: NDArray[np.int64] = np.zeros(rows, np.int64)
        self.jitter: F64 = np.zeros(rows)
        self.clock: F64 = np.full(rows, float(CLOCK_RATE))
        self.late: NDArray[np.int64] = np.zeros(rows, np.int64)
        self.delay: F64 = np.zeros(rows)
        self.packet_time: F64 = np.zeros(rows)
        self._started: NDArray[np.bool_] = np.zeros(rows, np.bool_)
        self._ssrc: NDArray[np.uint32] = np.zeros(rows, np.uint32)
        self._stamp: NDArray[np.uint32] = np.zeros(rows, np.uint32)
        self._arrival: F64 = np.zeros(rows)

    def forget(self, row: int) -> None:
        for column in vars(self).values():
            column[row] = 0
        self.clock[row] = CLOCK_RATE

    def expected(self, rows: Rows) -> NDArray[np.int64]:
        count: NDArray[np.int64] = np.where(self._started[rows], self.highest[rows] - self.first[rows] + 1, 0)
        return count

    def add(self, rows: Rows, sequences: I32, timestamps: U32, ssrcs: U32, arrivals: F64) -> None:
        """Count packets, any number a row, in the order they came."""
        order = np.argsort(rows, kind="stable")
        rows, sequences = rows[order], sequences[order]
        timestamps, ssrcs, arrivals = timestamps[order], ssrcs[order], arrivals[order]
        first = np.ones(len(rows), np.bool_)
        first[1:] = rows[1:] != rows[:-1]
        starts = first.nonzero()[0]
        whose = rows[starts]
        ahead = (sequences[starts] - self.highest[whose] + 0x8000) % 0x10000 - 0x8000
        anew = ~self._started[whose] | (self._ssrc[whose] != ssrcs[starts]) | (np.abs(ahead) > RESTART)
        if anew.any():
            at, which = starts[anew], whose[anew]
            self.highest[which] = sequences[at] + 0xFFFF  # one below the first, a turn up
            self.first[which] = sequences[at] + 0x10000
            self.received[which] = 0
            self._started[which], self._ssrc[which] = True, ssrcs[at]
            self._stamp[which], self._arrival[which] = timestamps[at], arrivals[at]
        base = self.highest[rows]
        extended = base + (sequences - base + 0x8000) % 0x10000 - 0x8000
        np.maximum.at(self.highest, rows, extended)
        np.add.at(self.received, rows, 1)
        self._spread(rows, starts, timestamps, arrivals)

    def _spread(self, rows: Rows, starts: NDArray[np.intp], timestamps: U32, arrivals: F64) -> None:
        """Interarrival jitter (§6.4.1), by the first packet of each row that begins another frame: a sender's pacing
        within a frame is no jitter."""
        whose = rows[starts]
        stamps, came = timestamps[starts], arrivals[starts]
        ticks = (stamps - self._stamp[whose]).view(np.int32)
        fresh = ticks != 0
        whose, ticks, came, stamps = whose[fresh], ticks[fresh], came[fresh], stamps[fresh]
        difference = np.abs((came - self._arrival[whose]) - ticks / CLOCK_RATE)
        sane = difference < 1.0
        self.jitter[whose[sane]] += (difference[sane] - self.jitter[whose[sane]]) / 16
        self._stamp[whose], self._arrival[whose] = stamps, came
