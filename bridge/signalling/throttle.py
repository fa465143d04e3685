"""Slowing down whoever floods: token buckets, of bounded number."""

from __future__ import annotations

import ipaddress
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

    def put(self, now: float) -> None:
        """Give one back."""
        self._fill(now)
        self.tokens = min(self.burst, self.tokens + 1.0)

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
    """A bucket per source, drained by what is held against it, filled again by time. The least recently charged source
    is forgotten when ``sources`` are known, so a spoofing flood can't grow the table (it can only make it forget)."""

    def __init__(self, per_minute: float, *, burst: float = 0.0, sources: int = 4096) -> None:
        """``per_minute`` 0: nothing is held against anybody. ``burst``: what may come at once; 0: a minute's."""
        self._per_minute, self._burst = per_minute, burst or per_minute
        self._sources = sources
        self._buckets: OrderedDict[Hashable, Bucket] = OrderedDict()

    def __len__(self) -> int:
        return len(self._buckets)

    def charge(self, source: Hashable, now: float) -> None:
        """One more thing to hold against ``source``."""
        if not self._per_minute:
            return
        bucket = self._buckets.get(source)
        if bucket is None:
            bucket = self._buckets[source] = Bucket(self._per_minute / 60.0, self._burst, now)
            if len(self._buckets) > self._sources:
                self._buckets.popitem(last=False)
        self._buckets.move_to_end(source)
        bucket.take(now)

    def forgive(self, source: Hashable, now: float) -> None:
        """One thing was no fault after all."""
        bucket = self._buckets.get(source)
        if bucket is not None:
            bucket.put(now)

    def spent(self, source: Hashable, now: float) -> bool:
        """Was it too much, lately?"""
        bucket = self._buckets.get(source)
        if bucket is None or not bucket.empty(now):
            return False
        self._buckets.move_to_end(source)
        return True

    def wait(self, source: Hashable, now: float) -> float:
        """Seconds until it is no more too much."""
        bucket = self._buckets.get(source)
        return bucket.wait(now) if bucket is not None else 0.0


def site(address: str) -> str:
    """Who answers for what comes from ``address``: the address, or for IPv6 its first 64 bits, of which every site
    has all that come after (RFC 6177)."""
    if ":" not in address:
        return address
    try:
        parsed = ipaddress.IPv6Address(address.partition("%")[0])
    except ValueError:
        return address
    mapped = parsed.ipv4_mapped
    return str(mapped) if mapped else parsed.exploded[:19]
