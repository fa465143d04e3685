"""Pictures to packets: one encoder for all who are sent the same."""

from __future__ import annotations

from dataclasses import dataclass
from fractions import Fraction
from typing import Any

import numpy as np
from av.codec import CodecContext
from av.error import FFmpegError
from av.video.frame import PictureType, VideoFrame

from bridge.media.video.formats import by_name
from bridge.media.video.h264 import slicing_hint
from bridge.media.video.h264_level import LEVEL_1B, level_for
from bridge.media.video.payload import CLOCK_RATE, Packetiser, PayloadError

from ..protocol_video import VideoFormat
from .rung import Rung

U8 = np.ndarray[Any, np.dtype[np.uint8]]

BUFFER = 0.5
"""Seconds of the bit rate that a frame's size may run ahead (VBV): a keyframe is a quarter of that."""
FOREVER = 1 << 20
"""Frames between keyframes that nobody asked for: none."""

HIGH = ("cabac=1", "8x8dct=1", "no-deblock=0", "partitions=i8x8,i4x4")
"""What High has over baseline, on top of x264's fastest preset: a quarter fewer bits for a seventh more time."""


@dataclass(frozen=True, slots=True)
class Kind:
    """What makes two receivers' encodings one."""

    name: str
    mode: str
    """H.264: packetization-mode."""
    mtu: int
    rung: Rung
    profile: str = ""
    """H.264: baseline or high."""

    @classmethod
    def of(cls, format_: VideoFormat, mtu: int, rung: Rung) -> Kind:
        """High for who takes it (RFC 6184 §8.1, profile_idc 100); every other profile decodes constrained baseline."""
        name, told = format_.name.upper(), format_.parameters
        if name != "H264":
            return cls(name, "", mtu, rung)
        mode = "1" if told.get("packetization-mode") == "1" else "0"
        return cls(name, mode, mtu, rung, "high" if told.get("profile-level-id", "")[:2] == "64" else "baseline")


class Encoder:
    """Not for two threads at once."""

    def __init__(self, kind: Kind) -> None:
        self.kind = kind
        format_ = by_name(kind.name)
        assert format_.packetiser is not None
        self._packetiser: Packetiser = format_.packetiser({"packetization-mode": kind.mode} if kind.mode else {})
        self._codec = format_.encoder
        self._context: Any = None
        self._last = -1
        self.fresh = False
        """The last picture was the first of its encoder, a keyframe whether asked for or not."""
        self.errors = 0

    def encode(self, picture: U8, count: int, *, keyframe: bool) -> list[bytes]:
        """The payloads of a picture; none if it can't be encoded.

        Args:
            picture: (height * 3/2, width), as a canvas has it.
            count: of the frame in 90 kHz ticks; grows.
            keyframe: decoding must be able to begin with it.
        """
        try:
            self.fresh = self._context is None
            if self._context is None:
                self._context, keyframe = self._open(), True
            # Without a copy PyAV takes heights that are multiples of four only, and cuts others off.
            wrap = VideoFrame.from_ndarray if self.kind.rung.height % 4 else VideoFrame.from_numpy_buffer
            frame = wrap(picture, format="yuv420p")
            # Two frames at one instant of the encoder's clock are an error there.
            self._last = max(self._last + 1, int(count * Fraction(1, CLOCK_RATE) / self._context.time_base))
            frame.pts = self._last
            frame.time_base = self._context.time_base
            if keyframe:
                frame.pict_type = PictureType.I
            data = b"".join(bytes(packet) for packet in self._context.encode(frame))
            return self._packetiser.packetise(data, self.kind.mtu) if data else []
        except (FFmpegError, PayloadError, ValueError):
            self.errors += 1
            self._context, self._last = None, -1
            return []

    def _open(self) -> Any:
        rung = self.kind.rung
        context: Any = CodecContext.create(self._codec, "w")
        context.width, context.height, context.pix_fmt = rung.width, rung.height, "yuv420p"
        context.time_base = Fraction(1, CLOCK_RATE)
        context.framerate = Fraction(rung.rate, 1)
        context.bit_rate = rung.bits
        context.thread_count = 1
        context.gop_size = FOREVER
        context.options = _OPTIONS[self._codec](self.kind)
        if self._codec.startswith("h26"):  # what these may be coded by: time in units of 1001/30000 s (H.263 §5.1.2)
            context.time_base = Fraction(1001, 30000)
        return context


def _x264(kind: Kind) -> dict[str, str]:
    rung = kind.rung
    parameters = ["scenecut=0", "rc-lookahead=0"]
    if kind.profile == "high":
        parameters += HIGH
    if kind.mode == "0":
        parameters.append(slicing_hint(kind.mtu)["x264-params"])
    options = {
        "preset": "ultrafast",
        "tune": "zerolatency",
        "profile": kind.profile or "baseline",
        "forced-idr": "1",
        "maxrate": str(rung.bits),
        "bufsize": str(int(rung.bits * BUFFER)),
        "x264-params": ":".join(parameters),
    }
    level = level_for(rung.width, rung.height, rung.rate, rung.bits / 1000)
    options["level"] = "1b" if level == LEVEL_1B else f"{level // 10}.{level % 10}"
    return options


def _vpx(kind: Kind) -> dict[str, str]:
    bits = str(kind.rung.bits)
    return {
        "deadline": "realtime",
        "cpu-used": "12",
        "lag-in-frames": "0",
        "auto-alt-ref": "0",
        "minrate": bits,
        "maxrate": bits,
        "bufsize": str(int(kind.rung.bits * BUFFER)),
        "undershoot-pct": "95",
        "static-thresh": "100",
        "max-intra-rate": "400",
    }


def _old(kind: Kind) -> dict[str, str]:
    return {"maxrate": str(kind.rung.bits), "bufsize": str(int(kind.rung.bits * BUFFER))}


def _h263p(kind: Kind) -> dict[str, str]:
    # Slices begin with a GOB header, where packets may be cut (RFC 4629 §4.1).
    return _old(kind) | {"ps": str(kind.mtu - 2)}


def _h263(kind: Kind) -> dict[str, str]:
    # A header before every GOB: packets of RFC 2190's mode A are cut nowhere else, and together as many as fit.
    return _old(kind) | {"ps": "1"}


_OPTIONS = {"libx264": _x264, "libvpx": _vpx, "h263p": _h263p, "h263": _h263, "h261": _old}
