"""What control is told once a second of every stream, gathered a part at a time so that no beat does it all."""

from __future__ import annotations

from typing import TypeAlias

import numpy as np
from numpy.typing import NDArray

from bridge.media.jitter import JitterBuffer
from bridge.media.srtp import SrtpTable
from bridge.mixer.level import dbov

from .kind import CLOCK_RATE
from .protocol import SendState, StreamReport
from .report import Reporter
from .table import StreamTable

F32: TypeAlias = NDArray[np.float32]

PARTS = 25
"""Beats over which a report is gathered."""
BEATS_A_SECOND = 50


class Figures:
    """Reads the tables of the beat; owns nothing but the report that is being gathered."""

    def __init__(
        self, table: StreamTable, jitter: JitterBuffer, srtp: SrtpTable, reporter: Reporter, power: F32
    ) -> None:
        self._table, self._jitter, self._srtp, self._reporter, self._power = table, jitter, srtp, reporter, power
        self._found: list[StreamReport] = []

    def take(self) -> tuple[StreamReport, ...]:
        """The report, once all its parts are gathered."""
        found, self._found = tuple(self._found), []
        return found

    def gather(self, part: int) -> None:
        """Every :data:`PARTS`-th row, from row ``part`` on."""
        table, jitter, reporter = self._table, self._jitter, self._reporter
        rows = table.live[part::PARTS].nonzero()[0] * PARTS + part
        if not rows.size:
            return
        expected, received = jitter.expected(rows), jitter.received[rows]
        rollovers, rtcp_indices = self._srtp.rollover(rows), self._srtp.send_state(rows)[1]
        # The timestamp is that of the beat in which the last part is gathered and the report leaves.
        ahead = CLOCK_RATE[table.send_kind[rows]].astype(np.int64) // BEATS_A_SECOND * (PARTS - 1 - part)
        states = map(
            SendState,
            table.ssrc[rows].tolist(),
            table.sequence[rows].tolist(),
            ((table.timestamp[rows] + ahead) & 0xFFFFFFFF).tolist(),
            table.rollover[rows].tolist(),
            rtcp_indices.tolist(),
        )
        columns = (
            table.stream[rows],
            received,
            np.maximum(expected - received, 0),
            jitter.late[rows],
            _rounded(1000 * jitter.jitter[rows], 2),
            _rounded(1000 * jitter.delay[rows], 1),
            _rounded(dbov(self._power[rows]), 1),
            table.sent[rows],
            reporter.remote_lost[rows],
            _rounded(1000 * reporter.round_trip[rows], 1),
            (1000 * jitter.concealed[rows] * jitter.packet_time[rows]).astype(np.int64),
            table.discarded[rows],
        )
        self._found += map(StreamReport, *(column.tolist() for column in columns), states, rollovers.tolist())


def _rounded(values: NDArray[np.float64] | F32, digits: int) -> NDArray[np.float64]:
    """For people to read, and short on the wire."""
    wide: NDArray[np.float64] = values.astype(np.float64)
    return wide.round(digits)
