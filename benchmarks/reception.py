"""What simulated browsers get, stream by stream, and what they say of it: RTCP reports and transport-wide feedback."""

from __future__ import annotations

from dataclasses import dataclass

import numpy as np
from numpy.typing import NDArray

from bridge.media import rtcp, rtp
from bridge.media.rtcp_build import Names, ReceptionColumns, SenderColumns, build_reports
from bridge.media.video import extension, feedback
from bridge.media.video.arrivals import Arrivals
from bridge.media.wire import PacketPool

from .descriptions import OPUS, RTX

EVERY = 1.0
"""Seconds between two reports of a stream, as browsers send them of pictures."""
FEEDBACK_EVERY = 0.1
"""Seconds between two transport-wide feedbacks: libwebrtc's default (50 to 250 ms, by what it sends)."""
COLUMNS = {
    "row": np.int64,
    "payload_type": np.int64,
    "base": np.int64,
    "highest": np.int64,
    "received": np.int64,
    "frames": np.int64,
    "told_highest": np.int64,
    "told_received": np.int64,
    "report": np.int64,
    "report_at": np.float64,
}
"""``report``: middle of their last sender report's NTP time; ``report_at``: when it came."""


@dataclass(frozen=True, slots=True)
class Snapshot:
    """Counts of all streams at one moment."""

    highest: NDArray[np.int64]
    received: NDArray[np.int64]
    frames: NDArray[np.int64]


@dataclass(slots=True)
class Compounds:
    """RTCP to be sent, in the clear, with room behind each for SRTCP."""

    rows: NDArray[np.int64]
    octets: NDArray[np.uint8]
    """(n, size)"""
    lengths: NDArray[np.int32]


