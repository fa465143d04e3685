"""Automatic gain: brings every voice near one level, slowly, and never pumps up noise."""

from __future__ import annotations

import numpy as np
from numpy.typing import NDArray

F32 = NDArray[np.float32]

TARGET = 32768.0**2 * 10 ** (-23 / 10)
"""Mean square of speech at -23 dBov, near ITU-T P.56's -26 of an active talker and EBU R 128's -23."""
MOST = 4.0
"""12 dB up or down: beyond that a microphone wants moving."""
SPEED = 0.02
"""Share of the way in dB a beat of active speech: half in 0.7 s of talking."""


class Agc:
    """Gain of every row."""

    def __init__(self, rows: int) -> None:
        self._gain: F32 = np.ones(rows, np.float32)
        self._level: F32 = np.full(rows, TARGET, np.float32)

    def reset(self, row: int) -> None:
        self._gain[row] = 1.0
        self._level[row] = TARGET

    def update(self, rows: NDArray[np.intp], power: F32, active: NDArray[np.bool_]) -> F32:
        """One beat; (n,) linear gains to use now. Only active speech moves them.

        Args:
            power: (n,) mean square of this beat's sound; active: (n,) whether it is speech.
        """
        level = self._level[rows]
        level = np.where(active, level + (power - level) * np.float32(SPEED), level)
        self._level[rows] = level
        wanted = np.clip(np.sqrt(TARGET / np.maximum(level, 1.0)), 1 / MOST, MOST)
        gain = self._gain[rows]
        gain = np.where(active, gain * (wanted / gain) ** SPEED, gain).astype(np.float32)
        self._gain[rows] = gain
        return gain
