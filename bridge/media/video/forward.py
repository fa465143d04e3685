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
    """16 bits, or a longer count that never gives two packets of one source the same number."""
    timestamp: I64
    keyframe: Flags
    """A keyframe begins with it."""
    picture: I64
    """VP8's or VP9's PictureID, -1: none."""
    tl0: I64
    """Their TL0PICIDX, -1: none."""

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


@dataclass(frozen=True, slots=True)
class Origin:
    """What an output was sent under some number."""

    source: int
    sequence: int
    """As it came in, in the count in which it was given."""
    stamp_shift: int
    """What was added to its timestamp, likewise to the next two."""
    picture_shift: int
    tl0_shift: int


class Forwarder:
    """Outputs and what each is sent."""

    def __init__(self, outputs: int) -> None:
        def column() -> I64:
            return np.zeros(outputs, np.int64)

        self.source: I64 = np.full(outputs, NONE, np.int64)
        """What each output is sent, -1: nothing yet."""
        self.wanted: I64 = np.full(outputs, NONE, np.int64)
        """What it is to be sent."""
        self.next = column()
        """Extended sequence number after the highest sent, a turn up."""
        self._begin = column()
        """Extended incoming number with which the source began; what came before is another's place."""
        self._high = column()
        self._shift = column()
        """What is added to incoming numbers."""
        self.stamp = column()
        """Timestamp of the furthest packet sent."""
        self._stamp_shift = column()
        self._picture, self._picture_shift = column(), column()
        self._tl0, self._tl0_shift = column(), column()
        self._when: NDArray[np.float64] = np.full(outputs, -np.inf)
        """When each was last sent something."""
        self._span = column()
        self._spans: I64 = np.full((outputs, SPANS, 6), NONE, np.int64)
        """First number sent, what was added, source, what was added to timestamps, pictures, TL0PICIDXs."""
        self._order: NDArray[np.intp] | None = None
        """Outputs by source, as long as none changes."""
        self._sorted = column()

    def open(self, output: int, *, sequence: int, timestamp: int, picture: int = 0, tl0: int = 0) -> None:
        """An output begins with these numbers: random ones (RFC 3550 §5.1)."""
        self.close(output)
        self.next[output] = 0x10000 + (sequence & 0xFFFF)
        self.stamp[output] = timestamp & 0xFFFFFFFF
        self._picture[output], self._tl0[output] = (picture - 1) & 0x7FFF, (tl0 - 1) & 0xFF
        self._when[output] = -np.inf
        self._spans[output] = NONE

    def close(self, output: int) -> None:
        self.source[output] = self.wanted[output] = NONE
        self._order = None

    def watch(self, output: int, source: int) -> None:
        """Send it another source from its next keyframe on; until then it goes on with what it has. -1: nothing, at
        once."""
        self.wanted[output] = source
        if source == NONE:
            self.source[output] = NONE
            self._order = None

    def renew(self, output: int) -> None:
        """It is sent what it wants from the next keyframe on, and what it was sent is not known any more: payload types
        have changed, and no number may be sent with two headers (RFC 7714 §8.1)."""
        self.source[output] = NONE
        self._spans[output] = NONE
        self._order = None

    def restart(self, source: int) -> None:
        """It counts anew: whoever is sent it goes on with its next keyframe."""
        self.source[self.source == source] = NONE
        self._order = None

    def waiting(self) -> I64:
        """Sources of which somebody waits for a keyframe."""
        return np.unique(self.wanted[(self.wanted != self.source) & (self.wanted != NONE)])

    def forward(self, packets: Incoming, now: float) -> Outgoing:
        """What each packet becomes for each output that is sent its source."""
        starts = (packets.keyframe & np.isin(packets.source, self.waiting())).nonzero()[0]
        _, first = np.unique(packets.source[starts], return_index=True)  # however many a sender puts into a batch
        parts, begin = [], 0
        for at in np.sort(starts[first]).tolist():  # changes of source are rare
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
        self._shift[rows] = self.next[rows] - sequence
        passed = np.where(np.isfinite(self._when[rows]), now - self._when[rows], 0.0)
        step = np.where(
            np.isfinite(self._when[rows]), np.maximum(np.minimum(passed, LONGEST) * CLOCK, 1.0), 0.0
        ).astype(np.int64)
        self._stamp_shift[rows] = self.stamp[rows] + step - packet.timestamp[0]
        self.stamp[rows] += step
        self._picture_shift[rows] = self._picture[rows] + 1 - max(int(packet.picture[0]), 0)
        self._tl0_shift[rows] = self._tl0[rows] + 1 - max(int(packet.tl0[0]), 0)
        at = self._span[rows] = (self._span[rows] + 1) % SPANS
        shifts = (self._stamp_shift, self._picture_shift, self._tl0_shift)
        self._spans[rows, at, 0] = self.next[rows]
        self._spans[rows, at, 1] = self._shift[rows]
        self._spans[rows, at, 2] = source
        for n, shift in enumerate(shifts, 3):
            self._spans[rows, at, n] = shift[rows]
        self._order = None

    def _pass(self, packets: Incoming, first: int, now: float) -> Outgoing:
        """Packets to outputs, none of which changes its source meanwhile."""
        if self._order is None:
            self._order = np.argsort(self.source, kind="stable")
            self._sorted = self.source[self._order]
        order = self._order
        left = np.searchsorted(self._sorted, packets.source, "left")
        counts = np.searchsorted(self._sorted, packets.source, "right") - left
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
        np.maximum.at(self.next, output, number + 1)
        stamp = (packets.timestamp[packet] + self._stamp_shift[output]) & 0xFFFFFFFF
        self._latest(self.stamp, output, stamp, 32)
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
        moved = far.nonzero()[0]
        last[moved] = (last[moved] + far[moved]) % whole

    def origin(self, output: int, sequence: int) -> tuple[int, int] | None:
        """Source and incoming sequence number, of 16 bits, of what an output was sent; None: it was sent nothing under
        that."""
        found = self.trace(output, sequence)
        return None if found is None else (found.source, found.sequence & 0xFFFF)

    def trace(self, output: int, sequence: int) -> Origin | None:
        """Likewise, with all that was changed in it."""
        last = int(self.next[output]) - 1
        number = last - ((last - sequence) & 0xFFFF)
        found = [span for span in self._spans[output].tolist() if NONE < span[0] <= number]
        if not found or number < 0:
            return None
        _, shift, source, stamp, picture, tl0 = max(found)
        return Origin(source, number - shift - 0x10000, stamp, picture, tl0)


