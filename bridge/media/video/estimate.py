"""What a path bears, by what became of the packets sent on it: queues that grow and packets that are lost lower the
estimate, time without either raises it. In the manner of LEDBAT (RFC 6817) and of draft-ietf-rmcat-gcc §6.

An estimate is a limit only once something has gone wrong: encodings are far below what most paths bear, and nothing is
learnt of a path that was never full.
"""

from __future__ import annotations

from typing import Final

import numpy as np

from .departures import Fate

QUEUE: Final = 0.08
"""Seconds of standing queue that are too much: RFC 6817 §2.4 lets bulk transfers make 0.1, calls are worth more."""
CLEAR: Final = 0.04
"""Seconds below which a queue is none: jitter of wireless links."""
TWICE: Final = 2
"""Feedbacks in a row that must show a queue: one may be a burst, which a keyframe is."""
BASE: Final = 10.0
"""Seconds over which the least delay is taken for that of an empty path, and once more as long: clocks drift apart by
less than 1 ms in it."""
LOSSY: Final = 0.10
CALM: Final = 0.02
"""Shares lost that lower and that hold the estimate (draft-ietf-rmcat-gcc-02 §6)."""
BACK: Final = 0.85
"""Of what came through, after a queue (ibid. §5.5)."""
GROWTH: Final = 1.08
"""A second (ibid. §5.5)."""
WINDOW: Final = 0.5
"""Seconds of arrivals by which the rate is measured: fifteen frames."""
FEW: Final = 20
"""Packets below which a share lost says nothing."""
SETTLE: Final = 1.0
"""Seconds between two steps down: until the queue that was has drained."""
LEAST: Final = 50_000.0
"""Bits a second: less than the least encoding."""


class Estimate:
    """Of one receiver's path."""

    def __init__(self) -> None:
        self.limit = float("inf")
        """Bits a second; inf: nothing is known that limits it."""
        self.rate = 0.0
        """Bits a second that come through."""
        self.queue = 0.0
        """Seconds."""
        self._least = [float("inf"), float("inf")]
        self._turned = float("-inf")
        self._full = 0
        self._octets = self._lost = self._came = 0
        self._window: float | None = None
        self._told = self._lowered = float("-inf")

    def feedback(self, fate: Fate, now: float) -> None:
        """A feedback came."""
        self._lost += fate.lost
        if not fate.sent.size:
            return
        if self._told == float("-inf"):
            self._told = now
        passed, self._told = min(now - self._told, 1.0), now
        share = self._measure(fate)
        self.queue = self._delay(fate, now)
        self._full = self._full + 1 if self.queue > QUEUE else 0
        if now - self._lowered >= SETTLE and self.rate:
            if self._full >= TWICE:
                self._lower(BACK * self.rate, now)
            elif share > LOSSY:
                self._lower((1 - share / 2) * self.rate, now)
        if self.queue < CLEAR and share <= CALM and now - self._lowered >= SETTLE:
            self.limit *= GROWTH**passed

    def _lower(self, bits: float, now: float) -> None:
        self.limit, self._lowered = max(bits, LEAST), now

    def _delay(self, fate: Fate, now: float) -> float:
        """How much longer packets took than on an empty path."""
        delays = fate.arrived - fate.sent
        middle = float(np.sort(delays)[len(delays) // 2])
        if now - self._turned > BASE or abs(middle - self._least[0]) > BASE:  # or the far end's clock was set
            self._least = [float("inf"), self._least[0] if now - self._turned < 3 * BASE else float("inf")]
            if abs(middle - self._least[1]) > BASE:
                self._least[1] = float("inf")
            self._turned = now
        self._least[0] = min(self._least[0], float(delays.min()))
        return middle - min(self._least)

    def _measure(self, fate: Fate) -> float:
        """The rate that came through, and the share lost, over windows of arrivals; returns that share."""
        last = float(fate.arrived.max())
        self._octets += int(fate.sizes.sum())
        self._came += fate.sent.size
        if self._window is None or not 0 <= last - self._window < 4 * WINDOW:  # the first, or after a pause
            self._window, self._octets, self._lost, self._came = last, 0, 0, 0
            return 0.0
        span = last - self._window
        if span < WINDOW:
            return 0.0
        self.rate = 8 * self._octets / span
        total = self._lost + self._came
        share = self._lost / total if total >= FEW else 0.0
        self._window, self._octets, self._lost, self._came = last, 0, 0, 0
        return share
