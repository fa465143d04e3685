"""SIP over WebSocket (RFC 7118) at ``/sip``: connections that the HTTP server serves and the driver uses."""

from __future__ import annotations

import asyncio
import itertools
import time
from collections.abc import Iterator

import structlog
from fastapi import FastAPI
from starlette.websockets import WebSocket

from bridge.io import WRITE_LIMIT, Driver
from bridge.signalling.event import Event
from bridge.signalling.flow import Flow, Transport
from bridge.signalling.throttle import Bucket

from .http import SIP
from .websocket import Outlet, converse, offered

log = structlog.get_logger("websocket")

PROTOCOL = "sip"
RATE, BURST = 50.0, 200.0
"""Messages a second of one browser, which sends some dozen a call. A proxy that brings many should come by TCP."""
_UNSEEN: Iterator[int] = itertools.count(65536)
"""In the place of ports that a proxy in front does not tell: what names a connection must be its own."""


class SipConnection:
    """One browser, as the driver knows connections."""

    def __init__(self, driver: Driver[Event], flow: Flow, outlet: Outlet) -> None:
        self._driver, self._outlet = driver, outlet
        self.flow = flow
        self.counted = False
        self.lost = asyncio.Event()
        self.used = False
        self._since = time.monotonic()
        self._bucket = Bucket(RATE, BURST, self._since)

    @property
    def heard(self) -> float:
        """Pings tell the HTTP server when nobody is there any more."""
        return time.monotonic() if self.used else self._since

    @property
    def closing(self) -> bool:
        return self._outlet.closing

    def send(self, data: bytes) -> None:
        """As text where it is text: JsSIP decodes no other well."""
        try:
            self._outlet.put(data.decode())
        except UnicodeDecodeError:
            self._outlet.put(data)

    def close(self) -> None:
        self._outlet.close(1000, "nothing more comes of this connection")

    def cut(self) -> None:
        self._outlet.close(1013, "too slow")
        self._outlet.cut()

    def take(self, data: str | bytes) -> None:
        self.used = True
        if self._outlet.closing:
            return
        if not self._bucket.take(time.monotonic()):
            self._outlet.close(1008, "too many messages")
            return
        self._driver.received(self, data.encode() if isinstance(data, str) else data)


def serve(app: FastAPI, driver: Driver[Event]) -> None:
    """At :data:`.http.SIP`."""

    @app.websocket(SIP)
    async def sip(socket: WebSocket) -> None:
        if not await offered(socket, PROTOCOL):
            return
        outlet = Outlet(socket, WRITE_LIMIT)
        connection = SipConnection(driver, _flow(socket), outlet)
        await socket.accept(PROTOCOL)
        if not driver.came(connection):
            await socket.close(1013, "too many connections: try again in a moment")
            return
        try:
            await converse(socket, outlet, connection.take)
        finally:
            connection.lost.set()
            driver.gone(connection)


def _flow(socket: WebSocket) -> Flow:
    transport = Transport.WSS if socket.url.scheme == "wss" else Transport.WS
    host, port = socket.scope["client"] or ("127.0.0.1", 0)
    server = socket.scope["server"] or ("127.0.0.1", 0)
    return Flow(transport, (server[0], server[1] or 0), (host, port or next(_UNSEEN)))
