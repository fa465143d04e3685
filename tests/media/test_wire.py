"""The wire over real sockets on loopback."""

import ctypes
import mmap
import socket
import time

import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from bridge.media.wire import (
    STRIDE,
    WORTH_TRIMMING,
    PacketPool,
    Receiver,
    Sender,
    address_text,
    address_words,
    open_pairs,
    open_socket,
)


def receive(receiver: Receiver, socks: list[socket.socket]):
    return receiver.receive([s.fileno() for s in socks], time.monotonic(), time.time())


@given(st.one_of(st.ip_addresses(v=4), st.ip_addresses(v=6)), st.integers(0, 65535))
def test_addresses_survive_the_trip_through_words(ip, port):
    words = address_words(str(ip), port)
    assert address_words(*address_text(words)).tolist() == words.tolist()


def test_a_host_name_is_no_address():
    with pytest.raises(ValueError):
        address_words("example.org", 5060)


@pytest.mark.parametrize("host", ["127.0.0.1", "::1"])
def test_packets_arrive_with_source_and_kernel_time(host):
    pool = PacketPool(64)
    receiver = Receiver(pool, 16)
    ours = open_socket(host, 0)
    theirs = socket.socket(socket.AF_INET6 if ":" in host else socket.AF_INET, socket.SOCK_DGRAM)
    theirs.bind((host, 0))
    before = time.monotonic()
    for n in range(3):
        theirs.sendto(bytes([n]) * (20 + n), (host, ours.getsockname()[1]))
    batch = receive(receiver, [ours])
    assert batch.lengths.tolist() == [20, 21, 22]
    assert [bytes(pool.memory[s, :2]) for s in batch.slots] == [b"\0\0", b"\1\1", b"\2\2"]
    assert {address_text(w) for w in batch.sources} == {(host, theirs.getsockname()[1])}
    assert np.all(batch.arrivals >= before - 0.01)
    assert np.all(batch.arrivals <= time.monotonic())
    ours.close()
    theirs.close()


def test_one_batch_holds_every_socket_and_names_it():
    pool = PacketPool(64)
    receiver = Receiver(pool, 16)
    socks = [open_socket("127.0.0.1", 0) for _ in range(4)]
    client = socket.socket(socket.AF_INET, socket.SOCK_DGRAM)
    for n in (1, 3, 3):
        client.sendto(bytes([n]), ("127.0.0.1", socks[n].getsockname()[1]))
    batch = receive(receiver, socks)
    assert sorted(zip(batch.sockets.tolist(), pool.memory[batch.slots, 0].tolist(), strict=True)) == [
        (1, 1),
        (3, 3),
        (3, 3),
    ]
    for sock in (*socks, client):
        sock.close()


def test_slots_run_out_and_come_back_without_mixing_packets_up():
    pool = PacketPool(8)
    receiver = Receiver(pool, 8)
    ours = open_socket("127.0.0.1", 0)
    client = socket.socket(socket.AF_INET, socket.SOCK_DGRAM)
    to = ("127.0.0.1", ours.getsockname()[1])
    held, sent, seen = [], 0, []
    random = np.random.default_rng(5)
    for _ in range(200):
        for _ in range(int(random.integers(0, 6))):
            client.sendto(sent.to_bytes(4, "big"), to)
            sent += 1
        batch = receive(receiver, [ours])
        held += batch.slots.tolist()
        seen += [int.from_bytes(bytes(pool.memory[s, :4]), "big") for s in batch.slots]
        give = int(random.integers(0, len(held) + 1))
        pool.give(np.array(held[:give], np.int32))
        held = held[give:]
        assert len(set(held)) == len(held)
    while seen[-1:] != [sent - 1] and len(seen) < sent:
        pool.give(np.array(held, np.int32))
        batch = receive(receiver, [ours])
        held = batch.slots.tolist()
        seen += [int.from_bytes(bytes(pool.memory[s, :4]), "big") for s in batch.slots]
    assert seen == list(range(sent))
    ours.close()
    client.close()


