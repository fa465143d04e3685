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


class Honest(Phone):
    """A phone that says 200 to whatever it is asked, and repeats its own requests until they are answered."""

    def __init__(self, network: Network, address: tuple[str, int]) -> None:
        super().__init__(network, address)
        self.waiting: dict[str, tuple[bytes, tuple[str, int]]] = {}

    def ask(self, request: Request, to: tuple[str, int]) -> None:
        self.waiting[request.via.branch] = bytes(request), to
        self.send(request, to)

    def repeat(self) -> None:
        """Call it twice a second."""
        for data, to in self.waiting.values():
            self.send(data, to)

    def receive(self, data: bytes) -> None:
        super().receive(data)
        message = self.last()
        if isinstance(message, Request):
            contact = [("Contact", f"<sip:phone@{self.place[1][0]}:{self.place[1][1]}>")]
            answer = Response.answering(message, 200, headers=contact, tag="honest")
            self.send(answer, (message.via.host, message.via.port or 5060))
        elif message.status >= 200:
            self.waiting.pop(message.via.branch, None)


class Network:
    """Streams are named by the listeners' addresses at both ends; ``chop`` cuts them into pieces at random and glues
    pieces together."""

    def __init__(
        self, seed: int = 1, loss: float = 0.0, repeat: float = 0.0, delay: float = 0.02, chop: bool = False
    ) -> None:
        self.now = 0.0
        self.loss, self.repeat, self.delay, self.chop = loss, repeat, delay, chop
        self.rng = random.Random(seed)
        self.endpoints: dict[Place, Endpoint] = {}
        self.phones: dict[Place, Phone] = {}
        self.seen: dict[Endpoint, list[Event]] = defaultdict(list)
        self.log: list[tuple[float, bytes, Flow]] = []
        self.closed: list[Flow] = []
        """Connections that an endpoint wanted closed."""
        self.drop: Callable[[bytes, Flow], bool] = lambda data, flow: False
        """A test's own loss."""
        self._reactions: dict[tuple[Endpoint, type], Callable[[Any], None]] = {}
        self._air: list[tuple[float, int, bytes, Flow]] = []
        self._sent = 0

    @property
    def all_endpoints(self) -> list[Endpoint]:
        return list(dict.fromkeys(self.endpoints.values()))

    def endpoint(self, *addresses: tuple[str, int], transport: Transport = Transport.UDP, **kw: Any) -> Endpoint:
        settings = kw.pop("settings", EndpointSettings())
        endpoint = Endpoint(settings, random.Random(self.rng.random()), **kw)
        for address in addresses:
            self.endpoints[(transport, address)] = endpoint
        return endpoint

    def when(self, endpoint: Endpoint, kind: type[E], react: Callable[[E], None]) -> None:
        """Do so on every event of that kind from now on."""
        self._reactions[endpoint, kind] = react

    def carry(self, data: bytes, flow: Flow) -> None:
        if not data:
            self.closed.append(flow)
            self.cut(flow)
            return
        self.log.append((self.now, data, flow))
        reliable = flow.transport.reliable
        if self.drop(data, flow) or (not reliable and self.rng.random() < self.loss):
            return
        copies = 2 if not reliable and self.rng.random() < self.repeat else 1
        for _ in range(copies):
            jitter = 0.0 if reliable else self.rng.random() * self.delay
            self._fly(self.now + self.delay + jitter, data, flow)

    def _fly(self, when: float, data: bytes, flow: Flow) -> None:
        self._sent += 1
        heapq.heappush(self._air, (when, self._sent, data, flow))

    def cut(self, flow: Flow) -> None:
        """A connection ends: both ends are told, what is under way is lost."""
        back = Flow(flow.transport, flow.remote, flow.local)
        self._air = [entry for entry in self._air if entry[3] not in (flow, back)]
        heapq.heapify(self._air)
        for end in (flow, back):
            # Whoever has no TCP listener may open connections all the same.
            endpoint = self.endpoints.get((end.transport, end.local)) or self.endpoints.get((Transport.UDP, end.local))
            if endpoint is not None:
                endpoint.closed(end, self.now)

    def _drain(self) -> None:
        busy = True
        while busy:
            busy = False
            for endpoint in self.all_endpoints:
                for data, flow in endpoint.datagrams():
                    busy = True
                    self.carry(data, flow)
                for event in endpoint.events():
                    busy = True
                    self.seen[endpoint].append(event)
                    if react := self._reactions.get((endpoint, type(event))):
                        react(event)

    def run(self, seconds: float = 1.0) -> None:
        """Let ``seconds`` pass."""
        end = self.now + seconds
        self._drain()
        while True:
            times = [when for e in self.all_endpoints if (when := e.deadline()) is not None]
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
                for piece in self._pieces(data, flow):
                    self.endpoints[there].receive(piece, back, self.now)
            elif there in self.phones:
                self.phones[there].receive(data)
            elif flow.transport.reliable:
                self.cut(flow)
        for endpoint in self.all_endpoints:
            when = endpoint.deadline()
            if when is not None and when <= self.now:
                endpoint.expire(self.now)

    def _pieces(self, data: bytes, flow: Flow) -> list[bytes]:
        if not (flow.transport.reliable and self.chop) or flow.transport.websocket:
            return [data]
        while self._air and self._air[0][3] == flow and self.rng.random() < 0.5:
            data += heapq.heappop(self._air)[2]
        cuts = sorted(self.rng.randrange(len(data) + 1) for _ in range(self.rng.randrange(5)))
        return [data[a:b] for a, b in zip([0, *cuts], [*cuts, len(data)], strict=True) if a < b]

    def events(self, endpoint: Endpoint, kind: type[E]) -> list[E]:
        return [event for event in self.seen[endpoint] if isinstance(event, kind)]

    def the(self, endpoint: Endpoint, kind: type[E]) -> E:
        found = self.events(endpoint, kind)
        assert len(found) == 1, (kind, self.seen[endpoint])
        return found[0]

    def sent(self, start: str) -> int:
        """How many datagrams began so."""
        return sum(data.startswith(start.encode()) for _, data, _ in self.log)

    def settle(self) -> None:
        """Nothing is going on any more: whatever remains after the longest timers is a leak."""
        self.run(400)
        for endpoint in self.all_endpoints:
            held = {name: count for name, count in endpoint.held().items() if count}
            assert not held, held
            assert endpoint.deadline() is None
