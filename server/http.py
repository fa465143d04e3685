"""The HTTP server in control's own loop, and what every request to it has to pass."""

from __future__ import annotations

import asyncio
import contextlib
import socket
import ssl
from collections import Counter
from collections.abc import Awaitable, Callable, Iterator, MutableMapping
from dataclasses import dataclass
from typing import Any

import h11
import msgspec
import uvicorn
from uvicorn.protocols.http.h11_impl import H11Protocol
from uvicorn.protocols.websockets.websockets_sansio_impl import WebSocketsSansIOProtocol
from uvicorn.server import ServerState
from websockets.frames import Frame

from bridge.signalling.message import MAX_SIZE
from bridge.signalling.throttle import site

from .settings import is_loopback

Scope = MutableMapping[str, Any]
Application = Callable[[Scope, Any, Any], Awaitable[None]]

CONNECTIONS = 1024
"""At once, event streams included; more get 503. A browser that loads a page has six; two hundred do so on the hour."""
SOCKETS = 4096
"""WebSockets at once: a browser in a call has two."""
SOCKETS_A_SITE = 1024
"""Of one address: an office behind a NAT."""
BODY = 65536
"""Bytes of a request: a room's settings are some hundred."""
WHOLE = 20.0
"""Seconds for a whole request to come, head and body, from the connection's beginning or the answer before it: a
hundred connections that say nothing, or a byte now and then, would keep everybody else out."""
GRACE = 2
"""Seconds for open answers when the server stops."""
HANDSHAKE = 10.0
"""Seconds that a TLS handshake may take: an open file each."""
PING, PONG = 20.0, 20.0
"""Seconds between pings on a WebSocket (RFC 6455 §5.5.2), and for the answer. NATs forget a TCP connection after
minutes (RFC 5382 asks for two hours, few give them), proxies after 60 s."""
FRAMES = 64
"""Of one WebSocket message: empty ones cost a stranger nothing."""
UNREAD = 1 << 20
"""Octets that a WebSocket's peer may leave unread before it is cut."""
CLOSE = 5.0
"""Seconds for a peer to take a WebSocket's end."""
PARTICIPANTS = ("/r/", "/client/")
"""What people in calls use, beside :data:`SIP`; the rest is the operators'."""
SIP = "/sip"


class _State(ServerState):
    """uvicorn's, with WebSockets apart: they stay for hours, and must not use up the requests' turns."""

    def __init__(self) -> None:
        super().__init__()
        self.sockets: set[Any] = set()
        self.socket_tasks: set[asyncio.Task[None]] = set()


class _Server(uvicorn.Server):
    """uvicorn without hands on the process's signals: stopping is the composition root's business."""

    def __init__(self, config: uvicorn.Config, tls: ssl.SSLContext | None) -> None:
        super().__init__(config)
        self._tls = tls
        self.server_state = self._state = _State()

    async def startup(self, sockets: list[socket.socket] | None = None) -> None:
        """uvicorn's gives TLS handshakes a minute."""

        def accepted() -> asyncio.Protocol:
            return _Connection(self.config, self._state, {})

        self.servers = [
            await asyncio.get_running_loop().create_server(
                accepted, sock=each, ssl=self._tls, ssl_handshake_timeout=HANDSHAKE if self._tls else None
            )
            for each in sockets or ()
        ]
        self.started = True

    async def shutdown(self, sockets: list[socket.socket] | None = None) -> None:
        for each in list(self._state.sockets):
            each.shutdown()
        await super().shutdown(sockets)
        if self._state.socket_tasks:
            _, late = await asyncio.wait(self._state.socket_tasks, timeout=GRACE)
            for task in late:
                task.cancel()
        for each in list(self._state.sockets):
            each.transport.abort()

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

    def handle_websocket_upgrade(self, event: h11.Request) -> None:
        if self._deadline is not None:
            self._deadline.cancel()
        super().handle_websocket_upgrade(event)

    def _late(self) -> None:
        if self.conn.their_state in (h11.IDLE, h11.SEND_BODY):
            self.transport.close()


class _Socket(WebSocketsSansIOProtocol):
    """uvicorn's, which trusts that its peer reads, and ends messages."""

    def __init__(self, config: Any, server_state: Any, app_state: Any, _loop: Any = None) -> None:
        super().__init__(config, server_state, app_state, _loop)
        self.connections, self.tasks = server_state.sockets, server_state.socket_tasks

    def handle_connect(self, event: Any) -> None:
        super().handle_connect(event)
        if hasattr(self, "scope"):  # its task has not begun
            self.scope["state"]["cut"] = self.transport.abort

    def handle_ping(self) -> None:
        super().handle_ping()
        if self.transport.get_write_buffer_size() > UNREAD:
            self.transport.abort()

    def handle_cont(self, event: Frame) -> None:
        super().handle_cont(event)
        if len(self.frames) > FRAMES:
            self.transport.abort()

    def keepalive_timeout(self) -> None:
        super().keepalive_timeout()
        self.transport.abort()  # what waits for a dead peer would keep the connection for a quarter of an hour

    async def send(self, message: Any) -> None:
        await super().send(message)
        if message["type"] == "websocket.http.response.body":
            self.handshake_complete = True  # there will be none; uvicorn would log that as our error
        if message["type"] == "websocket.close" and self.close_timer is not None:
            self.close_timer.cancel()
            self.close_timer = self.loop.call_later(CLOSE, self.transport.abort)


