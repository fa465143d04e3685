"""What comes to a media port besides this process's own RTP (RFC 7983): STUN and DTLS, which are control's, and video
that shares the port with voice (BUNDLE, RFC 9143), which is the video process's.

Both are taken out of the batch before the beat reads it. A worker none of whose streams is a browser's or keyed by DTLS
looks at nothing here.
"""

from __future__ import annotations

import socket
from collections.abc import Callable
from typing import TypeAlias

import numpy as np
from numpy.typing import NDArray

from bridge.media.relay import Relay
from bridge.media.wire import Batch, PacketPool, address_text

from .demux import AddressTable
from .protocol import Address, Datagram, Datagrams
from .table import StreamTable

Rows: TypeAlias = NDArray[np.intp]
Flags: TypeAlias = NDArray[np.bool_]

CARRIED_A_BEAT = 64
"""STUN and DTLS a beat that control is given: two hundred browsers send some four checks a beat (RFC 7675 §5.1 asks for
one in 5 s of each, Chromium sends one in 2.5 s on each of its paths). A flood's rest falls, strangers' first."""
LARGEST = 2048
"""Octets of a STUN or DTLS datagram: no path carries more."""


def _carried() -> Flags:
    first = np.arange(256)
    return (first < 4) | ((first >= 20) & (first < 64))


_CARRIED = _carried()
"""By the first octet: STUN or DTLS (RFC 7983 §7)."""


class Bundle:
    """Sorts a batch by whose it is."""

    def __init__(
        self,
        table: StreamTable,
        pool: PacketPool,
        ports: list[int],
        sockets: list[socket.socket],
        shared: int,
        relay: Relay | None,
        emit: Callable[[Datagrams], None],
    ) -> None:
        """Args:
        ports, sockets: all that the worker receives RTP on.
        shared: how many of them, the last ones, are bundle ports.
        relay: to the video process; none: there is none, and its packets are dropped.
        """
        self._table, self._pool, self._relay, self._emit = table, pool, relay, emit
        self._ports, self._sockets = ports, sockets
        self._shared: Flags = np.arange(len(sockets)) >= len(sockets) - shared
        self._watched = self._shared.copy()
        """(sockets,) where STUN and DTLS are looked for: bundle ports, and those of streams that are keyed by DTLS."""
        self._generation = -1
        self._turn = 0
        self.dropped = 0
        """STUN and DTLS that were too many, so far."""

    def sort(self, batch: Batch) -> Batch:
        """The packets that are the beat's own; the others have been handed on, and their slots given back."""
        table = self._table
        if self._generation != table.generation:
            self._generation = table.generation
            self._watched[:] = self._shared
            self._watched[table.socket[table.live & table.keyed]] = True
        if not len(batch.slots) or not self._watched.any():
            return batch
        watched = self._watched[batch.sockets]
        if not watched.any():
            return batch
        first = self._pool.memory[batch.slots, 0]
        carried = watched & _CARRIED[first] & (batch.lengths > 0)
        away = carried.copy()
        if carried.any():
            self._carry(batch, carried.nonzero()[0])
        if table.bundled.any():
            away |= self._hand_on(batch, watched & (first >= 128))
        if not away.any():
            return batch
        self._pool.give(batch.slots[away])
        return _part(batch, ~away)

    def send(self, command: Datagrams) -> None:
        """STUN and DTLS of control's.

        Raises:
            ValueError: the port is not ours.
        """
        try:
            sock = self._sockets[self._ports.index(command.port)]
        except ValueError:
            raise ValueError(f"port {command.port} is not ours") from None
        for packet in command.packets:
            host = packet.remote.host
            try:
                sock.sendto(packet.data, (host if ":" in host else f"::ffff:{host}", packet.remote.port))
            except OSError:  # no route, no room: to both protocols a lost datagram
                self.dropped += 1

    def _carry(self, batch: Batch, at: Rows) -> None:
        """To control; of those we know first, and of strangers not always the same ones."""
        at = at[batch.lengths[at] <= LARGEST]
        if len(at) > CARRIED_A_BEAT:
            known = self._rows(batch, at) >= 0
            self._turn += 1
            strangers = np.roll(at[~known], -self._turn * CARRIED_A_BEAT)
            self.dropped += len(at) - CARRIED_A_BEAT
            at = np.concatenate((at[known], strangers))[:CARRIED_A_BEAT]
        packets: dict[int, list[Datagram]] = {}
        for n in at.tolist():
            data = self._pool.memory[batch.slots[n], : batch.lengths[n]].tobytes()
            remote = Address(*address_text(batch.sources[n]))
            packets.setdefault(int(batch.sockets[n]), []).append(Datagram(remote, data))
        for number, those in packets.items():
            self._emit(Datagrams(port=self._ports[number], packets=tuple(those)))

    def _hand_on(self, batch: Batch, candidates: Flags) -> Flags:
        """Video and, besides, RTCP of streams that have video go to the video process; (n,) the video."""
        table = self._table
        at = candidates.nonzero()[0]
        rows = self._rows(batch, at)
        bundled = (rows >= 0) & table.bundled[rows]
        at, rows = at[bundled], rows[bundled]
        away = np.zeros(len(batch.slots), np.bool_)
        if not at.size:
            return away
        second = self._pool.memory[batch.slots[at], 1]
        control = (second >= 192) & (second <= 223)
        video = ~control & table.elsewhere[rows, second & 0x7F]
        theirs = control | video
        if self._relay is not None and theirs.any():
            self._relay.send(batch, at[theirs], table.stream[rows[theirs]])
        away[at[video]] = True
        table.last_home[rows] = batch.arrivals[at]
        return away

    def _rows(self, batch: Batch, at: Rows) -> Rows:
        return self._table.by_source.find(AddressTable.keys(batch.sockets[at], batch.sources[at]))


def _part(batch: Batch, which: Flags) -> Batch:
    return Batch(
        slots=batch.slots[which],
        lengths=batch.lengths[which],
        sockets=batch.sockets[which],
        sources=batch.sources[which],
        arrivals=batch.arrivals[which],
        truncated=batch.truncated,
    )
