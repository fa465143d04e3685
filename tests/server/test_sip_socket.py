"""SIP over WebSocket on real sockets: calls, keys, limits, and clients that mean no good."""

from __future__ import annotations

import asyncio
import contextlib
import socket
import ssl
from collections.abc import Awaitable, Callable
from typing import Any

import pytest
import websockets
from websockets.exceptions import ConnectionClosed, InvalidStatus

import bridge.io
from bridge.signalling.message import MAX_SIZE
from server import http, sip_socket
from server.http import Access
from tests.server.browsers import SOON, Caller, Site, site
from tests.signalling.test_io import contexts

__all__ = ["contexts"]

Act = Callable[[Site], Awaitable[Any]]


def during(act: Act, *rooms: Any, **kw: Any) -> Any:
    async def run() -> Any:
        async with site(*rooms, **kw) as found:
            return await act(found)

    return asyncio.run(run())


async def until(true: Callable[[], bool]) -> None:
    async with asyncio.timeout(SOON):
        while not true():  # noqa: ASYNC110  what is waited for has no event of its own
            await asyncio.sleep(0.005)


async def ended(client: Any) -> tuple[int, str]:
    """How the server closed it."""
    with contextlib.suppress(ConnectionClosed):
        async with asyncio.timeout(SOON):
            while True:
                await client.recv()
    return client.close_code, client.close_reason


@pytest.mark.parametrize("secure", [False, True])
def test_a_call_and_our_bye_by_its_connection(secure: bool, contexts: tuple[ssl.SSLContext, ssl.SSLContext]) -> None:
    async def act(found: Site) -> None:
        async with found.sip() as client:
            caller = Caller(client, transport="WSS" if secure else "WS")
            assert (await caller.invite()).status == 200
            (status,) = found.control.focus.rooms()
            (person,) = status.snapshot.participants
            assert (person.kind, person.name) == ("web", "Anna")
            found.control.run(lambda now: found.driver.core.hangup(1, now))  # type: ignore[attr-defined]
            bye = await caller.request("BYE")
            assert bye.headers["Via"].startswith("SIP/2.0/WSS " if secure else "SIP/2.0/WS ")

    during(act, tls=contexts if secure else None)


def test_binary_frames_do_as_well() -> None:
    async def act(found: Site) -> None:
        async with found.sip() as client:
            caller = Caller(client)
            send = client.send
            client.send = lambda data: send(data.encode())  # type: ignore[method-assign, union-attr, assignment]
            await caller.send("OPTIONS")
            assert (await caller.final()).status == 200
            await send(b"\r\n\r\n")
            assert await client.recv() == "\r\n"

    during(act)


def test_a_call_goes_on_by_another_connection() -> None:
    async def act(found: Site) -> None:
        async with found.sip() as client:
            caller = Caller(client)
            await caller.invite()
            client.transport.abort()
        await until(lambda: not found.driver._connections)
        assert found.control.focus.calls == 1
        async with found.sip() as client:
            caller.socket = client
            assert (await caller.invite()).status == 200
            assert found.control.focus.calls == 1
            await caller.send("BYE")
            assert (await caller.final()).status == 200
        assert found.control.focus.calls == 0

    during(act)


def test_behind_a_proxy_every_browser_has_a_connection_of_its_own() -> None:
    async def act(found: Site) -> None:
        headers = {"X-Forwarded-For": "203.0.113.9", "X-Forwarded-Proto": "https"}
        async with found.sip(additional_headers=headers) as one, found.sip(additional_headers=headers) as two:
            for number, client in enumerate((one, two)):
                caller = Caller(client, f"call-{number}", "WSS")
                await caller.send("OPTIONS")
                answer = await caller.final()
                assert answer.call_id == f"call-{number}"
                assert answer.headers["Via"].endswith(";received=203.0.113.9")
            flows = [connection.flow for connection in found.driver._connections.values()]
            assert {(flow.transport, flow.remote[0]) for flow in flows} == {("WSS", "203.0.113.9")}
            assert len({flow.connection for flow in flows}) == 2
            assert found.driver._hosts == {"203.0.113.9": 2}

    during(act)


def test_the_subprotocol_is_needed() -> None:
    async def act(found: Site) -> None:
        for protocols in (None, ["msrp"]):
            with pytest.raises(InvalidStatus) as error:
                async with found.sip(subprotocols=protocols):
                    pass
            assert error.value.response.status_code == 400
            assert b"subprotocol sip" in error.value.response.body

    during(act)


@pytest.mark.parametrize(
    ("origin", "status"),
    [
        (None, 101),
        ("http://127.0.0.1:{port}", 101),
        ("https://meet.example.org", 101),
        ("https://intranet.example.org", 101),
        ("https://evil.example", 403),
        ("http://intranet.example.org", 403),
        ("null", 403),
    ],
)
def test_pages_of_others_may_not_call(origin: str | None, status: int) -> None:
    async def act(found: Site) -> int:
        text = origin.format(port=found.address[1]) if origin else None
        try:
            async with found.sip(origin=text) as client:
                return client.response.status_code  # type: ignore[union-attr]
        except InvalidStatus as error:
            return error.response.status_code

    allowed = Access(local=True, public="meet.example.org", origins=frozenset({"https://intranet.example.org"}))
    assert during(act, access=allowed) == status


