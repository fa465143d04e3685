"""The lite side of ICE (RFC 8445 §2.5): answers checks, lets the peer choose the pair, never checks itself.

Rules:

* A check is authenticated by our password alone; before that nothing is remembered of it (§7.3).
* The pair that the peer nominates last is the selected one. A peer with aggressive nomination (RFC 5245 §8.1.1.2, known
  by USE-CANDIDATE in the first check of a pair) nominates all its pairs: of those the highest priority wins.
* A restart (§9) gives new credentials. The old ones and the selected pair hold until the first check with the new.
* We send no checks, so that consent (RFC 7675) is the peer's: it asks at least every 6 s, and 30 s without a check on
  the selected pair end it, or before there is one, on any.
"""

from __future__ import annotations

import base64
from collections import deque
from collections.abc import Callable, Iterator
from dataclasses import dataclass, field
from typing import Final

from bridge.signalling.flow import Flow
from bridge.signalling.transport_parameters import Candidate

from . import stun
from .stun import Message

CONSENT: Final = 30.0
"""Seconds without a check after which the peer no longer consents (RFC 7675 §5.1)."""
IN_USE: Final = 6.0
"""A pair in use is checked at least so often, in seconds (RFC 7675 §5.1: 5 s, more or less by a fifth)."""
MAX_REMOTES: Final = 32
"""Addresses of one peer that are remembered: each of its interfaces against each of ours. Only who knows the password
adds one; the one heard longest ago goes first."""
MAX_GENERATIONS: Final = 4
"""Restarts whose first check may be outstanding at once."""


@dataclass(frozen=True, slots=True)
class Credentials:
    ufrag: str
    password: str = field(repr=False)

    @classmethod
    def make(cls, random_bytes: Callable[[int], bytes]) -> Credentials:
        """48 random bits of fragment, 144 of password; RFC 8445 §5.3 wants 24 and 128. Their base64 is made of
        ice-chars."""
        return cls(base64.b64encode(random_bytes(6)).decode(), base64.b64encode(random_bytes(18)).decode())


@dataclass(frozen=True, slots=True)
class Checked:
    """The first authenticated check from this address came."""

    flow: Flow


@dataclass(frozen=True, slots=True)
class Selected:
    """The peer nominated this pair, and it is not the one selected before."""

    flow: Flow


@dataclass(frozen=True, slots=True)
class Restarted:
    """The first check with new credentials came: the older ones are void."""

    void: tuple[str, ...]
    """User fragments."""


@dataclass(frozen=True, slots=True)
class Forgotten:
    """This address is no longer one of the peer's."""

    flow: Flow


@dataclass(frozen=True, slots=True)
class ConsentLost:
    """No check came on the selected pair for :data:`CONSENT`, or on any where none is selected. None is now."""

    flow: Flow


IceEvent = Checked | Selected | Restarted | Forgotten | ConsentLost


@dataclass(slots=True)
class _Remote:
    """An address that proved the password."""

    priority: int
    aggressive: bool
    """Its first check nominated it."""
    heard: float


