"""Selective forwarding: packets of senders to receivers as they are, but for the numbers, so that a receiver sees one
stream whatever it is made of (RFC 7667 §3.7).

Each output takes one source at a time, and changes it where a keyframe of the other begins. Then sequence numbers,
timestamps and, for VP8, picture numbers (RFC 7741 §4.2) go on from what was sent last. Gaps and disorder within a
source are kept: NACKs are answered by asking its sender (:meth:`Forwarder.origin`). All in arrays, a row an output.
"""

from __future__ import annotations

from dataclasses import dataclass, fields
from typing import Final, TypeAlias

import numpy as np
from numpy.typing import NDArray

I64: TypeAlias = NDArray[np.int64]
Flags: TypeAlias = NDArray[np.bool_]

CLOCK: Final = 90000
LONGEST: Final = 3600.0
"""Seconds that a timestamp may leap at a change of source: half of its range would be 13 hours."""
SPANS: Final = 4
"""Changes of source back to which NACKs are understood."""
NONE: Final = -1


@dataclass(frozen=True, slots=True)
class Incoming:
    """Packets in the order they came; (n,) arrays."""

    source: I64
    """Whose: control's or a layer's number."""
    sequence: I64
    timestamp: I64
    keyframe: Flags
    """A keyframe begins with it."""
    picture: I64
    """VP8's PictureID, -1: none."""
    tl0: I64
    """VP8's TL0PICIDX, -1: none."""

    def part(self, begin: int, end: int) -> Incoming:
        return Incoming(*(getattr(self, each.name)[begin:end] for each in fields(self)))


@dataclass(frozen=True, slots=True)
class Outgoing:
    """What is to be sent; (m,) arrays, packet by packet."""

    packet: I64
    """Index into what came."""
    output: I64
    sequence: I64
    """16 bits."""
    timestamp: I64
    """32 bits."""
    picture: I64
    """15 bits; -1: none. A PictureID of 7 bits has the lower ones."""
    tl0: I64


class Forwarder:
    """Outputs and what each is sent."""

    def __init__(self, outputs: int) -> None:
        def column() -> I64:
            return np.zeros(outputs, np.int64)

        self.source: I64 = np.full(outputs, NONE, np.int64)
        """What each output is sent, -1: nothing yet."""
        self.wanted: I64 = np.full(outputs, NONE, np.int64)
        """What it is to be sent."""
        self._next = column()
        """Extended sequence number after the highest sent."""
        self._begin = column()
        """Extended incoming number with which the source began; what came before is another's place."""
        self._high = column()
        self._shift = column()
        """What is added to incoming numbers."""
        self._stamp, self._stamp_shift = column(), column()
        self._picture, self._picture_shift = column(), column()
        self._tl0, self._tl0_shift = column(), column()
        self._when: NDArray[np.float64] = np.full(outputs, -np.inf)
        """When each was last sent something."""
        self._span = column()
        self._spans: I64 = np.full((outputs, SPANS, 3), NONE, np.int64)
        """First number sent, what was added, source."""

    def open(self, output: int, *, sequence: int, timestamp: int, picture: int = 0, tl0: int = 0) -> None:
        """An output begins with these numbers: random ones (RFC 3550 §5.1)."""
        self.close(output)
        self._next[output] = 0x10000 + (sequence & 0xFFFF)
        self._stamp[output] = timestamp & 0xFFFFFFFF
        self._picture[output], self._tl0[output] = (picture - 1) & 0x7FFF, (tl0 - 1) & 0xFF
        self._when[output] = -np.inf
        self._spans[output] = NONE

    def close(self, output: int) -> None:
        self.source[output] = self.wanted[output] = NONE

    def watch(self, output: int, source: int) -> None:
        """Send it another source from its next keyframe on; until then it goes on with what it has. -1: nothing, at
        once."""
        self.wanted[output] = source
        if source == NONE:
            self.source[output] = NONE

    def waiting(self) -> I64:
        """Sources of which somebody waits for a keyframe."""
        return np.unique(self.wanted[(self.wanted != self.source) & (self.wanted != NONE)])

    def forward(self, packets: Incoming, now: float) -> Outgoing:
        """What each packet becomes for each output that is sent its source."""
        starts = (packets.keyframe & np.isin(packets.source, self.waiting())).nonzero()[0]
        parts, begin = [], 0
        for at in starts.tolist():  # changes of source are rare
            parts.append(self._pass(packets.part(begin, at), begin, now))
            self._change(packets.part(at, at + 1), now)
            begin = at
        parts.append(self._pass(packets.part(begin, len(packets.source)), begin, now))
        return Outgoing(*(np.concatenate([getattr(part, each.name) for part in parts]) for each in fields(Outgoing)))

    def _change(self, packet: Incoming, now: float) -> None:
        """Whoever waits for this keyframe's source is sent it from here on."""
        source, sequence = int(packet.source[0]), int(packet.sequence[0]) + 0x10000
        rows = ((self.wanted == source) & (self.source != source)).nonzero()[0]
        self.source[rows] = source
        self._begin[rows] = self._high[rows] = sequence
        self._shift[rows] = self._next[rows] - sequence
        passed = np.where(np.isfinite(self._when[rows]), now - self._when[rows], 0.0)
        step = np.where(
            np.isfinite(self._when[rows]), np.maximum(np.minimum(passed, LONGEST) * CLOCK, 1.0), 0.0
        ).astype(np.int64)
        self._stamp_shift[rows] = self._stamp[rows] + step - packet.timestamp[0]
        self._stamp[rows] += step
        self._picture_shift[rows] = self._picture[rows] + 1 - max(int(packet.picture[0]), 0)
        self._tl0_shift[rows] = self._tl0[rows] + 1 - max(int(packet.tl0[0]), 0)
        at = self._span[rows] = (self._span[rows] + 1) % SPANS
        self._spans[rows, at, 0] = self._next[rows]
        self._spans[rows, at, 1] = self._shift[rows]
        self._spans[rows, at, 2] = source

    def _pass(self, packets: Incoming, first: int, now: float) -> Outgoing:
        """Packets to outputs, none of which changes its source meanwhile."""
        order = np.argsort(self.source, kind="stable")
        sorted_ = self.source[order]
        left = np.searchsorted(sorted_, packets.source, "left")
        counts = np.searchsorted(sorted_, packets.source, "right") - left
        counts[packets.source == NONE] = 0
        packet = np.repeat(np.arange(len(counts)), counts)
        within = np.arange(len(packet)) - np.repeat(np.cumsum(counts) - counts, counts)
        output = order[np.repeat(left, counts) + within]
        high = self._high[output]
        extended = high + (packets.sequence[packet] - high + 0x8000) % 0x10000 - 0x8000
        kept = extended >= self._begin[output]
        packet, output, extended = packet[kept], output[kept], extended[kept]
        np.maximum.at(self._high, output, extended)
        number = extended + self._shift[output]
        np.maximum.at(self._next, output, number + 1)
        stamp = (packets.timestamp[packet] + self._stamp_shift[output]) & 0xFFFFFFFF
        self._latest(self._stamp, output, stamp, 32)
        self._when[output] = now
        picture = self._renumbered(packets.picture[packet], self._picture_shift, self._picture, output, 15)
        tl0 = self._renumbered(packets.tl0[packet], self._tl0_shift, self._tl0, output, 8)
        return Outgoing(packet + first, output, number & 0xFFFF, stamp, picture, tl0)

    def _renumbered(self, values: I64, shift: I64, last: I64, output: I64, bits: int) -> I64:
        there = values >= 0
        found = np.where(there, (values + shift[output]) & ((1 << bits) - 1), NONE)
        self._latest(last, output[there], found[there], bits)
        return found

    @staticmethod
    def _latest(last: I64, output: I64, values: I64, bits: int) -> None:
        """Keep the furthest of numbers that turn over."""
        half, whole = 1 << (bits - 1), 1 << bits
        ahead = (values - last[output] + half) % whole - half
        far = np.zeros(len(last), np.int64)
        np.maximum.at(far, output, ahead)
        last += far
        last %= whole

    def origin(self, output: int, sequence: int) -> tuple[int, int] | None:
        """Source and incoming sequence number of what an output was sent; None: it was sent nothing under that."""
        last = int(self._next[output]) - 1
        number = last - ((last - sequence) & 0xFFFF)
        found = [span for span in self._spans[output].tolist() if NONE < span[0] <= number]
        if not found or number < 0:
            return None
        _, shift, source = max(found)
        return int(source), int(number - shift) & 0xFFFF


