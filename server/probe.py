"""Does a SIP server answer? Its name is looked up as for a call, and OPTIONS is sent (RFC 3261 §11)."""

from __future__ import annotations

import asyncio
import random
from collections.abc import Iterator, Sequence
from dataclasses import dataclass

from bridge.io import Driver, Listener
from bridge.resolve import Resolver, flows
from bridge.signalling.flow import Flow, Transport
from bridge.signalling.message import Request, Uri
from bridge.signalling.transaction import LayerEvent, ResponseReceived, TransactionFailed, TransactionLayer

from . import tls
from .route import source_address
from .settings import Sip

PATIENCE = 2.5
"""Seconds for an answer from one address: three repeats over UDP (RFC 3261 §17.1.2.2) or a TLS handshake far away. A
person waits for it."""
TARGETS = 3
"""Addresses that are tried."""


class NoAnswer(Exception):
    """From any address. The message names them."""


@dataclass(frozen=True, slots=True)
class Answered:
    code: int
    reason: str
    where: str
    """As in ``udp:192.0.2.7:5060``."""


class _Asking:
    """A core for the driver: transactions, and nobody above."""

    def __init__(self, rng: random.Random) -> None:
        self.layer = TransactionLayer(rng, contact=lambda flow: (source_address(flow.remote[0]), flow.local[1]))

    def receive(self, data: bytes, flow: Flow, now: float) -> None:
        self.layer.receive(data, flow, now)

    def closed(self, flow: Flow, now: float) -> None:
        self.layer.closed(flow, now)

    def expire(self, now: float) -> None:
        self.layer.expire(now)

    def deadline(self) -> float | None:
        return self.layer.deadline()

    def datagrams(self) -> Iterator[tuple[bytes, Flow]]:
        return self.layer.outgoing()

    def events(self) -> Iterator[LayerEvent]:
        return self.layer.events()


async def ask(uri: str, sip: Sip, resolver: Resolver) -> Answered:
    """What the server at ``uri`` says, by one of the transports that we listen on.

    Raises:
        bridge.resolve.Unresolved: nothing is known of that name.
        NoAnswer: nobody answers there.
        OSError: of our own TLS settings.
    """
    rng = random.SystemRandom()
    wanted = [Listener.parse(text) for text in sip.listen]
    found = flows(await resolver.targets(uri, [each.transport for each in wanted]), wanted)[:TARGETS]
    core, told = _Asking(rng), asyncio.Queue[LayerEvent]()
    driver: Driver[LayerEvent] = Driver(core, told.put_nowait, client_tls=tls.client_context(sip))
    try:
        for host in {"::" if ":" in flow.remote[0] else "0.0.0.0" for flow in found}:
            await driver.listen(Listener(Transport.UDP, host, 0))
        for flow in found:
            driver.expect(flow.remote, Uri.parse(uri).host.strip("[]"))
            if answered := await _one(uri, flow, driver, core, told, rng):
                return answered
    finally:
        await driver.close()
    raise NoAnswer(", ".join(map(_where, found)))


async def _one(
    uri: str,
    flow: Flow,
    driver: Driver[LayerEvent],
    core: _Asking,
    told: asyncio.Queue[LayerEvent],
    rng: random.Random,
) -> Answered | None:
    loop = asyncio.get_running_loop()
    host = source_address(flow.remote[0])
    us = f"sip:{f'[{host}]' if ':' in host else host}"
    fields = [
        ("Max-Forwards", "70"),
        ("From", f"<{us}>;tag={rng.getrandbits(64):016x}"),
        ("To", f"<{uri}>"),
        ("Call-ID", f"{rng.getrandbits(64):016x}"),
        ("CSeq", "1 OPTIONS"),
        ("Accept", "application/sdp"),
    ]
    client = core.layer.request(Request.build("OPTIONS", uri, fields), _ours(flow, driver.listeners), loop.time())
    driver.drain()
    try:
        async with asyncio.timeout(PATIENCE):
            while True:
                match await told.get():
                    case ResponseReceived(asked, response) if asked is client and response.status >= 200:
                        return Answered(response.status, response.reason, _where(flow))
                    case TransactionFailed(asked) if asked is client:
                        return None
    except TimeoutError:
        core.layer.abandon(client)
        return None


def _ours(flow: Flow, listeners: Sequence[Listener]) -> Flow:
    """By a port of our own: the listeners of the settings are the bridge's."""
    six = ":" in flow.remote[0]
    here = next(each for each in listeners if (":" in each.host) == six)
    return Flow(flow.transport, (here.host, here.port), flow.remote)


def _where(flow: Flow) -> str:
    return str(Listener(flow.transport, *flow.remote))
