"""Stands in for the server, for states of the page that a real one reaches slowly or not on demand.

Pages and JSON are answered here; SIP goes on, message by message, to ``bridge/bridge.html`` in another page of the same
browser, so that the page's own signalling is what runs. The room's socket says what a test makes it say.
"""

from __future__ import annotations

import asyncio
import contextlib
import json
import re
import socket
import threading
from collections.abc import Callable
from pathlib import Path
from typing import Any, Self

import uvicorn
from starlette.applications import Starlette
from starlette.requests import Request
from starlette.responses import FileResponse, JSONResponse, Response
from starlette.routing import Mount, Route, WebSocketRoute
from starlette.staticfiles import StaticFiles
from starlette.websockets import WebSocket, WebSocketDisconnect

ROOT = Path(__file__).resolve().parents[2]
CLIENT = ROOT / "web" / "client"
HERE = Path(__file__).resolve().parent
POLICY = (
    "default-src 'none'; script-src 'self'; style-src 'self'; font-src 'self'; img-src 'self'; media-src 'self' blob:; "
    "connect-src 'self'; base-uri 'none'; form-action 'none'; frame-ancestors 'none'"
)
"""As strict as the page allows; the server sends its own."""
ROOMS: dict[str, dict[str, Any]] = {
    "demo": {"title": "Comité de direction"},
    "host": {"title": "Comité de direction", "role": "host"},
    "pin": {"title": "Comité de direction", "pin": True, "role": None},
    "lobby": {"title": "Comité de direction", "lobby": True},
    "voice": {"title": "Assemblée générale annuelle", "video": False},
    "full": {"title": "Comité de direction"},
    "declined": {"title": "Comité de direction"},
    "media": {"title": "Comité de direction"},
}
LAYOUTS = ["strip", "grid", "single", "side-by-side", "presentation"]


def person(identity: str, name: str, **more: Any) -> dict[str, Any]:
    """One of the roster."""
    return {
        "id": identity,
        "name": name,
        "role": "guest",
        "kind": "browser",
        "muted": False,
        "muted_by_host": False,
        "hand": None,
        "video": True,
        "you": False,
        "waiting": False,
    } | more


