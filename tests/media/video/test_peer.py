"""libavformat as a peer: what its RTP muxer makes of a stream is read."""

from __future__ import annotations

from fractions import Fraction
from typing import Any

import av
import numpy as np
import pytest

from bridge.media.video.assembler import Assembler, Frame
from bridge.media.video.payload import Limits
from tests.media.video.streams import ENCODERS, Encoder, decode, picture


class Wire:
    """A file that keeps each write: the muxer flushes once a packet."""

    def __init__(self) -> None:
        self.packets: list[bytes] = []

    def write(self, data: bytes) -> int:
        self.packets.append(bytes(data))
        return len(data)


def muxed(encoder: Encoder, count: int) -> tuple[list[bytes], list[bytes]]:
    """RTP packets, and the frames that are in them."""
    wire = Wire()
    options = {"packetsize": "1200", "strict": "experimental"}
    if encoder.sdp == "H263":
        options["rtpflags"] = "rfc2190"
    frames: list[bytes] = []
    with av.open(wire, "w", format="rtp", options=options) as container:
        stream: Any = container.add_stream(encoder.codec, rate=30)
        stream.width, stream.height, stream.pix_fmt = encoder.width, encoder.height, "yuv420p"
        stream.codec_context.bit_rate, stream.codec_context.gop_size = encoder.bitrate, encoder.gop
        stream.codec_context.options, stream.codec_context.thread_count = dict(encoder.options), 1
        stream.codec_context.time_base = Fraction(1, 30)
        for number in [*range(count), None]:
            image = None if number is None else picture(number, encoder.width, encoder.height)
            for packet in stream.encode(image):
                frames.append(bytes(packet))
                container.mux(packet)
    return [packet for packet in wire.packets if packet[1] & 0x7F not in range(72, 77)], frames


@pytest.mark.parametrize("name", ENCODERS)
def test_a_stream_of_libavformat_is_read(name: str) -> None:
    encoder = ENCODERS[name]
    packets, frames = muxed(encoder, 8)
    assert len(packets) > len(frames) > 5
    reader = Assembler(encoder.format.depacketiser(encoder.parameters, Limits()))
    for packet in packets:
        sequence, timestamp = int.from_bytes(packet[2:4], "big"), int.from_bytes(packet[4:8], "big")
        reader.feed(1, sequence, timestamp, bool(packet[1] & 0x80), packet[12:], 0.0)
    got = [event for event in reader.take(0.0) if isinstance(event, Frame)]
    assert len(got) == len(frames)
    assert got[0].keyframe
    ours, theirs = decode(name, [frame.data for frame in got]), decode(name, frames)
    assert len(ours) == len(theirs) == len(frames)
    assert all(np.array_equal(one, other) for one, other in zip(ours, theirs, strict=True))
