"""The first half of the beat: datagrams -> known streams -> authentic packets -> header fields -> keepers
(jitter rings for audio).

Everything here treats a whole batch at once; only strangers (packets from addresses that are no stream's) are looked
at one by one, and only so many of them a beat.
"""

from __future__ import annotations

from collections.abc import Callable, Sequence
from dataclasses import dataclass
from typing import Any

import numpy as np
from numpy.typing import NDArray

from bridge.media import rtp
from bridge.media.dtmf import EventReceiver
from bridge.media.jitter import JitterBuffer
from bridge.media.srtp import SrtpTable
from bridge.media.wire import F64, I32, U8, U32, Batch, PacketPool, address_text

from .demux import AddressTable
from .kind import Kind
from .table import LATCHED, SourceTable, StreamTable

Rows = NDArray[np.intp]

STRANGERS_A_BEAT = 32
"""A flood from nowhere costs a bounded share of a beat; those beyond are counted and dropped unread."""
GLANCES_A_BEAT = 1024
"""Of a flood on a port where somebody is awaited so many sources are compared."""
CANDIDATES = 256
"""Sources on probation at once; the oldest is forgotten first."""
REPORTS_A_ROW = 8
"""RTCP packets of one stream read a batch: feedback on video comes a few times a frame, the rest is a flood."""
REPORTS = 4096
"""RTCP packets that wait to be read."""
PROBATION = 2
"""Packets in sequence from one new source before it is believed (RFC 3550 A.1, MIN_SEQUENTIAL)."""
MOVE_AFTER = 0.3
"""Seconds that the old address must have been silent before we send to another: fifteen packets, so that nobody is
overheard out of a call in which he still talks. That holds for SRTP too: a copied packet is authentic."""
MOVE_WINDOW = 1000
"""How far the sequence may have run on while it moved (20 s of 20 ms packets)."""


@dataclass(slots=True)
class Report:
    """An RTCP datagram for the slow path."""

    row: int
    data: bytes
    arrival: float


class SlotNotes:
    """What intake found out about each packet of the pool, kept until it is played."""

    def __init__(self, slots: int) -> None:
        self.kind: U8 = np.zeros(slots, np.uint8)
        self.offset: I32 = np.zeros(slots, np.int32)
        self.size: I32 = np.zeros(slots, np.int32)
        self.level: NDArray[np.int16] = np.full(slots, -1, np.int16)
        """RFC 6464 level in -dBov; -1: not sent."""
        self.leveled = False
        """Some packet ever had a level."""


@dataclass(slots=True)
class Packets:
    """What a batch brought of known streams: authentic, whole, of a payload type that was agreed on; a row each."""

    rows: Rows
    """(n,) streams."""
    slots: I32
    kinds: U8
    headers: rtp.Headers
    arrivals: F64


Keeper = Callable[[Packets, float], NDArray[np.bool_]]
"""Files packets; returns (n,) which slots it keeps, the others are given back."""


@dataclass(slots=True)
class Counters:
    """What was refused, since the start."""

    strangers: int = 0
    malformed: int = 0
    unauthentic: int = 0
    moved: int = 0


class Rings:
    """The audio worker's :data:`Keeper`: levels and keys are read, then every packet goes into its stream's ring."""

    def __init__(
        self,
        table: StreamTable,
        pool: PacketPool,
        jitter: JitterBuffer,
        events: EventReceiver,
        pressed: Callable[[int, str], None],
    ) -> None:
        self._table, self._pool, self._jitter, self._events, self._pressed = table, pool, jitter, events, pressed
        self.notes = SlotNotes(pool.slots)

    def __call__(self, packets: Packets, now: float) -> NDArray[np.bool_]:
        table, notes = self._table, self.notes
        owners, slots, kinds, headers = packets.rows, packets.slots, packets.kinds, packets.headers
        notes.kind[slots] = kinds
        notes.offset[slots] = headers.offset
        notes.size[slots] = headers.size
        if headers.extended.any() or notes.leveled:
            self._note_levels(slots, owners, headers)
        event = ((kinds == Kind.EVENT) & (headers.size >= 4)).nonzero()[0]
        if event.size:
            self._hear_events(owners[event], headers.timestamp[event], slots[event], headers.offset[event], now)
        table.remote_ssrc[owners] = headers.ssrc
        table.last_sequence[owners] = headers.sequence
        table.heard[owners] = True
        table.last_heard[owners] = now
        return self._jitter.insert(
            owners,
            headers.sequence,
            headers.timestamp,
            headers.ssrc,
            packets.arrivals,
            slots,
            kinds == Kind.EVENT if event.size else None,
        )

    def _note_levels(self, slots: I32, owners: Rows, headers: rtp.Headers) -> None:
        notes, identifiers = self.notes, self._table.level_id[owners]
        notes.level[slots] = -1
        leveled = (headers.extended & (identifiers > 0)).nonzero()[0]
        if leveled.size:
            notes.leveled = True
            notes.level[slots[leveled]] = rtp.audio_levels(
                self._pool, slots[leveled], identifiers[leveled], headers.offset[leveled]
            )

    def _hear_events(self, rows: Rows, timestamps: U32, slots: I32, offsets: I32, now: float) -> None:
        start = slots.astype(np.int64) * self._pool.memory.shape[1] + offsets
        payload = self._pool.flat[start[:, None] + np.arange(4)]
        for row, digit in self._events.receive(rows, timestamps, payload, now):
            self._pressed(row, digit)


