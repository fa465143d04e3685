"""RTCP: parse and build are inverse, bad compounds are refused, the arrays build what the dataclasses would."""

import math
import random

import numpy as np
import pytest
from hypothesis import given
from hypothesis import strategies as st

from bridge.media import rtcp, rtcp_xr
from bridge.media.rtcp import (
    App,
    Bye,
    Chunk,
    ExtendedReport,
    Feedback,
    ReceiverReport,
    ReportBlock,
    RtcpError,
    SenderReport,
    SourceDescription,
)
from bridge.media.rtcp_build import Names, ReceptionColumns, SenderColumns, build_reports

u8, u16, u32, u64 = (st.integers(0, (1 << bits) - 1) for bits in (8, 16, 32, 64))
words = st.integers(0, 6).flatmap(lambda n: st.binary(min_size=4 * n, max_size=4 * n))
text = st.binary(max_size=255)
blocks = st.builds(ReportBlock, u32, u8, st.integers(-(1 << 23), (1 << 23) - 1), u32, u32, u32, u32)
reports = st.lists(blocks, max_size=31).map(tuple)
chunks = st.builds(Chunk, u32, st.lists(st.tuples(st.integers(1, 255), text), max_size=4).map(tuple))
ssrcs = st.lists(u32, max_size=31).map(tuple)
packets = st.one_of(
    st.builds(SenderReport, u32, u64, u32, u32, u32, reports, words),
    st.builds(ReceiverReport, u32, reports, words),
    st.builds(SourceDescription, st.lists(chunks, max_size=5).map(tuple)),
    st.builds(Bye, ssrcs, text),
    st.builds(App, u32, st.integers(0, 31), st.binary(min_size=4, max_size=4), words),
    st.builds(Feedback, st.sampled_from([205, 206]), st.integers(0, 31), u32, u32, words),
    st.builds(ExtendedReport, u32, words),
)


@given(st.lists(packets, min_size=1, max_size=5))
def test_parse_gives_back_what_was_built(compound: list[rtcp.Packet]) -> None:
    assert rtcp.parse(rtcp.build(compound)) == compound


def test_a_sender_report_by_hand() -> None:
    """The layout of RFC 3550 §6.4.1, octet by octet."""
    data = bytes.fromhex(
        "81c8000c 01020304 83aa7e8080000000 00000064 00000005 00000320"
        "0a0b0c0d 40fffffe 00010007 00000010 7e808000 00010000".replace(" ", "")
    )
    block = ReportBlock(0x0A0B0C0D, 64, -2, 0x10007, 16, 0x7E808000, 65536)
    report = SenderReport(0x01020304, 0x83AA7E8080000000, 100, 5, 800, (block,))
    assert rtcp.parse(data) == [report]
    assert rtcp.build([report]) == data


GOOD = rtcp.build([ReceiverReport(7), SourceDescription((Chunk(7, ((1, b"me@here"),)),))])


@pytest.mark.parametrize(
    "data",
    [
        b"",
        b"\x80\xc9\0",
        b"\x40" + GOOD[1:],
        GOOD[:-1],
        GOOD[:-4],
        GOOD + b"\0",
        GOOD + b"\0\0\0\0",
        b"\x81\xc9\0\x01" + bytes(4),  # a report block is missing
        b"\x80\xc8\0\x01" + bytes(4),
        b"\xa0\xc9\0\x01" + bytes(4) + GOOD,  # padding is for the last packet
        GOOD + b"\xa0\xc9\0\x02" + bytes(8),  # a padding of nothing
        GOOD + b"\xa0\xc9\0\x02" + bytes(7) + b"\x03",
        GOOD + b"\xa0\xc9\0\x02" + bytes(7) + b"\x0c",
        GOOD + b"\xa0\xcb\0\0",
        b"\x81\xca\0\x02" + bytes(4) + b"\x01\x09ab",
        b"\x81\xca\0\x02" + bytes(4) + b"\x01\x02ab",
        b"\x82\xcb\0\x01" + bytes(4),
        b"\x80\xcb\0\x01" + b"\x09abc",
        b"\x80\xcc\0\x01" + bytes(4),
        b"\x81\xcd\0\x01" + bytes(4),
        b"\x80\xcf\0\0",
    ],
)
def test_what_is_not_valid_is_an_rtcp_error(data: bytes) -> None:
    with pytest.raises(RtcpError):
        rtcp.parse(data)