# ------------------------------------------------------------------------------------------------- VP8


@dataclass(frozen=True, slots=True)
class Vp8Heads:
    """Payload descriptors of many packets (RFC 7741 §4.2); (n,) arrays."""

    picture: I64
    """-1: none."""
    tl0: I64
    keyframe: Flags
    """A keyframe begins with it."""
    picture_at: I64
    """Octet of the payload where it lies, -1: nowhere."""
    wide: Flags
    """It has 15 bits."""
    tl0_at: I64


def read_vp8(payloads: NDArray[np.uint8], sizes: I64) -> Vp8Heads:
    """Descriptors that are cut short have no numbers and begin nothing.

    Args:
        payloads: (n, at least 7) the first octets of each, zeros behind the end.
        sizes: (n,) octets.
    """
    octets = payloads.astype(np.int64)
    index = np.arange(len(octets))
    extended = octets[:, 0] & 0x80 > 0
    flags = np.where(extended, octets[:, 1], 0)
    at = np.where(extended, 2, 1)
    with_picture = flags & 0x80 > 0
    picture_at = np.where(with_picture, at, NONE)
    wide = with_picture & (octets[index, at] & 0x80 > 0)
    value = octets[index, at] & 0x7F
    picture = np.where(with_picture, np.where(wide, value << 8 | octets[index, at + 1], value), NONE)
    at = at + np.where(with_picture, np.where(wide, 2, 1), 0)
    with_tl0 = flags & 0x40 > 0
    tl0_at = np.where(with_tl0, at, NONE)
    tl0 = np.where(with_tl0, octets[index, at], NONE)
    at = at + with_tl0 + (flags & 0x30 > 0)
    whole = at < sizes
    keyframe = whole & (octets[:, 0] & 0x1F == 0x10) & (octets[index, at] & 1 == 0)
    lost = ~whole
    picture[lost] = tl0[lost] = picture_at[lost] = tl0_at[lost] = NONE
    return Vp8Heads(picture, tl0, keyframe, picture_at, wide & whole, tl0_at)


def write_vp8(payloads: NDArray[np.uint8], heads: Vp8Heads, outgoing: Outgoing) -> None:
    """Put the numbers of (m,) outgoing packets into (m, size) copies of their payloads, where they have any."""
    packet = outgoing.packet
    at = heads.picture_at[packet]
    wide = ((at >= 0) & heads.wide[packet]).nonzero()[0]
    payloads[wide, at[wide]] = 0x80 | outgoing.picture[wide] >> 8
    payloads[wide, at[wide] + 1] = outgoing.picture[wide] & 0xFF
    narrow = ((at >= 0) & ~heads.wide[packet]).nonzero()[0]
    payloads[narrow, at[narrow]] = outgoing.picture[narrow] & 0x7F
    at = heads.tl0_at[packet]
    there = (at >= 0).nonzero()[0]
    payloads[there, at[there]] = outgoing.tl0[there] & 0xFF
