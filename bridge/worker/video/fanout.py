"""Packets of an encoding to all who receive it, in arrays: headers, SRTP, the kernel; and again what NACKs ask for."""

from __future__ import annotations

import itertools
from collections.abc import Callable, Iterable
from dataclasses import dataclass, replace
from typing import TypeAlias

import numpy as np
from numpy.typing import NDArray

from bridge.media import rtp
from bridge.media.srtp import SrtpTable
from bridge.media.video.departures import Departures
from bridge.media.video.extension import ROOM, stamp_numbers, stamp_times
from bridge.media.video.history import Again, SendHistory
from bridge.media.wire import U8, U64, Sender

from .encoding import Block, Encoding
from .table import VideoTable

Rows: TypeAlias = NDArray[np.intp]

BATCH = 8192
"""Packets a call: what one sender's arrays hold."""
SEALED = 1600
"""Octets of an SRTP packet's place: the longest payload, header and trailer."""
MOST_PAYLOAD = SEALED - 96
COPIES = 1024
"""Forwarded packets made at once: as many as a call takes (UIO_MAXIOV), and as caches hold."""
LEAD = rtp.HEADER + ROOM
"""Octets of a header's place, with its extension."""


@dataclass(frozen=True, slots=True)
class Copies:
    """Packets of others to be sent on, packet by packet; (n,) arrays."""

    rows: Rows
    types: U8
    markers: NDArray[np.bool_]
    sequences: NDArray[np.int32]
    stamps: NDArray[np.uint32]
    sizes: NDArray[np.int64]
    """Octets of payload."""
    descriptors: U8
    """(n, a few) the first octets of each payload, as the receiver is to have them."""
    packets: Rows
    """Which of the packets that came."""
    memory: U8
    """Where those lie."""
    begins: NDArray[np.int64]
    """By packet that came: where its payload begins in that."""

    def part(self, start: int, stop: int) -> Copies:
        return replace(self, **{name: getattr(self, name)[start:stop] for name in _EACH})


_EACH = ("rows", "types", "markers", "sequences", "stamps", "sizes", "descriptors", "packets")


