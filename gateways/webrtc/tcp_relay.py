"""The process between TCP and the workers' bundle ports: frames come in, datagrams go on, and back.

Each connection has a UDP socket of its own towards the worker, to which STUN, DTLS and media then come from an ordinary
address: gateway, worker and keys know nothing of TCP. Nothing here can be lost that browsers would not find again.

``python -m gateways.webrtc.tcp_relay FD LISTENER=HOST:PORT …``: FD is our end of control's socket pair, on which a
:class:`Figures` leaves once a second, and whose end is ours; LISTENER the descriptor of a listening socket, HOST and
PORT the bundle port behind it.
"""

from __future__ import annotations

import contextlib
import fcntl
import gc
import os
import resource
import select
import signal
import socket
import sys
import time
from collections.abc import Iterator
from dataclasses import dataclass, field
from typing import Final, TypeAlias

import msgspec

from .tcp import LARGEST, MAX_CONNECTIONS, Backlog, BrokenFraming, Connection, Connections, Stage, passes, proves

Address: TypeAlias = tuple[str, int]

TICK: Final = 1.0
"""Seconds between figures, and looks at who is overdue."""
BATCH: Final = 64
"""Datagrams of one connection, or connections of one listener, before the next has its turn."""
PIECE: Final = 64 << 10
"""Octets read of a stream at once."""
SEND_BUFFER: Final = 256 << 10
"""Octets in the kernel for one connection, what is under way included: enough for 10 Mbit/s over 200 ms. A fixed size
keeps the kernel from growing it to megabytes, which are seconds."""
DATAGRAMS_WAIT: Final = 1 << 20
"""Octets of a worker's datagrams that wait for us: pictures leave it in bursts."""
LITTLE: Final = 4 << 10
"""Octets in a stream's buffer that need no look: 20 ms at 2 Mbit/s, half a second where voice alone just fits."""
RECENT: Final = 0.25
"""Seconds; what went into the buffer since needs none either."""
SPARE: Final = 64
"""Descriptors that are not for connections."""
SIOCOUTQNSD: Final = 0x894B
"""Octets not yet sent of a stream's buffer (linux/sockios.h)."""
SO_RCVBUFFORCE: Final = 33
READ: Final = select.EPOLLIN | select.EPOLLRDHUP
WRITE: Final = READ | select.EPOLLOUT


class Figures(msgspec.Struct, frozen=True):
    """So far, but for the first two: now."""

    connections: int = 0
    unproven: int = 0
    accepted: int = 0
    refused: int = 0
    """Closed by us: no STUN, broken framing, or unproven when time or room was up."""
    idle: int = 0
    """Closed by us: nothing was heard any more."""
    received: int = 0
    """Packets from peers to workers."""
    sent: int = 0
    """Packets from workers to peers."""
    late: int = 0
    """Packets that fell, for the network was slower than the call."""
    cpu_seconds: float = 0.0


@dataclass(slots=True)
class Line:
    """One connection."""

    tcp: socket.socket
    target: Address
    connection: Connection
    udp: socket.socket | None = None
    """Towards the worker: none before the first check."""
    tail: bytes = b""
    """Of a frame that the stream's buffer took in part; while there is one, everything falls."""
    backlog: Backlog = field(default_factory=Backlog)

    def look(self, more: int, now: float) -> None:
        """Before ``more`` octets are sent: ask the kernel what waits, if that can matter."""
        if self.backlog.unsent + more >= LITTLE or self.backlog.age(now) >= RECENT:
            waiting = fcntl.ioctl(self.tcp.fileno(), SIOCOUTQNSD, bytes(4))
            self.backlog.learn(int.from_bytes(waiting, sys.byteorder))


