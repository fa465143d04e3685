"""The HTTP API under ``/api/v1``, ``/metrics``, ``/health`` and ``/ready``.

Every error is a problem document (RFC 9457) whose ``detail`` says what to do, in French or English as the request
prefers (``Accept-Language``). Every command is an operator's
(``by=None`` on the room): there is no authentication yet, so the server listens on loopback.
"""

from __future__ import annotations

from collections.abc import AsyncIterator, Callable, Mapping
from typing import Any, Literal, Protocol, TypeAlias, TypeVar

import msgspec
from fastapi import APIRouter, Body, FastAPI, Request
from fastapi.exceptions import RequestValidationError
from fastapi.responses import HTMLResponse, Response, StreamingResponse
from pydantic import BaseModel, ConfigDict, Field
from starlette.exceptions import HTTPException

from bridge.conference.error import Forbidden, NoSuchParticipant, Refused, RoomError
from bridge.conference.house import NoSuchRoom, TooManyRooms
from bridge.conference.link import MAX_HOURS, MAX_NAME
from bridge.conference.participant import Role
from bridge.conference.room import Room
from bridge.conference.screen import Place
from bridge.conference.settings import RoomSettings

from .api_page import page
from .feed import Feed, Listener, TooManyListeners
from .link import HOURS
from .words import accepted, line, translated

T = TypeVar("T")
Command: TypeAlias = Callable[[Room, float], T]


class Bridge(Protocol):
    """What the API needs of the running bridge. Commands raise NoSuchRoom, RoomError and ValueError."""

    feed: Feed

    @property
    def ready(self) -> bool: ...
    def about(self) -> dict[str, Any]: ...
    def status(self) -> bytes:
        """Everything as one JSON object; see :mod:`.status`."""

    def rooms(self) -> bytes: ...
    def room(self, name: str) -> bytes: ...
    def registrations(self) -> list[dict[str, Any]]: ...
    def metrics(self) -> bytes: ...
    def tell(self, room: str, command: Command[T]) -> T: ...
    def dial(self, room: str, uri: str) -> int: ...
    def move(self, room: str, participant: int, target: str) -> None: ...
    def transfer(self, room: str, participant: int, uri: str) -> None: ...
    async def snapshot(self, room: str) -> bytes: ...
    def link(self, room: str, role: Role, hours: float, name: str) -> dict[str, Any]: ...
    def open_room(self, settings: RoomSettings) -> None: ...
    def close_room(self, name: str) -> None: ...


ROOM_COMMANDS: Mapping[str, Command[object]] = {
    "lock": lambda room, now: room.lock(by=None, now=now),
    "unlock": lambda room, now: room.unlock(by=None, now=now),
    "mute-all": lambda room, now: room.mute_all(by=None, now=now),
    "unmute-all": lambda room, now: room.unmute_all(by=None, now=now),
    "admit-all": lambda room, now: room.admit_all(by=None, now=now),
    "answer-help": lambda room, now: room.answer_help(by=None, now=now),
    "roll-call": lambda room, now: room.roll_call(by=None, now=now),
    "unpin": lambda room, now: room.pin(None, by=None, now=now),
    "unreserve": lambda room, now: room.reserve(None, by=None, now=now),
    "end": lambda room, now: room.end(by=None, now=now),
}
"""``POST rooms/{room}/{command}``"""

Single: TypeAlias = Callable[[Room, int, float], object]
PARTICIPANT_COMMANDS: Mapping[str, Single] = {
    "mute": lambda room, n, now: room.mute(n, by=None, now=now),
    "unmute": lambda room, n, now: room.unmute(n, by=None, now=now),
    "deafen": lambda room, n, now: room.deafen(n, True, by=None, now=now),
    "undeafen": lambda room, n, now: room.deafen(n, False, by=None, now=now),
    "remove": lambda room, n, now: room.remove(n, by=None, now=now),
    "admit": lambda room, n, now: room.admit(n, by=None, now=now),
    "turn-away": lambda room, n, now: room.turn_away(n, by=None, now=now),
    "hand": lambda room, n, now: room.raise_hand(n, by=None, now=now),
    "unhand": lambda room, n, now: room.lower_hand(n, by=None, now=now),
    "floor": lambda room, n, now: room.give_floor(n, by=None, now=now),
    "answer-help": lambda room, n, now: room.answer_help(n, by=None, now=now),
    "pin": lambda room, n, now: room.pin(n, by=None, now=now),
    "reserve": lambda room, n, now: room.reserve(n, by=None, now=now),
    "present": lambda room, n, now: room.take_presentation(n, by=None, now=now),
    "unpresent": lambda room, n, now: room.release_presentation(n, by=None, now=now),
}
"""``POST rooms/{room}/participants/{n}/{command}``, without a body"""


