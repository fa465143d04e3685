"""H.263 over RTP: RFC 4629 (H.263-1998 and -2000), both ways, and RFC 2190 (H263), received and mode A sent."""

from __future__ import annotations

import re
from collections.abc import Iterable, Mapping, Sequence
from typing import Final

from .payload import BEGINS, CONTINUES, KEYFRAME, Bits, Limits, PayloadError, Picture, fragments

SIZES: Final = {1: (128, 96), 2: (176, 144), 3: (352, 288), 4: (704, 576), 5: (1408, 1152)}
"""Width and height by source format (H.263 table 2)."""
_SUFFIX: Final = {1: "sqcif", 2: "qcif", 3: "cif", 4: "4cif", 5: "16cif"}
_SEGMENT = re.compile(rb"\0\0[\x80-\xff]")
"""A picture, GOB or slice start code where octets begin (H.263 §5.1.1, §5.2.2): nothing else looks like it."""


def picture_head(frame: bytes) -> tuple[bool, tuple[int, int] | None]:
    """Whether a picture is intra coded, and its width and height where it tells (H.263 §5.1).

    Raises:
        PayloadError: it has no picture's head.
    """
    bits = Bits(frame[:24])
    if bits.take(22) != 0x20:
        raise PayloadError("no picture start code")
    bits.skip(8)
    if bits.take(2) != 2:
        raise PayloadError("no H.263 picture type")
    bits.skip(3)
    source = bits.take(3)
    if source != 7:
        if source not in SIZES:
            raise PayloadError("a reserved source format")
        return not bits.take(1), SIZES[source]
    update = bits.take(3)
    if update == 1:
        source = bits.take(3)
        bits.skip(15)
    elif update:
        raise PayloadError("a reserved update of the picture type")
    intra = bits.take(3) == 0
    bits.skip(6)
    if bits.take(1):
        bits.skip(2)
    if update != 1:
        return intra, None
    if source in SIZES:
        return intra, SIZES[source]
    if source != 6:
        raise PayloadError("a reserved source format")
    bits.skip(4)
    width = 4 * (bits.take(9) + 1)
    bits.skip(1)
    return intra, (width, 4 * bits.take(9))


class _Pictures:
    """What a stream of pictures told of their size."""

    def __init__(self, limits: Limits | None) -> None:
        self._limits = limits or Limits()
        self._shown = (0, 0)

    def picture(self, data: bytes) -> Picture:
        intra, size = picture_head(data)
        if size:
            self._limits.check(*size)
            self._shown = size
        return Picture(data, intra, *self._shown)


def _opening(data: bytes) -> int:
    if not data.startswith(b"\0\0") or len(data) < 3 or data[2] & 0xFC != 0x80:
        return CONTINUES
    try:
        return KEYFRAME if picture_head(data)[0] else BEGINS
    except PayloadError:
        return CONTINUES


class H263PlusPacketiser:
    """RFC 4629 payloads. Where a packet can begin with a GOB or slice start code it does."""

    def packetise(self, frame: bytes, mtu: int) -> list[bytes]:
        """See :class:`.payload.Packetiser`."""
        if not frame.startswith(b"\0\0"):
            raise PayloadError("no picture start code")
        payloads: list[bytes] = []
        for piece in _segments(frame, mtu):
            if piece.startswith(b"\0\0"):
                payloads.append(b"\x04\0" + piece[2:])  # P: the two octets of zeros are left out (§5.1)
            else:
                payloads.append(b"\0\0" + piece)
        return payloads


def _segments(frame: bytes, mtu: int) -> list[bytes]:
    """The frame in pieces that begin with a start code, as many segments in one as fit; what fits in none is cut."""
    starts = [match.start() for match in _SEGMENT.finditer(frame)]
    pieces, begin = [], 0
    for at, end in zip(starts, [*starts[1:], len(frame)], strict=True):
        if end - begin <= mtu:
            continue
        if at > begin:
            pieces.append(frame[begin:at])
            begin = at
        if end - begin > mtu:
            pieces += fragments(frame[begin:end], mtu - 2)
            begin = end
    if begin < len(frame):
        pieces.append(frame[begin:])
    return pieces