class Intake:
    """Owns the receive path's order: demux, srtp, headers; what then becomes of the packets is its keeper's."""

    def __init__(
        self,
        table: SourceTable[Any],
        pool: PacketPool,
        srtp: SrtpTable,
        keep: Keeper,
        latched: Callable[[int, tuple[str, int]], None],
    ) -> None:
        self._table = table
        self._pool = pool
        self._srtp = srtp
        self._keep = keep
        self._latched = latched
        self.counters = Counters()
        self.reports: list[Report] = []
        self._opened: list[int] = []
        self._probation: dict[tuple[int, bytes], tuple[int, int, int]] = {}
        """(socket, source) -> SSRC, next sequence number, packets seen"""

    def media(self, batch: Batch, now: float) -> None:
        """One batch from the RTP sockets (RTCP too, where multiplexed)."""
        if not len(batch.slots):
            return
        table, pool = self._table, self._pool
        self.counters.malformed += batch.truncated
        rows = table.by_source.find(AddressTable.keys(batch.sockets, batch.sources))
        is_rtp, is_rtcp = rtp.classify(pool, batch.slots, batch.lengths)
        known = rows >= 0
        at = (known & is_rtp).nonzero()[0]
        # The known go first: a stranger's copy of a packet is a replay then.
        if at.size and table.secure_in[rows[at]].any():
            at = self._authenticate(batch, rows, at)
        table.last_home[rows[at]] = now
        if at.size < len(rows):
            at = self._add_strangers(batch, rows, is_rtp, at, now)
            self.counters.malformed += int(((rows >= 0) & ~is_rtp & ~is_rtcp).sum())
            if is_rtcp.any():
                self._set_reports_aside(batch, rows, is_rtcp)
        taken = np.zeros(len(rows), np.bool_)
        if at.size:
            self._file(batch, rows, at, taken, now)
        pool.give(batch.slots[~taken])

    def given(self, batch: Batch, rows: Rows, opened: Rows, reports: Sequence[Rows], now: float) -> None:
        """One batch whose streams somebody else has found.

        Args:
            rows: (n,) of RTP packets, -1: nobody's.
            opened: which of them :meth:`opens` has decrypted.
            reports: (n,) rows that are to read an RTCP packet, -1: none; one array for each row that does.
        """
        table = self._table
        is_rtp, is_rtcp = rtp.classify(self._pool, batch.slots, batch.lengths)
        at = ((rows >= 0) & is_rtp).nonzero()[0]
        shut = np.setdiff1d(at, opened, assume_unique=True)
        if shut.size and table.secure_in[rows[shut]].any():
            at = np.union1d(self._authenticate(batch, rows, shut), opened).astype(np.intp)
        self.counters.strangers += int(((rows < 0) & is_rtp).sum())
        self.counters.malformed += int((~is_rtp & ~is_rtcp).sum())
        for each in reports:
            self._set_reports_aside(batch, each, is_rtcp)
        taken = np.zeros(len(rows), np.bool_)
        if at.size:
            table.last_home[rows[at]] = now
            self._file(batch, rows, at, taken, now)
        self._pool.give(batch.slots[~taken])

    def opens(self, batch: Batch, n: int, row: int) -> bool:
        """Whether a packet is a stream's by its key; it is decrypted then."""
        return self._is_authentic(batch, n, row)

    def control(self, batch: Batch) -> None:
        """One batch from the RTCP sockets."""
        if not len(batch.slots):
            return
        self.counters.malformed += batch.truncated
        rows = self._table.by_report_source.find(AddressTable.keys(batch.sockets, batch.sources))
        _, is_rtcp = rtp.classify(self._pool, batch.slots, batch.lengths)
        unknown = np.flatnonzero((rows < 0) & is_rtcp)[:STRANGERS_A_BEAT]
        for n in unknown.tolist():  # a NAT gave RTCP another address: its SSRC names the stream
            rows[n] = self._row_by_ssrc(batch, n)
        self._set_reports_aside(batch, rows, is_rtcp)
        self.counters.strangers += int((rows < 0).sum())
        self.counters.malformed += int(((rows >= 0) & ~is_rtcp).sum())
        self._pool.give(batch.slots)

    # ------------------------------------------------------------------------------------------------

    def _authenticate(self, batch: Batch, rows: Rows, at: Rows) -> Rows:
        """Decrypt in place what is SRTP; what isn't authentic goes no further."""
        secure = at[self._table.secure_in[rows[at]]]
        lengths = batch.lengths[secure]
        good = self._srtp.unprotect(rows[secure], self._pool.addresses(batch.slots[secure]), lengths)
        batch.lengths[secure] = lengths
        bad = secure[~good]
        if bad.size:
            self.counters.unauthentic += bad.size
            np.add.at(self._table.discarded, rows[bad], 1)
            at = np.setdiff1d(at, bad, assume_unique=True)
        return at

    def _file(self, batch: Batch, rows: Rows, at: Rows, taken: NDArray[np.bool_], now: float) -> None:
        """Read the headers of the packets ``at`` and give each to the keeper."""
        table = self._table
        slots, owners = batch.slots[at], rows[at]
        headers, whole = rtp.parse(self._pool, slots, batch.lengths[at])
        kinds = table.kinds[owners, headers.payload_type]
        fit = whole & (kinds != 0)
        if not fit.all():
            self.counters.malformed += int((~whole).sum())
            np.add.at(table.discarded, owners[~fit], 1)
            good = fit.nonzero()[0]
            at, slots, owners, kinds, headers = at[good], slots[good], owners[good], kinds[good], headers.rows(good)
        for n in (table.latch[owners] != LATCHED).nonzero()[0].tolist():  # rare: a call's first packets
            self._latch(int(owners[n]), batch.sources[at[n]])
        taken[at] = self._keep(Packets(owners, slots, kinds, headers, batch.arrivals[at]), now)

    def _latch(self, row: int, source: U32) -> None:
        if self._table.latch_at(row, source):
            self._latched(row, address_text(source))

    def _set_reports_aside(self, batch: Batch, rows: Rows, is_rtcp: NDArray[np.bool_]) -> None:
        taken: dict[int, int] = {}
        for n in np.flatnonzero(is_rtcp & (rows >= 0)).tolist():
            row = int(rows[n])
            if self._table.keyed[row] and not self._table.secure_in[row]:  # whose keys are not here yet
                continue
            taken[row] = taken.get(row, 0) + 1
            if taken[row] > REPORTS_A_ROW or len(self.reports) >= REPORTS:
                self.counters.malformed += 1
                continue
            slot, length = int(batch.slots[n]), int(batch.lengths[n])
            data = self._pool.memory[slot, :length].tobytes()
            self.reports.append(Report(row, data, float(batch.arrivals[n])))

    # ------------------------------------------------------------------------------------ strangers

    def _add_strangers(self, batch: Batch, rows: Rows, is_rtp: NDArray[np.bool_], at: Rows, now: float) -> Rows:
        """Whose source is no stream's is the first packet of a caller behind NAT, one that moved, or an intruder.

        Returns:
            ``at``, and the packets that proved to be somebody's.
        """
        strange = np.flatnonzero(rows < 0)
        if not strange.size:
            return at
        self._opened.clear()
        for n in self._hopeful(batch, strange[is_rtp[strange]]).tolist():
            row = self._adopt(batch, n, now) if rows[n] < 0 else -1
            if row >= 0:
                rows[n] = row
                if now - self._table.last_home[row] > MOVE_AFTER:
                    self._latch(row, batch.sources[n])
                    self._table.last_home[row] = now
                # what came with it in the same batch is its own too
                same = (rows < 0) & (batch.sockets == batch.sockets[n])
                same &= (batch.sources[:, :6] == batch.sources[n, :6]).all(axis=1)
                rows[same] = row
        found = strange[rows[strange] >= 0]
        self.counters.strangers += strange.size - found.size
        found = found[is_rtp[found]]
        shut = np.setdiff1d(found, self._opened, assume_unique=True)
        if shut.size and self._table.secure_in[rows[shut]].any():
            found = np.union1d(self._authenticate(batch, rows, shut), self._opened).astype(np.intp)
        return np.sort(np.concatenate((at, found)))

    def _hopeful(self, batch: Batch, strange: Rows) -> Rows:
        """Those few of the strangers' packets that may be somebody's, at most two of one source."""
        if not strange.size:
            return strange
        table, memory, slots = self._table, self._pool.memory, batch.slots[strange]
        pending = table.pending[batch.sockets[strange]]
        hope = (pending >= 0) & (table.kinds[pending, memory[slots, 1] & 0x7F] > 0)
        ssrcs = self._pool.words[slots, 2]
        ssrcs = ssrcs.byteswap() if np.little_endian else ssrcs
        hope |= table.by_claim.find(AddressTable.keys(batch.sockets[strange], batch.sources[strange])) >= 0
        hope |= np.isin(ssrcs, table.remote_ssrc[table.live & table.heard])
        strange = strange[hope]
        if strange.size <= 2:
            return strange
        begin = self.counters.strangers % strange.size  # a flood's order must not decide who is looked at
        chosen, seen = [], dict[bytes, int]()
        for n in np.roll(strange, -begin)[:GLANCES_A_BEAT].tolist():
            who = batch.sources[n].tobytes()
            seen[who] = seen.get(who, 0) + 1
            if seen[who] <= PROBATION:
                chosen.append(n)
        return np.sort(np.array(chosen[:STRANGERS_A_BEAT], np.intp))

    def _adopt(self, batch: Batch, n: int, now: float) -> int:
        """The row that a stranger's packet proves to belong to, -1 for none."""
        table, socket = self._table, int(batch.sockets[n])
        packet = self._pool.memory[batch.slots[n], : int(batch.lengths[n])]
        payload_type = int(packet[1]) & 0x7F
        sequence = int(packet[2]) << 8 | int(packet[3])
        ssrc = int.from_bytes(packet[8:12].tobytes(), "big")
        row = int(table.by_claim.find(AddressTable.keys(batch.sockets[n : n + 1], batch.sources[n : n + 1]))[0])
        if row >= 0 and table.kinds[row, payload_type] and not table.secure_in[row]:
            if not self._on_probation(socket, batch.sources[n], ssrc, sequence):
                return -1
            table.last_home[row] = -np.inf  # whoever was taken for it from elsewhere was not: the SDP's address counts
            return row
        row = int(table.pending[socket])
        if (
            row >= 0
            and table.at_home[row]
            and not table.secure_in[row]
            and _other_host(table.names[row], batch.sources[n])
        ):
            row = -1
        if row >= 0 and table.kinds[row, payload_type]:
            if table.secure_in[row]:
                return row if self._is_authentic(batch, n, row) else -1
            if self._on_probation(socket, batch.sources[n], ssrc, sequence):
                return row
        movers = np.flatnonzero(
            table.live & ~table.fixed & (table.socket == socket) & table.heard & (table.remote_ssrc == np.uint32(ssrc))
        )
        for row in movers.tolist():
            if table.secure_in[row]:
                if self._is_authentic(batch, n, row):
                    self.counters.moved += 1
                    return row
            elif (
                0 < (sequence - int(table.last_sequence[row])) % 65536 < MOVE_WINDOW
                and now - table.last_home[row] > MOVE_AFTER
                and table.kinds[row, payload_type]
            ):
                self.counters.moved += 1
                return row
        return -1

    def _is_authentic(self, batch: Batch, n: int, row: int) -> bool:
        """Try a stream's key; a packet that it opens stays open (a second try would be a replay)."""
        lengths = batch.lengths[n : n + 1].copy()
        before = self._pool.memory[batch.slots[n]].copy()
        good = self._srtp.unprotect(np.array([row]), self._pool.addresses(batch.slots[n : n + 1]), lengths)
        if not good[0]:
            self._pool.memory[batch.slots[n]] = before
            return False
        batch.lengths[n] = lengths[0]
        self._opened.append(n)
        return True

    def _on_probation(self, socket: int, source: U32, ssrc: int, sequence: int) -> bool:
        """Whether this source has now sent :data:`PROBATION` packets in sequence."""
        who = (socket, source[:6].tobytes())
        known = self._probation.pop(who, None)
        seen = known[2] + 1 if known is not None and known[:2] == (ssrc, sequence) else 1
        if seen >= PROBATION:
            return True
        self._probation[who] = (ssrc, (sequence + 1) % 65536, seen)
        if len(self._probation) > CANDIDATES:
            del self._probation[next(iter(self._probation))]
        return False

    def _row_by_ssrc(self, batch: Batch, n: int) -> int:
        table = self._table
        packet = self._pool.memory[batch.slots[n], :8]
        ssrc = int.from_bytes(packet[4:8].tobytes(), "big")
        found = np.flatnonzero(
            table.live
            & (table.socket == batch.sockets[n])
            & table.heard
            & ~table.mux
            & (table.remote_ssrc == np.uint32(ssrc))
        )
        return int(found[0]) if found.size == 1 else -1


def _other_host(one: U32, other: U32) -> bool:
    return bool((one[2:6] != other[2:6]).any())
