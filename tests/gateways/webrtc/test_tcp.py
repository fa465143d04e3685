"""Framing by RFC 4571; who may stay; what falls where a network is slower than the call."""

from __future__ import annotations

import contextlib

import pytest
from hypothesis import given
from hypothesis import strategies as st

from gateways.webrtc import stun
from gateways.webrtc.tcp import (
    ALL_WAITS,
    LARGEST,
    MAX_TRIES,
    PATIENCE,
    PICTURES_LATE,
    PICTURES_WAIT,
    VOICE_LATE,
    Backlog,
    BrokenFraming,
    Connection,
    Connections,
    Framer,
    Stage,
    frame,
    host_of,
    passes,
    proves,
)

CHECK = stun.build(stun.REQUEST, bytes(12), ((stun.USERNAME, b"ours:theirs"),))
SUCCESS = stun.build(stun.SUCCESS, bytes(12))
VOICE = b"\x80\x6f" + bytes(120)
PICTURE = b"\x80\x60" + bytes(1100)
RTCP = b"\x80\xc9" + bytes(1100)
DTLS = b"\x16\xfe\xfd" + bytes(600)


@given(st.lists(st.binary(min_size=1, max_size=LARGEST), max_size=20), st.lists(st.integers(1, 4096)))
def test_packets_survive_any_cutting_of_the_stream(packets: list[bytes], cuts: list[int]) -> None:
    stream = memoryview(b"".join(map(frame, packets)))
    framer = Framer()
    got: list[bytes] = []
    for cut in [*cuts, len(stream)]:
        got += map(bytes, framer.feed(stream[:cut]))
        stream = stream[cut:]
    got += map(bytes, framer.feed(stream))
    assert got == packets


def test_empty_frames_are_left_out() -> None:
    assert list(Framer().feed(frame(b"") + frame(b"x"))) == [b"x"]


def test_an_oversized_frame_breaks_the_stream_after_what_came_before() -> None:
    framer = Framer()
    packets = framer.feed(frame(b"x") + b"\xff\xff")
    assert next(packets) == b"x"
    with pytest.raises(BrokenFraming):
        next(packets)
    with pytest.raises(ValueError):
        frame(bytes(65_536))


# ------------------------------------------------------------------------------------------------- strangers


def taken(connection: Connection, *packets: bytes, now: float = 0.0) -> list[bytes]:
    return [bytes(packet) for packet in connection.packets(b"".join(map(frame, packets)), now)]


@pytest.mark.parametrize(
    "first",
    [
        b"GET / HTTP/1.1\r\n\r\n",
        frame(DTLS),
        frame(VOICE),
        frame(SUCCESS),
        frame(CHECK[:-1] + b"\0"),
        frame(stun.build(stun.REQUEST, bytes(12))),
    ],
)
def test_what_does_not_begin_with_a_check_is_no_browsers(first: bytes) -> None:
    connection = Connection("192.0.2.1", 0.0)
    with pytest.raises(BrokenFraming):
        list(connection.packets(first, 0.0))


def test_nothing_but_checks_passes_before_one_is_answered() -> None:
    connections = Connections()
    connections.opened(1, "192.0.2.1", 0.0)
    connection = connections[1]
    assert taken(connection, CHECK, DTLS, VOICE) == [CHECK]
    assert proves(SUCCESS)
    assert not proves(stun.build(stun.ERROR, bytes(12)))
    connections.proved(1, 0.0)
    assert taken(connection, CHECK, DTLS, VOICE) == [CHECK, DTLS, VOICE]


@given(st.lists(st.one_of(st.binary(max_size=3000), st.just(frame(CHECK)), st.just(frame(DTLS))), max_size=8))
def test_whatever_a_stranger_sends_only_checks_go_on(pieces: list[bytes]) -> None:
    connection = Connection("192.0.2.1", 0.0)
    passed: list[bytes] = []
    with contextlib.suppress(BrokenFraming):
        for piece in pieces:
            passed += map(bytes, connection.packets(piece, 0.0))
    assert all(packet == CHECK for packet in passed)
    assert len(connection.framer._rest) <= LARGEST + 2


