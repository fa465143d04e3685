"""Selective forwarding: whatever comes, a receiver sees one stream."""

from __future__ import annotations

import time

import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from bridge.media.video.forward import (
    Forwarder,
    Incoming,
    Outgoing,
    read_h264,
    read_h265,
    read_vp8,
    read_vp9,
    write_numbers,
)
from bridge.media.video.h264 import H264Depacketiser
from bridge.media.video.h265 import H265Depacketiser
from bridge.media.video.payload import CONTINUES, KEYFRAME, PayloadError
from bridge.media.video.vp8 import Vp8Depacketiser, parse_descriptor
from bridge.media.video.vp9 import Vp9Depacketiser

Packet = tuple[int, int, int, bool, int, int]
"""Source, sequence number, timestamp, keyframe begins, picture, TL0PICIDX."""


def incoming(packets: list[Packet]) -> Incoming:
    columns = list(zip(*packets, strict=True)) if packets else [()] * 6
    whole = [np.array(column, np.int64) for column in columns]
    return Incoming(whole[0], whole[1], whole[2], whole[3].astype(np.bool_), whole[4], whole[5])


class Camera:
    """A source of VP8 frames, two packets each."""

    def __init__(self, source: int, sequence: int = 0, timestamp: int = 0, picture: int = 0, tl0: int = 0) -> None:
        self.source = source
        self.sequence, self.timestamp, self.picture, self.tl0 = sequence, timestamp, picture, tl0

    def frame(self, *, keyframe: bool = False, ticks: int = 3000) -> list[Packet]:
        made: list[Packet] = []
        for n in range(2):
            stamp, key = self.timestamp & 0xFFFFFFFF, keyframe and n == 0
            made.append((self.source, self.sequence & 0xFFFF, stamp, key, self.picture & 0x7FFF, self.tl0 & 0xFF))
            self.sequence += 1
        self.timestamp += ticks
        self.picture += 1
        self.tl0 += 1
        return made


def rows(out: Outgoing, output: int) -> list[tuple[int, int, int, int, int]]:
    at = (out.output == output).nonzero()[0]
    columns = (out.packet, out.sequence, out.timestamp, out.picture, out.tl0)
    return list(zip(*(column[at].tolist() for column in columns), strict=True))


def opened(count: int, **numbers: int) -> Forwarder:
    made = Forwarder(count)
    for output in range(count):
        made.open(output, **({"sequence": 65530, "timestamp": 0xFFFFF000, "picture": 32760, "tl0": 250} | numbers))
    return made


def test_nothing_is_sent_before_a_keyframe_and_all_after_it() -> None:
    forwarder, camera = opened(2), Camera(7, 65533)
    forwarder.watch(1, 7)
    assert forwarder.waiting().tolist() == [7]
    assert not forwarder.forward(incoming(camera.frame()), 0.0).packet.size
    batch = camera.frame()[1:] + camera.frame(keyframe=True) + camera.frame()
    out = forwarder.forward(incoming(batch), 0.03)
    assert rows(out, 0) == []
    assert [row[:2] for row in rows(out, 1)] == [(1, 65530), (2, 65531), (3, 65532), (4, 65533)]
    assert not forwarder.waiting().size


@given(st.data())
@settings(deadline=None)
def test_switching_at_will_makes_one_stream(data: st.DataObject) -> None:
    """In order and without loss: numbers without gaps, time that goes on, each change at a keyframe."""
    cameras = [
        Camera(
            source,
            data.draw(st.integers(0, 65535)),
            data.draw(st.integers(0, 2**32 - 1)),
            data.draw(st.integers(0, 32767)),
            data.draw(st.integers(0, 255)),
        )
        for source in (10, 11, 12)
    ]
    forwarder = opened(1)
    seen: list[tuple[int, int, int, int, int]] = []
    origins: list[Packet] = []
    now = 5.0
    for _ in range(data.draw(st.integers(1, 25))):
        if data.draw(st.booleans()):
            forwarder.watch(0, data.draw(st.sampled_from([10, 11, 12])))
        batch: list[Packet] = []
        for camera in data.draw(st.permutations(cameras)):
            batch += camera.frame(keyframe=data.draw(st.booleans()))
        now += 1 / 30
        found = rows(forwarder.forward(incoming(batch), now), 0)
        seen += found
        origins += [batch[n] for n, *_ in found]
    for before, after in zip(range(len(seen)), range(1, len(seen)), strict=False):
        assert (seen[after][1] - seen[before][1]) & 0xFFFF == 1
        step = (seen[after][2] - seen[before][2]) & 0xFFFFFFFF
        same = origins[after][0] == origins[before][0] and origins[after][2] == origins[before][2]
        assert step == 0 if same else 0 < step < 60000
        assert (seen[after][3] - seen[before][3]) & 0x7FFF == (0 if same else 1)
        assert (seen[after][4] - seen[before][4]) & 0xFF == (0 if same else 1)
        if origins[after][0] != origins[before][0]:
            assert origins[after][3]
    if origins:
        assert origins[0][3]
        assert seen[0][1] == 65530
        assert (seen[0][2], seen[0][3], seen[0][4]) == (0xFFFFF000, 32760, 250)


