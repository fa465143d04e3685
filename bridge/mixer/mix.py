"""The mix of every room in one pass: sum wide once, resample only the sums, subtract one's own exactly.

Each rate is summed natively in int32. What a room hears at some rate is its native sum plus the other rates' sums,
resampled; what a talker hears is that minus exactly what it put in. Nothing saturates here: :mod:`.limit` does, once.
"""

from __future__ import annotations

from dataclasses import dataclass

import numpy as np
from numpy.typing import NDArray

from .resample import Resampler

I16 = NDArray[np.int16]
I32 = NDArray[np.int32]
F32 = NDArray[np.float32]
Rows = NDArray[np.intp]

BEATS_A_SECOND = 50
SHORT_RUN = 16
"""Rows of one room up to which stepping through them is the quicker way to their sum."""


@dataclass(slots=True)
class Voices:
    """Talkers at one rate."""

    rate: int
    rows: Rows
    """(n,) each row once over all blocks; -1: nobody's (an announcement)."""
    rooms: I32
    """(n,) dense room indices."""
    pcm: I16
    """(n, rate / 50)"""
    gain: F32 | None = None
    """(n,) linear; None: all 1."""


class AudioMix:
    """One beat after the other: :meth:`begin`, then :meth:`total` once a rate, then :meth:`own`."""

    def __init__(self, rows: int, rates: tuple[int, ...] = (8000, 16000, 48000)) -> None:
        self._rows = rows
        self.rates = rates
        self._room_capacity = 64
        self._by_room: dict[tuple[int, int], Resampler] = {}
        self._by_row: dict[tuple[int, int], Resampler] = {}
        self._wide: dict[int, I32] = {}
        self._place: dict[int, I32] = {rate: np.full(rows, -1, np.int32) for rate in rates}
        self._placed: dict[int, Rows] = {}
        self._sums: dict[int, tuple[Rows, I32]] = {}
        self._sum_place: Rows = np.full(self._room_capacity, -1, np.intp)
        """(rooms,) scratch: where a room's sum lies; -1 between uses."""
        self._beat = 0

    def begin(self, blocks: list[Voices]) -> None:
        """This beat's talkers; several blocks of one rate are allowed."""
        self._beat += 1
        for rate, rows in self._placed.items():
            self._place[rate][rows] = -1
        self._wide.clear()
        self._placed.clear()
        self._sums.clear()
        for rate in self.rates:
            mine = [block for block in blocks if block.rate == rate and len(block.rows)]
            if mine:
                self._sum(rate, mine)

    def _sum(self, rate: int, blocks: list[Voices]) -> None:
        if len(blocks) == 1:
            wide, rows, rooms = _scaled(blocks[0]), blocks[0].rows, blocks[0].rooms
        else:
            wide = np.concatenate([_scaled(block) for block in blocks])
            rows = np.concatenate([block.rows for block in blocks])
            rooms = np.concatenate([block.rooms for block in blocks])
        if np.any(rooms[1:] < rooms[:-1]):
            order = np.argsort(rooms, kind="stable")
            wide, rows, rooms = wide[order], rows[order], rooms[order]
        starts = np.flatnonzero(np.concatenate(([True], rooms[1:] != rooms[:-1])))
        self._hold(int(rooms[-1]))
        self._sums[rate] = rooms[starts].astype(np.intp), _segment_sums(wide, starts)
        self._wide[rate] = wide
        real = np.flatnonzero(rows >= 0)
        self._place[rate][rows[real]] = real
        self._placed[rate] = rows[real]

    def total(self, rate: int, rooms: Rows) -> tuple[I32, NDArray[np.bool_]]:
        """What is said in ``rooms`` (unique), at ``rate``: (n, rate / 50), and (n,) whether anything is.

        Call once a rate and beat: the resamplers move on.
        """
        out = np.zeros((len(rooms), rate // BEATS_A_SECOND), np.int32)
        heard = np.zeros(len(rooms), np.bool_)
        if not len(rooms):
            return out, heard
        self._hold(int(rooms.max()))
        for source in self.rates:
            spoken = self._sums.get(source)
            if spoken is None and (source, rate) not in self._by_room:
                continue
            place = np.full(len(rooms), -1, np.intp)
            if spoken is not None:
                self._sum_place[spoken[0]] = np.arange(len(spoken[0]))
                place = self._sum_place[rooms]
                self._sum_place[spoken[0]] = -1
            here = np.flatnonzero(place >= 0)
            if source != rate:
                self._add_resampled(source, rate, rooms, (here, place), (out, heard))
            elif spoken is not None and here.size:
                out[here] += spoken[1][place[here]]
                heard[here] = True
        return out, heard

    def _add_resampled(
        self, source: int, rate: int, rooms: Rows, found: tuple[Rows, Rows], into: tuple[I32, NDArray[np.bool_]]
    ) -> None:
        here, place = found
        out, heard = into
        resampler = self._resampler(self._by_room, source, rate, self._room_capacity)
        rings = resampler.ringing(rooms, self._beat)
        rings[here] = False
        if here.size:
            sums = self._sums[source][1][place[here]]
            out[here] += np.rint(resampler.process(rooms[here], sums, self._beat)).astype(np.int32)
            heard[here] = True
        ended = np.flatnonzero(rings)
        if ended.size:
            out[ended] += np.rint(resampler.finish(rooms[ended], self._beat)).astype(np.int32)
            heard[ended] = True

    def own(self, rate: int, rows: Rows) -> I32:
        """What each of ``rows`` put into the mix, at ``rate``: (n, rate / 50); zeros for who put nothing in."""
        if len(self._wide) == 1 and rate in self._wide and len(rows):
            place = self._place[rate][rows]
            if place.min() >= 0:
                own: I32 = self._wide[rate].take(place, axis=0)
                return own
        out = np.zeros((len(rows), rate // BEATS_A_SECOND), np.int32)
        for source in self.rates:
            if source not in self._wide:
                continue
            place = self._place[source][rows]
            at = np.flatnonzero(place >= 0)
            if not at.size:
                continue
            mine = self._wide[source][place[at]]
            if source != rate:
                resampler = self._resampler(self._by_row, source, rate, self._rows)
                mine = np.rint(resampler.process(rows[at], mine, self._beat)).astype(np.int32)
            out[at] += mine
        return out

    def talks(self, rows: Rows) -> NDArray[np.bool_]:
        """(n,) who is in this beat's mix."""
        found = np.zeros(len(rows), np.bool_)
        for rate in self._wide:
            found |= self._place[rate][rows] >= 0
        return found

    def forget_room(self, room: int) -> None:
        """The index will be another room's."""
        for resampler in self._by_room.values():
            if room < self._room_capacity:
                resampler.clear(room)

    def forget_row(self, row: int) -> None:
        for resampler in self._by_row.values():
            resampler.clear(row)

    def _resampler(self, pool: dict[tuple[int, int], Resampler], source: int, rate: int, rows: int) -> Resampler:
        found = pool.get((source, rate))
        if found is None:
            found = pool[source, rate] = Resampler(rows, source, rate, samples=source // BEATS_A_SECOND)
        return found

    def _hold(self, room: int) -> None:
        """Make place for room indices up to ``room``."""
        if room < self._room_capacity:
            return
        while self._room_capacity <= room:
            self._room_capacity *= 2
        self._sum_place = np.full(self._room_capacity, -1, np.intp)
        for resampler in self._by_room.values():
            resampler.grow(self._room_capacity)


def _segment_sums(wide: I32, starts: Rows) -> I32:
    """(n, samples) in runs that begin at ``starts`` -> (runs, samples), each run's sum.

    The first of every run, then the second of every run, and so on: for short runs an eighth of reduceat's time.
    """
    sizes = np.diff(starts, append=len(wide))
    longest = int(sizes.max())
    if longest > SHORT_RUN:
        summed: I32 = np.add.reduceat(wide, starts, axis=0)
        return summed
    sums: I32 = wide.take(starts, axis=0)
    for step in range(1, longest):
        if sizes.min() > step:
            sums += wide.take(starts + step, axis=0)
        else:
            more = (sizes > step).nonzero()[0]
            sums[more] += wide.take(starts[more] + step, axis=0)
    return sums


def _scaled(block: Voices) -> I32:
    if block.gain is None or not np.any(block.gain != 1.0):
        return block.pcm.astype(np.int32)
    wide: I32 = np.rint(block.pcm * block.gain[:, None]).astype(np.int32)
    return wide
