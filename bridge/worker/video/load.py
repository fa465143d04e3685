"""How much the machine can encode: one ceiling on what an encoding may cost, lowered while frames are left out for want
of time, raised again when there is room.

With one ceiling the most expensive encodings go down first, whoever watches them, and encodings that were one stay one.
"""

from __future__ import annotations

from collections.abc import Collection, Iterable
from typing import Final, TypeAlias

from .rung import OLD, Rung, lower

LATE: Final = 0.05
"""Share of the frames due left out in a second above which it is too much: one in twenty is seen as a stutter."""
EASY: Final = 0.01
"""Share up to which a second is a good one."""
IN_A_ROW: Final = 4
"""Seconds in a row that must be too much: first frames of encoders, and a burst of keyframes, are late by nature, and
so is what comes while something else on the machine starts. Those that are far too much count twice."""
FAR: Final = 0.25
"""Share of the frames left out that is far too much."""
SETTLE: Final = 3.0
"""Seconds between two steps down: the new encodings begin with a keyframe each, which is work too."""
RELIEF: Final = 0.85
"""What is aimed at, of what was done in time: what is encoded is not all of the work."""
FULL: Final = 0.75
"""Share of the processors that may be in use after a step up: above that keyframes are late."""
PATIENCE: Final = 10.0
"""Seconds of good ones before a step up is tried; doubled each time that the step proves to be one too many, up to
MOST_PATIENCE: each change of an encoding is a keyframe for all who watch it."""
MOST_PATIENCE: Final = 160.0
PROBATION: Final = 15.0
"""Seconds after a step up in which a step down means that it was one too many."""

Asked: TypeAlias = tuple[str, Rung]
"""An encoding that somebody watches: the format's name, and the rung that its receivers could take."""

_WEIGHTS: Final = {"H264": 1.0, "VP8": 3.0} | dict.fromkeys(OLD, 0.7)
"""What a pixel costs to encode, beside H.264's (measured: 3.3, 9 to 13 and 2 ns)."""


def cost(name: str, rung: Rung) -> float:
    """Of an encoding, in H.264 pixels a second."""
    return _WEIGHTS.get(name, 1.0) * rung.width * rung.height * rung.rate


class Load:
    """A process's ceiling. Told once a second how it went."""

    def __init__(self, now: float) -> None:
        self.ceiling = float("inf")
        """What an encoding may cost."""
        self.share = 0.0
        """Of the processors in use in the last second."""
        self._bad = 0
        self._easy_since = self._moved = now
        self._raised = float("-inf")
        self._patience = PATIENCE

    def eased(self, name: str, rung: Rung) -> Rung:
        """What is encoded in a rung's place: it, or the first below it that costs no more than the ceiling, or the
        last."""
        if cost(name, rung) <= self.ceiling:
            return rung
        each = rung
        for each in lower(rung):
            if cost(name, each) <= self.ceiling:
                break
        return each

    def steps(self, asked: Iterable[Asked]) -> int:
        """By how much encodings are below what is asked for, in all."""
        return sum((rung, *lower(rung)).index(self.eased(name, rung)) for name, rung in asked)

    def second(self, asked: Collection[Asked], late: float, share: float, now: float) -> bool:
        """A second has passed.

        Args:
            late: share of the frames due that were left out.
            share: of the processors, that this process used.

        Returns:
            Whether the ceiling is another.
        """
        self.share = share
        self._bad = self._bad + 1 + (late > FAR) if late > LATE else 0
        if late > EASY:
            self._easy_since = now
        if self._bad >= IN_A_ROW and now - self._moved >= SETTLE:
            return self._down(asked, late, now)
        if self.ceiling != float("inf") and now - max(self._easy_since, self._moved) >= self._patience:
            return self._up(asked, now)
        return False

    def _total(self, asked: Collection[Asked]) -> float:
        return sum(cost(name, self.eased(name, rung)) for name, rung in asked)

    def _down(self, asked: Collection[Asked], late: float, now: float) -> bool:
        before, aim = self.ceiling, RELIEF * (1 - late) * self._total(asked)
        while True:
            dearest = max((cost(name, self.eased(name, rung)) for name, rung in asked), default=0.0)
            cheapest = max((cost(name, (rung, *lower(rung))[-1]) for name, rung in asked), default=0.0)
            total = self._total(asked)
            if total <= aim or dearest <= cheapest:
                break
            # The next below the dearest that any encoding has.
            self.ceiling = max(
                price for name, rung in asked for each in lower(rung) if (price := cost(name, each)) < dearest
            )
        if self.ceiling == before:
            return False
        if now - self._raised < PROBATION:
            self._patience = min(2 * self._patience, MOST_PATIENCE)
        elif now - self._raised > 4 * PROBATION:
            self._patience = PATIENCE
        self._moved, self._bad = now, 0
        return True

    def _up(self, asked: Collection[Asked], now: float) -> bool:
        """As far as there is room, but not beyond twice the work: how much is left is an estimate."""
        before, total = self.ceiling, self._total(asked)
        prices = sorted({cost(name, each) for name, rung in asked for each in (rung, *lower(rung))})
        for price in [price for price in prices if price > before]:
            reached, self.ceiling = self.ceiling, price
            more = self._total(asked) / total
            if self.share * more > FULL or (more > 2 and reached != before):
                self.ceiling = reached
                break
        if not prices or self.ceiling >= prices[-1]:
            self.ceiling = float("inf")
        if self.ceiling == before:
            return False
        self._moved = self._raised = now
        return True