def test_padding_of_the_last_packet_is_taken_off() -> None:
    data = bytearray(GOOD + b"\xa0\xcb\0\x02" + (9).to_bytes(4, "big") + b"\0\0\0\x04")
    data[len(GOOD)] |= 1
    assert rtcp.parse(bytes(data))[-1] == Bye((9,))


def test_unknown_types_are_passed_over() -> None:
    assert rtcp.parse(GOOD[:8] + b"\x80\xd5\0\x01abcd" + GOOD[8:]) == rtcp.parse(GOOD)


def test_reduced_size_is_a_choice() -> None:
    pli = rtcp.build([Feedback(rtcp.PSFB, 1, 1, 2)])
    assert rtcp.parse(pli) == [Feedback(206, 1, 1, 2)]
    with pytest.raises(RtcpError):
        rtcp.parse(pli, reduced_size=False)
    assert len(rtcp.parse(GOOD, reduced_size=False)) == 2


def test_names_that_are_not_utf8_are_still_names() -> None:
    assert Chunk(1, ((2, b"x"), (1, b"a\xff"))).cname == "a\N{REPLACEMENT CHARACTER}"
    assert Chunk(1, ()).cname == ""


@pytest.mark.parametrize(
    "packet",
    [
        ReceiverReport(1, (ReportBlock(1, 0, 0, 0, 0, 0, 0),) * 32),
        Bye((1,), b"x" * 256),
        App(1, 1, b"abc"),
        App(1, 32, b"abcd"),
        Feedback(205, 1, 1, 1, b"x"),
    ],
)
def test_what_can_not_be_sent_is_a_value_error(packet: rtcp.Packet) -> None:
    with pytest.raises(ValueError):
        rtcp.build([packet])


# ----------------------------------------------------------------------------------------------- arrays


@pytest.mark.parametrize("sending", [True, False])
@pytest.mark.parametrize("hearing", [True, False])
@pytest.mark.parametrize("bye", [True, False])
def test_arrays_build_what_the_dataclasses_build(sending: bool, hearing: bool, bye: bool) -> None:
    rng = np.random.default_rng(5)
    names = ["", "a", "ab", "abc", "abcd", "abcde", "x" * 300, "é@visiopont"]
    n = len(names)
    u = rng.integers(0, 1 << 32, (12, n), dtype=np.uint64)
    lost = np.array([0, -1, 5, 1 << 30, -(1 << 30), 7, 8, 9])
    fraction = np.array([0, 1, 255, 256, 3, 4, 5, 6])
    sender = SenderColumns(u[0] << np.uint64(32) | u[1], u[2], u[3] + np.uint64(1 << 33), u[4])
    reception = ReceptionColumns(u[5], fraction, lost, u[6], u[7], u[8], u[9])
    octets, lengths = build_reports(
        u[10], Names.of(names), sender if sending else None, reception if hearing else None, bye=bye
    )
    for i in range(n):
        v = [int(x) for x in u[:, i]]
        block = ReportBlock(
            v[5], min(int(fraction[i]), 255), max(-(1 << 23), min(int(lost[i]), (1 << 23) - 1)), v[6], v[7], v[8], v[9]
        )
        heard = (block,) if hearing else ()
        report: rtcp.Packet = ReceiverReport(v[10], heard)
        if sending:
            report = SenderReport(v[10], v[0] << 32 | v[1], v[2], v[3], v[4], heard)
        described = SourceDescription((Chunk(v[10], ((1, names[i].encode()[:255]),)),))
        expected = [report, described, *([Bye((v[10],))] if bye else [])]
        data = octets[i, : lengths[i]].tobytes()
        assert data == rtcp.build(expected)
        assert rtcp.parse(data, reduced_size=False) == expected
    assert octets.shape[1] - lengths.max() >= 64


def test_no_streams_no_reports() -> None:
    octets, lengths = build_reports(np.zeros(0, np.uint32), Names.of([]), None, None)
    assert len(octets) == len(lengths) == 0


# --------------------------------------------------------------------------------------------- timing


def test_ntp_time_of_known_instants() -> None:
    assert rtcp.ntp(0.0) == rtcp.NTP_EPOCH << 32
    assert rtcp.ntp(1.5) == (rtcp.NTP_EPOCH + 1) << 32 | 1 << 31
    assert rtcp.ntp(2085978496.0) == 0  # the era that begins on 7 February 2036


def test_round_trip_of_the_rfcs_example() -> None:
    """RFC 3550 §6.4.1, figure 2: 6.125 s."""
    assert rtcp.round_trip(0xB7108000, 0xB7052000, 0x00054000) == pytest.approx(6.125)


