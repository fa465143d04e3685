"""Many WebSockets (RFC 6455) in one process, as browsers have them: nothing waits once they are open."""

from __future__ import annotations

import base64
import contextlib
import os
import selectors
import socket
import struct
from collections.abc import Iterator
from dataclasses import dataclass

TEXT, CLOSE, PING, PONG = 0x1, 0x8, 0x9, 0xA
PATIENCE = 10.0


@dataclass(slots=True)
class _Line:
    number: int
    sock: socket.socket
    unread: bytes = b""


class Sockets:
    """One a browser, by its number, to one path of a server on loopback."""

    def __init__(self, port: int, path: str, protocol: str) -> None:
        self._port, self._path, self._protocol = port, path, protocol
        self._lines: dict[int, _Line] = {}
        self._selector = selectors.DefaultSelector()

    def __contains__(self, number: int) -> bool:
        return number in self._lines

    def open(self, number: int) -> None:
        """Raises OSError: it is not let in."""
        sock = socket.create_connection(("127.0.0.1", self._port), PATIENCE)
        key = base64.b64encode(os.urandom(16)).decode()
        sock.sendall(
            (
                f"GET {self._path} HTTP/1.1\r\nHost: 127.0.0.1:{self._port}\r\nUpgrade: websocket\r\n"
                f"Connection: Upgrade\r\nSec-WebSocket-Key: {key}\r\nSec-WebSocket-Version: 13\r\n"
                f"Sec-WebSocket-Protocol: {self._protocol}\r\nOrigin: http://127.0.0.1:{self._port}\r\n\r\n"
            ).encode()
        )
        data = b""
        while b"\r\n\r\n" not in data:
            more = sock.recv(65536)
            data += more
            if not more or len(data) > 65536:
                raise OSError(f"no WebSocket: {data[:200].decode(errors='replace')}")
        head, _, rest = data.partition(b"\r\n\r\n")
        if b" 101 " not in head.split(b"\r\n")[0] + b" ":
            raise OSError(f"no WebSocket: {head[:200].decode(errors='replace')}")
        sock.setblocking(False)
        self._lines[number] = _Line(number, sock, rest)
        self._selector.register(sock, selectors.EVENT_READ, number)

    def read(self) -> Iterator[tuple[int, bytes]]:
        """Text that came; nothing: that socket was closed."""
        for key, _ in self._selector.select(0):
            line = self._lines[key.data]
            try:
                data = line.sock.recv(1 << 18)
            except BlockingIOError:
                continue
            except ConnectionError:
                data = b""
            closed = not data
            line.unread += data
            at = 0
            while 0 < (end := _end(line.unread, at)) <= len(line.unread):
                kind, frame = line.unread[at] & 15, line.unread[at:end]
                at = end
                if kind == PING:
                    _send(line.sock, PONG, frame[2:])
                elif kind == TEXT:
                    yield line.number, frame[{126: 4, 127: 10}.get(frame[1], 2) :]
                closed |= kind == CLOSE
            line.unread = line.unread[at:]
            if closed:
                self._selector.unregister(line.sock)
                line.sock.close()
                del self._lines[line.number]
                yield line.number, b""

    def say(self, number: int, text: bytes) -> None:
        if number in self._lines:
            _send(self._lines[number].sock, TEXT, text)

    def close(self) -> None:
        for line in self._lines.values():
            line.sock.close()
        self._lines.clear()
        self._selector.close()


def _end(data: bytes, at: int) -> int:
    """Where the frame ends that begins there (§5.2; servers' are unmasked); 0: its head is not all there."""
    if len(data) - at < 2:
        return 0
    size = data[at + 1]
    if size < 126:
        return at + 2 + size
    width = 2 if size == 126 else 8
    if len(data) - at < 2 + width:
        return 0
    return at + 2 + width + int.from_bytes(data[at + 2 : at + 2 + width], "big")


def _send(sock: socket.socket, kind: int, body: bytes) -> None:
    """Masked with zeros, which leave it as it is."""
    size = bytes((0x80 | len(body),)) if len(body) < 126 else b"\xfe" + struct.pack("!H", len(body))
    with contextlib.suppress(BlockingIOError, ConnectionError):
        sock.sendall(bytes((0x80 | kind,)) + size + bytes(4) + body)
