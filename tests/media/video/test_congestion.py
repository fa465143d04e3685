"""Transport-wide numbers there and feedback back, and what is made of it."""

from __future__ import annotations

import random

import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from bridge.media import rtcp
from bridge.media.video import feedback
from bridge.media.video.arrivals import Arrivals
from bridge.media.video.departures import Departures, Fate
from bridge.media.video.estimate import LEAST, Estimate
from bridge.media.video.extension import NUMBER, ROOM, find, numbers, stamp_numbers, template
from bridge.media.video.transport_cc import TransportCc
from bridge.media.wire import PacketPool


def arrivals_of(*rows: int) -> Arrivals:
    made = Arrivals(16)
    for row in rows:
        made.open(row)
    return made


def add(log: Arrivals, row: int, *packets: tuple[int, float]) -> None:
    log.add(
        np.full(len(packets), row),
        np.array([number for number, _ in packets], np.int64),
        np.array([now for _, now in packets]),
    )


def there_and_back(message: TransportCc) -> TransportCc:
    (packet,) = rtcp.parse(rtcp.build([feedback.write(message)]))
    assert isinstance(packet, rtcp.Feedback)
    found = feedback.read(packet)
    assert isinstance(found, TransportCc)
    return found


def test_feedback_tells_once_of_what_came_and_what_did_not() -> None:
    log = arrivals_of(3)
    assert log.take(3, 1, 2) is None
    add(log, 3, (65534, 10.0), (65535, 10.001), (2, 10.01), (1, 10.011))
    assert log.waiting().tolist() == [3]
    first = log.take(3, 1, 2)
    assert first
    assert (first.base, first.count) == (65534, 0)
    start = first.reference * 0.064
    times = [None if at is None else round(start + at * 0.00025, 4) for at in first.arrivals]
    assert times == [10.0, 10.001, None, 10.011, 10.01]
    assert there_and_back(first) == first
    assert log.take(3, 1, 2) is None
    assert not log.waiting().size
    add(log, 3, (4, 10.05))
    second = log.take(3, 1, 2)
    assert second
    assert (second.base, second.count, second.arrivals[0]) == (3, 1, None)


def test_arrivals_are_bounded_and_survive_pauses_and_junk() -> None:
    log = arrivals_of(0)
    for number in range(3000):
        add(log, 0, (number & 0xFFFF, number * 0.001))
    told = log.take(0, 1, 2)
    assert told
    assert len(told.arrivals) <= Arrivals.capacity
    add(log, 0, (3000, 3.0), (3001, 30.0))
    assert log.take(0, 1, 2)
    assert log.take(0, 1, 2)
    add(log, 0, (50000, 30.1))
    add(log, 0, (50001, 30.1))
    told = log.take(0, 1, 2)
    assert told
    assert told.base == 50001


@given(st.data())
def test_many_rows_at_once_are_told_what_each_is_told_alone(data: st.DataObject) -> None:
    together = arrivals_of(1, 5)
    alone = {1: arrivals_of(1), 5: arrivals_of(5)}
    clock, next_ = 100.0, {1: 65000, 5: 3}
    for _ in range(data.draw(st.integers(1, 5))):
        batch: list[tuple[int, int, float]] = []
        for _ in range(data.draw(st.integers(1, 12))):
            row = data.draw(st.sampled_from([1, 5]))
            clock += data.draw(st.floats(0, 0.05))
            next_[row] += data.draw(st.integers(-2, 4))
            batch.append((row, next_[row] & 0xFFFF, clock))
        together.add(
            np.array([r for r, _, _ in batch]), np.array([n for _, n, _ in batch]), np.array([t for _, _, t in batch])
        )
        for row, number, now in batch:
            add(alone[row], row, (number, now))
        for row in (1, 5):
            told = together.take(row, 7, 8)
            assert told == alone[row].take(row, 7, 8)
            if told:
                assert there_and_back(told) == told


