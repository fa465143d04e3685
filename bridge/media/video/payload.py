"""What the payload formats of video have in common: their contract, their one exception, limits, and a bit reader.

A frame is handled whole. The assembler brings together the packets of one RTP timestamp, and a depacketiser makes of
them what libavcodec's decoder of the format takes; a packetiser does the reverse, once for all receivers. So there is
no state of a half frame that a lost packet could leave behind.
"""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass
from typing import Final, Protocol

CLOCK_RATE: Final = 90000
"""Hertz; the RTP clock of every video format (RFC 3551 §5)."""

CONTINUES: Final = 0
"""A packet that does not show that a frame begins with it."""
BEGINS: Final = 1
"""A frame begins with this packet."""
KEYFRAME: Final = 2
"""A keyframe begins with this packet, complete with all that a decoder needs."""


class PayloadError(ValueError):
    """What came is no payload of its format, or asks for more than we take."""


@dataclass(frozen=True, slots=True)
class Limits:
    """The largest picture that is taken. A decoder keeps up to 16 of them (H.264 A.3.1), 1.5 bytes a pixel."""

    side: int = 4096
    """Pixels of the longer side."""
    pixels: int = 2560 * 1600
    """Pixels of a picture."""

    def check(self, width: int, height: int) -> None:
        """Refuse what is too large, or no picture.

        Raises:
            PayloadError: it is.
        """
        if width <= 0 or height <= 0:
            raise PayloadError("a picture without pixels")
        if width > self.side or height > self.side or width * height > self.pixels:
            raise PayloadError(f"{width}x{height} is larger than what is taken")


@dataclass(frozen=True, slots=True)
class Picture:
    """A frame, as its decoder takes it."""

    data: bytes
    """Empty: the packets held parameters only, which are remembered."""
    keyframe: bool
    """Decoding may begin with it."""
    width: int = 0
    """Pixels as shown; 0 where the frame doesn't tell."""
    height: int = 0


class Depacketiser(Protocol):
    """Frames out of payloads. One to a stream: it may remember parameter sets."""

    def begins(self, payload: bytes) -> int:
        """:data:`CONTINUES`, :data:`BEGINS` or :data:`KEYFRAME`; raises nothing."""

    def frame(self, payloads: Sequence[bytes]) -> Picture:
        """The frame that consists of these payloads, in order, none missing, none empty.

        Raises:
            PayloadError: they are no frame, or one too large.
        """


class Packetiser(Protocol):
    """Payloads out of frames. One to an encoding, shared by all who receive it."""

    def packetise(self, frame: bytes, mtu: int) -> list[bytes]:
        """A frame's payloads, none longer than ``mtu``; the last one's packet carries the marker.

        Raises:
            PayloadError: it can't be cut into pieces so small, or is no frame of this format.
        """


class Bits:
    """Reads a bit string from its front."""

    def __init__(self, data: bytes) -> None:
        self._value = int.from_bytes(data, "big")
        self.left = 8 * len(data)

    def take(self, count: int) -> int:
        """The next ``count`` bits.

        Raises:
            PayloadError: there are fewer.
        """
        if count > self.left:
            raise PayloadError("cut short")
        self.left -= count
        return (self._value >> self.left) & ((1 << count) - 1)

    def skip(self, count: int) -> None:
        """Pass over bits; raises as :meth:`take`."""
        if count > self.left:
            raise PayloadError("cut short")
        self.left -= count

    def unsigned(self) -> int:
        """An unsigned Exp-Golomb number (H.264 §9.1) of at most 32 bits; raises as :meth:`take`."""
        zeros = self.left - (self._value & ((1 << self.left) - 1)).bit_length()
        if zeros > 32:
            raise PayloadError("no Exp-Golomb number")
        self.skip(zeros)
        return self.take(zeros + 1) - 1

    def signed(self) -> int:
        """A signed Exp-Golomb number (H.264 §9.1.1); raises as :meth:`take`."""
        number = self.unsigned()
        return (number + 1) // 2 if number & 1 else -(number // 2)


def fragments(data: bytes, size: int) -> list[bytes]:
    """Pieces of nearly equal length, none longer than ``size``: a last crumb would cost a packet like any other."""
    if size <= 0:
        raise PayloadError("no room for a payload")
    count = -(-len(data) // size)
    step = -(-len(data) // count) if count else 1
    return [data[at : at + step] for at in range(0, len(data), step)]
