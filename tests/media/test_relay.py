"""Packets handed from one process to another arrive as if the other had read the port itself."""

import numpy as np
import pytest

from bridge.media.relay import Relay, RelayReceiver, pair
from bridge.media.wire import STRIDE, Batch, PacketPool, address_words


@pytest.fixture
def ends():
    both = pair()
    yield both
    for end in both:
        end.close()


def batch_of(pool: PacketPool, packets: list[bytes]) -> Batch:
    slots = pool.take(len(packets))
    for slot, packet in zip(slots, packets, strict=True):
        pool.memory[slot, : len(packet)] = np.frombuffer(packet, np.uint8)
    return Batch(
        slots=slots,
        lengths=np.array([len(p) for p in packets], np.int32),
        sockets=np.arange(len(packets)),
        sources=np.stack([address_words("192.0.2.1", 4000 + n) for n in range(len(packets))]),
        arrivals=np.arange(len(packets)) + 0.5,
    )


def test_chosen_packets_arrive_with_source_socket_and_time(ends):
    pool, there = PacketPool(64), PacketPool(64)
    batch = batch_of(pool, [bytes([n]) * (20 + n) for n in range(6)])
    Relay(pool, ends[0].fileno()).send(batch, np.array([1, 4]), np.array([31, 34]))
    got, whose = RelayReceiver(there, ends[1].fileno(), 16).receive()
    assert whose.tolist() == [31, 34]
    assert [there.memory[s, :n].tobytes() for s, n in zip(got.slots, got.lengths, strict=True)] == [
        b"\1" * 21,
        b"\4" * 24,
    ]
    assert got.sources.tolist() == batch.sources[[1, 4]].tolist()
    assert got.sockets.tolist() == [1, 4]
    assert got.arrivals.tolist() == [1.5, 4.5]


def test_nothing_waiting_is_an_empty_batch_and_lends_nothing_away(ends):
    pool = PacketPool(64)
    receiver = RelayReceiver(pool, ends[1].fileno(), 16)
    assert [len(receiver.receive()[0].slots) for _ in range(3)] == [0, 0, 0]
    assert pool.free == 48


def test_more_than_one_call_takes_goes_in_several_and_none_is_mixed_up(ends):
    pool, there = PacketPool(400), PacketPool(400)
    packets = [n.to_bytes(2, "big") * 50 for n in range(300)]
    Relay(pool, ends[0].fileno(), 64).send(batch_of(pool, packets), np.arange(300), np.arange(300))
    receiver, found = RelayReceiver(there, ends[1].fileno(), 100), []
    while len((got := receiver.receive()[0]).slots):
        found += [there.memory[s, :n].tobytes() for s, n in zip(got.slots, got.lengths, strict=True)]
        there.give(got.slots)
    assert found == packets


def test_a_reader_that_hangs_costs_packets_and_no_time(ends):
    pool = PacketPool(2048)
    relay = Relay(pool, ends[0].fileno())
    batch = batch_of(pool, [b"x" * (STRIDE - 200)] * 2000)
    for _ in range(20):
        relay.send(batch, np.arange(2000), np.arange(2000))
    assert relay.dropped > 0


def test_a_pool_that_runs_dry_leaves_packets_waiting(ends):
    pool, there = PacketPool(64), PacketPool(4)
    Relay(pool, ends[0].fileno()).send(batch_of(pool, [bytes([n]) * 20 for n in range(6)]), np.arange(6), np.arange(6))
    receiver = RelayReceiver(there, ends[1].fileno(), 16)
    first, _ = receiver.receive()
    assert len(first.slots) == 4
    there.give(first.slots)
    second, _ = receiver.receive()
    assert [int(there.memory[s, 0]) for s in second.slots] == [4, 5]
