"""What a browser loads: the page of a room, its files, what is to be known before it calls, and the PIN.

Files are served from ``web/client``, and nothing else is. The page runs no script but its own (Content-Security-
Policy), is shown in nobody's frame, and its address, which may hold a link's token, is told to nobody
(Referrer-Policy).
"""

from __future__ import annotations

import gzip
import hashlib
import hmac
import secrets
import time
from collections.abc import Callable, Mapping
from dataclasses import dataclass
from pathlib import Path, PurePosixPath
from typing import Any

import msgspec
from fastapi import APIRouter, FastAPI, Request
from fastapi.responses import Response
from pydantic import BaseModel, ConfigDict, Field

from bridge.conference.house import NoSuchRoom
from bridge.conference.link import BadLink
from bridge.conference.participant import Role
from bridge.conference.settings import RoomSettings
from bridge.conference.tries import Tries

from .link import Links
from .words import Language, accepted, translated

CLIENT = Path(__file__).resolve().parent.parent / "web" / "client"
PAGE = "index.html"
TYPES: Mapping[str, str] = {
    ".html": "text/html; charset=utf-8",
    ".js": "text/javascript; charset=utf-8",
    ".css": "text/css; charset=utf-8",
    ".json": "application/json",
    ".svg": "image/svg+xml",
    ".png": "image/png",
    ".ico": "image/x-icon",
    ".woff2": "font/woff2",
    ".wav": "audio/wav",
    ".ogg": "audio/ogg",
    ".webmanifest": "application/manifest+json",
}
"""What is served; licences and the like are not."""
PACKED = ("text/", "application/json", "image/svg")
HELD = 86400
"""Seconds that a browser may keep what never changes under its name (fonts, other people's code) without asking."""
CONFERENCE_HOURS = 12.0
"""That a token lives which a PIN was given for: whoever comes back after the midday break keys none."""
TEST = "essai"
"""Rooms whose names begin so are opened by tests of connections."""
FILES = 256
"""Kept in memory; the page has some dozen."""

POLICY = "; ".join(
    [
        "default-src 'none'",
        "script-src 'self'",
        "worker-src 'self'",
        "style-src 'self'",
        "img-src 'self' data: blob:",
        "font-src 'self'",
        "media-src 'self' blob: mediastream:",
        "manifest-src 'self'",
        "connect-src 'self'{sockets}",
        "base-uri 'none'",
        "form-action 'none'",
        "frame-ancestors 'none'",
    ]
)
GUARDED = {
    "X-Content-Type-Options": "nosniff",
    "Referrer-Policy": "no-referrer",
    "Cross-Origin-Opener-Policy": "same-origin",
    "Cross-Origin-Resource-Policy": "same-origin",
    "Permissions-Policy": "camera=(self), microphone=(self), display-capture=(self), autoplay=(self), "
    "fullscreen=(self), picture-in-picture=(self), geolocation=()",
}


class Said(Exception):
    """An answer that is no success, as ``{"detail": {"code", "message"}}``."""

    def __init__(self, status: int, code: str, sentence: str, headers: Mapping[str, str] | None = None) -> None:
        super().__init__(sentence)
        self.status, self.code, self.headers = status, code, dict(headers or {})


@dataclass(frozen=True, slots=True)
class File:
    stamp: tuple[int, int]
    """Of what was read: when it was changed, and its size."""
    body: bytes
    packed: bytes | None
    tag: str


class Files:
    """The files of one directory, by their names."""

    def __init__(self, root: Path) -> None:
        self._root = root
        self._kept: dict[str, File] = {}

    def answer(self, name: str, request: Request) -> Response:
        """Raises Said (404) for what is not there."""
        kind = TYPES.get(PurePosixPath(name).suffix)
        found = self._read(name) if kind is not None else None
        if found is None or kind is None:
            raise Said(404, "no-file", "there is no such file")
        held = f"max-age={HELD}" if name.startswith("vendor/") else "no-cache"
        headers = {**GUARDED, "Cache-Control": held, "ETag": found.tag, "Vary": "Accept-Encoding"}
        if found.tag in request.headers.get("if-none-match", ""):
            return Response(None, 304, headers)
        if kind == TYPES[".html"]:
            headers["Content-Security-Policy"] = POLICY.format(sockets=_sockets(request))
        body = found.body
        if found.packed is not None and "gzip" in request.headers.get("accept-encoding", ""):
            body, headers["Content-Encoding"] = found.packed, "gzip"
        return Response(body, 200, headers, media_type=kind)

    def _read(self, name: str) -> File | None:
        path = self._root / name
        try:
            if not path.resolve().is_relative_to(self._root.resolve()):
                return None
            status = path.stat()
            stamp = status.st_mtime_ns, status.st_size
            known = self._kept.get(name)
            if known is not None and known.stamp == stamp:
                return known
            body = path.read_bytes()
        except (OSError, ValueError):
            return None
        kind = TYPES[path.suffix]
        packed = gzip.compress(body, mtime=0) if kind.startswith(PACKED) else None
        found = File(stamp, body, packed, f'"{hashlib.sha256(body).hexdigest()[:24]}"')
        if len(self._kept) >= FILES:
            self._kept.clear()
        self._kept[name] = found
        return found


class Pin(BaseModel):
    model_config = ConfigDict(extra="forbid", frozen=True)

    pin: str = Field(max_length=64)


