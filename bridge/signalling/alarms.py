"""Many timers, one deadline: what the sub-machines of the endpoint set and clear."""

from __future__ import annotations

import heapq
from collections.abc import Hashable, Iterator
from typing import Generic, Protocol, TypeVar


class Sleeper(Protocol):
    """Whoever sets alarms. Compared by identity."""

    def wake(self, name: str, now: float) -> None:
        """The alarm ``name`` rings; it is not set any more."""

    def __hash__(self) -> int: ...


S = TypeVar("S", bound=Hashable)


class Alarms(Generic[S]):
    """A heap with lazy deletion: an alarm set again or cleared leaves a stale entry, and the heap is rebuilt when the
    stale ones outnumber the live ones, so it stays within twice of what is set."""

    def __init__(self) -> None:
        self._set: dict[tuple[Hashable, str], tuple[float, int]] = {}
        self._heap: list[tuple[float, int, S, str]] = []
        self._count = 0

    def __len__(self) -> int:
        return len(self._set)

    def set(self, sleeper: S, name: str, when: float) -> None:
        """Ring ``name`` at ``when`` seconds; an alarm of that name already set is moved."""
        self._count += 1
        self._set[(sleeper, name)] = (when, self._count)
        heapq.heappush(self._heap, (when, self._count, sleeper, name))
        if len(self._heap) > 2 * len(self._set) + 64:
            self._heap = [entry for entry in self._heap if self._live(entry)]
            heapq.heapify(self._heap)

    def is_set(self, sleeper: Sleeper, name: str) -> bool:
        return (sleeper, name) in self._set

    def clear(self, sleeper: S, *names: str) -> None:
        for name in names:
            self._set.pop((sleeper, name), None)

    def deadline(self) -> float | None:
        while self._heap and not self._live(self._heap[0]):
            heapq.heappop(self._heap)
        return self._heap[0][0] if self._heap else None

    def due(self, now: float) -> Iterator[tuple[S, str]]:
        """Alarms whose time has come, earliest first; each is cleared before it is handed out."""
        while (when := self.deadline()) is not None and when <= now:
            _, _, sleeper, name = heapq.heappop(self._heap)
            del self._set[(sleeper, name)]
            yield sleeper, name

    def _live(self, entry: tuple[float, int, S, str]) -> bool:
        when, count, sleeper, name = entry
        return self._set.get((sleeper, name)) == (when, count)
