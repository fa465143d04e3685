"""Audio codecs, one a file. :func:`by_name` finds them as SDP names them."""

from __future__ import annotations

from .codec import CodecError, EncoderSettings, Format, FrameDecoder, FrameEncoder
from .g711 import PCMA, PCMU
from .g722 import G722Decoder, G722Encoder
from .l16 import MONO
from .opus import OpusDecoder, OpusEncoder, library

__all__ = ["CodecError", "EncoderSettings", "Format", "FrameDecoder", "FrameEncoder", "by_name"]

_FORMATS = {
    ("PCMU", 8000): Format("PCMU", 8000, 8000, rows=PCMU),
    ("PCMA", 8000): Format("PCMA", 8000, 8000, rows=PCMA),
    ("G722", 8000): Format("G722", 16000, 8000, decoder=lambda _: G722Decoder(), encoder=G722Encoder),
    ("OPUS", 48000): Format("OPUS", 48000, 48000, channels=2, decoder=OpusDecoder, encoder=OpusEncoder),
    ("L16", 16000): Format("L16", 16000, 16000, rows=MONO),
    ("L16", 48000): Format("L16", 48000, 48000, rows=MONO),
}


def by_name(name: str, clock_rate: int) -> Format:
    """The codec of an ``a=rtpmap`` (RFC 8866 §6.6).

    Raises:
        LookupError: we don't speak it.
        OSError: we would, but its library is missing.
    """
    found = _FORMATS.get((name.upper(), clock_rate))
    if found is None:
        raise LookupError(f"no codec {name}/{clock_rate} here")
    if found.name == "OPUS":
        library()
    return found