def test_a_stranger_tries_so_often() -> None:
    connection = Connection("192.0.2.1", 0.0)
    assert len(taken(connection, *[CHECK] * MAX_TRIES)) == MAX_TRIES
    with pytest.raises(BrokenFraming):
        taken(connection, CHECK)


def test_each_stage_has_its_time() -> None:
    connections = Connections()
    for key in (1, 2, 3):
        connections.opened(key, "192.0.2.1", 0.0)
    taken(connections[2], CHECK, now=1.0)
    taken(connections[3], CHECK, now=1.0)
    connections.proved(3, 2.0)
    assert not connections.overdue(PATIENCE[Stage.SILENT] - 0.1)
    assert connections.overdue(PATIENCE[Stage.SILENT]) == [1]
    taken(connections[2], CHECK, now=9.0)
    assert connections.overdue(1.0 + PATIENCE[Stage.BEGUN]) == [1, 2]
    taken(connections[3], CHECK, now=40.0)
    assert 3 not in connections.overdue(39.9 + PATIENCE[Stage.PROVEN])
    assert 3 in connections.overdue(40.0 + PATIENCE[Stage.PROVEN])


def test_strangers_make_way_and_callers_do_not() -> None:
    connections = Connections(most=2)
    assert connections.opened(1, "192.0.2.1", 0.0) is None
    assert connections.opened(2, "192.0.2.2", 0.0) is None
    connections.proved(1, 0.0)
    assert connections.opened(3, "192.0.2.3", 0.0) == 2
    connections.closed(2)
    connections.proved(3, 0.0)
    assert connections.opened(4, "192.0.2.4", 0.0) == 4
    connections.closed(4)
    assert connections.held == {"connections": 2, "unproven": 0, "hosts": 0}


def test_a_hosts_strangers_make_way_for_each_other() -> None:
    connections = Connections(strangers=2)
    connections.opened(9, "192.0.2.9", 0.0)
    assert [connections.opened(key, f"2001:db8::{key}", 0.0) for key in (1, 2, 3)] == [None, None, 1]
    connections.closed(1)
    connections.proved(2, 0.0)
    assert connections.opened(4, "2001:db8:0:0:ffff::1", 0.0) is None
    assert connections.opened(5, "2001:db8:0:1::1", 0.0) is None


def test_one_host_is_an_address_or_half_of_a_long_one() -> None:
    assert host_of("::ffff:192.0.2.1") == host_of("192.0.2.1") == "192.0.2.1"
    assert host_of("fe80::1%eth0") == host_of("fe80::2") == "fe80::"


# ------------------------------------------------------------------------------------------------ slow readers


def test_pictures_fall_before_voice_and_voice_before_memory() -> None:
    def those(unsent: int, age: float) -> list[bool]:
        return [passes(packet, unsent, age) for packet in (VOICE, PICTURE, RTCP, DTLS, CHECK)]

    assert those(0, 0.0) == [True] * 5
    assert those(PICTURES_WAIT, 0.0) == those(9, PICTURES_LATE) == [True, False, True, True, True]
    assert those(9, VOICE_LATE) == [False, False, False, True, True]
    assert those(ALL_WAITS, 0.0) == [False] * 5


def test_the_age_of_a_backlog_is_that_of_its_oldest_octet() -> None:
    backlog = Backlog()
    assert backlog.age(9.0) == 0.0
    for n in range(10):
        backlog.put(100, 1.0 + n / 10)
    assert backlog.unsent == 1000
    assert backlog.age(2.0) == 1.0
    backlog.learn(450)  # half of the sixth packet has left
    assert backlog.unsent == 450
    assert backlog.age(2.0) == pytest.approx(0.5)
    backlog.learn(0)
    assert backlog.age(2.0) == 0.0


def test_a_backlog_takes_no_more_memory_than_time() -> None:
    backlog = Backlog()
    for n in range(10_000):
        backlog.put(100, n / 10_000)
    assert len(backlog._marks) <= 51
    assert backlog.age(1.0) == 1.0
