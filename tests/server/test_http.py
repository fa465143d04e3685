"""The HTTP server's own part: connections that keep others waiting."""

from __future__ import annotations

import asyncio
from typing import Any

import pytest

from server import http
from server.http import Http

SOON = 5.0


async def slow(scope: Any, receive: Any, send: Any) -> None:
    """Takes twice as long to answer as a request may take to come."""
    while (await receive()).get("more_body"):
        pass
    await asyncio.sleep(2 * http.WHOLE)
    await send({"type": "http.response.start", "status": 200, "headers": [(b"content-length", b"2")]})
    await send({"type": "http.response.body", "body": b"ok"})


@pytest.mark.parametrize(
    "beginning",
    [
        b"",
        b"GET / HT",
        b"GET / HTTP/1.1\r\nHost: 127.0.0.1\r\n",
        b"POST / HTTP/1.1\r\nHost: 127.0.0.1\r\nContent-Length: 9\r\n\r\nbody",
    ],
)
@pytest.mark.parametrize("served_before", [False, True])
def test_a_request_that_does_not_come_whole_is_given_up(
    monkeypatch: pytest.MonkeyPatch, beginning: bytes, served_before: bool
) -> None:
    monkeypatch.setattr(http, "WHOLE", 0.05)
    asyncio.run(_given_up(beginning, served_before=served_before))


async def _given_up(beginning: bytes, *, served_before: bool) -> None:
    server = Http(slow, "127.0.0.1", 0)
    address = server.open()
    server.start()
    try:
        reader, writer = await asyncio.open_connection(*address)
        async with asyncio.timeout(SOON):
            if served_before:
                writer.write(b"GET / HTTP/1.1\r\nHost: 127.0.0.1\r\n\r\n")
                assert (await reader.readuntil(b"ok")).startswith(b"HTTP/1.1 200")
            writer.write(beginning)
            assert await reader.read() == b""
        writer.close()
        await writer.wait_closed()
    finally:
        await server.stop()
