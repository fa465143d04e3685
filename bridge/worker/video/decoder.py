"""Frames to pictures by libavcodec, whatever it makes of them."""

from __future__ import annotations

from typing import Any

from av.codec import CodecContext
from av.video.frame import VideoFrame

from bridge.media.video.formats import VideoFormat
from bridge.media.video.payload import Limits
from bridge.media.video.swscale import planes
from bridge.mixer.compose import Picture

_PLAIN = ("yuv420p", "yuvj420p")


class Decoder:
    """One stream's. Errors are counted and leave no picture; whose keyframe comes next goes on from there."""

    def __init__(self, format_: VideoFormat, limits: Limits) -> None:
        self._format = format_
        self._limits = limits
        self._context: Any = None
        self._number = 0
        self.errors = 0
        self.broken = False
        """What was decoded last went wrong: nothing is shown until a keyframe."""

    def _open(self) -> Any:
        context: Any = CodecContext.create(self._format.decoder, "r")
        context.thread_count = 1
        # What the depacketisers let through is refused here again, before memory is taken.
        context.options = {"max_pixels": str(self._limits.pixels), "flags": "+low_delay"}
        return context

    def decode(self, data: bytes, *, keyframe: bool, turn: int) -> Picture | None:
        """The picture of a frame; None: there is none (yet), or it is broken."""
        if self.broken and not keyframe:
            return None
        picture = None
        try:
            if self._context is None:
                self._context = self._open()
            packet = _packet(data)
            for frame in self._context.decode(packet):
                picture = self._picture(frame, turn) or picture
            self.broken = False
        except Exception:  # whatever a stranger's bytes provoke: the libraries have many kinds, and all mean the same
            self.errors += 1
            self.broken = True
            if keyframe:
                self._context = None  # begin anew: nothing of the old state can be trusted
            return None
        return picture

    def _picture(self, frame: VideoFrame, turn: int) -> Picture | None:
        if frame.is_corrupt:
            self.broken = True
            return None
        self._limits.check(frame.width, frame.height)
        told = frame.rotation % 360 if frame.rotation else 0
        if told % 90 == 0 and told:
            turn = (turn - told) % 360
        if frame.format.name not in _PLAIN:
            frame = frame.reformat(format="yuv420p")
        self._number += 1
        full = frame.format.name == "yuvj420p" or frame.color_range == 2
        return Picture(planes(frame), self._number, turn=turn, pixel=self._pixel(), full_range=full)

    def _pixel(self) -> float:
        ratio = self._context.sample_aspect_ratio
        if not ratio:
            return 1.0
        value = float(ratio)
        return value if 0.25 <= value <= 4 else 1.0


def _packet(data: bytes) -> Any:
    from av.packet import Packet

    return Packet(data)
