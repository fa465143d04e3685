"""The asyncio driver on real sockets of the loopback interface."""

from __future__ import annotations

import asyncio
import contextlib
import datetime
import random
import socket
import ssl
import time
from collections.abc import AsyncIterator, Callable, Iterator
from ipaddress import ip_address
from pathlib import Path

import pytest
from cryptography import x509
from cryptography.hazmat.primitives import hashes, serialization
from cryptography.hazmat.primitives.asymmetric import ec
from cryptography.x509.oid import NameOID

import bridge.io
from bridge.io import Driver, Listener
from bridge.signalling.endpoint import Endpoint
from bridge.signalling.endpoint_settings import EndpointSettings
from bridge.signalling.event import CallAnswered, CallConfirmed, CallEnded, Event, IncomingCall
from bridge.signalling.flow import Flow, Transport
from tests.signalling.scenario import request

PORTS = iter(range(21000, 21400, 2))
SOON = 5.0
"""Seconds that anything here may take."""


def has_ipv6() -> bool:
    with socket.socket(socket.AF_INET6) as sock:
        try:
            sock.bind(("::1", 0))
        except OSError:
            return False
    return True


HOSTS = ["127.0.0.1", pytest.param("::1", marks=pytest.mark.skipif(not has_ipv6(), reason="no IPv6 here"))]


# ----------------------------------------------------------------------------------------------------- tools


@pytest.fixture(scope="module")
def contexts(tmp_path_factory: pytest.TempPathFactory) -> tuple[ssl.SSLContext, ssl.SSLContext]:
    """Server's and client's, with a certificate for the loopback addresses and ``sip.example``."""
    key = ec.generate_private_key(ec.SECP256R1())
    name = x509.Name([x509.NameAttribute(NameOID.COMMON_NAME, "loopback")])
    start = datetime.datetime.now(datetime.UTC) - datetime.timedelta(days=1)
    names = [x509.IPAddress(ip_address(host)) for host in ("127.0.0.1", "::1")] + [x509.DNSName("sip.example")]
    certificate = (
        x509.CertificateBuilder()
        .subject_name(name)
        .issuer_name(name)
        .public_key(key.public_key())
        .serial_number(1)
        .not_valid_before(start)
        .not_valid_after(start + datetime.timedelta(days=10))
        .add_extension(x509.SubjectAlternativeName(names), critical=False)
        .add_extension(x509.BasicConstraints(ca=True, path_length=None), critical=True)
        .sign(key, hashes.SHA256())
    )
    path = Path(tmp_path_factory.mktemp("tls")) / "both.pem"
    path.write_bytes(
        key.private_bytes(serialization.Encoding.PEM, serialization.PrivateFormat.PKCS8, serialization.NoEncryption())
        + certificate.public_bytes(serialization.Encoding.PEM)
    )
    server = ssl.SSLContext(ssl.PROTOCOL_TLS_SERVER)
    server.load_cert_chain(path)
    return server, ssl.create_default_context(cafile=str(path))


class Side:
    """An endpoint with its driver, and a conference that takes every call."""

    def __init__(self, seed: int, **kw: ssl.SSLContext) -> None:
        self.core = Endpoint(EndpointSettings(), random.Random(seed), now=time.monotonic())
        self.driver: Driver[Event] = Driver(self.core, self.take, **kw)
        self.seen: list[Event] = []
        self.answer = b"v=0\r\n"

    def take(self, event: Event) -> None:
        self.seen.append(event)
        if isinstance(event, IncomingCall):
            self.core.answer(event.call, self.answer, time.monotonic())

    def has(self, kind: type) -> bool:
        return any(isinstance(event, kind) for event in self.seen)

    async def until(self, true: Callable[[], bool]) -> None:
        await until(true)

    def do(self, command: Callable[..., int | None], *arguments: object, **kw: object) -> int:
        result = command(*arguments, now=time.monotonic(), **kw)
        self.driver.drain()
        return result or 0

    def dial(self, flow: Flow, sdp: bytes = b"v=0\r\n") -> int:
        return self.do(self.core.dial, "sip:demo@x", [flow], sdp, from_uri="sip:me@y")


