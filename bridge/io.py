"""The asyncio driver of the sans-IO signalling cores: sockets in, sockets out, one timer.

A core is mutated, then its datagrams, its events and its deadline are drained; nothing else here knows SIP.
"""

from __future__ import annotations

import asyncio
import contextlib
import socket
import ssl
import time
from collections import OrderedDict
from collections.abc import Callable
from dataclasses import dataclass
from typing import Generic, Protocol, TypeVar

import structlog

from bridge.signalling.flow import Core, Flow, Transport

log = structlog.get_logger("io")

E = TypeVar("E")

DATAGRAMS_A_TURN = 64
"""Datagrams read from one socket before the loop sees to the others."""
MAX_DATAGRAM = 65535
CONNECT_TIMEOUT = 4.0
"""Seconds for a TCP/TLS connection: two SYNs may get lost (the kernel sends again after 1 s and 3 s). A large request
to a phone behind NAT waits so long before it goes by UDP after all."""
HANDSHAKE_TIMEOUT = 10.0
"""Seconds that whoever connects to a TLS listener may take: an open socket each."""
CLOSE_TIMEOUT = 1.0
"""Seconds for what is written to leave when all ends."""
SOCKET_BUFFER = 4 << 20
"""Octets: a burst of calls, or NOTIFYs to a full room, is some thousand datagrams at once."""
WRITE_LIMIT = 1 << 20
"""Bytes a peer may leave unread before its connection is cut: it holds our memory."""
IDLE = 900.0
"""Seconds without a byte after which a connection is closed; RFC 5626 §4.4.1 keep-alives come every 95 to 120 s."""
NAMES = 1024
"""Addresses whose host names are remembered for TLS; the least recently looked up is forgotten."""
FIRST_BYTE = 32.0
"""Seconds for a connection's first byte: by then whoever opened it to send a request has given that up (Timer F, RFC
3261 §17.1.2.2)."""
CONNECTIONS = 4096
CONNECTIONS_A_HOST = 512
"""Of one remote address; a proxy in front of us has few, a flood has many."""


@dataclass(frozen=True, slots=True)
class Listener:
    """Where to listen: ``udp:127.0.0.1:5060`` as a value."""

    transport: Transport
    host: str
    port: int

    @classmethod
    def parse(cls, text: str) -> Listener:
        """From ``udp:HOST:PORT``, ``tcp:[::1]:5060``, ``tls:0.0.0.0:5061``; the port may be left out.

        Raises:
            ValueError: says what is wrong with the text.
        """
        name, _, rest = text.partition(":")
        if name.upper() not in (Transport.UDP, Transport.TCP, Transport.TLS):
            raise ValueError(f"{text!r}: begin with udp:, tcp: or tls:, as in udp:127.0.0.1:5060")
        transport = Transport(name.upper())
        host, colon, port = rest.rpartition(":")
        if not colon or rest.endswith("]"):
            host, port = rest, "5061" if transport is Transport.TLS else "5060"
        host = host.strip("[]")
        if not host or not port.isdigit() or int(port) > 65535:
            raise ValueError(f"{text!r}: write an address and a port, as in {name}:127.0.0.1:5060 or {name}:[::1]:5060")
        return cls(transport, host, int(port))

    def __str__(self) -> str:
        host = f"[{self.host}]" if ":" in self.host else self.host
        return f"{self.transport.lower()}:{host}:{self.port}"


class Connection(Protocol):
    """A connection that carries SIP messages: one of ours, or one that somebody else serves, as the HTTP server does
    WebSockets. Whoever serves it calls :meth:`Driver.came` before anything else, :meth:`Driver.received` for what
    comes, and :meth:`Driver.gone` at its end."""

    counted: bool
    """The driver counts it among its host's."""

    @property
    def flow(self) -> Flow: ...
    @property
    def lost(self) -> asyncio.Event:
        """Nothing is open."""

    @property
    def heard(self) -> float:
        """When something came (monotonic seconds)."""

    @property
    def used(self) -> bool:
        """Something came, or we opened it to send."""

    @property
    def closing(self) -> bool: ...

    def send(self, data: bytes) -> None:
        """Without waiting: who does not read is cut."""

    def close(self) -> None:
        """After what is written."""

    def cut(self) -> None:
        """At once."""


