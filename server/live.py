"""The socket beside a call, at ``/r/ROOM/live``: what :class:`bridge.conference.live.Live` needs of the network."""

from __future__ import annotations

import asyncio
import itertools
import time
from collections.abc import Callable
from datetime import UTC, datetime

import structlog
from fastapi import FastAPI
from starlette.websockets import WebSocket

from bridge.conference.focus import Focus
from bridge.conference.live import Close, Live
from bridge.conference.participant import Language

from .websocket import Outlet, converse, offered
from .words import translated

log = structlog.get_logger("live")

PROTOCOL = "visiopont.room.1"
LONGEST = 8192
"""Octets of a message; a chat message of 2,000 characters is 6,000 at most in French."""
UNREAD = 1 << 20
"""Octets that a page may leave unread: some dozen rosters of a full room."""


class LiveSockets:
    """Pages, their core, its timer."""

    def __init__(
        self,
        focus: Focus,
        settle: Callable[[], None],
        *,
        recorded: Callable[[str], bool] = lambda room: False,
        bug: Callable[[str, str], None] = lambda where, what: None,
    ) -> None:
        """
        Args:
            settle: carries out what a command moved in the focus.
            recorded: is that room being recorded?
            bug: an error of ours was caught: where, and what it was about.
        """
        self.core = Live(focus, say=_said, clock=_time_of_day, recorded=recorded)
        self._settle, self._bug = settle, bug
        self._outlets: dict[int, Outlet] = {}
        self._numbers = itertools.count(1)
        self._timer: asyncio.TimerHandle | None = None

    def __len__(self) -> int:
        return len(self._outlets)

    def told(self, event: object) -> None:
        """An event of the focus; :meth:`drain` is to follow."""
        try:
            self.core.told(event, time.monotonic())
        except Exception:
            self._bug("page event", type(event).__name__)

    def drain(self) -> None:
        """Write, close, set the timer."""
        for number, what in self.core.outgoing():
            outlet = self._outlets.get(number)
            if outlet is None:
                continue
            if isinstance(what, Close):
                outlet.close(what.code, what.reason)
            else:
                outlet.put(what.decode())
        deadline = self.core.deadline()
        if self._timer is not None:
            if self._timer.when() == deadline:
                return
            self._timer.cancel()
            self._timer = None
        if deadline is not None:
            self._timer = asyncio.get_running_loop().call_at(deadline, self._expire)

    def close(self) -> None:
        """The bridge stops."""
        if self._timer is not None:
            self._timer.cancel()
            self._timer = None

    def _expire(self) -> None:
        self._timer = None
        try:
            self.core.expire(time.monotonic())
        except Exception:
            self._bug("page timer", "live")
        self.drain()

    def serve(self, app: FastAPI) -> None:
        @app.websocket("/r/{room}/live")
        async def live(socket: WebSocket, room: str) -> None:
            if await offered(socket, PROTOCOL):
                await self._serve(socket)

    async def _serve(self, socket: WebSocket) -> None:
        await socket.accept(PROTOCOL)
        outlet = Outlet(socket, UNREAD)
        number = next(self._numbers)
        self._outlets[number] = outlet
        self.core.came(number, time.monotonic())
        self.drain()

        def take(data: str | bytes) -> None:
            if outlet.closing:
                return
            if len(data) > LONGEST or (isinstance(data, str) and len(data.encode()) > LONGEST):
                outlet.close(1009, f"at most {LONGEST} octets a message")
                return
            try:
                self.core.received(number, data, time.monotonic())
            except Exception:
                self._bug("page message", "live")
            self._settle()
            self.drain()

        try:
            await converse(socket, outlet, take)
        finally:
            del self._outlets[number]
            self.core.gone(number, time.monotonic())
            self.drain()


def _said(sentence: str, language: Language) -> str:
    text = translated(sentence, language)
    return text[:1].upper() + text[1:] + ("" if text.endswith((".", "!", "?")) else ".")


def _time_of_day() -> str:
    return datetime.now(UTC).isoformat(timespec="milliseconds").replace("+00:00", "Z")
