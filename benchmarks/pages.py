"""The sockets that browsers' pages keep beside their calls (``/r/ROOM/live``), many at once: what comes is read and let
go, as far as it is no answer that a page waits for."""

from __future__ import annotations

import base64
import contextlib
import json
import os
import re
import socket
import struct
from dataclasses import dataclass, field

PROTOCOL = "visiopont.room.1"
TEXT, PING, PONG = 0x1, 0x9, 0xA


@dataclass(slots=True)
class Page:
    """One page's."""

    call: str
    """Call-ID."""
    sock: socket.socket
    open: bool = False
    participant: int = 0
    """Its own number; 0: not welcomed yet."""
    closed: bool = False
    unread: bytes = b""
    shows: dict[str, int] = field(default_factory=dict)
    """Of its tiles, by MID, the participant."""


class Pages:
    """They are opened one by one, and looked at now and then by :meth:`read`."""

    def __init__(self, port: int, room: str = "bench") -> None:
        self._port, self._room = port, room
        self.all: dict[int, Page] = {}

    def open(self, number: int, call: str) -> None:
        """Raises OSError: nobody listens."""
        sock = socket.create_connection(("127.0.0.1", self._port), 5.0)
        key = base64.b64encode(os.urandom(16)).decode()
        sock.sendall(
            (
                f"GET /r/{self._room}/live HTTP/1.1\r\nHost: 127.0.0.1:{self._port}\r\nUpgrade: websocket\r\n"
                f"Connection: Upgrade\r\nSec-WebSocket-Key: {key}\r\nSec-WebSocket-Version: 13\r\n"
                f"Sec-WebSocket-Protocol: {PROTOCOL}\r\nOrigin: http://127.0.0.1:{self._port}\r\n\r\n"
            ).encode()
        )
        sock.setblocking(False)
        self.all[number] = Page(call, sock)

    def read(self) -> None:
        """Take what came."""
        for page in self.all.values():
            with contextlib.suppress(BlockingIOError):
                while not page.closed:
                    data = page.sock.recv(1 << 18)
                    page.closed = not data
                    self._take(page, data)

    def say(self, number: int, what: dict[str, object]) -> None:
        _send(self.all[number].sock, TEXT, json.dumps(what).encode())

    def close(self) -> None:
        for page in self.all.values():
            page.sock.close()

    def _take(self, page: Page, data: bytes) -> None:
        data = page.unread + data
        if not page.open:
            head, end, data = data.partition(b"\r\n\r\n")
            if not end:
                page.unread = head
                return
            if b" 101 " not in head.split(b"\r\n")[0]:
                raise OSError(f"no socket for a page: {head.decode()}")
            page.open = True
            hello = {"type": "hello", "call": page.call, "token": None, "language": "en"}
            _send(page.sock, TEXT, json.dumps(hello).encode())
        at = 0
        while (end_at := _end(data, at)) and end_at <= len(data):
            self._frame(page, data[at : at + 1][0] & 15, data[at:end_at])
            at = end_at
        page.unread = data[at:]

    def _frame(self, page: Page, kind: int, frame: bytes) -> None:
        if kind == PING:
            _send(page.sock, PONG, frame[2:])
        elif b'"type":"welcome"' in frame[:64] and (you := re.search(rb'"you":(\d+)', frame)):
            page.participant = int(you[1])
        elif b'"type":"tiles"' in frame[:64]:
            page.shows = dict(json.loads(frame[frame.index(b"{") :])["shows"])


def _end(data: bytes, at: int) -> int:
    """Where the frame ends that begins there (RFC 6455 §5.2), unmasked as servers' are; 0: its head is not there yet."""
    if len(data) - at < 2:
        return 0
    size = data[at + 1] & 0x7F
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
