"""What was sent lately, to be sent again when a NACK asks for it (RFC 4585 §6.2.1), by RTX (RFC 4588) or as it was.

The payloads of an encoding are kept once for all who receive it (:class:`SentPackets`). Of a receiver only this is
kept: which numbers its packets had, as a few spans in which numbers and the encoding's own count go side by side
(:class:`SendHistory`). So memory does not grow with what is sent to many.
"""

from __future__ import annotations

from collections.abc import Callable, Iterable, Sequence
from dataclasses import dataclass
from typing import Final, TypeAlias

import numpy as np
from numpy.typing import NDArray

from ..wire import I32
from .payload import PayloadError

CAPACITY: Final = 1024
"""Packets of an encoding kept: 3 s of 3 Mbit/s, far more than a NACK can be late."""
SPANS: Final = 4
"""Times that a receiver's encoding may change, or frames be left out, until what it got before is forgotten."""
RECENT: Final = 64
"""Packets sent again lately that a receiver's row remembers."""
SHARE: Final = 0.25
"""Of a receiver's bit rate, that may be spent on sending again: above this loss, repairs are what fills the path."""

Rows: TypeAlias = NDArray[np.intp]
I64: TypeAlias = NDArray[np.int64]


@dataclass(frozen=True, slots=True)
class Sent:
    payload: bytes
    timestamp: int
    """RTP timestamp on the encoding's clock."""
    marker: bool
    at: float
    """When, monotonic seconds."""
    kind: int = 0
    """Of its format, where a stream has several."""


class SentPackets:
    """The latest packets of one encoding, counted from 0."""

    def __init__(self, capacity: int = CAPACITY) -> None:
        self.capacity = capacity
        self.next = 0
        """The next packet's number."""
        self._payloads: list[bytes] = [b""] * capacity
        self._frames: list[tuple[int, int, float]] = [(0, -1, 0.0)] * capacity

    def add(self, payloads: Sequence[bytes], timestamp: int, now: float) -> int:
        """Keep a frame's payloads; returns the number of its first packet.

        Of a frame of more packets than are kept, the last ones are.
        """
        first = self.next
        self.next += len(payloads)
        frame = timestamp & 0xFFFFFFFF, self.next - 1, now
        for number, payload in enumerate(payloads, first):
            slot = number % self.capacity
            self._payloads[slot] = payload
            self._frames[slot] = frame
        return first

    def get(self, number: int) -> Sent | None:
        """A packet, if it is still kept."""
        if not max(0, self.next - self.capacity) <= number < self.next:
            return None
        slot = number % self.capacity
        timestamp, last, at = self._frames[slot]
        return Sent(self._payloads[slot], timestamp, number == last, at)


@dataclass(frozen=True, slots=True)
class Again:
    """A packet to send again."""

    rtx: bool
    """By RTX: with its SSRC and payload type (RFC 4588 §4)."""
    sequence: int
    """Of the stream that it goes in."""
    timestamp: int
    """As it was first sent to this receiver."""
    marker: bool
    payload: bytes
    kind: int = 0
    """As in :class:`Sent`."""


