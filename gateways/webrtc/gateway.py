"""All transports behind our ports: whose a datagram is, what may begin, and how much of it.

STUN finds its transport by the user fragment, DTLS by the source address, which an authenticated check brought in (or,
for peers without ICE, their description). So nothing is kept for a stranger: no packet of a spoofed source gets as far
as a handshake. An address is one transport's only; as long as checks come from it nobody else can have it.
"""

from __future__ import annotations

from collections import deque
from collections.abc import Callable, Iterator
from dataclasses import dataclass
from typing import Final

from bridge.signalling.alarms import Alarms
from bridge.signalling.flow import Flow
from bridge.signalling.transport_parameters import Candidate, Setup, TransportParameters

from . import ice, stun
from .event import Connected, ConsentLost, Counters, Failed, GatewayEvent, Keys, Moved
from .identity import Identity
from .stun import Message, StunError
from .transport import Transport

AGAIN: Final = 0.5
"""Seconds after which a handshake of ours that had to wait is tried again."""
_DUE: Final = "due"


@dataclass(frozen=True, slots=True)
class GatewaySettings:
    transports: int = 2_048
    """Open at once; beyond it :meth:`Gateway.open` refuses."""
    handshakes: int = 256
    """Under way at once. One takes some 70 kB and 0.5 ms of CPU; others' ClientHellos fall, and are repeated."""
    refusals: int = 100
    """STUN error responses to strangers a second. The rest gets no answer, so that we are no reflector."""


class GatewayFull(RuntimeError):
    """No more transports."""