class Driver(Generic[E]):
    """Drives one core over any number of listeners."""

    def __init__(
        self,
        core: Core[E],
        deliver: Callable[[E], None],
        *,
        server_tls: ssl.SSLContext | None = None,
        client_tls: ssl.SSLContext | None = None,
    ) -> None:
        self.core = core
        self._deliver = deliver
        self._server_tls = server_tls
        self._client_tls = client_tls
        self._udp: dict[tuple[str, int], socket.socket] = {}
        self._servers: list[asyncio.Server] = []
        self._connections: dict[tuple[Transport, tuple[str, int]], Connection] = {}
        self._hosts: dict[str, int] = {}
        self._names: OrderedDict[tuple[str, int], str] = OrderedDict()
        self._timer: asyncio.TimerHandle | None = None
        self._tasks: set[asyncio.Task[None]] = set()
        self._draining = False
        self.listeners: list[Listener] = []
        self.refused = 0

    # --------------------------------------------------------------------------------------- listening

    async def listen(self, listener: Listener) -> Listener:
        """Open a listener; returns it with the port it got (port 0 asks for any).

        Raises:
            OSError: the address can't be had.
            ValueError: TLS without a certificate.
        """
        if listener.transport is Transport.UDP:
            bound = self._listen_udp(listener)
        else:
            bound = await self._listen_stream(listener)
        self.listeners.append(bound)
        return bound

    def _listen_udp(self, listener: Listener) -> Listener:
        family = socket.AF_INET6 if ":" in listener.host else socket.AF_INET
        sock = socket.socket(family, socket.SOCK_DGRAM)
        try:
            sock.setblocking(False)
            sock.setsockopt(socket.SOL_SOCKET, socket.SO_RCVBUF, SOCKET_BUFFER)
            sock.setsockopt(socket.SOL_SOCKET, socket.SO_SNDBUF, SOCKET_BUFFER)
            if family == socket.AF_INET6:
                sock.setsockopt(socket.IPPROTO_IPV6, socket.IPV6_V6ONLY, 1)
            sock.bind((listener.host, listener.port))
        except BaseException:
            sock.close()
            raise
        local = sock.getsockname()[:2]
        self._udp[local] = sock
        asyncio.get_running_loop().add_reader(sock, self._read_udp, sock, local)
        return Listener(Transport.UDP, *local)

    async def _listen_stream(self, listener: Listener) -> Listener:
        tls = self._server_tls if listener.transport is Transport.TLS else None
        if listener.transport is Transport.TLS and tls is None:
            raise ValueError(f"{listener}: TLS needs a certificate; set tls_certificate (and tls_key)")
        local = (listener.host, listener.port)

        def accept() -> _Connection:
            return _Connection(self, listener.transport, local, None)

        timeout = HANDSHAKE_TIMEOUT if tls else None
        server = await asyncio.get_running_loop().create_server(
            accept, listener.host, listener.port, ssl=tls, ssl_handshake_timeout=timeout
        )
        local = server.sockets[0].getsockname()[:2]
        self._servers.append(server)
        return Listener(listener.transport, *local)

    def _read_udp(self, sock: socket.socket, local: tuple[str, int]) -> None:
        now = time.monotonic()
        try:
            for _ in range(DATAGRAMS_A_TURN):
                try:
                    data, remote = sock.recvfrom(MAX_DATAGRAM)
                except (BlockingIOError, InterruptedError):
                    break
                except OSError:  # an ICMP error of an earlier send; the transaction's timers deal with it
                    continue
                self.core.receive(data, Flow(Transport.UDP, local, remote[:2]), now)
        finally:  # a bug that one datagram meets keeps back nobody else's answers, nor the timer
            self.drain()

    # --------------------------------------------------------------------------------------- draining

    def drain(self) -> None:
        """Send what the core wants sent, deliver its events, set its timer. Call after every mutation.

        Delivering an event may mutate the core again; that is drained by the loop that is running, not by a nested
        one.
        """
        if self._draining:
            return
        self._draining = True
        try:
            busy = True
            while busy:
                busy = False
                for data, flow in self.core.datagrams():
                    self._send(data, flow)
                for event in self.core.events():
                    busy = True
                    self._deliver(event)
        finally:
            self._draining = False
            self._set_timer()

    def _set_timer(self) -> None:
        deadline = self.core.deadline()
        if self._timer is not None:
            if deadline is not None and self._timer.when() == deadline:
                return
            self._timer.cancel()
            self._timer = None
        if deadline is not None:
            self._timer = asyncio.get_running_loop().call_at(deadline, self._expire)

    def _expire(self) -> None:
        self._timer = None
        try:
            self.core.expire(time.monotonic())
        finally:
            self.drain()

    def _send(self, data: bytes, flow: Flow) -> None:
        if flow.transport is Transport.UDP:
            sock = self._udp.get(flow.local) or self._any_udp(flow)
            try:
                if sock is not None:
                    sock.sendto(data, flow.remote)
            except OSError as error:  # full buffer or no route: to the protocol a lost datagram
                log.debug("datagram not sent", to=flow.remote, error=str(error))
            return
        connection = self._connections.get(flow.connection)
        if not data:
            if connection is not None:
                connection.close()
            return
        if connection is None:
            connection = self._connect(flow)
        connection.send(data)

    def _any_udp(self, flow: Flow) -> socket.socket | None:
        family = socket.AF_INET6 if ":" in flow.remote[0] else socket.AF_INET
        return next((s for s in self._udp.values() if s.family == family), None)

    def _connect(self, flow: Flow) -> _Connection:
        loop = asyncio.get_running_loop()
        connection = _Connection(self, flow.transport, flow.local, flow)
        full = len(self._connections) >= CONNECTIONS
        self._connections[flow.connection] = connection
        if full or flow.transport.websocket:  # only the peer can open those
            loop.call_soon(self.gone, connection)  # not at once: the core is being drained
            return connection
        task = loop.create_task(self._open(flow, connection))
        self._tasks.add(task)
        task.add_done_callback(self._tasks.discard)
        return connection

    async def _open(self, flow: Flow, connection: _Connection) -> None:
        tls = self._client_tls if flow.transport is Transport.TLS else None
        name = self._names.get(flow.remote, flow.remote[0])
        try:
            if flow.transport is Transport.TLS and tls is None:
                raise OSError("no TLS settings")
            async with asyncio.timeout(CONNECT_TIMEOUT):
                await asyncio.get_running_loop().create_connection(
                    lambda: connection, *flow.remote, ssl=tls, server_hostname=name if tls else None
                )
        except (OSError, TimeoutError, ssl.SSLError) as error:
            # Whoever sends a Contact chooses how often this happens; a call that fails of it says so itself.
            log.debug("connection failed", to=f"{flow.transport} {flow.remote[0]}:{flow.remote[1]}", error=str(error))
            connection.cut()
            self.gone(connection)

    def expect(self, remote: tuple[str, int], name: str) -> None:
        """A TLS connection to ``remote`` must show a certificate for ``name``: the domain of the URI that was looked
        up, not the address that was found (RFC 5922 §7.3)."""
        self._names[remote] = name
        self._names.move_to_end(remote)
        if len(self._names) > NAMES:
            self._names.popitem(last=False)

    # --------------------------------------------------------------------------------------- connections

    def came(self, connection: Connection) -> bool:
        """A connection was accepted; false: it is one too many."""
        host = connection.flow.remote[0]
        if len(self._connections) >= CONNECTIONS or self._hosts.get(host, 0) >= CONNECTIONS_A_HOST:
            self.refused += 1
            return False
        if (old := self._connections.get(connection.flow.connection)) is not None:
            # The peer's port came round again before we heard that its last connection is dead.
            old.cut()
            self.gone(old)
        self._connections[connection.flow.connection] = connection
        self._hosts[host] = self._hosts.get(host, 0) + 1
        connection.counted = True
        return True

    def received(self, connection: Connection, data: bytes) -> None:
        try:
            self.core.receive(data, connection.flow, time.monotonic())
        finally:
            self.drain()

    def gone(self, connection: Connection) -> None:
        """A connection ended, or could not be opened. Told twice, it is done once."""
        if connection.counted:
            connection.counted = False
            host = connection.flow.remote[0]
            self._hosts[host] -= 1
            if not self._hosts[host]:
                del self._hosts[host]
        if self._connections.get(connection.flow.connection) is connection:
            del self._connections[connection.flow.connection]
            self.core.closed(connection.flow, time.monotonic())
            self.drain()

    def sweep(self, now: float) -> None:
        """Close idle connections, and those on which nothing ever came; call every half a minute or so. Where that was
        done before, the peer reads nothing of what was left to be written: such connections are cut."""
        for connection in list(self._connections.values()):
            if connection.closing:
                connection.cut()
            elif now - connection.heard > (IDLE if connection.used else FIRST_BYTE):
                connection.close()

    async def close(self) -> None:
        """Stop listening and let go of everything; what is written already still leaves, within a second."""
        loop = asyncio.get_running_loop()
        if self._timer is not None:
            self._timer.cancel()
            self._timer = None
        for sock in self._udp.values():
            loop.remove_reader(sock)
            sock.close()
        self._udp.clear()
        for server in self._servers:
            server.close()
        self._servers.clear()
        for task in list(self._tasks):
            task.cancel()
        await asyncio.gather(*self._tasks, return_exceptions=True)
        open_ones, self._connections = list(self._connections.values()), {}
        for connection in open_ones:
            connection.close()
        with contextlib.suppress(TimeoutError):
            async with asyncio.timeout(CLOSE_TIMEOUT):
                await asyncio.gather(*(connection.lost.wait() for connection in open_ones))
        for connection in open_ones:
            connection.cut()


