"""The sockets of floor control (RFC 8855): one UDP and one TCP port for all calls."""

from __future__ import annotations

import asyncio
import socket
import time
from collections.abc import Callable, Iterator
from typing import Protocol

import structlog

from bridge.signalling.bfcp import BfcpError, Stream
from bridge.signalling.bfcp_server import Peer

log = structlog.get_logger("floor")

CONNECTIONS = 1024
"""TCP connections at once: one a room system."""
UNKNOWN = 30.0
"""Seconds that a connection may say nothing at first: a client says Hello when it is up."""
IDLE = 3600.0
"""Seconds without a word after which a connection is closed: a floor may be held for a long lesson."""
BACKLOG = 64 << 10
"""Octets that a client may leave unread."""


class Core(Protocol):
    """The floor, as far as sockets care."""

    def receive(self, data: bytes, peer: Peer, now: float) -> None: ...
    def disconnected(self, peer: Peer, now: float) -> None: ...
    def datagrams(self) -> Iterator[tuple[bytes, Peer]]: ...


class FloorSockets:
    """Gives what comes to the core; :meth:`drain` sends what it says."""

    def __init__(self, settle: Callable[[], None]) -> None:
        """``settle``: is called after the core was given something."""
        self._settle = settle
        self._core: Core | None = None
        self._udp: asyncio.DatagramTransport | None = None
        self._tcp: asyncio.Server | None = None
        self._connections: dict[int, _Connection] = {}
        self._last = 0
        self.refused = 0
        """Connections that were one too many."""

    async def open(self, host: str, port: int) -> int:
        """Listen on UDP and TCP; the port. ``host``: empty: all addresses.

        Raises:
            OSError: the port can't be had on both.
        """
        loop = asyncio.get_running_loop()
        address = (host or "::", port)
        family = socket.AF_INET6 if ":" in address[0] else socket.AF_INET
        sock = socket.socket(family, socket.SOCK_DGRAM)
        try:
            if not host:
                sock.setsockopt(socket.IPPROTO_IPV6, socket.IPV6_V6ONLY, 0)
            sock.bind(address)
            self._udp, _ = await loop.create_datagram_endpoint(lambda: _Datagrams(self), sock=sock)
        except OSError:
            sock.close()
            raise
        port = self._udp.get_extra_info("sockname")[1]
        stream = socket.socket(family, socket.SOCK_STREAM)
        try:
            stream.setsockopt(socket.SOL_SOCKET, socket.SO_REUSEADDR, 1)
            if not host:
                stream.setsockopt(socket.IPPROTO_IPV6, socket.IPV6_V6ONLY, 0)
            stream.bind((address[0], port))
            self._tcp = await loop.create_server(lambda: _Connection(self), sock=stream)
        except OSError:
            stream.close()
            self._udp.close()
            raise
        return int(port)

    def serve(self, core: Core) -> None:
        """From now on there is somebody to talk to."""
        self._core = core

    def drain(self) -> None:
        if self._core is None:
            return
        for data, peer in self._core.datagrams():
            if peer.transport == "udp" and self._udp is not None:
                self._udp.sendto(data, self._mapped(peer.address))
            elif (connection := self._connections.get(peer.connection)) is not None:
                connection.write(data)

    def _mapped(self, address: tuple[str, int]) -> tuple[str, int]:
        """As our socket's family wants it."""
        assert self._udp is not None
        sock = self._udp.get_extra_info("socket")
        six = sock.family == socket.AF_INET6
        return (f"::ffff:{address[0]}", address[1]) if six and ":" not in address[0] else address

    async def close(self) -> None:
        if self._udp is not None:
            self._udp.close()
        if self._tcp is not None:
            self._tcp.close()
        for connection in list(self._connections.values()):
            connection.end()
        await asyncio.sleep(0)

    def sweep(self, now: float) -> None:
        """Close connections that say nothing; call every minute or so."""
        for connection in list(self._connections.values()):
            if now - connection.heard > (IDLE if connection.spoke else UNKNOWN):
                connection.end()

    # What sockets tell

    def came(self, data: bytes, peer: Peer) -> None:
        if self._core is not None:
            self._core.receive(data, peer, time.monotonic())
            self._settle()

    def connected(self, connection: _Connection) -> int:
        """Its number; 0: there are too many."""
        if len(self._connections) >= CONNECTIONS:
            self.refused += 1
            return 0
        self._last += 1
        self._connections[self._last] = connection
        return self._last

    def gone(self, peer: Peer) -> None:
        self._connections.pop(peer.connection, None)
        if self._core is not None:
            self._core.disconnected(peer, time.monotonic())
            self._settle()


def _plain(address: tuple[str, int]) -> tuple[str, int]:
    """An IPv4 address as such, whatever the socket calls it."""
    return address[0].removeprefix("::ffff:"), address[1]


class _Datagrams(asyncio.DatagramProtocol):
    def __init__(self, sockets: FloorSockets) -> None:
        self._sockets = sockets

    def datagram_received(self, data: bytes, addr: tuple[str, int]) -> None:
        self._sockets.came(data, Peer("udp", _plain(addr[:2])))

    def error_received(self, exc: Exception) -> None:
        log.debug("floor control", what=str(exc))  # ICMP: nobody listens there; repetitions find out


class _Connection(asyncio.Protocol):
    def __init__(self, sockets: FloorSockets) -> None:
        self._sockets = sockets
        self._stream = Stream()
        self._transport: asyncio.Transport | None = None
        self._peer = Peer("tcp", ("", 0))
        self.heard = time.monotonic()
        self.spoke = False
        """A whole message came."""

    def connection_made(self, transport: asyncio.BaseTransport) -> None:
        assert isinstance(transport, asyncio.Transport)
        self._transport = transport
        number = self._sockets.connected(self)
        if not number:
            transport.abort()
            return
        self._peer = Peer("tcp", _plain(transport.get_extra_info("peername")[:2]), number)

    def data_received(self, data: bytes) -> None:
        try:
            messages = list(self._stream.feed(data))
        except BfcpError:
            self.end()
            return
        for message in messages:
            self.heard, self.spoke = time.monotonic(), True
            self._sockets.came(message, self._peer)

    def write(self, data: bytes) -> None:
        if self._transport is None or self._transport.is_closing():
            return
        if self._transport.get_write_buffer_size() > BACKLOG:
            self.end()
            return
        self._transport.write(data)

    def end(self) -> None:
        if self._transport is not None:
            self._transport.abort()

    def connection_lost(self, exc: Exception | None) -> None:
        if self._peer.connection:
            self._sockets.gone(self._peer)
