"""Our registrations with providers: each is looked up, registered, and taken back at the end."""

from __future__ import annotations

import asyncio
import time
from collections.abc import Sequence

import structlog

from bridge.resolve import Unresolved
from bridge.signalling.endpoint import Endpoint

from .control import Control
from .reach import Lookup
from .settings import Provider

log = structlog.get_logger("providers")

RETRY_BASE = 30.0
"""Seconds until a name that could not be looked up is tried again, doubled each time (RFC 5626 §4.5: base-time)."""
RETRY_LIMIT = 1800.0
"""RFC 5626 §4.5: max-time."""

LEAVING = 2.0
"""Seconds for a provider to let us go: the REGISTER and its repeats after 0.5 and 1.5 s, so that two lost
packets do no harm (RFC 3261 §17.1.2.2, Timer E)."""
LOOK = 0.02
"""Seconds between looks whether they did."""


class Providers:
    def __init__(self, wanted: Sequence[Provider], control: Control, endpoint: Endpoint, lookup: Lookup) -> None:
        self._wanted, self._control, self._endpoint, self._lookup = wanted, control, endpoint, lookup
        self._numbers: list[int] = []
        self._left: float | None = None
        """When our Contacts were taken back."""
        self._tasks: list[asyncio.Task[None]] = []

    def start(self) -> None:
        loop = asyncio.get_running_loop()
        self._tasks = [loop.create_task(self._register(provider)) for provider in self._wanted]

    def leave(self) -> None:
        """Take the Contacts back: no calls shall come here any more."""
        for task in self._tasks:
            task.cancel()
        for number in self._numbers:
            self._endpoint.unregister(number, time.monotonic())
        self._left = time.monotonic()
        self._control.settle()

    async def close(self) -> None:
        for task in self._tasks:
            task.cancel()
        await asyncio.gather(*self._tasks, return_exceptions=True)
        if self._left is not None:
            await self._answered(self._left + LEAVING)

    async def _answered(self, until: float) -> None:
        """Until every provider has let us go, or time is up."""
        while self._endpoint.registrations:
            if time.monotonic() >= until:
                log.warning("a provider did not answer; our registration there lapses by itself")
                return
            await asyncio.sleep(LOOK)

    async def _register(self, provider: Provider) -> None:
        """Until its name is found and the REGISTER sent; from then on the endpoint keeps it up."""
        wait = RETRY_BASE
        while True:
            try:
                targets = await self._lookup(provider.registrar)
                number = self._endpoint.register(
                    provider.registrar, targets, provider.user, provider.password, provider.expires, time.monotonic()
                )
            except (Unresolved, ValueError) as error:
                log.warning("provider not reached; trying again", provider=provider.registrar, s=wait, error=str(error))
                await asyncio.sleep(wait)
                wait = min(2 * wait, RETRY_LIMIT)
                continue
            self._numbers.append(number)
            self._control.registry.name(number, f"{provider.user} at {provider.registrar}")
            self._control.settle()
            return
