"""Slowing down whoever floods: token buckets, of bounded number."""

from __future__ import annotations

from collections import OrderedDict
from collections.abc import Hashable


class Bucket:
    """A token bucket: ``rate`` tokens a second, at most ``burst`` saved."""

    __slots__ = ("burst", "rate", "since", "tokens")

    def __init__(self, rate: float, burst: float, now: float) -> None:
        self.rate, self.burst, self.since, self.tokens = rate, burst, now, burst

    def take(self, now: float) -> bool:
        """Take one token if there is one."""
        self._fill(now)
        if self.tokens < 1.0:
            return False
        self.tokens -= 1.0
        return True

    def empty(self, now: float) -> bool:
        self._fill(now)
        return self.tokens < 1.0

    def wait(self, now: float) -> float:
        """Seconds until there is a token."""
        self._fill(now)
        return max(0.0, (1.0 - self.tokens) / self.rate)

    def _fill(self, now: float) -> None:
        self.tokens = min(self.burst, self.tokens + (now - self.since) * self.rate)
        self.since = now


class Throttle:
    """A bucket per source of rejected requests. A source whose bucket is empty is not answered any more until it
    filled again: scanners learn nothing and cost nothing. The least recently seen source is forgotten when
    ``sources`` are known, so a spoofing flood can't grow the table (it can only make it forget)."""

    def __init__(self, per_minute: int, sources: int = 4096) -> None:
        self._per_minute = per_minute
        self._sources = sources
        self._buckets: OrderedDict[Hashable, Bucket] = OrderedDict()

    def __len__(self) -> int:
        return len(self._buckets)

    def rejected(self, source: Hashable, now: float) -> None:
        """One more request of ``source`` was answered with an error."""
        if not self._per_minute:
            return
        bucket = self._buckets.get(source)
        if bucket is None:
            bucket = self._buckets[source] = Bucket(self._per_minute / 60.0, self._per_minute, now)
            if len(self._buckets) > self._sources:
                self._buckets.popitem(last=False)
        self._buckets.move_to_end(source)
        bucket.take(now)

    def silent(self, source: Hashable, now: float) -> bool:
        """Is ``source`` to be ignored now?"""
        bucket = self._buckets.get(source)
        if bucket is None or not bucket.empty(now):
            return False
        self._buckets.move_to_end(source)
        return True
