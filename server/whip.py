"""WHIP (RFC 9725) at ``/r/ROOM/whip`` and WHEP (draft-ietf-wish-whep) at ``/r/ROOM/whep``: what publishes into a room,
and what plays it. :class:`gateways.whip.agent.Agent` makes calls of them; here are HTTP and the way to the bridge."""

from __future__ import annotations

import asyncio
import contextlib
import itertools
import random
import secrets
import time
from collections.abc import Callable, Iterable, Iterator, Mapping
from dataclasses import dataclass
from typing import Any, Final, cast
from urllib.parse import quote

import structlog
from fastapi import APIRouter, FastAPI, Request
from fastapi.responses import Response

from bridge.conference.focus import Focus
from bridge.conference.house import NoSuchRoom
from bridge.conference.link import MAX_NAME, BadLink, Link
from bridge.conference.participant import Role
from bridge.conference.room import Room
from bridge.conference.settings import RoomSettings
from bridge.io import Driver
from bridge.signalling.auth import bearer
from bridge.signalling.event import Event
from bridge.signalling.flow import Flow, Transport
from bridge.signalling.throttle import site
from gateways.whip.agent import Agent, Answered, Caller, Over, Restarted
from gateways.whip.agent import Event as WhipEvent
from gateways.whip.description import DIRECTIONS, FRAGMENT, Kind, Unfit, offered, read_fragment, refuses_pictures

from .page import Door, Said

log = structlog.get_logger("whip")

SDP: Final = "application/sdp"
LONGEST: Final = 32768
"""Octets of an offer, which is a part of a SIP message of 64 kB; browsers' largest have 10 kB."""
SESSIONS: Final = 1024
SESSIONS_A_SITE: Final = 256
"""Of one address: a studio, or a proxy that does not tell for whom it speaks."""
LINGER: Final = 2.0
"""Seconds that a session's way stays after its end, for the BYE and its answer to pass: two turns of the loop."""
THROTTLED: Final = 60
"""Seconds in which a host's faults are forgotten (``[sip] rejections_per_minute``)."""
UNSEEN: Final = 1 << 24
"""Numbers in the place of ports, which name sessions' ways: beyond any port, and those of :mod:`.sip_socket`."""
SHOWN: Final = "Location, Link, ETag, Accept-Post, Accept-Patch, WWW-Authenticate, Retry-After"
"""What a page of another origin may read."""
PROGRAMS: Final = ("OBS", "GStreamer", "FFmpeg", "VLC")
"""Whose names are shown in place of a person's."""


class Way:
    """One end of a session's way to the bridge, in memory: what a driver sends by one end, the other end's driver
    receives in a later turn of the loop. A :class:`bridge.io.Connection`."""

    def __init__(self, driver: Driver[Any], flow: Flow) -> None:
        """``driver``: whose end it is."""
        self._driver = driver
        self.flow = flow
        self.counted = False
        self.lost = asyncio.Event()
        self.used = True
        self.far: Way = self

    @property
    def heard(self) -> float:
        """Nobody is away."""
        return time.monotonic()

    @property
    def closing(self) -> bool:
        return False

    def send(self, data: bytes) -> None:
        asyncio.get_running_loop().call_soon(self.far._receive, data)

    def close(self) -> None:
        asyncio.get_running_loop().call_soon(self.cut)

    def cut(self) -> None:
        for end in (self, self.far):
            if not end.lost.is_set():
                end.lost.set()
                end._driver.gone(end)

    def _receive(self, data: bytes) -> None:
        if not self.lost.is_set():
            self._driver.received(self, data)


@dataclass(slots=True, eq=False)
class _Session:
    number: int
    room: str
    kind: Kind
    site: str
    way: Way
    name: str = ""
    """In its address; empty: nobody has it yet."""
    answer: asyncio.Future[WhipEvent] | None = None
    """What somebody waits for."""