class Wanted(BaseModel):
    model_config = ConfigDict(extra="forbid", frozen=True)


class Dial(Wanted):
    uri: str = Field(max_length=512, description="whom to call, as in sip:alice@192.0.2.7")


class Gain(Wanted):
    voice: int | None = Field(default=None, ge=-12, le=12, description="dB on what it says")
    volume: int | None = Field(default=None, ge=-12, le=12, description="dB on what it hears")


class Rename(Wanted):
    name: str = Field(min_length=1, max_length=64, description="what people read")


class Move(Wanted):
    room: str = Field(max_length=64, description="the room it goes to; it must be open")


class Transfer(Wanted):
    uri: str = Field(max_length=512, description="whom its terminal is to call instead, as in sip:bob@192.0.2.8")


class Tile(Wanted):
    x: float = Field(ge=0, lt=1, description="left edge, in parts of the picture's width")
    y: float = Field(ge=0, lt=1, description="upper edge, in parts of its height")
    w: float = Field(gt=0, le=1, description="width")
    h: float = Field(gt=0, le=1, description="height")
    participant: int = Field(default=0, ge=0, description="who is in it; 0: whoever speaks")
    letterbox: bool = Field(default=False, description="show all of the picture, with bars; else fill the tile")


class SetLayout(Wanted):
    layout: Literal["single", "strip", "grid", "side-by-side", "fixed"]
    places: list[Tile] = Field(
        default_factory=list, max_length=25, description="for fixed: the tiles, lower ones first"
    )


class OwnLayout(Wanted):
    layout: Literal["single", "strip", "grid", "side-by-side"] | None = Field(description="null: what the others see")


class Invite(Wanted):
    role: Literal["host", "guest"] = "guest"
    hours: float = Field(default=HOURS, gt=0, le=MAX_HOURS, description="how long it opens the room")
    name: str = Field(default="", max_length=MAX_NAME, description="whom it is for")


class SetRole(Wanted):
    role: Literal["host", "guest"]


def application(bridge: Bridge, version: str) -> FastAPI:
    """The ASGI application over ``bridge``."""
    app = FastAPI(title="Visiopont", version=version, docs_url=None, redoc_url=None, openapi_url="/api/v1.json")
    app.include_router(_watching(bridge), prefix="/api/v1")
    app.include_router(_rooms(bridge), prefix="/api/v1")
    app.include_router(_participants(bridge), prefix="/api/v1")
    app.include_router(_operating(bridge))
    _explain(app)

    @app.get("/api/docs", include_in_schema=False)
    async def docs() -> HTMLResponse:
        return HTMLResponse(page(app.openapi()))

    return app


# ------------------------------------------------------------------------------------------------- looking


def _watching(bridge: Bridge) -> APIRouter:
    router = APIRouter(tags=["looking"])

    @router.get("/status")
    async def status() -> Response:
        """Workers, calls, rooms and participants, with their media's figures."""
        return _json(bridge.status())

    @router.get("/bridge")
    async def about() -> Response:
        """The process: version, listeners, media ports, time since its start."""
        return _json(msgspec.json.encode(bridge.about()))

    @router.get("/registrations")
    async def registrations() -> Response:
        """Terminals registered with us, and we with providers."""
        return _json(msgspec.json.encode({"registrations": bridge.registrations()}))

    @router.get("/events")
    async def events() -> StreamingResponse:
        """What happens, as server-sent events, from now on. A reader that is too slow gets ``Lost``."""
        listener = bridge.feed.listen()
        headers = {"Cache-Control": "no-store"}
        return StreamingResponse(_stream(bridge.feed, listener), media_type="text/event-stream", headers=headers)

    return router


async def _stream(feed: Feed, listener: Listener) -> AsyncIterator[bytes]:
    try:
        async for message in listener.messages():
            yield message
    finally:
        feed.leave(listener)


