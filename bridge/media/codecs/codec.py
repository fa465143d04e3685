"""What the worker's beat asks of an audio codec, whichever it is.

Two shapes. A *frame codec* (Opus, G.722) keeps state, so there is one object a stream and direction and one call a
packet. An *array codec* (G.711, L16) keeps none, so it works on the packets of all streams at once, one row each.
PCM is always mono int16 at the codec's sampling rate.
"""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import dataclass, field
from typing import Protocol, TypeAlias

import numpy as np
from numpy.typing import NDArray

I16: TypeAlias = NDArray[np.int16]
I32: TypeAlias = NDArray[np.int32]
I64: TypeAlias = NDArray[np.int64]
U8: TypeAlias = NDArray[np.uint8]
F32: TypeAlias = NDArray[np.float32]
F64: TypeAlias = NDArray[np.float64]
Payload: TypeAlias = bytes | bytearray | memoryview


class CodecError(Exception):
    """The payload is not what the codec's format allows. The only exception that network bytes can raise."""


class FrameDecoder(Protocol):
    """Turns the payloads of one stream into PCM."""

    @property
    def rate(self) -> int:
        """Sampling rate of what comes out, Hz."""

    def decode(self, payload: Payload) -> I16:
        """One packet's samples, (samples,). Raises :class:`CodecError`; the state is then as before the call."""

    def conceal(self, samples: int) -> I16:
        """What fills a gap of ``samples``, (samples,)."""

    def recover(self, next_payload: Payload, samples: int) -> I16:
        """The lost ``samples`` before ``next_payload``, from its in-band FEC if it has any, else concealed.

        ``next_payload`` itself is still to be decoded afterwards.
        """

    def reset(self) -> None:
        """Forget the past (a new SSRC, a jump in time)."""

    def close(self) -> None:
        """Free what is not Python's; the object is of no more use. May be called twice."""


class FrameEncoder(Protocol):
    """Turns PCM into the payloads of one stream, or of one mix that many hear."""

    @property
    def rate(self) -> int:
        """Sampling rate of what goes in, Hz."""

    def encode(self, pcm: I16) -> bytes:
        """One packet's payload; empty: nothing needs to be sent (DTX). Raises ValueError on a length it can't do."""

    def adapt(self, loss: float, bitrate: int | None) -> None:
        """Follow what the far end reports: fraction lost (0 to 1), and the most bit/s that it wants (None: ours)."""

    def close(self) -> None:
        """Free what is not Python's; the object is of no more use. May be called twice."""


class ArrayCodec(Protocol):
    """Turns the payloads of all streams into PCM at once, and back."""

    def decode_rows(self, payload: U8, *, out: I16 | None = None) -> I16:
        """(n, k) bytes -> (n, samples). Every byte string of a whole number of samples is valid."""

    def encode_rows(self, pcm: I16, *, out: U8 | None = None) -> U8:
        """(n, samples) -> (n, k) bytes."""


@dataclass(frozen=True, slots=True, kw_only=True)
class EncoderSettings:
    """What the offer/answer settled that an encoder must know (Opus: RFC 7587 §6.1)."""

    bitrate: int = 0
    """The most bit/s that the peer takes (maxaveragebitrate); 0: our choice."""
    max_rate: int = 0
    """Above this sampling rate (Hz) the peer plays nothing (maxplaybackrate); 0: no limit."""
    fec: bool = False
    dtx: bool = False
    stereo: bool = False
    """The peer plays stereo; we may send mono all the same (RFC 7587 §6.1)."""
    complexity: int = 5
    """0 to 10: CPU against quality."""


@dataclass(frozen=True, slots=True)
class Format:
    """A codec as it is named in SDP, and how to get at it. Exactly one of ``rows`` and ``decoder`` is there."""

    name: str
    """Upper-case encoding name."""
    rate: int
    """Sampling rate of its PCM, Hz."""
    clock_rate: int
    """RTP clock, Hz. G.722 says 8000 although it samples at 16000 (RFC 3551 §4.5.2)."""
    channels: int = 1
    """As in the SDP. Opus always says 2 (RFC 7587 §7), whatever is sent."""
    rows: ArrayCodec | None = None
    decoder: Callable[[int], FrameDecoder] | None = field(default=None)
    """Makes a decoder whose PCM has the rate that is given (Hz)."""
    encoder: Callable[[EncoderSettings], FrameEncoder] | None = field(default=None)

    def samples(self, milliseconds: int) -> int:
        """Samples in a packet of that length."""
        return self.rate * milliseconds // 1000

    def ticks(self, milliseconds: int) -> int:
        """RTP timestamp steps in a packet of that length."""
        return self.clock_rate * milliseconds // 1000