@dataclass(frozen=True, slots=True)
class Door:
    """What the page asks before there is a call."""

    room: Callable[[str], RoomSettings]
    """Raises NoSuchRoom."""
    links: Links
    tries: Tries
    domain: Callable[[str], str]
    """Of rooms' addresses, for a browser that reached us under that host name."""
    ice_servers: Callable[[str], list[dict[str, object]]]
    """For a browser in that room."""
    video: bool = True
    """Calls have pictures."""
    present: bool = True
    """And a second one, for what is shown."""
    tiles: int = 0
    """Others' pictures that a call may have besides, each by itself."""
    ad_hoc: bool = False
    """Rooms open by being called: a page may test its connection in one that nobody else knows."""

    def about(self, name: str, token: str, host: str) -> dict[str, Any]:
        """Raises Said."""
        room = self._room(name)
        role: Role | None = None
        person: str | None = None
        if token:
            try:
                link = self.links.read(token, room.name)
            except BadLink as error:
                raise Said(401, error.fault, str(error)) from None
            role, person = link.role, link.name or None
        domain = self.domain(host)
        return {
            "room": room.name,
            "title": room.shown,
            "sip": f"sip:{room.name}@{domain}",
            "test": f"sip:{TEST}-{secrets.token_hex(8)}@{domain}" if self.ad_hoc else None,
            "socket": "/sip",
            "live": f"/r/{room.name}/live",
            "pin": bool(room.guest_pin),
            "host_pin": bool(room.host_pin),
            "lobby": room.lobby != "off",
            "role": role,
            "language": room.language[:2],
            "languages": ["fr", "en"],
            "ice_servers": self._servers(room, role),
            "video": self.video and room.video,
            "present": self.video and self.present and room.video,
            "tiles": self.tiles if self.video and room.video else 0,
            "name": person,
        }

    def _servers(self, room: RoomSettings, role: Role | None) -> list[dict[str, object]]:
        """Relays carry whatever they are asked to, so that who has yet to key a PIN gets no credentials for them; the
        page asks again with its token."""
        servers = self.ice_servers(room.name)
        admitted = role is not None or not room.guest_pin
        return [server for server in servers if admitted or "credential" not in server]

    def try_pin(self, name: str, pin: str, source: str, now: float) -> dict[str, Any]:
        """Raises Said."""
        room = self._room(name)
        wait = self.tries.refuse(source, "", now)
        if wait > 0:
            headers = {"Retry-After": str(int(wait) + 1)}
            raise Said(429, "too-many", "too many wrong PINs came from there: try again later", headers)
        role = _role_of(room, pin)
        if role is None:
            self.tries.failed(source, "", now)
            raise Said(403, "wrong-pin", "that is not the PIN of this room")
        token, _ = self.links.make(room.name, role, CONFERENCE_HOURS)
        return {"token": token, "role": role}

    def _room(self, name: str) -> RoomSettings:
        try:
            return self.room(name)
        except NoSuchRoom as error:
            raise Said(404, "no-room", str(error)) from None


def _role_of(room: RoomSettings, pin: str) -> Role | None:
    """In the same time for every PIN."""
    given = pin.strip().encode()
    host = hmac.compare_digest(given, room.host_pin.encode()) and bool(room.host_pin)
    guest = hmac.compare_digest(given, room.guest_pin.encode()) and bool(room.guest_pin)
    return "host" if host else "guest" if guest else None


def serve(app: FastAPI, door: Door, root: Path = CLIENT) -> None:
    """``/r/ROOM`` and ``/client/…``."""
    files = Files(root)
    router = APIRouter(include_in_schema=False)

    @router.get("/client/{name:path}")
    async def file(name: str, request: Request) -> Response:
        return files.answer(name, request)

    @router.get("/r/{room}")
    async def page(room: str, request: Request) -> Response:
        return files.answer(PAGE, request)

    @router.get("/r/{room}/about")
    async def about(room: str, request: Request, t: str = "") -> Response:
        return _json(door.about(room, t, request.url.hostname or ""))

    @router.post("/r/{room}/pin")
    async def pin(room: str, body: Pin, request: Request) -> Response:
        source = request.client.host if request.client else ""
        return _json(door.try_pin(room, body.pin, source, time.monotonic()))

    async def said(request: Request, error: Exception) -> Response:
        assert isinstance(error, Said)
        spoken = accepted(request.headers.get("accept-language", ""))
        detail = {"code": error.code, "message": _sentence(str(error), spoken)}
        headers = {**error.headers, "Content-Language": spoken, "Vary": "Accept-Language"}
        return _json({"detail": detail}, error.status, headers)

    app.include_router(router)
    app.add_exception_handler(Said, said)


def _sockets(request: Request) -> str:
    """Not every browser takes ``'self'`` for WebSockets too (CSP level 3 does)."""
    host = request.headers.get("host", "")
    if not host or not all(c.isalnum() or c in ".-:[]" for c in host):
        return ""
    return f" {'wss' if request.url.scheme == 'https' else 'ws'}://{host}"


def _sentence(text: str, spoken: Language) -> str:
    said = translated(text, spoken)
    return said[:1].upper() + said[1:] + ("" if said.endswith((".", "!", "?")) else ".")


def _json(body: Mapping[str, Any], status: int = 200, headers: Mapping[str, str] | None = None) -> Response:
    headers = {**GUARDED, **(headers or {}), "Cache-Control": "no-store"}
    return Response(msgspec.json.encode(body), status, headers, media_type="application/json")
