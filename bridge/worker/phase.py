"""When in the 20 ms the beat falls: soon after the packets of those who are heard.

A packet waits for the next beat, 10 ms on average if chance sets the phase. Few talk at a time, and a phone's packets
keep their place in the 20 ms; so the beat is moved to where the voices that are mixed wait least. It slides there, too
slowly for a listener's jitter buffer to notice. Where many talk at once (many rooms) all phases are as good, and the
beat stays.
"""

from __future__ import annotations

import math
from typing import TypeAlias

import numpy as np
from numpy.typing import NDArray

F64: TypeAlias = NDArray[np.float64]
Rows: TypeAlias = NDArray[np.intp]

BEAT = 0.020
BINS = 80
"""Phases that are told apart: 0.25 ms, less than a beat of few streams takes."""
BEYOND = 0.001
"""Seconds of slack beyond the margin that the jitter buffer leaves: so that a stream that is a whole packet too deep at
the new phase is seen to be."""
MEMORY = 0.98
"""Share of what was seen that is left a beat later: it halves in 0.7 s, so that turns at talking do not move the beat
to and fro, and whoever talks most has it."""
GAIN = 0.002
"""Seconds of mean wait that a move must save; less is not worth crossing other streams' packets."""
SLIDE = 50e-6
"""Seconds a beat: 0.25 %, so 10 ms in 4 s. A listener sees a clock that is off for as long, which jitter buffers follow
as they do any clock's; its interarrival jitter grows by 0.05 ms, less than a packet takes on a line of 1 Mbit/s."""
EVERY = 25
"""Beats between two decisions (half a second)."""


class Phase:
    """Where the beat is, where it should be, and how far it moves now. No clock in it: instants are told."""

    def __init__(self) -> None:
        self._weight: F64 = np.zeros(BINS)
        """(bins,) how much is heard of streams that are ready at each phase of the 20 ms."""
        self._target: float | None = None
        self._seen = 0

    def see(self, due: float, slacks: F64, margins: F64) -> None:
        """One beat of the streams that are heard.

        Args:
            due: the beat's instant.
            slacks: (n,) seconds that the latest of a stream's packets waited for its beat, in the last seconds.
            margins: (n,) seconds of it that are better kept.
        """
        self._weight *= MEMORY
        if not len(slacks):
            return
        ready = due - slacks + margins + BEYOND
        bins = np.ceil(ready % BEAT * (BINS / BEAT)).astype(np.intp) % BINS
        self._weight += np.bincount(bins, minlength=BINS)

    def shift(self, due: float) -> float:
        """Seconds to add to the next beat's instant.

        Args:
            due: the instant of this one.
        """
        self._seen += 1
        if self._seen % EVERY == 0:
            self._target = self._choose(due % BEAT)
        if self._target is None:
            return 0.0
        away = math.remainder(self._target - due, BEAT)
        if abs(away) <= SLIDE:
            self._target = None
            return away
        return math.copysign(SLIDE, away)

    def _choose(self, now: float) -> float | None:
        """The phase of least mean wait, if it saves enough against ``now``; None: stay."""
        total = float(self._weight.sum())
        if total < 1.0:
            return None
        waits = self._waits() / total
        best = int(waits.argmin())
        # The wait at the present phase, between two bins: a little later is as much more for all who are ready.
        here = float(waits[int(now * (BINS / BEAT)) % BINS])
        if here - float(waits[best]) < GAIN:
            return None
        return best * BEAT / BINS

    def _waits(self) -> F64:
        """(bins,) sum of the waits from being ready until a beat at each phase."""
        mean = self._weight @ ((-np.arange(BINS)) % BINS)  # for a beat at phase 0
        # One bin later everybody waits one bin more, but who is ready just then begins anew.
        steps = self._weight.sum() - BINS * self._weight[1:]
        waits: F64 = np.concatenate(([mean], mean + np.cumsum(steps))) * (BEAT / BINS)
        return waits
