"""RTCP (RFC 3550 §6, RFC 4585 feedback, RFC 5506 reduced size): packets to dataclasses and back, timing, round trip.

What comes in is parsed a compound at a time (a stream reports every few seconds); what goes out to all streams is
built by :mod:`.rtcp_build`'s arrays.
"""

from __future__ import annotations

import struct
from collections.abc import Iterable
from dataclasses import dataclass
from typing import Any, Final, TypeAlias

import numpy as np
from numpy.typing import NDArray

from .wire import F64

SR: Final = 200
RR: Final = 201
SDES: Final = 202
BYE: Final = 203
APP: Final = 204
RTPFB: Final = 205
PSFB: Final = 206
XR: Final = 207
CNAME: Final = 1

INTERVAL: Final = 5.0
"""Seconds between a participant's reports: the minimum of RFC 3550 §6.2, which a call of two always meets (a compound
of 100 bytes in 5 s is 160 bit/s, far below 5 % of any codec's rate)."""
SILENT_INTERVALS: Final = 5
"""A member is timed out after so many intervals without a packet (RFC 3550 §6.3.5)."""
NTP_EPOCH: Final = 2208988800
"""Seconds from 1900 to 1970 (RFC 5905 §6)."""

_HEADER = struct.Struct("!BBH")
_SENDER = struct.Struct("!IQIII")
_BLOCK = struct.Struct("!IIIIII")


class RtcpError(ValueError):
    """What came is not RTCP."""


@dataclass(frozen=True, slots=True)
class ReportBlock:
    """How one source is received (RFC 3550 §6.4.1)."""

    ssrc: int
    fraction: int
    """Lost since the last report, in 256ths."""
    lost: int
    """Lost in all; below zero with duplicates. 24 bits, signed."""
    highest: int
    """Extended highest sequence number received."""
    jitter: int
    """Interarrival jitter in units of the RTP clock."""
    lsr: int
    """Middle 32 bits of the NTP time of the last sender report; 0: none came."""
    dlsr: int
    """Delay since it came, in 65536ths of a second."""


@dataclass(frozen=True, slots=True)
class SenderReport:
    ssrc: int
    ntp: int
    """NTP time, 64 bits (32.32)."""
    timestamp: int
    """The same instant on the RTP clock."""
    packets: int
    octets: int
    reports: tuple[ReportBlock, ...] = ()
    extension: bytes = b""
    """Profile-specific; whole words."""


@dataclass(frozen=True, slots=True)
class ReceiverReport:
    ssrc: int
    reports: tuple[ReportBlock, ...] = ()
    extension: bytes = b""


@dataclass(frozen=True, slots=True)
class Chunk:
    """What is said of one source."""

    ssrc: int
    items: tuple[tuple[int, bytes], ...]
    """Item type and UTF-8 text, at most 255 bytes each."""

    @property
    def cname(self) -> str:
        """Its canonical name; empty when not told."""
        return next((text.decode(errors="replace") for kind, text in self.items if kind == CNAME), "")


@dataclass(frozen=True, slots=True)
class SourceDescription:
    chunks: tuple[Chunk, ...]


@dataclass(frozen=True, slots=True)
class Bye:
    ssrcs: tuple[int, ...]
    reason: bytes = b""


@dataclass(frozen=True, slots=True)
class App:
    ssrc: int
    subtype: int
    name: bytes
    """Four octets."""
    data: bytes = b""
    """Whole words."""


@dataclass(frozen=True, slots=True)
class Feedback:
    """RFC 4585 §6.1."""

    kind: int
    """:data:`RTPFB` or :data:`PSFB`."""
    fmt: int
    sender: int
    media: int
    fci: bytes = b""
    """Whole words."""


@dataclass(frozen=True, slots=True)
class ExtendedReport:
    """RFC 3611 §2; its blocks are :mod:`.rtcp_xr`'s."""

    ssrc: int
    body: bytes = b""
    """Whole words."""


Packet: TypeAlias = SenderReport | ReceiverReport | SourceDescription | Bye | App | Feedback | ExtendedReport

# --------------------------------------------------------------------------------------------------- parse


