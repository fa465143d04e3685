"""A gateway and browsers joined by a seeded network in virtual time: it loses, repeats, delays and reorders. No sleep,
no socket."""

from __future__ import annotations

import datetime
import heapq
import random
from collections.abc import Callable
from typing import TypeVar

from bridge.signalling.flow import Flow
from bridge.signalling.flow import Transport as Carrier
from bridge.signalling.transport_parameters import Fingerprint, Setup, TransportParameters
from gateways.webrtc import stun
from gateways.webrtc.dtls import Dtls, Established
from gateways.webrtc.event import GatewayEvent, Keys
from gateways.webrtc.gateway import Gateway, GatewaySettings
from gateways.webrtc.ice import CONSENT, Credentials
from gateways.webrtc.identity import Identity

Address = tuple[str, int]
HERE: Address = ("192.0.2.1", 37000)
DAY = datetime.datetime(2026, 7, 1, tzinfo=datetime.UTC)
OURS = Identity(DAY, "gateway")
THEIRS = Identity(DAY, "browser")
OTHER = Identity(DAY, "somebody else")
E = TypeVar("E", bound=GatewayEvent)


def here(remote: Address, carrier: Carrier = Carrier.UDP) -> Flow:
    return Flow(carrier, HERE, remote)


class Browser:
    """A full, controlling ICE agent, and a DTLS peer, as far as a lite agent notices the difference."""

    def __init__(
        self,
        air: Air,
        *addresses: Address,
        identity: Identity = THEIRS,
        setup: Setup = Setup.ACTPASS,
        aggressive: bool = False,
        dtls: bool = True,
    ) -> None:
        self.air, self.identity, self.setup = air, identity, setup
        self.aggressive, self.with_dtls = aggressive, dtls
        self.priorities = {address: 1_000_000 - n for n, address in enumerate(addresses)}
        self.local = Credentials.make(air.rng.randbytes)
        self.gateway: TransportParameters | None = None
        self.checking = True
        self.period = 0.1
        """Between checks of one pair until one is answered."""
        self._asked: dict[bytes, tuple[Address, bool]] = {}
        self._due: dict[Address, float] = {}
        self.valid: list[Address] = []
        self.nominated: Address | None = None
        self.errors: list[int] = []
        self.mapped: set[Address] = set()
        self.dtls: Dtls | None = None
        self.keys: Established | None = None
        self.said: list[object] = []
        for address in addresses:
            air.nodes[address] = self

    @property
    def parameters(self) -> TransportParameters:
        fingerprints: tuple[Fingerprint, ...] = (self.identity.fingerprint,)
        return TransportParameters(fingerprints, self.setup, self.local.ufrag, self.local.password)

    def learn(self, gateway: TransportParameters, now: float) -> None:
        """What the gateway's description says; other credentials than before begin anew."""
        if self.gateway is None or self.gateway.ufrag != gateway.ufrag:
            self.valid, self.nominated = [], None
            self._asked.clear()
            self._due = dict.fromkeys(self.priorities, now)
        self.gateway = gateway

    def restart(self) -> None:
        self.local = Credentials.make(self.air.rng.randbytes)

    def move(self, old: Address, new: Address, now: float) -> None:
        """Another network: the address changes under it."""
        self.priorities[new] = self.priorities.pop(old)
        del self.air.nodes[old]
        self.air.nodes[new] = self
        self.valid = [address for address in self.valid if address != old]
        self._due.pop(old, None)
        self._due[new] = now
        if self.nominated == old:
            self.nominated = None

    def check(self, address: Address, *, nominate: bool = False, extra: tuple[tuple[int, bytes], ...] = ()) -> None:
        assert self.gateway is not None
        transaction = self.air.rng.randbytes(12)
        self._asked[transaction] = (address, nominate)
        attributes = [
            (stun.USERNAME, f"{self.gateway.ufrag}:{self.local.ufrag}".encode()),
            (stun.ICE_CONTROLLING, bytes(8)),
            (stun.PRIORITY, self.priorities[address].to_bytes(4, "big")),
            *([(stun.USE_CANDIDATE, b"")] if nominate else []),
            *extra,
        ]
        packet = stun.build(stun.REQUEST, transaction, attributes, password=self.gateway.password.encode())
        self.air.send(packet, address, HERE)

    def receive(self, data: bytes, at: Address, now: float) -> None:
        if data[0] < 4:
            self._answered(stun.parse(data), at)
        elif self.with_dtls:
            if self.dtls is None:
                self.dtls = Dtls(self.identity, client=False, now=now)
            self.dtls.receive(data, now)
        self._drain(at)

    def _answered(self, message: stun.Message, at: Address) -> None:
        asked = self._asked.pop(message.transaction, None)
        if asked is None:
            return
        address, nominating = asked
        assert address == at
        if message.kind == stun.ERROR:
            self.errors.append(message.error)
            return
        assert self.gateway is not None
        assert message.verified(self.gateway.password.encode())
        self.mapped.add(message.mapped())
        if address not in self.valid:
            self.valid.append(address)
        if nominating and not self.aggressive:
            self.nominated = address
        if self.aggressive:
            self.nominated = max(self.valid, key=lambda a: self.priorities[a])

    def step(self, now: float) -> None:
        if self.gateway is None:
            return
        for address, when in list(self._due.items()):
            if self.checking and when <= now:
                best = max(self.valid, key=lambda a: self.priorities[a], default=None)
                regular = address == best and not self.aggressive
                self._due[address] = now + (5.0 if self.nominated else self.period)
                self.check(address, nominate=regular or self.aggressive)
        if self.nominated and self.with_dtls and self.dtls is None and self.gateway.setup is Setup.PASSIVE:
            self.dtls = Dtls(self.identity, client=True, now=now)
        if self.dtls is not None:
            self.dtls.expire(now)
            self._drain(self.nominated or next(iter(self.priorities)))

    def _drain(self, at: Address) -> None:
        if self.dtls is None:
            return
        for data in self.dtls.datagrams():
            self.air.send(data, at, HERE)
        for event in self.dtls.events():
            self.said.append(event)
            if isinstance(event, Established):
                self.keys = event


