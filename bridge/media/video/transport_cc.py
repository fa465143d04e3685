"""Transport-wide congestion control feedback (draft-holmer-rmcat-transport-wide-cc-extensions-01 §3.1).

Times are whole quarters of a millisecond, the draft's unit, so that what is read is what was written.
"""

from __future__ import annotations

import struct
from dataclasses import dataclass
from itertools import groupby
from typing import Final

from ..rtcp import Feedback, RtcpError

TICK: Final = 0.00025
"""Seconds."""
REFERENCE_TICKS: Final = 256
"""Ticks of a unit of the reference time, 64 ms."""
_HEAD = struct.Struct("!HHI")
_RUN: Final = 0x1FFF
MOST: Final = 4096
"""Packets told of at most: two seconds of 20 Mbit/s, in messages sent each 50 to 100 ms. A few octets could tell of
65,535."""


@dataclass(frozen=True, slots=True)
class TransportCc:
    sender: int
    media: int
    base: int
    """Transport-wide sequence number of the first packet told of."""
    count: int
    """Feedback packet count, 8 bits: how many were sent before."""
    reference: int
    """Reference time in 64 ms, 24 bits, from an instant only the sender knows."""
    arrivals: tuple[int | None, ...]
    """Of each packet from ``base`` on, ticks after the reference time; None: it did not come."""


def read_transport_cc(feedback: Feedback) -> TransportCc:
    """Read its FCI.

    Raises:
        RtcpError: it is cut short.
    """
    fci = feedback.fci
    if len(fci) < 8:
        raise RtcpError("transport feedback cut short")
    base, total, word = _HEAD.unpack_from(fci)
    if total > MOST:
        raise RtcpError("transport feedback of too many packets")
    symbols, at = _read_symbols(fci, total)
    arrivals: list[int | None] = []
    clock = 0
    for symbol in symbols:
        if symbol in (0, 3):  # 3 is reserved: a packet of which nothing can be known
            arrivals.append(None)
            continue
        if at + symbol > len(fci):
            raise RtcpError("fewer receive deltas than packets")
        clock += fci[at] if symbol == 1 else int.from_bytes(fci[at : at + 2], "big", signed=True)
        at += symbol
        arrivals.append(clock)
    return TransportCc(feedback.sender, feedback.media, base, word & 0xFF, word >> 8, tuple(arrivals))


def _read_symbols(fci: bytes, total: int) -> tuple[list[int], int]:
    """The status symbols of ``total`` packets, and where the deltas begin."""
    symbols: list[int] = []
    at = 8
    while len(symbols) < total:
        if at + 2 > len(fci):
            raise RtcpError("fewer status chunks than packets")
        chunk = fci[at] << 8 | fci[at + 1]
        at += 2
        if not chunk >> 15:
            symbols += [chunk >> 13 & 3] * min(chunk & _RUN, total - len(symbols))
        elif chunk >> 14 & 1:
            symbols += [chunk >> shift & 3 for shift in range(12, -2, -2)]
        else:
            symbols += [chunk >> shift & 1 for shift in range(13, -1, -1)]
    return symbols[:total], at


def write_transport_cc(message: TransportCc) -> bytes:
    """Its FCI, padded with zeros to whole words as the draft has it.

    Raises:
        ValueError: no packet or too many, two arrivals further apart than a delta holds (8.19 s), or a number that its
            field doesn't hold.
    """
    if not 0 < len(message.arrivals) <= MOST or message.arrivals[-1] is None:
        raise ValueError("feedback tells of packets, and ends with one that came")
    symbols, deltas, clock = [], [], 0
    for arrival in message.arrivals:
        if arrival is None:
            symbols.append(0)
            continue
        delta = arrival - clock
        clock = arrival
        symbols.append(1 if 0 <= delta <= 0xFF else 2)
        if not -0x8000 <= delta <= 0x7FFF:
            raise ValueError("arrivals too far apart for one feedback packet")
        deltas.append(delta.to_bytes(symbols[-1], "big", signed=symbols[-1] == 2))
    try:
        head = _HEAD.pack(message.base, len(symbols), message.reference << 8 | message.count)
    except struct.error:
        raise ValueError("a number too large for its field") from None
    body = head + _write_symbols(symbols) + b"".join(deltas)
    return body + bytes(-len(body) % 4)


def _write_symbols(symbols: list[int]) -> bytes:
    """Run lengths for what is long and alike, vectors of seven for the rest."""
    chunks: list[int] = []
    waiting: list[int] = []
    for symbol, group in groupby(symbols):
        length = len(list(group))
        while length:
            if waiting or length < 7:
                step = min(length, 7 - len(waiting))
                waiting += [symbol] * step
                if len(waiting) == 7:
                    chunks.append(_vector(waiting))
                    waiting = []
            else:
                step = min(length, _RUN)
                chunks.append(symbol << 13 | step)
            length -= step
    if waiting:
        chunks.append(_vector(waiting))
    return struct.pack(f"!{len(chunks)}H", *chunks)


def _vector(symbols: list[int]) -> int:
    value = 0xC000
    for place, symbol in enumerate(symbols):
        value |= symbol << (12 - 2 * place)
    return value
