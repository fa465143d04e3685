"""Control's side of the TCP relay, with the real process."""

from __future__ import annotations

import asyncio
import os
import signal
import socket
import time
from collections.abc import AsyncIterator, Awaitable, Callable
from contextlib import asynccontextmanager

import pytest
from prometheus_client import CollectorRegistry, generate_latest

from gateways.webrtc.tcp import frame
from server import tcp_relay
from server.bundle import BundlePorts
from server.tcp_relay import TcpRelay
from tests.gateways.webrtc.test_tcp import CHECK, SUCCESS

pytestmark = pytest.mark.timeout(60)


class Site:
    def __init__(self) -> None:
        self.worker = socket.socket(socket.AF_INET, socket.SOCK_DGRAM)
        self.worker.setblocking(False)
        self.worker.bind(("127.0.0.1", 0))
        self.relay = TcpRelay("127.0.0.1", [0], [self.worker.getsockname()])
        self.relay.arm()

    async def check(self) -> asyncio.StreamWriter:
        """One connects, and is answered by the worker."""
        loop = asyncio.get_running_loop()
        reader, writer = await asyncio.open_connection("127.0.0.1", self.relay.ports[0])
        writer.write(frame(CHECK))
        async with asyncio.timeout(10):
            data, source = await loop.sock_recvfrom(self.worker, 4096)
            assert data == CHECK
            await loop.sock_sendto(self.worker, SUCCESS, source)
            assert await reader.readexactly(len(SUCCESS) + 2) == frame(SUCCESS)
        return writer

    async def until(self, condition: Callable[[], object], seconds: float = 10.0) -> None:
        end = time.monotonic() + seconds
        while not condition():
            assert time.monotonic() < end
            await asyncio.sleep(0.02)


@asynccontextmanager
async def site() -> AsyncIterator[Site]:
    found = Site()
    try:
        yield found
    finally:
        await found.relay.close()
        found.worker.close()


def running(act: Callable[[Site], Awaitable[None]]) -> None:
    async def run() -> None:
        async with site() as found:
            await act(found)

    asyncio.run(run())


def test_it_runs_from_the_first_connection_and_is_replaced_when_it_dies() -> None:
    async def act(site: Site) -> None:
        relay = site.relay
        assert not relay.pid
        first = await site.check()
        await site.until(lambda: relay.figures().connections == 1)
        pid = relay.pid
        os.kill(pid, signal.SIGKILL)
        second = await site.check()
        assert relay.pid not in (0, pid)
        assert relay.restarts == 1
        await site.until(lambda: relay.figures().accepted == 2)
        assert relay.figures().connections == 1
        registry = CollectorRegistry()
        registry.register(relay)
        text = generate_latest(registry).decode()
        assert "visiopont_tcp_connections 1.0" in text
        assert "visiopont_tcp_relay_restarts_total 1.0" in text
        for writer in (first, second):
            writer.close()
        await asyncio.sleep(0)

    running(act)


def test_one_that_hangs_is_replaced(monkeypatch: pytest.MonkeyPatch) -> None:
    async def act(site: Site) -> None:
        writer = await site.check()
        pid = site.relay.pid
        monkeypatch.setattr(tcp_relay, "STALLED", 1.5)
        os.kill(pid, signal.SIGSTOP)
        await site.until(lambda: site.relay.pid != pid)
        writer.close()
        again = await site.check()
        again.close()
        await asyncio.sleep(0)

    running(act)


def test_one_that_always_dies_is_not_started_without_end(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(tcp_relay, "MODULE", "gateways.webrtc.none_such")
    monkeypatch.setattr(tcp_relay, "RESTARTS", 2)

    async def act(site: Site) -> None:
        with socket.create_connection(("127.0.0.1", site.relay.ports[0])):
            await site.until(lambda: site.relay.restarts == 2)
            await asyncio.sleep(0.5)
            assert site.relay.restarts == 2
            assert not site.relay.pid

    running(act)


def test_each_port_leads_to_its_worker() -> None:
    async def run() -> None:
        loop = asyncio.get_running_loop()
        workers = [socket.socket(socket.AF_INET, socket.SOCK_DGRAM) for _ in range(2)]
        for worker in workers:
            worker.setblocking(False)
            worker.bind(("127.0.0.1", 0))
        relay = TcpRelay("127.0.0.1", [0, 0], [worker.getsockname() for worker in workers])
        relay.arm()
        try:
            for port, worker in zip(relay.ports, workers, strict=True):
                _, writer = await asyncio.open_connection("127.0.0.1", port)
                writer.write(frame(CHECK))
                async with asyncio.timeout(10):
                    assert await loop.sock_recv(worker, 4096) == CHECK
                writer.close()
                await writer.wait_closed()
        finally:
            await relay.close()
            for worker in workers:
                worker.close()

    asyncio.run(run())


def test_it_ends_with_us() -> None:
    async def act(site: Site) -> None:
        writer = await site.check()
        pid = site.relay.pid
        await site.relay.close()
        with pytest.raises(ProcessLookupError):
            os.kill(pid, 0)
        writer.close()
        await asyncio.sleep(0)

    running(act)


def test_a_port_that_is_taken_has_another_in_its_place() -> None:
    with socket.create_server(("127.0.0.1", 0)) as taken:
        port = taken.getsockname()[1]
        relay = TcpRelay("127.0.0.1", [port], [("127.0.0.1", 1)])
        assert relay.ports[0] not in (0, port)
        asyncio.run(relay.close())
    with pytest.raises(OSError, match="assign"):
        TcpRelay("203.0.113.1", [0], [("127.0.0.1", 1)])


@pytest.mark.parametrize(
    ("host", "reached"), [("", "127.0.0.1"), ("127.0.0.1", "127.0.0.1"), ("127.0.0.2", "127.0.0.2"), ("::1", "::1")]
)
def test_a_bundle_port_is_reached_where_it_is_bound(host: str, reached: str) -> None:
    bundles = BundlePorts(host, [0])
    assert bundles.addresses == ((reached, bundles.ports[0]),)
    bundles.close()
