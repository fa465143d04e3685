"""Where things are: which worker holds a room, and which of its ports a stream is reached at."""

from __future__ import annotations

from collections import deque
from collections.abc import Mapping
from dataclasses import dataclass, field
from typing import Final

STRAINED: Final = 0.8
"""Share of a beat's 20 ms that half of the beats fill, above which a worker gets no new calls: a fifth is left for what
comes at once (talkers, joins, a noisy machine), and whoever talks there now goes on being heard."""
EASED: Final = 0.65
"""Share below which it gets some again: a call more or less makes no difference of that size."""


class Full(Exception):
    """Every worker holds as many streams as it can."""


@dataclass(slots=True)
class _Place:
    """One worker's books."""

    free: deque[int]
    """Ports with nobody whose true address is still unknown: the next caller gets the first."""
    crowded: deque[int] = field(default_factory=deque)
    """The others, least recently given first."""
    streams: int = 0
    rooms: int = 0
    strained: bool = False
    """It has all that it can do."""


class Placement:
    """Spreads rooms over workers and callers over ports.

    A port is shared by many callers, but at most one of them should be unlatched: a caller behind NAT is then still
    told apart by the port that it sends to. When more callers arrive at once than there are ports, ports are shared
    by unlatched callers too; only those behind NAT among them must wait for the others to be heard.
    """

    def __init__(self, ports: Mapping[int, tuple[int, ...]], capacity: int) -> None:
        """``ports``: worker -> its RTP ports. ``capacity``: streams that one worker holds."""
        self._capacity = capacity
        self._places = {worker: _Place(deque(own)) for worker, own in ports.items()}
        self._rooms: dict[int, int] = {}
        self._streams: dict[tuple[int, int], tuple[int, bool]] = {}
        """(worker, stream) -> (port, latched)"""

    def worker_of(self, room: int) -> int:
        """The worker that holds ``room``."""
        return self._rooms[room]

    def open_room(self, room: int, prefer: int | None = None) -> int:
        """The worker for a new room: ``prefer`` (its first caller's), or where the fewest streams are."""
        worker = self._rooms[room] = self.least_busy() if prefer is None else prefer
        self._places[worker].rooms += 1
        return worker

    def least_busy(self) -> int:
        return min(
            self._places,
            key=lambda worker: (
                self._places[worker].strained,
                self._places[worker].streams,
                self._places[worker].rooms,
                worker,
            ),
        )

    def works(self, worker: int, share: float) -> None:
        """How much of its time a worker is busy, by its last report: 1.0 is all of it."""
        place = self._places[worker]
        place.strained = share > (EASED if place.strained else STRAINED)

    def close_room(self, room: int) -> None:
        worker = self._rooms.pop(room, None)
        if worker is not None:
            self._places[worker].rooms -= 1

    def put(self, worker: int, stream: int, *, moves: bool = False) -> int:
        """The port for a new stream on ``worker``.

        Args:
            moves: of a call that is there already, elsewhere: it isn't turned away for want of time.

        Raises:
            Full: the worker holds no more, or has no time for more.
        """
        place = self._places[worker]
        if place.strained and not moves:
            raise Full(f"media worker {worker} has all that it can do")
        if place.streams >= self._capacity:
            raise Full(f"media worker {worker} holds {self._capacity} streams and no more")
        place.streams += 1
        if place.free:
            port = place.free.popleft()
            place.crowded.append(port)
        else:
            port = place.crowded.popleft()
            place.crowded.append(port)
        self._streams[worker, stream] = (port, False)
        return port

    def simulate(self, worker: int, stream: int) -> None:
        """A stream without a port."""
        self._places[worker].streams += 1
        self._streams[worker, stream] = (0, True)

    def latched(self, worker: int, stream: int) -> None:
        """The stream's true address is known: its port is free for the next caller."""
        port, known = self._streams.get((worker, stream), (0, True))
        if not known:
            self._streams[worker, stream] = (port, True)
            self._release(worker, port)

    def take_away(self, worker: int, stream: int) -> None:
        port, known = self._streams.pop((worker, stream), (0, True))
        self._places[worker].streams -= 1
        if not known:
            self._release(worker, port)

    def _release(self, worker: int, port: int) -> None:
        place = self._places[worker]
        if port in place.crowded:
            place.crowded.remove(port)
            place.free.append(port)