class Whip:
    """All sessions."""

    def __init__(
        self,
        bridge: Driver[Event],
        door: Door,
        *,
        domain: str,
        refuse: Callable[[str, Role], tuple[int, str] | None] = lambda room, role: None,
        version: str = "",
    ) -> None:
        """
        Args:
            domain: of the bridge's addresses.
            refuse: would that room turn somebody away who comes now? HTTP's status, and the reason.
        """
        self._bridge, self.door, self._domain, self._refuse = bridge, door, domain, refuse
        self.agent = Agent(random.SystemRandom(), f"Visiopont-WHIP/{version}" if version else "Visiopont-WHIP")
        self._driver: Driver[WhipEvent] = Driver(self.agent, self._deliver)
        self._by_number: dict[int, _Session] = {}
        self._by_name: dict[str, _Session] = {}
        self._numbers = itertools.count(UNSEEN)
        self._lingering: dict[Way, asyncio.TimerHandle] = {}

    def __len__(self) -> int:
        return len(self._by_number)

    async def close(self) -> None:
        for session in list(self._by_number.values()):
            self._forget(session)
        for way, timer in self._lingering.items():
            timer.cancel()
            way.cut()
        await self._driver.close()

    # Sessions

    def admit(self, name: str, token: str) -> tuple[RoomSettings, Link | None]:
        """The room, and what the token grants there. Raises Said."""
        try:
            room = self.door.room(name)
            link = self.door.links.read(token, room.name) if token else None
        except NoSuchRoom as error:
            raise Said(404, "no-room", str(error)) from None
        except BadLink as error:
            raise _challenge(error.fault, str(error)) from None
        if room.guest_pin and link is None:
            raise _challenge("pin", "this room has a PIN, which can't be keyed here: send a link's token")
        refused = self._refuse(room.name, link.role if link else "guest")
        if refused is not None:
            raise Said(refused[0], "full" if refused[0] == 503 else "locked", refused[1])
        return room, link

    async def open(
        self, kind: Kind, room: str, offer: bytes, name: str, token: str, source: str
    ) -> tuple[str, Answered]:
        """Call a room. A session's name, which nobody can guess, and the answer.

        Args:
            name: to show; empty: the link's.
            source: the client's address.

        Raises:
            Said
        """
        self._check_room_for(source)
        way = self._way(source)
        host = f"[{source}]" if ":" in source else source
        caller = Caller(f"sip:{kind}-{way.flow.remote[1] - UNSEEN + 1}@{host}", name, token)
        try:
            number = self.agent.call(f"sip:{room}@{self._domain}", way.flow, offer, caller, time.monotonic())
        except ValueError as error:
            way.cut()
            raise Said(400, "bad-request", str(error)) from None
        session = _Session(number, room, kind, site(source), way)
        self._by_number[number] = session
        found = await self._wait(session)
        if isinstance(found, Answered):
            session.name = secrets.token_urlsafe(24)
            self._by_name[session.name] = session
            log.info("session begins", kind=kind, room=room, session=number, source=source)
            return session.name, found
        assert isinstance(found, Over)
        raise _refusal(found)

    def find(self, kind: Kind, room: str, name: str) -> _Session:
        """Raises Said (404)."""
        session = self._by_name.get(name)
        if session is None or (session.kind, session.room) != (kind, room):
            raise Said(404, "no-session", "there is no such session: it has ended, or never was")
        return session

    def leave(self, session: _Session) -> None:
        self.agent.leave(session.number, time.monotonic())
        self._driver.drain()

    async def restart(self, session: _Session, body: bytes, tag: str | None) -> Restarted | None:
        """A PATCH; None: candidates came, of which we need none. Raises Said."""
        if tag is None:
            raise Said(428, "no-tag", "send If-Match: the session's ETag with candidates, * to restart ICE")
        if tag.strip('"') != "*" and tag != self.agent.etag(session.number):
            raise Said(412, "other-tag", "ICE was restarted meanwhile: that ETag is of the session before")
        try:
            client = read_fragment(body)
        except Unfit as error:
            raise Said(error.status, "bad-fragment", str(error)) from None
        if session.answer is not None:
            raise Said(409, "restarting", "another restart is under way: wait for its answer")
        if not self.agent.restart(session.number, client, time.monotonic()):
            return None
        found = await self._wait(session)
        if isinstance(found, Restarted):
            return found
        if isinstance(found, Over):
            raise Said(404, "no-session", "there is no such session: it has ended, or never was")
        raise Said(503, "not-restarted", "ICE could not be restarted: the session goes on as it was")

    def _check_room_for(self, source: str) -> None:
        where = site(source)
        crowd = sum(session.site == where for session in self._by_number.values())
        if len(self._by_number) >= SESSIONS or crowd >= SESSIONS_A_SITE:
            raise _full()

    async def _wait(self, session: _Session) -> WhipEvent:
        """For what the agent tells of it next; it tells in any case."""
        waiting: asyncio.Future[WhipEvent] = asyncio.get_running_loop().create_future()
        session.answer = waiting
        self._driver.drain()
        try:
            return await waiting
        finally:
            session.answer = None

    def _deliver(self, event: WhipEvent) -> None:
        session = self._by_number.get(event.session)
        if session is None:
            return
        if session.answer is not None and not session.answer.done():
            session.answer.set_result(event)
        elif isinstance(event, Answered):  # whoever asked is gone
            self.agent.leave(event.session, time.monotonic())
        if isinstance(event, Over):
            log.info("session ends", session=event.session, code=event.code, reason=event.reason)
            self._forget(session)

    def _forget(self, session: _Session) -> None:
        self._by_number.pop(session.number, None)
        self._by_name.pop(session.name, None)
        if session.answer is not None and not session.answer.done():
            session.answer.set_result(Over(session.number, 503, "the bridge stops"))
        self._lingering[session.way] = asyncio.get_running_loop().call_later(LINGER, self._end, session.way)

    def _end(self, way: Way) -> None:
        del self._lingering[way]
        way.cut()

    # The way to the bridge

    def _way(self, source: str) -> Way:
        """The agent's end of a new one. Raises Said."""
        flow = Flow(Transport.WS, ("127.0.0.1", 9), (source, next(self._numbers)))
        ours, theirs = Way(self._driver, flow), Way(self._bridge, flow)
        ours.far, theirs.far = theirs, ours
        if not self._bridge.came(theirs) or not self._driver.came(ours):
            ours.cut()
            raise _full()
        return ours


