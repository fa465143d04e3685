"""How much may be sent in either direction: feedback to senders that adapt, estimates of receivers' paths."""

from __future__ import annotations

from typing import TYPE_CHECKING, Final, TypeAlias

import numpy as np
from numpy.typing import NDArray

from bridge.media.video import feedback
from bridge.media.video.arrivals import Arrivals
from bridge.media.video.estimate import Estimate
from bridge.media.video.extension import numbers
from bridge.media.video.transport_cc import TransportCc
from bridge.media.wire import PacketPool

from ..intake import Packets

if TYPE_CHECKING:
    from .beat import VideoBeat

Rows: TypeAlias = NDArray[np.intp]

SEEN_BITS: Final = 2_000_000
"""Bits a second that who is seen is asked for at most: 720p's worth."""
UNSEEN_BITS: Final = 64_000
"""Likewise who is not: as little as is a picture still."""
MODERATE_AGAIN: Final = 10.0
"""Seconds after which a TMMBR is repeated: its answer is not waited for (RFC 5104 §3.5.4)."""
REMB_EVERY: Final = 1.0
"""Seconds between two REMBs: what senders take for alive (draft-alvestrand-rmcat-remb-03 §2.3 leaves it open)."""
LOSSY, CALM = 0.10, 0.02
"""Shares lost above which a REMB goes down, and up to which it goes up (draft-ietf-rmcat-gcc-02 §6)."""
GROWTH: Final = 1.08
FEW: Final = 20
"""Packets below which a share lost says nothing."""
LEAST: Final = 100_000.0
"""Bits a second that a lossy sender is asked for at least: the loss may not be of his making."""