class Gateway:
    def __init__(
        self, identity: Identity, random_bytes: Callable[[int], bytes], settings: GatewaySettings | None = None
    ) -> None:
        """Args:
        random_bytes: ``os.urandom``, or what behaves like it.
        """
        self._identity, self._random = identity, random_bytes
        self._settings = settings or GatewaySettings()
        self.counters = Counters()
        self._transports: dict[str, Transport] = {}
        self._by_ufrag: dict[str, Transport] = {}
        self._by_flow: dict[Flow, Transport] = {}
        self._handshaking: set[Transport] = set()
        self._alarms: Alarms[Transport] = Alarms()
        self._due: dict[Transport, float] = {}
        """When its alarm is set to."""
        self._refusals = (0.0, 0)
        """Start of the present second, and how many were answered in it."""
        self._out: deque[tuple[bytes, Flow]] = deque()
        self._events: deque[GatewayEvent] = deque()

    # -------------------------------------------------------------------------------------------- transports

    def open(
        self,
        id: str,
        remote: TransportParameters | None,
        *,
        local: tuple[str, int],
        candidates: tuple[Candidate, ...] = (),
        now: float,
    ) -> TransportParameters:
        """A transport for one peer.

        Args:
            remote: what the peer's offer says; None: we offer, and :meth:`update` brings the answer.
            local: names our socket as the flows of :meth:`receive` do; what goes to a peer without ICE leaves there.
            candidates: for our description, as they are to stand there.

        Returns:
            Our side of the answer, or of the offer.

        Raises:
            GatewayFull: as many are open as may be.
            ValueError: the id is taken.
        """
        if id in self._transports:
            raise ValueError(f"transport {id} is open")
        if len(self._transports) >= self._settings.transports:
            raise GatewayFull(f"{len(self._transports)} transports are open")
        transport = Transport(id, self._identity, self._random, local=local, candidates=candidates)
        self._transports[id] = transport
        self.counters.opened += 1
        if remote is not None:
            return self.update(id, remote, now)
        self._settle(transport, now)
        return transport.describe(Setup.ACTPASS)

    def update(self, id: str, remote: TransportParameters, now: float) -> TransportParameters:
        """The peer's answer, or an offer in mid-call; returns our side of the answer to an offer.

        Other ICE credentials than before restart ICE, other fingerprints DTLS; the same ones change nothing.

        Raises:
            KeyError: there is no such transport.
        """
        transport = self._transports[id]
        old = transport.claim
        transport.learn(remote, now)
        if old is not None and old != transport.claim and self._by_flow.get(old) is transport:
            del self._by_flow[old]
        if (claim := transport.claim) is not None and claim != old:
            self._claim(transport, claim, now)
        answer = transport.answer()
        self._settle(transport, now)
        return answer

    def offer(self, id: str, now: float, *, restart: bool = False) -> TransportParameters:
        """Our side of an offer in mid-call, with new ICE credentials if ``restart``. Raises KeyError."""
        transport = self._transports[id]
        if restart:
            transport.restart(now)
        self._settle(transport, now)
        return transport.describe(Setup.ACTPASS)

    def close(self, id: str, now: float) -> None:
        """Say close_notify and forget it; no events of it come any more. An unknown id is let pass."""
        transport = self._transports.pop(id, None)
        if transport is None:
            return
        transport.close()
        self._out.extend(transport.datagrams())
        for ufrag in transport.ice.ufrags:
            self._by_ufrag.pop(ufrag, None)
        for flow in (*transport.ice.remotes, transport.claim):
            if flow is not None and self._by_flow.get(flow) is transport:
                del self._by_flow[flow]
        self._handshaking.discard(transport)
        self._alarms.clear(transport, _DUE)
        self._due.pop(transport, None)

    def knows(self, flow: Flow) -> bool:
        """The address is an open transport's."""
        return flow in self._by_flow

    def renew(self, identity: Identity) -> None:
        """Transports opened from now on have this certificate."""
        self._identity = identity

    def held(self) -> dict[str, int]:
        """Sizes of all that could grow, for the figures and for tests of leaks."""
        return {
            "transports": len(self._transports),
            "fragments": len(self._by_ufrag),
            "addresses": len(self._by_flow),
            "handshakes": len(self._handshaking),
            "alarms": len(self._alarms),
        }

    # ---------------------------------------------------------------------------------------------- contract

    def receive(self, data: bytes, flow: Flow, now: float) -> None:
        """One datagram, by its first octet (RFC 7983 §7)."""
        first = data[0] if data else 255
        if first < 4:
            self._take_stun(data, flow, now)
        elif 20 <= first < 64:
            self._take_dtls(data, flow, now)
        else:
            self.counters.other += 1

    def expire(self, now: float) -> None:
        for transport, _ in self._alarms.due(now):
            self._due.pop(transport, None)
            transport.expire(now)
            self._settle(transport, now)

    def deadline(self) -> float | None:
        return self._alarms.deadline()

    def datagrams(self) -> Iterator[tuple[bytes, Flow]]:
        while self._out:
            yield self._out.popleft()

    def events(self) -> Iterator[GatewayEvent]:
        while self._events:
            yield self._events.popleft()

    # ------------------------------------------------------------------------------------------------ inside

    def _take_stun(self, data: bytes, flow: Flow, now: float) -> None:
        try:
            message = stun.parse(data)
        except StunError:
            self.counters.malformed += 1
            return
        if message.kind != stun.REQUEST:
            return
        transport = self._by_ufrag.get(message.username[0]) if message.username else None
        if transport is None:
            self._refuse(message, flow, now)
            return
        holder = self._by_flow.get(flow)
        if holder is not None and holder is not transport and holder.holds(flow, now):
            self.counters.contested += 1
            return
        if transport.take_stun(message, flow, now):
            self.counters.checks += 1
            self._out.extend(transport.ice.datagrams())
        else:
            self.counters.refused += 1
            answers = list(transport.ice.datagrams())
            if answers and self._may_refuse(now):
                self._out.extend(answers)
        self._settle(transport, now)

    def _refuse(self, message: Message, flow: Flow, now: float) -> None:
        """RFC 8489 §9.1.3: 400 without credentials, 401 with wrong ones; only what is surely STUN is answered."""
        self.counters.refused += 1
        if message.method != stun.BINDING or stun.FINGERPRINT not in message.attributes or not self._may_refuse(now):
            return
        code = 401 if message.username and message.signed else 400
        self._out.append(
            (stun.build(stun.ERROR, message.transaction, ((stun.ERROR_CODE, stun.error_code(code)),)), flow)
        )

    def _may_refuse(self, now: float) -> bool:
        since, count = self._refusals
        if not since <= now < since + 1:
            since, count = now, 0
        if count >= self._settings.refusals:
            self.counters.unanswered += 1
            return False
        self._refusals = (since, count + 1)
        return True

    def _take_dtls(self, data: bytes, flow: Flow, now: float) -> None:
        transport = self._by_flow.get(flow)
        if transport is None:
            self.counters.strangers += 1
        elif transport.dtls is None and len(self._handshaking) >= self._settings.handshakes:
            self.counters.crowded += 1
        else:
            transport.take_dtls(data, flow, now)
            self._settle(transport, now)

    def _claim(self, transport: Transport, flow: Flow, now: float) -> None:
        """A peer without ICE named its address. It proves nothing, so it takes nobody's away."""
        holder = self._by_flow.setdefault(flow, transport)
        if holder is transport:
            transport.reach(flow, now)
        else:
            transport.fail("its address is another's")

    def _settle(self, transport: Transport, now: float) -> None:
        """After each mutation: what it wants to send and to say, who is found by what, and when it is due."""
        if self._transports.get(transport.id) is not transport:
            return
        wait: float | None = None
        if transport.leads:
            if len(self._handshaking) < self._settings.handshakes:
                transport.lead(now)
            else:
                self.counters.crowded += 1
                wait = now + AGAIN
        for event in transport.events():
            self._note(transport, event, now)
        self._out.extend(transport.datagrams())
        for ufrag in transport.ice.ufrags:
            self._by_ufrag[ufrag] = transport
        (self._handshaking.add if transport.handshaking else self._handshaking.discard)(transport)
        self._set_alarm(transport, min((w for w in (wait, transport.deadline()) if w is not None), default=None))

    def _set_alarm(self, transport: Transport, when: float | None) -> None:
        """One alarm a transport. Put off, as by each check, it stays: it rings for nothing and is then set anew."""
        set_to = self._due.get(transport)
        if when is None:
            self._alarms.clear(transport, _DUE)
            self._due.pop(transport, None)
        elif set_to is None or when < set_to:
            self._alarms.set(transport, _DUE, when)
            self._due[transport] = when

    def _note(
        self, transport: Transport, event: ice.Checked | ice.Forgotten | ice.Restarted | GatewayEvent, now: float
    ) -> None:
        match event:
            case ice.Checked(flow):
                holder = self._by_flow.get(flow)
                self._by_flow[flow] = transport
                if holder is not None and holder is not transport:
                    holder.lose(flow, now)
                    self._settle(holder, now)
            case ice.Forgotten(flow):
                if self._by_flow.get(flow) is transport:
                    del self._by_flow[flow]
            case ice.Restarted(void):
                for ufrag in void:
                    self._by_ufrag.pop(ufrag, None)
            case _:
                self._count(event)
                self._events.append(event)

    def _count(self, event: GatewayEvent) -> None:
        match event:
            case Keys():
                self.counters.established += 1
            case Failed():
                self.counters.failed += 1
            case ConsentLost():
                self.counters.lost += 1
            case Connected() | Moved():
                pass