class H263PlusDepacketiser:
    """RFC 4629 payloads to pictures. Redundancy (VRC, extra picture headers) is passed over."""

    def __init__(self, parameters: Mapping[str, str] | None = None, limits: Limits | None = None) -> None:
        self._pictures = _Pictures(limits)

    def begins(self, payload: bytes) -> int:
        """See :class:`.payload.Depacketiser`."""
        try:
            return _opening(_plain(payload)) if payload[0] & 0x04 else CONTINUES
        except (IndexError, PayloadError):
            return CONTINUES

    def frame(self, payloads: Sequence[bytes]) -> Picture:
        """See :class:`.payload.Depacketiser`."""
        try:
            data = b"".join(map(_plain, payloads))
        except IndexError:
            raise PayloadError("a payload cut short") from None
        return self._pictures.picture(data)


def _plain(payload: bytes) -> bytes:
    """The payload without its header (RFC 4629 §5.1), the zeros of its start code put back."""
    head = payload[0] << 8 | payload[1]
    at = 2 + (head >> 9 & 1) + (head >> 3 & 63)
    if at > len(payload):
        raise PayloadError("a picture header longer than its packet")
    return b"\0\0" + payload[at:] if head & 0x0400 else payload[at:]


class H263Packetiser:
    """RFC 2190 payloads of mode A: each begins with a GOB, so an encoder must be told how large one may be."""

    def packetise(self, frame: bytes, mtu: int) -> list[bytes]:
        """See :class:`.payload.Packetiser`. A GOB that doesn't fit is an error: mode B knows macroblocks, we don't."""
        bits = Bits(frame[:8])
        if bits.take(22) != 0x20:
            raise PayloadError("no picture start code")
        bits.skip(13)
        source, inter, options = bits.take(3), bits.take(1), bits.take(4)
        if source not in SIZES:
            raise PayloadError("a picture that H.263 of 1996 doesn't have")
        # F=0 (mode A), P=0 (no PB frames), SRC, I, U S A and R (RFC 2190 §5.1); PTYPE's PB bit is options' last.
        head = bytes([0, source << 5 | inter << 4 | options & 0x0E, 0, 0])
        pieces = _segments(frame, mtu - 4)
        if not all(piece.startswith(b"\0\0") for piece in pieces):
            raise PayloadError("a GOB larger than a packet")
        return [head + piece for piece in pieces]


class H263Depacketiser:
    """RFC 2190 payloads of modes A, B and C to pictures."""

    def __init__(self, parameters: Mapping[str, str] | None = None, limits: Limits | None = None) -> None:
        self._pictures = _Pictures(limits)

    def begins(self, payload: bytes) -> int:
        """See :class:`.payload.Depacketiser`."""
        return _opening(payload[4:]) if payload and payload[0] < 0x80 else CONTINUES

    def frame(self, payloads: Sequence[bytes]) -> Picture:
        """See :class:`.payload.Depacketiser`."""
        return self._pictures.picture(joined_bits(map(_piece, payloads)))


def _piece(payload: bytes) -> tuple[bytes, int, int, int]:
    if not payload:
        raise PayloadError("a payload cut short")
    mode = payload[0] >> 6
    return payload, 4 if mode < 2 else 8 if mode == 2 else 12, payload[0] >> 3 & 7, payload[0] & 7


def joined_bits(pieces: Iterable[tuple[bytes, int, int, int]]) -> bytes:
    """Pieces of a bit string put together: bits that two packets share an octet of are brought into one.

    Args:
        pieces: payload, octets of its header, bits to pass over at the piece's start (SBIT) and at its end (EBIT).

    Raises:
        PayloadError: a piece without octets, or two that don't meet.
    """
    data = bytearray()
    due = 0
    for payload, head, start, end in pieces:
        if len(payload) <= head:
            raise PayloadError("a payload cut short")
        if start != due:
            raise PayloadError("pieces that don't meet")
        if start:
            data[-1] = data[-1] & (0xFF << (8 - start)) & 0xFF | payload[head] & (0xFF >> start)
            data += payload[head + 1 :]
        else:
            data += payload[head:]
        due = (8 - end) & 7
    return bytes(data)


def fmtp_sizes(parameters: Mapping[str, str]) -> dict[tuple[int, int], float]:
    """Pictures that an ``fmtp`` says its side takes, and how many a second (RFC 4629 §8.1.1: ``CIF=1`` is 29.97)."""
    told = {key.lower(): value for key, value in parameters.items()}
    found = {}
    for source, name in _SUFFIX.items():
        interval = told.get(name, "")
        if interval.isascii() and interval.isdigit() and 0 < int(interval[:3]) <= 32:
            found[SIZES[source]] = 30000 / 1001 / int(interval[:3])
    return found