@given(st.data())
@settings(deadline=None)
def test_loss_and_disorder_never_give_two_packets_one_number(data: st.DataObject) -> None:
    cameras = [Camera(1, 65500, 9), Camera(2, 17, 100_000)]
    forwarder = opened(1)
    used: dict[int, tuple[int, int]] = {}
    late: list[Packet] = []
    for turn in range(data.draw(st.integers(1, 30))):
        forwarder.watch(0, data.draw(st.sampled_from([1, 2])))
        batch = [p for camera in cameras for p in camera.frame(keyframe=data.draw(st.booleans()))]
        batch = [packet for packet in batch if data.draw(st.integers(0, 7))]
        batch += late
        late, batch = batch[:1], data.draw(st.permutations(batch[1:]))
        out = forwarder.forward(incoming(batch), turn / 30)
        for n, sequence, *_ in rows(out, 0):
            who = batch[n][:2]
            assert used.setdefault(sequence, who) == who
    for sequence, (source, number) in used.items():
        origin = forwarder.origin(0, sequence)
        if origin is not None and origin[0] == source:
            assert origin[1] == number


def test_a_nack_is_led_back_to_whoever_sent_it() -> None:
    forwarder, one, two = opened(1), Camera(1, 5), Camera(2, 60000)
    forwarder.watch(0, 1)
    forwarder.forward(incoming(one.frame(keyframe=True) + one.frame()), 0.0)
    forwarder.watch(0, 2)
    forwarder.forward(incoming(two.frame(keyframe=True) + two.frame()), 0.1)
    assert [forwarder.origin(0, (65530 + n) & 0xFFFF) for n in range(8)] == [
        *[(1, 5 + n) for n in range(4)],
        *[(2, 60000 + n) for n in range(4)],
    ]
    assert forwarder.origin(0, 65529) is None


def test_many_outputs_at_once_get_what_each_would_alone() -> None:
    rng = np.random.default_rng(3)
    together, alone = opened(12), [opened(1) for _ in range(12)]
    cameras = [Camera(n, int(rng.integers(65536)), int(rng.integers(1 << 32))) for n in range(4)]
    for turn in range(60):
        output, source = int(rng.integers(12)), int(rng.integers(-1, 4))
        together.watch(output, source)
        alone[output].watch(0, source)
        batch = [p for camera in cameras for p in camera.frame(keyframe=bool(rng.random() < 0.2))]
        out = together.forward(incoming(batch), turn / 30)
        for n, single in enumerate(alone):
            assert rows(single.forward(incoming(batch), turn / 30), 0) == rows(out, n)


def test_who_watches_nothing_is_sent_nothing_at_once() -> None:
    forwarder, camera = opened(1), Camera(3)
    forwarder.watch(0, 3)
    assert forwarder.forward(incoming(camera.frame(keyframe=True)), 0.0).packet.size == 2
    forwarder.watch(0, -1)
    assert forwarder.forward(incoming(camera.frame(keyframe=True)), 0.1).packet.size == 0
    forwarder.watch(0, 3)
    assert forwarder.forward(incoming(camera.frame()), 0.2).packet.size == 0
    out = forwarder.forward(incoming(camera.frame(keyframe=True)), 2.1)
    assert rows(out, 0)[0][1] == (65530 + 2) & 0xFFFF
    assert (rows(out, 0)[0][2] - 0xFFFFF000) & 0xFFFFFFFF == pytest.approx(2.1 * 90000, abs=2)


# ------------------------------------------------------------------------------------------------------ VP8


def table(payloads: list[bytes]) -> tuple[np.ndarray, np.ndarray]:  # type: ignore[type-arg]
    octets = np.zeros((len(payloads), 64), np.uint8)
    for n, payload in enumerate(payloads):
        octets[n, : len(payload)] = np.frombuffer(payload, np.uint8)
    return octets, np.array([len(payload) for payload in payloads], np.int64)


