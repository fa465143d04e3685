"""Reliable provisional responses and PRACK (RFC 3262), both roles."""

from __future__ import annotations

from collections import deque
from collections.abc import Callable
from dataclasses import dataclass

from .message import Request, Response
from .stack import Incoming, Stack
from .transaction import T1

QUEUE = 8
"""Provisional responses waiting for the PRACK of the one before. The conference rings a few times at most."""


@dataclass(frozen=True, slots=True)
class Provisional:
    code: int
    reason: str
    body: bytes
    headers: tuple[tuple[str, str], ...]


class ReliableProvisionals:
    """The UAS's side (§3): one at a time, each sent again until its PRACK."""

    def __init__(self, stack: Stack, incoming: Incoming, tag: str, given_up: Callable[[float], None]) -> None:
        self._stack, self._incoming, self._tag, self._given_up = stack, incoming, tag, given_up
        # §3: from 1 to 2**31 - 1, chosen at random.
        self._rseq = stack.rng.randrange(1, 1 << 30)
        self._queue: deque[Provisional] = deque(maxlen=QUEUE)
        self._pending: Response | None = None
        self._interval = T1

    @property
    def holds_answer(self) -> bool:
        """A session description is unacknowledged: the 2xx must wait (§3)."""
        return (self._pending is not None and bool(self._pending.body)) or any(p.body for p in self._queue)

    def send(self, provisional: Provisional, now: float) -> None:
        if self._pending is not None:
            self._queue.append(provisional)
            return
        self._rseq += 1
        self._pending = self._stack.reply(
            self._incoming,
            provisional.code,
            now,
            provisional.reason,
            [*provisional.headers, ("Require", "100rel"), ("RSeq", str(self._rseq))],
            provisional.body,
            self._tag,
        )
        self._interval = T1
        self._stack.alarms.set(self, "again", now + T1)
        self._stack.alarms.set(self, "give up", now + 64 * T1)

    def acknowledged(self, prack: Request) -> bool:
        """Does ``prack`` acknowledge the response in flight (§3)? Else it gets 481."""
        cseq = self._incoming.request.cseq
        rack = (prack.headers.get("RAck") or "").split()
        if self._pending is None or rack != [str(self._rseq), str(cseq.number), cseq.method]:
            return False
        self._pending = None
        self._stack.alarms.clear(self, "again", "give up")
        return True

    def proceed(self, now: float) -> None:
        """Send the next one that waits."""
        if self._pending is None and self._queue:
            self.send(self._queue.popleft(), now)

    def wake(self, name: str, now: float) -> None:
        if name == "give up":
            self.close()
            self._given_up(now)
            return
        if self._pending is not None:
            self._stack.respond(self._incoming, self._pending, now)
            # §3: doubles without a ceiling, unlike the 2xx's.
            self._interval *= 2
            self._stack.alarms.set(self, "again", now + self._interval)

    def close(self) -> None:
        """A final response goes out: nothing is sent again (§3)."""
        self._pending = None
        self._queue.clear()
        self._stack.alarms.clear(self, "again", "give up")


class ProvisionalOrder:
    """The UAC's side (§4) of one early dialog: takes reliable responses in their order, once each."""

    __slots__ = ("_last",)

    def __init__(self) -> None:
        self._last: int | None = None

    def rack(self, response: Response) -> str | None:
        """The RAck value to acknowledge ``response`` with; None: repeated or out of order, drop it."""
        text = response.headers.get("RSeq") or ""
        if not (text.isascii() and text.isdigit() and len(text) <= 10):
            return None
        rseq = int(text)
        if self._last is not None and rseq != self._last + 1:
            return None
        self._last = rseq
        return f"{rseq} {response.cseq.number} {response.cseq.method}"


def is_reliable(response: Response) -> bool:
    return 100 < response.status < 200 and "100rel" in response.require
