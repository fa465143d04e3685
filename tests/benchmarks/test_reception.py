"""What the simulated browsers of the benchmarks count and report, without a network."""

from __future__ import annotations

import struct

import numpy as np

from benchmarks.descriptions import OPUS, TRANSPORT, VP8
from benchmarks.reception import Streams, counted
from bridge.media import rtcp
from bridge.media.video import feedback
from bridge.media.video.transport_cc import TransportCc
from bridge.media.wire import PacketPool

SOUND, PICTURE = 70_000, 3_000_000_000


def packet(kind: int, ssrc: int, sequence: int, *, last: bool = False, number: int | None = None) -> bytes:
    head = struct.pack("!BBHII", 0x90 if number is not None else 0x80, last << 7 | kind, sequence, 0, ssrc)
    if number is not None:
        head += struct.pack("!HHBHB", 0xBEDE, 1, TRANSPORT << 4 | 1, number, 0)
    return head + bytes(20)


def take(streams: Streams, pool: PacketPool, row: int, packets: list[bytes], now: float) -> None:
    slots = pool.take(len(packets))
    for slot, each in zip(slots, packets, strict=True):
        pool.memory[slot, : len(each)] = np.frombuffer(each, np.uint8)
    lengths = np.array([len(each) for each in packets], np.int32)
    streams.take(np.full(len(packets), row, np.intp), slots, lengths, np.full(len(packets), now))
    pool.give(slots)


def crowd() -> tuple[Streams, PacketPool]:
    pool = PacketPool(64)
    return Streams(pool, ["b0", "b1"]), pool


def test_packets_frames_and_gaps_are_counted_from_the_snapshot_on() -> None:
    streams, pool = crowd()
    take(streams, pool, 0, [packet(OPUS, SOUND, 65_534)], 1.0)
    before = streams.snapshot()
    take(streams, pool, 0, [packet(OPUS, SOUND, n) for n in (65_535, 1, 0, 4)], 1.1)
    take(streams, pool, 1, [packet(VP8, PICTURE, n, last=n % 2 == 0) for n in range(1, 7)], 1.2)
    found = counted(streams, before, 0.5)
    assert (found.audio_packets, found.audio_lost, found.audible) == (4, 2, 1)
    assert (found.video_packets, found.video_lost) == (6, 0)
    assert found.frames.tolist() == [6.0]
    assert found.watchers.tolist() == [1]


def test_reports_tell_of_each_stream_since_the_last_one() -> None:
    streams, pool = crowd()
    take(streams, pool, 1, [packet(VP8, PICTURE, n) for n in (10, 11, 13)], 1.0)
    streams.reported(PICTURE, 5 << 32, 2.0)
    own = np.array([1, 2], np.uint32)
    compounds = streams.reports(np.array([False, True]), own, 2.5)
    [report, _] = rtcp.parse(compounds.octets[0, : compounds.lengths[0]].tobytes())
    assert isinstance(report, rtcp.ReceiverReport)
    [block] = report.reports
    assert (report.ssrc, block.ssrc, block.lost, block.highest & 0xFFFF) == (2, PICTURE, 1, 13)
    assert (block.fraction, block.lsr, block.dlsr) == (64, 5 << 16, 32_768)
    take(streams, pool, 1, [packet(VP8, PICTURE, 14)], 3.0)
    compounds = streams.reports(np.array([False, True]), own, 3.5)
    [report, _] = rtcp.parse(compounds.octets[0, : compounds.lengths[0]].tobytes())
    assert isinstance(report, rtcp.ReceiverReport)
    assert report.reports[0].fraction == 0


def test_feedback_tells_when_numbered_packets_came_ten_times_a_second() -> None:
    streams, pool = crowd()
    own = np.array([1, 2], np.uint32)
    streams.number(1, TRANSPORT, 0.0)
    take(streams, pool, 1, [packet(VP8, PICTURE, n, number=n) for n in (7, 8, 10)], 1.0)
    take(streams, pool, 0, [packet(VP8, PICTURE + 1, n, number=n) for n in (7, 8)], 1.0)
    [(row, body)] = streams.feedback(own, 1.0)
    [packed] = rtcp.parse(body)
    assert isinstance(packed, rtcp.Feedback)
    told = feedback.read(packed)
    assert isinstance(told, TransportCc)
    assert (row, told.base, [each is not None for each in told.arrivals]) == (1, 7, [True, True, False, True])
    take(streams, pool, 1, [packet(VP8, PICTURE, 11, number=11)], 1.01)
    assert not streams.feedback(own, 1.01)
    assert streams.feedback(own, 1.2)
