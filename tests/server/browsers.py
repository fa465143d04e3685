"""A bridge's HTTP side on real sockets: the real focus, endpoint, driver and live core; workers that take notes."""

from __future__ import annotations

import asyncio
import random
import ssl
import time
from collections.abc import AsyncIterator
from contextlib import asynccontextmanager
from dataclasses import dataclass, field
from typing import Any

import websockets
from websockets.asyncio.client import ClientConnection

from bridge.conference.focus import Focus, FocusSettings, WorkerPorts
from bridge.conference.link import read
from bridge.conference.settings import RoomSettings
from bridge.io import Driver
from bridge.signalling.endpoint import Endpoint
from bridge.signalling.endpoint_settings import EndpointSettings
from bridge.signalling.event import Event
from bridge.signalling.message import Message, Request, Response, parse
from bridge.signalling.offer import Capabilities, Local, Negotiator
from server import page, sip_socket
from server.api import application
from server.control import Control
from server.feed import Feed
from server.http import Access, Http
from server.journal import Journal
from server.link import Links
from server.live import LiveSockets
from server.metrics import Metrics
from server.reach import Reach
from server.registry import Registry
from tests.conference.house import Notes, clips
from tests.server.control import Memory, nowhere

KEY = bytes(range(32))
SOON = 5.0


@dataclass
class Site:
    control: Control
    driver: Driver[Event]
    links: Links
    live: LiveSockets
    address: tuple[str, int]
    tls: ssl.SSLContext | None = None
    headers: dict[str, str] = field(default_factory=dict)

    @property
    def http(self) -> str:
        return f"http{'s' if self.tls else ''}://127.0.0.1:{self.address[1]}"

    @property
    def ws(self) -> str:
        return self.http.replace("http", "ws", 1)

    @asynccontextmanager
    async def socket(self, path: str, protocol: str, **kw: Any) -> AsyncIterator[ClientConnection]:
        kw.setdefault("subprotocols", [protocol] if protocol else None)
        connecting = websockets.connect(self.ws + path, ssl=self.tls, proxy=None, **kw)
        async with asyncio.timeout(30), connecting as found:
            yield found

    def sip(self, **kw: Any) -> Any:
        return self.socket("/sip", "sip", **kw)

    def room(self, **kw: Any) -> Any:
        return self.socket("/r/demo/live", "visiopont.room.1", **kw)


@asynccontextmanager
async def site(
    *rooms: RoomSettings, tls: tuple[ssl.SSLContext, ssl.SSLContext] | None = None, access: Access | None = None
) -> AsyncIterator[Site]:
    """``tls``: the server's context and a client's."""
    links = Links(KEY)
    settings = EndpointSettings()
    endpoint = Endpoint(settings, random.Random(1), now=time.monotonic())
    focus = Focus(
        FocusSettings(
            Capabilities.of(("opus", "PCMU"), "off"),
            clips,
            RoomSettings(name="template"),
            links=lambda token: read(token, KEY, time.time()),
        ),
        endpoint,
        settings,
        {1: WorkerPorts(Notes(), tuple(range(38200, 38264, 2)))},
        rng=random.Random(2),
        random_bytes=random.Random(3).randbytes,
    )
    for room in rooms:
        focus.add_room(room)
    control = Control(Journal(), Metrics(), Feed(), version="1", max_rooms=9, media_ports="38200-38263")
    driver: Driver[Event] = Driver(endpoint, control.deliver)
    registry = Registry(Memory(), Memory())  # type: ignore[arg-type]
    control.join(focus, driver, {}, Reach(registry, nowhere), registry)
    control.registry = registry
    app = application(control, "1")
    live = LiveSockets(focus, lambda: control.run(lambda now: None))
    control.show(live)
    door = page.Door(focus.attendance.settings, links, focus.tries, lambda host: host, lambda room: [])
    sip_socket.serve(app, driver)
    live.serve(app)
    page.serve(app, door)
    http = Http(app, "127.0.0.1", 0, tls=tls[0] if tls else None, access=access)
    address = http.open()
    control.invite(links, f"http://127.0.0.1:{address[1]}")
    http.start()
    try:
        yield Site(control, driver, links, live, address, tls[1] if tls else None)
    finally:
        await http.stop()
        live.close()
        await driver.close()
        await control.close()


class Caller:
    """A browser's SIP by hand: what JsSIP sends, without JsSIP."""

    def __init__(self, socket: ClientConnection, call_id: str = "page-1", transport: str = "WS") -> None:
        self.socket, self.call_id, self.transport = socket, call_id, transport
        self.tag, self.number, self.branch = "", 0, 0
        rng = random.Random(call_id)
        self.negotiator = Negotiator(Capabilities.of(("opus",), "off"), rng.randbytes, 1)

    async def send(self, method: str, *headers: str, user: str = "demo", body: bytes = b"") -> None:
        self.number += method != "ACK"
        self.branch += 1
        lines = [
            f"{method} sip:{user}@127.0.0.1 SIP/2.0",
            f"Via: SIP/2.0/{self.transport} k3d.invalid;branch=z9hG4bK{self.call_id}{self.branch}",
            "Max-Forwards: 69",
            f"To: <sip:{user}@127.0.0.1>{self.tag and ';tag='}{self.tag}",
            'From: "Anna" <sip:guest@127.0.0.1>;tag=mine',
            f"Call-ID: {self.call_id}",
            f"CSeq: {self.number} {method}",
            "Contact: <sip:x@k3d.invalid;transport=ws>",
            "Allow: INVITE,ACK,CANCEL,BYE,UPDATE,MESSAGE,OPTIONS,REFER,INFO,NOTIFY",
            *(["Content-Type: application/sdp"] if method == "INVITE" else []),
            *headers,
            f"Content-Length: {len(body)}",
        ]
        await self.socket.send("\r\n".join(lines) + "\r\n\r\n" + body.decode())

    async def next(self) -> Message:
        async with asyncio.timeout(SOON):
            data = await self.socket.recv()
        return parse(data.encode() if isinstance(data, str) else data)

    async def final(self) -> Response:
        while True:
            message = await self.next()
            if isinstance(message, Response) and message.status >= 200:
                return message

    async def request(self, method: str) -> Request:
        while True:
            message = await self.next()
            if isinstance(message, Request) and message.method == method:
                return message

    async def invite(self, *headers: str, user: str = "demo") -> Response:
        """The final answer; acknowledged."""
        offer = self.negotiator.offer(Local("127.0.0.1", 38300, 38301))
        await self.send("INVITE", *headers, user=user, body=offer)
        answer = await self.final()
        if answer.status == 200:
            self.tag = answer.to.tag or ""
            self.negotiator.accept(answer.body)
            self.number, invite = self.number, self.number
            await self.send("ACK")
            assert invite == self.number
        return answer