def turned_away(focus: Focus, room: str, role: Role) -> tuple[int, str] | None:
    """What a room that is on says before there is a call: rooms refuse calls that are up, and by voice."""

    def look(found: Room) -> tuple[int, str] | None:
        capacity = found.settings.capacity
        if len(found) >= capacity:
            return 503, f"room {room} is full ({capacity}): raise its capacity or remove somebody"
        if found.locked and role != "host":
            return 403, f"room {room} is locked: a host unlocks it with *7, or calls you"
        return None

    try:
        return focus.tell(room, look, time.monotonic())
    except NoSuchRoom:
        return None


def _full() -> Said:
    return Said(503, "full", "there are too many sessions already: try again in a moment", {"Retry-After": "10"})


def _refusal(over: Over) -> Said:
    """Of the call."""
    said = {name.lower(): value for name, value in over.headers}
    reason = over.reason.encode("utf-8", "replace").decode()  # it may quote the offer, whatever bytes that has
    wait = said.get("retry-after", "").partition(";")[0].strip()
    again = {"Retry-After": wait} if wait.isdigit() else {}
    match over.code:
        case 401 | 407:
            return _challenge("unauthorized", "this takes a link's token: Authorization: Bearer TOKEN")
        case 403:
            return Said(403, "forbidden", "the bridge does not take that call")
        case 404:
            return Said(404, "no-room", reason)
        case 480:
            return Said(429, "too-many", "too many wrong PINs came from there: try again later", again)
        case 408:  # it keeps silent to whom it has had to refuse too often
            again = {"Retry-After": str(THROTTLED)}
            return Said(429, "too-many", "too many calls from there failed: try again in a minute", again)
        case 488 | 606 | 415:
            return Said(406, "not-acceptable", f"this offer can't be answered: {reason}")
        case _:
            return Said(503, "unavailable", "the bridge takes no more calls now: try again in a moment", again)


def _challenge(code: str, sentence: str) -> Said:
    """RFC 6750 §3, RFC 9725 §4.7.1."""
    error = ', error="invalid_token"' if code in ("unreadable", "expired", "other-room") else ""
    return Said(401, code, sentence, {"WWW-Authenticate": f'Bearer realm="visiopont"{error}'})


# --------------------------------------------------------------------------------------------------- HTTP


def serve(app: FastAPI, whip: Whip) -> None:
    router = APIRouter(include_in_schema=False)
    for kind in DIRECTIONS:
        _serve(router, whip, kind)
    app.include_router(router)