# ------------------------------------------------------------------------------------------------- payloads


@dataclass(frozen=True, slots=True)
class PayloadHeads:
    """What the beginnings of many payloads say (VP8: RFC 7741 §4.2, VP9: RFC 9628 §4.2); (n,) arrays."""

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

    @classmethod
    def none(cls, n: int) -> PayloadHeads:
        def nowhere() -> I64:
            return np.full(n, NONE, np.int64)

        return cls(nowhere(), nowhere(), np.zeros(n, np.bool_), nowhere(), np.zeros(n, np.bool_), nowhere())

    def put(self, at: NDArray[np.intp], part: PayloadHeads) -> None:
        """Say of the packets ``at`` what ``part`` says."""
        for each in fields(self):
            getattr(self, each.name)[at] = getattr(part, each.name)


def read_vp8(payloads: NDArray[np.uint8], sizes: I64) -> PayloadHeads:
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
    return PayloadHeads(picture, tl0, keyframe, picture_at, wide & whole, tl0_at)


def read_vp9(payloads: NDArray[np.uint8], sizes: I64) -> PayloadHeads:
    """Likewise of VP9; a keyframe begins with the first packet of its lowest spatial layer."""
    octets = payloads.astype(np.int64)
    index = np.arange(len(octets))
    first = octets[:, 0]
    with_picture = first & 0x80 > 0
    picture_at = np.where(with_picture, 1, NONE)
    wide = with_picture & (octets[:, 1] & 0x80 > 0)
    value = octets[:, 1] & 0x7F
    picture = np.where(with_picture, np.where(wide, value << 8 | octets[:, 2], value), NONE)
    at = 1 + np.where(with_picture, np.where(wide, 2, 1), 0)
    layered = first & 0x20 > 0
    lowest = ~layered | (octets[index, at] >> 1 & 7 == 0)
    with_tl0 = layered & (first & 0x10 == 0)
    tl0_at = np.where(with_tl0, at + 1, NONE)
    tl0 = np.where(with_tl0, octets[index, at + 1], NONE)
    lost = at + layered + with_tl0 >= sizes
    keyframe = ~lost & (first & 0x48 == 0x08) & lowest
    picture[lost] = tl0[lost] = picture_at[lost] = tl0_at[lost] = NONE
    return PayloadHeads(picture, tl0, keyframe, picture_at, wide & ~lost, tl0_at)


def read_h264(payloads: NDArray[np.uint8], sizes: I64) -> PayloadHeads:
    """Of H.264 (RFC 6184 §5.2): a keyframe begins with a sequence parameter set, or with an IDR slice whose first
    macroblock is 0 (one bit that is set, H.264 §7.3.3): who has the set from SDP repeats none."""
    found = PayloadHeads.none(len(payloads))
    octets = payloads.astype(np.int64)
    index, at = np.arange(len(octets)), np.zeros(len(octets), np.int64)
    kind = octets[:, 0] & 31
    gathered, cut = kind == 24, kind == 28
    at[gathered] = 3  # STAP-A: its first unit, or the one after a delimiter or SEI
    second = 5 + (octets[:, 1] << 8 | octets[:, 2])
    behind = gathered & np.isin(octets[:, 3] & 31, (6, 9)) & (second < octets.shape[1] - 1)
    at[behind] = second[behind]
    kind = np.where(gathered, octets[index, at] & 31, kind)
    kind = np.where(cut, np.where(octets[:, 1] & 0x80 > 0, octets[:, 1] & 31, 0), kind)  # FU-A that starts one
    first = octets[index, np.where(cut, 2, at + 1)] & 0x80 > 0
    found.keyframe[:] = ((kind == 7) | ((kind == 5) & first)) & (sizes > at + 1 + cut)
    return found


def read_h265(payloads: NDArray[np.uint8], sizes: I64) -> PayloadHeads:
    """Of H.265 (RFC 7798 §4.4): parameter sets, or a picture of random access."""
    found = PayloadHeads.none(len(payloads))
    octets = payloads.astype(np.int64)
    kind = octets[:, 0] >> 1 & 63
    gathered, cut = kind == 48, kind == 49
    at = np.where(gathered, 6, np.where(cut, 3, 2))
    kind = np.where(gathered, octets[:, 4] >> 1 & 63, kind)
    kind = np.where(cut, np.where(octets[:, 2] & 0x80 > 0, octets[:, 2] & 63, 0), kind)
    first = octets[np.arange(len(octets)), at] & 0x80 > 0  # first_slice_segment_in_pic_flag (H.265 §7.3.6.1)
    random_access = (kind >= 16) & (kind <= 21) & first
    found.keyframe[:] = (random_access | (kind == 32) | (kind == 33)) & (sizes > at)
    return found


def write_numbers(payloads: NDArray[np.uint8], heads: PayloadHeads, outgoing: Outgoing) -> None:
    """Put the numbers of (m,) outgoing packets of VP8 or VP9 into (m, size) copies of their payloads, where they have
    any."""
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
