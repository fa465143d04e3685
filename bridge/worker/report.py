"""RTCP of all streams: what comes in is read one by one (it is rare), what goes out is written as arrays."""

from __future__ import annotations

from collections.abc import Callable
from typing import Any, Protocol, TypeAlias

import numpy as np
from numpy.typing import NDArray

from bridge.media import rtcp, rtcp_xr
from bridge.media.rtcp_build import Names, ReceptionColumns, SenderColumns, build_reports
from bridge.media.srtp import SPARE, SrtpTable
from bridge.media.wire import Sender

from .intake import Report
from .table import SourceTable

Rows: TypeAlias = NDArray[np.intp]

REPORTS_A_BEAT = 64
"""Incoming RTCP packets read a beat (3,000 streams make 12); a flood's rest waits; how many, intake bounds."""


class Reception(Protocol):
    """How the rows' streams are received (RFC 3550 A.1, A.3, A.8)."""

    received: NDArray[np.int64]
    highest: NDArray[np.int64]
    """(rows,) extended sequence numbers."""
    jitter: NDArray[np.float64]
    """(rows,) seconds."""
    clock: Any
    """(rows,) RTP clock rates."""
    late: NDArray[np.int64]
    delay: NDArray[np.float64]
    """(rows,) seconds that buffering adds."""
    packet_time: NDArray[np.float64]

    def expected(self, rows: Rows) -> NDArray[np.int64]: ...