def _serve(router: APIRouter, whip: Whip, kind: Kind) -> None:
    endpoint, session = f"/r/{{room}}/{kind}", f"/r/{{room}}/{kind}/{{name}}"

    @router.options(endpoint)
    async def ask(room: str, request: Request) -> Response:
        return Response(None, 204, {**_allowed(request, "POST"), "Accept-Post": SDP})

    @router.post(endpoint)
    async def begin(room: str, request: Request) -> Response:
        with _told_to(request):
            return await _begin(whip, kind, room, request)

    @router.options(session)
    async def ask_more(room: str, name: str, request: Request) -> Response:
        return Response(None, 204, {**_allowed(request, "PATCH, DELETE"), "Accept-Patch": FRAGMENT})

    @router.patch(session)
    async def change(room: str, name: str, request: Request) -> Response:
        with _told_to(request):
            found = whip.find(kind, room, name)
            body = await _body(request, FRAGMENT, "Accept-Patch")
            done = await whip.restart(found, body, request.headers.get("if-match"))
        if done is None:
            return Response(None, 204, _shared(request))
        return Response(done.fragment, 200, {**_shared(request), "ETag": done.etag}, media_type=FRAGMENT)

    @router.delete(session)
    async def end(room: str, name: str, request: Request) -> Response:
        with _told_to(request):
            whip.leave(whip.find(kind, room, name))
        return Response(None, 200, _shared(request))


async def _begin(whip: Whip, kind: Kind, room: str, request: Request) -> Response:
    body = await _body(request, SDP, "Accept-Post")
    try:
        offer = offered(kind, body)
    except Unfit as error:
        code = "bad-offer" if error.status == 400 else "not-acceptable"
        raise Said(error.status, code, str(error)) from None
    token = bearer(request.headers.items()) or request.query_params.get("t", "")
    settings, link = whip.admit(room, token)
    name = request.query_params.get("name", "")[:MAX_NAME] or ("" if link and link.name else _program(kind, request))
    source = request.client.host if request.client else "127.0.0.1"
    session, answered = await whip.open(kind, settings.name, offer, _readable(name), token, source)
    found = whip.find(kind, settings.name, session)
    if whip.door.video and settings.video and refuses_pictures(offer, answered.body):
        whip.leave(found)
        raise Said(406, "not-acceptable", "none of the picture codecs offered is taken here: H.264 and VP8 are usual")
    headers = {
        **_shared(request),
        "Location": f"/r/{quote(settings.name, safe='')}/{kind}/{session}",
        "ETag": answered.etag,
        "Accept-Patch": FRAGMENT,
        "Cache-Control": "no-store",
    }
    response = Response(answered.body, 201, headers, media_type=SDP)
    for link_value in _servers(whip.door.ice_servers(settings.name)):
        response.headers.append("Link", link_value)
    return response


async def _body(request: Request, wanted: str, accept: str) -> bytes:
    """Raises Said."""
    kind = request.headers.get("content-type", "").partition(";")[0].strip().lower()
    if kind != wanted:
        raise Said(415, "media-type", f"send this as {wanted}", {accept: wanted})
    body = await request.body()
    if len(body) > LONGEST:
        raise Said(413, "too-large", f"send at most {LONGEST} octets")
    return body


def _program(kind: Kind, request: Request) -> str:
    """What is shown as name of who gives none."""
    agent = request.headers.get("user-agent", "")
    return next((name for name in PROGRAMS if name.lower() in agent.lower()), kind.upper())


def _readable(name: str) -> str:
    return "".join(character for character in name if character.isprintable()).strip()


def _servers(servers: Iterable[Mapping[str, object]]) -> Iterator[str]:
    """Link header fields (RFC 9725 §4.6) of RTCIceServer dictionaries."""
    for server in servers:
        urls = server["urls"]
        secret = ""
        if "credential" in server:
            secret = (
                f'; username="{server["username"]}"; credential="{server["credential"]}"; credential-type="password"'
            )
        for url in [urls] if isinstance(urls, str) else cast("list[str]", urls):
            yield f'<{url}>; rel="ice-server"{secret}'


@contextlib.contextmanager
def _told_to(request: Request) -> Iterator[None]:
    """Refusals, too, are for pages of other origins to read."""
    try:
        yield
    except Said as error:
        error.headers = {**_shared(request), **error.headers}
        raise


def _shared(request: Request) -> dict[str, str]:
    """For a page of another origin, which the guard has let in (CORS, https://fetch.spec.whatwg.org)."""
    origin = request.headers.get("origin")
    if origin is None:
        return {}
    return {"Access-Control-Allow-Origin": origin, "Access-Control-Expose-Headers": SHOWN, "Vary": "Origin"}


def _allowed(request: Request, methods: str) -> dict[str, str]:
    """A preflight's answer."""
    headers = _shared(request)
    if headers:
        headers["Access-Control-Allow-Methods"] = methods
        headers["Access-Control-Allow-Headers"] = "Authorization, Content-Type, If-Match"
        headers["Access-Control-Max-Age"] = "3600"
    return {**headers, "Allow": f"{methods}, OPTIONS"}
