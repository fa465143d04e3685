"""When a conference ends, and when that is said before."""

from __future__ import annotations

from dataclasses import dataclass

WARNINGS = (10, 5, 1)
"""Minutes before the end at which everybody is told: time to decide, to conclude, to say goodbye."""


@dataclass(frozen=True, slots=True)
class Due:
    """What :meth:`Schedule.expire` found."""

    minutes: int | None = None
    """Tell everybody that so many are left."""
    ended: bool = False
    host_left: bool = False
    """The end is due to the hosts' leaving, not to the conference's length."""


class Schedule:
    """The two ends that a conference can have: its longest duration, and the hosts' leaving."""

    def __init__(self) -> None:
        self.started: float | None = None
        self._limit: float | None = None
        self._without_host: float | None = None
        self._warnings: list[tuple[float, int]] = []

    @property
    def ends(self) -> float | None:
        """The earlier of the two."""
        return min((end for end in (self._limit, self._without_host) if end is not None), default=None)

    def start(self, now: float, duration: float) -> None:
        """The first came in; ``duration`` 0.0: no limit."""
        self.started = now
        self.limit(now, duration)

    def limit(self, now: float, duration: float) -> None:
        """The longest duration is (now) this, counted from the start."""
        self._limit = self.started + duration if self.started is not None and duration else None
        self._plan(now)

    def host_left(self, now: float, grace: float) -> None:
        """The last host left: end after ``grace`` seconds."""
        self._without_host = now + grace
        self._plan(now)

    def host_back(self, now: float) -> None:
        """A host is there, or the conference goes on without."""
        if self._without_host is not None:
            self._without_host = None
            self._plan(now)

    def deadline(self) -> float | None:
        """The next warning or the end."""
        return self._warnings[0][0] if self._warnings else self.ends

    def expire(self, now: float) -> Due:
        """Several warnings that are due at once (a driver that slept) make one, the latest."""
        ends = self.ends
        if ends is not None and now >= ends:
            return Due(ended=True, host_left=ends == self._without_host and ends != self._limit)
        minutes = None
        while self._warnings and now >= self._warnings[0][0]:
            minutes = self._warnings.pop(0)[1]
        return Due(minutes=minutes)

    def _plan(self, now: float) -> None:
        ends = self.ends
        times = [] if ends is None else [(ends - 60.0 * minutes, minutes) for minutes in WARNINGS]
        self._warnings = [(when, minutes) for when, minutes in times if when > now]
