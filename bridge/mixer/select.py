"""Whose voices are mixed: the loudest K of each room, without flapping.

Rooms where at most K people send are mixed whole: nothing is gated there.
"""

from __future__ import annotations

import numpy as np
from numpy.typing import NDArray

F32 = NDArray[np.float32]
Bools = NDArray[np.bool_]

HANGOVER = 20
"""Beats (400 ms) that a voice stays in the mix after its last loud one: pauses between words are shorter."""
ADVANTAGE = 4.0
"""Power ratio (6 dB) by which somebody in the mix outranks a newcomer."""
DECAY = 0.85
"""Fall of the tracked level a beat: to a tenth in 280 ms, so a syllable's end does not cost the place."""
FLOOR = 100.0
"""Mean square (-70 dBov) under which nobody needs to be mixed in a large room."""


class Selector:
    """State of the choice for all rows."""

    def __init__(self, rows: int, loudest: int = 8) -> None:
        self.tracked: F32 = np.zeros(rows, np.float32)
        self._hang: NDArray[np.int32] = np.zeros(rows, np.int32)
        self._loudest: NDArray[np.int32] = np.full(1, loudest, np.int32)
        self._default = loudest

    def set_loudest(self, room: int, loudest: int) -> None:
        """K of one room (dense index)."""
        if room >= len(self._loudest):
            grown = np.full(2 * room + 1, self._default, np.int32)
            grown[: len(self._loudest)] = self._loudest
            self._loudest = grown
        self._loudest[room] = loudest

    def reset(self, row: int) -> None:
        self.tracked[row] = 0
        self._hang[row] = 0

    def choose(self, rows: NDArray[np.intp], rooms: NDArray[np.int32], power: F32, eligible: Bools) -> Bools:
        """(n,) who is mixed this beat.

        Args:
            rows: (n,) each at most once; rooms: (n,) dense indices.
            power: (n,) mean square of this beat's sound.
            eligible: (n,) sends, may be heard, and is in a room.
        """
        tracked = np.maximum(power, self.tracked[rows] * np.float32(DECAY))
        self.tracked[rows] = tracked
        chosen = np.zeros(len(rows), np.bool_)
        at = np.flatnonzero(eligible)
        if not at.size:
            return chosen
        room = rooms[at]
        if int(room.max()) >= len(self._loudest):
            self.set_loudest(int(room.max()), self._default)
        limit = self._loudest[room]
        crowd = np.bincount(room)[room]
        small = crowd <= limit
        chosen[at[small]] = True
        large = ~small
        if large.any():
            at, room = at[large], room[large]
            score = tracked[at] * np.where(self._hang[rows[at]] > 0, ADVANTAGE, np.float32(1.0))
            chosen[at[self._loudest_of(room, score)]] = True
        hang = self._hang[rows]
        hang = np.where(chosen & (power > FLOOR), HANGOVER, np.maximum(hang - 1, 0))
        self._hang[rows] = np.where(chosen, hang, 0)
        return chosen

    def _loudest_of(self, room: NDArray[np.int32], score: F32) -> NDArray[np.intp]:
        """Indices of the K highest scores above the floor in each room."""
        loud = (score > FLOOR).nonzero()[0]
        if not loud.size:
            return loud
        room, score = room[loud], score[loud]
        limit = int(self._loudest[room[0]])
        if (room == room[0]).all():  # one large room, as a rule: no need to sort it
            if loud.size <= limit:
                return loud
            best: NDArray[np.intp] = loud[np.argpartition(score, -limit)[-limit:]]
            return best
        order = np.lexsort((-score, room))
        ranked = room[order]
        starts = np.flatnonzero(np.concatenate(([True], ranked[1:] != ranked[:-1])))
        rank = np.arange(len(order)) - np.repeat(starts, np.diff(np.append(starts, len(order))))
        top: NDArray[np.intp] = loud[order[rank < self._loudest[ranked]]]
        return top
