"""The event stream's listeners: each has a bounded queue; whoever reads too slowly loses events, and is told how many.

What happens in the rooms never waits for a listener.
"""

from __future__ import annotations

import asyncio
from collections import deque
from collections.abc import AsyncIterator
from dataclasses import fields, is_dataclass
from typing import Any

import msgspec

LISTENERS = 64
"""At once: operators' tools, not participants."""
WAITING = 1000
"""Events that wait for one listener: some seconds of the busiest hour."""
BEAT = 15.0
"""Seconds after which an idle stream gets a comment line, so that proxies keep it open and a dead one is noticed."""


class TooManyListeners(Exception):
    """The event stream is given to :data:`LISTENERS` at most."""


def described(event: object) -> dict[str, Any]:
    """A frozen dataclass as a JSON object with its class name as ``event``; bytes and secrets are left out."""
    return {"event": type(event).__name__, **shown_fields(event)}


def shown_fields(value: object) -> dict[str, Any]:
    """A dataclass's fields, those of dataclasses in it too, without bytes and what its repr keeps back (PINs)."""
    assert is_dataclass(value)
    found: dict[str, Any] = {}
    for field in fields(value):
        part = getattr(value, field.name)
        if field.repr and not isinstance(part, bytes):
            found[field.name] = shown_fields(part) if is_dataclass(part) else part
    return found


_encoder = msgspec.json.Encoder(enc_hook=str)


class Listener:
    """One reader of the stream."""

    def __init__(self) -> None:
        self._queue: deque[bytes] = deque()
        self._lost = 0
        self._wake = asyncio.Event()
        self._closed = False

    def put(self, message: bytes) -> None:
        if len(self._queue) >= WAITING:
            self._lost += 1
            return
        if self._lost:
            self._queue.append(_message("Lost", _encoder.encode({"event": "Lost", "events": self._lost})))
            self._lost = 0
        self._queue.append(message)
        self._wake.set()

    def close(self) -> None:
        self._closed = True
        self._wake.set()

    async def messages(self) -> AsyncIterator[bytes]:
        """Server-sent events, until the feed is closed."""
        yield b": visiopont\n\n"
        while True:
            while self._queue:
                yield self._queue.popleft()
            if self._closed:
                return
            self._wake.clear()
            try:
                async with asyncio.timeout(BEAT):
                    await self._wake.wait()
            except TimeoutError:
                yield b": still here\n\n"


class Feed:
    """Gives every event to every listener."""

    def __init__(self) -> None:
        self._listeners: set[Listener] = set()
        self._number = 0

    def __len__(self) -> int:
        return len(self._listeners)

    def tell(self, event: object) -> None:
        """Encoded once, whatever the number of listeners; not at all without one."""
        self._number += 1
        if not self._listeners:
            return
        body = described(event)
        message = _message(body["event"], _encoder.encode(body), self._number)
        for listener in self._listeners:
            listener.put(message)

    def listen(self) -> Listener:
        """Raises TooManyListeners."""
        if len(self._listeners) >= LISTENERS:
            raise TooManyListeners(f"{LISTENERS} listeners follow the events already")
        listener = Listener()
        self._listeners.add(listener)
        return listener

    def leave(self, listener: Listener) -> None:
        self._listeners.discard(listener)

    def close(self) -> None:
        """Every stream ends after what waits for it."""
        for listener in self._listeners:
            listener.close()


def _message(kind: str, body: bytes, number: int | None = None) -> bytes:
    """One server-sent event (WHATWG HTML §9.2)."""
    head = f"id: {number}\n" if number is not None else ""
    return f"{head}event: {kind}\ndata: ".encode() + body + b"\n\n"
