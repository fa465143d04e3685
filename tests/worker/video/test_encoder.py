"""What an encoder is given comes out of a decoder, at every size that anybody is sent."""

from __future__ import annotations

import av
import numpy as np
import pytest
from av.codec import CodecContext

from bridge.media.video.formats import by_name
from bridge.media.video.payload import Limits
from bridge.mixer.canvas import Canvas, colour
from bridge.mixer.layout import Rect
from bridge.worker.protocol_video import VideoFormat
from bridge.worker.video.encoder import Encoder, Kind
from bridge.worker.video.rung import LADDER, OLD_LADDER, Rung

VP8 = VideoFormat("VP8", 96)
H264 = VideoFormat("H264", 97, {"packetization-mode": "1", "profile-level-id": "42e02a"})
H263 = VideoFormat("H263-1998", 98)


@pytest.mark.parametrize(
    ("format_", "rung"),
    [(each, rung) for each in (VP8, H264) for rung in LADDER] + [(H263, rung) for rung in OLD_LADDER],
    ids=lambda value: value.name if isinstance(value, VideoFormat) else f"{value.width}x{value.height}",
)
def test_luma_and_colour_survive(format_: VideoFormat, rung: Rung) -> None:
    canvas = Canvas(rung.width, rung.height)
    canvas.fill(Rect(0, 0, rung.width, rung.height), colour(30, 60, 200))
    canvas.fill(Rect(rung.width // 4, 0, rung.width // 2 // 2 * 2, rung.height // 4 * 2), colour(200, 60, 30))
    encoder = Encoder(Kind.of(format_, 1200, rung))
    known = by_name(format_.name)
    depacketiser = known.depacketiser(format_.parameters, Limits())
    decoder = CodecContext.create(known.decoder, "r")
    pictures = []
    for n in range(3):
        payloads = encoder.encode(canvas.whole, 6000 * n, keyframe=n == 0)
        pictures += decoder.decode(av.Packet(depacketiser.frame(payloads).data))
    pictures += decoder.decode(None)
    shown = pictures[-1].to_ndarray(format="yuv420p").reshape(-1)
    assert (pictures[-1].width, pictures[-1].height) == (rung.width, rung.height)
    assert np.abs(shown.astype(int) - canvas.whole.reshape(-1)).mean() < 3
