"""A Control over the conference tests' house: the real focus, workers that take notes, no socket."""

from __future__ import annotations

from collections.abc import AsyncIterator, Sequence
from contextlib import asynccontextmanager
from typing import Any, cast

import httpx

from bridge.io import Driver, Listener
from bridge.resolve import Unresolved
from bridge.signalling.event import Event
from bridge.signalling.flow import Flow
from bridge.signalling.registrar import Registrar
from bridge.worker.client import Worker
from server.api import application
from server.control import Control
from server.feed import Feed
from server.journal import Journal
from server.metrics import Metrics
from server.reach import Reach
from server.registry import Registry
from server.storage import Storage
from tests.conference.house import House, Terminal


class StillDriver:
    """A driver whose core is driven by the house."""

    listeners: Sequence[Listener] = ()
    refused = 0

    def drain(self) -> None: ...


class StillWorker:
    pid, streams, restarts, failed = 4711, 2, 0, False

    def check(self, now: float) -> None: ...


class Memory:
    """Storage that keeps nothing."""

    def replace(self, aor: str, rows: Sequence[object]) -> None: ...
    def bindings(self, wall: float) -> list[Any]:
        return []


async def nowhere(uri: str) -> Sequence[Flow]:
    raise Unresolved("no name server")


def control(house: House, lookup: Any = nowhere) -> Control:
    """Needs a running loop."""
    found = Control(Journal(), Metrics(), Feed(), version="1", max_rooms=5, media_ports="16000-16007")
    registry = Registry(Registrar(), cast(Storage, Memory()))
    driver = cast("Driver[Event]", StillDriver())
    found.join(house.focus, driver, {1: cast(Worker, StillWorker())}, Reach(registry, lookup), registry)
    found.counters.observe(found.figures)
    return found


@asynccontextmanager
async def served(house: House, lookup: Any = nowhere) -> AsyncIterator[tuple[Control, httpx.AsyncClient]]:
    """The API over it, without a socket."""
    bridge = control(house, lookup)
    transport = httpx.ASGITransport(app=application(bridge, "1"))
    async with httpx.AsyncClient(transport=transport, base_url="http://127.0.0.1") as client:
        try:
            yield bridge, client
        finally:
            await bridge.close()


def occupied(*users: str) -> House:
    """A house with one phone for each user in the room demo."""
    house = House()
    for n, user in enumerate(users):
        Terminal(house, f"192.0.2.{11 + n}").dial("demo", from_display=user)
    house.run(2)
    return house
