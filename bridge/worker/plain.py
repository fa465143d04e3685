"""The straight road through decoding: streams that give one whole packet of 20 ms of G.711 a beat, as nearly all do.

They are decoded by one look-up for all, however many are mixed (250 rooms of 4 mix everybody). What they said last is
kept here, so that a stream that leaves the road (a packet is lost) can be concealed from where it was.
"""

from __future__ import annotations

from typing import TypeAlias

import numpy as np
from numpy.typing import NDArray

Rows: TypeAlias = NDArray[np.intp]
Pcm: TypeAlias = NDArray[np.int16]

BLOCK = 160
"""Samples of 20 ms at 8 kHz."""
KEPT = 3
"""Blocks of the past: 60 ms, of which concealment looks at 50 (G.711 Appendix I)."""
FADE = 40
"""Samples (5 ms) over which a voice that joins the mix is faded in."""
NEVER = -2


class Plain:
    """Which rows are on the road, and their past."""

    def __init__(self, rows: int) -> None:
        self._past: NDArray[np.int16] = np.zeros((KEPT, rows, BLOCK), np.int16)
        self._last: NDArray[np.int64] = np.full(rows, NEVER, np.int64)
        """(rows,) the beat of the last block."""
        self._travelled: NDArray[np.int64] = np.full(rows, NEVER, np.int64)
        """(rows,) the beat in which it was last on the road."""
        self.apart: NDArray[np.bool_] = np.zeros(rows, np.bool_)
        """(rows,) it carries samples, conceals a loss, or makes comfort noise: not on the road until that is over."""
        self._ramp = np.linspace(0, 1, FADE, dtype=np.float32)

    def forget(self, row: int) -> None:
        self._last[row] = self._travelled[row] = NEVER
        self.apart[row] = False

    def travel(self, rows: Rows, pcm: Pcm, beat: int) -> None:
        """Blocks (n, 160) of rows on the road; those that come from nowhere are faded in, in place."""
        fresh = (self._last[rows] != beat - 1).nonzero()[0]
        if fresh.size:
            pcm[fresh, :FADE] = (pcm[fresh, :FADE] * self._ramp).astype(np.int16)
        self._travelled[rows] = beat
        self.keep(rows, pcm, beat)

    def keep(self, rows: Rows, pcm: Pcm, beat: int) -> None:
        """Remember blocks (n, 160), by whichever way they came."""
        gap = (self._last[rows] != beat - 1).nonzero()[0]
        if gap.size:
            self._past[:, rows[gap]] = 0
        self._past[beat % KEPT, rows] = pcm
        self._last[rows] = beat

    def left(self, row: int, beat: int) -> Pcm | None:
        """What a row said last, (480,), if it was on the road until the beat before."""
        if self._travelled[row] != beat - 1:
            return None
        return np.concatenate([self._past[(beat + n) % KEPT, row] for n in range(KEPT)])