def test_what_was_gathered_ahead_is_in_the_batch_with_its_own_time_and_nothing_is_lost():
    pool = PacketPool(256)
    receiver = Receiver(pool, 128)
    socks = [open_socket("127.0.0.1", 0) for _ in range(3)]
    fds = [s.fileno() for s in socks]
    client = socket.socket(socket.AF_INET, socket.SOCK_DGRAM)
    random = np.random.default_rng(7)
    sent = 0
    for _ in range(30):
        times, seen = [], []
        for ahead in range(3):
            for _ in range(int(random.integers(0, 20))):
                to = int(random.integers(0, 3))
                before = time.monotonic()
                client.sendto(bytes([to]) + len(times).to_bytes(4, "big"), ("127.0.0.1", socks[to].getsockname()[1]))
                times.append((before, time.monotonic()))
            if ahead < 2:
                assert receiver.gather(fds) == len(times)
        batch = receive(receiver, socks)
        for slot, owner, arrival in zip(batch.slots, batch.sockets, batch.arrivals, strict=True):
            data = bytes(pool.memory[slot, :5])
            assert data[0] == owner
            seen.append(int.from_bytes(data[1:], "big"))
            before, after = times[seen[-1]]
            assert before - 0.01 < arrival < after + 0.01
        assert sorted(seen) == list(range(len(times)))
        assert np.all(np.diff(batch.arrivals[np.argsort(seen)]) >= 0)
        pool.give(batch.slots)
        sent += len(times)
    assert sent > 300
    for sock in (*socks, client):
        sock.close()


def test_gathering_ahead_gives_no_socket_more_than_its_share():
    pool = PacketPool(256)
    receiver = Receiver(pool, 100)
    socks = [open_socket("127.0.0.1", 0) for _ in range(2)]
    fds = [s.fileno() for s in socks]
    client = socket.socket(socket.AF_INET, socket.SOCK_DGRAM)
    for n in range(90):
        client.sendto(bytes([n]), ("127.0.0.1", socks[0].getsockname()[1]))
    for _ in range(4):
        assert receiver.gather(fds, per_socket=50) == 50
    client.sendto(b"x", ("127.0.0.1", socks[1].getsockname()[1]))
    batch = receiver.receive(fds, time.monotonic(), time.time(), per_socket=50)
    assert np.bincount(batch.sockets).tolist() == [50, 1]
    pool.give(batch.slots)
    assert receiver.receive(fds, time.monotonic(), time.time(), per_socket=50).sockets.tolist() == [0] * 40
    for sock in (*socks, client):
        sock.close()


def test_what_lies_ready_goes_back_and_what_waits_stays():
    pool = PacketPool(1024)
    receiver = Receiver(pool, 512)
    ours = open_socket("127.0.0.1", 0)
    client = socket.socket(socket.AF_INET, socket.SOCK_DGRAM)
    to = ("127.0.0.1", ours.getsockname()[1])
    for n in range(400):
        client.sendto(n.to_bytes(2, "big"), to)
    batch = receive(receiver, [ours])
    assert [int.from_bytes(bytes(pool.memory[s, :2]), "big") for s in batch.slots] == list(range(400))
    pool.give(batch.slots)
    assert pool.free < pool.slots
    receiver.rest()
    assert pool.free == pool.slots
    client.sendto(b"a", to)
    receiver.gather([ours.fileno()])
    receiver.rest()  # a packet that waits for its beat stays
    assert pool.free == pool.slots - 1
    client.sendto(b"b", to)
    batch = receive(receiver, [ours])
    assert [bytes(pool.memory[s, :1]) for s in batch.slots] == [b"a", b"b"]
    ours.close()
    client.close()