class Reporter:
    """Owns RTCP in both directions, and what the far ends say of us."""

    def __init__(
        self,
        table: SourceTable[Any],
        jitter: Reception,
        srtp: SrtpTable,
        fds: tuple[list[int], list[int]],
        rng: np.random.Generator,
        heard_loss: Callable[[int, float], None],
        feedback: Callable[[int, rtcp.Feedback], None] | None = None,
    ) -> None:
        n = table.capacity
        self._feedback = feedback
        self._table, self._jitter, self._srtp, self._rng = table, jitter, srtp, rng
        self._rtp_fds, self._rtcp_fds = fds
        self._heard_loss = heard_loss
        self._sender = Sender(n)
        self._due: NDArray[np.float64] = np.full(n, np.inf)
        self._first: NDArray[np.bool_] = np.ones(n, np.bool_)
        self._sent_before: NDArray[np.int64] = np.zeros(n, np.int64)
        self._expected_before: NDArray[np.int64] = np.zeros(n, np.int64)
        self._received_before: NDArray[np.int64] = np.zeros(n, np.int64)
        self._lsr: NDArray[np.int64] = np.zeros(n, np.int64)
        self._lsr_at: NDArray[np.float64] = np.zeros(n)
        self.remote_lost: NDArray[np.float64] = np.zeros(n)
        """(rows,) fraction lost of what we send, by the last report."""
        self.round_trip: NDArray[np.float64] = np.zeros(n)
        """(rows,) seconds."""
        self.sharing: Callable[[int], list[int]] = lambda row: [row]
        """The rows whose reports come with a row's (BUNDLE)."""
        self._names: dict[int, str] = {}
        self._xr: set[int] = set()
        self.malformed = 0

    def add(self, row: int, cname: str, now: float, *, xr: bool) -> None:
        """A stream begins (or changes) in ``row``."""
        self._names[row] = cname or f"{int(self._table.ssrc[row]):08x}@visiopont"
        (self._xr.add if xr else self._xr.discard)(row)
        if not np.isfinite(self._due[row]):
            self._due[row] = now + float(rtcp.interval(self._rng.random(), True))

    def forget(self, row: int) -> None:
        self._names.pop(row, None)
        self._xr.discard(row)
        self._due[row] = np.inf
        self._first[row] = True
        for column in (self._sent_before, self._expected_before, self._received_before, self._lsr):
            column[row] = 0
        self._lsr_at[row] = self.remote_lost[row] = self.round_trip[row] = 0

    # ------------------------------------------------------------------------------------- in

    def read(self, reports: list[Report], now: float, realtime: float) -> None:
        """Take what intake set aside; what is read is removed from the list."""
        batch = reports[:REPORTS_A_BEAT]
        del reports[: len(batch)]
        batch = [report for report in batch if self._table.live[report.row]]
        for report, data in zip(batch, self._opened(batch), strict=True):
            row = report.row
            if data is None:
                continue
            try:
                packets = rtcp.parse(data)
            except rtcp.RtcpError:
                self.malformed += 1
                continue
            self._table.last_heard[self.sharing(row)] = now
            arrival = rtcp.ntp(realtime - (now - report.arrival))
            for packet in packets:
                self._take_of(row, packet, arrival, report.arrival)

    def _opened(self, batch: list[Report]) -> list[bytes | None]:
        """Each as it was written; none: it is not authentic."""
        found: list[bytes | None] = [report.data for report in batch]
        secure = [n for n, report in enumerate(batch) if self._table.secure_in[report.row]]
        if not secure:
            return found
        memory = np.zeros((len(secure), max(len(batch[n].data) for n in secure) + SPARE), np.uint8)
        for place, n in zip(memory, secure, strict=True):
            place[: len(batch[n].data)] = np.frombuffer(batch[n].data, np.uint8)
        addresses = np.uint64(memory.ctypes.data) + np.arange(len(secure), dtype=np.uint64) * np.uint64(memory.shape[1])
        lengths = np.array([len(batch[n].data) for n in secure], np.int32)
        good = self._srtp.unprotect_rtcp(np.array([batch[n].row for n in secure]), addresses, lengths)
        for place, n, length, whole in zip(memory, secure, lengths.tolist(), good.tolist(), strict=True):
            found[n] = place[:length].tobytes() if whole else None
        return found

    def _take_of(self, row: int, packet: rtcp.Packet, arrival: int, when: float) -> None:
        """Whoever shares the transport is told, but of feedback, of which its reader finds out whose it is."""
        rows = self.sharing(row) if isinstance(packet, rtcp.SenderReport | rtcp.ReceiverReport) else [row]
        for each in rows:
            self._take(each, packet, arrival, when)

    def _take(self, row: int, packet: rtcp.Packet, arrival: int, when: float) -> None:
        match packet:
            case rtcp.SenderReport():
                if not self._table.heard[row] or packet.ssrc == int(self._table.remote_ssrc[row]):
                    self._lsr[row] = rtcp.middle(packet.ntp)  # another's of one transport (BUNDLE) says nothing
                    self._lsr_at[row] = when
                self._take_blocks(row, packet.reports, arrival)
            case rtcp.ReceiverReport():
                self._take_blocks(row, packet.reports, arrival)
            case rtcp.Feedback() if self._feedback is not None:
                self._feedback(row, packet)
            case _:
                pass  # a BYE too: calls are ended by signalling

    def _take_blocks(self, row: int, blocks: tuple[rtcp.ReportBlock, ...], arrival: int) -> None:
        for block in blocks:
            if block.ssrc != int(self._table.ssrc[row]):
                continue
            self.remote_lost[row] = block.fraction / 256
            self._heard_loss(row, block.fraction / 256)
            trip = float(rtcp.round_trip(rtcp.middle(arrival), block.lsr, block.dlsr))
            if np.isfinite(trip):
                self.round_trip[row] = trip

    # ------------------------------------------------------------------------------------- out

    def send(self, now: float, realtime: float) -> None:
        """Reports of every stream whose time has come (RFC 3550 §6.3)."""
        rows = np.flatnonzero(self._due <= now)
        if not rows.size:
            return
        table = self._table
        self._due[rows] = now + rtcp.interval(self._rng.random(rows.size))
        self._first[rows] = False
        rows = rows[table.live[rows] & table.report_names[rows].any(axis=1)]
        sending = table.sent[rows] > self._sent_before[rows]
        hearing = table.heard[rows]
        for sends in (True, False):
            for hears in (True, False):
                part = rows[(sending == sends) & (hearing == hears)]
                if part.size:
                    self._send_group(part, now, realtime, sends=sends, hears=hears)
        self._sent_before[rows] = table.sent[rows]

    def goodbye(self, rows: Rows, now: float, realtime: float) -> None:
        """RTCP BYE (§6.6) for streams that end."""
        rows = rows[self._table.live[rows] & self._table.report_names[rows].any(axis=1)]
        if rows.size:
            self._send_group(rows, now, realtime, sends=False, hears=False, bye=True)

    def _send_group(
        self, rows: Rows, now: float, realtime: float, *, sends: bool, hears: bool, bye: bool = False
    ) -> None:
        table = self._table
        sender = None
        if sends:
            sender = SenderColumns(
                ntp=np.full(len(rows), rtcp.ntp(realtime), np.uint64),
                timestamp=table.timestamp[rows],
                packets=table.sent[rows],
                octets=table.sent_octets[rows],
            )
        reception = self._reception(rows, now) if hears else None
        names = Names.of([self._names.get(row, "visiopont") for row in rows.tolist()])
        packets, lengths = build_reports(table.ssrc[rows], names, sender, reception, bye=bye)
        if self._xr and hears and not bye:
            packets, lengths = self._append_xr(rows, packets, lengths)
        packets = np.ascontiguousarray(packets)
        addresses = np.uint64(packets.ctypes.data) + np.arange(len(rows), dtype=np.uint64) * np.uint64(
            packets.strides[0]
        )
        self._post(rows, addresses, lengths)

    def _post(self, rows: Rows, addresses: NDArray[np.uint64], lengths: NDArray[np.int32]) -> None:
        """Seal and send one compound a row."""
        table = self._table
        secure = np.flatnonzero(table.secure_out[rows])
        if secure.size:
            sealed = lengths[secure]
            good = self._srtp.protect_rtcp(rows[secure], addresses[secure], sealed)
            lengths[secure] = np.where(good, sealed, 0)
        lengths[table.keyed[rows] & ~table.secure_out[rows]] = 0  # its keys are not here yet
        whole = np.flatnonzero(lengths)
        rows, addresses, lengths = rows[whole], addresses[whole], lengths[whole]
        mux = table.mux[rows]
        for which, fds in ((mux, self._rtp_fds), (~mux, self._rtcp_fds)):
            at = np.flatnonzero(which)
            if not at.size:
                continue
            at = at[np.argsort(table.socket[rows[at]], kind="stable")]
            target = table.names if fds is self._rtp_fds else table.report_names
            names_at = np.uint64(target.ctypes.data) + rows[at].astype(np.uint64) * np.uint64(32)
            self._sender.send(fds, table.socket[rows[at]], names_at, addresses[at], lengths[at], addresses[at], 0)

    def _reception(self, rows: Rows, now: float) -> ReceptionColumns:
        """Loss since the last report and in all, by RFC 3550 A.3."""
        table, jitter = self._table, self._jitter
        expected, received = jitter.expected(rows), jitter.received[rows]
        fresh = expected - self._expected_before[rows]
        lost = fresh - (received - self._received_before[rows])
        fraction = np.where((fresh > 0) & (lost > 0), (lost << 8) // np.maximum(fresh, 1), 0)
        self._expected_before[rows], self._received_before[rows] = expected, received
        known = self._lsr_at[rows] > 0
        return ReceptionColumns(
            ssrc=table.remote_ssrc[rows],
            fraction=np.minimum(fraction, 255),
            lost=expected - received,
            highest=jitter.highest[rows],
            jitter=(jitter.jitter[rows] * jitter.clock[rows]).astype(np.int64),
            lsr=np.where(known, self._lsr[rows], 0),
            dlsr=np.where(known, (now - self._lsr_at[rows]) * 65536, 0).astype(np.int64),
        )

    def send_one(self, row: int, packets: list[rtcp.Packet]) -> None:
        """Send feedback that can't wait for its report to one stream now, in a whole compound (RFC 4585 §3.1): reduced
        size (RFC 5506) would have to be negotiated."""
        data = np.zeros(2048, np.uint8)
        ssrc = int(self._table.ssrc[row])
        name = self._names.get(row, "visiopont").encode()[:255]
        who = rtcp.SourceDescription((rtcp.Chunk(ssrc, ((rtcp.CNAME, name),)),))
        body = rtcp.build([rtcp.ReceiverReport(ssrc), who, *packets])
        if len(body) > len(data) - 64 or not self._table.report_names[row].any():
            return
        data[: len(body)] = np.frombuffer(body, np.uint8)
        self._post(np.array([row]), np.array([data.ctypes.data], np.uint64), np.array([len(body)], np.int32))

    def _append_xr(self, rows: Rows, packets: NDArray[Any], lengths: NDArray[np.int32]) -> tuple[Any, Any]:
        """VoIP metrics (RFC 3611 §4.7) behind the reports of whoever asked."""
        wider = np.zeros((len(rows), packets.shape[1] + 64), np.uint8)
        wider[:, : packets.shape[1]] = packets
        for n, row in enumerate(rows.tolist()):
            if row in self._xr:
                block = rtcp.build([rtcp.ExtendedReport(int(self._table.ssrc[row]), self._voip(row))])
                end = int(lengths[n])
                wider[n, end : end + len(block)] = np.frombuffer(block, np.uint8)
                lengths[n] += len(block)
        return wider, lengths

    def _voip(self, row: int) -> bytes:
        jitter = self._jitter
        at = np.array([row])
        expected = int(jitter.expected(at)[0])
        lost = max(expected - int(jitter.received[row]), 0) / max(expected, 1)
        late = int(jitter.late[row]) / max(expected, 1)
        delay = 1000 * float(self.round_trip[row]) / 2 + 1000 * float(jitter.delay[row]) + 20
        quality = float(rtcp_xr.r_factor(lost + late, delay))
        mos = round(10 * float(rtcp_xr.mos(quality)))
        metrics = rtcp_xr.VoipMetrics(
            ssrc=int(self._table.remote_ssrc[row]),
            loss_rate=min(int(lost * 256), 255),
            discard_rate=min(int(late * 256), 255),
            burst_density=0,  # all loss counts as a gap's: following bursts would cost every beat of every stream
            gap_density=min(int((lost + late) * 256), 255),
            burst_duration=0,
            gap_duration=min(int(expected * 1000 * float(jitter.packet_time[row])), 65535),
            round_trip=min(int(1000 * float(self.round_trip[row])), 65535),
            end_system_delay=min(int(delay), 65535),
            r_factor=min(max(int(quality), 0), 100),
            mos_lq=mos,
            mos_cq=mos,
            nominal=min(int(1000 * float(jitter.delay[row])), 65535),
            maximum=250,
            absolute_maximum=250,
            configuration=rtcp_xr.ADAPTIVE_STANDARD_PLC,
        )
        return rtcp_xr.build_blocks([metrics])