async def until(true: Callable[[], bool]) -> None:
    async with asyncio.timeout(SOON):
        while not true():  # noqa: ASYNC110  what is waited for has no event of its own
            await asyncio.sleep(0.002)


@contextlib.asynccontextmanager
async def two(**kw: ssl.SSLContext) -> AsyncIterator[tuple[Side, Side]]:
    sides = Side(1, **kw), Side(2, **kw)
    try:
        yield sides
    finally:
        for side in sides:
            await side.driver.close()


class Parrot:
    """A core that says back what it hears, ``times`` over."""

    def __init__(self, times: int = 1) -> None:
        self.times = times
        self.heard: list[tuple[bytes, Flow]] = []
        self.gone: list[Flow] = []
        self.out: list[tuple[bytes, Flow]] = []
        self.expired: list[float] = []
        self.when: float | None = None

    def receive(self, data: bytes, flow: Flow, now: float) -> None:
        self.heard.append((data, flow))
        self.out += [(data, flow)] * self.times

    def closed(self, flow: Flow, now: float) -> None:
        self.gone.append(flow)

    def expire(self, now: float) -> None:
        self.expired.append(now)
        self.when = None

    def deadline(self) -> float | None:
        return self.when

    def datagrams(self) -> Iterator[tuple[bytes, Flow]]:
        while self.out:
            yield self.out.pop(0)

    def events(self) -> Iterator[str]:
        return iter(())


@contextlib.asynccontextmanager
async def parrot(listener: str, times: int = 1) -> AsyncIterator[tuple[Parrot, Driver[str], Listener]]:
    core = Parrot(times)
    driver: Driver[str] = Driver(core, lambda event: None)
    bound = await driver.listen(Listener.parse(listener))
    try:
        yield core, driver, bound
    finally:
        await driver.close()


# ----------------------------------------------------------------------------------------------------- calls


@pytest.mark.parametrize("host", HOSTS)
@pytest.mark.parametrize("transport", ["udp", "tcp", "tls"])
def test_a_call(transport: str, host: str, contexts: tuple[ssl.SSLContext, ssl.SSLContext]) -> None:
    async def run() -> None:
        async with two(server_tls=contexts[0], client_tls=contexts[1]) as (alice, bob):
            text = f"{transport}:[{host}]:0" if ":" in host else f"{transport}:{host}:0"
            here, there = [await side.driver.listen(Listener.parse(text)) for side in (alice, bob)]
            assert str(there).startswith(f"{transport}:")
            flow = Flow(there.transport, (here.host, here.port), (there.host, there.port))
            call = alice.dial(flow)
            await until(lambda: bob.has(CallConfirmed))
            assert alice.has(CallAnswered)
            theirs = next(event.call for event in bob.seen if isinstance(event, IncomingCall))
            bob.do(bob.core.hangup, theirs)
            await until(lambda: alice.core.calls == bob.core.calls == 0)
            assert CallEnded(call, 0, "", False) in alice.seen

    asyncio.run(run())


def test_a_large_offer_over_udp_comes_by_tcp() -> None:
    async def run() -> None:
        async with two() as (alice, bob):
            port = next(PORTS)
            for kind in ("udp", "tcp"):
                await bob.driver.listen(Listener.parse(f"{kind}:127.0.0.1:{port}"))
            here = await alice.driver.listen(Listener.parse("udp:127.0.0.1:0"))
            alice.dial(Flow(Transport.UDP, (here.host, here.port), ("127.0.0.1", port)), b"v=0\r\n" + b"a=x\r\n" * 500)
            await until(lambda: alice.has(CallAnswered))
            (incoming,) = [event for event in bob.seen if isinstance(event, IncomingCall)]
            assert incoming.flow.transport is Transport.TCP
            assert len(incoming.offer or b"") == 2505

    asyncio.run(run())