class Relay:
    def __init__(self, control: socket.socket, listeners: dict[int, Address], most: int = MAX_CONNECTIONS) -> None:
        """Args:
        listeners: descriptors of listening sockets, with the bundle ports behind them; ours from now on.
        """
        self._control = control
        self._listeners = {fd: (socket.socket(fileno=fd), target) for fd, target in listeners.items()}
        for listener, _ in self._listeners.values():
            listener.setblocking(False)
        control.setblocking(False)
        self._epoll = select.epoll()
        self._epoll.register(control, select.EPOLLIN)
        self._accepting = False
        self._lines: dict[int, Line] = {}
        """By the descriptor of its stream."""
        self._behind: dict[int, Line] = {}
        """By that of its UDP socket."""
        self._connections = Connections(most)
        self._buffer = memoryview(bytearray(PIECE))
        self.accepted = self.refused = self.idle = self.received = self.sent = self.late = 0

    def run(self) -> None:
        """Until control is gone."""
        self._accept_again()
        tick = time.monotonic() + TICK
        while True:
            events = self._epoll.poll(max(0.0, tick - time.monotonic()))
            now = time.monotonic()
            for fd, event in events:
                if fd in self._behind:
                    self._outward(self._behind[fd], now)
                elif fd in self._lines:
                    self._stream(fd, event, now)
                elif fd in self._listeners:
                    self._accept(fd, now)
                elif fd == self._control.fileno() and not self._control_is_there():
                    return
            if now >= tick:
                tick = now + TICK
                self._sweep(now)
                self._tell()

    def close(self) -> None:
        for fd in list(self._lines):
            self._close(fd)
        for listener, _ in self._listeners.values():
            listener.close()
        self._epoll.close()
        self._control.close()

    def figures(self) -> Figures:
        held = self._connections.held
        return Figures(
            held["connections"],
            held["unproven"],
            self.accepted,
            self.refused,
            self.idle,
            self.received,
            self.sent,
            self.late,
            time.process_time(),
        )

    # Control

    def _control_is_there(self) -> bool:
        try:
            return bool(self._control.recv(4096))
        except BlockingIOError:
            return True
        except OSError:
            return False

    def _tell(self) -> None:
        with contextlib.suppress(OSError):  # it does not read now, or is gone, which the next poll finds
            self._control.send(msgspec.json.encode(self.figures()))

    def _sweep(self, now: float) -> None:
        for fd in self._connections.overdue(now):
            if self._connections[fd].stage is Stage.PROVEN:
                self.idle += 1
            else:
                self.refused += 1
            self._close(fd)
        self._accept_again()

    # Connections

    def _accept_again(self) -> None:
        if not self._accepting:
            for fd in self._listeners:
                self._epoll.register(fd, select.EPOLLIN)
            self._accepting = True

    def _accept_no_more(self) -> None:
        """No descriptors, no memory: until the next tick those who come wait in the kernel."""
        if self._accepting:
            for fd in self._listeners:
                self._epoll.unregister(fd)
            self._accepting = False

    def _accept(self, listener: int, now: float) -> None:
        sock, target = self._listeners[listener]
        for _ in range(BATCH):
            try:
                tcp, address = sock.accept()
            except (BlockingIOError, ConnectionAbortedError, InterruptedError):
                return
            except OSError:
                self._accept_no_more()
                return
            tcp.setblocking(False)
            tcp.setsockopt(socket.IPPROTO_TCP, socket.TCP_NODELAY, 1)
            self.accepted += 1
            fd = tcp.fileno()
            victim = self._connections.opened(fd, address[0], now)
            self._lines[fd] = Line(tcp, target, self._connections[fd])
            self._epoll.register(fd, READ)
            if victim is not None:
                self._refuse(victim)

    def _refuse(self, fd: int) -> None:
        self.refused += 1
        self._close(fd)

    def _close(self, fd: int) -> None:
        """Closed descriptors leave the epoll set by themselves."""
        line = self._lines.pop(fd)
        self._connections.closed(fd)
        if line.udp is not None:
            del self._behind[line.udp.fileno()]
            line.udp.close()
        line.tcp.close()

    # Packets

    def _stream(self, fd: int, event: int, now: float) -> None:
        line = self._lines[fd]
        if event & select.EPOLLOUT and not self._flush(line, now):
            self._close(fd)
            return
        if not event & ~select.EPOLLOUT:
            return
        try:
            size = line.tcp.recv_into(self._buffer)
        except BlockingIOError:
            return
        except OSError:
            size = 0
        if not size:
            self._close(fd)
            return
        try:
            for packet in line.connection.packets(self._buffer[:size], now):
                if line.udp is None:
                    self._reach(line)
                assert line.udp is not None
                self.received += 1
                try:  # noqa: SIM105 it costs more
                    line.udp.send(packet)
                except (BlockingIOError, ConnectionError):
                    pass  # a full buffer, or no worker: it is lost, as UDP loses
        except (BrokenFraming, OSError):
            self._refuse(fd)

    def _reach(self, line: Line) -> None:
        """Open its way to the worker. Raises OSError."""
        family = socket.AF_INET6 if ":" in line.target[0] else socket.AF_INET
        udp = socket.socket(family, socket.SOCK_DGRAM)
        try:
            udp.setblocking(False)
            try:  # it passes net.core.rmem_max where we may
                udp.setsockopt(socket.SOL_SOCKET, SO_RCVBUFFORCE, DATAGRAMS_WAIT)
            except PermissionError:
                udp.setsockopt(socket.SOL_SOCKET, socket.SO_RCVBUF, DATAGRAMS_WAIT)
            udp.connect(line.target)
            self._epoll.register(udp.fileno(), select.EPOLLIN)
        except BaseException:
            udp.close()
            raise
        line.udp = udp
        self._behind[udp.fileno()] = line

    def _outward(self, line: Line, now: float) -> None:
        """What the worker sent, in one write."""
        assert line.udp is not None
        receive = line.udp.recv
        packets: list[bytes] = []
        try:
            while len(packets) < BATCH:
                packets.append(receive(LARGEST + 1))
        except (BlockingIOError, ConnectionError):
            pass  # that was all
        if line.connection.stage is not Stage.PROVEN and any(map(proves, packets)):
            self._connections.proved(line.tcp.fileno(), now)
        if line.tail:
            self.late += len(packets)
            return
        frames = list(self._frames(line, packets, now))
        if frames and not self._send(line, frames, now):
            self._close(line.tcp.fileno())

    def _frames(self, line: Line, packets: list[bytes], now: float) -> Iterator[bytes]:
        """Those that the stream's buffer has room for, and that are in time."""
        line.look(sum(map(len, packets)), now)
        unsent, age = line.backlog.unsent, line.backlog.age(now)
        for packet in packets:
            size = len(packet)
            if size <= LARGEST and passes(packet, unsent, age):
                unsent += size + 2
                yield size.to_bytes(2, "big") + packet
            else:
                self.late += 1

    def _send(self, line: Line, frames: list[bytes], now: float) -> bool:
        """Whether the stream is still there. What it has no room for falls, but for the rest of a frame begun."""
        try:
            taken = line.tcp.send(b"".join(frames))
        except BlockingIOError:
            taken = 0
        except OSError:
            return False
        line.backlog.put(taken, now)
        whole = 0
        for frame in frames:
            if taken < len(frame):
                break
            taken -= len(frame)
            whole += 1
        self.sent += whole
        if whole < len(frames):
            if taken:
                line.tail = frames[whole][taken:]
                self._epoll.modify(line.tcp.fileno(), WRITE)
                self.sent += 1
                whole += 1
            self.late += len(frames) - whole
        return True

    def _flush(self, line: Line, now: float) -> bool:
        """Send on the rest of a frame; whether the stream is still there."""
        try:
            taken = line.tcp.send(line.tail)
        except BlockingIOError:
            return True
        except OSError:
            return False
        line.tail = line.tail[taken:]
        line.backlog.put(taken, now)
        if not line.tail:
            self._epoll.modify(line.tcp.fileno(), READ)
        return True


