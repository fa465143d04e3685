"""The video formats by their names in SDP, and what makes and reads their payloads."""

from __future__ import annotations

from collections.abc import Callable, Mapping
from dataclasses import dataclass

from .h261 import H261Depacketiser, H261Packetiser
from .h263 import H263Depacketiser, H263Packetiser, H263PlusDepacketiser, H263PlusPacketiser
from .h264 import H264Depacketiser, H264Packetiser
from .h265 import H265Depacketiser
from .payload import Depacketiser, Limits, Packetiser
from .vp8 import Vp8Depacketiser, Vp8Packetiser
from .vp9 import Vp9Depacketiser


@dataclass(frozen=True, slots=True)
class VideoFormat:
    name: str
    """As in ``a=rtpmap``."""
    decoder: str
    """libavcodec's name of its decoder."""
    encoder: str
    """libavcodec's name of its encoder; "": it is only received."""
    depacketiser: Callable[[Mapping[str, str], Limits], Depacketiser]
    """From the ``fmtp`` of the payload type and the limits."""
    packetiser: Callable[[Mapping[str, str]], Packetiser] | None = None
    """From the ``fmtp`` that the receiver gave; None: it is only received."""
    static: int | None = None
    """Payload type of RFC 3551."""


def _h264(parameters: Mapping[str, str]) -> Packetiser:
    return H264Packetiser(mode=1 if parameters.get("packetization-mode") == "1" else 0)


_FORMATS = (
    VideoFormat("H264", "h264", "libx264", H264Depacketiser, _h264),
    VideoFormat("VP8", "libvpx", "libvpx", Vp8Depacketiser, lambda _: Vp8Packetiser()),
    VideoFormat("VP9", "libvpx-vp9", "", Vp9Depacketiser),
    VideoFormat("H265", "hevc", "", H265Depacketiser),
    VideoFormat("H263-1998", "h263", "h263p", H263PlusDepacketiser, lambda _: H263PlusPacketiser()),
    VideoFormat("H263-2000", "h263", "h263p", H263PlusDepacketiser, lambda _: H263PlusPacketiser()),
    VideoFormat("H263", "h263", "h263", H263Depacketiser, lambda _: H263Packetiser(), static=34),
    VideoFormat("H261", "h261", "h261", H261Depacketiser, lambda _: H261Packetiser(), static=31),
)
_NAMES = {each.name: each for each in _FORMATS}


def by_name(name: str) -> VideoFormat:
    """The format of an ``a=rtpmap``; case doesn't matter (RFC 8866 §6.6).

    Raises:
        LookupError: it isn't spoken.
    """
    return _NAMES[name.upper()]


def names() -> tuple[str, ...]:
    """All of them."""
    return tuple(_NAMES)
