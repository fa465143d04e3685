"""WHIP and WHEP over HTTP: status codes, header fields, problems in both languages. The real focus, no socket."""

from __future__ import annotations

import ast
import asyncio
import time
from collections.abc import AsyncIterator, Awaitable, Callable
from contextlib import asynccontextmanager
from pathlib import Path
from typing import Any

import httpx
import pytest
from fastapi import FastAPI

from bridge.conference.settings import RoomSettings
from bridge.io import Driver
from bridge.signalling import event as sip
from gateways.webrtc import turn
from gateways.whip import agent as agent_module
from server import french, page, whip
from server.http import Access, Guard
from server.link import Links
from server.page import Door
from server.whip import LONGEST, Whip
from tests.conference.test_transports import bridge
from tests.gateways.whip.offers import LIBDATACHANNEL, offer

SDP = {"Content-Type": "application/sdp"}
FRAGMENT = {"Content-Type": "application/trickle-ice-sdpfrag"}
SAME = b"a=ice-ufrag:Mzfi\r\na=ice-pwd:LSCDruYzdzIZI7X9FaS8EE\r\nm=audio 9 RTP/AVP 0\r\na=mid:0\r\n"
OTHER = SAME.replace(b"Mzfi", b"Nzfi")
ORIGIN = "https://studio.example"
LINKS = Links(bytes(32))
BOARD = RoomSettings(name="board", host_pin="2468", guest_pin="1357")
PUBLISH, PLAY = offer("aiortc", "sendonly"), offer("aiortc", "recvonly")
TOKEN, _ = LINKS.make("board", "guest", 1.0, "Zoé")


class World:
    """One bridge, its HTTP part, and a client."""

    def __init__(self, **settings: Any) -> None:
        settings.setdefault("links", LINKS)
        self.house, self.desk = bridge(**settings)
        self.house.focus.add_room(BOARD)
        self.driver: Driver[sip.Event] = Driver(self.house.bridge, self._deliver)

    def _deliver(self, event: sip.Event) -> None:
        self.house.focus.signalled(event, time.monotonic())

    @property
    def focus(self) -> Any:
        return self.house.focus

    def do(self, command: Callable[[float], Any]) -> Any:
        done = command(time.monotonic())
        self.driver.drain()
        return done

    async def until(self, done: Callable[[], bool]) -> None:
        async with asyncio.timeout(5):
            while not done():  # noqa: ASYNC110 turns of the loop, no time
                await asyncio.sleep(0)

    @asynccontextmanager
    async def open(self) -> AsyncIterator[httpx.AsyncClient]:
        focus = self.focus
        servers = lambda room: turn.ice_servers(["stun:a.example", "turn:b.example"], "secret", room, 0.0)  # noqa: E731
        door = Door(focus.attendance.settings, LINKS, focus.tries, lambda host: host, servers)
        app = FastAPI()
        self.whip = Whip(
            self.driver, door, domain="localhost", refuse=lambda room, role: whip.turned_away(focus, room, role)
        )
        page.serve(app, door)
        whip.serve(app, self.whip)
        guarded = Guard(app, Access(origins=frozenset({ORIGIN})))
        transport = httpx.ASGITransport(app=guarded, client=("198.51.100.9", 4711))
        try:
            async with httpx.AsyncClient(transport=transport, base_url="http://127.0.0.1") as client:
                yield client
        finally:
            await self.whip.close()
            await self.driver.close()


def during(act: Callable[[World, httpx.AsyncClient], Awaitable[Any]], **settings: Any) -> Any:
    async def run() -> Any:
        world = World(**settings)
        async with world.open() as client:
            return await act(world, client)

    return asyncio.run(run())


def post(path: str, content: bytes = PUBLISH, headers: dict[str, str] | None = None, **settings: Any) -> httpx.Response:
    async def act(_: World, client: httpx.AsyncClient) -> httpx.Response:
        return await client.post(path, content=content, headers=SDP | (headers or {}))

    answer: httpx.Response = during(act, **settings)
    return answer


def code(answer: httpx.Response) -> str:
    return str(answer.json()["detail"]["code"])


def message(answer: httpx.Response) -> str:
    return str(answer.json()["detail"]["message"])


# ------------------------------------------------------------------------------------------------ beginning