def resident(pool: PacketPool) -> int:
    """Bytes of the pool that are in memory, by mincore(2)."""
    pages = -(-pool.memory.nbytes // mmap.PAGESIZE)
    vector = (ctypes.c_ubyte * pages)()
    assert ctypes.CDLL(None).mincore(ctypes.c_void_p(pool.base), ctypes.c_size_t(pool.memory.nbytes), vector) == 0
    return sum(page & 1 for page in vector) * mmap.PAGESIZE


@settings(max_examples=20, deadline=None)
@given(st.randoms(use_true_random=False))
def test_pages_that_only_a_stall_needed_go_back_and_no_lent_slot_loses_a_byte(random):
    pool = PacketPool(4 * WORTH_TRIMMING)
    lent = pool.take(3 * WORTH_TRIMMING)
    pool.memory[lent] = (lent % 251)[:, None]
    assert resident(pool) >= 3 * WORTH_TRIMMING * STRIDE
    kept = np.array(random.sample(lent.tolist(), 40), np.int32)
    pool.give(np.setdiff1d(lent, kept))
    assert pool.trim() == 0  # so many were needed until just now
    for _ in range(8):
        again = pool.take(100)
        pool.memory[again] = 255
        pool.give(again)
    assert pool.trim() > WORTH_TRIMMING
    assert resident(pool) < WORTH_TRIMMING * STRIDE
    assert (pool.memory[kept] == (kept % 251)[:, None]).all()
    rest = pool.take(pool.slots)
    assert sorted([*rest.tolist(), *kept.tolist()]) == list(range(pool.slots))


def test_a_crowd_that_stays_costs_no_page_twice():
    pool = PacketPool(4 * WORTH_TRIMMING)
    for _ in range(5):
        lent = pool.take(2 * WORTH_TRIMMING)
        pool.memory[lent] = 1
        pool.give(lent)
        assert pool.trim() == 0


def test_a_datagram_larger_than_a_slot_is_counted_and_empty():
    pool = PacketPool(8)
    ours = open_socket("127.0.0.1", 0)
    client = socket.socket(socket.AF_INET, socket.SOCK_DGRAM)
    client.sendto(b"\x80" * 3000, ("127.0.0.1", ours.getsockname()[1]))
    batch = receive(Receiver(pool, 4), [ours])
    assert batch.truncated == 1
    assert batch.lengths.tolist() == [0]
    ours.close()
    client.close()


def test_the_sender_gathers_header_and_shared_payload_for_each_destination():
    listeners = [socket.socket(socket.AF_INET, socket.SOCK_DGRAM) for _ in range(3)]
    for sock in listeners:
        sock.bind(("127.0.0.1", 0))
        sock.settimeout(1)
    ours = [open_socket("127.0.0.1", 0) for _ in range(2)]
    names = np.stack([address_words(*s.getsockname()) for s in listeners])
    heads = np.array([[1] * 12, [2] * 12, [3] * 12], np.uint8)
    body = np.arange(160, dtype=np.uint8)
    at = np.arange(3, dtype=np.uint64)
    sent = Sender(8).send(
        [s.fileno() for s in ours],
        np.array([0, 0, 1]),
        names.ctypes.data + at * np.uint64(32),
        heads.ctypes.data + at * np.uint64(12),
        12,
        np.full(3, body.ctypes.data, np.uint64),
        np.array([160, 80, 0]),
    )
    assert sent == 3
    got = [s.recvfrom(2000) for s in listeners]
    assert [d for d, _ in got] == [
        bytes([1] * 12) + bytes(range(160)),
        bytes([2] * 12) + bytes(range(80)),
        bytes([3] * 12),
    ]
    assert [a[1] for _, a in got] == [ours[0].getsockname()[1]] * 2 + [ours[1].getsockname()[1]]
    for sock in (*listeners, *ours):
        sock.close()


def test_nothing_to_send_is_nothing_sent():
    none = np.zeros(0, np.uint64)
    assert Sender(8).send([], np.zeros(0, np.intp), none, none, 12, none, 160) == 0


def test_one_forbidden_destination_does_not_cost_the_others_their_packet():
    listener = socket.socket(socket.AF_INET, socket.SOCK_DGRAM)
    listener.bind(("127.0.0.1", 0))
    listener.settimeout(1)
    ours = open_socket("127.0.0.1", 0)
    names = np.stack([address_words("255.255.255.255", 9), address_words(*listener.getsockname())])
    head = np.zeros(12, np.uint8)
    sender = Sender(2)
    sent = sender.send(
        [ours.fileno()],
        np.array([0, 0]),
        names.ctypes.data + np.arange(2, dtype=np.uint64) * np.uint64(32),
        np.full(2, head.ctypes.data, np.uint64),
        12,
        np.full(2, head.ctypes.data, np.uint64),
        0,
    )
    assert listener.recv(100) == bytes(12)
    assert (sent, sender.dropped) == (1, 1)
    listener.close()
    ours.close()


def test_taken_ports_are_skipped_and_an_empty_range_is_an_error():
    taken = socket.socket(socket.AF_INET, socket.SOCK_DGRAM)
    taken.bind(("127.0.0.1", 0))
    port = taken.getsockname()[1]
    start = port - port % 2
    with pytest.raises(OSError, match=r"^no media port of \d+-\d+ on "):
        open_pairs("127.0.0.1", range(start, start + 2))
    taken.close()
    numbers, rtp, rtcp = open_pairs("127.0.0.1", range(start, start + 2))
    assert numbers == [start]
    for sock in (*rtp, *rtcp):
        sock.close()


def test_of_many_sockets_those_that_have_something_are_read_and_another_one_first_each_time():
    pool = PacketPool(256)
    receiver = Receiver(pool, 64)
    socks = [open_socket("127.0.0.1", 0) for _ in range(12)]
    with socket.socket(socket.AF_INET, socket.SOCK_DGRAM) as theirs:
        firsts = set()
        for _ in range(13):
            for which in (2, 5, 11):
                theirs.sendto(bytes([which]) * 20, ("127.0.0.1", socks[which].getsockname()[1]))
            batch = receive(receiver, socks)
            assert sorted(batch.sockets.tolist()) == [2, 5, 11]
            assert [int(pool.memory[s, 0]) for s in batch.slots] == batch.sockets.tolist()
            firsts.add(int(batch.sockets[0]))
            pool.give(batch.slots)
        assert firsts == {2, 5, 11}
        assert not len(receive(receiver, socks).slots)
    for sock in socks:
        sock.close()
