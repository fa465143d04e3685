"""Who speaks: the active speaker of every room, by voice activity over three time scales.

In the spirit of Volfin and Cohen's dominant speaker identification: a cough is loud at once but not for long, noise is
there for long but never stands out of its own floor. Activity is counted against each stream's own noise floor.
"""

from __future__ import annotations

import numpy as np
from numpy.typing import NDArray

F32 = NDArray[np.float32]

FLOOR_RISE = 1.015
"""The noise floor's rise a beat: 6.5 dB a second, so that a fan that is switched on counts as speech for two or three
seconds; it falls at once, and speech has a gap before that."""
ABOVE_FLOOR = 8.0
"""Power ratio (9 dB) over its floor at which a stream is active."""
LEAST = 1100.0
"""Mean square (-60 dBov) under which nothing is speech."""
ONSET = 8
"""Active beats among the last :data:`WINDOW` that make a speaker: 160 ms, which clicks and short coughs don't reach."""
WINDOW = 15
"""300 ms."""
HANGOVER = 75
"""Beats (1.5 s) that a speaker who pauses stays the speaker."""
CHALLENGE = 2.0
"""Power ratio (3 dB) by which somebody must drown a speaker who has not stopped."""
PAUSE = 10
"""Beats (200 ms) of silence after which a speaker has stopped, for a voice of about his own level (:data:`ASIDE`)."""
LONG_PAUSE = 30
"""Beats (600 ms) after which he has for anybody: longer than he takes breath."""
ASIDE = 0.25
"""Power ratio (-6 dB) under which a voice is an aside, which a short pause gives no floor to."""


class SpeakerDetector:
    """State for all rows and rooms."""

    def __init__(self, rows: int) -> None:
        self._floor: F32 = np.full(rows, LEAST, np.float32)
        self._history: NDArray[np.uint32] = np.zeros(rows, np.uint32)
        self._power: F32 = np.zeros(rows, np.float32)
        self._quiet: NDArray[np.int32] = np.zeros(rows, np.int32)
        self._room: NDArray[np.int32] = np.full(rows, -1, np.int32)
        """(rows,) where it can be heard now."""
        self._speaker: NDArray[np.intp] = np.full(64, -1, np.intp)
        """(rooms,) the row that speaks in each; -1: nobody."""

    @property
    def speaker(self) -> dict[int, int]:
        """room index -> row"""
        rooms = (self._speaker >= 0).nonzero()[0]
        return dict(zip(rooms.tolist(), self._speaker[rooms].tolist(), strict=True))

    def reset(self, row: int) -> None:
        """The row's stream is gone or new."""
        self._floor[row], self._history[row], self._power[row], self._quiet[row] = LEAST, 0, 0, 0
        self._room[row] = -1
        self._speaker[self._speaker == row] = -1

    def active(self, rows: NDArray[np.intp]) -> NDArray[np.bool_]:
        """(n,) whether each row's last beat was speech-like."""
        bits: NDArray[np.bool_] = (self._history[rows] & np.uint32(1)) != 0
        return bits

    def speaking(self, rows: NDArray[np.intp]) -> NDArray[np.bool_]:
        """(n,) who has talked for long enough to be named, whoever else does."""
        spoke: NDArray[np.bool_] = _ones(self._history[rows]) >= ONSET
        return spoke

    def update(
        self, rows: NDArray[np.intp], rooms: NDArray[np.int32], power: F32, audible: NDArray[np.bool_]
    ) -> list[tuple[int, int]]:
        """One beat; returns the changes as (room index, row), row -1 for nobody.

        Args:
            power: (n,) mean square of this beat's sound.
            audible: (n,) not muted and in a room.
        """
        floor = np.minimum(np.maximum(power, 1.0), self._floor[rows] * FLOOR_RISE)
        self._floor[rows] = floor
        on = audible & (power > np.maximum(floor * ABOVE_FLOOR, LEAST))
        mask = np.uint32((1 << WINDOW) - 1)
        history = ((self._history[rows] << np.uint32(1)) | on.astype(np.uint32)) & mask
        self._history[rows] = history
        level = self._power[rows]
        self._power[rows] = np.where(on, level + (power - level) * np.float32(0.1), level)
        self._quiet[rows] = np.where(on, 0, self._quiet[rows] + 1)
        self._room[rows] = np.where(audible, rooms, -1)
        return self._decide(rows, rooms, history, audible)

    def _decide(
        self,
        rows: NDArray[np.intp],
        rooms: NDArray[np.int32],
        history: NDArray[np.uint32],
        audible: NDArray[np.bool_],
    ) -> list[tuple[int, int]]:
        changes: list[tuple[int, int]] = []
        candidates = np.flatnonzero(audible & (history != 0))
        candidates = candidates[_ones(history[candidates]) >= ONSET]
        if candidates.size:
            order = candidates[np.lexsort((self._power[rows[candidates]], rooms[candidates]))]
            best = order[np.append(np.diff(rooms[order]) != 0, True)]
            room, row = rooms[best], rows[best]
            self._hold(int(room[-1]))
            now = self._speaker[room]
            turn = ((now < 0) | ((now != row) & self._gives_way(now, row))).nonzero()[0]
            self._speaker[room[turn]] = row[turn]
            changes += zip(room[turn].tolist(), row[turn].tolist(), strict=True)
        held = (self._speaker >= 0).nonzero()[0]
        who = self._speaker[held]
        over = held[(self._quiet[who] > HANGOVER) | (self._room[who] != held)]
        self._speaker[over] = -1
        changes += [(room, -1) for room in over.tolist()]
        return changes

    def _gives_way(self, speaker: NDArray[np.intp], challenger: NDArray[np.intp]) -> NDArray[np.bool_]:
        """(n,) A speaker who pauses gives way to whoever talks on; one who talks must be drowned."""
        quiet, ratio = self._quiet[speaker], self._power[challenger] / np.maximum(self._power[speaker], 1.0)
        gives: NDArray[np.bool_] = (ratio > CHALLENGE) | (quiet > LONG_PAUSE) | ((quiet > PAUSE) & (ratio > ASIDE))
        return gives

    def _hold(self, room: int) -> None:
        """Make place for room indices up to ``room``."""
        if room >= len(self._speaker):
            grown = np.full(2 * room, -1, np.intp)
            grown[: len(self._speaker)] = self._speaker
            self._speaker = grown


def _ones(words: NDArray[np.uint32]) -> NDArray[np.int32]:
    """Set bits of 16-bit numbers."""
    x = words - ((words >> np.uint32(1)) & np.uint32(0x5555))
    x = (x & np.uint32(0x3333)) + ((x >> np.uint32(2)) & np.uint32(0x3333))
    x = (x + (x >> np.uint32(4))) & np.uint32(0x0F0F)
    ones: NDArray[np.int32] = ((x + (x >> np.uint32(8))) & np.uint32(0x1F)).astype(np.int32)
    return ones