def test_names_that_were_made_to_point_here_are_refused() -> None:
    async def act(found: Site) -> None:
        uri, port = f"ws://evil.example:{found.address[1]}/sip", found.address[1]
        with pytest.raises(InvalidStatus) as error:
            async with websockets.connect(uri, host="127.0.0.1", port=port, subprotocols=["sip"], proxy=None):
                pass
        assert error.value.response.status_code == 421

    during(act)


def test_one_sends_no_more_than_a_message_may_be() -> None:
    async def act(found: Site) -> None:
        async with found.sip() as client:
            await client.send("x" * (MAX_SIZE + 1))
            assert (await ended(client))[0] == 1009

    during(act)


@pytest.mark.parametrize("garbage", ["GET / HTTP/1.1\r\n\r\n", b"\xff\x00" * 20, "{}"])
def test_what_is_no_sip_closes_the_connection(garbage: str | bytes) -> None:
    async def act(found: Site) -> None:
        async with found.sip() as client:
            await client.send(garbage)
            assert (await ended(client))[0] == 1000
        await until(lambda: not found.driver._connections)

    during(act)


def test_a_flood_of_messages_is_cut_and_hurts_nobody_else(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(sip_socket, "BURST", 20.0)

    async def act(found: Site) -> None:
        async with found.sip() as good, found.sip() as bad:
            caller = Caller(good)
            await caller.invite()
            flood = Caller(bad, "flood")
            with contextlib.suppress(ConnectionClosed):
                for _ in range(400):
                    await flood.send("OPTIONS")
            assert await ended(bad) == (1008, "too many messages")
            await caller.send("BYE")
            assert (await caller.final()).status == 200

    during(act)


def test_who_reads_nothing_is_cut(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(sip_socket, "WRITE_LIMIT", 20_000)
    monkeypatch.setattr(sip_socket, "BURST", 10_000.0)

    async def act(found: Site) -> None:
        async with found.sip() as client:
            caller = Caller(client)
            client.transport.pause_reading()
            sock = client.transport.get_extra_info("socket")
            sock.setsockopt(socket.SOL_SOCKET, socket.SO_RCVBUF, 4096)
            with contextlib.suppress(ConnectionClosed, OSError):
                for _ in range(2_000):
                    await caller.send("OPTIONS", f"Via: SIP/2.0/UDP x;pad={'x' * 8000}")
                    if not found.driver._connections:
                        break
            await until(lambda: not found.driver._connections)
            client.transport.abort()

    during(act)


def test_pings_that_nobody_reads_the_answers_of_cost_a_bounded_amount(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(http, "UNREAD", 50_000)

    async def act(found: Site) -> None:
        async with found.sip() as client:
            client.transport.pause_reading()
            ping = b"\x89\xfd" + bytes(4) + b"x" * 125
            for _ in range(2000):
                client.transport.write(ping * 100)
                await asyncio.sleep(0)
                if client.transport.is_closing() or not found.driver._connections:
                    break
            await until(lambda: not found.driver._connections)
            client.transport.abort()

    during(act)


def test_a_message_in_countless_empty_frames_is_no_message() -> None:
    async def act(found: Site) -> None:
        async with found.sip() as client:
            client.transport.write(b"\x01\x81" + bytes(4) + b"x" + (b"\x00\x80" + bytes(4)) * 1000)
            await until(lambda: not found.driver._connections)
            client.transport.abort()

    during(act)


def test_connections_are_bounded(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(bridge.io, "CONNECTIONS_A_HOST", 3)

    async def act(found: Site) -> None:
        async with contextlib.AsyncExitStack() as stack:
            clients = [await stack.enter_async_context(found.sip()) for _ in range(4)]
            code, reason = await ended(clients[3])
            assert code == 1013
            assert "too many connections" in reason
            caller = Caller(clients[0])
            await caller.send("OPTIONS")
            assert (await caller.final()).status == 200
        await until(lambda: not found.driver._connections)
        assert not found.driver._hosts

    during(act)


def test_websockets_of_all_kinds_are_bounded(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(http, "SOCKETS_A_SITE", 2)

    async def act(found: Site) -> None:
        async with found.sip(), found.room():
            with pytest.raises(InvalidStatus) as error:
                async with found.sip():
                    pass
            assert error.value.response.status_code == 503
        async with found.sip() as client:
            await Caller(client).send("OPTIONS")

    during(act)


def test_ten_thousand_connections_that_come_and_go_leave_nothing() -> None:
    async def act(found: Site) -> None:
        for _ in range(100):
            async with found.sip() as client:
                client.transport.abort()
        await until(lambda: not found.driver._connections)
        assert not found.driver._hosts
        assert not found.driver.core._stack.layer._framers  # type: ignore[attr-defined]

    during(act)


def test_when_the_server_stops_sockets_are_told() -> None:
    async def run() -> None:
        async with contextlib.AsyncExitStack() as serving:
            found = await serving.enter_async_context(site())
            async with found.sip() as client:
                await serving.aclose()
                assert (await ended(client))[0] == 1012

    asyncio.run(run())
