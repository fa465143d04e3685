"""Others' packets sent on to tiles: numbered anew in arrays, kept for a while, sent again when NACKs ask.

Every encoding that comes in has a number of its own, :func:`source_of`; every tile's output is its row.
"""

from __future__ import annotations

from collections.abc import Iterable
from typing import TYPE_CHECKING, Final, TypeAlias

import numpy as np
from numpy.typing import NDArray

from bridge.media.video import feedback
from bridge.media.video.feedback import Nack
from bridge.media.video.forward import (
    NONE,
    Forwarder,
    Incoming,
    Outgoing,
    PayloadHeads,
    read_h264,
    read_h265,
    read_vp8,
    read_vp9,
    write_numbers,
)
from bridge.media.video.history import Sent
from bridge.media.video.keyframe_limiter import KeyframeLimiter
from bridge.media.wire import PacketPool

from ..intake import Packets
from ..protocol_video import SetTile, SetVideoStream, VideoFormat
from .fanout import MOST_PAYLOAD, Copies, ticks
from .table import RTX

if TYPE_CHECKING:
    from .beat import VideoBeat

Rows: TypeAlias = NDArray[np.intp]
I64: TypeAlias = NDArray[np.int64]

LAYERS: Final = 8
"""Encodings of one picture that can be forwarded."""
HEAD: Final = 16
"""Octets of a payload that are read in arrays."""
DESCRIPTOR: Final = 5
"""Octets of a payload that may be changed."""
KEPT: Final = 1024
"""Packets of a source kept: as many as of an encoding of ours."""
RESTART: Final = 1000
"""Numbers further apart than this are another count, and packets older than this are not taken (RFC 3550 A.1 has 3000
and 100): a receiver's SRTP must not be led astray by a leap (RFC 3711 §3.3.1)."""
ASK_AGAIN: Final = 0.5
"""Seconds between two requests for one keyframe; two round trips if that is longer (RFC 5104 §4.3.1.2)."""
MISSING: Final = 256
"""Packets of one source that were asked for and are remembered."""
NACK_AGAIN: Final = 0.05
"""Seconds between two NACKs for one packet at least: a round trip is not known at first."""
MOST_OCTETS: Final = 1_000_000
MOST_PACKETS: Final = 1000
"""Of one source, that are sent on a second, and at once: four times what we ask for. Each of them is sent to all who
see it, so nobody may send what he likes."""
NOT_TAKEN: Final = 255

MOST_KINDS: Final = 16
PROFILES: Final = ("42", "4d", "64")
"""Of H.264 by the first octet of profile-level-id (RFC 6184 §8.1): baseline, main, high. Others count as one more."""
READERS: Final = ((1, 2, read_vp8), (2, 6, read_vp9), (6, 7, read_h265), (8, MOST_KINDS, read_h264))
"""By kind, from the first to before the second."""


def source_of(row: int, layer: int = 0) -> int:
    """The number of what comes in: of a stream's row, and of its layer."""
    return row * LAYERS + layer


def kind_of(format_: VideoFormat) -> int:
    """What must be alike for one's packets to be another's: a codec, with what its packets depend on. 0: a format that
    can't be forwarded."""
    parameters = format_.parameters
    match format_.name:
        case "VP8":
            return 1
        case "VP9":
            profile = parameters.get("profile-id", "0")
            return 2 + int(profile) if profile in ("0", "1", "2", "3") else 0
        case "H265":
            return 6
        case "H264":
            mode = parameters.get("packetization-mode", "0")
            profile = parameters.get("profile-level-id", "42")[:2].lower()
            of = PROFILES.index(profile) + 1 if profile in PROFILES else 0
            return 8 + 4 * (mode == "1") + of if mode in ("0", "1") else 0
        case _:
            return 0