@pytest.mark.parametrize(("kind", "content", "way"), [("whip", PUBLISH, b"recvonly"), ("whep", PLAY, b"sendonly")])
def test_a_session_begins(kind: str, content: bytes, way: bytes) -> None:
    answer = post(f"/r/demo/{kind}", content)
    assert answer.status_code == 201
    assert answer.headers["content-type"] == "application/sdp"
    assert answer.headers["etag"] == '"ice-1"'
    assert answer.headers["accept-patch"] == "application/trickle-ice-sdpfrag"
    assert answer.headers["location"].startswith(f"/r/demo/{kind}/")
    assert len(answer.headers["location"].rpartition("/")[2]) >= 32
    assert answer.content.count(b"a=" + way) == 2
    assert b"a=ice-lite" in answer.content
    links = answer.headers.get_list("link")
    assert links[0] == '<stun:a.example>; rel="ice-server"'
    assert links[1].startswith('<turn:b.example>; rel="ice-server"; username="')


def test_what_obs_offers_is_taken() -> None:
    answer = post("/r/demo/whip", LIBDATACHANNEL)
    assert answer.status_code == 201
    assert b"a=rtpmap:111 opus/48000/2\r\n" in answer.content
    assert b"a=rtpmap:96 H264/90000\r\n" in answer.content
    assert answer.content.count(b"a=recvonly") == 2
    assert b"m=video 0 " not in answer.content


def test_sessions_addresses_are_never_the_same() -> None:
    async def act(_: World, client: httpx.AsyncClient) -> list[str]:
        answers = [await client.post("/r/demo/whip", content=PUBLISH, headers=SDP) for _ in range(3)]
        return [answer.headers["location"] for answer in answers]

    assert len(set(during(act))) == 3


@pytest.mark.parametrize(
    ("headers", "name"),
    [
        ({}, "WHIP"),
        ({"User-Agent": "Mozilla/5.0 (OBS-Studio/30.2.3; Linux x86_64)"}, "OBS"),
    ],
)
def test_who_gives_no_name_is_shown_as_what_it_is(headers: dict[str, str], name: str) -> None:
    async def act(world: World, client: httpx.AsyncClient) -> str:
        await client.post("/r/demo/whip", content=PUBLISH, headers=SDP | headers)
        (party,) = world.focus._parties
        return str(party.name)

    assert during(act) == name


@pytest.mark.parametrize(
    ("path", "headers", "name"),
    [
        (f"/r/board/whip?t={TOKEN}", {}, "Zoé"),
        ("/r/board/whip?name=Régie%0A", {"Authorization": f"Bearer {TOKEN}"}, "Régie"),
    ],
)
def test_a_link_opens_a_room_with_a_pin(path: str, headers: dict[str, str], name: str) -> None:
    async def act(world: World, client: httpx.AsyncClient) -> tuple[int, str, bool]:
        answer = await client.post(path, content=PUBLISH, headers=SDP | headers)
        (party,) = world.focus._parties
        return answer.status_code, str(party.name), party.vouched

    assert during(act) == (201, name, True)


# ----------------------------------------------------------------------------------------------- refusals


@pytest.mark.parametrize(
    ("path", "content", "headers", "status", "said"),
    [
        ("/r/demo/whip", PUBLISH, {"Content-Type": "text/plain"}, 415, "media-type"),
        ("/r/demo/whip", b"x" * (LONGEST + 1), {}, 413, "too-large"),
        ("/r/demo/whip", b"v=0\r\n", {}, 400, "bad-offer"),
        ("/r/demo/whip", PLAY, {}, 400, "bad-offer"),
        ("/r/demo/whep", PUBLISH, {}, 400, "bad-offer"),
        ("/r/demo/whip", PUBLISH.replace(b"m=audio", b"m=text"), {}, 406, "not-acceptable"),
        ("/r/demo/whip", PUBLISH.replace(b"fingerprint:", b"fingerprint:x"), {}, 406, "not-acceptable"),
        ("/r/board/whip", PUBLISH, {}, 401, "pin"),
        ("/r/board/whip", PUBLISH, {"Authorization": "Bearer x.y"}, 401, "unreadable"),
        ("/r/demo/whip", PUBLISH, {"Authorization": f"Bearer {TOKEN}"}, 401, "other-room"),
    ],
)
def test_what_cannot_be_is_refused_in_words(
    path: str, content: bytes, headers: dict[str, str], status: int, said: str
) -> None:
    answers = [post(path, content, {"Accept-Language": spoken, **headers}) for spoken in ("en", "fr-CA")]
    assert [answer.status_code for answer in answers] == [status, status]
    assert [code(answer) for answer in answers] == [said, said]
    assert message(answers[0]) != message(answers[1])
    if status == 401:
        assert answers[0].headers["www-authenticate"].startswith("Bearer ")