def parse(data: bytes, *, reduced_size: bool = True) -> list[Packet]:
    """The packets of a compound, in order; types we don't know are left out (RFC 3550 §6.1).

    Args:
        reduced_size: also take what does not begin with a report (RFC 5506).

    Raises:
        RtcpError: not whole, or not valid by RFC 3550 A.2.
    """
    if len(data) < 4:
        raise RtcpError("shorter than a header")
    if not reduced_size and data[1] not in (SR, RR):
        raise RtcpError("a compound begins with a report")
    found: list[Packet] = []
    start = 0
    while start < len(data):
        if len(data) - start < 4:
            raise RtcpError("octets after the last packet")
        first, kind, words = _HEADER.unpack_from(data, start)
        end = start + 4 + 4 * words
        if first >> 6 != 2:
            raise RtcpError("not version 2")
        if end > len(data):
            raise RtcpError("a packet longer than what came")
        body = data[start + 4 : end]
        if first & 0x20:
            body = _unpadded(body, first_of_many=start == 0 and end < len(data), last=end == len(data))
        reader = _READERS.get(kind)
        if reader is not None:
            found.append(reader(kind, first & 31, body))
        start = end
    return found


def _unpadded(body: bytes, *, first_of_many: bool, last: bool) -> bytes:
    if first_of_many or not last:
        raise RtcpError("padding before the last packet")
    count = body[-1] if body else 0
    if not 0 < count <= len(body) or count % 4:
        raise RtcpError("bad padding")
    return body[:-count]


def _blocks(body: bytes, at: int, count: int) -> tuple[tuple[ReportBlock, ...], bytes]:
    end = at + _BLOCK.size * count
    if end > len(body):
        raise RtcpError("fewer report blocks than it says")
    blocks = []
    for ssrc, loss, highest, jitter, lsr, dlsr in _BLOCK.iter_unpack(body[at:end]):
        lost = loss & 0xFFFFFF
        blocks.append(
            ReportBlock(ssrc, loss >> 24, lost - (1 << 24) if lost >> 23 else lost, highest, jitter, lsr, dlsr)
        )
    return tuple(blocks), body[end:]


def _read_sender(kind: int, count: int, body: bytes) -> Packet:
    if len(body) < _SENDER.size:
        raise RtcpError("a short sender report")
    ssrc, ntp, timestamp, packets, octets = _SENDER.unpack_from(body)
    return SenderReport(ssrc, ntp, timestamp, packets, octets, *_blocks(body, _SENDER.size, count))


def _read_receiver(kind: int, count: int, body: bytes) -> Packet:
    return ReceiverReport(_word(body, 0), *_blocks(body, 4, count))


def _word(body: bytes, at: int) -> int:
    if len(body) < at + 4:
        raise RtcpError("cut short")
    return int.from_bytes(body[at : at + 4], "big")


def _read_description(kind: int, count: int, body: bytes) -> Packet:
    chunks = []
    at = 0
    for _ in range(count):
        ssrc = _word(body, at)
        at += 4
        items = []
        while True:
            if at >= len(body):
                raise RtcpError("a chunk without an end")
            if body[at] == 0:
                at += 4 - at % 4  # nulls to the next word, one at least (§6.5)
                break
            if at + 2 > len(body) or at + 2 + body[at + 1] > len(body):
                raise RtcpError("an item longer than its packet")
            items.append((body[at], body[at + 2 : at + 2 + body[at + 1]]))
            at += 2 + body[at + 1]
        chunks.append(Chunk(ssrc, tuple(items)))
    return SourceDescription(tuple(chunks))


def _read_bye(kind: int, count: int, body: bytes) -> Packet:
    if len(body) < 4 * count:
        raise RtcpError("fewer sources than it says")
    ssrcs = struct.unpack_from(f"!{count}I", body)
    rest = body[4 * count :]
    if not rest:
        return Bye(ssrcs)
    if 1 + rest[0] > len(rest):
        raise RtcpError("a reason longer than its packet")
    return Bye(ssrcs, rest[1 : 1 + rest[0]])


def _read_app(kind: int, count: int, body: bytes) -> Packet:
    ssrc = _word(body, 0)
    _word(body, 4)
    return App(ssrc, count, body[4:8], body[8:])


def _read_feedback(kind: int, count: int, body: bytes) -> Packet:
    return Feedback(kind, count, _word(body, 0), _word(body, 4), body[8:])


def _read_extended(kind: int, count: int, body: bytes) -> Packet:
    return ExtendedReport(_word(body, 0), body[4:])


_READERS = {
    SR: _read_sender,
    RR: _read_receiver,
    SDES: _read_description,
    BYE: _read_bye,
    APP: _read_app,
    RTPFB: _read_feedback,
    PSFB: _read_feedback,
    XR: _read_extended,
}

# --------------------------------------------------------------------------------------------------- build


def build(packets: Iterable[Packet]) -> bytes:
    """A compound.

    Raises:
        ValueError: more than 31 blocks, chunks or sources in one packet, a text of more than 255 bytes, or data that is
            no whole number of words.
    """
    return b"".join(_build(packet) for packet in packets)


