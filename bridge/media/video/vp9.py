"""VP9 over RTP as received (RFC 9628), and the heads of its frames (VP9 bitstream specification §6.2, annex B)."""

from __future__ import annotations

from collections.abc import Mapping, Sequence

from .payload import BEGINS, CONTINUES, KEYFRAME, Bits, Limits, PayloadError, Picture

_SYNC_CODE = 0x498342
_SRGB = 7


def _size(payload: bytes) -> int:
    """Octets of the payload descriptor (RFC 9628 §4.2); raises IndexError where it is cut short."""
    first, at = payload[0], 1
    if first & 0x80:
        at += 2 if payload[1] & 0x80 else 1
    if first & 0x20:
        at += 1 if first & 0x10 else 2
    if first & 0x50 == 0x50:
        for _ in range(3):
            at += 1
            if not payload[at - 1] & 1:
                break
        else:
            raise IndexError
    if first & 0x02:
        scalability, at = payload[at], at + 1
        if scalability & 0x10:
            at += 4 * (1 + (scalability >> 5))
        if scalability & 0x08:
            groups, at = payload[at], at + 1
            for _ in range(groups):
                at += 1 + (payload[at] >> 2 & 3)
    return at


def frame_size(frame: bytes) -> tuple[bool, tuple[int, int] | None]:
    """Whether a frame is a keyframe, and the width and height that its head tells if it does.

    Raises:
        PayloadError: it has no frame's head.
    """
    bits = Bits(frame[:64])
    if bits.take(2) != 2:
        raise PayloadError("no VP9 frame")
    profile = bits.take(1) | bits.take(1) << 1
    if profile == 3 and bits.take(1):
        raise PayloadError("a reserved profile")
    if bits.take(1):
        return False, None  # show_existing_frame
    key, shown, resilient = not bits.take(1), bits.take(1), bits.take(1)
    if key:
        _sync(bits)
        _colour(bits, profile)
        return True, (bits.take(16) + 1, bits.take(16) + 1)
    intra = 0 if shown else bits.take(1)
    if not resilient:
        bits.skip(2)
    if intra:
        _sync(bits)
        if profile:
            _colour(bits, profile)
        bits.skip(8)
        return False, (bits.take(16) + 1, bits.take(16) + 1)
    bits.skip(8 + 3 * 4)
    for _ in range(3):
        if bits.take(1):
            return False, None  # as large as a frame that it refers to
    return False, (bits.take(16) + 1, bits.take(16) + 1)


def _sync(bits: Bits) -> None:
    if bits.take(24) != _SYNC_CODE:
        raise PayloadError("a frame without its sync code")


def _colour(bits: Bits, profile: int) -> None:
    if profile >= 2:
        bits.skip(1)
    if bits.take(3) != _SRGB:
        bits.skip(1)
        if profile & 1:
            bits.skip(3)
    elif profile & 1:
        bits.skip(1)
    else:
        raise PayloadError("RGB in a profile without")


def parts(data: bytes) -> list[bytes]:
    """The frames of a superframe (annex B); a plain frame is its own only part.

    Raises:
        PayloadError: its index says more than there is.
    """
    mark = data[-1] if data else 0
    count, width = (mark & 7) + 1, (mark >> 3 & 3) + 1
    index = 2 + count * width
    if mark & 0xE0 != 0xC0 or len(data) < index or data[-index] != mark:
        return [data]
    found, at = [], 0
    for number in range(count):
        where = len(data) - index + 1 + number * width
        size = int.from_bytes(data[where : where + width], "little")
        if size > len(data) - index - at:
            raise PayloadError("a superframe larger than what came")
        if size:
            found.append(data[at : at + size])
        at += size
    return found


class Vp9Depacketiser:
    """Payloads to frames; spatial layers become one superframe, as decoders take them."""

    def __init__(self, parameters: Mapping[str, str] | None = None, limits: Limits | None = None) -> None:
        self._limits = limits or Limits()
        self._shown = (0, 0)

    def begins(self, payload: bytes) -> int:
        """See :class:`.payload.Depacketiser`."""
        try:
            first = payload[0]
            if not first & 0x08:
                return CONTINUES
            if first & 0x20 and payload[1 if not first & 0x80 else 3 if payload[1] & 0x80 else 2] & 0x0E:
                return CONTINUES  # an upper spatial layer
            return BEGINS if first & 0x40 else KEYFRAME
        except IndexError:
            return CONTINUES

    def frame(self, payloads: Sequence[bytes]) -> Picture:
        """See :class:`.payload.Depacketiser`."""
        layers: list[list[bytes]] = []
        try:
            for payload in payloads:
                if payload[0] & 0x08:
                    layers.append([])
                if not layers:
                    raise PayloadError("a frame without its beginning")
                layers[-1].append(payload[_size(payload) :])
        except IndexError:
            raise PayloadError("a payload cut short") from None
        frames = [b"".join(layer) for layer in layers]
        keyframe = False
        for number, frame in enumerate(parts(frames[0]) if len(frames) == 1 else frames):
            key, size = frame_size(frame)
            if size:
                self._limits.check(*size)
                self._shown = size
            if not number:
                keyframe = key
        return Picture(frames[0] if len(frames) == 1 else _superframe(frames), keyframe, *self._shown)


def _superframe(frames: list[bytes]) -> bytes:
    if len(frames) > 8:
        raise PayloadError("more spatial layers than there are")
    width = (max(map(len, frames)).bit_length() + 7) // 8
    mark = bytes([0xC0 | (width - 1) << 3 | len(frames) - 1])
    return b"".join((*frames, mark, *(len(frame).to_bytes(width, "little") for frame in frames), mark))
