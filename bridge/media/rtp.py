"""RTP headers of many packets at once (RFC 3550 §5.1, RFC 8285 extensions, RFC 5761 demultiplexing)."""

from __future__ import annotations

from dataclasses import dataclass
from typing import TypeAlias

import numpy as np
from numpy.typing import NDArray

from .wire import I32, STRIDE, U8, U32, PacketPool

NDArrayU8: TypeAlias = NDArray[np.uint8]
NDArrayBool: TypeAlias = NDArray[np.bool_]

HEADER = 12


@dataclass(slots=True)
class Headers:
    """The fixed header fields of n packets as arrays, and where their payload lies."""

    payload_type: NDArrayU8
    marker: NDArrayBool
    sequence: I32
    timestamp: U32
    ssrc: U32
    offset: I32
    """(n,) bytes from the packet's start to its payload."""
    size: I32
    """(n,) bytes of payload, padding taken off."""
    extended: NDArrayBool
    """(n,) a header extension is there."""

    def rows(self, index: NDArray[np.intp]) -> Headers:
        """Those of some of the packets."""
        return Headers(*(getattr(self, name)[index] for name in self.__slots__))


def _leads() -> NDArrayU8:
    first, second = np.arange(65536) & 0xFF, np.arange(65536) >> 8  # as a little-endian word has them
    control = (second >= 192) & (second <= 223)
    return np.where(first >> 6 == 2, np.where(control, 2, 1), 0).astype(np.uint8)


_LEADS = _leads()
"""By a packet's first two octets: 1 RTP, 2 RTCP, 0 neither."""


def classify(pool: PacketPool, slots: I32, lengths: I32) -> tuple[NDArrayBool, NDArrayBool]:
    """Which packets look like RTP and which like RTCP (RFC 7983 §7, RFC 5761 §4); the rest is neither."""
    lead = pool.words[slots, 0]
    lead = lead & np.uint32(0xFFFF) if np.little_endian else lead.byteswap() & np.uint32(0xFFFF)
    kind = _LEADS[lead]
    return (kind == 1) & (lengths >= HEADER), (kind == 2) & (lengths >= 8)


def parse(pool: PacketPool, slots: I32, lengths: I32) -> tuple[Headers, NDArrayBool]:
    """Header fields of packets that :func:`classify` took for RTP, and which of them are whole.

    A packet whose counted parts (CSRCs, extension, padding) do not fit into it is not whole (RFC 3550 A.1).
    """
    words = pool.words[slots, :3].byteswap() if np.little_endian else pool.words[slots, :3]
    first, timestamp, ssrc = words[:, 0], words[:, 1], words[:, 2]
    extended = (first & 0x10000000) != 0
    if not (first & 0x3F000000).any():  # nearly always: no padding, no extension, no CSRC
        return Headers(
            payload_type=((first >> 16) & 0x7F).astype(np.uint8),
            marker=(first & 0x00800000) != 0,
            sequence=(first & 0xFFFF).view(np.int32),
            timestamp=timestamp,
            ssrc=ssrc,
            offset=np.full(len(slots), HEADER, np.int32),
            size=lengths - HEADER,
            extended=extended,
        ), lengths >= HEADER
    offset = HEADER + 4 * ((first >> 24) & 15).astype(np.int32)
    size = lengths - offset
    if extended.any():
        at = np.flatnonzero(extended & (size >= 4))
        start = slots[at].astype(np.int64) * STRIDE + offset[at]
        count = pool.flat[start + 2].astype(np.int32) * 256 + pool.flat[start + 3]
        offset[at] += 4 + 4 * count
        size = lengths - offset
        size[extended & (offset == HEADER + 4 * ((first >> 24) & 15).astype(np.int32))] = -1
    padded = np.flatnonzero(((first & 0x20000000) != 0) & (size > 0))
    if padded.size:
        last = pool.flat[slots[padded].astype(np.int64) * STRIDE + lengths[padded] - 1].astype(np.int32)
        size[padded] = np.where(last == 0, -1, size[padded] - last)
    headers = Headers(
        payload_type=((first >> 16) & 0x7F).astype(np.uint8),
        marker=(first & 0x00800000) != 0,
        sequence=(first & 0xFFFF).astype(np.int32),
        timestamp=timestamp,
        ssrc=ssrc,
        offset=offset,
        size=size,
        extended=extended,
    )
    return headers, size >= 0


def audio_levels(pool: PacketPool, slots: I32, identifiers: U8, offsets: I32) -> I32:
    """RFC 6464 levels from one-byte header extensions (RFC 8285 §4.2).

    Args:
        slots: (n,) packets that have an extension and are whole.
        identifiers: (n,) the negotiated extension id of each stream.
        offsets: (n,) payload offsets from :func:`parse` (the extension ends there).

    Returns:
        (n,) level in -dBov, 0 (loudest) to 127; -1 where there is none.
    """
    found = np.full(len(slots), -1, np.int32)
    base = slots.astype(np.int64) * STRIDE
    at = base + HEADER + 4 * (pool.flat[base] & 15).astype(np.int64)
    one_byte = (pool.flat[at] == 0xBE) & (pool.flat[at + 1] == 0xDE)
    at = at + 4
    end = base + offsets
    live = np.flatnonzero(one_byte & (at < end))
    for _ in range(16):  # an extension of sixteen elements is more than anyone negotiates
        if not live.size:
            break
        byte = pool.flat[at[live]]
        length = (byte & 15).astype(np.int64) + 1
        hit = (byte >> 4 == identifiers[live]) & (byte != 0) & (at[live] + 1 < end[live])
        found[live[hit]] = pool.flat[at[live[hit]] + 1] & 0x7F
        at[live] += np.where(byte == 0, 1, 1 + length)  # 0 is padding
        live = live[~hit & (byte >> 4 != 15) & (at[live] < end[live])]
    return found


def write_headers(
    out: U32,
    rows: NDArray[np.intp],
    payload_types: NDArrayU8,
    markers: NDArrayBool,
    sequences: I32,
    timestamps: U32,
    ssrcs: U32,
) -> None:
    """Write the 12-byte headers of ``rows`` into ``out`` (rows, 3) words, in network order."""
    first = np.uint32(0x80000000) | (payload_types.astype(np.uint32) << np.uint32(16))
    first |= markers.astype(np.uint32) << np.uint32(23)
    first |= sequences.astype(np.uint32) & np.uint32(0xFFFF)
    words = np.stack((first, timestamps, ssrcs), axis=1)
    out[rows] = words.byteswap() if np.little_endian else words
