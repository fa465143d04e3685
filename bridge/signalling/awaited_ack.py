"""A 2xx to INVITE, sent again until its ACK (RFC 3261 §13.3.1.4): over streams too, for proxies may lose it."""

from __future__ import annotations

from collections.abc import Callable

from .message import Response
from .stack import Incoming, Stack
from .transaction import T1, T2


class AwaitedAck:
    def __init__(
        self,
        stack: Stack,
        incoming: Incoming,
        response: Response,
        given_up: Callable[[float], None],
        *,
        is_offer: bool,
        now: float,
    ) -> None:
        """Sends ``response``. ``is_offer``: the ACK's body will be the answer to it."""
        self._stack, self._incoming, self._response, self._given_up = stack, incoming, response, given_up
        self.is_offer = is_offer
        self.cseq = incoming.request.cseq.number
        self._interval = T1
        stack.alarms.set(self, "again", now + T1)
        stack.alarms.set(self, "give up", now + 64 * T1)
        stack.respond(incoming, response, now)

    def wake(self, name: str, now: float) -> None:
        if name == "give up":
            self.close()
            self._given_up(now)
            return
        self._stack.respond(self._incoming, self._response, now)
        self._interval = min(2 * self._interval, T2)
        self._stack.alarms.set(self, "again", now + self._interval)

    def close(self) -> None:
        """The ACK came, or the session is over."""
        self._stack.alarms.clear(self, "again", "give up")
