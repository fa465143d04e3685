"""Send history, retransmission and pacing."""

from __future__ import annotations

import tracemalloc

import numpy as np
import pytest
from hypothesis import given
from hypothesis import strategies as st

from bridge.media.video.history import Again, SendHistory, SentPackets, unwrap_rtx, wrap_rtx
from bridge.media.video.pacer import RUNS, Pacer
from bridge.media.video.payload import PayloadError


def packets(first: int, count: int) -> list[bytes]:
    return [b"%d" % number for number in range(first, first + count)]


def test_an_encoding_keeps_its_latest_packets() -> None:
    sent = SentPackets(8)
    assert sent.add(packets(0, 3), 100, 1.0) == 0
    assert sent.add(packets(3, 7), 200, 2.0) == 3
    assert sent.get(1) is None
    assert sent.get(10) is None
    assert sent.get(-1) is None
    second, last = sent.get(2), sent.get(9)
    assert second
    assert last
    assert (second.payload, second.timestamp, second.marker, second.at) == (b"2", 100, True, 1.0)
    assert (last.payload, last.marker) == (b"9", True)
    sent.add(packets(10, 20), 300, 3.0)
    newest = sent.get(29)
    assert newest
    assert newest.payload == b"29"
    assert sent.get(21) is None


def test_receivers_number_the_same_packets_each_for_himself() -> None:
    sent, history = SentPackets(), SendHistory(3)
    history.encoding(1, sent)
    for row, sequence in enumerate((10, 65535, 500)):
        history.open(row, sequence=sequence, offset=row * 1000)
    rows = np.array([0, 1])
    numbers = history.advance(rows, 1, sent.add(packets(0, 3), 90, 0.0), 3)
    assert numbers.tolist() == [[10, 11, 12], [65535, 0, 1]]
    first = sent.add(packets(3, 2), 180, 0.0)
    assert history.advance(np.array([1, 2]), 1, first, 2).tolist() == [[2, 3], [500, 501]]
    assert history.answer(1, [0, 3], 0.0) == [Again(False, 0, 1090, False, b"1"), Again(False, 3, 1180, True, b"4")]
    assert history.answer(2, [500], 0.0) == [Again(False, 500, 2180, False, b"3")]
    assert history.answer(2, [499, 502], 0.0) == []
    assert history.refused == 2


def test_a_receiver_that_changes_its_encoding_still_gets_what_it_was_sent_before() -> None:
    one, two, history = SentPackets(), SentPackets(), SendHistory(1)
    history.encoding(1, one)
    history.encoding(2, two)
    history.open(0, sequence=65534, offset=0)
    row = np.array([0])
    history.advance(row, 1, one.add(packets(0, 3), 90, 0.0), 3)
    two.add(packets(50, 9), 90, 0.0)
    history.advance(row, 2, two.add(packets(70, 2), 180, 0.0), 2)
    two.add(packets(80, 4), 270, 0.0)  # a frame left out
    history.advance(row, 2, two.add(packets(90, 1), 360, 0.0), 1)
    got = history.answer(0, [65534, 65535, 0, 1, 2, 3], 0.0)
    assert [again.payload for again in got] == [b"0", b"1", b"2", b"70", b"71", b"90"]
    history.encoding(1, None)
    assert [again.payload for again in history.answer(0, [0, 1], 1.0)] == [b"70"]


def test_rtx_has_its_own_numbers() -> None:
    sent, history = SentPackets(), SendHistory(1)
    history.encoding(1, sent)
    history.open(0, sequence=7, offset=5, rtx=65535)
    history.advance(np.array([0]), 1, sent.add(packets(0, 2), 90, 0.0), 2)
    got = history.answer(0, [8, 7], 0.0)
    assert [(again.rtx, again.sequence, again.marker, unwrap_rtx(again.payload)) for again in got] == [
        (True, 65535, True, (8, b"1")),
        (True, 0, False, (7, b"0")),
    ]
    assert unwrap_rtx(wrap_rtx(65536 + 3, b"x")) == (3, b"x")
    with pytest.raises(PayloadError):
        unwrap_rtx(b"1")


def test_a_packet_goes_again_once_a_round_trip() -> None:
    sent, history = SentPackets(), SendHistory(1)
    history.encoding(1, sent)
    history.open(0, sequence=7, offset=5)
    history.advance(np.array([0]), 1, sent.add(packets(0, 2), 90, 0.0), 2)
    assert len(history.answer(0, [7, 7], 1.0, 0.1)) == 1
    assert not history.answer(0, [7], 1.05, 0.1)
    assert len(history.answer(0, [7], 1.1, 0.1)) == 1