def most_connections() -> int:
    """As many as there are descriptors for: each takes two."""
    soft, hard = resource.getrlimit(resource.RLIMIT_NOFILE)
    wanted = 2 * MAX_CONNECTIONS + SPARE
    if hard != resource.RLIM_INFINITY:
        wanted = min(wanted, hard)
    if soft < wanted:
        resource.setrlimit(resource.RLIMIT_NOFILE, (wanted, hard))
    return max(1, min(MAX_CONNECTIONS, (max(soft, wanted) - SPARE) // 2))


def main() -> int:
    for number in (signal.SIGINT, signal.SIGTERM):  # they reach the whole group: control says when it is over
        signal.signal(number, signal.SIG_IGN)
    control, *pairs = sys.argv[1:]
    listeners: dict[int, Address] = {}
    for pair in pairs:
        fd, _, target = pair.partition("=")
        host, _, port = target.rpartition(":")
        listeners[int(fd)] = (host, int(port))
    with contextlib.suppress(OSError):  # voice goes through here; worth having, not worth failing for
        os.setpriority(os.PRIO_PROCESS, 0, -10)
    relay = Relay(socket.socket(fileno=int(control)), listeners, most_connections())
    gc.freeze()
    try:
        relay.run()
    finally:
        relay.close()
    return 0


if __name__ == "__main__":
    sys.exit(main())
