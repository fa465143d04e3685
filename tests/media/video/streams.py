"""Real encoded streams, made here, and pictures to compare."""

from __future__ import annotations

from dataclasses import dataclass, field
from fractions import Fraction
from functools import cache
from typing import Any

import av
import numpy as np
from av.video.codeccontext import VideoCodecContext

from bridge.media.video.formats import VideoFormat, by_name

STEP = 3000
"""RTP ticks of a frame at 30 fps."""


@dataclass(frozen=True)
class Encoder:
    name: str
    sdp: str
    codec: str
    width: int = 352
    height: int = 288
    options: dict[str, str] = field(default_factory=dict)
    bitrate: int = 1_000_000
    parameters: dict[str, str] = field(default_factory=dict)
    gop: int = 15

    @property
    def format(self) -> VideoFormat:
        return by_name(self.sdp)


_X264 = {"preset": "ultrafast", "tune": "zerolatency"}
_CABAC = {"preset": "veryfast", "tune": "zerolatency"}
_VPX = {"deadline": "realtime", "cpu-used": "8", "lag-in-frames": "0"}
_MODE_1 = {"packetization-mode": "1"}

ENCODERS = {
    each.name: each
    for each in (
        Encoder("baseline", "H264", "libx264", options={**_X264, "profile": "baseline"}, parameters=_MODE_1),
        Encoder("main", "H264", "libx264", options={**_CABAC, "profile": "main"}, parameters=_MODE_1),
        Encoder("high", "H264", "libx264", 636, 358, {**_CABAC, "profile": "high"}, parameters=_MODE_1),
        Encoder("mode0", "H264", "libx264", options={**_X264, "x264-params": "slice-max-size=1200:sliced-threads=0"}),
        Encoder("vp8", "VP8", "libvpx", options=_VPX),
        Encoder("vp9", "VP9", "libvpx-vp9", options=_VPX),
        Encoder(
            "h265",
            "H265",
            "libx265",
            options={"preset": "ultrafast", "tune": "zerolatency", "x265-params": "log-level=none"},
        ),
        Encoder("h263p", "H263-1998", "h263p"),
        Encoder("h263", "H263", "h263", 176, 144, {"ps": "500"}, bitrate=300_000),
        Encoder("h261", "H261", "h261", 352, 288, bitrate=600_000),
    )
}


_GRAIN = np.random.default_rng(7).integers(0, 24, (400, 2000), np.uint8)


def picture(number: int, width: int, height: int) -> av.VideoFrame:
    """A gradient with a grain, that move, and a square that moves otherwise."""
    y, x = np.mgrid[0:height, 0:width]
    luma = ((x + 3 * number) % 256 // 2 + (y * 96) // height + 16).astype(np.uint8)
    luma += _GRAIN[:height, 2 * number : 2 * number + width]
    at = 4 * number % (width - 48)
    luma[40:80, at : at + 40] = 230
    planes = np.full((height * 3 // 2, width), 128, np.uint8)
    planes[:height] = luma
    frame = av.VideoFrame.from_ndarray(planes, format="yuv420p")
    frame.pts = number
    return frame


@cache
def encoded(name: str, count: int = 30) -> tuple[bytes, ...]:
    """Frames of one of :data:`ENCODERS`, the first a keyframe, more of them every ``gop`` frames."""
    wanted = ENCODERS[name]
    context: Any = av.CodecContext.create(wanted.codec, "w")
    context.width, context.height, context.pix_fmt = wanted.width, wanted.height, "yuv420p"
    context.time_base, context.framerate, context.bit_rate = Fraction(1, 30), 30, wanted.bitrate
    context.gop_size, context.options, context.thread_count = wanted.gop, dict(wanted.options), 1
    if wanted.codec == "h263p":
        context.max_b_frames = 0
    frames: list[bytes] = []
    for number in range(count):
        frames += [bytes(packet) for packet in context.encode(picture(number, wanted.width, wanted.height))]
    frames += [bytes(packet) for packet in context.encode(None)]
    return tuple(frames)


def decode(name: str, frames: list[bytes]) -> list[np.ndarray[Any, Any]]:
    """Luma planes."""
    context = av.CodecContext.create(ENCODERS[name].format.decoder, "r")
    assert isinstance(context, VideoCodecContext)
    context.thread_count = 1
    found = []
    for data in frames:
        found += context.decode(av.Packet(data))
    found += context.decode(None)
    return [frame.to_ndarray(format="gray") for frame in found]