@given(st.lists(st.integers(0, 0xFFFF), min_size=1, max_size=60))
def test_whatever_numbers_come_feedback_can_be_written(sequence: list[int]) -> None:
    log = arrivals_of(0)
    for n, number in enumerate(sequence):
        add(log, 0, (number, 5.0 + 3.0 * n))
    for _ in range(len(sequence) + 1):
        told = log.take(0, 1, 2)
        if told:
            assert there_and_back(told) == told
    assert not log.waiting().size


def test_the_fate_of_what_was_sent_over_a_wrap() -> None:
    sent, log = Departures(16), arrivals_of(2)
    for row in (2, 9):
        sent.open(row)
    sent.next[sent.place[2]] = 65530
    lost = 0
    for burst in range(6):
        now = 50.0 + 0.033 * burst
        owners = np.array([2] * 4 + [9] * 2)
        given_numbers = sent.advance(owners, np.full(6, 1000 + burst), now)
        assert given_numbers[4:].tolist() == [2 * burst, 2 * burst + 1]
        for n, number in enumerate(given_numbers[:4].tolist()):
            if n == 1 and burst:
                lost += 1
            else:
                add(log, 2, (number, 900.0 + now + 0.05))
    told = log.take(2, 1, 2)
    assert told
    fate = sent.fate(2, told)
    assert fate.lost == lost == 5
    assert fate.sizes.tolist()[0] == 1000
    assert np.allclose(fate.arrived - fate.sent, 900.05, atol=0.0003)
    assert sent.fate(9, told).sent.size <= 12  # other numbers are not mistaken for these
    assert sent.fate(4, told).sent.size == 0


@given(st.integers(0, 0xFFFF), st.lists(st.one_of(st.none(), st.integers(-500, 500)), max_size=50))
def test_feedback_about_what_was_never_sent_says_nothing(base: int, arrivals: list[int | None]) -> None:
    sent = Departures(4)
    sent.open(0)
    fate = sent.fate(0, TransportCc(1, 2, base, 0, 5, tuple(arrivals)))
    assert (fate.sent.size, fate.lost) == (0, 0)


def test_places_are_given_back_and_taken_again_clean() -> None:
    sent = Departures(64)
    for row in range(40):
        sent.open(row)
        sent.advance(np.array([row]), np.array([100]), 1.0)
    for row in range(40):
        sent.close(row)
    sent.open(50)
    assert sent.next[sent.place[50]] == 0
    assert len(sent.number) <= 64


class Link:
    """A bottleneck: ``bits`` a second, a queue of ``room`` seconds, clocks apart."""

    def __init__(self, bits: float, room: float = 0.3, loss: float = 0.0) -> None:
        self.bits, self.room, self.loss = bits, room, loss
        self.free = 0.0
        self.chance = random.Random(4)

    def carry(self, rate: float, begin: float, seconds: float) -> Fate:
        """What became of packets of a video sender in that time."""
        sent, arrived, lost = [], [], 0
        size = 1100
        packets = max(int(rate * seconds / 8 / size), 1)
        for n in range(packets):
            now = begin + seconds * n / packets
            self.free = max(self.free, now)
            if self.free - now > self.room or self.chance.random() < self.loss:
                lost += 1
                continue
            self.free += 8 * size / self.bits
            sent.append(now)
            arrived.append(self.free + 0.02 + 0.003 * self.chance.random() + 777.0)
        return Fate(np.array(sent), np.array(arrived), np.full(len(sent), size), lost)


def drive(estimate: Estimate, link: Link, source: float, seconds: float, begin: float = 0.0) -> list[float]:
    limits = []
    for step in range(int(10 * seconds)):
        now = begin + step / 10
        estimate.feedback(link.carry(min(source, estimate.limit), now, 0.1), now + 0.15)
        limits.append(min(source, estimate.limit))
    return limits


@pytest.mark.parametrize("bits", [300_000, 800_000, 2_000_000])
@pytest.mark.parametrize("room", [0.15, 0.3, 1.0])
def test_the_estimate_comes_near_what_the_path_bears_and_stays(bits: float, room: float) -> None:
    limits = drive(Estimate(), Link(bits, room), 4 * bits, 60)
    assert min(limits[100:]) > 0.4 * bits
    assert np.mean(limits[100:]) == pytest.approx(0.9 * bits, rel=0.25)
    assert np.mean(limits[50:100]) < 1.5 * bits


