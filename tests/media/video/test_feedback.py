"""RTCP feedback of video: vectors, there and back, bounded; the limiter of keyframes."""

from __future__ import annotations

import pytest
from hypothesis import given
from hypothesis import strategies as st

from bridge.media import rtcp
from bridge.media.rtcp import PSFB, RTPFB, Feedback, RtcpError
from bridge.media.video.feedback import (
    MAX_NACKS,
    BitrateEntry,
    BitrateNotification,
    BitrateRequest,
    FullIntra,
    Message,
    Nack,
    PictureLoss,
    Remb,
    SliceLoss,
    read,
    write,
)
from bridge.media.video.keyframe_limiter import REQUESTERS, KeyframeLimiter
from bridge.media.video.transport_cc import TransportCc

u8, u16, u32 = (st.integers(0, (1 << bits) - 1) for bits in (8, 16, 32))


def there_and_back(message: Message) -> Message | None:
    (packet,) = rtcp.parse(rtcp.build([write(message)]))
    assert isinstance(packet, Feedback)
    return read(packet)


VECTORS = [
    # RFC 4585 §6.2.1: PID 65530, and of the sixteen after it the 1st, 6th (65536 = 0) and 16th.
    ("81cd0003 00000001 00000002 fffa8021", Nack(1, 2, (65530, 65531, 0, 10))),
    ("81ce0002 00000001 00000002", PictureLoss(1, 2)),
    # RFC 4585 §6.3.2: first 13 bits, number 13 bits, picture 6 bits.
    ("82ce0003 00000001 00000002 00280085", SliceLoss(1, 2, ((5, 2, 5),))),
    # RFC 5104 §4.3.1: SSRC, sequence number, 24 bits reserved.
    ("84ce0004 00000001 00000000 000000aa 07000000", FullIntra(1, ((0xAA, 7),))),
    # RFC 5104 §4.2.1: exponent 6 bits, mantissa 17 bits, overhead 9 bits.
    ("83cd0004 00000001 00000000 000000aa 0b579a28", BitrateRequest(1, (BitrateEntry(0xAA, 0x1ABCD << 2, 40),))),
    ("84cd0002 00000001 00000000", BitrateNotification(1, ())),
    # draft-alvestrand-rmcat-remb-03 §2.2: 250,000 x 4 bit/s for one SSRC.
    ("8fce0005 00000001 00000000 52454d42 010bd090 000000bb", Remb(1, 250_000 << 2, (0xBB,))),
    # draft-holmer: base 5, 7 packets, reference 10, count 3; a vector: small, small, none, large, none, none, small.
    (
        "8fcd0006 00000001 00000002 00050007 00000a03 d481 0408 fffe 0c 00",
        TransportCc(1, 2, 5, 3, 10, (4, 12, None, 10, None, None, 22)),
    ),
]


@pytest.mark.parametrize(("text", "message"), VECTORS)
def test_messages_by_hand(text: str, message: Message) -> None:
    data = bytes.fromhex(text.replace(" ", ""))
    (packet,) = rtcp.parse(data)
    assert isinstance(packet, Feedback)
    assert read(packet) == message
    if not isinstance(message, SliceLoss):
        assert rtcp.build([write(message)]) == data


entries = st.lists(st.builds(BitrateEntry, u32, st.integers(0, 0x1FFFF) | st.just(0x1ABCD << 9), st.integers(0, 511)))
messages = st.one_of(
    st.builds(PictureLoss, u32, u32),
    st.builds(FullIntra, u32, st.lists(st.tuples(u32, u8), min_size=1).map(tuple)),
    st.builds(BitrateRequest, u32, entries.filter(bool).map(tuple)),
    st.builds(BitrateNotification, u32, entries.map(tuple)),
    st.builds(Remb, u32, st.integers(0, 0x3FFFF).map(lambda m: m << 5), st.lists(u32, max_size=20).map(tuple)),
    st.builds(
        TransportCc,
        u32,
        u32,
        u16,
        u8,
        st.integers(0, 0xFFFFFF),
        st.tuples(st.lists(st.none() | st.integers(0, 3000), max_size=60), st.integers(0, 3000)).map(
            lambda both: (*both[0], both[1])
        ),
    ),
)