@dataclass(frozen=True, slots=True)
class Access:
    """Who may ask for what."""

    local: bool = True
    """We listen on loopback only."""
    exposed: bool = False
    """Whoever reaches us may govern the rooms; else programs of this machine alone."""
    public: str = ""
    """Host (and port) by which browsers know us, where a proxy is in front."""
    origins: frozenset[str] = frozenset()
    """Of pages of others that may call here, as in ``https://intranet.example``."""


class Http:
    """Listens from :meth:`open` on, serves from :meth:`start` on."""

    def __init__(
        self,
        application: Application,
        host: str,
        port: int,
        *,
        tls: ssl.SSLContext | None = None,
        access: Access | None = None,
    ) -> None:
        """``access``: by default as ``host`` is."""
        self._application, self._host, self._port, self._tls = application, host, port, tls
        self._access = access or Access(local=is_loopback(host), exposed=not is_loopback(host))
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
            Guard(self._application, self._access),
            lifespan="off",
            log_config=None,
            access_log=False,
            ws=_Socket,
            ws_max_size=MAX_SIZE,
            ws_ping_interval=PING,
            ws_ping_timeout=PONG,
            ws_per_message_deflate=False,
            http=_Connection,
            limit_concurrency=CONNECTIONS,
            timeout_keep_alive=10,
            timeout_graceful_shutdown=GRACE,
            server_header=False,
        )
        self._server = _Server(config, self._tls)
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
    origin caused, and names that were made to point at this machine (DNS rebinding). Bodies without end, and more
    WebSockets than there is room for. And whoever may not govern the rooms."""

    def __init__(self, application: Application, access: Access) -> None:
        self._application, self._access = application, access
        self._sockets: Counter[str] = Counter()

    async def __call__(self, scope: Scope, receive: Any, send: Any) -> None:
        if scope["type"] not in ("http", "websocket"):
            return
        headers = {name: value.decode("latin-1") for name, value in scope["headers"]}
        host = scope["client"][0] if scope["client"] else ""
        fault = self._fault(scope["path"], host, headers)
        if scope["type"] == "http":
            fault = fault or _body(headers)
        elif fault is None and (self._sockets.total() >= SOCKETS or self._sockets[site(host)] >= SOCKETS_A_SITE):
            fault = 503, "Service Unavailable", "There are too many connections already: try again in a moment."
        if fault is not None:
            await _refuse(send, *fault, kind=scope["type"])
        elif scope["type"] == "http":
            await self._application(scope, receive, send)
        else:
            await self._socket(site(host), scope, receive, send)

    async def _socket(self, where: str, scope: Scope, receive: Any, send: Any) -> None:
        self._sockets[where] += 1
        try:
            await self._application(scope, receive, send)
        finally:
            self._sockets[where] -= 1
            if not self._sockets[where]:
                del self._sockets[where]

    def _fault(self, path: str, client: str, headers: dict[bytes, str]) -> tuple[int, str, str] | None:
        access, host = self._access, headers.get(b"host", "")
        origin = headers.get(b"origin")
        loopback = not (name := _name(host)) or is_loopback(name)
        if path == SIP or path.startswith(PARTICIPANTS):
            if access.local and not loopback and host != access.public:
                return 421, "Misdirected Request", f"{name} is not this machine; use 127.0.0.1 or localhost."
            if origin is None or origin in access.origins or origin.partition("://")[2] in (host, access.public):
                return None
            return 403, "Forbidden", f"A page of {origin} may not use this API."
        if not access.exposed:
            if not loopback:
                return 421, "Misdirected Request", f"{name} is not this machine; use 127.0.0.1 or localhost."
            if not access.local and not is_loopback(client):
                return 403, "Forbidden", "Rooms are governed from the bridge's own machine: see [http] expose."
        if origin is not None and origin.partition("://")[2] != host:
            return 403, "Forbidden", f"A page of {origin} may not use this API."
        return None


def _name(host: str) -> str:
    """Without the port."""
    return host.rpartition(":")[0].strip("[]") if not host.endswith("]") and ":" in host else host.strip("[]")


def _body(headers: dict[bytes, str]) -> tuple[int, str, str] | None:
    length = headers.get(b"content-length", "0")
    if b"transfer-encoding" in headers or not length.isdigit() or int(length) > BODY:
        return 413, "Content Too Large", f"Send Content-Length and at most {BODY} bytes."
    return None


async def _refuse(send: Any, status: int, title: str, detail: str, kind: str = "http") -> None:
    body = msgspec.json.encode({"type": "about:blank", "title": title, "status": status, "detail": detail})
    headers = [(b"content-type", b"application/problem+json"), (b"content-length", str(len(body)).encode())]
    answer = "http" if kind == "http" else "websocket.http"
    await send({"type": f"{answer}.response.start", "status": status, "headers": headers})
    await send({"type": f"{answer}.response.body", "body": body})