class Double:
    """Serves on ``port`` of 127.0.0.1 in a thread of its own while it is entered."""

    def __init__(self, port: int) -> None:
        self.url = f"http://127.0.0.1:{port}"
        self.heard: list[dict[str, Any]] = []
        """What the pages sent on the room's socket."""
        self.hellos = 0
        self.mute = False
        """The room's socket takes connections and says nothing."""
        self._port = port
        self._bridge: WebSocket | None = None
        self._callers: dict[str, WebSocket] = {}
        self._sockets: set[WebSocket] = set()
        self._live: dict[WebSocket, str] = {}
        self._state: dict[str, Any] = {}
        self._others: list[dict[str, Any]] = []
        self._levels: dict[str, Any] = {}
        self._me: dict[str, Any] = {}
        self.reset()

    def reset(self) -> None:
        self.heard.clear()
        self.mute = False
        self._state = {"locked": False, "layout": "strip", "layouts": LAYOUTS, "presenting": None, "recording": False}
        self._others = []
        self._levels = {"type": "levels", "speaker": None, "levels": {}}
        self._me = {}

    # The server

    def __enter__(self) -> Self:
        application = Starlette(
            routes=[
                Route("/r/{room}", self._page),
                Route("/r/{room}/about", self._about),
                Route("/r/{room}/pin", self._pin, methods=["POST"]),
                WebSocketRoute("/r/{room}/live", self._room),
                WebSocketRoute("/sip", self._sip),
                Route("/client/test.html", self._test),
                Mount("/client", StaticFiles(directory=CLIENT)),
                Mount("/bridge", StaticFiles(directory=HERE / "bridge")),
            ]
        )
        config = uvicorn.Config(application, lifespan="off", log_config=None, ws="websockets-sansio")
        self._server = uvicorn.Server(config)
        self._socket = socket.create_server(("127.0.0.1", self._port))
        self._loop = asyncio.new_event_loop()
        self._thread = threading.Thread(target=self._serve, daemon=True)
        self._thread.start()
        return self

    def _serve(self) -> None:
        asyncio.set_event_loop(self._loop)
        self._loop.run_until_complete(self._server.serve(sockets=[self._socket]))
        left = asyncio.all_tasks(self._loop)
        for task in left:
            task.cancel()
        self._loop.run_until_complete(asyncio.gather(*left, return_exceptions=True))
        self._loop.close()

    def __exit__(self, *_: object) -> None:
        self._server.should_exit = True
        self._server.force_exit = True
        self._thread.join(10.0)
        self._socket.close()

    async def _page(self, request: Request) -> Response:
        return FileResponse(CLIENT / "index.html", headers={"Content-Security-Policy": POLICY})

    async def _test(self, request: Request) -> Response:
        return FileResponse(CLIENT / "test.html", headers={"Content-Security-Policy": POLICY})

    async def _about(self, request: Request) -> Response:
        room, token = request.path_params["room"], request.query_params.get("t")
        if token == "expired":
            return JSONResponse({"detail": {"code": "token", "message": "expired"}}, 401)
        if room not in ROOMS:
            return JSONResponse({"detail": {"code": "room", "message": "no such room"}}, 404)
        known = {
            "room": room,
            "sip": f"sip:{room}@127.0.0.1",
            "socket": "/sip",
            "live": f"/r/{room}/live",
            "pin": False,
            "lobby": False,
            "role": "guest",
            "language": "fr",
            "languages": ["fr", "en"],
            "ice_servers": [],
            "video": True,
            "present": True,
            "tiles": 9,
            "name": None,
        } | ROOMS[room]
        return JSONResponse(known | ({"role": "guest", "name": None} if token == "pinned" else {}))

    async def _pin(self, request: Request) -> Response:
        pin = (await request.json())["pin"]
        if pin == "1234":
            return JSONResponse({"token": "pinned", "role": "guest"})
        code = 429 if pin == "0000" else 403
        return JSONResponse({"detail": {"code": "pin", "message": "no"}}, code)

    # SIP

    async def _sip(self, wire: WebSocket) -> None:
        await wire.accept(subprotocol="sip")
        self._sockets.add(wire)
        bridge = "bridge" in wire.query_params
        if bridge:
            self._bridge = wire
        try:
            while True:
                message = await wire.receive_text()
                if bridge:
                    await self._to_caller(message)
                elif message.startswith("OPTIONS"):
                    await wire.send_text(_ok(message))
                else:
                    await self._to_bridge(wire, message)
        except WebSocketDisconnect:
            pass
        finally:
            self._sockets.discard(wire)

    async def _to_bridge(self, wire: WebSocket, message: str) -> None:
        self._callers[_call_id(message)] = wire
        if self._bridge is not None:
            await _put(self._bridge, re.sub(r"^INVITE sip:\w+@127\.0\.0\.1", "INVITE sip:bridge@127.0.0.1", message))

    async def _to_caller(self, message: str) -> None:
        wire = self._callers.get(_call_id(message))
        if wire in self._sockets and wire is not None:
            await _put(wire, message)

    # The room's socket

    async def _room(self, live: WebSocket) -> None:
        await live.accept(subprotocol="visiopont.room.1")
        room = live.path_params["room"]
        beat: asyncio.Task[None] | None = None
        try:
            hello = json.loads(await live.receive_text())
            self.heard.append(hello)
            if self.mute:
                await asyncio.sleep(60)
            self._live[live] = room
            self.hellos += 1
            await self._welcome(live, room)
            beat = asyncio.create_task(self._beat(live))
            while True:
                await self._hear(live, room, json.loads(await live.receive_text()))
        except WebSocketDisconnect:
            pass
        finally:
            self._live.pop(live, None)
            if beat is not None:
                beat.cancel()

    async def _beat(self, live: WebSocket) -> None:
        """Levels once a second, as the server sends them: a page takes silence for a dead network."""
        while True:
            await live.send_json(self._levels)
            await asyncio.sleep(1.0)

    async def _welcome(self, live: WebSocket, room: str) -> None:
        role = ROOMS[room].get("role") or "guest"
        title = ROOMS[room]["title"]
        self._me = person("me", "Camille Fortin", you=True, role=role) | self._me
        welcome = {"type": "welcome", "you": "me", "role": role, "room": room, "title": title, "locked": False}
        await live.send_json(welcome | {"chat": []})
        place = "lobby" if ROOMS[room].get("lobby") else "room"
        self._state.setdefault("place", place)
        await live.send_json({"type": "state"} | self._state)
        await live.send_json(self._roster())

    def _roster(self) -> dict[str, Any]:
        return {"type": "roster", "participants": [self._me, *self._others]}

    async def _hear(self, live: WebSocket, room: str, message: dict[str, Any]) -> None:
        self.heard.append(message)
        match message:
            case {"type": "chat", "text": text}:
                said = {"id": len(self.heard), "from": "me", "name": "Camille Fortin", "text": text}
                await live.send_json({"type": "chat", "at": "2026-05-04T14:05:00Z"} | said)
            case {"type": "hand", "up": up}:
                self._me["hand"] = 2 if up else None
                await live.send_json(self._roster())
            case {"type": "mute", "muted": muted}:
                self._me["muted"] = muted
                await live.send_json(self._roster())
            case {"type": "tiles", "tiles": tiles}:
                shows = {one["mid"]: one["participant"] for one in tiles if not one["paused"]}
                await live.send_json({"type": "tiles", "shows": shows, "reasons": {}})
            case {"type": "lock", "locked": locked}:
                self._state["locked"] = locked
                await live.send_json({"type": "state"} | self._state)
            case {"type": "layout" | "room_layout", "layout": layout}:
                self._state["layout"] = layout
                await live.send_json({"type": "state"} | self._state)

    # What tests make happen

    def _do(self, act: Callable[[], Any]) -> None:
        async def run() -> None:
            await act()

        asyncio.run_coroutine_threadsafe(run(), self._loop).result(5.0)

    def tell(self, message: dict[str, Any]) -> None:
        """Say ``message`` on every room's socket."""

        async def act() -> None:
            for live in list(self._live):
                await live.send_json(message)

        self._do(act)

    def people(self, *others: dict[str, Any], **me: Any) -> None:
        self._others = list(others)
        self._me |= me
        self.tell(self._roster())

    def levels(self, speaker: str, **levels: int) -> None:
        self._levels = {"type": "levels", "speaker": speaker, "levels": levels}
        self.tell(self._levels)

    def state(self, **changes: Any) -> None:
        self._state |= changes
        self.tell({"type": "state"} | self._state)

    def cut(self) -> None:
        """Close every page's sockets, as a network does that comes back at once."""

        async def act() -> None:
            for wire in [one for one in self._sockets if one is not self._bridge]:
                await wire.close(1001)
            for live in list(self._live):
                await live.close(1001)

        self._do(act)


async def _put(wire: WebSocket, message: str) -> None:
    """Say it to whoever may have gone."""
    with contextlib.suppress(RuntimeError, WebSocketDisconnect):
        await wire.send_text(message)


def _call_id(message: str) -> str:
    found = re.search(r"^Call-ID: *(\S+)", message, re.M | re.I)
    return found[1] if found else ""


def _ok(request: str) -> str:
    kept = [line for line in request.split("\r\n") if re.match(r"(via|to|from|call-id|cseq):", line, re.I)]
    return "\r\n".join(["SIP/2.0 200 OK", *kept, "Content-Length: 0", "", ""])
