"""Resampling of per-room sums between 8, 16 and 48 kHz, a beat's block at a time, as one matrix product.

A polyphase FIR over one block is linear in (history, block): y = [history | x] @ M. M is dense but small, and one call
of the matrix product serves every room at once. Rooms in which nothing is heard cost nothing.
"""

from __future__ import annotations

import functools

import numpy as np
from numpy.typing import NDArray

F32 = NDArray[np.float32]

HALF_WIDTH = 16
"""Taps on each side at the lower of the two rates: 2 ms of delay at 8 kHz, 1 ms at 16 kHz."""
NEVER = -2
"""Number of no beat."""
KAISER_BETA = 6.0
"""About 63 dB stop-band attenuation (Kaiser's formula: A = beta / 0.1102 + 8.7)."""


@functools.lru_cache
def matrix(samples: int, in_rate: int, out_rate: int) -> tuple[F32, int]:
    """The block operator (history + samples, out samples) and how many samples of history it takes.

    Args:
        samples: input samples a block; block times in_rate and out_rate must be whole.
    """
    low = min(in_rate, out_rate)
    out_samples = samples * out_rate // in_rate
    width = HALF_WIDTH * in_rate // low
    history = 2 * width
    # Output m sits at input time m * in/out - width, so that all taps lie in the past.
    at = np.arange(out_samples) * (in_rate / out_rate) - width
    index = np.arange(-history, samples)
    distance = at[None, :] - index[:, None]
    cutoff = 0.92 * low / in_rate  # the transition band ends at the lower Nyquist frequency
    window = np.i0(KAISER_BETA * np.sqrt(np.clip(1 - (distance / width) ** 2, 0, 1))) / np.i0(KAISER_BETA)
    taps = cutoff * np.sinc(cutoff * distance) * window * (np.abs(distance) <= width)
    return (taps / taps.sum(axis=0)).astype(np.float32), history


class Resampler:
    """One conversion for many rows, each with its history.

    Time is the number of the beat: a row that was not fed in the beat before has no past.
    """

    def __init__(self, rows: int, in_rate: int, out_rate: int, *, samples: int) -> None:
        self.matrix, self._width = matrix(samples, in_rate, out_rate)
        self.samples, self.out_samples = samples, self.matrix.shape[1]
        self.delay = HALF_WIDTH / min(in_rate, out_rate)
        """Seconds of group delay."""
        self._history: F32 = np.zeros((rows, self._width), np.float32)
        self._fed: NDArray[np.int64] = np.full(rows, NEVER, np.int64)

    def process(self, rows: NDArray[np.intp], block: NDArray[np.int32] | F32, beat: int) -> F32:
        """(n, samples) of ``rows`` (each at most once a beat) -> (n, out samples)."""
        stale = self._fed[rows] != beat - 1
        if stale.any():
            self._history[rows[stale]] = 0
        whole = np.empty((len(rows), self._width + self.samples), np.float32)
        whole[:, : self._width] = self._history[rows]
        whole[:, self._width :] = block
        self._history[rows] = whole[:, self.samples :]
        self._fed[rows] = beat
        out: F32 = whole @ self.matrix
        return out

    def finish(self, rows: NDArray[np.intp], beat: int) -> F32:
        """What still rings of ``rows`` whose sound ended a beat ago: (n, out samples). They have no past then."""
        out = self.process(rows, np.zeros((len(rows), self.samples), np.float32), beat)
        self._fed[rows] = NEVER
        return out

    def ringing(self, rows: NDArray[np.intp], beat: int) -> NDArray[np.bool_]:
        """(n,) whether each row was fed in the beat before."""
        live: NDArray[np.bool_] = self._fed[rows] == beat - 1
        return live

    def grow(self, rows: int) -> None:
        """Make room for more rows."""
        history, fed = self._history, self._fed
        self._history = np.zeros((rows, self._width), np.float32)
        self._fed = np.full(rows, NEVER, np.int64)
        self._history[: len(history)], self._fed[: len(fed)] = history, fed

    def clear(self, row: int) -> None:
        """Forget a row's past."""
        self._fed[row] = NEVER