class IceAgent:
    def __init__(self, random_bytes: Callable[[int], bytes]) -> None:
        self._random = random_bytes
        self._generations = [Credentials.make(random_bytes)]
        """Oldest first."""
        self._remotes: dict[Flow, _Remote] = {}
        self.selected: Flow | None = None
        self._out: deque[tuple[bytes, Flow]] = deque()
        self._events: deque[IceEvent] = deque()

    @property
    def local(self) -> Credentials:
        """What our next description says."""
        return self._generations[-1]

    @property
    def ufrags(self) -> tuple[str, ...]:
        """Fragments under which checks may come."""
        return tuple(credentials.ufrag for credentials in self._generations)

    @property
    def remotes(self) -> tuple[Flow, ...]:
        return tuple(self._remotes)

    @property
    def restarting(self) -> bool:
        """New credentials were made and no check came with them yet."""
        return len(self._generations) > 1

    def restart(self) -> Credentials:
        """New credentials, beside the old until the first check with them. Of many in a row the first and the last
        count."""
        if len(self._generations) == MAX_GENERATIONS:
            self._events.append(Restarted((self._generations.pop(1).ufrag,)))
        self._generations.append(Credentials.make(self._random))
        return self.local

    def heard(self, flow: Flow) -> float | None:
        """When the last check came from there; None: never."""
        remote = self._remotes.get(flow)
        return None if remote is None else remote.heard

    # ------------------------------------------------------------------------------------------- contract

    def receive(self, message: Message, flow: Flow, now: float) -> bool:
        """A message that names one of our fragments, or comes from a known address; whether it was authentic."""
        if message.kind != stun.REQUEST or message.method != stun.BINDING:
            return False  # we ask nothing, so nothing is answered; keepalive indications prove nothing (§11)
        if not message.signed or message.username is None:
            self._refuse(message, flow, 400)
            return False
        generation = self._generation(message)
        if generation is None:
            self._refuse(message, flow, 401)
            return False
        password = self._generations[generation].password.encode()
        if message.unknown:
            types = b"".join(name.to_bytes(2, "big") for name in message.unknown)
            self._refuse(message, flow, 420, (stun.UNKNOWN_ATTRIBUTES, types), password=password)
        elif stun.ICE_CONTROLLED in message.attributes:
            # We are lite and can't lead: the peer must (§7.3.1.1).
            self._refuse(message, flow, 487, password=password)
        elif stun.PRIORITY not in message.attributes:
            self._refuse(message, flow, 400, password=password)
        else:
            mapped = stun.xor_address(flow.remote, message.transaction)
            answer = stun.build(
                stun.SUCCESS, message.transaction, ((stun.XOR_MAPPED_ADDRESS, mapped),), password=password
            )
            self._out.append((answer, flow))
            self._begin(generation)
            self._checked(message, flow, now)
        return True

    def drop(self, flow: Flow) -> None:
        """That address is gone: its connection ended, or it has become somebody else's."""
        if flow == self.selected:
            self.selected = None
            self._events.append(ConsentLost(flow))
        if flow in self._remotes:
            self._forget(flow)

    def expire(self, now: float) -> None:
        when = self.deadline()
        if when is None or when > now:
            return
        if self.selected is not None:
            self.drop(self.selected)
            return
        silent = list(self._remotes)
        self._events.append(ConsentLost(silent[-1]))
        for flow in silent:
            self._forget(flow)

    def deadline(self) -> float | None:
        if self.selected is not None:
            return self._remotes[self.selected].heard + CONSENT
        latest = max((remote.heard for remote in self._remotes.values()), default=None)
        return None if latest is None else latest + CONSENT

    def datagrams(self) -> Iterator[tuple[bytes, Flow]]:
        while self._out:
            yield self._out.popleft()

    def events(self) -> Iterator[IceEvent]:
        while self._events:
            yield self._events.popleft()

    # --------------------------------------------------------------------------------------------- inside

    def _generation(self, message: Message) -> int | None:
        """Which of our credentials the check was made with."""
        receiver = message.username[0] if message.username else ""
        for index, credentials in enumerate(self._generations):
            if credentials.ufrag == receiver and message.verified(credentials.password.encode()):
                return index
        return None

    def _refuse(
        self, message: Message, flow: Flow, code: int, *extra: tuple[int, bytes], password: bytes | None = None
    ) -> None:
        attributes = ((stun.ERROR_CODE, stun.error_code(code)), *extra)
        self._out.append((stun.build(stun.ERROR, message.transaction, attributes, password=password), flow))

    def _begin(self, generation: int) -> None:
        """A check came with that generation: the older ones are void, their pairs too, but for the selected one, which
        carries media until the peer nominates another (§9)."""
        if not generation:
            return
        void, self._generations = self._generations[:generation], self._generations[generation:]
        self._events.append(Restarted(tuple(credentials.ufrag for credentials in void)))
        for flow, remote in list(self._remotes.items()):
            if flow == self.selected:
                remote.priority = 0
            else:
                self._forget(flow)

    def _checked(self, message: Message, flow: Flow, now: float) -> None:
        nominated = stun.USE_CANDIDATE in message.attributes
        remote = self._remotes.get(flow)
        if remote is None:
            if len(self._remotes) >= MAX_REMOTES:
                self._forget(
                    min((f for f in self._remotes if f != self.selected), key=lambda f: self._remotes[f].heard)
                )
            remote = self._remotes[flow] = _Remote(0, nominated, now)
            self._events.append(Checked(flow))
        remote.priority = message.number(stun.PRIORITY)
        remote.heard = now
        if nominated and flow != self.selected and not (remote.aggressive and self._stays(remote)):
            self.selected = flow
            self._events.append(Selected(flow))

    def _stays(self, other: _Remote) -> bool:
        """The selected pair is in use and of a higher priority. Ours is the same for all, so the peer's decides."""
        if self.selected is None:
            return False
        chosen = self._remotes[self.selected]
        return chosen.priority > other.priority and chosen.heard > other.heard - IN_USE

    def _stalest(self) -> Flow:
        return min(
            (flow for flow in self._remotes if flow != self.selected), key=lambda flow: self._remotes[flow].heard
        )

    def _forget(self, flow: Flow) -> None:
        del self._remotes[flow]
        self._events.append(Forgotten(flow))


def candidates(addresses: list[tuple[str, int]], *, tcp: list[tuple[str, int]] | None = None) -> tuple[Candidate, ...]:
    """Host candidates of public addresses, in the order in which they are preferred (RFC 8445 §5.1.2, RFC 6544 §4.2).

    Args:
        addresses: numeric hosts and UDP ports.
        tcp: those where we accept TCP; they come after all of UDP.
    """
    found = []
    for position, (host, port) in enumerate(addresses):
        priority = (126 << 24) + ((65_535 - position) << 8) + 255
        found.append(Candidate(str(position + 1), priority, host, port))
    for position, (host, port) in enumerate(tcp or ()):
        # Direction preference 4: a passive candidate of a host (RFC 6544 §4.2). 90 puts the type below any of UDP.
        preference = (4 << 13) + 8_191 - position
        priority = (90 << 24) + (preference << 8) + 255
        found.append(Candidate(str(len(addresses) + position + 1), priority, host, port, "tcp", tcp_type="passive"))
    return tuple(found)
