"""What is played to one stream or to a room: prompts, tones, recorded names, and the demo's simulated talkers.

Clips are read and resampled by a thread of their own: a disk never delays a beat. A beat only copies samples.
"""

from __future__ import annotations

import queue
import threading
from collections import OrderedDict, deque
from collections.abc import Callable, Iterable
from dataclasses import dataclass, field
from typing import TypeAlias

import numpy as np
from numpy.typing import NDArray

from bridge.media.clip import ClipError, load_clip, resample, tone

Pcm: TypeAlias = NDArray[np.int16]

CLIP_RATE = 16000
CACHE_BYTES = 32 << 20
WAITING = 256
"""Requests that may wait for the loader; more is a flood, and refused."""


class Clips:
    """Clips by name and rate, cached; loading happens in its own thread."""

    def __init__(self) -> None:
        self._cache: OrderedDict[tuple[str, int], Pcm] = OrderedDict()
        self._bytes = 0
        self._lock = threading.Lock()
        self._asked: queue.Queue[tuple[tuple[str, ...], int, Callable[[list[Pcm], str], None]] | None]
        self._asked = queue.Queue(WAITING)
        self._done: deque[tuple[Callable[[list[Pcm], str], None], list[Pcm], str]] = deque()
        self.captured: OrderedDict[int, Pcm] = OrderedDict()
        self._thread = threading.Thread(target=self._load_forever, name="clips", daemon=True)
        self._thread.start()

    def ask(self, names: tuple[str, ...], rate: int, then: Callable[[list[Pcm], str], None]) -> bool:
        """Load ``names`` at ``rate``; ``then(samples, error)`` is called by a later :meth:`deliver`."""
        try:
            self._asked.put_nowait((names, rate, then))
        except queue.Full:
            return False
        return True

    def deliver(self) -> None:
        """Call back for all that has been loaded."""
        while self._done:
            then, clips, error = self._done.popleft()
            then(clips, error)

    def keep(self, capture: int, pcm: Pcm) -> None:
        """Remember what was captured (16 kHz), the last 1,000 of them."""
        with self._lock:
            self.captured[capture] = pcm
            while len(self.captured) > 1000:
                self.captured.popitem(last=False)

    def close(self) -> None:
        self._asked.put(None)
        self._thread.join(2.0)

    def _load_forever(self) -> None:
        while (asked := self._asked.get()) is not None:
            names, rate, then = asked
            try:
                self._done.append((then, [self.get(name, rate) for name in names], ""))
            except ClipError as error:
                self._done.append((then, [], str(error)))
            except Exception as error:  # a codec's surprise must not end the thread that all prompts wait for
                self._done.append((then, [], f"{', '.join(names)}: {error!r}"))

    def get(self, name: str, rate: int) -> Pcm:
        """One clip's samples.

        Raises:
            ClipError: it can't be read; the message says why.
        """
        key = (name, rate)
        with self._lock:
            if key in self._cache:
                self._cache.move_to_end(key)
                return self._cache[key]
        kind, _, what = name.partition(":")
        if kind == "silence" and what.isdigit():
            return np.zeros(min(int(what), 60_000) * rate // 1000, np.int16)
        if kind == "capture" and what.isdigit():
            with self._lock:
                pcm = self.captured.get(int(what), np.zeros(0, np.int16))
            return resample(pcm, CLIP_RATE, rate)
        pcm = tone(what, rate) if kind == "tone" else resample(load_clip(name), CLIP_RATE, rate)
        with self._lock:
            self._cache[key] = pcm
            self._bytes += pcm.nbytes
            while self._bytes > CACHE_BYTES and len(self._cache) > 1:
                self._bytes -= self._cache.popitem(last=False)[1].nbytes
        return pcm


@dataclass(slots=True)
class Spoken:
    """One :class:`~bridge.worker.protocol.Say`, loaded, and how far it has been read."""

    say: int
    clips: list[Pcm]
    loop: bool = False
    clip: int = 0
    position: int = 0

    def convert(self, rate: int, to: int) -> None:
        """Go on at another sampling rate."""
        self.clips = [resample(clip, rate, to) for clip in self.clips]
        self.position = self.position * to // rate


@dataclass(slots=True)
class Player:
    """Clips one after another, read a beat at a time."""

    waiting: deque[Spoken] = field(default_factory=deque)

    def read(self, out: Pcm) -> Iterable[int]:
        """Fill ``out`` (samples,), then silence; returns the ``say`` numbers that came to their end."""
        filled, ended = 0, []
        while filled < len(out) and self.waiting:
            now = self.waiting[0]
            if now.clip >= len(now.clips):
                if now.loop and any(map(len, now.clips)):
                    now.clip = 0
                    continue
                ended.append(now.say)
                self.waiting.popleft()
                continue
            part = now.clips[now.clip][now.position : now.position + len(out) - filled]
            out[filled : filled + len(part)] = part
            filled += len(part)
            now.position += len(part)
            if now.position >= len(now.clips[now.clip]):
                now.clip, now.position = now.clip + 1, 0
        out[filled:] = 0
        return ended


class Players:
    """All that is being played: to rows, and to rooms."""

    def __init__(self, clips: Clips, said: Callable[[int, str], None]) -> None:
        self._clips = clips
        self._said = said
        self.rows: dict[int, Player] = {}
        self.rates: dict[int, int] = {}
        """row -> sampling rate at which it is played to"""
        self.rooms: dict[int, Player] = {}
        self._epoch: dict[tuple[bool, int], int] = {}

    def tune(self, row: int, rate: int) -> None:
        """What is played to ``row`` is wanted at ``rate``; what is being played goes on at it."""
        before = self.rates.get(row, rate)
        self.rates[row] = rate
        if before != rate and row in self.rows:
            for spoken in self.rows[row].waiting:
                spoken.convert(before, rate)

    def say(self, where: int, spoken: tuple[int, tuple[str, ...]], *, room: bool, loop: bool, cut: bool) -> None:
        """Play to a row (at the rate that :meth:`tune` told) or to a room index (at 16 kHz)."""
        number, names = spoken
        key = (room, where)
        if cut:
            self.hush(where, room=room)
        epoch = self._epoch.setdefault(key, 0)
        rate = CLIP_RATE if room else self.rates[where]

        def loaded(clips: list[Pcm], error: str) -> None:
            if error:
                self._said(number, error)
            elif self._epoch.get(key) == epoch:
                ready = Spoken(number, clips, loop)
                if not room and self.rates[where] != rate:  # its codec changed meanwhile
                    ready.convert(rate, self.rates[where])
                (self.rooms if room else self.rows).setdefault(where, Player()).waiting.append(ready)

        if not self._clips.ask(names, rate, loaded):
            self._said(number, "too much is waiting to be played; try again")

    def play(self, row: int, pcm: Pcm) -> None:
        """Play samples to a row at once; what is being said to it goes on behind them."""
        self.rows.setdefault(row, Player()).waiting.appendleft(Spoken(0, [pcm]))

    def hush(self, where: int, *, room: bool) -> None:
        """Stop what is played there, and what is still being loaded for it."""
        (self.rooms if room else self.rows).pop(where, None)
        key = (room, where)
        if key in self._epoch:
            self._epoch[key] += 1

    def forget(self, where: int, *, room: bool) -> None:
        """The row or room is gone."""
        self.hush(where, room=room)
        if not room:
            self.rates.pop(where, None)

    def read(self, samples: dict[int, int]) -> tuple[dict[int, Pcm], dict[int, Pcm]]:
        """One beat of everything: {row: pcm at its rate}, {room index: pcm at 16 kHz}.

        Args:
            samples: {rate: samples a beat}.
        """
        self._clips.deliver()
        rows = {row: self._read(self.rows, row, samples[self.rates[row]]) for row in list(self.rows)}
        rooms = {room: self._read(self.rooms, room, samples[CLIP_RATE]) for room in list(self.rooms)}
        return rows, rooms

    def _read(self, players: dict[int, Player], where: int, samples: int) -> Pcm:
        out = np.empty(samples, np.int16)
        player = players[where]
        for say in player.read(out):
            if say:
                self._said(say, "")
        if not player.waiting:
            del players[where]
        return out


class Talkers:
    """Simulated talkers who take turns: in each room's round one plays a clip, then the next."""

    def __init__(self, clips: Clips) -> None:
        self._clips = clips
        self._rows: dict[int, tuple[int, int, int]] = {}
        self._lines: dict[int, list[Pcm]] = {}
        self._round: dict[int, list[int]] = {}
        """room -> [whose turn, which line, position]"""

    def set(self, row: int, room: int, names: tuple[str, ...], turn: int, turns: int) -> None:
        self._rows[row] = (room, turn, max(turns, 1))
        self._clips.ask(names, CLIP_RATE, lambda clips, _: self._lines.__setitem__(row, clips))
        self._round.setdefault(room, [0, 0, 0])

    def drop(self, row: int) -> None:
        room = self._rows.pop(row, (0, 0, 0))[0]
        self._lines.pop(row, None)
        if not any(r[0] == room for r in self._rows.values()):
            self._round.pop(room, None)

    def read(self, samples: int) -> dict[int, Pcm]:
        """One beat of whoever has the turn: {row: (samples,) at 16 kHz}."""
        spoken: dict[int, Pcm] = {}
        for room, state in self._round.items():
            row = next((r for r, (at, turn, _) in self._rows.items() if at == room and turn == state[0]), -1)
            lines = self._lines.get(row, [])
            if not lines:
                continue
            line = lines[state[1] % len(lines)]
            out = np.zeros(samples, np.int16)
            part = line[state[2] : state[2] + samples]
            out[: len(part)] = part
            spoken[row] = out
            state[2] += samples
            if state[2] >= len(line) + CLIP_RATE // 2:  # half a second between two speakers, as people do
                turns = self._rows[row][2]
                state[0] = (state[0] + 1) % turns
                state[1] += state[0] == 0
                state[2] = 0
        return spoken
