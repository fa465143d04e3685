"""The assembler: frames in order through bad networks, what is asked for, what is given up, what is bounded."""

from __future__ import annotations

import time
import tracemalloc
from collections.abc import Sequence
from itertools import pairwise

import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from bridge.media.video import assembler as module
from bridge.media.video.assembler import WINDOW, Assembler, AssemblerSettings, Event, Frame, Lost, Missing
from bridge.media.video.formats import by_name, names
from bridge.media.video.payload import BEGINS, CONTINUES, KEYFRAME, Limits, PayloadError, Picture
from tests.media.video.network import Network, send
from tests.media.video.streams import ENCODERS, decode, encoded
from tests.media.video.test_formats import packetiser

SSRC = 7


class Plain:
    """Payloads ``K``, ``P`` begin a keyframe or another frame, ``.`` goes on, ``X`` is bad."""

    def begins(self, payload: bytes) -> int:
        return {b"K": KEYFRAME, b"P": BEGINS}.get(payload[:1], CONTINUES)

    def frame(self, payloads: Sequence[bytes]) -> Picture:
        data = b"".join(payloads)
        if b"X" in data or data[:1] not in b"KP":
            raise PayloadError("bad")
        return Picture(data, data.startswith(b"K"), 16, 16)


def plain(**settings_: float) -> Assembler:
    return Assembler(Plain(), AssemblerSettings(**settings_))  # type: ignore[arg-type]


def feed(to: Assembler, *packets: tuple[int, int, str], now: float = 0.0, ssrc: int = SSRC) -> None:
    """Packets (sequence, timestamp, payload); a capital ``M`` at the end is the marker."""
    for sequence, timestamp, text in packets:
        to.feed(ssrc, sequence & 0xFFFF, timestamp, text.endswith("M"), text.rstrip("M").encode(), now)


def frames(events: list[Event]) -> list[bytes]:
    return [event.data for event in events if isinstance(event, Frame)]


def kinds(events: list[Event]) -> list[str]:
    return [type(event).__name__ for event in events]


# ------------------------------------------------------------------------------------------- in bad networks


@pytest.mark.parametrize("name", ENCODERS)
def test_reordered_and_doubled_packets_change_nothing(name: str) -> None:
    source = encoded(name)
    outcome = send(name, source, packetiser(name), Network(jitter=0.03, twice=0.1, seed=3))
    assert len(outcome.frames) == len(source)
    assert not outcome.lost
    assert all(frame.whole for frame in outcome.frames)
    ours, theirs = decode(name, [frame.data for frame in outcome.frames]), decode(name, list(source))
    assert all(np.array_equal(one, other) for one, other in zip(ours, theirs, strict=True))


@pytest.mark.parametrize("rtx", [False, True])
@pytest.mark.parametrize("name", ENCODERS)
def test_lost_packets_come_again(name: str, rtx: bool) -> None:
    source = encoded(name)
    network = Network(loss=0.05, jitter=0.005, seed=12)
    outcome = send(name, source, packetiser(name), network, rtx=rtx)
    assert outcome.assembler
    assert outcome.asked
    assert outcome.assembler.figures.recovered
    assert not outcome.lost
    # A loss that no later packet shows (the stream's last) isn't seen, and a whole keyframe overtakes what is awaited.
    assert len(outcome.frames) >= len(source) - 5
    assert_right(name, outcome.frames)