def test_a_large_offer_falls_back_to_udp_where_nobody_takes_connections() -> None:
    async def run() -> None:
        async with two() as (alice, bob):
            here, there = [await s.driver.listen(Listener.parse("udp:127.0.0.1:0")) for s in (alice, bob)]
            flow = Flow(Transport.UDP, (here.host, here.port), (there.host, there.port))
            alice.dial(flow, b"v=0\r\n" + b"a=x\r\n" * 500)
            await until(lambda: alice.has(CallAnswered))
            (incoming,) = [event for event in bob.seen if isinstance(event, IncomingCall)]
            assert incoming.flow.transport is Transport.UDP
            assert not alice.driver._connections

    asyncio.run(run())


def test_a_connection_that_nobody_takes_fails_the_call_at_once() -> None:
    async def run() -> None:
        async with two() as (alice, _):
            here = await alice.driver.listen(Listener.parse("tcp:127.0.0.1:0"))
            with socket.socket() as nobody:
                nobody.bind(("127.0.0.1", 0))
                call = alice.dial(Flow(Transport.TCP, (here.host, here.port), nobody.getsockname()))
                await until(lambda: alice.has(CallEnded))
            assert CallEnded(call, 503, "Service Unavailable", False) in alice.seen
            assert not alice.driver._connections

    asyncio.run(run())


@pytest.mark.parametrize("expected", ["sip.example", "other.example"])
def test_a_tls_peer_must_prove_its_name(expected: str, contexts: tuple[ssl.SSLContext, ssl.SSLContext]) -> None:
    async def run() -> None:
        async with two(server_tls=contexts[0], client_tls=contexts[1]) as (alice, bob):
            there = await bob.driver.listen(Listener.parse("tls:127.0.0.1:0"))
            remote = (there.host, there.port)
            alice.driver.expect(remote, expected)
            alice.dial(Flow(Transport.TLS, ("127.0.0.1", 5061), remote))
            await until(lambda: alice.has(CallAnswered) or alice.has(CallEnded))
            assert alice.has(CallAnswered) == (expected == "sip.example")

    asyncio.run(run())


# ----------------------------------------------------------------------------------------------- connections


def test_requests_share_one_connection_and_answers_come_back_on_it() -> None:
    async def run() -> None:
        async with two() as (alice, bob):
            there = await bob.driver.listen(Listener.parse("tcp:127.0.0.1:0"))
            flow = Flow(Transport.TCP, ("127.0.0.1", 1), (there.host, there.port))
            for _ in range(20):
                alice.do(alice.core.register, "sip:y", [flow], "me", "word", 60)
            await until(lambda: len(bob.driver._connections) == 1 and alice.core.held()["transactions"] == 0)
            assert len(alice.driver._connections) == 1
            await alice.driver.close()
            await until(lambda: not bob.driver._connections)
            assert not bob.driver._hosts

    asyncio.run(run())