def _build(packet: Packet) -> bytes:
    match packet:
        case SenderReport():
            head = _SENDER.pack(packet.ssrc, packet.ntp, packet.timestamp, packet.packets, packet.octets)
            return _framed(SR, len(packet.reports), head + _build_blocks(packet.reports) + packet.extension)
        case ReceiverReport():
            body = packet.ssrc.to_bytes(4, "big") + _build_blocks(packet.reports) + packet.extension
            return _framed(RR, len(packet.reports), body)
        case SourceDescription():
            return _framed(SDES, len(packet.chunks), b"".join(map(_build_chunk, packet.chunks)))
        case Bye():
            body = struct.pack(f"!{len(packet.ssrcs)}I", *packet.ssrcs)
            if packet.reason:
                body += _counted(packet.reason)
                body += bytes(-len(body) % 4)
            return _framed(BYE, len(packet.ssrcs), body)
        case App():
            if len(packet.name) != 4:
                raise ValueError("an APP name has four octets")
            return _framed(APP, packet.subtype, packet.ssrc.to_bytes(4, "big") + packet.name + packet.data)
        case Feedback():
            return _framed(packet.kind, packet.fmt, struct.pack("!II", packet.sender, packet.media) + packet.fci)
        case ExtendedReport():
            return _framed(XR, 0, packet.ssrc.to_bytes(4, "big") + packet.body)


def _framed(kind: int, count: int, body: bytes) -> bytes:
    if not 0 <= count <= 31:
        raise ValueError(f"{count} does not fit into five bits")
    if len(body) % 4 or len(body) > 4 * 0xFFFF:
        raise ValueError(f"{len(body)} octets are no RTCP packet")
    return _HEADER.pack(0x80 | count, kind, len(body) // 4) + body


def _counted(text: bytes) -> bytes:
    if len(text) > 255:
        raise ValueError("text of more than 255 octets")
    return bytes([len(text)]) + text


def _build_blocks(blocks: tuple[ReportBlock, ...]) -> bytes:
    return b"".join(
        _BLOCK.pack(
            b.ssrc,
            b.fraction << 24 | max(-0x800000, min(b.lost, 0x7FFFFF)) & 0xFFFFFF,
            b.highest,
            b.jitter,
            b.lsr,
            b.dlsr,
        )
        for b in blocks
    )


def _build_chunk(chunk: Chunk) -> bytes:
    body = chunk.ssrc.to_bytes(4, "big") + b"".join(bytes([kind]) + _counted(text) for kind, text in chunk.items)
    return body + bytes(4 - len(body) % 4)


# ------------------------------------------------------------------------------------------ time and timing


def ntp(realtime: float) -> int:
    """64-bit NTP time (32.32, era by truncation) of a wall-clock instant in seconds since 1970."""
    whole = int(realtime // 1)
    return ((whole + NTP_EPOCH) & 0xFFFFFFFF) << 32 | int((realtime - whole) * 4294967296.0)


def middle(stamp: int) -> int:
    """The middle 32 bits of an NTP time, as LSR has them (65536ths of a second)."""
    return (stamp >> 16) & 0xFFFFFFFF


def round_trip(arrival: NDArray[Any] | int, lsr: NDArray[Any] | int, dlsr: NDArray[Any] | int) -> F64:
    """Seconds there and back (RFC 3550 §6.4.1, figure 2); NaN where no sender report was seen, or nothing makes sense.

    Args:
        arrival: middle 32 bits of the NTP time at which the report came.
    """
    there, back = np.asarray(lsr, np.int64), np.asarray(dlsr, np.int64)
    ticks = (np.asarray(arrival, np.int64) - there - back + (1 << 31)) % (1 << 32) - (1 << 31)
    seconds = ticks / 65536.0
    # On a short path the two clocks' drift and rounding can come out a little below zero.
    sensible = (there != 0) & (seconds > -0.1) & (seconds < 60.0)
    return np.where(sensible, np.maximum(seconds, 0.0), np.nan)


def interval(chance: NDArray[Any] | float, first: NDArray[np.bool_] | bool = False) -> F64:
    """Seconds to the next report (RFC 3550 §6.2, §6.3.1): :data:`INTERVAL`, half of it at first, times 0.5 to 1.5.

    Args:
        chance: uniform in [0, 1); arrays give as many intervals.
        first: whether no report was sent yet.
    """
    return np.where(first, INTERVAL / 2, INTERVAL) * (0.5 + np.asarray(chance, np.float64))
