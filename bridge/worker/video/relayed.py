"""Packets of browsers, whose voice and pictures share a transport (BUNDLE, RFC 9143): the audio process passes on what
is ours; the media section that each belongs to is found by its SSRC, once its MID or payload type has told (§9.2).
"""

from __future__ import annotations

from typing import Final, TypeAlias

import numpy as np
from numpy.typing import NDArray

from bridge.media import rtp
from bridge.media.relay import RelayReceiver
from bridge.media.video.extension import find
from bridge.media.wire import Batch, PacketPool

from ..demux import AddressTable
from ..intake import STRANGERS_A_BEAT, Intake
from ..protocol_video import SetVideoStream
from .table import VideoTable

Rows: TypeAlias = NDArray[np.intp]

MOST_SSRCS: Final = 32
"""Of one transport: camera and slides in three layers each, with their retransmissions, and as many from before."""


class Relayed:
    """The intake of rows that share a transport."""

    def __init__(
        self, table: VideoTable, pool: PacketPool, intake: Intake, relays: list[int], rng: np.random.Generator
    ) -> None:
        """Args:
        relays: file descriptors to read.
        """
        self._table, self._pool, self._intake = table, pool, intake
        self._relays = [RelayReceiver(pool, fd) for fd in relays]
        self._by_ssrc = AddressTable(16 * table.capacity, rng) if relays else None
        self._ssrcs: dict[int, list[int]] = {}
        """By transport, the oldest first."""
        self.bundles: dict[int, list[int]] = {}
        """Rows, by transport."""

    def set(self, row: int, spec: SetVideoStream, before: SetVideoStream | None) -> None:
        """A stream is described. Rows of one transport share its numbers and feedback, those of the first. One that
        receives nothing (a tile) changes nothing in what is known of the others' SSRCs: senders name their MIDs only at
        first."""
        if before is not None and before.bundle != spec.bundle:
            self.forget(row, before)
        rows = self.bundles.setdefault(spec.bundle, []) if spec.bundle else [row]
        if row not in rows:
            rows.append(row)
            if spec.receive:
                self._unlearn(spec.bundle)
        self._table.transport[rows] = rows[0]

    def forget(self, row: int, spec: SetVideoStream) -> None:
        rows = self.bundles.get(spec.bundle, [])
        if row in rows:
            rows.remove(row)
            if spec.receive:
                self._unlearn(spec.bundle)
            self._table.transport[rows] = rows[0] if rows else 0
        if not rows:
            self.bundles.pop(spec.bundle, None)

    def _unlearn(self, bundle: int) -> None:
        for ssrc in self._ssrcs.pop(bundle, []):
            key = _keys(np.array([bundle]), np.array([ssrc], np.uint32))
            assert self._by_ssrc is not None
            row = int(self._by_ssrc.find(key)[0])
            if row >= 0:
                self._by_ssrc.drop(key[0], row)

    def receive(self, now: float) -> None:
        """What the audio processes passed on."""
        for relay in self._relays:
            batch, bundles = relay.receive()
            if len(batch.slots):
                self._sort(batch, bundles, now)

    def _sort(self, batch: Batch, bundles: NDArray[np.int64], now: float) -> None:
        assert self._by_ssrc is not None
        is_rtp, is_rtcp = rtp.classify(self._pool, batch.slots, batch.lengths)
        words = self._pool.words[batch.slots, 2]
        ssrcs = words.byteswap() if np.little_endian else words
        rows = self._by_ssrc.find(_keys(bundles, ssrcs))
        rows[~is_rtp] = -1
        opened: list[int] = []
        for n in (is_rtp & (rows < 0)).nonzero()[0][:STRANGERS_A_BEAT].tolist():  # the first of each SSRC
            bundle, ssrc = int(bundles[n]), int(ssrcs[n])
            row = self._section(batch, n, bundle)
            if row < 0 or (self._table.secure_in[row] and not self._intake.opens(batch, n, row)):
                continue
            opened.append(n)
            rows[n] = row
            self._learn(bundle, ssrc, row)
        self._intake.given(batch, rows, np.array(opened, np.intp), [self._reports(bundles, is_rtcp)], now)

    def _reports(self, bundles: NDArray[np.int64], is_rtcp: NDArray[np.bool_]) -> Rows:
        """RTCP is of the whole transport: its first row that may read it does, for all; (n,) that row, or -1."""
        rows = np.full(len(bundles), -1, np.intp)
        table = self._table
        for n in is_rtcp.nonzero()[0].tolist():  # some ten a second of each browser
            known = self.bundles.get(int(bundles[n]), [])
            rows[n] = next((row for row in known if table.secure_in[row] or not table.keyed[row]), -1)
        return rows

    def _section(self, batch: Batch, n: int, bundle: int) -> int:
        """The row whose media section a packet belongs to (RFC 9143 §9.2), -1: nobody's."""
        rows = self.bundles.get(bundle, [])
        slot = batch.slots[n : n + 1]
        headers, whole = rtp.parse(self._pool, slot, batch.lengths[n : n + 1])
        if not rows or not whole[0]:
            return -1
        specs = {row: self._table.specs[int(self._table.stream[row])] for row in rows}
        if headers.extended[0]:
            for row, spec in specs.items():
                if spec.mid and self._text(slot, spec.extensions.mid, headers) == spec.mid:
                    return row
        ssrc = int(headers.ssrc[0])
        named = [row for row, spec in specs.items() if any(layer.ssrc == ssrc for layer in spec.layers)]
        fit = named or [row for row in rows if self._table.kinds[row, headers.payload_type[0]]]
        return fit[0] if len(fit) == 1 else -1

    def _text(self, slot: NDArray[np.int32], identifier: int, headers: rtp.Headers) -> str:
        if not identifier:
            return ""
        where, size = find(self._pool, slot, np.array([identifier], np.uint8), headers.offset)
        return self._pool.flat[where[0] : where[0] + size[0]].tobytes().decode("ascii", "replace")

    def _learn(self, bundle: int, ssrc: int, row: int) -> None:
        assert self._by_ssrc is not None
        known = self._ssrcs.setdefault(bundle, [])
        if ssrc not in known:
            known.append(ssrc)
            if len(known) > MOST_SSRCS:
                old = _keys(np.array([bundle]), np.array([known.pop(0)], np.uint32))
                self._by_ssrc.drop(old[0], int(self._by_ssrc.find(old)[0]))
        self._by_ssrc.put(_keys(np.array([bundle]), np.array([ssrc], np.uint32))[0], row)


def _keys(bundles: NDArray[np.int64], ssrcs: NDArray[np.uint32]) -> NDArray[np.uint32]:
    """(n, 6) key words, as the table wants them."""
    keys = np.zeros((len(bundles), 6), np.uint32)
    keys[:, :2] = bundles.astype(np.int64)[:, None].view(np.uint32)
    keys[:, 2] = ssrcs
    return keys