def test_rooms_that_are_not_there_are_none() -> None:
    answer = post("/r/nowhere/whip", ad_hoc=False)
    assert (answer.status_code, code(answer)) == (404, "no-room")


def test_a_refusal_may_quote_bytes_that_are_no_text() -> None:
    answer = post("/r/demo/whip", PUBLISH.replace(b"setup:actpass", b"setup:\xbd\xff"))
    assert (answer.status_code, code(answer)) == (406, "not-acceptable")
    assert "setup:" in message(answer)


def test_pictures_of_which_none_is_taken_are_refused() -> None:
    strange = PUBLISH.replace(b"VP8/90000", b"VX8/90000").replace(b"H264/90000", b"X264/90000")

    async def act(world: World, client: httpx.AsyncClient) -> tuple[httpx.Response, int]:
        answer = await client.post("/r/demo/whip", content=strange, headers=SDP)
        await world.until(lambda: not world.focus.calls)
        return answer, len(world.whip)

    answer, left = during(act)
    assert (answer.status_code, left) == (406, 0)
    assert "H.264" in message(answer)


def test_a_room_without_pictures_takes_the_voice() -> None:
    async def act(world: World, client: httpx.AsyncClient) -> httpx.Response:
        world.focus.add_room(RoomSettings(name="voices", video=False))
        return await client.post("/r/voices/whip", content=PUBLISH, headers=SDP)

    answer = during(act)
    assert answer.status_code == 201
    assert b"m=video 0 " in answer.content


@pytest.mark.parametrize(("locked", "status", "said"), [(True, 403, "locked"), (False, 503, "full")])
def test_a_room_that_is_locked_or_full_says_so(locked: bool, status: int, said: str) -> None:
    async def act(world: World, client: httpx.AsyncClient) -> httpx.Response:
        world.focus.add_room(RoomSettings(name="small", capacity=2))
        world.focus.simulate("small", [("A", ()), ("B", ())][: 1 if locked else 2], time.monotonic())
        if locked:
            world.do(lambda now: world.focus.tell("small", lambda room: room.lock(by=None, now=now), now))
        return await client.post("/r/small/whip", content=PUBLISH, headers=SDP)

    answer = during(act)
    assert (answer.status_code, code(answer)) == (status, said)


def test_a_bridge_that_stops_takes_nothing_new() -> None:
    async def act(world: World, client: httpx.AsyncClient) -> httpx.Response:
        world.do(world.focus.drain)
        return await client.post("/r/demo/whip", content=PUBLISH, headers=SDP)

    answer = during(act)
    assert answer.status_code == 503
    assert int(answer.headers["retry-after"]) >= 10


