"""The sockets of floor control, on loopback."""

from __future__ import annotations

import asyncio
import contextlib
import socket
import time
from collections.abc import Awaitable, Callable, Iterator

import pytest

from bridge.signalling import bfcp
from bridge.signalling.bfcp import Message, Primitive
from bridge.signalling.bfcp_server import FloorServer, Peer
from server import floor
from server.floor import FloorSockets


class Core:
    """A floor control server in which call 4711 is, and what came over which connection."""

    def __init__(self) -> None:
        self.server = FloorServer()
        self.server.admit(4711, 3)
        self.peers: list[Peer] = []
        self.ended: list[Peer] = []

    def receive(self, data: bytes, peer: Peer, now: float) -> None:
        self.peers.append(peer)
        self.server.receive(data, peer, now)

    def disconnected(self, peer: Peer, now: float) -> None:
        self.ended.append(peer)

    def datagrams(self) -> Iterator[tuple[bytes, Peer]]:
        return self.server.datagrams()


def hello(version: int) -> bytes:
    return bfcp.build(Message(Primitive.HELLO, 4711, 1, 3, (), version))


def during(act: Callable[[FloorSockets, Core, int], Awaitable[None]], host: str = "127.0.0.1") -> None:
    async def run() -> None:
        core = Core()
        sockets = FloorSockets(lambda: sockets.drain())
        port = await sockets.open(host, 0)
        sockets.serve(core)
        try:
            await asyncio.wait_for(act(sockets, core, port), 10)
        finally:
            await sockets.close()
            await asyncio.sleep(0.01)

    asyncio.run(run())


async def until(true: Callable[[], bool]) -> None:
    while not true():  # noqa: ASYNC110 nothing tells of it
        await asyncio.sleep(0.005)


@pytest.mark.parametrize("host", ["127.0.0.1", ""])
def test_a_datagram_is_answered_where_it_came_from(host: str) -> None:
    async def act(sockets: FloorSockets, core: Core, port: int) -> None:
        with socket.socket(socket.AF_INET, socket.SOCK_DGRAM) as client:
            client.setblocking(False)
            client.connect(("127.0.0.1", port))
            client.send(b"junk")
            client.send(hello(2))
            answer = await asyncio.get_running_loop().sock_recv(client, 2048)
            assert bfcp.parse(answer, "udp").primitive == Primitive.HELLO_ACK
            assert core.peers[-1].address == client.getsockname()

    during(act, host)


def test_messages_over_tcp_come_whole() -> None:
    async def act(sockets: FloorSockets, core: Core, port: int) -> None:
        reader, writer = await asyncio.open_connection("127.0.0.1", port)
        data = hello(1) * 2
        for start in range(0, len(data), 5):
            writer.write(data[start : start + 5])
            await writer.drain()
            await asyncio.sleep(0.002)
        for _ in range(2):
            head = await reader.readexactly(12)
            await reader.readexactly(4 * int.from_bytes(head[2:4], "big"))
            assert head[1] == Primitive.HELLO_ACK
        writer.close()
        await until(lambda: core.ended != [])
        assert core.ended == [core.peers[0]]

    during(act)


def test_what_is_no_bfcp_ends_the_connection() -> None:
    async def act(sockets: FloorSockets, core: Core, port: int) -> None:
        reader, writer = await asyncio.open_connection("127.0.0.1", port)
        writer.write(b"GET / HTTP/1.1\r\n\r\n")
        with contextlib.suppress(ConnectionError):
            assert await reader.read() == b""
        writer.close()
        assert core.peers == []

    during(act)


def test_there_are_not_more_connections_than_may_be(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(floor, "CONNECTIONS", 2)

    async def act(sockets: FloorSockets, core: Core, port: int) -> None:
        pairs = [await asyncio.open_connection("127.0.0.1", port) for _ in range(3)]
        await until(lambda: sockets.refused == 1)
        for _, writer in pairs:
            writer.close()
        await until(lambda: len(core.ended) == 2)

    during(act)


def test_who_says_nothing_is_let_go() -> None:
    async def act(sockets: FloorSockets, core: Core, port: int) -> None:
        _, quiet = await asyncio.open_connection("127.0.0.1", port)
        reader, writer = await asyncio.open_connection("127.0.0.1", port)
        writer.write(hello(1))
        await reader.readexactly(12)
        sockets.sweep(time.monotonic() + floor.UNKNOWN + 1)
        await until(lambda: len(core.ended) == 1)
        assert core.ended[0] != core.peers[0]
        sockets.sweep(time.monotonic() + floor.IDLE + 1)
        await until(lambda: len(core.ended) == 2)
        quiet.close()
        writer.close()

    during(act)


def test_a_taken_port_is_an_error() -> None:
    async def act(sockets: FloorSockets, core: Core, port: int) -> None:
        other = FloorSockets(lambda: None)
        with pytest.raises(OSError, match="in use"):
            await other.open("127.0.0.1", port)

    during(act)
