"""VP8 over RTP (RFC 7741) and the head of its keyframes (RFC 6386 §9.1)."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import dataclass

from .payload import BEGINS, CONTINUES, KEYFRAME, Limits, PayloadError, Picture, fragments


@dataclass(frozen=True, slots=True)
class Descriptor:
    """RFC 7741 §4.2."""

    size: int
    """Octets."""
    start: bool
    """S: a partition begins with this packet."""
    partition: int
    """PID."""
    discardable: bool = False
    """N: no other frame refers to this one."""
    picture: int | None = None
    """PictureID, 7 or 15 bits."""
    tl0: int | None = None
    """TL0PICIDX."""
    layer: int | None = None
    """TID."""
    synchronises: bool = False
    """Y: only the base layer is referred to."""
    key_index: int | None = None
    """KEYIDX."""


def parse_descriptor(payload: bytes) -> Descriptor:
    """Read the payload descriptor.

    Raises:
        PayloadError: cut short.
    """
    try:
        first, at = payload[0], 1
        picture = tl0 = layer = key_index = None
        synchronises = False
        if first & 0x80:
            extended, at = payload[1], 2
            if extended & 0x80:
                picture, at = payload[at] & 0x7F, at + 1
                if payload[at - 1] & 0x80:
                    picture, at = picture << 8 | payload[at], at + 1
            if extended & 0x40:
                tl0, at = payload[at], at + 1
            if extended & 0x30:
                octet, at = payload[at], at + 1
                if extended & 0x20:
                    layer, synchronises = octet >> 6, bool(octet & 0x20)
                if extended & 0x10:
                    key_index = octet & 31
    except IndexError:
        raise PayloadError("a payload descriptor cut short") from None
    return Descriptor(
        at, bool(first & 0x10), first & 15, bool(first & 0x20), picture, tl0, layer, synchronises, key_index
    )


def _size(payload: bytes) -> int:
    """Octets of the descriptor; raises IndexError where it is cut short."""
    if payload[0] < 0x80:
        return 1
    extended, size = payload[1], 2
    if extended & 0x80:
        size += 2 if payload[2] & 0x80 else 1
    if extended & 0x40:
        size += 1
    return size + 1 if extended & 0x30 else size


def keyframe_size(frame: bytes) -> tuple[int, int] | None:
    """Width and height that a frame tells; None: it is no keyframe.

    Raises:
        PayloadError: it says that it is a keyframe but has no keyframe's head.
    """
    if not frame:
        raise PayloadError("a frame without octets")
    if frame[0] & 1:
        return None
    if len(frame) < 10 or frame[3:6] != b"\x9d\x01\x2a":
        raise PayloadError("a keyframe without its start code")
    return (frame[6] | frame[7] << 8) & 0x3FFF, (frame[8] | frame[9] << 8) & 0x3FFF


def fits(parameters: Mapping[str, str], width: int, height: int, rate: float) -> bool:
    """Whether an ``fmtp`` takes such pictures: ``max-fs`` in macroblocks, ``max-fr`` a second (RFC 7741 §6.1).

    VP9 says it alike (RFC 9628 §6.1). What isn't said, or unreadable, limits nothing.
    """
    most, fastest = (
        int(text) if (text := parameters.get(name, "")).isascii() and text.isdigit() and len(text) < 10 else 0
        for name in ("max-fs", "max-fr")
    )
    across, down = -(-width // 16), -(-height // 16)
    # No side may be longer than sqrt(8 max-fs) macroblocks.
    small = across * down <= most and across * across <= 8 * most and down * down <= 8 * most
    return (not most or small) and (not fastest or rate <= fastest)


class Vp8Packetiser:
    """Frames to payloads, each with a picture ID of 15 bits."""

    def __init__(self, *, picture: int = 0) -> None:
        """Args:
        picture: PictureID of the first frame; random is best (RFC 7741 §4.2).
        """
        self._picture = picture & 0x7FFF

    def packetise(self, frame: bytes, mtu: int) -> list[bytes]:
        """See :class:`.payload.Packetiser`."""
        if not frame:
            raise PayloadError("a frame without octets")
        identity = bytes([0x80, 0x80 | self._picture >> 8, self._picture & 0xFF])
        self._picture = (self._picture + 1) & 0x7FFF
        first, other = b"\x90" + identity, b"\x80" + identity
        pieces = fragments(frame, mtu - 4)
        payloads = [other + piece for piece in pieces]
        payloads[0] = first + pieces[0]
        return payloads


class Vp8Depacketiser:
    """Payloads to frames."""

    def __init__(self, parameters: Mapping[str, str] | None = None, limits: Limits | None = None) -> None:
        self._limits = limits or Limits()
        self._shown = (0, 0)

    def begins(self, payload: bytes) -> int:
        """See :class:`.payload.Depacketiser`."""
        try:
            if payload[0] & 0x1F != 0x10:
                return CONTINUES
            return BEGINS if payload[_size(payload)] & 1 else KEYFRAME
        except IndexError:
            return CONTINUES

    def frame(self, payloads: Sequence[bytes]) -> Picture:
        """See :class:`.payload.Depacketiser`."""
        try:
            if payloads[0][0] & 0x1F != 0x10:
                raise PayloadError("a frame without its beginning")
            data = b"".join([payload[_size(payload) :] for payload in payloads])
        except IndexError:
            raise PayloadError("a payload cut short") from None
        size = keyframe_size(data)
        if size:
            self._limits.check(*size)
            self._shown = size
        return Picture(data, size is not None, *self._shown)