def test_one_host_may_not_take_all_connections(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(bridge.io, "CONNECTIONS_A_HOST", 3)

    async def run() -> None:
        async with parrot("tcp:127.0.0.1:0") as (core, driver, bound), contextlib.AsyncExitStack() as stack:
            writers = []
            for _ in range(5):
                reader, writer = await asyncio.open_connection(bound.host, bound.port)
                stack.push_async_callback(close, writer)
                writers.append((reader, writer))
            await until(lambda: driver.refused == 2)
            assert len(driver._connections) == 3
            assert await asyncio.wait_for(writers[4][0].read(), SOON) == b""
            for _, writer in writers:
                writer.close()
            await until(lambda: not driver._connections)
            assert not driver._hosts
            assert len(core.gone) == 3  # those that were refused were never there

    asyncio.run(run())


async def close(writer: asyncio.StreamWriter) -> None:
    writer.close()
    with contextlib.suppress(OSError):
        await writer.wait_closed()


def test_we_open_no_more_connections_than_the_limit(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(bridge.io, "CONNECTIONS", 1)

    async def run() -> None:
        async with parrot("tcp:127.0.0.1:0", times=0) as (there, _, bound):
            core = Parrot()
            driver: Driver[str] = Driver(core, lambda event: None)
            flows = [Flow(Transport.TCP, ("", 0), (bound.host, port)) for port in (bound.port, bound.port + 1)]
            core.out += [(b"hello", flow) for flow in flows]
            driver.drain()
            await until(lambda: core.gone == [flows[1]] and len(there.heard) == 1)
            await driver.close()

    asyncio.run(run())


def test_a_peer_that_reads_nothing_is_cut(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(bridge.io, "WRITE_LIMIT", 100_000)

    async def run() -> None:
        async with parrot("tcp:127.0.0.1:0", times=200) as (core, driver, bound):
            with socket.socket() as deaf:
                deaf.setsockopt(socket.SOL_SOCKET, socket.SO_RCVBUF, 4096)
                deaf.setblocking(False)
                await asyncio.get_running_loop().sock_connect(deaf, (bound.host, bound.port))
                for _ in range(20):
                    with contextlib.suppress(OSError):
                        await asyncio.get_running_loop().sock_sendall(deaf, b"x" * 10_000)
                    await asyncio.sleep(0)
                await until(lambda: len(core.gone) == 1)
            assert not driver._connections

    asyncio.run(run())


def test_a_connection_that_closes_and_whose_peer_reads_nothing_is_cut() -> None:
    async def run() -> None:
        async with parrot("tcp:127.0.0.1:0") as (core, driver, bound):
            with socket.socket() as deaf:
                deaf.setsockopt(socket.SOL_SOCKET, socket.SO_RCVBUF, 4096)
                deaf.setblocking(False)
                await asyncio.get_running_loop().sock_connect(deaf, (bound.host, bound.port))
                await asyncio.get_running_loop().sock_sendall(deaf, b"x")
                await until(lambda: bool(core.heard))
                flow = core.heard[0][1]
                (connection,) = driver._connections.values()
                assert connection._transport is not None
                connection._transport.get_extra_info("socket").setsockopt(socket.SOL_SOCKET, socket.SO_SNDBUF, 4096)
                core.out += [(b"x" * 500_000, flow), (b"", flow)]
                driver.drain()
                await asyncio.sleep(0)
                assert connection.closing
                assert not core.gone
                driver.sweep(time.monotonic())
                await until(lambda: len(core.gone) == 1)
            assert not driver._connections

    asyncio.run(run())


def test_idle_connections_are_swept() -> None:
    async def run() -> None:
        async with parrot("tcp:127.0.0.1:0") as (core, driver, bound):
            reader, writer = await asyncio.open_connection(bound.host, bound.port)
            await until(lambda: len(driver._connections) == 1)
            driver.sweep(time.monotonic() + bridge.io.IDLE - 1)
            assert not core.gone
            driver.sweep(time.monotonic() + bridge.io.IDLE + 1)
            assert await asyncio.wait_for(reader.read(), SOON) == b""
            await until(lambda: len(core.gone) == 1)
            await close(writer)

    asyncio.run(run())


def test_connections_on_which_nothing_came_are_swept_soon() -> None:
    async def run() -> None:
        async with parrot("tcp:127.0.0.1:0") as (core, driver, bound):
            silent = await asyncio.open_connection(bound.host, bound.port)
            talking = await asyncio.open_connection(bound.host, bound.port)
            talking[1].write(b"x")
            await until(lambda: len(driver._connections) == 2)
            await asyncio.wait_for(talking[0].read(1), SOON)
            driver.sweep(time.monotonic() + bridge.io.FIRST_BYTE + 1)
            assert await asyncio.wait_for(silent[0].read(), SOON) == b""
            await until(lambda: len(core.gone) == 1)
            for _, writer in (silent, talking):
                await close(writer)

    asyncio.run(run())


def test_a_core_closes_a_connection_with_no_bytes() -> None:
    async def run() -> None:
        async with parrot("tcp:127.0.0.1:0") as (core, driver, bound):
            reader, writer = await asyncio.open_connection(bound.host, bound.port)
            writer.write(b"hello")
            assert await asyncio.wait_for(reader.readexactly(5), SOON) == b"hello"
            core.out.append((b"last words", core.heard[0][1]))
            core.out.append((b"", core.heard[0][1]))
            driver.drain()
            assert await asyncio.wait_for(reader.read(), SOON) == b"last words"
            await until(lambda: len(core.gone) == 1)
            core.out.append((b"", core.heard[0][1]))
            driver.drain()  # gone already: no connection is opened to be closed
            assert not driver._connections
            await close(writer)

    asyncio.run(run())


def test_another_protocol_on_the_sip_port_is_shown_out() -> None:
    async def run() -> None:
        async with two() as (alice, _):
            here = await alice.driver.listen(Listener.parse("tcp:127.0.0.1:0"))
            reader, writer = await asyncio.open_connection(here.host, here.port)
            writer.write(b"GET / HTTP/1.1\r\nHost: x\r\n\r\n")
            assert await asyncio.wait_for(reader.read(), SOON) == b""
            await close(writer)

    asyncio.run(run())


def test_a_port_that_comes_round_again_gets_a_clean_start() -> None:
    async def run() -> None:
        async with parrot("tcp:127.0.0.1:0") as (core, driver, bound):
            _, writer = await asyncio.open_connection(bound.host, bound.port)
            await until(lambda: len(driver._connections) == 1)
            (old,) = driver._connections.values()
            new = type(old)(driver, Transport.TCP, old.flow.local, None)
            new.flow = old.flow
            assert driver.came(new)
            assert core.gone == [old.flow]
            assert driver._hosts == {"127.0.0.1": 1}
            driver.gone(old)
            assert list(driver._connections.values()) == [new]
            driver.gone(new)
            driver.gone(new)
            assert not driver._connections
            assert not driver._hosts
            await close(writer)

    asyncio.run(run())


# ----------------------------------------------------------------------------------------------- the rest


@pytest.mark.parametrize("host", HOSTS)
def test_datagrams_leave_by_the_listener_that_they_came_by(host: str) -> None:
    async def run() -> None:
        name = f"[{host}]" if ":" in host else host
        async with parrot(f"udp:{name}:0") as (core, driver, first):
            second = await driver.listen(Listener.parse(f"udp:{name}:0"))
            with socket.socket(socket.AF_INET6 if ":" in host else socket.AF_INET, socket.SOCK_DGRAM) as peer:
                peer.bind((host, 0))
                peer.setblocking(False)
                for number, bound in enumerate((first, second)):
                    data = b"OPTIONS %d" % number
                    peer.sendto(data, (bound.host, bound.port))
                    async with asyncio.timeout(SOON):
                        heard, source = await asyncio.get_running_loop().sock_recvfrom(peer, 100)
                    assert (heard, source[:2]) == (data, (bound.host, bound.port))
                assert [flow.local for _, flow in core.heard] == [(b.host, b.port) for b in (first, second)]

    asyncio.run(run())


def test_a_datagram_that_cannot_be_sent_is_a_lost_one() -> None:
    async def run() -> None:
        async with parrot("udp:127.0.0.1:0") as (core, driver, bound):
            local = (bound.host, bound.port)
            core.out.append((b"x" * 70_000, Flow(Transport.UDP, local, ("127.0.0.1", 9))))
            core.out.append((b"x", Flow(Transport.UDP, local, ("::1", 9))))
            driver.drain()

    asyncio.run(run())


def test_the_timer_follows_the_deadline() -> None:
    async def run() -> None:
        async with parrot("udp:127.0.0.1:0") as (core, driver, _):
            start = time.monotonic()
            core.when = start + 100
            driver.drain()
            core.when = start + 0.02
            driver.drain()
            await until(lambda: bool(core.expired))
            assert 0.01 < core.expired[0] - start < 1.0
            await asyncio.sleep(0.03)
            assert len(core.expired) == 1

    asyncio.run(run())


def test_a_bug_in_the_core_keeps_nothing_else_back() -> None:
    async def run() -> None:
        bugs: list[object] = []
        asyncio.get_running_loop().set_exception_handler(lambda _, context: bugs.append(context["exception"]))
        async with parrot("udp:127.0.0.1:0") as (core, driver, bound):
            said = core.receive

            def receive(data: bytes, flow: Flow, now: float) -> None:
                said(data, flow, now)
                if data == b"bug":
                    raise KeyError("a bug")

            def expire(now: float) -> None:
                core.when = now + 60
                raise KeyError("another")

            core.receive, core.expire = receive, expire  # type: ignore[method-assign]
            with socket.socket(socket.AF_INET, socket.SOCK_DGRAM) as phone:
                phone.settimeout(SOON)
                for data in (b"one", b"bug", b"two"):
                    phone.sendto(data, (bound.host, bound.port))
                await until(lambda: len(core.heard) == 3 and not core.out)
                assert [phone.recv(10) for _ in range(3)] == [b"one", b"bug", b"two"]
            core.when = time.monotonic()
            driver.drain()
            await until(lambda: len(bugs) == 2)
            assert driver._timer is not None

    asyncio.run(run())


def test_a_burst_of_datagrams_is_all_read() -> None:
    async def run() -> None:
        async with parrot("udp:127.0.0.1:0", times=0) as (core, _, bound):
            with socket.socket(socket.AF_INET, socket.SOCK_DGRAM) as peer:
                data = bytes(request("OPTIONS"))
                for _ in range(500):
                    peer.sendto(data, (bound.host, bound.port))
                await until(lambda: len(core.heard) == 500)

    asyncio.run(run())


def test_closing_sends_what_is_written_and_leaves_nothing() -> None:
    async def run() -> None:
        async with parrot("tcp:127.0.0.1:0") as (core, driver, bound):
            reader, writer = await asyncio.open_connection(bound.host, bound.port)
            writer.write(b"a")
            await until(lambda: bool(core.heard))
            core.out.append((b"goodbye", core.heard[0][1]))
            driver.drain()
            await driver.close()
            assert await asyncio.wait_for(reader.read(), SOON) == b"agoodbye"
            await close(writer)
            with pytest.raises(OSError):
                await asyncio.open_connection(bound.host, bound.port)

    asyncio.run(run())


@pytest.mark.parametrize(
    ("text", "same"),
    [
        ("udp:127.0.0.1:5062", "udp:127.0.0.1:5062"),
        ("tcp:[::1]:5060", "tcp:[::1]:5060"),
        ("tls:0.0.0.0", "tls:0.0.0.0:5061"),
        ("udp:[::]", "udp:[::]:5060"),
    ],
)
def test_listeners_read(text: str, same: str) -> None:
    assert str(Listener.parse(text)) == same


@pytest.mark.parametrize(
    "text", ["", "udp", "sctp:1.2.3.4:5", "ws:127.0.0.1:80", "udp:127.0.0.1:x", "udp::5060", "udp:h:70000"]
)
def test_listeners_that_cannot_be(text: str) -> None:
    with pytest.raises(ValueError):
        Listener.parse(text)


def test_an_address_that_is_taken_or_a_missing_certificate_raises() -> None:
    async def run() -> None:
        async with parrot("udp:127.0.0.1:0") as (_, driver, bound):
            with pytest.raises(OSError):
                await driver.listen(bound)
            with pytest.raises(ValueError, match="certificate"):
                await driver.listen(Listener.parse("tls:127.0.0.1:0"))

    asyncio.run(run())