class SendHistory:
    """Sequence numbers of many receivers, a row each, and which packet each number was."""

    def __init__(self, rows: int) -> None:
        self.next: I64 = np.zeros(rows, np.int64)
        """(rows,) extended sequence number of the next packet."""
        self.offset: NDArray[np.uint32] = np.zeros(rows, np.uint32)
        """(rows,) what is added to the encoding's RTP timestamp."""
        self.rtx_next: I64 = np.full(rows, -1, np.int64)
        """(rows,) next sequence number of the RTX stream; -1: RTX was not negotiated."""
        self.refused = 0
        """Packets asked for and not sent again: forgotten, asked for too often, or above the rate."""
        self._encodings: dict[int, SentPackets] = {}
        self._span: Rows = np.zeros(rows, np.intp)
        self._starts: I64 = np.full((rows, SPANS), -1, np.int64)
        self._firsts: I64 = np.zeros((rows, SPANS), np.int64)
        self._which: I64 = np.full((rows, SPANS), -1, np.int64)
        self._recent: I64 = np.full((rows, RECENT), -1, np.int64)
        self._recent_at = np.zeros((rows, RECENT))
        self._recent_next: Rows = np.zeros(rows, np.intp)
        self._rate = np.full(rows, SHARE * 1e6 / 8)
        self._tokens = self._rate.copy()
        self._filled = np.zeros(rows)

    def open(self, row: int, *, sequence: int, offset: int, rtx: int | None = None) -> None:
        """A receiver takes this row.

        Args:
            sequence, offset, rtx: random beginnings (RFC 3550 §5.1); ``rtx`` is None where it was not negotiated.
        """
        # One turn of the count is added, so that numbers before the first stay above -1.
        self.next[row] = 0x10000 + (sequence & 0xFFFF)
        self.offset[row] = offset & 0xFFFFFFFF
        self.rtx_next[row] = -1 if rtx is None else rtx & 0xFFFF
        self._starts[row] = -1
        self._which[row] = -1
        self._recent[row] = -1
        self._tokens[row] = self._rate[row]

    def limit(self, rows: Rows, bits: NDArray[np.float64] | float) -> None:
        """Set what bit rate these receivers are sent; :data:`SHARE` of it may go into sending again."""
        self._rate[rows] = SHARE * np.asarray(bits) / 8

    def encoding(self, number: int, packets: SentPackets | None) -> None:
        """An encoding begins, or (None) ends: its packets are forgotten. Numbers are not used twice."""
        if packets is None:
            self._encodings.pop(number, None)
        else:
            self._encodings[number] = packets

    def advance(self, rows: Rows, encoding: int, first: int, count: int) -> I32:
        """Number packets ``first`` to ``first + count - 1`` of an encoding for these receivers, none named twice.

        Returns:
            (rows, count) sequence numbers of 16 bits; a row's go on from its last one, whatever it was sent before.
        """
        begin = self.next[rows]
        at = self._span[rows]
        starts = self._starts[rows, at]
        steady = (starts >= 0) & (self._which[rows, at] == encoding)
        steady &= self._firsts[rows, at] + (begin - starts) == first
        if not steady.all():
            fresh = rows[~steady]
            at = (self._span[fresh] + 1) % SPANS
            self._span[fresh] = at
            self._starts[fresh, at] = begin[~steady]
            self._firsts[fresh, at] = first
            self._which[fresh, at] = encoding
        self.next[rows] = begin + count
        return ((begin[:, None] + np.arange(count)) & 0xFFFF).astype(np.int32)

    def answer(
        self,
        row: int,
        sequences: Iterable[int],
        now: float,
        round_trip: float = 0.1,
        find: Callable[[int], Sent | None] | None = None,
    ) -> list[Again]:
        """What a receiver's NACK brings it: each packet once a round trip, all together within its rate.

        Args:
            find: what was sent under an extended number, where it is not of an encoding.
        """
        rate = float(self._rate[row])
        tokens = min(float(self._tokens[row]) + rate * (now - float(self._filled[row])), rate)
        found: list[Again] = []
        latest = int(self.next[row]) - 1
        spans = sorted(
            zip(self._starts[row].tolist(), self._firsts[row].tolist(), self._which[row].tolist(), strict=True)
        )
        recent = self._recent[row].tolist()
        times = self._recent_at[row].tolist()
        for sequence in sequences:
            number = latest - ((latest - sequence) & 0xFFFF)
            sent = find(number) if find else self._find(spans, number)
            again = number in recent and now - times[recent.index(number)] < round_trip
            if sent is None or again or len(sent.payload) > tokens:
                self.refused += 1
                continue
            tokens -= len(sent.payload)
            slot = recent.index(number) if number in recent else int(self._recent_next[row])
            if recent[slot] != number:
                self._recent_next[row] = (slot + 1) % RECENT
            recent[slot], times[slot] = number, now
            found.append(self._again(row, sequence, sent))
        self._recent[row], self._recent_at[row] = recent, times
        self._tokens[row], self._filled[row] = tokens, now
        return found

    def _find(self, spans: list[tuple[int, int, int]], number: int) -> Sent | None:
        for start, first, which in reversed(spans):
            if 0 <= start <= number:
                packets = self._encodings.get(which)
                return packets.get(first + number - start) if packets else None
        return None

    def _again(self, row: int, sequence: int, sent: Sent) -> Again:
        timestamp = (sent.timestamp + int(self.offset[row])) & 0xFFFFFFFF
        rtx = int(self.rtx_next[row])
        if rtx < 0:
            return Again(False, sequence & 0xFFFF, timestamp, sent.marker, sent.payload, sent.kind)
        self.rtx_next[row] = (rtx + 1) & 0xFFFF
        return Again(True, rtx, timestamp, sent.marker, wrap_rtx(sequence, sent.payload), sent.kind)


def wrap_rtx(sequence: int, payload: bytes) -> bytes:
    """The payload of a retransmission: the original sequence number goes before it (RFC 4588 §4)."""
    return (sequence & 0xFFFF).to_bytes(2, "big") + payload


def unwrap_rtx(payload: bytes) -> tuple[int, bytes]:
    """The original sequence number and payload of a retransmission.

    Raises:
        PayloadError: it is too short; an empty one is padding, which senders probe with.
    """
    if len(payload) < 2:
        raise PayloadError("a retransmission without a sequence number")
    return payload[0] << 8 | payload[1], payload[2:]