def _operating(bridge: Bridge) -> APIRouter:
    router = APIRouter(tags=["operating"])

    @router.get("/metrics")
    async def metrics() -> Response:
        """For Prometheus."""
        return Response(bridge.metrics(), media_type="text/plain; version=0.0.4; charset=utf-8")

    @router.get("/health")
    async def health() -> Response:
        """200 while the process answers."""
        return _json(b'{"status":"alive"}')

    @router.get("/ready")
    async def ready() -> Response:
        """200 while new calls are taken; 503 when draining, or when a media worker is gone for good."""
        if not bridge.ready:
            raise HTTPException(503, "No new calls: the bridge is stopping, or a media worker failed (see the log).")
        return _json(b'{"status":"ready"}')

    return router


# --------------------------------------------------------------------------------------------------- rooms


def _rooms(bridge: Bridge) -> APIRouter:
    router = APIRouter(tags=["rooms"])

    @router.get("/rooms")
    async def rooms() -> Response:
        """All rooms with their participants."""
        return _json(bridge.rooms())

    @router.get("/rooms/{name}")
    async def room(name: str) -> Response:
        return _json(bridge.room(name))

    @router.post("/rooms", status_code=201)
    async def open_room(section: dict[str, Any] = Body()) -> Response:  # noqa: B008
        """Open a room: ``name`` and any key of a ``[room.NAME]`` section."""
        name = section.pop("name", None)
        if not isinstance(name, str) or not name:
            raise ValueError('name: say what is dialled, as in {"name": "demo"}')
        settings = RoomSettings.read(name, section)
        bridge.open_room(settings)
        return _json(bridge.room(settings.name), 201)

    @router.delete("/rooms/{name}", status_code=204)
    async def close_room(name: str) -> Response:
        """End the conference and close the room."""
        bridge.close_room(name)
        return Response(status_code=204)

    @router.post("/rooms/{name}/calls", status_code=202)
    async def dial(name: str, body: Dial) -> Response:
        """Call somebody into the room. How the call goes is told in the events."""
        return _json(msgspec.json.encode({"participant": bridge.dial(name, body.uri)}), 202)

    @router.post("/rooms/{name}/links", status_code=201)
    async def link(name: str, body: Invite) -> Response:
        """A signed link to the room's page: who has it comes in that role, and keys no PIN."""
        return _json(msgspec.json.encode(bridge.link(name, body.role, body.hours, body.name)), 201)

    @router.get("/rooms/{name}/snapshot")
    async def snapshot(name: str) -> Response:
        """What the room sees, as a PNG picture of 1280x720."""
        return Response(await bridge.snapshot(name), media_type="image/png", headers={"Cache-Control": "no-store"})

    @router.post("/rooms/{name}/layout")
    async def layout(name: str, body: SetLayout) -> Response:
        """How the room's picture is laid out, for all who have not chosen otherwise."""
        places = [Place(each.x, each.y, each.w, each.h, each.participant, each.letterbox) for each in body.places]
        bridge.tell(name, lambda room, now: room.set_layout(body.layout, places, by=None, now=now))
        return _json(b"{}")

    @router.post("/rooms/{name}/{command}")
    async def tell(name: str, command: str) -> Response:
        """lock, unlock, mute-all, unmute-all, admit-all, answer-help, roll-call, unpin, unreserve, end"""
        act = ROOM_COMMANDS.get(command)
        if act is None:
            raise HTTPException(
                404, f"A room knows no {command!r}: use one of {', '.join((*ROOM_COMMANDS, 'layout'))}."
            )
        bridge.tell(name, act)
        return _json(b"{}")

    return router