def test_a_path_that_is_not_full_limits_nothing() -> None:
    estimate = Estimate()
    drive(estimate, Link(5_000_000, loss=0.01), 1_500_000, 60)
    assert estimate.limit == float("inf")


def test_loss_alone_lowers_it_and_it_recovers() -> None:
    estimate, link = Estimate(), Link(50_000_000, loss=0.2)
    drive(estimate, link, 1_000_000, 6)
    assert estimate.limit < 1_000_000
    link.loss = 0.0
    low = estimate.limit
    drive(estimate, link, 1_000_000, 30, 6.0)
    assert estimate.limit > 4 * low


def test_a_clock_that_is_set_anew_or_drifts_is_no_queue() -> None:
    estimate = Estimate()
    for step in range(600):
        now = step / 10
        sent = now + np.linspace(0, 0.09, 10)
        clock = 100 + 1.0002 * sent if step < 300 else 9000 + sent
        estimate.feedback(Fate(sent, clock, np.full(10, 1000), 0), now + 0.1)
    assert estimate.limit == float("inf")


@given(
    st.lists(
        st.tuples(st.floats(0, 1e6), st.floats(-1e7, 1e7), st.integers(0, 1500), st.integers(0, 50)),
        max_size=30,
    )
)
@settings(max_examples=50)
def test_whatever_a_far_end_claims_the_estimate_stays_a_number(told: list[tuple[float, float, int, int]]) -> None:
    estimate = Estimate()
    for n, (sent, arrived, size, lost) in enumerate(told):
        estimate.feedback(Fate(np.array([sent]), np.array([arrived]), np.array([size]), lost), n / 10)
        assert estimate.limit >= LEAST


# ------------------------------------------------------------------------------------------------ extensions


def packed(pool: PacketPool, extension: bytes, payload: bytes = b"xyz") -> tuple[int, int]:
    """A packet in the pool: its slot, and where its payload begins."""
    data = bytes([0x90 if extension else 0x80]) + bytes(11) + extension + payload
    slot = int(pool.take(1)[0])
    pool.memory[slot, : len(data)] = np.frombuffer(data, np.uint8)
    return slot, 12 + len(extension)


@given(st.integers(1, 14), st.integers(0, 14), st.integers(0, 14), st.text("abc1", max_size=20), st.integers(0, 65535))
def test_a_number_written_is_read(transport: int, absolute: int, mid: int, name: str, value: int) -> None:
    if len({transport, absolute, mid}) < 3:
        return
    made = template(transport, absolute, mid, name)
    assert len(made) <= ROOM
    assert len(made) % 4 == 0
    out = np.zeros((1, ROOM), np.uint8)
    out[0, : len(made)] = np.frombuffer(made, np.uint8)
    stamp_numbers(out, np.array([value]))
    assert made[NUMBER - 1] == transport << 4 | 1
    pool = PacketPool(4)
    slot, offset = packed(pool, out[0, : len(made)].tobytes())
    slots, offsets = np.array([slot], np.int32), np.array([offset], np.int32)
    assert numbers(pool, slots, np.array([transport], np.uint8), offsets).tolist() == [value]
    if mid and 0 < len(name) <= 16:
        where, sizes = find(pool, slots, np.array([mid], np.uint8), offsets)
        assert pool.flat[where[0] : where[0] + sizes[0]].tobytes() == name.encode()


@given(st.binary(max_size=40), st.integers(1, 14))
def test_any_extension_may_come(body: bytes, identifier: int) -> None:
    body += bytes(-len(body) % 4)
    pool = PacketPool(4)
    slot, offset = packed(pool, b"\xbe\xde" + (len(body) // 4).to_bytes(2, "big") + body)
    where, sizes = find(
        pool, np.array([slot], np.int32), np.array([identifier], np.uint8), np.array([offset], np.int32)
    )
    begin = slot * pool.memory.shape[1]
    if sizes[0]:
        assert begin + 16 < where[0]
        assert where[0] + sizes[0] <= begin + offset
