"""Endpoints joined by a seeded network in virtual time: it loses, repeats, delays and reorders datagrams; streams only
delay. No sleep, no socket."""

from __future__ import annotations

import heapq
import random
from collections import defaultdict
from collections.abc import Callable
from typing import Any, TypeVar

from bridge.signalling.endpoint import Endpoint
from bridge.signalling.endpoint_settings import EndpointSettings
from bridge.signalling.event import Event
from bridge.signalling.flow import Flow, Transport
from bridge.signalling.message import Request, Response, parse

Place = tuple[Transport, tuple[str, int]]
E = TypeVar("E")


class Phone:
    """Anything that takes and sends datagrams by hand: for the requests that no endpoint of ours would send."""

    def __init__(self, network: Network, address: tuple[str, int], transport: Transport = Transport.UDP) -> None:
        self.network, self.place = network, (transport, address)
        self.got: list[Any] = []
        network.phones[self.place] = self

    def send(self, message: Request | Response | bytes, to: tuple[str, int]) -> None:
        data = message if isinstance(message, bytes) else bytes(message)
        self.network.carry(data, Flow(self.place[0], self.place[1], to))

    def receive(self, data: bytes) -> None:
        self.got.append(parse(data))

    def responses(self, method: str = "") -> list[int]:
        """Status codes received, repeats left out."""
        seen: list[int] = []
        for message in self.got:
            if isinstance(message, Response) and method in ("", message.cseq.method) and message.status not in seen:
                seen.append(message.status)
        return seen

    def requests(self, method: str) -> list[Request]:
        return [message for message in self.got if isinstance(message, Request) and message.method == method]

    def last(self) -> Any:
        return self.got[-1]


class Network:
    def __init__(self, seed: int = 1, loss: float = 0.0, repeat: float = 0.0, delay: float = 0.02) -> None:
        self.now = 0.0
        self.loss, self.repeat, self.delay = loss, repeat, delay
        self.rng = random.Random(seed)
        self.endpoints: dict[Place, Endpoint] = {}
        self.phones: dict[Place, Phone] = {}
        self.seen: dict[Endpoint, list[Event]] = defaultdict(list)
        self.log: list[tuple[float, bytes, Flow]] = []
        self.drop: Callable[[bytes, Flow], bool] = lambda data, flow: False
        """A test's own loss."""
        self._air: list[tuple[float, int, bytes, Flow]] = []
        self._sent = 0

    def endpoint(self, *addresses: tuple[str, int], transport: Transport = Transport.UDP, **kw: Any) -> Endpoint:
        settings = kw.pop("settings", EndpointSettings())
        endpoint = Endpoint(settings, random.Random(self.rng.random()), **kw)
        for address in addresses:
            self.endpoints[(transport, address)] = endpoint
        return endpoint

    def carry(self, data: bytes, flow: Flow) -> None:
        self.log.append((self.now, data, flow))
        if self.drop(data, flow) or (not flow.transport.reliable and self.rng.random() < self.loss):
            return
        copies = 2 if not flow.transport.reliable and self.rng.random() < self.repeat else 1
        for _ in range(copies):
            self._sent += 1
            jitter = 0.0 if flow.transport.reliable else self.rng.random() * self.delay
            heapq.heappush(self._air, (self.now + self.delay + jitter, self._sent, data, flow))

    def _drain(self) -> None:
        for endpoint in set(self.endpoints.values()):
            for data, flow in endpoint.datagrams():
                self.carry(data, flow)
            self.seen[endpoint].extend(endpoint.events())

    def run(self, seconds: float = 1.0) -> None:
        """Let ``seconds`` pass."""
        end = self.now + seconds
        self._drain()
        while True:
            times = [when for e in set(self.endpoints.values()) if (when := e.deadline()) is not None]
            if self._air:
                times.append(self._air[0][0])
            if not times or min(times) > end:
                self.now = end
                return
            self.now = max(self.now, min(times))
            self._step()
            self._drain()

    def _step(self) -> None:
        while self._air and self._air[0][0] <= self.now:
            _, _, data, flow = heapq.heappop(self._air)
            there = (flow.transport, flow.remote)
            back = Flow(flow.transport, flow.remote, flow.local)
            if there in self.endpoints:
                self.endpoints[there].receive(data, back, self.now)
            elif there in self.phones:
                self.phones[there].receive(data)
        for endpoint in set(self.endpoints.values()):
            when = endpoint.deadline()
            if when is not None and when <= self.now:
                endpoint.expire(self.now)

    def events(self, endpoint: Endpoint, kind: type[E]) -> list[E]:
        return [event for event in self.seen[endpoint] if isinstance(event, kind)]

    def the(self, endpoint: Endpoint, kind: type[E]) -> E:
        found = self.events(endpoint, kind)
        assert len(found) == 1, (kind, self.seen[endpoint])
        return found[0]

    def sent(self, start: str) -> int:
        """How many datagrams began so."""
        return sum(data.startswith(start.encode()) for _, data, _ in self.log)