def _participants(bridge: Bridge) -> APIRouter:
    router = APIRouter(prefix="/rooms/{name}/participants/{number}", tags=["participants"])

    @router.post("/gain")
    async def gain(name: str, number: int, body: Gain) -> Response:
        """Loudness of what a participant says and hears, in dB."""

        def act(room: Room, now: float) -> None:
            if body.voice is not None:
                room.set_voice(number, body.voice, by=None, now=now)
            if body.volume is not None:
                room.set_volume(number, body.volume, by=None, now=now)

        bridge.tell(name, act)
        return _json(b"{}")

    @router.post("/rename")
    async def rename(name: str, number: int, body: Rename) -> Response:
        bridge.tell(name, lambda room, now: room.rename(number, body.name, by=None, now=now))
        return _json(b"{}")

    @router.post("/role")
    async def set_role(name: str, number: int, body: SetRole) -> Response:
        bridge.tell(name, lambda room, now: room.set_role(number, body.role, by=None, now=now))
        return _json(b"{}")

    @router.post("/move")
    async def move(name: str, number: int, body: Move) -> Response:
        """Take a participant to another room; its call goes on."""
        bridge.move(name, number, body.room)
        return _json(b"{}")

    @router.post("/transfer", status_code=202)
    async def transfer(name: str, number: int, body: Transfer) -> Response:
        """Ask a participant's terminal to call somebody else (REFER); it hangs up here when that call is up."""
        bridge.transfer(name, number, body.uri)
        return _json(b"{}", 202)

    @router.post("/layout")
    async def layout(name: str, number: int, body: OwnLayout) -> Response:
        """What one participant sees."""
        bridge.tell(name, lambda room, now: room.set_own_layout(number, body.layout, by=None, now=now))
        return _json(b"{}")

    @router.post("/{command}")
    async def tell(name: str, number: int, command: str) -> Response:
        """mute, unmute, deafen, undeafen, remove, admit, turn-away, hand, unhand, floor, answer-help, pin, reserve,
        present, unpresent"""
        act = PARTICIPANT_COMMANDS.get(command)
        if act is None:
            known = ", ".join((*PARTICIPANT_COMMANDS, "gain", "rename", "role", "move", "transfer", "layout"))
            raise HTTPException(404, f"A participant knows no {command!r}: use one of {known}.")
        bridge.tell(name, lambda room, now: act(room, number, now))
        return _json(b"{}")

    return router


# -------------------------------------------------------------------------------------------------- errors

STATUS: Mapping[type[Exception], tuple[int, str]] = {
    NoSuchRoom: (404, "No such room"),
    NoSuchParticipant: (404, "No such participant"),
    Forbidden: (403, "Forbidden"),
    Refused: (409, "Not now"),
    RoomError: (409, "Not now"),
    TooManyRooms: (409, "Not now"),
    TooManyListeners: (503, "Too many listeners"),
    ValueError: (422, "Not understood"),
}


def _explain(app: FastAPI) -> None:
    """Say every error in one form."""

    async def known(request: Request, error: Exception) -> Response:
        status, title = next(STATUS[kind] for kind in type(error).__mro__ if kind in STATUS)
        return _problem(request, status, title, str(error))

    async def invalid(request: Request, error: Exception) -> Response:
        assert isinstance(error, RequestValidationError)
        spoken = accepted(request.headers.get("accept-language", ""))
        lines = []
        for fault in error.errors()[:20]:
            where = ".".join(map(str, fault["loc"][1:])) or "body"
            lines.append(line(where, translated(fault["msg"], spoken), spoken))
        return _problem(request, 422, "Not understood", "; ".join(lines))

    async def http(request: Request, error: Exception) -> Response:
        assert isinstance(error, HTTPException)
        detail = error.detail
        if detail in ("Not Found", "Method Not Allowed"):
            detail = f"{request.method} {request.url.path} is not part of the API; /api/docs lists what is."
        return _problem(request, error.status_code, "Error", detail, dict(error.headers or {}))

    async def bug(request: Request, _error: Exception) -> Response:
        return _problem(request, 500, "Internal error", "This is a bug of the bridge; its log has the details.")

    for kind in STATUS:
        app.add_exception_handler(kind, known)
    app.add_exception_handler(RequestValidationError, invalid)
    app.add_exception_handler(HTTPException, http)
    app.add_exception_handler(Exception, bug)


def _json(body: bytes, status: int = 200) -> Response:
    return Response(body, status, media_type="application/json")


def _problem(
    request: Request, status: int, title: str, detail: str, headers: Mapping[str, str] | None = None
) -> Response:
    """A problem document in the language that the request prefers."""
    spoken = accepted(request.headers.get("accept-language", ""))
    document = {
        "type": "about:blank",
        "title": translated(title, spoken),
        "status": status,
        "detail": translated(detail, spoken),
    }
    headers = {**(headers or {}), "Content-Language": spoken, "Vary": "Accept-Language"}
    return Response(msgspec.json.encode(document), status, headers, media_type="application/problem+json")
