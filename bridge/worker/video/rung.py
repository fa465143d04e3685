"""What a receiver may be sent: a ladder of sizes, rates and bit rates, and who stands on which rung of it, and why."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass
from typing import Final

from bridge.media.video.h264_level import capability
from bridge.media.video.payload import PayloadError

from ..protocol_video import SetVideoRoom, SetVideoStream

LOSSY: Final = 0.08
"""Fraction lost in one report above which a receiver goes a rung down: retransmissions repair less than that well, and
more is a queue that overflows."""
CALM: Final = 0.02
"""Fraction lost up to which a report is a good one."""
PATIENCE: Final = 10.0
"""Seconds of good reports before a rung up is tried, two or more reports (RFC 3550 §6.2: one each 5 s). Doubled each
time that the higher rung proves too high, up to MOST_PATIENCE."""
MOST_PATIENCE: Final = 160.0
SETTLE: Final = 3.0
"""Seconds between two steps down: what was sent before the last one is still being reported."""
PROBATION: Final = 15.0
"""Seconds after a step up in which a step down means that it was one too many."""
STALE: Final = 30.0
"""Seconds that an estimate (REMB, TMMBR) holds if it is not repeated. TMMBR holds until it is changed (RFC 5104
§3.5.4), but a receiver that is serious repeats it."""
ROOM: Final = 1.1
"""An estimate must be above a rung's bit rate by this before a receiver goes up to it."""
BEYOND: Final = 1.2
"""Of what he is sent, an estimate above which nothing speaks against a rung up."""


@dataclass(frozen=True, slots=True)
class Rung:
    width: int
    height: int
    rate: int
    """Frames a second."""
    bits: int
    """Bits a second."""


LADDER: Final = (
    Rung(1920, 1080, 30, 3_500_000),
    Rung(1280, 720, 30, 1_800_000),
    Rung(1280, 720, 15, 1_000_000),
    Rung(640, 360, 30, 700_000),
    Rung(640, 360, 15, 400_000),
    Rung(320, 180, 15, 180_000),
    Rung(160, 90, 15, 80_000),
)
"""Steps of a factor of two in bit rate, so that each is a real relief. Ultrafast x264 needs 0.06 bit a pixel."""
OLD_LADDER: Final = (
    Rung(352, 288, 30, 500_000),
    Rung(352, 288, 15, 300_000),
    Rung(176, 144, 15, 100_000),
)
"""Of H.261 and H.263, whose terminals know CIF and QCIF (RFC 4587 §6.1, RFC 4629 §8.1)."""
OLD: Final = ("H261", "H263", "H263-1998", "H263-2000")
RATES: Final = (30, 25, 15, 10, 7)


def ladder(spec: SetVideoStream, room: SetVideoRoom) -> tuple[Rung, ...]:
    """The rungs that a receiver and his room allow, the best first; at least one."""
    if spec.send is None:
        return ()
    old = spec.send.name.upper() in OLD
    allowed = min(spec.max_rate or 30.0, room.rate)
    fits = _fits(spec)
    found: list[Rung] = []
    for rung in OLD_LADDER if old else LADDER:
        rate = next((rate for rate in RATES if rate <= min(rung.rate, allowed) + 0.5), RATES[-1])
        small = rung.width <= spec.max_width and rung.height <= spec.max_height
        small &= old or (rung.width <= room.width and rung.height <= room.height)
        each = Rung(rung.width, rung.height, rate, rung.bits)
        cheap = not spec.max_bitrate or rung.bits <= spec.max_bitrate
        if small and cheap and fits(each) and not any((r.width, r.rate) == (each.width, each.rate) for r in found):
            found.append(each)
    if not found:
        last = (OLD_LADDER if old else LADDER)[-1]
        found.append(Rung(last.width, last.height, RATES[-2], min(last.bits, spec.max_bitrate or last.bits)))
    return tuple(found)


def _fits(spec: SetVideoStream):  # type: ignore[no-untyped-def]
    """Whether an H.264 decoder's level takes it."""
    assert spec.send is not None
    if spec.send.name.upper() != "H264" or not spec.send.parameters.get("profile-level-id"):
        return lambda rung: True
    try:
        able = capability(spec.send.parameters)
    except PayloadError:
        return lambda rung: True
    return lambda rung: able.fits(rung.width, rung.height, rung.rate) and rung.bits <= 1000 * able.max_br