class Streams:
    """All that came, by SSRC: these are random, and are taken for unique in all peer connections together."""

    def __init__(self, pool: PacketPool, names: list[str]) -> None:
        """``names``: of the rows, as in their CNAME."""
        self._pool = pool
        self._names = Names.of(names)
        self._ssrcs = np.zeros(0, np.uint32)
        """Sorted."""
        self._index = np.zeros(0, np.intp)
        """Of each of those, its place in the columns."""
        self.ssrc: NDArray[np.uint32] = np.zeros(0, np.uint32)
        self.columns = {name: np.zeros(0, kind) for name, kind in COLUMNS.items()}
        self._arrivals = Arrivals(len(names))
        self._transport = np.zeros(len(names), np.uint8)
        self._due = np.zeros(len(names))

    def __len__(self) -> int:
        return len(self.ssrc)

    def number(self, row: int, identifier: int, now: float) -> None:
        """The packets that this one gets have transport-wide numbers."""
        self._arrivals.open(row)
        self._transport[row] = identifier
        self._due[row] = now + FEEDBACK_EVERY * (row % 10) / 10

    def take(
        self,
        rows: NDArray[np.intp],
        slots: NDArray[np.int32],
        lengths: NDArray[np.int32],
        arrivals: NDArray[np.float64],
    ) -> rtp.Headers:
        """RTP packets that came."""
        heads, _ = rtp.parse(self._pool, slots, lengths)
        at = self._places(rows, heads)
        c = self.columns
        distance = (heads.sequence - c["highest"][at] + 0x8000) % 0x10000 - 0x8000
        np.maximum.at(c["highest"], at, c["highest"][at] + distance)
        c["received"] += np.bincount(at, minlength=len(self))
        c["frames"] += np.bincount(at[heads.marker], minlength=len(self))
        numbered = (heads.extended & (self._transport[rows] > 0)).nonzero()[0]
        if numbered.size:
            numbers = extension.numbers(
                self._pool, slots[numbered], self._transport[rows[numbered]], heads.offset[numbered]
            )
            has = numbers >= 0
            self._arrivals.add(rows[numbered[has]], numbers[has], arrivals[numbered[has]])
        return heads

    def reported(self, ssrc: int, stamp: int, arrival: float) -> None:
        """A sender report of theirs came."""
        n = int(np.searchsorted(self._ssrcs, ssrc))
        if n < len(self) and self._ssrcs[n] == ssrc:
            self.columns["report"][self._index[n]] = rtcp.middle(stamp)
            self.columns["report_at"][self._index[n]] = arrival

    def snapshot(self) -> Snapshot:
        return Snapshot(*(self.columns[name].copy() for name in ("highest", "received", "frames")))

    # What is said

    def reports(self, rows: NDArray[np.bool_], own: NDArray[np.uint32], now: float) -> Compounds:
        """Receiver reports of all streams of these rows.

        Args:
            rows: (n,) of all rows, which.
            own: (n,) SSRC of each.
        """
        c = self.columns
        at = (rows[c["row"]] & (c["received"] > 0)).nonzero()[0]
        highest, received = c["highest"][at], c["received"][at]
        expected = np.maximum(highest - c["told_highest"][at], 0)
        lost = np.maximum(expected - (received - c["told_received"][at]), 0)
        c["told_highest"][at], c["told_received"][at] = highest, received
        known = c["report"][at] > 0
        block = ReceptionColumns(
            ssrc=self.ssrc[at],
            fraction=256 * lost // np.maximum(expected, 1),
            lost=highest - c["base"][at] + 1 - received,
            highest=highest,
            jitter=np.zeros(len(at), np.int64),
            lsr=c["report"][at],
            dlsr=np.where(known, (now - c["report_at"][at]) * 65536, 0).astype(np.int64),
        )
        row = c["row"][at]
        octets, lengths = build_reports(own[row], self._names.rows(row), None, block)
        return Compounds(row, octets, lengths)

    def feedback(self, own: NDArray[np.uint32], now: float) -> list[tuple[int, bytes]]:
        """Transport-wide feedback of rows whose time has come: row by row, as its format is of a row."""
        waiting = self._arrivals.waiting()
        said = []
        for row in waiting[self._due[waiting] <= now].tolist():
            following = self._due[row] + FEEDBACK_EVERY
            self._due[row] = following if following > now else now + FEEDBACK_EVERY
            message = self._arrivals.take(row, int(own[row]), 0)
            if message is not None:
                said.append((row, rtcp.build([feedback.write(message)])))
        return said

    def sending(
        self,
        rows: NDArray[np.int64],
        ssrcs: NDArray[np.uint32],
        stamps: NDArray[np.int64],
        packets: NDArray[np.int64],
        octets: NDArray[np.int64],
        realtime: float,
    ) -> Compounds:
        """Sender reports."""
        clock = np.full(len(rows), rtcp.ntp(realtime), np.uint64)
        body, lengths = build_reports(
            ssrcs, self._names.rows(rows), SenderColumns(clock, stamps, packets, octets), None
        )
        return Compounds(rows, body, lengths)

    # Inside

    def _places(self, rows: NDArray[np.intp], heads: rtp.Headers) -> NDArray[np.intp]:
        """Where each packet's stream stands in the columns; new ones are added."""
        n = np.searchsorted(self._ssrcs, heads.ssrc)
        found = n < len(self)
        found[found] = self._ssrcs[n[found]] == heads.ssrc[found]
        if not found.all():
            new, first = np.unique(heads.ssrc[~found], return_index=True)
            first = (~found).nonzero()[0][first]
            self._add(new, rows[first], heads.payload_type[first], heads.sequence[first])
            n = np.searchsorted(self._ssrcs, heads.ssrc)
        return self._index[n]

    def _add(
        self,
        ssrcs: NDArray[np.uint32],
        rows: NDArray[np.intp],
        payload_types: NDArray[np.uint8],
        sequences: NDArray[np.int32],
    ) -> None:
        begin = sequences.astype(np.int64) + 0x10000
        values = {"row": rows, "payload_type": payload_types, "base": begin, "highest": begin}
        values["told_highest"] = begin - 1
        for name, kind in COLUMNS.items():
            more = np.asarray(values.get(name, np.zeros(len(ssrcs))), kind)
            self.columns[name] = np.concatenate([self.columns[name], more])
        self.ssrc = np.concatenate([self.ssrc, ssrcs])
        self._index = np.argsort(self.ssrc, kind="stable")
        self._ssrcs = self.ssrc[self._index]


@dataclass(frozen=True, slots=True)
class Counted:
    """From one snapshot to the end."""

    frames: NDArray[np.float64]
    """(k,) a second, of each picture from which anything came."""
    watchers: NDArray[np.int64]
    """(k,) the rows that got them."""
    audio_lost: int
    """Gaps in numbers, reordering aside."""
    video_lost: int
    video_packets: int
    audio_packets: int
    audio_fewest: int
    """Packets that the worst served row got."""
    audible: int
    """Rows that got sound."""


def counted(streams: Streams, before: Snapshot, seconds: float) -> Counted:
    now = streams.snapshot()
    old = len(before.highest)
    received, frames, span = now.received.copy(), now.frames.copy(), now.highest - streams.columns["base"] + 1
    received[:old] -= before.received
    frames[:old] -= before.frames
    span[:old] = now.highest[:old] - before.highest
    kinds = streams.columns["payload_type"]
    audio = kinds == OPUS
    video = ~audio & (kinds != RTX)
    lost = np.maximum(span - received, 0)
    rows = streams.columns["row"]
    heard = np.bincount(rows[audio], weights=received[audio], minlength=1)
    heard = heard[heard > 0]
    shown = video & (received > 0)
    return Counted(
        frames=frames[shown] / seconds,
        watchers=rows[shown],
        audio_lost=int(lost[audio].sum()),
        video_lost=int(lost[video].sum()),
        video_packets=int(received[video].sum()),
        audio_packets=int(received[audio].sum()),
        audio_fewest=int(heard.min(initial=0)) if heard.size else 0,
        audible=len(heard),
    )
