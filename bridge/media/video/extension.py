"""RTP header extensions of many packets at once, in the one-byte form (RFC 8285 §4.2), read and written."""

from __future__ import annotations

from typing import Final

import numpy as np
from numpy.typing import NDArray

from ..rtp import HEADER
from ..wire import I32, STRIDE, U8, PacketPool

ELEMENTS: Final = 16
"""In one packet at most: more than anyone negotiates."""
ROOM: Final = 28
"""Octets of an extension that we write, with its own head: one of :data:`HEAD` octets, then transport sequence number,
absolute time and a MID of up to 16 octets."""
HEAD: Final = 4
NUMBER: Final = HEAD + 1
"""Where in it the transport-wide number lies."""


def find(pool: PacketPool, slots: I32, identifiers: U8, offsets: I32) -> tuple[NDArray[np.int64], I32]:
    """Look for one element in each packet.

    Args:
        slots: (n,) packets that have an extension and are whole.
        identifiers: (n,) 1 to 14.
        offsets: (n,) of the payload (the extension ends there).

    Returns:
        (n,) places in ``pool.flat`` at which its data begin, and (n,) how many octets they are; 0: it is not there.
    """
    base = slots.astype(np.int64) * STRIDE
    at = base + HEADER + 4 * (pool.flat[base] & 15).astype(np.int64)
    one_byte = (pool.flat[at] == 0xBE) & (pool.flat[at + 1] == 0xDE)
    at = at + HEAD
    end = base + offsets
    where, sizes = np.zeros(len(slots), np.int64), np.zeros(len(slots), np.int32)
    live = (one_byte & (at < end)).nonzero()[0]
    for _ in range(4 * ELEMENTS):
        if not live.size:
            break
        octet = pool.flat[at[live]]
        length = (octet & 15).astype(np.int64) + 1
        hit = (octet >> 4 == identifiers[live]) & (octet >> 4 != 0) & (at[live] + length < end[live])
        where[live[hit]], sizes[live[hit]] = at[live[hit]] + 1, length[hit]
        at[live] += np.where(octet == 0, 1, 1 + length)  # 0 is padding
        live = live[~hit & (octet >> 4 != 15) & (at[live] < end[live])]
    return where, sizes


def numbers(pool: PacketPool, slots: I32, identifiers: U8, offsets: I32) -> NDArray[np.int64]:
    """(n,) transport-wide sequence numbers; -1 where there is none. Arguments as of :func:`find`."""
    where, sizes = find(pool, slots, identifiers, offsets)
    value = pool.flat[where].astype(np.int64) << 8 | pool.flat[np.minimum(where + 1, pool.flat.size - 1)]
    return np.where(sizes == 2, value, -1)


def template(transport: int, absolute: int, mid: int, name: str) -> bytes:
    """What a stream's packets have as extension, number and time 0, padded to whole words; empty: none.

    Args:
        transport, absolute, mid: ids of the elements, 0: without.
        name: the MID; one of more than 16 octets is left out (RFC 8285 §4.2).
    """
    elements = bytes([transport << 4 | 1, 0, 0]) if transport else b""
    if absolute:
        elements += bytes([absolute << 4 | 2, 0, 0, 0])
    text = name.encode()
    if mid and 0 < len(text) <= 16 and len(elements) + 1 + len(text) <= ROOM - HEAD:
        elements += bytes([mid << 4 | len(text) - 1]) + text
    if not elements:
        return b""
    elements += bytes(-len(elements) % 4)
    return b"\xbe\xde" + (len(elements) // 4).to_bytes(2, "big") + elements


def stamp_numbers(out: U8, values: NDArray[np.int64]) -> None:
    """Write (n,) transport-wide numbers into (n, ROOM) extensions that have them."""
    out[:, NUMBER] = values >> 8
    out[:, NUMBER + 1] = values & 0xFF


def stamp_times(out: U8, at: NDArray[np.intp], now: float) -> None:
    """Write the time of sending: 6.18 bits of seconds, so that they turn over in 64 s.

    Args:
        at: (n,) where in each of (n, ROOM) extensions the element's data begin.
    """
    value = int(now * (1 << 18)) & 0xFFFFFF
    index = np.arange(len(out))
    for n, octet in enumerate(value.to_bytes(3, "big")):
        out[index, at + n] = octet
