"""What control is told once a second of every stream."""

from __future__ import annotations

import resource
from typing import TYPE_CHECKING

import numpy as np

from ..protocol import SendState
from ..protocol_video import VideoReport, VideoStreamReport

if TYPE_CHECKING:
    from .beat import VideoBeat

WATCHED_BEATS = 1500
"""Beats whose durations are reported: 10 s."""


class Figures:
    """Reads the beat's state, and remembers what it was a second ago."""

    def __init__(self, beat: VideoBeat) -> None:
        self._beat = beat
        self._durations = np.zeros(WATCHED_BEATS)
        self._count = 0
        self._before: dict[int, tuple[int, int, int]] = {}
        """By stream: octets in, octets out, pictures decoded."""
        self._when = 0.0
        self._work = (0, 0)
        self._used = 0.0
        self.late = 0.0
        """Share of the frames due that were left out between the last two reports."""

    def lasted(self, seconds: float) -> None:
        self._durations[self._count % WATCHED_BEATS] = seconds
        self._count += 1

    def report(self, now: float) -> VideoReport:
        beat = self._beat
        passed = max(now - self._when, 0.001)
        self._when = now
        beats = 1000 * np.sort(self._durations[: max(min(self._count, WATCHED_BEATS), 1)])
        usage = resource.getrusage(resource.RUSAGE_SELF)
        used = usage.ru_utime + usage.ru_stime
        load = (used - self._used) / passed / beat.crew.cores if self._used else 0.0
        self._used = used
        late, due = beat.work.late - self._work[0], beat.work.due - self._work[1]
        self._work = beat.work.late, beat.work.due
        self.late = late / max(due, 1)
        encodings = [
            each for room in beat.rooms.values() for pane in room.panes.values() for each in pane.encodings.values()
        ]
        return VideoReport(
            streams=self._streams(passed, now),
            beat_p50_ms=round(float(beats[len(beats) // 2]), 3),
            beat_p99_ms=round(float(beats[-1 - len(beats) // 100]), 3),
            encodings=sum(bool(each.members) for each in encodings),
            encoded=beat.work.encoded,
            still=beat.work.still,
            decoded=beat.decoded,
            late=beat.work.late,
            cpu_seconds=used,
            strangers=beat.strangers,
            malformed=beat.malformed,
            made=now,
            lowered=beat.load.steps(beat.asked),
            load=round(load, 3),
        )

    def _streams(self, passed: float, now: float) -> tuple[VideoStreamReport, ...]:
        """Over all streams, once a second: some microseconds each."""
        beat, table, reception = self._beat, self._beat.table, self._beat.reception
        rows = (table.live & ~table.simulated).nonzero()[0]
        if not rows.size:
            self._before.clear()
            return ()
        expected = reception.expected(rows)
        rollovers, indices = beat.rollovers(rows)
        before, self._before = self._before, {}
        found = []
        for n, row in enumerate(rows.tolist()):
            stream = int(table.stream[row])
            source, viewer = beat.sources.get(row), beat.viewer(row)
            decoded = source.decoded if source else 0
            octets, sent = int(table.octets[row]), int(table.sent_octets[row])
            self._before[stream] = (octets, sent, decoded)
            octets_before, sent_before, decoded_before = before.get(stream, (octets, sent, decoded))
            tile = beat.tiles.rid(row) if table.tile[row] else ("", 0)
            rung = viewer.encoding.kind.rung if viewer and viewer.encoding else None
            found.append(
                VideoStreamReport(
                    stream=stream,
                    received=int(reception.received[row]),
                    lost=max(int(expected[n] - reception.received[row]), 0),
                    jitter_ms=round(1000 * float(reception.jitter[row]), 2),
                    bitrate=int(8 * (octets - octets_before) / passed),
                    width=source.size[0] if source else 0,
                    height=source.size[1] if source else 0,
                    rate=round(max(decoded - decoded_before, 0) / passed, 1),
                    decoded=decoded,
                    errors=source.refused if source else 0,
                    keyframes_asked=source.asked if source else 0,
                    frozen_ms=int(1000 * source.frozen(now)) if source else 0,
                    sent=int(table.sent[row]),
                    sent_bitrate=int(8 * (sent - sent_before) / passed),
                    sent_width=rung.width if rung else 0,
                    sent_height=rung.height if rung else tile[1],
                    sent_rate=float(rung.rate) if rung else 0.0,
                    remote_lost=float(beat.reporter.remote_lost[row]),
                    round_trip_ms=round(1000 * float(beat.reporter.round_trip[row]), 1),
                    discarded=int(table.discarded[row]),
                    send_state=SendState(
                        int(table.ssrc[row]),
                        int(table.sequence[row]),
                        int(table.timestamp[row]),
                        int(table.rollover[row]),
                        int(indices[n]),
                    ),
                    receive_rollover=int(rollovers[n]),
                    layer=beat.simulcasts[row].rid if row in beat.simulcasts else tile[0],
                    estimate=_whole(viewer.climber.limit(now) if viewer else beat.tiles.limit(row, now)),
                )
            )
        return tuple(found)


def _whole(bits: float) -> int:
    return int(min(bits, 1e12)) if bits != float("inf") else 0
