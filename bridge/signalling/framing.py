"""Messages out of a byte stream: Content-Length (RFC 3261 §18.3) and keep-alives (RFC 5626 §4.4.1)."""

from __future__ import annotations

import re
from collections.abc import Iterator

from .message import MAX_SIZE

MAX_HEAD = 32768
"""Bytes of start line and header fields: no phone's come near."""
PING = b"\r\n\r\n"
PONG = b"\r\n"
_LENGTH = re.compile(rb"^(?:content-length|l)[ \t]*:[ \t]*([^\r\n]*)", re.IGNORECASE | re.MULTILINE)


class BrokenFraming(ValueError):
    """Nobody can tell where the next message begins: the connection is of no more use."""

    def __init__(self, reason: str, status: int, head: bytes) -> None:
        super().__init__(reason)
        self.reason, self.status = reason, status
        self.head = head
        """The message's beginning, that its sender may be told."""


class Framer:
    """One connection's receiving side."""

    __slots__ = ("_buffer", "_looked", "_needed", "pings")

    def __init__(self) -> None:
        self._buffer = bytearray()
        self._looked = 0
        """The header's end is not before this."""
        self._needed = 0
        """Bytes of the message whose header is complete; 0: it isn't."""
        self.pings = 0
        """Keep-alives seen since the last :meth:`feed`; each is to be answered by a :data:`PONG`."""

    @property
    def unfinished(self) -> bool:
        """A message has begun, and its end is still to come."""
        return bool(self._buffer) and not PING.startswith(self._buffer)

    def feed(self, data: bytes) -> Iterator[bytes]:
        """Take a piece, give the messages that it completes.

        Raises:
            BrokenFraming: bad Content-Length, or too large; after the whole messages before it.
        """
        self.pings = 0
        self._buffer += data
        while (message := self._next()) is not None:
            yield message

    def _next(self) -> bytes | None:
        if not self._needed and not self._head():
            return None
        if len(self._buffer) < self._needed:
            return None
        message = bytes(self._buffer[: self._needed])
        del self._buffer[: self._needed]
        self._needed = self._looked = 0
        return message

    def _head(self) -> bool:
        """Is there a whole header? Then ``_needed`` is set."""
        buffer = self._buffer
        if buffer.startswith((b"\r", b"\n")):
            self._skip_empty_lines()
        end = buffer.find(b"\r\n\r\n", max(0, self._looked - 3))
        if end < 0:
            self._looked = len(buffer)
            if len(buffer) > MAX_HEAD:
                raise BrokenFraming("a header without end", 513, bytes(buffer[:MAX_HEAD]))
            return False
        self._needed = end + 4 + self._length(bytes(buffer[: end + 4]))
        return True

    def _skip_empty_lines(self) -> None:
        """§7.5: empty lines before a start line mean nothing; two are a ping. One at the end of what came may be half
        a ping, and stays."""
        buffer = self._buffer
        while buffer.startswith((b"\r", b"\n")):
            if buffer.startswith(PING):
                self.pings += 1
                del buffer[:4]
            elif PING.startswith(buffer):
                break
            else:
                del buffer[:1]
        self._looked = 0

    def _length(self, head: bytes) -> int:
        match = _LENGTH.search(head)
        if match is None:
            # §18.3 wants one over streams. Without it there is no body, or no telling where it ends.
            return 0
        text = match[1].strip()
        if not text.isdigit():
            raise BrokenFraming("Content-Length is no number", 400, head)
        length = int(text[:12])
        if len(head) + length > MAX_SIZE:
            raise BrokenFraming("larger than 64 kB", 513, head)
        return length