@given(messages)
def test_what_was_written_is_read(message: Message) -> None:
    assert there_and_back(message) == message


@given(st.integers(0, 0xFFFF), st.sets(st.integers(0, 300), min_size=1, max_size=200))
def test_a_nack_asks_for_what_it_was_told(first: int, distances: set[int]) -> None:
    sequences = tuple((first + distance) & 0xFFFF for distance in sorted(distances))
    assert there_and_back(Nack(1, 2, sequences)) == Nack(1, 2, sequences)


def test_long_runs_of_transport_feedback() -> None:
    arrivals = (0,) * 500 + (None,) * 500 + (9,) * 3
    message = TransportCc(1, 2, 65500, 255, 0xFFFFFF, arrivals)
    assert there_and_back(message) == message
    assert len(write(message).fci) < 530


@given(st.sampled_from([RTPFB, PSFB]), st.sampled_from([1, 2, 3, 4, 15, 31]), st.binary(max_size=80))
def test_junk_raises_one_exception_at_most(kind: int, fmt: int, fci: bytes) -> None:
    for data in (fci, b"REMB" + fci):
        try:
            read(Feedback(kind, fmt, 1, 2, data))
        except RtcpError:
            continue


def test_a_nack_for_everything_is_cut() -> None:
    message = read(Feedback(RTPFB, 1, 1, 2, b"".join((17 * n).to_bytes(2, "big") + b"\xff\xff" for n in range(3000))))
    assert isinstance(message, Nack)
    assert len(message.sequences) == MAX_NACKS


def test_feedback_of_ever_so_many_packets_is_refused() -> None:
    with pytest.raises(RtcpError):
        read(Feedback(RTPFB, 15, 1, 2, bytes.fromhex("0000ffff00000000") + b"\x1f\xff" * 10))


def test_what_is_not_spoken_is_none() -> None:
    assert read(Feedback(PSFB, 3, 1, 2, bytes(8))) is None  # RPSI
    assert read(Feedback(PSFB, 15, 1, 2, b"ELSEwhat")) is None


def test_limits_are_rounded_down() -> None:
    entry = BitrateEntry(1, (1 << 20) + 1, 0)
    back = there_and_back(BitrateRequest(1, (entry,)))
    assert isinstance(back, BitrateRequest)
    assert back.entries[0].bitrate == 1 << 20


@pytest.mark.parametrize(
    "message",
    [
        SliceLoss(1, 2, ()),
        BitrateRequest(1, (BitrateEntry(1, 1, 512),)),
        Remb(1, -1, ()),
        TransportCc(1, 2, 0, 0, 0, ()),
        TransportCc(1, 2, 0, 0, 0, (None,)),
        TransportCc(1, 2, 0, 0, 0, (0, 40000)),
        TransportCc(1, 2, 0, 300, 1 << 24, (0,)),
    ],
)
def test_what_does_not_fit_is_not_written(message: Message) -> None:
    with pytest.raises(ValueError):
        write(message)


def test_requests_for_keyframes_are_answered_at_once_then_together() -> None:
    limiter = KeyframeLimiter(0.5)
    assert not limiter.due(0.0)
    limiter.ask()
    assert limiter.due(0.0)
    limiter.sent(0.0)
    for _ in range(40):
        limiter.ask()
    keyframes = []
    for beat in range(100):
        now = beat * 0.02
        if limiter.due(now):
            limiter.sent(now)
            keyframes.append(now)
    assert keyframes == [0.5]


def test_a_repeated_command_is_none() -> None:
    limiter = KeyframeLimiter()
    assert limiter.command(1, 5)
    limiter.sent(0.0)
    assert not limiter.command(1, 5)
    assert not limiter.due(9.0)
    assert limiter.command(2, 5)
    assert limiter.command(1, 6)
    for number in range(3 * REQUESTERS):
        limiter.command(number, 0)
    assert len(limiter._commands) == REQUESTERS