class Air:
    def __init__(
        self,
        seed: int = 1,
        loss: float = 0.0,
        repeat: float = 0.0,
        delay: float = 0.02,
        settings: GatewaySettings | None = None,
    ) -> None:
        self.now = 100.0
        self.loss, self.repeat, self.delay = loss, repeat, delay
        self.rng = random.Random(seed)
        self.gateway = Gateway(OURS, self.rng.randbytes, settings)
        self.hear: Callable[[], None] = lambda: self.events.extend(self.gateway.events())
        self.nodes: dict[Address, Browser] = {}
        self.events: list[GatewayEvent] = []
        self.stray: list[tuple[bytes, Address]] = []
        """What the gateway sent to nobody."""
        self.sent: list[bytes] = []
        """By the gateway."""
        self._air: list[tuple[float, int, bytes, Address, Address]] = []
        self._count = 0

    def send(self, data: bytes, source: Address, to: Address) -> None:
        if self.rng.random() < self.loss:
            return
        for _ in range(2 if self.rng.random() < self.repeat else 1):
            self._count += 1
            when = self.now + self.delay * (1 + self.rng.random())
            heapq.heappush(self._air, (when, self._count, data, source, to))

    def give(self, data: bytes, source: Address) -> None:
        """To the gateway, at once."""
        self.gateway.receive(data, here(source), self.now)
        self.drain()

    def drain(self) -> None:
        for data, flow in self.gateway.datagrams():
            self.sent.append(data)
            self.send(data, HERE, flow.remote)
        self.hear()

    def join(self, id: str, browser: Browser) -> None:
        """The browser offers, the gateway answers."""
        browser.learn(self.gateway.open(id, browser.parameters, local=HERE, now=self.now), self.now)
        self.drain()

    def run(self, seconds: float, step: float = 0.01) -> None:
        end = self.now + seconds
        while self.now < end:
            self.now += step
            while self._air and self._air[0][0] <= self.now:
                _, _, data, source, to = heapq.heappop(self._air)
                if to == HERE:
                    self.gateway.receive(data, here(source), self.now)
                elif to in self.nodes:
                    self.nodes[to].receive(data, to, self.now)
                else:
                    self.stray.append((data, to))
                self.drain()
            when = self.gateway.deadline()
            if when is not None and when <= self.now:
                self.gateway.expire(self.now)
                self.drain()
            for browser in dict.fromkeys(self.nodes.values()):
                browser.step(self.now)

    def of(self, kind: type[E], id: str | None = None) -> list[E]:
        return [event for event in self.events if isinstance(event, kind) and id in (None, event.id)]

    def agree(self, id: str, browser: Browser) -> bool:
        """Both ends hold the same keys, each the other's way round."""
        keys = self.of(Keys, id)
        if not keys or browser.keys is None:
            return False
        return (keys[-1].send, keys[-1].receive) == (browser.keys.receive, browser.keys.send)

    def quiet(self) -> None:
        """What was open is closed; whatever remains is a leak."""
        for browser in self.nodes.values():
            browser.checking = False
        self.run(2 * CONSENT, step=0.5)
        held = {name: count for name, count in self.gateway.held().items() if count}
        assert not held, held
        assert self.gateway.deadline() is None
