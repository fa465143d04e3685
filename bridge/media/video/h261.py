"""H.261 over RTP (RFC 4587)."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from typing import Final

import numpy as np

from .h263 import joined_bits
from .payload import BEGINS, CONTINUES, KEYFRAME, Bits, Limits, PayloadError, Picture

SIZES: Final = ((176, 144), (352, 288))
"""QCIF and CIF, by the bit of PTYPE (H.261 §4.2.1)."""
HEADER: Final = 4


def picture_head(frame: bytes) -> tuple[bool, tuple[int, int]]:
    """Whether a picture releases a frozen one, and its width and height (H.261 §4.2.1).

    Raises:
        PayloadError: it has no picture's head.
    """
    bits = Bits(frame[:4])
    if bits.take(20) != 0x10:
        raise PayloadError("no picture start code")
    bits.skip(5 + 2)
    release = bits.take(1)
    return bool(release), SIZES[bits.take(1)]


class H261Packetiser:
    """Pictures to payloads: each begins with a picture or GOB header, at whatever bit that lies (§4.1).

    A GOB too large for a packet is cut at an octet; what follows names no macroblock it begins with. Decoders that put
    the bits together take that; one that resumes after a loss waits for the next GOB.
    """

    def packetise(self, frame: bytes, mtu: int) -> list[bytes]:
        """See :class:`.payload.Packetiser`."""
        intra = picture_head(frame)[0]
        room = 8 * (mtu - HEADER)
        if room < 64:
            raise PayloadError("no room for a payload")
        end, begin = 8 * len(frame), 0
        starts = _start_codes(frame)
        payloads = []
        while begin < end:
            stop = begin - begin % 8 + room
            if stop >= end:
                stop = end
            else:
                fitting = starts[np.searchsorted(starts, begin, "right") : np.searchsorted(starts, stop, "right")]
                stop = int(fitting[-1]) if fitting.size else stop
            # V: vectors may be used; I: only when the whole stream is intra, which nobody knows (§4.1).
            head = bytes([begin % 8 << 5 | (-stop) % 8 << 2 | intra << 1 | 1, 0, 0, 0])
            payloads.append(head + frame[begin // 8 : -(-stop // 8)])
            begin = stop
        return payloads


def _start_codes(frame: bytes) -> np.ndarray[tuple[int], np.dtype[np.int64]]:
    """Bits at which GOB start codes begin: fifteen zeros and a one, which nothing else looks like (H.261 §4.2.2)."""
    bits = np.unpackbits(np.frombuffer(frame, np.uint8))
    ones = np.flatnonzero(bits)
    gaps = np.diff(ones, prepend=-1)
    return ones[gaps >= 16].astype(np.int64) - 15


class H261Depacketiser:
    """Payloads to pictures."""

    def __init__(self, parameters: Mapping[str, str] | None = None, limits: Limits | None = None) -> None:
        self._limits = limits or Limits()

    def begins(self, payload: bytes) -> int:
        """See :class:`.payload.Depacketiser`."""
        if len(payload) < HEADER + 4 or payload[0] & 0xE0 or payload[4:6] != b"\0\1" or payload[6] & 0xF0:
            return CONTINUES
        return KEYFRAME if payload[0] & 2 or payload[7] & 0x10 else BEGINS

    def frame(self, payloads: Sequence[bytes]) -> Picture:
        """See :class:`.payload.Depacketiser`. H.261 has no keyframes: what releases a frozen picture (the answer to a
        fast update, H.261 §4.2.1) counts as one, or whose packets all say that they are intra coded."""
        if not all(payloads):
            raise PayloadError("a payload cut short")
        data = joined_bits((payload, HEADER, payload[0] >> 5, payload[0] >> 2 & 7) for payload in payloads)
        release, size = picture_head(data)
        self._limits.check(*size)
        return Picture(data, release or all(payload[0] & 2 for payload in payloads), *size)