@given(st.lists(st.binary(min_size=1, max_size=24), min_size=1, max_size=20))
@settings(deadline=None)
def test_descriptors_in_arrays_are_what_each_is_alone(payloads: list[bytes]) -> None:
    heads = read_vp8(*table(payloads))
    for n, payload in enumerate(payloads):
        try:
            told = parse_descriptor(payload)
            whole = told.size < len(payload)
        except PayloadError:
            whole = False
        if not whole:
            assert (heads.picture[n], heads.tl0[n], heads.keyframe[n]) == (-1, -1, False)
            continue
        assert heads.picture[n] == (-1 if told.picture is None else told.picture)
        assert heads.tl0[n] == (-1 if told.tl0 is None else told.tl0)
        assert heads.keyframe[n] == (Vp8Depacketiser().begins(payload) == KEYFRAME)


@given(
    st.lists(st.binary(min_size=8, max_size=24), min_size=1, max_size=8),
    st.integers(0, 32767),
    st.integers(0, 255),
)
@settings(deadline=None)
def test_numbers_written_are_read_and_nothing_else_changes(payloads: list[bytes], picture: int, tl0: int) -> None:
    octets, sizes = table(payloads)
    heads = read_vp8(octets, sizes)
    n = len(payloads)
    copy = octets.copy()
    index = np.arange(n)
    out = Outgoing(index, index, index, index, np.full(n, picture), np.full(n, tl0))
    write_numbers(copy, heads, out)
    again = read_vp8(copy, sizes)
    for k in range(n):
        if heads.picture[k] >= 0:
            assert again.picture[k] == (picture if heads.wide[k] else picture & 0x7F)
        if heads.tl0[k] >= 0:
            assert again.tl0[k] == tl0
        changed = set((copy[k] != octets[k]).nonzero()[0].tolist())
        at = int(heads.picture_at[k])
        assert changed <= {at, at + 1, int(heads.tl0_at[k])}
    assert (again.keyframe == heads.keyframe).all()


def hedged(sizes: tuple[int, int] = (2, 24)) -> st.SearchStrategy[list[bytes]]:
    """Payloads whose first octets are often those that matter."""
    first = st.sampled_from(
        [0x65, 0x67, 0x61, 0x78, 0x7C, 0x09, 0x06, 0x40, 0x42, 0x26, 0x28, 0x60, 0x62, 0x90, 0x88, 0xA8, 0x8C, 0xFF]
    )
    body = st.binary(min_size=sizes[0], max_size=sizes[1])
    payload = st.builds(
        lambda head, second, rest: bytes([head]) + second + rest,
        first,
        st.sampled_from(
            [b"", b"\x80", b"\x85", b"\x87", b"\x00\x02\x09\xf0\x00\x05\x67", b"\x01\x93", b"\x00\x05\x67", b"\x01\xa1"]
        ),
        body,
    )
    return st.lists(st.one_of(payload, body), min_size=1, max_size=20)


@given(hedged())
@settings(deadline=None)
def test_keyframes_of_h264_in_arrays_are_those_that_each_begins(payloads: list[bytes]) -> None:
    heads = read_h264(*table(payloads))
    for n, payload in enumerate(payloads):
        if payload[0] & 31 == 24:  # one that is cut short begins nothing alone
            continue
        alone = H264Depacketiser({}).begins(payload)
        if heads.keyframe[n]:
            assert alone != CONTINUES
        else:
            assert alone != KEYFRAME or len(payload) < 4


def test_a_keyframe_of_h264_may_begin_within_an_aggregate() -> None:
    def stap(*units: bytes) -> bytes:
        return b"\x78" + b"".join(len(unit).to_bytes(2, "big") + unit for unit in units)

    sps, pps, idr, delimiter, slice_ = (
        b"\x67\x42\x00\x1f\x8c",
        b"\x68\xce\x01",
        b"\x65\x88\x84",
        b"\x09\xf0",
        b"\x61\x9a\x00",
    )
    payloads = [
        stap(sps, pps),
        stap(delimiter, sps, pps),
        stap(delimiter, slice_),
        stap(slice_, slice_),
        stap(idr, slice_),
        stap(b"\x65\x08\x84", slice_),
    ]
    assert read_h264(*table(payloads)).keyframe.tolist() == [True, True, False, False, True, False]


