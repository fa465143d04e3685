"""The socket beside a call on real sockets: bound to its call, in the person's language, bounded."""

from __future__ import annotations

import asyncio
import contextlib
import json
import time
from typing import Any

import pytest
from websockets.asyncio.client import ClientConnection
from websockets.exceptions import ConnectionClosed, InvalidStatus

from bridge.conference import live as live_core
from bridge.conference.settings import RoomSettings
from server import live
from tests.server.browsers import SOON, Caller, Site
from tests.server.test_sip_socket import during, ended, until


async def hear(client: ClientConnection, kind: str) -> dict[str, Any]:
    async with asyncio.timeout(SOON):
        while True:
            message: dict[str, Any] = json.loads(await client.recv())
            if message["type"] == kind:
                return message


async def say(client: ClientConnection, **message: Any) -> None:
    await client.send(json.dumps(message))


def test_what_one_writes_the_others_read() -> None:
    async def act(found: Site) -> None:
        async with found.sip() as one, found.sip() as two, found.room() as anna, found.room() as bela:
            await Caller(one, "call-1").invite()
            await Caller(two, "call-2").invite()
            await say(anna, type="hello", call="call-1", token=None, language="fr")
            await say(bela, type="hello", call="call-2", token=None, language="en")
            me = (await hear(anna, "welcome"))["you"]
            await hear(bela, "welcome")
            await say(anna, type="chat", text="Bonjour")
            written = await hear(bela, "chat")
            assert (written["from"], written["name"], written["text"]) == (me, "Anna", "Bonjour")
            assert abs(time.time() - time.mktime(time.strptime(written["at"][:19], "%Y-%m-%dT%H:%M:%S"))) < 86_400
            await say(bela, type="hand", up=True)
            async with asyncio.timeout(SOON):
                while not any(person["hand"] == 1 for person in (await hear(anna, "roster"))["participants"]):
                    pass
            await say(anna, type="lock", locked=True)
            assert (await hear(anna, "refused"))["message"].startswith("Seuls les hôtes peuvent")
            await say(bela, type="lock", locked=True)
            assert (await hear(bela, "refused"))["message"].startswith("Only hosts may do that")
            assert "levels" in await hear(anna, "levels")

    during(act)


def test_a_host_by_link_governs() -> None:
    async def act(found: Site) -> None:
        token, _ = found.links.make("demo", "host", 1)
        async with found.sip() as one, found.sip() as two, found.room() as host, found.room() as guest:
            answer = await Caller(one, "call-1").invite(f"Authorization: Bearer {token}")
            assert answer.status == 200
            await say(host, type="hello", call="call-1", token=token, language="en")
            assert (await hear(host, "welcome"))["role"] == "host"
            await Caller(two, "call-2").invite()
            await say(guest, type="hello", call="call-2", language="en")
            assert (await hear(guest, "state"))["place"] == "lobby"
            waiting: list[int] = []
            while not waiting:
                people = (await hear(host, "roster"))["participants"]
                waiting = [person["id"] for person in people if person["waiting"]]
            await say(host, type="admit", id=waiting[0])
            assert (await hear(guest, "state"))["place"] == "room"

    during(act, RoomSettings(name="demo", lobby="until-admitted"))


def test_an_expired_link_is_refused_and_says_so() -> None:
    async def act(found: Site) -> None:
        token, _ = found.links.make("demo", "host", 1e-9)
        async with found.sip() as client:
            answer = await Caller(client).invite(f"Authorization: Bearer {token}")
            assert (answer.status, answer.reason) == (401, "this link has expired: ask for a new one")
            assert "invalid_token" in answer.headers["WWW-Authenticate"]

    during(act)


def test_the_room_is_told_when_the_call_ends() -> None:
    async def act(found: Site) -> None:
        async with found.sip() as client, found.room() as page:
            caller = Caller(client)
            await caller.invite()
            await say(page, type="hello", call=caller.call_id)
            await hear(page, "state")
            await caller.send("BYE")
            assert (await hear(page, "state"))["place"] == "ended"
            assert await ended(page) == (1000, "the call is over")
        await until(lambda: not len(found.live))

    during(act)


def test_who_has_no_call_is_closed(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(live_core, "HELLO", 0.1)

    async def act(found: Site) -> None:
        async with found.room() as silent, found.room() as guessing:
            await say(guessing, type="hello", call="guessed")
            for client in (silent, guessing):
                assert await ended(client) == (1008, "no call of yours is here")

    during(act)


def test_the_subprotocol_is_needed() -> None:
    async def act(found: Site) -> None:
        with pytest.raises(InvalidStatus) as error:
            async with found.room(subprotocols=["visiopont.room.9"]):
                pass
        assert error.value.response.status_code == 400

    during(act)


@pytest.mark.parametrize("message", ["x" * 9000, "é" * 5000, b"x" * 9000])
def test_a_message_that_is_too_long_closes(message: str | bytes) -> None:
    async def act(found: Site) -> None:
        async with found.room() as client:
            await client.send(message)
            assert (await ended(client))[0] == 1009

    during(act)


@pytest.mark.parametrize("message", ["", "[]", "{", '{"type":"x"}', b"\xff", "\x00", '{"type":"hello"}', "9" * 5000])
def test_what_is_not_understood_is_answered(message: str | bytes) -> None:
    async def act(found: Site) -> None:
        async with found.room() as client:
            await client.send(message)
            assert (await hear(client, "refused"))["code"] == "not-understood"

    during(act)


def test_a_flood_closes_its_own_socket_alone() -> None:
    async def act(found: Site) -> None:
        async with found.sip() as one, found.room() as good, found.room() as bad:
            await Caller(one, "call-1").invite()
            await say(good, type="hello", call="call-1")
            await hear(good, "welcome")
            with contextlib.suppress(ConnectionClosed):
                for _ in range(2000):
                    await bad.send('{"type":"hand","up":true}')
            assert await ended(bad) == (1008, "too many messages")
            await say(good, type="mute", muted=True)
            await hear(good, "roster")

    during(act)


def test_a_page_that_reads_nothing_is_cut(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(live, "UNREAD", 20_000)
    monkeypatch.setattr(live_core, "RATE", 1e6)
    monkeypatch.setattr(live_core, "BURST", 1e6)

    async def act(found: Site) -> None:
        async with found.sip() as one, found.room() as page:
            await Caller(one, "call-1").invite()
            await say(page, type="hello", call="call-1")
            await hear(page, "welcome")
            page.transport.pause_reading()
            with contextlib.suppress(ConnectionClosed, OSError):
                for _ in range(200_000):
                    await page.send('{"type":"nothing that is known"}')
                    if not len(found.live):
                        break
            await until(lambda: not len(found.live))
            page.transport.abort()

    during(act)
