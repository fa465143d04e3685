"""The composed picture as a PNG file; and logos, which are PNG files too."""

from __future__ import annotations

import functools
from collections.abc import Callable
from dataclasses import dataclass
from fractions import Fraction
from pathlib import Path
from typing import TYPE_CHECKING, Any

import av
import msgspec
import numpy as np
from av.codec import CodecContext
from av.error import FFmpegError
from av.video.frame import VideoFrame

from bridge.mixer.canvas import from_rgba

from ..protocol_video import Snapshot, SnapshotDone
from .crew import Crew
from .room import Logo, VideoRoom, pictures_for

if TYPE_CHECKING:
    from .beat import VideoBeat

PATIENCE = 2.0
"""Seconds that senders whom nobody watched have for a keyframe before the picture is taken without them."""
WAITING = 16
"""Snapshots that may wait."""
LOGO_OCTETS = 4 << 20
LOGO_SIDE = 2048


@dataclass(slots=True)
class _Asked:
    command: Snapshot
    room: VideoRoom
    until: float


class Snapshots:
    def __init__(self, crew: Crew, emit: Callable[[msgspec.Struct], None]) -> None:
        self._crew, self._emit = crew, emit
        self._asked: list[_Asked] = []

    @property
    def waiting(self) -> int:
        """How many are asked for and not begun."""
        return len(self._asked)

    @staticmethod
    def logo(path: str) -> Logo | None:
        """Raises:
        ValueError: it is no picture, or a huge one.
        OSError: it can't be read.
        """
        return _logo(path) if path else None

    def ask(self, command: Snapshot, room: VideoRoom, now: float) -> None:
        """Raises:
        ValueError: too many wait.
        """
        if len(self._asked) >= WAITING:
            raise ValueError("too many snapshots at once")
        self._asked.append(_Asked(command, room, now + PATIENCE))

    def sources(self, room: VideoRoom, now: float) -> set[int]:
        """Keys of the pictures that are needed."""
        if not any(each.room is room for each in self._asked):
            return set()
        return set(room.chooser.scene(now).sources())

    def step(self, now: float, beat: VideoBeat) -> None:
        """Write those for which all pictures are there."""
        for each in list(self._asked):
            scene = each.room.chooser.scene(now)
            for key in scene.sources():
                beat.paint(each.room, key, now)
            pictures = pictures_for(scene.sources(), functools.partial(beat.picture, each.room))
            if len(pictures) < len(scene.sources()) and now < each.until:
                continue
            self._asked.remove(each)
            command = each.command
            try:
                composer = each.room.composer(command.width, command.height)
            except ValueError as error:
                self._emit(SnapshotDone(command.snapshot, str(error)))
                continue

            def job(command=command, composer=composer, scene=scene, pictures=pictures):  # type: ignore[no-untyped-def]
                error = ""
                try:
                    composer.compose(scene, pictures)
                    write_png(command.path, composer.canvas.whole)
                except (OSError, FFmpegError, ValueError) as problem:
                    error = str(problem)
                return lambda: self._emit(SnapshotDone(command.snapshot, error))

            self._crew.run(job)


def write_png(path: str, picture: np.ndarray[Any, np.dtype[np.uint8]]) -> None:
    """An I420 picture (height * 3/2, width) as a file, whole or not at all.

    Raises:
        OSError: it can't be written.
    """
    frame = VideoFrame.from_ndarray(np.ascontiguousarray(picture), format="yuv420p").reformat(format="rgb24")
    context: Any = CodecContext.create("png", "w")
    context.width, context.height, context.pix_fmt = frame.width, frame.height, "rgb24"
    context.time_base = Fraction(1, 1)
    frame.pts = 0
    data = b"".join(bytes(packet) for packet in [*context.encode(frame), *context.encode(None)])
    part = Path(path + ".part")
    part.write_bytes(data)
    part.replace(path)


@functools.lru_cache(maxsize=16)
def _logo(path: str) -> Logo:
    file = Path(path)
    if file.stat().st_size > LOGO_OCTETS:
        raise ValueError(f"{path}: larger than a logo may be")
    try:
        with av.open(path) as container:
            stream = container.streams.video[0]
            if max(stream.width, stream.height) > LOGO_SIDE:
                raise ValueError(f"{path}: larger than a logo may be")
            frame = next(container.decode(stream))
    except (FFmpegError, IndexError, StopIteration):
        raise ValueError(f"{path}: no picture") from None
    return from_rgba(frame.reformat(format="rgba").to_ndarray().astype(np.uint8))
