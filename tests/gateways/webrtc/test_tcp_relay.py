"""The relay on real sockets, in a thread; the worker is a UDP socket."""

from __future__ import annotations

import contextlib
import errno
import socket
import threading
import time
from collections.abc import Callable, Iterator
from typing import Any

import msgspec
import pytest

from gateways.webrtc import tcp, tcp_relay
from gateways.webrtc.tcp import VOICE_LATE, Framer, frame
from gateways.webrtc.tcp_relay import SEND_BUFFER, Figures, Relay
from tests.gateways.webrtc.test_tcp import CHECK, PICTURE, SUCCESS, VOICE


class Bench:
    def __init__(self, host: str, most: int = 8) -> None:
        family = socket.AF_INET6 if ":" in host else socket.AF_INET
        self.worker = socket.socket(family, socket.SOCK_DGRAM)
        self.worker.bind((host, 0))
        self.worker.settimeout(3)
        listener = socket.socket(family, socket.SOCK_STREAM)
        listener.setsockopt(socket.SOL_SOCKET, socket.SO_SNDBUF, SEND_BUFFER)
        listener.bind((host, 0))
        listener.listen()
        self.address = listener.getsockname()[:2]
        self.ours, theirs = socket.socketpair(socket.AF_UNIX, socket.SOCK_SEQPACKET)
        self.ours.settimeout(3)
        self.relay = Relay(theirs, {listener.detach(): self.worker.getsockname()[:2]}, most)
        self._thread = threading.Thread(target=self.relay.run)
        self._thread.start()

    def connect(self) -> socket.socket:
        return socket.create_connection(self.address, 3)

    def proven(self) -> tuple[socket.socket, tuple[str, int]]:
        """A connection whose check was answered, and where the worker sees it."""
        peer = self.connect()
        peer.sendall(frame(CHECK))
        data, source = self.worker.recvfrom(4096)
        assert data == CHECK
        self.worker.sendto(SUCCESS, source)
        assert peer.recv(4096) == frame(SUCCESS)
        return peer, source

    def until(self, condition: Callable[[Figures], bool]) -> Figures:
        """Its figures, as control gets them."""
        end = time.monotonic() + 5
        while time.monotonic() < end:
            found = msgspec.json.decode(self.ours.recv(4096), type=Figures)
            if condition(found):
                return found
        raise AssertionError(found)

    def close(self) -> None:
        self.ours.close()
        self._thread.join(3)
        assert not self._thread.is_alive()
        self.relay.close()
        self.worker.close()