@given(hedged())
@settings(deadline=None)
def test_keyframes_of_h265_in_arrays_are_those_that_each_begins(payloads: list[bytes]) -> None:
    heads = read_h265(*table(payloads))
    for n, payload in enumerate(payloads):
        alone = H265Depacketiser({}).begins(payload)
        if heads.keyframe[n]:
            assert alone != CONTINUES
        else:
            assert alone != KEYFRAME or len(payload) < 8


@given(hedged(), st.integers(0, 32767), st.integers(0, 255))
@settings(deadline=None)
def test_descriptors_of_vp9_in_arrays_are_what_each_is_alone(payloads: list[bytes], picture: int, tl0: int) -> None:
    octets, sizes = table(payloads)
    heads = read_vp9(octets, sizes)
    index = np.arange(len(payloads))
    copy = octets.copy()
    count = len(payloads)
    write_numbers(copy, heads, Outgoing(index, index, index, index, np.full(count, picture), np.full(count, tl0)))
    again = read_vp9(copy, sizes)
    for n, payload in enumerate(payloads):
        if heads.picture_at[n] >= 0 or heads.keyframe[n]:
            assert bool(heads.keyframe[n]) == (Vp9Depacketiser().begins(payload) == KEYFRAME)
        if heads.picture[n] >= 0:
            assert again.picture[n] == (picture if heads.wide[n] else picture & 0x7F)
        if heads.tl0[n] >= 0:
            assert again.tl0[n] == tl0
        changed = set((copy[n] != octets[n]).nonzero()[0].tolist())
        at = int(heads.picture_at[n])
        assert changed <= {at, at + 1, int(heads.tl0_at[n])}


@given(st.data())
@settings(deadline=None)
def test_what_was_sent_under_a_number_can_be_made_again(data: st.DataObject) -> None:
    cameras = [Camera(1, 65500, 9, 7, 8), Camera(2, 17, 100_000)]
    forwarder = opened(1)
    sent: dict[int, tuple[Packet, tuple[int, int, int, int, int]]] = {}
    for turn in range(data.draw(st.integers(1, 20))):
        if data.draw(st.booleans()):
            forwarder.watch(0, data.draw(st.sampled_from([1, 2])))
        batch = [p for camera in cameras for p in camera.frame(keyframe=data.draw(st.booleans()))]
        for row in rows(forwarder.forward(incoming(batch), turn / 30), 0):
            sent[row[1]] = batch[row[0]], row
    known = 0
    for number, (packet, (_, _, timestamp, picture, tl0)) in sent.items():
        origin = forwarder.trace(0, number)
        if origin is None:
            continue
        known += 1
        assert (origin.source, origin.sequence & 0xFFFF) == packet[:2]
        assert (packet[2] + origin.stamp_shift) & 0xFFFFFFFF == timestamp
        assert (packet[4] + origin.picture_shift) & 0x7FFF == picture
        assert (packet[5] + origin.tl0_shift) & 0xFF == tl0
    assert known or not sent


def test_a_source_that_counts_anew_goes_on_with_its_next_keyframe() -> None:
    forwarder, camera = opened(1), Camera(3)
    forwarder.watch(0, 3)
    forwarder.forward(incoming(camera.frame(keyframe=True)), 0.0)
    forwarder.restart(3)
    camera.sequence, camera.timestamp = 40000, 123456789
    assert not forwarder.forward(incoming(camera.frame()), 0.1).packet.size
    assert forwarder.waiting().tolist() == [3]
    out = rows(forwarder.forward(incoming(camera.frame(keyframe=True)), 0.2), 0)
    assert [row[1] for row in out] == [(65530 + 2) & 0xFFFF, (65530 + 3) & 0xFFFF]
    assert (out[0][2] - 0xFFFFF000) & 0xFFFFFFFF == pytest.approx(0.2 * 90000, abs=2)


def test_a_thousand_packets_to_fifty_outputs_cost_little() -> None:
    forwarder = opened(50)
    cameras = [Camera(n) for n in range(25)]
    for output in range(50):
        forwarder.watch(output, output % 25)
    forwarder.forward(incoming([p for camera in cameras for p in camera.frame(keyframe=True)]), 0.0)
    batch = incoming([p for _ in range(20) for camera in cameras for p in camera.frame()])
    begin = time.process_time()
    out = forwarder.forward(batch, 0.1)
    assert out.packet.size == 2000
    assert time.process_time() - begin < 0.2
