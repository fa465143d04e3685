"""Two endpoints and whatever their conferences may want, at random, in bad weather: nothing is raised, nothing is left,
and what is told of a call is a story that makes sense."""

from __future__ import annotations

import contextlib
import random

import pytest

from bridge.signalling.endpoint import Endpoint
from bridge.signalling.endpoint_settings import EndpointSettings
from bridge.signalling.event import (
    CallAnswered,
    CallConfirmed,
    CallEnded,
    CallProgress,
    IncomingCall,
    OfferReceived,
    ReferReceived,
)
from bridge.signalling.flow import Transport
from bridge.signalling.session_table import WrongState
from tests.signalling.network import Network
from tests.signalling.scenario import ANSWER, OFFER, OTHER, A, B, flow


class Whim:
    """One side's conference."""

    def __init__(self, net: Network, core: Endpoint, here: tuple[str, int], there: tuple[str, int], seed: int) -> None:
        self.net, self.core, self.here, self.there = net, core, here, there
        self.rng = random.Random(seed)
        self.calls: list[int] = []
        self.refers: list[int] = []
        net.when(core, IncomingCall, lambda event: self.calls.append(event.call))
        net.when(core, ReferReceived, lambda event: self.refers.append(event.refer))
        net.when(core, OfferReceived, self.offered)

    def offered(self, event: OfferReceived) -> None:
        if self.rng.random() < 0.7:
            self.core.accept(event.call, OTHER, self.net.now)
        elif self.rng.random() < 0.7:
            self.core.refuse(event.call, 488, self.net.now)

    def dial(self) -> None:
        transport = self.rng.choice((Transport.UDP, Transport.TCP, Transport.WS))
        sdp = self.rng.choice((OFFER, OFFER, None, OFFER + b"a=x\r\n" * 400))
        targets = [flow(self.here, self.there, transport)] * self.rng.choice((1, 1, 2))
        call = self.core.dial("sip:x@y", targets, sdp, self.net.now, from_uri="sip:w@z")
        self.calls.append(call)

    def act(self) -> None:
        core, rng, now = self.core, self.rng, self.net.now
        if not self.calls or rng.random() < 0.1:
            self.dial()
            return
        call = rng.choice(self.calls[-4:])
        deeds = [
            lambda: core.ring(call, now, rng.choice((None, ANSWER)), rng.choice((None, True, False))),
            lambda: core.answer(call, ANSWER, now),
            lambda: core.answer(call, ANSWER, now),
            lambda: core.reject(call, 486, now),
            lambda: core.redirect(call, [f"sip:x@{self.here[0]}"], now),
            lambda: core.acknowledge(call, ANSWER, now),
            lambda: core.acknowledge(call, ANSWER, now),
            lambda: core.offer(call, rng.choice((None, OFFER)), now, rng.random() < 0.5),
            lambda: core.offer(call, OFFER, now, rng.random() < 0.5),
            lambda: core.accept(call, OTHER, now),
            lambda: core.refuse(call, 488, now),
            lambda: core.info(call, "application/dtmf-relay", b"Signal=1", now),
            lambda: core.message(call, "text/plain", b"x" * rng.choice((10, 3000)), now),
            lambda: core.refer(call, "sip:c@d", now),
            lambda: core.hangup(call, now),
        ]
        for refer in self.refers[-2:]:
            deeds += [
                lambda refer=refer: core.accept_refer(refer, now),
                lambda refer=refer: core.reject_refer(refer, 603, now),
                lambda refer=refer: core.refer_progress(refer, rng.choice((180, 200, 486)), "", now),
            ]
        with contextlib.suppress(WrongState):
            rng.choice(deeds)()

    def stop(self) -> None:
        for call in self.calls:
            self.core.hangup(call, self.net.now)


def check_story(net: Network, core: Endpoint) -> None:
    ended: set[int] = set()
    begun: dict[int, list[type]] = {}
    for event in net.seen[core]:
        call = getattr(event, "call", None)
        if call is None:
            continue
        assert call not in ended, (event, net.seen[core])
        history = begun.setdefault(call, [])
        if isinstance(event, (IncomingCall, CallAnswered, CallConfirmed, CallEnded)):
            assert type(event) not in history, (event, history)
        if isinstance(event, CallConfirmed):
            assert IncomingCall in history
        if isinstance(event, CallProgress):
            assert CallAnswered not in history
        if isinstance(event, CallEnded):
            ended.add(call)
        history.append(type(event))
    assert ended == set(begun), set(begun) - ended


@pytest.mark.parametrize("seed", range(20))
def test_any_wishes_in_any_weather(seed: int) -> None:
    rng = random.Random(seed)
    net = Network(seed, loss=rng.choice((0.0, 0.1, 0.3)), repeat=rng.choice((0.0, 0.3)), delay=0.1, chop=True)
    settings = EndpointSettings(session_expires=rng.choice((0, 90)), rejections_per_minute=0)
    cores = [net.endpoint(address, settings=settings) for address in (A, B)]
    for core, address in zip(cores, (A, B), strict=True):
        net.endpoints[Transport.TCP, address] = net.endpoints[Transport.WS, address] = core
    sides = [
        Whim(net, core, here, there, seed + n)
        for n, (core, here, there) in enumerate(zip(cores, (A, B), (B, A), strict=True))
    ]
    for _ in range(300):
        rng.choice(sides).act()
        if rng.random() < 0.02:
            net.cut(flow(transport=rng.choice((Transport.TCP, Transport.WS))))
        net.run(rng.choice((0.0, 0.05, 0.3, 1.0, 3.0)))
    for side in sides:
        side.stop()
    net.run(60)
    for side in sides:
        side.stop()
    net.settle()
    for core in cores:
        check_story(net, core)
