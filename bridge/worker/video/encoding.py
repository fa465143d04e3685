"""A composed picture and its encodings: painted once, encoded once a kind, whoever looks."""

from __future__ import annotations

import time
from collections import deque
from collections.abc import Callable, Mapping
from dataclasses import dataclass, field

import numpy as np
from numpy.typing import NDArray

from bridge.media.video.history import SentPackets
from bridge.media.video.keyframe_limiter import KeyframeLimiter
from bridge.media.video.pacer import Pacer
from bridge.media.video.payload import CLOCK_RATE
from bridge.mixer.choose import Scene
from bridge.mixer.compose import Composer, Picture

from .crew import Crew
from .encoder import Encoder, Kind

Rows = NDArray[np.intp]

STILL = 1.0
"""Seconds after which a picture that stands is sent again: receivers take a stream that says nothing for dead, and what
was lost of the last frame is repaired by it."""
BLOCKS = 10
"""Frames whose packets may still wait to be sent; more than a pacer holds."""
SPREAD = 0.5
"""Of the frame interval over which a frame's packets are spread. The picture is seen when the last of them is there, so
a longer spread is a longer delay; a shorter one makes keyframes into bursts."""


@dataclass(slots=True)
class Block:
    """The packets of one frame, one behind the other in memory."""

    first: int
    count: int
    data: NDArray[np.uint8]
    starts: NDArray[np.uint64]
    """(count,) memory addresses."""
    sizes: NDArray[np.int64]
    timestamp: int


class Encoding:
    """One encoder's packets and who is sent them."""

    def __init__(self, number: int, kind: Kind, slot: float, phase: float) -> None:
        self.number = number
        self.kind = kind
        self.encoder = Encoder(kind)
        self.packets = SentPackets()
        self.limiter = KeyframeLimiter()
        self.pacer = Pacer(slot)
        self.rows: Rows = np.zeros(0, np.intp)
        """Who is sent it, by socket."""
        self.members: set[int] = set()
        self.joining: set[int] = set()
        """Rows that are sent it from its next keyframe on."""
        self.blocks: deque[Block] = deque(maxlen=BLOCKS)
        self.interval = 1 / kind.rung.rate
        self._phase = phase * self.interval
        self.due = 0.0
        self.drawn = -1
        """The canvas's number as it was last encoded."""
        self.last = float("-inf")
        """When it last was."""
        self.frames = 0
        self.octets = 0

    def pass_by(self, now: float) -> int:
        """Set when the next frame is due: on a grid, so that encodings of one rate share the painting. Returns how many
        frames were missed meanwhile."""
        missed = int((now - self.due) / self.interval) if self.due else 0
        steps = np.floor((now - self._phase) / self.interval + 0.01) + 1
        self.due = float(steps * self.interval + self._phase)
        return missed

    def add(self, payloads: list[bytes], timestamp: int, now: float) -> None:
        """A frame was encoded."""
        first = self.packets.add(payloads, timestamp, now)
        data = np.frombuffer(b"".join(payloads), np.uint8)
        sizes = np.array([len(payload) for payload in payloads], np.int64)
        starts = np.uint64(data.ctypes.data) + (np.cumsum(sizes) - sizes).astype(np.uint64)
        self.blocks.append(Block(first, len(payloads), data, starts, sizes, timestamp))
        self.pacer.add(first, len(payloads), now, self.interval * SPREAD)
        self.frames += 1
        self.octets += len(data)

    def pieces(self, first: int, count: int) -> list[tuple[Block, int, int]]:
        """Where a run of packets lies: blocks, and first and last + 1 of each."""
        found = []
        for block in self.blocks:
            start, stop = max(first, block.first), min(first + count, block.first + block.count)
            if start < stop:
                found.append((block, start - block.first, stop - block.first))
        return found


@dataclass(slots=True)
class Work:
    """What painting and encoding have taken, since the start."""

    encoded: int = 0
    still: int = 0
    late: int = 0
    due: int = 0
    """Frames that should have been looked at; those that were late are among them."""
    compose_seconds: float = 0.0
    encode_seconds: float = 0.0


@dataclass(slots=True)
class Pane:
    """One composed picture of one size."""

    composer: Composer
    scene: Scene
    encodings: dict[Kind, Encoding] = field(default_factory=dict)
    busy: bool = False

    def due(self, now: float) -> list[Encoding]:
        """Encodings whose next frame's time has come."""
        return [each for each in self.encodings.values() if now >= each.due and (each.members or each.joining)]

    def run(
        self,
        crew: Crew,
        work: Work,
        pictures: Mapping[int, Picture],
        due: list[Encoding],
        now: float,
        done: Callable[[Encoding, bool], None],
    ) -> None:
        """Paint and encode; ``done(encoding, keyframe)`` is called for each that has a new frame."""
        for each in due:
            missed = each.pass_by(now)
            work.late += missed
            work.due += 1 + missed
        if self.busy:
            work.late += len(due)
            return
        self.busy = True
        scene, stamp = self.scene, int(now * CLOCK_RATE)
        forced = [each.limiter.due(now) or bool(each.joining and not each.members) for each in due]
        overdue = [now - each.last >= STILL for each in due]

        def job() -> Callable[[], None]:
            begin = painted = time.thread_time()
            frames: list[tuple[Encoding, bool, list[bytes]]] = []
            number, failure = 0, None
            try:
                self.composer.compose(scene, pictures)
                number, whole = self.composer.number, self.composer.canvas.whole
                painted = time.thread_time()
                for each, keyframe, late in zip(due, forced, overdue, strict=True):
                    if keyframe or late or number != each.drawn:
                        frames.append((each, keyframe, each.encoder.encode(whole, stamp, keyframe=keyframe)))
            except Exception as error:  # told in the loop's thread; the next frame is tried anew
                failure = error
            ended = time.thread_time()

            def finish() -> None:
                self.busy = False
                if failure is not None:
                    raise failure
                work.compose_seconds += painted - begin
                work.encode_seconds += ended - painted
                work.encoded += len(frames)
                work.still += len(due) - len(frames)
                for each, keyframe, payloads in frames:
                    if not payloads:
                        each.limiter.ask()
                        continue
                    keyframe = keyframe or each.encoder.fresh
                    each.drawn, each.last = number, now
                    each.add(payloads, stamp & 0xFFFFFFFF, now)
                    if keyframe:
                        each.limiter.sent(now)
                    done(each, keyframe)

            return finish

        crew.run(job)
