"""Concealment of lost packets for codecs without their own (G.711, G.722, L16), after G.711 Appendix I.

The last pitch period is repeated, joined to the past by overlap-add, and fades: full for 10 ms, then by a fifth every
10 ms, so that 60 ms of loss end in silence. The first good samples are cross-faded with the continuation.
"""

from __future__ import annotations

import numpy as np
from numpy.typing import NDArray

Pcm = NDArray[np.int16]

HISTORY = 0.050
"""Seconds of past kept (App. I: 48.75 ms at 8 kHz)."""
SHORTEST, LONGEST = 0.005, 0.015
"""Pitch periods searched, seconds: 66 to 200 Hz (App. I)."""
OVERLAP = 0.00375
"""Seconds of cross-fade where the repetition joins (App. I: a quarter of the shortest wave, 3.75 ms)."""
JOIN = 0.001
"""Seconds over which the step between the past and its repetition is spread; PESQ likes longer ones less."""
FULL, STEP = 0.010, 0.2
"""Full for the first 10 ms, then a fifth less every 10 ms."""


class Concealer:
    """The past of one talker, and what continues it."""

    def __init__(self, rate: int) -> None:
        self._rate = rate
        self._past: NDArray[np.float32] = np.zeros(int(HISTORY * rate), np.float32)
        self._wave: NDArray[np.float32] = np.zeros(0, np.float32)
        self._at = 0
        self._step = 0.0
        self._lost = 0

    def resume(self, past: Pcm) -> None:
        """Begin with a past of at least :data:`HISTORY` that went elsewhere."""
        self._past[:] = past[-len(self._past) :]
        self._lost = 0

    def good(self, pcm: Pcm) -> Pcm:
        """Samples that arrived; after a gap their beginning is cross-faded with the continuation."""
        if self._lost:
            width = min(int(OVERLAP * self._rate) * (2 if self._lost > self._rate // 50 else 1), len(pcm))
            ramp = np.linspace(0, 1, width, dtype=np.float32)
            tail = self._continue(width)
            pcm = pcm.copy()
            pcm[:width] = np.rint(pcm[:width] * ramp + tail * (1 - ramp)).astype(np.int16)
            self._lost = 0
        self._remember(pcm)
        return pcm

    def conceal(self, samples: int) -> Pcm:
        """(samples,) that go on as the last ones did, fading."""
        if not self._lost:
            self._find_wave()
            out = self._continue(samples)
            # The repetition begins a little beside where the past ended: the step is spread over some samples.
            width = min(int(JOIN * self._rate), samples)
            out[:width] += self._step * np.linspace(1, 0, width, dtype=np.float32)
        else:
            out = self._continue(samples)
        self._lost += samples
        filled: Pcm = np.rint(np.clip(out, -32768, 32767)).astype(np.int16)
        return filled

    def _remember(self, pcm: Pcm) -> None:
        n = len(self._past)
        if len(pcm) >= n:
            self._past[:] = pcm[-n:]
        else:
            self._past[: n - len(pcm)] = self._past[len(pcm) :]
            self._past[n - len(pcm) :] = pcm

    def _find_wave(self) -> None:
        """The last pitch period, its end made to meet its beginning."""
        rate, past = self._rate, self._past
        low, high = int(SHORTEST * rate), int(LONGEST * rate)
        fold = max(rate // 8000, 1)
        near = _best_lag(past[len(past) % fold :].reshape(-1, fold).mean(axis=1), 8000, low // fold, high // fold)
        period = _best_lag(past, rate, max((near - 1) * fold, low), min((near + 1) * fold, high)) if fold > 1 else near
        overlap = min(period // 4, int(OVERLAP * rate))
        wave = past[-period:].copy()
        ramp = np.linspace(0, 1, overlap, dtype=np.float32)
        wave[-overlap:] = wave[-overlap:] * (1 - ramp) + past[-period - overlap : -period] * ramp
        # the past ended with the unsmoothed wave; one period later the smoothed one takes over unheard
        self._wave, self._at = wave, 0
        self._step = float(past[-1] - past[-period - 1])

    def _continue(self, samples: int) -> NDArray[np.float32]:
        if not len(self._wave):
            return np.zeros(samples, np.float32)
        at = (self._at + np.arange(samples)) % len(self._wave)
        self._at = int((self._at + samples) % len(self._wave))
        when = (self._lost + np.arange(samples)) / self._rate
        gain = np.clip(1.0 - STEP * (when - FULL) / 0.010, 0.0, 1.0)
        out: NDArray[np.float32] = (self._wave[at] * gain).astype(np.float32)
        return out


def _best_lag(past: NDArray[np.float32], rate: int, low: int, high: int) -> int:
    """The lag (samples, ``low`` to ``high``) at which the last 20 ms are most like what was before."""
    window = rate // 50
    recent = past[-window:]
    energy = float(recent @ recent) + 1.0
    lags = np.arange(low, high + 1)
    before = past[len(past) - window - lags[:, None] + np.arange(window)[None, :]]
    score = (before @ recent) / np.sqrt(np.einsum("ij,ij->i", before, before) * energy + 1.0)
    return int(lags[int(np.argmax(score))])