def assert_right(name: str, shown: list[Frame]) -> None:
    """Each frame decodes to what was encoded at its time."""
    right = decode(name, list(encoded(name)))
    for frame, luma in zip(shown, decode(name, [frame.data for frame in shown]), strict=True):
        assert np.array_equal(luma, right[((frame.timestamp - 0xFFFFF000) & 0xFFFFFFFF) // 3000])


@pytest.mark.parametrize("name", ["baseline", "high", "vp8", "vp9", "h263p", "h261"])
def test_without_nack_every_picture_shown_is_right_and_begins_again_with_a_keyframe(name: str) -> None:
    source = encoded(name)
    outcome = send(name, source, packetiser(name), Network(loss=0.03, seed=5), AssemblerSettings(nack=False))
    assert outcome.lost
    assert not outcome.asked
    assert 0 < len(outcome.frames) < len(source)
    assert_right(name, outcome.frames)


# --------------------------------------------------------------------------------------------------- one by one


def test_frames_come_out_when_their_last_packet_came() -> None:
    to = plain()
    feed(to, (65534, 10, "K"), (65535, 10, "."), now=1.0)
    assert to.take(1.0) == []
    feed(to, (0, 10, ".M"), (1, 20, "PM"), now=1.02)
    events = to.take(1.02)
    assert frames(events) == [b"K..", b"P"]
    first = events[0]
    assert isinstance(first, Frame)
    assert (first.first, first.last, first.keyframe, first.timestamp) == (1.0, 1.02, True, 10)
    assert (first.width, first.height, first.ssrc, first.whole) == (16, 16, SSRC, True)


def test_a_frame_without_marker_ends_where_the_next_begins() -> None:
    to = plain()
    feed(to, (1, 10, "K"), (2, 10, "."), (3, 20, "P"), (4, 30, "PM"))
    assert frames(to.take(0)) == [b"K.", b"P", b"P"]


def test_padding_counts_in_the_sequence_alone() -> None:
    to = plain()
    feed(to, (1, 10, "KM"), (2, 10, ""), (3, 20, "P"), (4, 99, ""), (5, 20, ".M"))
    assert frames(to.take(0)) == [b"K", b"P."]


def test_what_is_missing_is_asked_for_with_patience_a_few_times() -> None:
    to = plain(tries=3)
    to.round_trip = 0.05
    feed(to, (65533, 10, "KM"), (65535, 20, "P"), (2, 30, "PM"), now=0)
    assert kinds(to.take(0.001)) == ["Frame"]
    asked = []
    for beat in range(1, 24):
        for event in to.take(beat * 0.01):
            assert isinstance(event, Missing)
            asked.append((beat, event.sequences))
    assert [sequences for _, sequences in asked] == [(65534, 0, 1)] * 3
    gaps = [later[0] - earlier[0] for earlier, later in pairwise(asked)]
    assert all(gap * 0.01 >= to.round_trip for gap in gaps)
    feed(to, (65534, 20, "P"), (0, 20, ".M"), (1, 30, "P"), now=0.24)
    assert to.figures.recovered == 3


def test_after_the_deadline_a_keyframe_is_needed_and_asked_for_again() -> None:
    to = plain(deadline=0.2, nack=True, ask_again=0.5)
    feed(to, (1, 10, "KM"), (3, 20, ".M"), (4, 30, "PM"), now=0)
    assert frames(to.take(0.19)) == [b"K"]
    lost = [event for event in to.take(0.2) if isinstance(event, Lost)]
    assert [event.tries for event in lost] == [0]
    feed(to, (5, 40, "PM"), now=0.3)
    assert to.take(0.3) == []
    again = to.take(0.71)
    assert again == [Lost(SSRC, lost[0].since, 1)]
    assert not any(to.take(1 + beat * 0.02) for beat in range(100))
    feed(to, (6, 50, "KM"), (7, 60, "PM"), now=0.8)
    assert frames(to.take(0.8)) == [b"K", b"P"]
    assert to.take(2.0) == []
    assert to.figures.withheld == 2


def test_requests_are_no_closer_than_two_round_trips() -> None:
    to = plain()
    to.round_trip = 0.6
    feed(to, (1, 10, "PM"), now=0)
    times = []
    for beat in range(200):
        feed(to, (2 + beat, 20 + beat, "PM"), now=beat * 0.02)
        times += [beat * 0.02 for event in to.take(beat * 0.02) if isinstance(event, Lost)]
    assert all(later - earlier >= 1.2 for earlier, later in pairwise(times))
    assert len(times) == 4


def test_a_whole_keyframe_is_not_kept_waiting_by_what_is_missing_before_it() -> None:
    to = plain()
    feed(to, (1, 10, "KM"), (3, 20, ".M"), (4, 30, "K"), (6, 30, ".M"), now=0)
    assert frames(to.take(0)) == [b"K"]
    feed(to, (5, 30, "."), now=0.01)
    assert frames(to.take(0.01)) == [b"K.."]
    assert to.figures.abandoned == 1
    assert to.take(1.0) == []


def test_a_stream_that_begins_amid_a_frame_begins_with_the_next_keyframe() -> None:
    to = plain()
    feed(to, (1, 10, "."), (2, 10, ".M"), (3, 20, "PM"), (4, 30, "KM"))
    events = to.take(0)
    assert frames(events) == [b"K"]
    assert to.take(1) == []
    feed(to, (5, 40, "XM"))
    assert kinds(to.take(2)) == ["Lost"]
    assert to.figures.damaged == 1


def test_the_rest_of_a_broken_frame_is_left_out() -> None:
    to = plain(nack=False, reorder=0.05)
    feed(to, (1, 10, "KM"), (2, 20, "K"), (4, 20, "."), (5, 20, ".M"), (6, 30, "K"), (7, 30, ".M"), now=0)
    assert frames(to.take(0.06)) == [b"K", b"K."]


def test_who_never_sends_a_keyframe_is_shown_with_faults_at_last() -> None:
    to = plain(resign=6.0)
    shown = []
    for number in range(300):
        feed(to, (number, 10 * number, "PM"), now=number / 30)
        shown += [event for event in to.take(number / 30) if isinstance(event, Frame)]
    assert 100 < len(shown) < 130
    assert not any(frame.whole for frame in shown)


def test_late_and_double_packets_are_counted() -> None:
    to = plain()
    feed(to, (1, 10, "KM"), (1, 10, "KM"), (0, 0, "PM"), (3, 30, "PM"), (3, 30, "PM"), (2, 20, "PM"))
    assert frames(to.take(0)) == [b"K", b"P", b"P"]
    assert to.figures.late == 3


def test_another_source_or_count_must_come_twice() -> None:
    to = plain()
    feed(to, (1, 10, "KM"))
    feed(to, (500, 10, "KM"), ssrc=8)
    feed(to, (2, 20, "PM"))
    assert frames(to.take(0)) == [b"K", b"P"]
    feed(to, (900, 10, "K"), (901, 10, ".M"), ssrc=8)
    events = to.take(0)
    assert frames(events) == [b"K."]
    assert to.ssrc == 8
    feed(to, (40000, 99, "KM"), (902, 20, "PM"), ssrc=8)
    assert frames(to.take(0)) == [b"P"]
    feed(to, (40000, 99, "KM"), (40001, 109, "PM"), ssrc=8)
    assert frames(to.take(0)) == [b"K", b"P"]
    assert to.figures.restarts == 2


def test_timestamps_may_jump() -> None:
    to = plain()
    feed(to, (1, 0xFFFFFFF0, "KM"), (2, 5, "PM"), (3, 5000000, "PM"), (4, 17, "PM"))
    assert [event.timestamp for event in to.take(0) if isinstance(event, Frame)] == [0xFFFFFFF0, 5, 5000000, 17]


def test_a_new_size_is_told_by_the_frame() -> None:
    to = Assembler(by_name("H264").depacketiser({}, Limits()))
    sequence = timestamp = 0
    sizes = []
    for name in ("baseline", "high"):
        for frame in encoded(name)[:3]:
            payloads = packetiser(name).packetise(frame, 1200)
            timestamp += 3000
            for payload in payloads:
                to.feed(1, sequence, timestamp, payload is payloads[-1], payload, 0.0)
                sequence += 1
        sizes += [(event.width, event.height) for event in to.take(0) if isinstance(event, Frame)]
    assert sizes == [(352, 288)] * 3 + [(636, 358)] * 3


# -------------------------------------------------------------------------------------------------- bounded


def test_what_a_stranger_can_make_it_hold_is_bounded(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(module, "FRAME_SIZE", 100_000)
    to = plain(nack=False)
    feed(to, (0, 10, "KM"))
    tracemalloc.start()
    for number in range(20_000):  # a frame without end
        to.feed(SSRC, (1 + number) & 0xFFFF, 20, False, b"K" + bytes(1000), 0.0)
    for number in range(3_000):  # every other packet missing
        to.feed(SSRC, (20_010 + 2 * number) & 0xFFFF, number, False, b"K" + bytes(1000), 0.0)
    held = tracemalloc.get_traced_memory()[0]
    tracemalloc.stop()
    assert held < 2 * 1200 * WINDOW
    assert len(to._held) <= WINDOW
    assert len(to._gaps) <= WINDOW
    begin = time.perf_counter()
    for beat in range(50):
        to.take(beat * 0.02)
    assert time.perf_counter() - begin < 0.5


def test_too_much_missing_is_not_asked_for() -> None:
    to = plain()
    feed(to, (0, 10, "KM"), (600, 20, "PM"))
    assert kinds(to.take(0.01)) == ["Frame", "Lost"]
    assert to.figures.abandoned == 599
    to = plain()
    feed(to, (0, 10, "KM"), *((number, number, "PM") for number in range(2, 700, 2)))
    assert kinds(to.take(0.01)) == ["Frame"]
    assert kinds(to.take(0.07)) == ["Lost"]


@pytest.mark.parametrize("name", names())
@settings(max_examples=60, deadline=None)
@given(data=st.data())
def test_random_packets_do_no_harm(name: str, data: st.DataObject) -> None:
    to = Assembler(by_name(name).depacketiser({}, Limits()))
    packet = st.tuples(
        st.sampled_from([1, 1, 1, 2]),
        st.integers(0, 40) | st.integers(0, 0xFFFF),
        st.integers(0, 3),
        st.booleans(),
        st.binary(max_size=20),
    )
    now = 0.0
    for ssrc, sequence, timestamp, marker, payload in data.draw(st.lists(packet, max_size=60)):
        to.feed(ssrc, sequence, timestamp, marker, payload, now)
        now += 0.005
        for event in to.take(now):
            assert isinstance(event, Frame | Lost | Missing)
    to.take(now + 10)
    assert not to._held


@settings(max_examples=100, deadline=None)
@given(st.permutations(range(12)), st.sets(st.integers(1, 11), max_size=4))
def test_whatever_comes_and_whenever_frames_are_whole_and_in_order(order: list[int], missing: set[int]) -> None:
    """Three packets a frame, each frame a keyframe; the first comes first."""
    to = plain(nack=False)
    feed(to, (99, 1, "KM"))
    to.take(0)
    for number in order:
        if number not in missing:
            frame, part = divmod(number, 3)
            feed(to, (100 + number, 10 + frame, "K" + str(frame) if not part else f".{part}" + "M" * (part == 2)))
    events = [event for beat in range(20) for event in to.take(beat * 0.02)]
    got = frames(events)
    whole = [f"K{frame}.1.2".encode() for frame in range(4) if not {3 * frame, 3 * frame + 1, 3 * frame + 2} & missing]
    assert got == sorted(got)
    assert set(got) <= set(whole)
    if whole:
        assert got[-1] == whole[-1]