@pytest.fixture(autouse=True)
def quick(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(tcp_relay, "TICK", 0.05)


@pytest.fixture(params=["127.0.0.1", "::1"])
def bench(request: pytest.FixtureRequest) -> Iterator[Bench]:
    found = Bench(request.param)
    yield found
    found.close()


@pytest.fixture
def small() -> Iterator[Bench]:
    found = Bench("127.0.0.1", most=2)
    yield found
    found.close()


def test_packets_go_both_ways_between_a_stream_and_an_address_of_its_own(bench: Bench) -> None:
    (one, first), (two, second) = bench.proven(), bench.proven()
    with one, two:
        assert first != second
        two.sendall(frame(VOICE) + frame(b"") + frame(PICTURE)[:500])
        assert bench.worker.recvfrom(4096) == (VOICE, second)
        two.sendall(frame(PICTURE)[500:])
        assert bench.worker.recvfrom(4096) == (PICTURE, second)
        bench.worker.sendto(VOICE, first)
        bench.worker.sendto(PICTURE, first)
        framer, got = Framer(), list[bytes]()
        while len(got) < 2:
            got += map(bytes, framer.feed(one.recv(4096)))
        assert got == [VOICE, PICTURE]
        found = bench.until(lambda figures: figures.sent == 4)
        assert (found.connections, found.unproven, found.accepted, found.received) == (2, 0, 2, 4)
    assert bench.until(lambda figures: not figures.connections).refused == 0


def test_what_is_no_browser_is_closed_and_nobody_else(small: Bench) -> None:
    peer, source = small.proven()
    with peer, small.connect() as scanner, small.connect() as flood:
        scanner.sendall(b"GET / HTTP/1.1\r\n\r\n")
        with contextlib.suppress(ConnectionResetError):
            assert scanner.recv(100) == b""
        flood.sendall(frame(CHECK) + b"\xff\xff" + bytes(70_000))
        with contextlib.suppress(ConnectionResetError):
            assert flood.recv(100) == b""
        assert small.worker.recvfrom(4096)[0] == CHECK
        peer.sendall(frame(VOICE))
        assert small.worker.recvfrom(4096) == (VOICE, source)
        assert small.until(lambda figures: figures.refused == 2).connections == 1


def test_when_it_is_full_the_oldest_stranger_makes_way(small: Bench) -> None:
    peer, _ = small.proven()
    with peer, small.connect() as silent, small.connect() as last:
        assert silent.recv(100) == b""
        last.sendall(frame(CHECK))
        assert small.worker.recvfrom(4096)[0] == CHECK


def test_a_flood_of_strangers_leaves_calls_alone(bench: Bench) -> None:
    peer, source = bench.proven()
    with peer, contextlib.ExitStack() as flood:
        for n in range(300):
            stranger = flood.enter_context(bench.connect())
            with contextlib.suppress(OSError):
                stranger.sendall(frame(CHECK) if n % 3 else b"GET /")
        bench.worker.sendto(VOICE, source)
        assert peer.recv(4096) == frame(VOICE)
        found = bench.until(lambda figures: figures.accepted == 301)
        assert found.connections <= 8


def test_without_descriptors_who_comes_waits(bench: Bench) -> None:
    class Full(socket.socket):
        tried = 0

        def accept(self) -> tuple[socket.socket, Any]:
            self.tried += 1
            raise OSError(errno.EMFILE, "Too many open files")

    ((fd, (listener, target)),) = bench.relay._listeners.items()
    with Full() as full:
        bench.relay._listeners[fd] = (full, target)
        with bench.connect():
            time.sleep(0.2)
            assert 1 <= full.tried < 10
        bench.relay._listeners[fd] = (listener, target)
        peer, _ = bench.proven()
        peer.close()


def test_who_says_nothing_is_closed(monkeypatch: pytest.MonkeyPatch, small: Bench) -> None:
    monkeypatch.setattr(tcp, "PATIENCE", dict.fromkeys(tcp.Stage, 0.1))
    with small.connect() as silent:
        assert silent.recv(100) == b""
    assert small.until(lambda figures: not figures.connections).refused == 1


def test_a_reader_that_reads_nothing_loses_pictures_and_costs_no_memory(bench: Bench) -> None:
    """What it reads later is whole frames, and those of voice are among them."""
    peer, source = bench.proven()
    with peer:
        for n in range(3000):
            bench.worker.sendto(PICTURE, source)
            if n % 10 == 0:
                bench.worker.sendto(VOICE, source)
            if n % 50 == 0:
                time.sleep(0.002)
        found = bench.until(lambda figures: figures.late > 500)
        assert found.connections == 1
        framer, sizes = Framer(), list[int]()
        peer.settimeout(1)
        with contextlib.suppress(TimeoutError):
            while data := peer.recv(1 << 16):
                sizes += map(len, framer.feed(data))
        assert set(sizes) == {len(VOICE), len(PICTURE)}
        assert sizes.count(len(PICTURE)) < 2000
        assert sizes.count(len(VOICE)) > 200
        bench.worker.sendto(VOICE, source)
        assert peer.recv(4096) == frame(VOICE)


def test_a_pause_makes_nothing_late(bench: Bench) -> None:
    """What was sent a while ago, and has left since, is not taken for what waits."""
    peer, source = bench.proven()
    with peer:
        for _ in range(3):
            bench.worker.sendto(VOICE, source)
            assert peer.recv(4096) == frame(VOICE)
            time.sleep(VOICE_LATE + 0.05)
        assert bench.until(lambda figures: figures.sent == 4).late == 0


def test_a_worker_that_is_not_there_closes_nobody(bench: Bench) -> None:
    peer, _ = bench.proven()
    with peer:
        where = bench.worker.getsockname()
        bench.worker.close()
        for _ in range(5):
            peer.sendall(frame(VOICE))
            time.sleep(0.02)
        bench.worker = socket.socket(bench.worker.family, socket.SOCK_DGRAM)
        bench.worker.bind(where)
        bench.worker.settimeout(3)
        peer.sendall(frame(VOICE))
        assert bench.worker.recv(4096) == VOICE