LOWER_RATES: Final = (25, 15)
LEAST_HEIGHT: Final = 288
"""Below 360p (CIF for old terminals) nothing is saved that counts."""


def lower(rung: Rung) -> tuple[Rung, ...]:
    """What may be encoded in a rung's place where time is short: fewer frames first, then smaller ones."""
    bits = {(each.width, each.rate): each.bits for each in (*LADDER, *OLD_LADDER)}
    rates = [rate for rate in LOWER_RATES if rate < rung.rate]
    found = [
        Rung(rung.width, rung.height, rate, min(rung.bits, bits.get((rung.width, rate), rung.bits))) for rate in rates
    ]
    old = any((rung.width, rung.height) == (each.width, each.height) for each in OLD_LADDER)
    rate = min(rung.rate, LOWER_RATES[-1])
    seen = {rung.width}
    for each in OLD_LADDER if old else LADDER:
        if each.width < rung.width and each.width not in seen and (each.height >= LEAST_HEIGHT or old):
            seen.add(each.width)
            found.append(Rung(each.width, each.height, rate, min(rung.bits, bits.get((each.width, rate), each.bits))))
    return tuple(found)


class Climber:
    """One receiver on his ladder."""

    def __init__(self, rungs: Sequence[Rung], now: float) -> None:
        self._rungs = tuple(rungs)
        self._at = 0
        self._moved = now
        self._raised = float("-inf")
        self._calm_since = now
        self._patience = PATIENCE
        self._limit: tuple[float, float] | None = None
        self._estimate = False
        self.loss = 0.0
        self.sending = 0.0
        """Bits a second that he is sent, as last measured."""

    @property
    def rung(self) -> Rung:
        return self._rungs[self._at]

    def set_rungs(self, rungs: Sequence[Rung], now: float) -> None:
        """Another ladder: the rung with the nearest bit rate on it, not above."""
        if tuple(rungs) == self._rungs:
            return
        bits = self.rung.bits if self._at else float("inf")
        self._rungs = tuple(rungs)
        self._at = next((n for n, rung in enumerate(self._rungs) if rung.bits <= bits), len(self._rungs) - 1)

    def lost(self, fraction: float, now: float) -> None:
        """A receiver report said so (RFC 3550 §6.4.1)."""
        self.loss = fraction
        if fraction > CALM:
            self._calm_since = now
        if fraction > LOSSY:
            self._down(now)

    def limited(self, bits: float, now: float, *, estimate: bool = False) -> None:
        """He can take so much: TMMBR, or an estimate (REMB, what his feedback says).

        Estimates are made of what comes through, so a picture that stands makes low ones, which are no reason to send
        less: they count against :attr:`sending`.
        """
        self._limit = (bits, now)
        self._estimate = estimate
        self._heed(now)

    def _heed(self, now: float) -> None:
        """Go down to what the limit allows."""
        limit = self.limit(now)
        used = ROOM * self.sending if self._estimate else float("inf")
        while self._at < len(self._rungs) - 1 and min(self.rung.bits, used) > limit:
            self._blame(now)
            self._at += 1
            self._moved = self._calm_since = now
            if self._estimate:
                self.sending = min(self.sending, float(self.rung.bits))  # until it is measured again
                used = ROOM * self.sending

    def limit(self, now: float) -> float:
        """The last such limit; inf: none holds."""
        return self._limit[0] if self._limit and now - self._limit[1] < STALE else float("inf")

    def step(self, now: float) -> None:
        """Time passes: heed what limit there is; try a rung up after a calm time."""
        self._heed(now)
        if not self._at or now - max(self._calm_since, self._moved) < self._patience:
            return
        needed = float(self._rungs[self._at - 1].bits)
        if self._estimate:  # it may be of no more than half again what was sent (draft-ietf-rmcat-gcc-02 §5.5)
            needed = min(needed, BEYOND * self.sending)
        if needed * ROOM > self.limit(now):
            return
        self._at -= 1
        self._moved = self._raised = self._calm_since = now

    def _down(self, now: float) -> None:
        if now - self._moved < SETTLE and self._moved != self._raised:
            return
        self._blame(now)
        if self._at < len(self._rungs) - 1:
            self._at += 1
            self._moved = now

    def _blame(self, now: float) -> None:
        """A step down: was the last one up too high?"""
        if now - self._raised < PROBATION:
            self._patience = min(2 * self._patience, MOST_PATIENCE)
            self._raised = float("-inf")
        elif now - self._raised > 4 * PROBATION:
            self._patience = PATIENCE
