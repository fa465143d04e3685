"""What both kinds of WebSockets here share: what is written never waits, and who does not read is cut."""

from __future__ import annotations

import asyncio
from collections import deque
from collections.abc import Callable
from contextlib import suppress

from starlette.responses import Response
from starlette.websockets import WebSocket, WebSocketDisconnect

REASON = 120
"""Octets of a close frame's reason: 123 fit (RFC 6455 §5.5)."""


class Outlet:
    """What waits to be written to one WebSocket."""

    def __init__(self, socket: WebSocket, limit: int) -> None:
        """``limit``: octets that may wait."""
        self._socket, self._limit = socket, limit
        self._queue: deque[str | bytes] = deque()
        self._size = 0
        self._wake = asyncio.Event()
        self._end: tuple[int, str] | None = None

    @property
    def closing(self) -> bool:
        return self._end is not None

    def put(self, data: str | bytes) -> None:
        """Without waiting. A peer that leaves too much unread is told so (1013), if it reads that, and cut."""
        if self._end is not None:
            return
        self._size += len(data)
        if self._size > self._limit:
            self._queue.clear()
            self.close(1013, "you read too slowly")
            self.cut()
            return
        self._queue.append(data)
        self._wake.set()

    def close(self, code: int, reason: str = "") -> None:
        """After what waits."""
        if self._end is None:
            self._end = code, reason.encode()[:REASON].decode(errors="ignore")
            self._wake.set()

    def cut(self) -> None:
        """A moment later, or as soon as what was written has been read."""
        cut = self._socket.scope["state"].get("cut")
        if cut is not None:
            asyncio.get_running_loop().call_later(1.0, cut)

    async def run(self) -> None:
        """Write until the end."""
        with suppress(WebSocketDisconnect, RuntimeError):
            while True:
                while self._queue:
                    data = self._queue.popleft()
                    if isinstance(data, str):
                        await self._socket.send_text(data)
                    else:
                        await self._socket.send_bytes(data)
                    self._size -= len(data)
                if self._end is not None:
                    await self._socket.close(*self._end)
                    return
                self._wake.clear()
                await self._wake.wait()


async def converse(socket: WebSocket, outlet: Outlet, take: Callable[[str | bytes], None]) -> None:
    """Hand on what comes, and write what waits, until either side ends it."""
    writer = asyncio.create_task(outlet.run())
    try:
        while True:
            message = await socket.receive()
            if message["type"] == "websocket.disconnect":
                return
            text = message.get("text")
            take(text if text is not None else message["bytes"])
    finally:
        writer.cancel()
        with suppress(asyncio.CancelledError):
            await writer


async def offered(socket: WebSocket, protocol: str) -> bool:
    """The client speaks it (RFC 6455 §1.9); else it is told which it should."""
    if protocol in socket.scope["subprotocols"]:
        return True
    said = f"Ask for the subprotocol {protocol} here.\n"
    await socket.send_denial_response(Response(said, 400, media_type="text/plain"))
    return False
