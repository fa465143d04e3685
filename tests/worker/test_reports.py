"""RTCP of the whole beat: what is reported, where to, and what the far end's reports do."""

from __future__ import annotations

import time

import numpy as np
import pytest

from bridge.media import rtcp
from bridge.worker.protocol import DropStream, Report, SetRoom, SetTalker
from tests.worker.phones import Bridge, Phone, drain, sine


def packets(phone: Phone, kind: type) -> list:
    return [packet for data in phone.reports for packet in rtcp.parse(data) if isinstance(packet, kind)]


def call(bridge: Bridge, phone: Phone, beats: int, *, lose: int = 0) -> None:
    said = sine(500, phone.rate, beats)
    for n in range(beats):
        if lose and n % lose == lose - 1:
            phone.sequence += 1
            phone.timestamp += len(said[n])
        else:
            phone.send(said[n])
        bridge.step()


@pytest.mark.parametrize("mux", [True, False])
def test_a_sender_report_tells_what_was_sent_and_what_was_heard(bridge: Bridge, mux: bool) -> None:
    a = bridge.phone("PCMU", mux=mux, join={"cname": "demo@example.org"})
    call(bridge, a, 500, lose=10)
    reports = packets(a, rtcp.SenderReport)
    assert 1 <= len(reports) <= 5
    last = reports[-1]
    position = next(n for n, data in enumerate(reversed(a.reports)) if rtcp.parse(data))
    assert position == 0
    assert last.ssrc == a.packets[0].ssrc
    assert last.packets <= len(a.packets)
    assert last.octets == 160 * last.packets
    # the timestamp is that of the report's instant: as far from the first packet's as the packets sent
    assert (last.timestamp - a.packets[0].timestamp) & 0xFFFFFFFF == 160 * last.packets
    block = last.reports[0]
    assert block.ssrc == a.ssrc
    assert 20 <= block.fraction <= 30  # a tenth of 256
    assert block.lost == pytest.approx(0.1 * (block.highest & 0xFFFF) - 100, abs=2)
    assert block.jitter == 0
    assert packets(a, rtcp.SourceDescription)[-1].chunks[0].cname == "demo@example.org"
    if not mux:
        assert all(not 192 <= data[1] <= 223 for data in a.raw)


def test_who_sends_nothing_gets_a_report_without_blocks_and_who_is_sent_nothing_a_receiver_report(
    bridge: Bridge,
) -> None:
    silent, held = bridge.phone("PCMU"), bridge.phone("PCMU", join={"send": None})
    call(bridge, held, 400)
    assert packets(silent, rtcp.SenderReport)
    assert all(not report.reports for report in packets(silent, rtcp.SenderReport))
    assert packets(held, rtcp.ReceiverReport)
    assert not packets(held, rtcp.SenderReport)
    assert packets(held, rtcp.ReceiverReport)[-1].reports[0].ssrc == held.ssrc


def test_a_reports_echo_tells_when_ours_came(bridge: Bridge) -> None:
    a = bridge.phone("PCMU")
    call(bridge, a, 10)
    stamp = rtcp.ntp(1_600_000_000.5)
    a.send_rtcp(rtcp.build([rtcp.SenderReport(a.ssrc, stamp, 0, 10, 1600), rtcp.SourceDescription(())]))
    told = bridge.now
    call(bridge, a, 400)
    block = packets(a, rtcp.SenderReport)[-1].reports[0]
    assert block.lsr == rtcp.middle(stamp)
    assert 0 < block.dlsr / 65536 <= bridge.now - told


def test_the_far_ends_report_is_shown_with_its_loss_and_round_trip(bridge: Bridge) -> None:
    a = bridge.phone("PCMU")
    call(bridge, a, 400)
    ours = packets(a, rtcp.SenderReport)[-1]
    # it says: your report came, and half a second later I send this; on a network of no delay
    at = 1_700_000_000.0 + bridge.now
    held = (rtcp.middle(rtcp.ntp(at)) - rtcp.middle(ours.ntp)) & 0xFFFFFFFF
    block = rtcp.ReportBlock(ours.ssrc, 64, 30, 70000, 0, rtcp.middle(ours.ntp), held - 6554)
    a.send_rtcp(rtcp.build([rtcp.ReceiverReport(a.ssrc, (block,))]))
    call(bridge, a, 60)
    figures = bridge.of(Report)[-1].streams[0]
    assert figures.remote_lost == 0.25
    assert 90 <= figures.round_trip_ms <= 220


def test_reports_for_other_streams_or_broken_ones_change_nothing(bridge: Bridge) -> None:
    a = bridge.phone("PCMU")
    call(bridge, a, 60)
    a.send_rtcp(rtcp.build([rtcp.ReceiverReport(a.ssrc, (rtcp.ReportBlock(12345, 200, 1, 1, 1, 1, 1),))]))
    a.send_rtcp(b"\x81\xc9\x00\x09" + bytes(8))
    call(bridge, a, 60)
    report = bridge.of(Report)[-1]
    assert report.streams[0].remote_lost == 0
    assert report.malformed == 1


def test_a_dropped_stream_and_a_closed_worker_say_goodbye(bridge: Bridge) -> None:
    a, b, c = bridge.phone("PCMU"), bridge.phone("PCMU", mux=True), bridge.phone("PCMU")
    call(bridge, a, 5)
    bridge.obey(DropStream(1), DropStream(2))
    for phone in (a, b):
        phone.collect()
        assert packets(phone, rtcp.Bye)[-1].ssrcs == (phone.packets[0].ssrc,)
    bridge.step(5)
    assert len(a.packets) == 5
    bridge.beat.close()
    assert any(isinstance(packet, rtcp.Bye) for data in drain(c.rtcp) for packet in rtcp.parse(data))


def test_a_flood_of_goodbyes_grows_nothing(bridge: Bridge) -> None:
    a = bridge.phone("PCMU")
    call(bridge, a, 5)
    for _ in range(40):
        for _ in range(20):
            a.send_rtcp(rtcp.build([rtcp.ReceiverReport(a.ssrc), rtcp.Bye((a.ssrc,))]))
        bridge.step(5)
    sizes = [len(value) for value in vars(bridge.beat._reporter).values() if isinstance(value, list | dict | set)]
    assert max(sizes) < 10


def test_only_packets_that_were_lost_count_as_lost(bridge: Bridge) -> None:
    a = bridge.phone("PCMU")
    rng = np.random.default_rng(3)
    for _ in range(20):
        burst = [(a.sequence + n, a.timestamp + 160 * n) for n in range(4)]
        after = a.sequence + 4, a.timestamp + 640
        for sequence, stamp in rng.permutation(burst).tolist():
            a.sequence, a.timestamp = sequence, stamp
            a.send(np.zeros(160))
        a.sequence, a.timestamp = after
        bridge.step(4)
    figures = bridge.of(Report)[-1].streams[0]
    assert figures.lost == 0


def test_simulated_talkers_are_reported_with_the_level_of_what_they_say(bridge: Bridge) -> None:
    bridge.obey(SetRoom(1))
    bridge.obey(SetTalker(stream=7, room=1, clips=("tone:beep",), turn=0, turns=1))
    levels = []
    for _ in range(400):
        bridge.step()
        time.sleep(0.0005)  # the clip is read by a thread
        if bridge.of(Report):
            levels += [figures.level_dbov for figures in bridge.of(Report)[-1].streams if figures.stream == 7]
    assert max(levels) > -40
    assert bridge.of(Report)[-1].streams[0].received == 0