class Fanout:
    """The sending side of all rows."""

    def __init__(self, table: VideoTable, srtp: SrtpTable, fds: list[int]) -> None:
        self._table, self._srtp, self._fds = table, srtp, fds
        self.history = SendHistory(table.capacity)
        self._sender = Sender(BATCH)
        self.departures = Departures(table.capacity)
        """Of rows with transport-wide feedback."""
        self._heads: U8 = np.zeros((BATCH, LEAD), np.uint8)
        self._sealed: U8 = np.zeros((64, SEALED), np.uint8)
        self._places: U8 | None = None
        """Of forwarded packets; most workers have none."""
        self._turns: NDArray[np.int64] = np.zeros(table.capacity, np.int64)

    def open(self, row: int, now: float, *, rtx: bool) -> None:
        """A row begins to be sent to, with the numbers that the table has."""
        table = self._table
        offset = (int(table.timestamp[row]) - ticks(now)) & 0xFFFFFFFF
        first = int(table.sequence[row])
        self.history.open(row, sequence=first, offset=offset, rtx=first ^ 0x2A5A if rtx else None)
        self._turns[row] = table.rollover[row]

    def settle(self, rows: Rows, now: float) -> None:
        """Bring the table's numbers up to now: they are reported, and go on from there after a restart."""
        table, following = self._table, self.history.next[rows]
        table.sequence[rows] = following & 0xFFFF
        table.rollover[rows] = self._turns[rows] + (following >> 16) - 1
        table.timestamp[rows] = (self.history.offset[rows].astype(np.int64) + ticks(now)) & 0xFFFFFFFF

    def send(self, encoding: Encoding, now: float) -> int:
        """What of an encoding is due; returns packets handed to the kernel."""
        sent = 0
        for first, count in encoding.pacer.due(now):
            for block, start, stop in encoding.pieces(first, count):
                most = max(BATCH // (stop - start), 1)
                for at in range(0, len(encoding.rows), most):
                    sent += self._send(encoding.rows[at : at + most], encoding.number, block, start, stop, now)
        return sent

    def finish(self, row: int, encoding: Encoding, now: float) -> int:
        """The rest of the frame that is being sent, to one who gets nothing after it: half a frame in a decoder spoils
        what comes next, maybe minutes later."""
        sent = 0
        for first, count in encoding.pacer.rest():
            for block, start, stop in encoding.pieces(first, count):
                sent += self._send(np.array([row], np.intp), encoding.number, block, start, stop, now)
        return sent

    def _send(self, rows: Rows, number: int, block: Block, start: int, stop: int, now: float) -> int:
        """(rows x packets), row by row: the rows are sorted by socket."""
        table, count = self._table, stop - start
        n = len(rows) * count
        if not n:
            return 0
        sequences = self.history.advance(rows, number, block.first + start, count).reshape(-1)
        owners = np.repeat(rows, count)
        markers = np.zeros(count, np.bool_)
        markers[-1] = stop == block.count
        stamps = self.history.offset[owners] + np.uint32(block.timestamp)
        sizes = block.sizes[start:stop]
        bodies, body_sizes = np.tile(block.starts[start:stop], len(rows)), np.tile(sizes, len(rows))
        rtp.write_headers(
            self._heads.view(np.uint32)[:, :3],
            np.arange(n),
            table.send_type[owners],
            np.tile(markers, len(rows)),
            sequences,
            stamps,
            table.ssrc[owners],
        )
        head_sizes = self._extend(self._heads[:n], owners, body_sizes, now)
        table.sent[rows] += count
        table.sent_octets[rows] += int(sizes.sum())
        heads = np.uint64(self._heads.ctypes.data) + np.arange(n, dtype=np.uint64) * np.uint64(LEAD)
        secure = table.secure_out[owners]
        if secure.any():
            heads, head_sizes, body_sizes = self._seal(owners, secure, heads, head_sizes, block, start, body_sizes)
        names = np.uint64(table.names.ctypes.data) + owners.astype(np.uint64) * np.uint64(32)
        return self._sender.send(self._fds, table.socket[owners], names, heads, head_sizes, bodies, body_sizes)

    def _extend(self, heads: U8, owners: Rows, sizes: NDArray[np.int64], now: float) -> NDArray[np.int64]:
        """Add the extensions to (n, LEAD) headers; returns (n,) octets of each header.

        Args:
            sizes: (n,) octets of payload.
        """
        table = self._table
        head_sizes: NDArray[np.int64] = table.lead_size[owners]
        with_one = (head_sizes > rtp.HEADER).nonzero()[0]
        if not with_one.size:
            return head_sizes
        whose = owners[with_one]
        extensions = table.lead[whose, rtp.HEADER :]
        counted = self.departures.place[table.transport[whose]] >= 0
        numbered = ((table.numbered[whose] > 0) & counted).nonzero()[0]
        if numbered.size:
            at = with_one[numbered]
            part = extensions[numbered]
            transports = table.transport[owners[at]]
            order = np.argsort(transports, kind="stable")
            part[order] = self._number(part[order], transports[order], (sizes[at] + head_sizes[at])[order], now)
            extensions[numbered] = part
        clocked = table.clocked[whose].nonzero()[0]
        if clocked.size:
            part = extensions[clocked]
            stamp_times(part, table.clocked[whose[clocked]], now)
            extensions[clocked] = part
        heads[with_one, 0] |= 0x10
        heads[with_one, rtp.HEADER :] = extensions
        return head_sizes

    def _number(self, extensions: U8, transports: Rows, sizes: NDArray[np.int64], now: float) -> U8:
        """(n, ROOM) extensions with their transport-wide numbers, each transport's side by side."""
        stamp_numbers(extensions, self.departures.advance(transports, sizes, now))
        return extensions

    def _seal(
        self,
        owners: Rows,
        secure: NDArray[np.bool_],
        heads: U64,
        head_sizes: NDArray[np.int64],
        block: Block,
        start: int,
        sizes: NDArray[np.int64],
    ) -> tuple[U64, NDArray[np.int64], NDArray[np.int64]]:
        """SRTP: header and payload side by side in a place of their own, encrypted there."""
        which = np.flatnonzero(secure)
        while len(self._sealed) < len(which):
            self._sealed = np.zeros((2 * len(self._sealed), SEALED), np.uint8)
        self._sealed[: len(which), :LEAD] = self._heads[which]
        count = int(len(owners) // len(np.unique(owners)))
        begins = (block.starts[start : start + count] - np.uint64(block.data.ctypes.data)).astype(np.int64)
        leads = head_sizes[which]
        for lead in np.unique(leads).tolist():  # as many as there are lengths of extensions
            for packet in range(count):  # a frame's packets in one slot of the pacer: a few
                size = int(block.sizes[start + packet])
                at = ((which % count == packet) & (leads == lead)).nonzero()[0]
                self._sealed[at, lead : lead + size] = block.data[begins[packet] : begins[packet] + size]
        addresses = np.uint64(self._sealed.ctypes.data) + np.arange(len(which), dtype=np.uint64) * np.uint64(SEALED)
        lengths = (sizes[which] + leads).astype(np.int32)
        good = self._srtp.protect(owners[which], addresses, lengths)
        heads, head_sizes, sizes = heads.copy(), head_sizes.copy(), sizes.copy()
        heads[which] = addresses
        head_sizes[which] = np.where(good, lengths, 0)
        sizes[which] = 0
        return heads, head_sizes, sizes

    def repeat(self, row: int, sequences: Iterable[int], now: float, round_trip: float, rtx_type: int) -> int:
        """Answer a NACK."""
        again = self.history.answer(row, sequences, now, round_trip or 0.1)
        usual = int(self._table.send_type[row])
        return self.resend(row, again, lambda each: rtx_type if each.rtx else usual, now)

    def resend(self, row: int, again: list[Again], type_of: Callable[[Again], int], now: float) -> int:
        """Send packets once more; returns how many were handed to the kernel."""
        table = self._table
        if table.secure_out[row] and (table.numbered[row] or table.clocked[row]):
            # Under a number of its own only: another header under a used one would tell the key of AES-GCM that
            # authenticates (RFC 7714 §8.1).
            again = [each for each in again if each.rtx]
        if not again:
            return 0
        n = len(again)
        place = np.zeros((n, SEALED), np.uint8)
        rtp.write_headers(
            place.view(np.uint32)[:, :3],
            np.arange(n),
            np.array([type_of(each) for each in again], np.uint8),
            np.array([each.marker for each in again]),
            np.array([each.sequence for each in again], np.int32),
            np.array([each.timestamp for each in again], np.uint32),
            np.array([(int(table.ssrc[row]) + each.rtx) & 0xFFFFFFFF for each in again], np.uint32),
        )
        owners = np.full(n, row)
        sizes = np.array([len(each.payload) for each in again], np.int64)
        leads = self._extend(place[:, :LEAD], owners, sizes, now)
        lengths = (leads + sizes).astype(np.int32)
        for i, each in enumerate(again):  # as many as a NACK may ask for and the rate allows
            place[i, leads[i] : lengths[i]] = np.frombuffer(each.payload, np.uint8)
        addresses = np.uint64(place.ctypes.data) + np.arange(n, dtype=np.uint64) * np.uint64(SEALED)
        if table.secure_out[row]:
            good = self._srtp.protect(owners, addresses, lengths)
            owners, addresses, lengths = owners[good], addresses[good], lengths[good]
        names = np.full(len(owners), table.names.ctypes.data + 32 * row, np.uint64)
        return self._sender.send(self._fds, table.socket[owners], names, addresses, lengths, addresses, 0)

    def forward(self, copies: Copies, now: float) -> int:
        """Packets of others; returns how many were handed to the kernel."""
        sent = 0
        for at in range(0, len(copies.rows), COPIES):
            sent += self._forward(copies.part(at, at + COPIES), now)
        return sent

    def _forward(self, copies: Copies, now: float) -> int:
        table, rows, sizes, n = self._table, copies.rows, copies.sizes, len(copies.rows)
        if self._places is None:
            self._places = np.zeros((COPIES, SEALED), np.uint8)
        place = self._places[:n]
        index = np.arange(n)
        rtp.write_headers(
            place.view(np.uint32)[:, :3],
            index,
            copies.types,
            copies.markers,
            copies.sequences,
            copies.stamps,
            table.ssrc[rows],
        )
        leads = self._extend(place[:, :LEAD], rows, sizes, now)
        np.add.at(table.sent, rows, 1)
        np.add.at(table.sent_octets, rows, sizes)
        edges = np.flatnonzero(np.diff(copies.packets)) + 1
        for start, stop in itertools.pairwise([0, *edges.tolist(), n]):  # incoming packets, not their copies
            size, packet = int(sizes[start]), int(copies.packets[start])
            begin = int(copies.begins[packet])
            payload = copies.memory[begin : begin + size]
            for lead in np.unique(leads[start:stop]).tolist():  # as many as there are lengths of extensions
                at = slice(start, stop)
                if lead == leads[start:stop].max() == leads[start:stop].min():
                    place[at, lead : lead + size] = payload
                else:
                    place[start + (leads[at] == lead).nonzero()[0], lead : lead + size] = payload
        for k in range(copies.descriptors.shape[1]):
            some = (sizes > k).nonzero()[0]
            place[some, leads[some] + k] = copies.descriptors[some, k]
        addresses = np.uint64(place.ctypes.data) + index.astype(np.uint64) * np.uint64(SEALED)
        lengths = (leads + sizes).astype(np.int32)
        secure = table.secure_out[rows].nonzero()[0]
        if secure.size:
            sealed = lengths[secure]
            good = self._srtp.protect(rows[secure], addresses[secure], sealed)
            lengths[secure] = np.where(good, sealed, 0)
        order = np.argsort(table.socket[rows], kind="stable")
        order = order[lengths[order] > 0]
        names = np.uint64(table.names.ctypes.data) + rows[order].astype(np.uint64) * np.uint64(32)
        return self._sender.send(
            self._fds, table.socket[rows[order]], names, addresses[order], lengths[order], addresses[order], 0
        )


def ticks(now: float) -> int:
    """The 90 kHz clock of all encodings at a monotonic time."""
    return int(now * 90000)
