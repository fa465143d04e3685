"""A browser's call: a terminal that comes by WebSocket."""

from __future__ import annotations

from typing import Any

from bridge.signalling.flow import Flow, Transport
from bridge.signalling.message import Request, parse
from bridge.signalling.offer import Local, Negotiator
from tests.conference.house import BRIDGE, House, Terminal


class Browser(Terminal):
    def __init__(self, house: House, host: str, **kw: Any) -> None:
        super().__init__(house, host, **kw)
        house.endpoints[Transport.WS, BRIDGE] = house.bridge
        house.endpoints[Transport.WS, (host, 5060)] = self.endpoint
        self.flow = Flow(Transport.WS, (host, 5060), BRIDGE)

    def dial(self, user: str, *, token: str = "", headers: tuple[tuple[str, str], ...] = (), **kw: Any) -> None:
        sdp = self.negotiator.offer(self.local)
        kw.setdefault("from_uri", f"sip:guest@{BRIDGE[0]}")
        if token:
            headers = (*headers, ("Authorization", f"Bearer {token}"))
        to = f"sip:{user}@{BRIDGE[0]}"
        self.call = self.endpoint.dial(to, [self.flow], sdp, self.house.now, headers=headers, **kw)

    def reload(self) -> None:
        """Its page begins anew: nothing is left of its call but what it can say of it."""
        self.negotiator = Negotiator(self.capabilities, self.house.rng.randbytes, 2)
        self.local = Local(self.host, 30004, 30005)

    @property
    def invite(self) -> Request:
        """As it was sent last."""
        sent = [d for _, d, f in self.house.log if f.transport is Transport.WS and f.local == self.flow.local]
        return [m for m in map(parse, sent) if isinstance(m, Request) and m.method == "INVITE"][-1]
