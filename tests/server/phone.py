"""A phone on a real socket: our own endpoint and driver, without sound."""

from __future__ import annotations

import asyncio
import random
import time
from collections.abc import AsyncIterator
from contextlib import asynccontextmanager
from typing import TypeVar

from bridge.io import Driver, Listener
from bridge.signalling import event as sip
from bridge.signalling.endpoint import Endpoint
from bridge.signalling.endpoint_settings import EndpointSettings
from bridge.signalling.flow import Flow, Transport
from bridge.signalling.offer import Capabilities, Local, Negotiator

E = TypeVar("E")


class Phone:
    def __init__(self, bridge: tuple[str, int]) -> None:
        rng = random.SystemRandom()
        self.endpoint = Endpoint(EndpointSettings(), rng, now=time.monotonic())
        self.driver: Driver[sip.Event] = Driver(self.endpoint, self._take)
        self.negotiator = Negotiator(Capabilities.of(("PCMU",), "off"), rng.randbytes, 1)
        self.bridge = bridge
        self._events: asyncio.Queue[sip.Event] = asyncio.Queue()
        self.flow = Flow(Transport.UDP, ("127.0.0.1", 0), bridge)

    def _take(self, event: sip.Event) -> None:
        self._events.put_nowait(event)

    async def next(self, kind: type[E], seconds: float = 10.0) -> E:
        """The next event of that kind; others are passed over."""
        async with asyncio.timeout(seconds):
            while True:
                event = await self._events.get()
                if isinstance(event, kind):
                    return event

    def dial(self, user: str) -> int:
        offer = self.negotiator.offer(Local("127.0.0.1", 9, 9))
        uri = f"sip:{user}@{self.bridge[0]}:{self.bridge[1]}"
        mine = "sip:phone@127.0.0.1"
        call = self.endpoint.dial(uri, [self.flow], offer, time.monotonic(), from_uri=mine)
        self.driver.drain()
        return call

    def register(self, user: str, password: str) -> None:
        at = f"sip:{self.bridge[0]}:{self.bridge[1]}"
        self.endpoint.register(at, [self.flow], user, password, 600, time.monotonic())
        self.driver.drain()


@asynccontextmanager
async def phone(bridge: tuple[str, int]) -> AsyncIterator[Phone]:
    found = Phone(bridge)
    bound = await found.driver.listen(Listener(Transport.UDP, "127.0.0.1", 0))
    found.flow = Flow(Transport.UDP, (bound.host, bound.port), bridge)
    try:
        yield found
    finally:
        await found.driver.close()