def taker(kind: int, formats: Iterable[VideoFormat]) -> VideoFormat | None:
    """The format in which a receiver takes a sender's packets: H.264 of mode 0 is good for who takes mode 1 (RFC 6184
    §8.2.2), and of any profile, though its own is the better."""
    found: list[tuple[tuple[bool, bool], VideoFormat]] = []
    for each in formats:
        theirs = kind_of(each)
        if theirs == kind:
            return each
        if theirs >= 8 and kind >= 8 and (theirs - 8) // 4 >= (kind - 8) // 4:
            found.append((((theirs - kind) % 4 == 0, (theirs - 8) // 4 == (kind - 8) // 4), each))
    return max(found, key=lambda each: each[0])[1] if found else None


class Ring:
    """What came lately of one source."""

    __slots__ = ("asked_at", "filled", "high", "limiter", "missing", "octets", "packets", "rest", "ssrc", "stray")

    def __init__(self) -> None:
        self.ssrc = 0
        self.high = 0
        """The highest number, counted on so that none comes twice."""
        self.packets: list[tuple[int, bytes, int, bool, int, float] | None] = [None] * KEPT
        """Number, payload, timestamp, marker, kind, when."""
        self.missing: dict[int, float] = {}
        """When its sender was asked for a packet again."""
        self.limiter = KeyframeLimiter()
        self.asked_at = float("-inf")
        self.octets, self.rest, self.filled = float(MOST_OCTETS), float(MOST_PACKETS), float("-inf")
        """What may be sent on at once, octets and packets; when that was."""
        self.stray = -1
        """What would follow the packet that did not fit; two in a row are another count (RFC 3550 A.1)."""

    def number(self, ssrc: int, sequence: int, *, again: bool) -> tuple[int, bool]:
        """The number of a packet, -1: it is not to be taken; and whether it is of another count than the last ones.

        Args:
            again: it is a retransmission, which begins no count.
        """
        number = self.high + ((sequence - self.high + 0x8000) & 0xFFFF) - 0x8000
        anew = not again and self.ssrc != ssrc
        if not anew and abs(number - self.high) > RESTART:
            anew = not again and self.stray == sequence
            self.stray = (sequence + 1) & 0xFFFF
            if not anew:
                return -1, False
        if anew:
            self.ssrc, self.stray = ssrc, -1
            self.high = number = (self.high // 0x10000 + 2) * 0x10000 + sequence
            self.missing.clear()
        known = self.packets[number % KEPT]
        if known is not None and known[0] == number:  # SRTP takes no number for two packets (RFC 3711 §9.1)
            return -1, False
        self.high = max(self.high, number)
        return number, anew

    def allows(self, size: int, now: float) -> bool:
        """Whether another packet is within the bounds."""
        passed = min(now - self.filled, 1.0)
        if passed > 0:
            self.octets = min(self.octets + passed * MOST_OCTETS, MOST_OCTETS)
            self.rest, self.filled = min(self.rest + passed * MOST_PACKETS, MOST_PACKETS), now
        if self.octets < size or self.rest < 1:
            return False
        self.octets, self.rest = self.octets - size, self.rest - 1
        return True

    def get(self, number: int) -> tuple[int, bytes, int, bool, int, float] | None:
        found = self.packets[number % KEPT]
        return found if found is not None and found[0] == number else None


class Forwarding:
    """The packets' way from senders to tiles."""

    def __init__(self, beat: VideoBeat, pool: PacketPool, rows: int) -> None:
        self._beat, self._pool = beat, pool
        self.forwarder = Forwarder(rows)
        self.rings: dict[int, Ring] = {}
        """Of sources that some tile shows or is to show."""
        self._used: NDArray[np.bool_] = np.zeros(rows * LAYERS, np.bool_)
        """Likewise."""
        self.kind: NDArray[np.uint8] = np.zeros(rows * LAYERS, np.uint8)
        """Of what it sent last."""
        self._counts: dict[int, int] = {}
        """Where the count of a source stood that is no longer forwarded."""
        self._kinds: NDArray[np.uint8] = np.zeros((rows, RTX), np.uint8)
        """(rows, formats) of what each may send."""
        self.types: NDArray[np.uint8] = np.full((rows, MOST_KINDS), NOT_TAKEN, np.uint8)
        """(rows, kinds) payload types that a tile's receiver takes each in."""
        self._again: NDArray[np.uint8] = np.zeros((rows, MOST_KINDS), np.uint8)
        """Likewise of retransmissions."""
        self.packets = 0
        """Sent on, so far."""
        self.refused = 0
        """Packets above what may be sent on of one source."""
        self.turned = False
        """Some tile may show something else than before."""

    # ------------------------------------------------------------------------------------- who

    def describe_sender(self, row: int, spec: SetVideoStream) -> None:
        self._kinds[row] = 0
        for n, each in enumerate(spec.receive, 1):
            self._kinds[row, n] = kind_of(each)
        if not spec.receive:
            self.forget(row)

    def kinds_of(self, row: int) -> set[int]:
        """What a sender may send."""
        return set(self._kinds[row].tolist()) - {0}

    def open(self, row: int, tile: SetTile, *, fresh: bool) -> None:
        """A tile is described."""
        table, before = self._beat.table, self.types[row].copy()
        self.types[row], self._again[row] = NOT_TAKEN, 0
        for kind in range(1, MOST_KINDS):
            found = taker(kind, tile.formats)
            if found is not None:
                self.types[row, kind], self._again[row, kind] = found.payload_type, found.rtx_type
        if fresh:
            draw = self._beat.draw
            self.forwarder.open(
                row,
                sequence=int(table.sequence[row]),
                timestamp=int(table.timestamp[row]),
                picture=draw(1 << 15),
                tl0=draw(1 << 8),
            )
        elif (before != self.types[row]).any():
            self.forwarder.renew(row)

    def close(self, row: int) -> None:
        """A tile is gone."""
        self.forwarder.close(row)
        self.types[row] = NOT_TAKEN

    def forget(self, row: int) -> None:
        """A sender is gone, or sends no more."""
        first, last = source_of(row), source_of(row + 1)
        for column in (self.forwarder.wanted, self.forwarder.source):
            for output in ((column >= first) & (column < last)).nonzero()[0].tolist():
                self.forwarder.watch(output, NONE)
        self.kind[first:last] = 0

    def settle(self) -> None:
        """Keep what is shown, or is to be, and nothing else."""
        used = set(np.unique(self.forwarder.wanted).tolist()) | set(np.unique(self.forwarder.source).tolist())
        for source in [source for source in self.rings if source not in used]:
            self._counts[source] = self.rings.pop(source).high
        self._used[:] = False
        self._used[[source for source in used if source != NONE]] = True
        forwarded = self._beat.table.forwarded
        before = forwarded.copy()
        forwarded[:] = False
        forwarded[[source // LAYERS for source in used if source != NONE]] = True
        for row in (before != forwarded).nonzero()[0].tolist():
            self._beat.congestion.renew(row)

    # ------------------------------------------------------------------------------------- packets

    def take(self, packets: Packets, layers: I64, now: float) -> None:
        """Send on what tiles show.

        Args:
            layers: (n,) of each packet the layer that it is of, 0 where there are none; -1: unknown.
        """
        table, headers = self._beat.table, packets.headers
        known = table.forwarded[packets.rows] & (layers >= 0) & (layers < LAYERS)
        at = (known & self._used[packets.rows * LAYERS + np.where(known, layers, 0)]).nonzero()[0]
        if not at.size:
            return
        rows, again = packets.rows[at], packets.kinds[at] >= RTX
        sources = rows * LAYERS + layers[at]
        begins = self._pool.addresses(packets.slots[at]).astype(np.int64) - self._pool.base + headers.offset[at]
        sizes, sequences = headers.size[at].astype(np.int64), headers.sequence[at].astype(np.int64)
        if again.any():  # the original number, then the original payload (RFC 4588 §4)
            numbers = self._pool.flat[begins].astype(np.int64) << 8 | self._pool.flat[begins + 1]
            sequences = np.where(again, numbers, sequences)
            begins, sizes = begins + 2 * again, sizes - 2 * again
        kinds = self._kinds[rows, packets.kinds[at] - RTX * again]
        self.kind[sources[~again]] = kinds[~again]
        numbers = self._keep(packets, at, sources, sequences, begins, sizes, kinds, again, now)
        good = (numbers >= 0).nonzero()[0]
        if good.size:
            whole = (sources[good], numbers[good], begins[good], sizes[good], kinds[good])
            self._forward(*whole, headers.timestamp[at[good]], headers.marker[at[good]], now)

    def _keep(
        self,
        packets: Packets,
        at: Rows,
        sources: I64,
        sequences: I64,
        begins: I64,
        sizes: I64,
        kinds: NDArray[np.uint8],
        again: NDArray[np.bool_],
        now: float,
    ) -> I64:
        """Count each, and keep it for NACKs; (n,) numbers, -1 for what is not to be sent on. One by one: senders'
        packets, however many receive them."""
        headers, flat = packets.headers, self._pool.flat
        found = np.full(len(at), NONE, np.int64)
        columns = (
            sources,
            sequences,
            begins,
            sizes,
            kinds,
            again,
            headers.ssrc[at],
            headers.timestamp[at],
            headers.marker[at],
        )
        for n, (source, sequence, begin, size, kind, repeated, ssrc, timestamp, marker) in enumerate(
            zip(*(column.tolist() for column in columns), strict=True)
        ):
            if not 0 <= size <= MOST_PAYLOAD or not kind:
                continue
            ring = self.rings.get(source)
            if ring is None:
                if repeated:
                    continue
                ring = self.rings[source] = Ring()
                ring.high = self._counts.pop(source, 0)
            if not ring.allows(size, now):
                self.refused += 1
                continue
            number, anew = ring.number(ssrc, sequence, again=repeated)
            if anew:
                self.forwarder.restart(source)
                self.turned = True
            if number >= 0:
                payload = flat[begin : begin + size].tobytes()
                ring.packets[number % KEPT] = (number, payload, timestamp, marker, kind, now)
                found[n] = number
        return found

    def _forward(
        self,
        sources: I64,
        numbers: I64,
        begins: I64,
        sizes: I64,
        kinds: NDArray[np.uint8],
        timestamps: NDArray[np.uint32],
        markers: NDArray[np.bool_],
        now: float,
    ) -> None:
        firsts = self._pool.flat[begins[:, None] + np.arange(HEAD)]
        firsts[np.arange(HEAD) >= sizes[:, None]] = 0
        heads = read_heads(firsts, sizes, kinds)
        for source in set(sources[heads.keyframe].tolist()):
            self.rings[source].limiter.sent(now)
            self.turned = True
        out = self.forwarder.forward(
            Incoming(sources, numbers, timestamps.astype(np.int64), heads.keyframe, heads.picture, heads.tl0), now
        )
        if not out.packet.size:
            return
        history, outputs = self._beat.fanout.history, out.output
        history.next[outputs] = self.forwarder.next[outputs]
        history.offset[outputs] = ((self.forwarder.stamp[outputs] - ticks(now)) & 0xFFFFFFFF).astype(np.uint32)
        types = self.types[outputs, kinds[out.packet]]
        taken = (types != NOT_TAKEN).nonzero()[0]
        if taken.size < len(types):
            out = Outgoing(*(getattr(out, name)[taken] for name in out.__slots__))
            types = types[taken]
        descriptors = firsts[out.packet, :DESCRIPTOR]
        write_numbers(descriptors, heads, out)
        self.packets += len(types)
        self._beat.fanout.forward(
            Copies(
                rows=out.output.astype(np.intp),
                types=types,
                markers=markers[out.packet],
                sequences=out.sequence.astype(np.int32),
                stamps=out.timestamp.astype(np.uint32),
                sizes=sizes[out.packet],
                descriptors=descriptors,
                packets=out.packet.astype(np.intp),
                memory=self._pool.flat,
                begins=begins,
            ),
            now,
        )

    # ------------------------------------------------------------------------------------- feedback

    def repeat(self, row: int, sequences: Iterable[int], now: float, round_trip: float) -> None:
        """Answer a NACK from what is kept; what never came is asked for where it comes from."""
        missing: dict[int, list[int]] = {}

        def find(number: int) -> Sent | None:
            origin = self.forwarder.trace(row, number & 0xFFFF)
            ring = self.rings.get(origin.source) if origin else None
            if origin is None or ring is None:
                return None
            found = ring.get(origin.sequence)
            if found is None:
                if 0 <= ring.high - origin.sequence < RESTART:
                    missing.setdefault(origin.source, []).append(origin.sequence)
                return None
            _, payload, timestamp, marker, kind, at = found
            first = np.zeros((1, HEAD), np.uint8)
            first[0, : len(payload)] = np.frombuffer(payload[:HEAD], np.uint8)
            heads = read_heads(first, np.array([len(payload)], np.int64), np.array([kind], np.uint8))
            picture, tl0 = (heads.picture + origin.picture_shift) & 0x7FFF, (heads.tl0 + origin.tl0_shift) & 0xFF
            zero = np.zeros(1, np.int64)
            write_numbers(first, heads, Outgoing(zero, zero, zero, zero, picture, tl0))
            payload = (first[0].tobytes() + payload[HEAD:])[: len(payload)]
            stamp = timestamp + origin.stamp_shift - int(self._beat.fanout.history.offset[row])  # it is added there
            return Sent(payload, stamp, marker, at, kind)

        again = self._beat.fanout.history.answer(row, sequences, now, round_trip or 0.1, find)
        self._beat.fanout.resend(
            row, again, lambda each: int((self._again if each.rtx else self.types)[row, each.kind]), now
        )
        for source, numbers in missing.items():
            self._ask_again(source, numbers, now)

    def _ask_again(self, source: int, numbers: list[int], now: float) -> None:
        """Many receivers miss what one sender's packet lost; he is asked once a round trip."""
        table, ring, row = self._beat.table, self.rings[source], source // LAYERS
        if not table.specs[int(table.stream[row])].nack:
            return
        apart = max(float(self._beat.reporter.round_trip[row]), NACK_AGAIN)
        due = [number for number in numbers if now - ring.missing.get(number, float("-inf")) >= apart]
        for number in due:
            ring.missing.pop(number, None)
            ring.missing[number] = now
        while len(ring.missing) > MISSING:
            del ring.missing[next(iter(ring.missing))]
        if due:
            asked = Nack(int(table.ssrc[row]), ring.ssrc, tuple(number & 0xFFFF for number in due[:MISSING]))
            self._beat.reporter.send_one(row, [feedback.write(asked)])

    def refresh(self, row: int) -> None:
        """A tile's receiver needs a keyframe (PLI)."""
        ring = self.rings.get(int(self.forwarder.source[row]))
        if ring is not None:
            ring.limiter.ask()

    def command(self, row: int, sender: int, number: int) -> None:
        """Likewise by FIR."""
        ring = self.rings.get(int(self.forwarder.source[row]))
        if ring is not None:
            ring.limiter.command(row << 32 | sender, number)

    def ask(self, now: float) -> None:
        """Ask senders for the keyframes that receivers need."""
        for source in self.forwarder.waiting().tolist():
            if source in self.rings:
                self.rings[source].limiter.ask()
        for source, ring in self.rings.items():  # sources, not receivers
            if not ring.limiter.due(now):
                continue
            row = source // LAYERS
            apart = max(ASK_AGAIN, 2 * float(self._beat.reporter.round_trip[row]))
            if now - ring.asked_at >= apart and self._beat.keyframes.ask(row, ring.ssrc, now):
                ring.asked_at = now


def read_heads(firsts: NDArray[np.uint8], sizes: I64, kinds: NDArray[np.uint8]) -> PayloadHeads:
    """What payloads of several kinds begin with.

    Args:
        firsts: (n, :data:`HEAD`) octets, zeros behind the end.
    """
    heads = PayloadHeads.none(len(firsts))
    for first, last, read in READERS:
        at = ((kinds >= first) & (kinds < last)).nonzero()[0]
        if at.size:
            heads.put(at, read(firsts[at], sizes[at]))
    return heads