class _Connection(asyncio.Protocol):
    """One TCP or TLS connection, accepted or opened."""

    def __init__(self, driver: Driver[E], transport: Transport, local: tuple[str, int], flow: Flow | None) -> None:
        self._driver = driver
        self._kind = transport
        self._local = local
        self._opened_by_us = flow is not None
        self.flow = flow or Flow(transport, local, ("", 0))
        self._transport: asyncio.Transport | None = None
        self._waiting: list[bytes] = []
        self._size = 0
        self.counted = False
        """The driver counts it among its host's."""
        self.lost = asyncio.Event()
        """Nothing is open."""
        self.lost.set()
        self.heard = time.monotonic()
        self.used = flow is not None
        """Something came, or we opened it to send."""

    def connection_made(self, transport: asyncio.BaseTransport) -> None:
        assert isinstance(transport, asyncio.Transport)
        self._transport = transport
        self.lost.clear()
        if self._opened_by_us:
            for data in self._waiting:
                transport.write(data)
            self._waiting.clear()
            return
        self.flow = Flow(self._kind, self._local, transport.get_extra_info("peername")[:2])
        if not self._driver.came(self):
            transport.abort()

    def data_received(self, data: bytes) -> None:
        self.heard, self.used = time.monotonic(), True
        self._driver.received(self, data)

    def connection_lost(self, exc: Exception | None) -> None:
        self.lost.set()
        self._driver.gone(self)

    def send(self, data: bytes) -> None:
        if self._transport is None:
            self._size += len(data)
            if self._size <= WRITE_LIMIT:
                self._waiting.append(data)
            return
        if self._transport.is_closing():
            return  # the core is told in a moment
        self._transport.write(data)
        if self._transport.get_write_buffer_size() > WRITE_LIMIT:
            log.warning("peer reads nothing; connection cut", peer=self.flow.remote)
            self._transport.abort()

    @property
    def closing(self) -> bool:
        return self._transport is not None and self._transport.is_closing()

    def close(self) -> None:
        """After what is written."""
        if self._transport is not None:
            self._transport.close()

    def cut(self) -> None:
        """At once."""
        if self._transport is not None:
            self._transport.abort()