def test_a_receiver_that_asks_for_all_gets_a_share_of_its_rate() -> None:
    sent, history = SentPackets(), SendHistory(2)
    history.encoding(1, sent)
    rows = np.array([0, 1])
    for row in rows:
        history.open(row, sequence=0, offset=0)
    history.limit(rows, 1e6)
    octets = 0
    for beat in range(500):
        now = beat * 0.02
        first = sent.add([bytes(1000)] * 3, beat, now)
        numbers = history.advance(rows, 1, first, 3)[0].tolist()
        octets += sum(len(again.payload) for again in history.answer(0, numbers, now))
    assert 0.2e6 < octets * 8 / 10 < 0.28e6
    assert history.answer(1, numbers, 10.0)


def test_many_receivers_cost_no_more_memory_the_more_is_sent() -> None:
    sent, history = SentPackets(256), SendHistory(200)
    history.encoding(1, sent)
    rows = np.arange(200)
    for row in rows:
        history.open(row, sequence=row, offset=0)
    for _ in range(100):
        history.advance(rows, 1, sent.add([bytes(1000)] * 4, 0, 0.0), 4)
    tracemalloc.start()
    for _ in range(500):
        history.advance(rows, 1, sent.add([bytes(1000)] * 4, 0, 0.0), 4)
    grown = tracemalloc.get_traced_memory()[0]
    tracemalloc.stop()
    assert grown < 256 * 1200


@given(st.lists(st.tuples(st.integers(0, 2), st.integers(1, 5), st.booleans()), max_size=40), st.integers(0, 0xFFFF))
def test_rows_together_are_as_rows_alone(steps: list[tuple[int, int, bool]], sequence: int) -> None:
    together, alone = SendHistory(2), [SendHistory(1), SendHistory(1)]
    encodings = [SentPackets(), SentPackets(), SentPackets()]
    for number, encoding in enumerate(encodings):
        for each in (together, *alone):
            each.encoding(number, encoding)
    for row in range(2):
        together.open(row, sequence=sequence + row, offset=row)
        alone[row].open(0, sequence=sequence + row, offset=row)
    for which, count, both in steps:
        first = encodings[which].add([b"%d %d" % (which, n) for n in range(count)], 0, 0.0)
        rows = np.array([0, 1]) if both else np.array([1])
        numbers = together.advance(rows, which, first, count)
        for at, row in enumerate(rows):
            assert numbers[at].tolist() == alone[row].advance(np.array([0]), which, first, count)[0].tolist()
    for row in range(2):
        asked = [int(together.next[row] - back) & 0xFFFF for back in range(1, 30)]
        assert together.answer(row, asked, 1.0) == alone[row].answer(0, asked, 1.0)


# ----------------------------------------------------------------------------------------------------- pacing


def test_a_large_frame_is_spread_over_its_interval_a_small_one_is_not() -> None:
    pacer = Pacer(0.005)
    pacer.add(0, 40, 0.0, 1 / 30)
    counts = [sum(count for _, count in pacer.due(slot * 0.005)) for slot in range(7)]
    assert sum(counts) == 40
    assert max(counts) <= 9
    assert counts[6] == 0
    pacer.add(40, 3, 0.04, 1 / 30)
    assert pacer.due(0.04) == [(40, 3)]
    assert pacer.due(0.045) == []


def test_with_beats_a_frame_takes_two() -> None:
    pacer = Pacer()
    pacer.add(0, 40, 0.0, 1 / 30)
    assert pacer.due(0.0) == [(0, 30)]
    assert pacer.waiting == 10
    assert pacer.due(0.02) == [(30, 10)]


def test_a_new_frame_pushes_out_the_one_before_in_order() -> None:
    pacer = Pacer(0.005)
    pacer.add(0, 40, 0.0, 1 / 30)
    pacer.due(0.0)
    pacer.add(40, 10, 0.01, 1 / 30)
    ((first, count),) = pacer.due(0.01)
    assert first == 8
    assert first + count >= 44


@given(st.lists(st.tuples(st.integers(0, 60), st.integers(0, 3)), max_size=30))
def test_every_packet_goes_once_and_in_order(frames: list[tuple[int, int]]) -> None:
    pacer, first, gone, now = Pacer(), 0, [], 0.0
    for count, beats in frames:
        pacer.add(first, count, now, 1 / 15)
        first += count
        for _ in range(beats):
            gone += [number for begin, many in pacer.due(now) for number in range(begin, begin + many)]
            now += 0.02
    for _ in range(5):
        gone += [number for begin, many in pacer.due(now) for number in range(begin, begin + many)]
        now += 0.02
    assert gone == list(range(first))
    assert pacer.waiting == 0


def test_a_pacer_that_nobody_asks_holds_little() -> None:
    pacer = Pacer()
    for number in range(100):
        pacer.add(1000 * number, 10, 0.0, 0.03)
    assert len(pacer._late) <= RUNS
    assert pacer.dropped