class Congestion:
    """Both directions of all rows."""

    def __init__(self, beat: VideoBeat, pool: PacketPool, rows: int) -> None:
        self._beat, self._pool = beat, pool
        self._arrivals = Arrivals(rows)
        self._estimates: dict[int, Estimate] = {}
        """Of receivers' paths, by row."""
        self._asked: NDArray[np.float64] = np.zeros(rows)
        """When each row was last told how much to send."""
        self._bits: NDArray[np.float64] = np.full(rows, float(SEEN_BITS))
        """What it may send by the loss seen."""
        self._expected: NDArray[np.int64] = np.zeros(rows, np.int64)
        self._received: NDArray[np.int64] = np.zeros(rows, np.int64)
        self._octets: NDArray[np.int64] = np.zeros(rows, np.int64)
        self._sent: NDArray[np.int64] = np.zeros(rows, np.int64)
        self._when = 0.0

    def set(self, row: int, *, numbered: bool) -> None:
        """A stream is described: are its packets numbered transport-wide?"""
        numbered &= int(self._beat.table.transport[row]) == row  # the first of a transport stands for it
        for places in (self._arrivals, self._beat.fanout.departures):
            (places.open if numbered else places.close)(row)
        if numbered:
            self._estimates.setdefault(row, Estimate())
        else:
            self._estimates.pop(row, None)

    def forget(self, row: int) -> None:
        self.set(row, numbered=False)
        self._bits[row] = SEEN_BITS
        for column in (self._asked, self._expected, self._received, self._octets, self._sent):
            column[row] = 0

    def renew(self, row: int) -> None:
        """It is seen, or no longer: tell its sender soon."""
        self._asked[row] = 0

    # ------------------------------------------------------------------------------------------- what they send

    def came(self, packets: Packets) -> None:
        """Note the transport-wide numbers of packets that came."""
        table = self._beat.table
        identifiers = table.numbered[packets.rows]
        at = (packets.headers.extended & (identifiers > 0)).nonzero()[0]
        if at.size:
            found = numbers(self._pool, packets.slots[at], identifiers[at], packets.headers.offset[at])
            at, found = at[found >= 0], found[found >= 0]
            if at.size:
                rows = table.transport[packets.rows[at]]
                known = self._arrivals.place[rows] >= 0
                self._arrivals.add(rows[known], found[known], packets.arrivals[at][known])

    def tell(self) -> None:
        """Feedback of what came, to each whose packets did; some ten times a second."""
        table, reporter = self._beat.table, self._beat.reporter
        for row in self._arrivals.waiting().tolist():  # who negotiated it: browsers
            message = self._arrivals.take(row, int(table.ssrc[row]), int(table.remote_ssrc[row]))
            if message is not None:
                reporter.send_one(row, [feedback.write(message)])

    def moderate(self, now: float) -> None:
        """Once a second: ask senders of unseen pictures for less, and all for no more than comes through, where they
        understand that (REMB, TMMBR)."""
        table = self._beat.table
        self._measure(now)
        seen_rows = table.watched | table.forwarded
        wanted = np.where(seen_rows, np.minimum(self._bits, SEEN_BITS), UNSEEN_BITS)
        # Browsers take a REMB for all of their transport, whichever SSRC it names.
        sums = np.bincount(table.transport, np.where(table.live & table.heard, wanted, 0.0), len(wanted))
        due = table.live & table.heard & (now - self._asked >= REMB_EVERY)
        for row in due.nonzero()[0].tolist():
            spec = table.specs[int(table.stream[row])]
            seen, bits = bool(seen_rows[row]), int(sums[table.transport[row]])
            ours, theirs = int(table.ssrc[row]), int(table.remote_ssrc[row])
            if spec.remb:
                self._asked[row] = now
                self._beat.reporter.send_one(row, self._beat.answers.at_most(ours, theirs, bits))
            elif spec.tmmbr and now - self._asked[row] >= MODERATE_AGAIN:
                self._asked[row] = now
                bits = SEEN_BITS if seen else UNSEEN_BITS
                self._beat.reporter.send_one(row, self._beat.answers.less(ours, theirs, bits))

    def _measure(self, now: float) -> None:
        """Rates and losses of the last second, of all rows at once."""
        table, reception = self._beat.table, self._beat.reception
        passed, self._when = max(now - self._when, 0.001), now
        rows = (table.live & ~table.simulated).nonzero()[0]
        expected, received = reception.expected(rows), reception.received[rows]
        due = expected - self._expected[rows]
        lost = np.clip(due - (received - self._received[rows]), 0, np.maximum(due, 0)) / np.maximum(due, 1)
        rate = 8 * (table.octets[rows] - self._octets[rows]) / passed
        sent = 8 * (table.sent_octets[rows] - self._sent[rows]) / passed
        for row, bits in zip(rows.tolist(), sent.tolist(), strict=True):
            viewer = self._beat.viewer(row)
            if viewer is not None:
                viewer.climber.sending = bits
        self._expected[rows], self._received[rows] = expected, received
        self._octets[rows], self._sent[rows] = table.octets[rows], table.sent_octets[rows]
        allowed = self._bits[rows]
        allowed = np.where((lost > LOSSY) & (due > FEW), np.minimum(allowed, rate) * (1 - lost / 2), allowed)
        allowed = np.where(lost <= CALM, allowed * GROWTH, allowed)
        self._bits[rows] = np.clip(allowed, LEAST, SEEN_BITS)

    # ------------------------------------------------------------------------------------------- what we send

    def told(self, row: int, message: TransportCc, now: float) -> None:
        """A receiver's feedback came: where his path is the narrower, he is sent less."""
        row = int(self._beat.table.transport[row])
        estimate = self._estimates.get(row)
        if estimate is None:
            return
        estimate.feedback(self._beat.fanout.departures.fate(row, message), now)
        if estimate.limit != float("inf"):
            spent = self._beat.tiles.spent(row)
            self._beat.tiles.dirty |= spent > estimate.limit
            for viewer in self._beat.viewers_of(row):
                viewer.climber.limited(max(estimate.limit - spent, estimate.limit / 2), now, estimate=True)

    def limit(self, row: int) -> float:
        """Bits a second that a transport bears, as its feedback says; inf: nothing is known that limits it."""
        estimate = self._estimates.get(row)
        return estimate.limit if estimate is not None else float("inf")