@given(st.floats(0, 59), st.floats(0, 1000), u32)
def test_round_trip_survives_the_wrap(delay: float, held: float, lsr: int) -> None:
    dlsr = int(held * 65536)
    arrival = (lsr + dlsr + int(delay * 65536)) & 0xFFFFFFFF
    seconds = float(rtcp.round_trip(arrival, lsr, dlsr))
    assert math.isnan(seconds) if lsr == 0 else seconds == pytest.approx(delay, abs=1e-4)


def test_round_trip_without_sense_is_nan_and_a_little_below_zero_is_zero() -> None:
    trips = rtcp.round_trip(np.array([100, 1000, 10]), np.array([0, 1010, 1 << 25]), np.array([0, 0, 1]))
    assert np.isnan(trips[[0, 2]]).all()
    assert trips[1] == 0.0


def test_intervals_spread_over_half_to_one_and_a_half() -> None:
    chance = np.array([random.Random(3).random() for _ in range(1)] + [0.0, 0.5, 1.0])
    assert rtcp.interval(chance)[1:].tolist() == [2.5, 5.0, 7.5]
    assert rtcp.interval(chance, True)[1:].tolist() == [1.25, 2.5, 3.75]
    assert rtcp.interval(0.5, np.array([True, False])).tolist() == [2.5, 5.0]


# ------------------------------------------------------------------------------------------ extended reports

u7 = st.integers(-127, 127)
metrics = st.builds(
    rtcp_xr.VoipMetrics, u32, u8, u8, u8, u8, u16, u16, u16, u16, u7, u7, u8, u8, u8, u8, u8, u8, u8, u16, u16, u16
)
xr_blocks = st.one_of(
    metrics,
    st.builds(rtcp_xr.ReferenceTime, u64),
    st.builds(
        rtcp_xr.DelayReport,
        st.lists(st.builds(rtcp_xr.DelaySinceReference, u32, u32, u32), max_size=4).map(tuple),
    ),
    st.builds(rtcp_xr.OtherBlock, st.sampled_from([1, 6, 99]), u8, words),
)


@given(st.lists(xr_blocks, max_size=5))
def test_extended_blocks_come_back(built: list[rtcp_xr.Block]) -> None:
    packet = ExtendedReport(3, rtcp_xr.build_blocks(built))
    (parsed,) = rtcp.parse(rtcp.build([packet]))
    assert isinstance(parsed, ExtendedReport)
    assert rtcp_xr.parse_blocks(parsed.body) == built


def test_a_voip_metrics_block_by_hand() -> None:
    """The layout of RFC 3611 §4.7."""
    block = rtcp_xr.VoipMetrics(
        0x01020304, 5, 6, 7, 8, 0x0910, 0x1112, 0x1314, 0x1516, -23, -60, 55, 16, 90, 127, 41, 40, 0xB0, 60, 120, 250
    )
    data = "07000008 01020304 05060708 09101112 13141516 e9c43710 5a7f2928 b000003c 007800fa"
    assert rtcp_xr.build_blocks([block]).hex(" ", 4) == data


@pytest.mark.parametrize(
    "data", ["0700", "07000007" + "00" * 28, "04000001" + "00" * 4, "05000001" + "00" * 4, "63000002"]
)
def test_bad_blocks_are_an_rtcp_error(data: str) -> None:
    with pytest.raises(RtcpError):
        rtcp_xr.parse_blocks(bytes.fromhex(data))


def test_values_too_large_are_a_value_error() -> None:
    with pytest.raises(ValueError):
        rtcp_xr.build_blocks([rtcp_xr.VoipMetrics(1, loss_rate=256)])


def test_the_e_model_at_known_points() -> None:
    assert float(rtcp_xr.r_factor(0.0, 0.0)) == pytest.approx(93.2)
    assert float(rtcp_xr.mos(93.2)) == pytest.approx(4.41, abs=0.01)
    assert float(rtcp_xr.mos(0.0)) == 1.0
    assert float(rtcp_xr.mos(100.0)) == pytest.approx(4.5)
    loss = rtcp_xr.r_factor(np.array([0.0, 0.01, 0.05, 0.2, 1.0]), 50.0)
    assert (np.diff(loss) < 0).all()
    late = rtcp_xr.r_factor(0.0, np.array([0.0, 100.0, 200.0, 400.0]))
    assert (np.diff(late) < 0).all()
    assert late[3] == pytest.approx(59.1, abs=0.2)
