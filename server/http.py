"""The HTTP server in control's own loop, and what every request to it has to pass."""

from __future__ import annotations

import asyncio
import contextlib
import socket
from collections.abc import Awaitable, Callable, Iterator, MutableMapping
from typing import Any

import h11
import msgspec
import uvicorn
from uvicorn.protocols.http.h11_impl import H11Protocol

from .settings import is_loopback

Scope = MutableMapping[str, Any]
Application = Callable[[Scope, Any, Any], Awaitable[None]]

CONNECTIONS = 128
"""At once, event streams included; more get 503."""
BODY = 65536
"""Bytes of a request: a room's settings are some hundred."""
WHOLE = 20.0
"""Seconds for a whole request to come, head and body, from the connection's beginning or the answer before it: a
hundred connections that say nothing, or a byte now and then, would keep everybody else out."""
GRACE = 2
"""Seconds for open answers when the server stops."""


class _Server(uvicorn.Server):
    """uvicorn without hands on the process's signals: stopping is the composition root's business."""

    @contextlib.contextmanager
    def capture_signals(self) -> Iterator[None]:
        yield


class _Connection(H11Protocol):
    """uvicorn's, which waits for a request without end."""

    _deadline: asyncio.TimerHandle | None = None

    def connection_made(self, transport: asyncio.Transport) -> None:  # type: ignore[override]
        super().connection_made(transport)
        self._expect()

    def on_response_complete(self) -> None:
        super().on_response_complete()
        self._expect()

    def connection_lost(self, exc: Exception | None) -> None:
        if self._deadline is not None:
            self._deadline.cancel()
        super().connection_lost(exc)

    def _expect(self) -> None:
        """A request is to come."""
        if self._deadline is not None:
            self._deadline.cancel()
        self._deadline = self.loop.call_later(WHOLE, self._late)

    def _late(self) -> None:
        if self.conn.their_state in (h11.IDLE, h11.SEND_BODY):
            self.transport.close()


class Http:
    """Listens from :meth:`open` on, serves from :meth:`start` on."""

    def __init__(self, application: Application, host: str, port: int) -> None:
        self._application, self._host, self._port = application, host, port
        self._server: uvicorn.Server | None = None
        self._task: asyncio.Task[None] | None = None
        self._socket: socket.socket | None = None

    def open(self) -> tuple[str, int]:
        """Bind; returns the address that it got.

        Raises:
            OSError: the address can't be had.
        """
        family = socket.AF_INET6 if ":" in self._host else socket.AF_INET
        sock = socket.socket(family, socket.SOCK_STREAM)
        try:
            sock.setsockopt(socket.SOL_SOCKET, socket.SO_REUSEADDR, 1)
            sock.bind((self._host, self._port))
            sock.listen(CONNECTIONS)
            sock.setblocking(False)
        except BaseException:
            sock.close()
            raise
        self._socket = sock
        host, port = sock.getsockname()[:2]
        return str(host), int(port)

    def start(self) -> None:
        """Serve; the socket listens already, so nobody is turned away meanwhile."""
        assert self._socket is not None
        config = uvicorn.Config(
            Guard(self._application, local=is_loopback(self._host)),
            lifespan="off",
            log_config=None,
            access_log=False,
            ws="none",
            http=_Connection,
            limit_concurrency=CONNECTIONS,
            timeout_keep_alive=10,
            timeout_graceful_shutdown=GRACE,
            server_header=False,
        )
        self._server = _Server(config)
        self._task = asyncio.get_running_loop().create_task(self._server.serve(sockets=[self._socket]))

    async def stop(self) -> None:
        """End open answers and let go of the socket."""
        if self._server is not None and self._task is not None:
            self._server.should_exit = True
            await self._task
        if self._socket is not None:
            self._socket.close()


class Guard:
    """Keeps out what a web page that an operator looks at could send here behind his back: requests that another
    origin caused, and names that were made to point at this machine (DNS rebinding). And bodies without end."""

    def __init__(self, application: Application, *, local: bool) -> None:
        self._application, self._local = application, local

    async def __call__(self, scope: Scope, receive: Any, send: Any) -> None:
        if scope["type"] != "http":
            return
        headers = {name: value.decode("latin-1") for name, value in scope["headers"]}
        fault = self._fault(headers)
        if fault is not None:
            await _refuse(send, *fault)
            return
        await self._application(scope, receive, send)

    def _fault(self, headers: dict[bytes, str]) -> tuple[int, str, str] | None:
        host = headers.get(b"host", "")
        name = host.rpartition(":")[0].strip("[]") if not host.endswith("]") and ":" in host else host.strip("[]")
        if self._local and name and not is_loopback(name):
            return 421, "Misdirected Request", f"{name} is not this machine; use 127.0.0.1 or localhost."
        origin = headers.get(b"origin")
        if origin is not None and origin.partition("://")[2] != host:
            return 403, "Forbidden", f"A page of {origin} may not use this API."
        length = headers.get(b"content-length", "0")
        if b"transfer-encoding" in headers or not length.isdigit() or int(length) > BODY:
            return 413, "Content Too Large", f"Send Content-Length and at most {BODY} bytes."
        return None


async def _refuse(send: Any, status: int, title: str, detail: str) -> None:
    body = msgspec.json.encode({"type": "about:blank", "title": title, "status": status, "detail": detail})
    headers = [(b"content-type", b"application/problem+json"), (b"content-length", str(len(body)).encode())]
    await send({"type": "http.response.start", "status": status, "headers": headers})
    await send({"type": "http.response.body", "body": body})
