"""Frames of RFC 4571, and which connections may stay."""

from __future__ import annotations

import itertools

import pytest
from hypothesis import given
from hypothesis import strategies as st

from bridge.signalling.flow import Flow, Transport
from gateways.webrtc.tcp import LARGEST, PATIENCE, BrokenFraming, Connections, Framer, frame
from tests.gateways.webrtc.air import here

CHECK = b"\0\1" + bytes(18)


def flow(port: int) -> Flow:
    return here(("198.51.100.1", port), Transport.TCP)


@given(st.lists(st.binary(min_size=1, max_size=60), max_size=8), st.lists(st.integers(0, 500), max_size=8))
def test_packets_do_not_depend_on_where_the_stream_is_cut(packets: list[bytes], cuts: list[int]) -> None:
    stream = b"".join(map(frame, packets))
    places = sorted({0, len(stream), *(min(cut, len(stream)) for cut in cuts)})
    framer = Framer()
    pieces = [stream[a:b] for a, b in itertools.pairwise(places)]
    assert [packet for piece in pieces for packet in framer.feed(piece)] == packets


def test_empty_frames_are_left_out() -> None:
    assert list(Framer().feed(frame(b"") + frame(b"x"))) == [b"x"]


def test_a_frame_too_long_breaks_after_those_before_it() -> None:
    framer = Framer()
    got: list[bytes] = []
    with pytest.raises(BrokenFraming):
        got.extend(framer.feed(frame(b"x") + (LARGEST + 1).to_bytes(2, "big")))
    framer, got = Framer(), []
    with pytest.raises(BrokenFraming):  # noqa: PT012
        for packet in framer.feed(frame(b"x") + b"\xff\xff"):
            got.append(packet)
    assert got == [b"x"]
    with pytest.raises(ValueError):
        frame(bytes(65_536))


def test_packets_go_both_ways() -> None:
    connections = Connections()
    connections.opened(flow(1), 0.0)
    connections.receive(frame(CHECK)[:5], flow(1), 0.0)
    assert not list(connections.events())
    connections.receive(frame(CHECK)[5:], flow(1), 0.0)
    assert list(connections.events()) == [(CHECK, flow(1))]
    connections.send(b"answer", flow(1))
    connections.send(b"answer", flow(2))
    assert list(connections.datagrams()) == [(b"\0\6answer", flow(1))]


def test_who_is_not_vouched_for_is_closed() -> None:
    connections = Connections()
    connections.opened(flow(1), 0.0)
    connections.opened(flow(2), 1.0)
    connections.vouch(flow(1))
    assert connections.deadline() == 1.0 + PATIENCE
    connections.expire(1.0 + PATIENCE)
    assert list(connections.datagrams()) == [(b"", flow(2))]
    assert connections.deadline() is None
    assert len(connections) == 1
    connections.closed(flow(1), 0.0)
    assert len(connections) == 0


@pytest.mark.parametrize("first", [frame(b"\x16\xfe\xfd" + bytes(20)), b"GET / HTTP/1.1\r\n\r\n"])
def test_what_does_not_begin_with_stun_is_closed(first: bytes) -> None:
    connections = Connections()
    connections.opened(flow(1), 0.0)
    connections.receive(first, flow(1), 0.0)
    connections.receive(frame(CHECK), flow(1), 0.0)
    assert list(connections.datagrams()) == [(b"", flow(1))]
    assert not list(connections.events())
    assert connections.refused == 1


def test_strangers_make_way_and_callers_do_not() -> None:
    connections = Connections(most=2)
    for port in (1, 2, 3):
        connections.opened(flow(port), port)
    assert list(connections.datagrams()) == [(b"", flow(1))]
    connections.vouch(flow(2))
    connections.vouch(flow(3))
    connections.opened(flow(4), 4.0)
    assert list(connections.datagrams()) == [(b"", flow(4))]
    assert len(connections) == 2