def test_sessions_are_bounded(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(whip, "SESSIONS_A_SITE", 2)

    async def act(_: World, client: httpx.AsyncClient) -> list[int]:
        return [(await client.post("/r/demo/whip", content=PUBLISH, headers=SDP)).status_code for _ in range(3)]

    assert during(act) == [201, 201, 503]


def test_to_whom_the_bridge_is_silent_it_is_said_why(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(agent_module, "ANSWER", 0.05)

    async def act(world: World, client: httpx.AsyncClient) -> httpx.Response:
        world.house.bridge._stack.layer._silent = lambda flow, now: True
        world.house.bridge._stack.throttle.spent = lambda source, now: True  # type: ignore[method-assign]
        return await client.post("/r/demo/whip", content=PUBLISH, headers=SDP)

    answer = during(act)
    assert (answer.status_code, answer.headers["retry-after"]) == (429, "60")


# -------------------------------------------------------------------------------------------- in a session


async def begun(client: httpx.AsyncClient, kind: str = "whip") -> str:
    answer = await client.post(f"/r/demo/{kind}", content=PUBLISH if kind == "whip" else PLAY, headers=SDP)
    return str(answer.headers["location"])


def test_delete_ends_it_once() -> None:
    async def act(world: World, client: httpx.AsyncClient) -> list[int]:
        where = await begun(client)
        first = await client.delete(where, headers={"If-Match": '"whatever"'})
        second = await client.delete(where)
        await world.until(lambda: not world.focus.calls)
        assert not len(world.whip)
        assert not world.desk.open_now
        return [first.status_code, second.status_code]

    assert during(act) == [200, 404]


def test_when_the_bridge_ends_it_its_address_is_gone() -> None:
    async def act(world: World, client: httpx.AsyncClient) -> int:
        where = await begun(client)
        (leg,) = world.focus._calls.by_call.values()
        world.do(lambda now: world.focus._calls.hangup(leg, now, "removed"))
        await world.until(lambda: not len(world.whip))
        return (await client.delete(where)).status_code

    assert during(act) == 404


@pytest.mark.parametrize("other", ["/r/demo/whep/{}", "/r/board/whip/{}", "/r/demo/whip/{}x"])
def test_an_address_that_is_not_quite_it_is_none(other: str) -> None:
    async def act(_: World, client: httpx.AsyncClient) -> int:
        name = (await begun(client)).rpartition("/")[2]
        return (await client.delete(other.format(name))).status_code

    assert during(act) == 404


@pytest.mark.parametrize(
    ("content", "headers", "status"),
    [
        (SAME, {"If-Match": '"ice-1"'}, 204),
        (SAME, {}, 428),
        (SAME, {"If-Match": '"ice-0"'}, 412),
        (SAME, {"If-Match": '"ice-1"', "Content-Type": "application/sdp"}, 415),
        (b"nonsense", {"If-Match": '"ice-1"'}, 400),
        (OTHER, {"If-Match": "*"}, 200),
        (OTHER, {"If-Match": '"*"'}, 200),
        (OTHER, {"If-Match": '"ice-1"'}, 200),
        (OTHER, {}, 428),
    ],
)
def test_patch(content: bytes, headers: dict[str, str], status: int) -> None:
    async def act(_: World, client: httpx.AsyncClient) -> tuple[httpx.Response, httpx.Response]:
        where = await begun(client)
        answer = await client.patch(where, content=content, headers=FRAGMENT | headers)
        return answer, await client.patch(where, content=SAME, headers=FRAGMENT | {"If-Match": '"ice-1"'})

    answer, after = during(act)
    assert answer.status_code == status
    if status == 200:
        assert answer.headers["etag"] == '"ice-2"'
        assert answer.headers["content-type"] == "application/trickle-ice-sdpfrag"
        assert answer.content.startswith(b"a=ice-lite\r\na=ice-ufrag:")
        assert after.status_code == 412
    else:
        assert "etag" not in answer.headers
        assert after.status_code == 204


@pytest.mark.parametrize("method", ["GET", "PUT"])
@pytest.mark.parametrize("path", ["/r/demo/whip", "/r/demo/whip/name"])
def test_other_methods_are_none(method: str, path: str) -> None:
    answer = during(lambda world, client: client.request(method, path))
    assert answer.status_code == 405


def test_pages_of_origins_that_are_named_may_use_it() -> None:
    async def act(_: World, client: httpx.AsyncClient) -> list[httpx.Response]:
        mine = {"Origin": ORIGIN}
        where = await begun(client)
        return [
            await client.options("/r/demo/whip", headers=mine | {"Access-Control-Request-Method": "POST"}),
            await client.options(where, headers=mine | {"Access-Control-Request-Method": "PATCH"}),
            await client.post("/r/demo/whip", content=PUBLISH, headers=SDP | mine),
            await client.post("/r/board/whip", content=PUBLISH, headers=SDP | mine),
            await client.delete(where, headers=mine),
            await client.post("/r/demo/whip", content=PUBLISH, headers=SDP | {"Origin": "https://elsewhere.example"}),
        ]

    *allowed, refused = during(act)
    assert [answer.status_code for answer in allowed] == [204, 204, 201, 401, 200]
    assert {answer.headers["access-control-allow-origin"] for answer in allowed} == {ORIGIN}
    assert allowed[0].headers["access-control-allow-methods"] == "POST"
    assert "If-Match" in allowed[1].headers["access-control-allow-headers"]
    assert allowed[0].headers["accept-post"] == "application/sdp"
    assert "Location" in allowed[2].headers["access-control-expose-headers"]
    assert refused.status_code == 403
    assert "access-control-allow-origin" not in refused.headers


# -------------------------------------------------------------------------------------------------- words


def test_every_sentence_has_its_french() -> None:
    root = Path(__file__).resolve().parents[3]
    said = set()
    for path in (root / "server" / "whip.py", root / "gateways" / "whip" / "description.py"):
        for node in ast.walk(ast.parse(path.read_text())):
            if isinstance(node, ast.Call) and getattr(node.func, "id", "") in ("Said", "Unfit", "_challenge"):
                said |= {
                    each.value
                    for each in node.args
                    if isinstance(each, ast.Constant) and isinstance(each.value, str) and " " in each.value
                }
    assert len(said) > 10
    assert said - french.FRENCH.keys() == set()
