"""H.261 over RTP (RFC 4587)."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from typing import Final

import numpy as np

from .h261_blocks import Boundary, boundaries
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
    """Pictures to payloads: each begins with a picture or GOB header, at whatever bit that lies; a GOB too large for a
    packet is cut between macroblocks (§4.1)."""

    def packetise(self, frame: bytes, mtu: int) -> list[bytes]:
        """See :class:`.payload.Packetiser`."""
        intra = picture_head(frame)[0]
        room = 8 * (mtu - HEADER)
        if room < 64:
            raise PayloadError("no room for a payload")
        end, begin = 8 * len(frame), 0
        starts = _start_codes(frame)
        payloads = []
        inside: Boundary | None = None
        known: dict[int, list[Boundary]] = {}
        while begin < end:
            stop, head = begin - begin % 8 + room, _head(inside)
            inside = None
            if stop >= end:
                stop = end
            else:
                fitting = starts[np.searchsorted(starts, begin, "right") : np.searchsorted(starts, stop, "right")]
                whole = int(fitting[-1]) if fitting.size else 0
                if whole - begin < room // 2:  # cutting the GOB that follows costs less than a packet half empty
                    inside = _cut(frame, starts, begin, stop, known)
                stop = inside.bit if inside else whole or stop
            # V: vectors may be used; I: only when the whole stream is intra, which nobody knows (§4.1).
            word = begin % 8 << 29 | (-stop) % 8 << 26 | intra << 25 | 1 << 24 | head
            payloads.append(word.to_bytes(HEADER, "big") + frame[begin // 8 : -(-stop // 8)])
            begin = stop
        return payloads


def _head(inside: Boundary | None) -> int:
    """GOBN, MBAP, QUANT, HMVD and VMVD of a packet that begins with a macroblock; 0 for all others."""
    if inside is None:
        return 0
    vector = (inside.across & 31) << 5 | inside.down & 31
    return inside.group << 20 | (inside.address - 1) << 15 | inside.quantiser << 10 | vector


def _cut(
    frame: bytes,
    starts: np.ndarray[tuple[int], np.dtype[np.int64]],
    begin: int,
    stop: int,
    known: dict[int, list[Boundary]],
) -> Boundary | None:
    """The last macroblock but a GOB's first that begins up to ``stop`` in the GOB there; None: there is no such.

    Args:
        known: the macroblocks of GOBs that have been looked at; added to.
    """
    at = int(np.searchsorted(starts, stop, "right"))
    following = int(starts[at]) if at < len(starts) else 8 * len(frame)
    if at not in known:
        try:
            known[at] = boundaries(frame, int(starts[at - 1]), following)
        except PayloadError:
            known[at] = []  # not what we know: it is cut at an octet, which decoders that put the bits together take
    found = [each for each in known[at] if begin < each.bit <= stop]
    return found[-1] if found else None


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
