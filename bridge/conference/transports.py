"""The transports of calls whose keys come by DTLS: browsers (ICE, BUNDLE), and phones that key so without either.

What ICE and DTLS need is done by a gateway, which is given to the focus: here it is told which transports calls have,
and what it finds out of them (the path, the keys) is put where the workers' descriptions are made. All of these
transports are at their worker's bundle port, whose STUN and DTLS the worker passes on unread.
"""

from __future__ import annotations

import random
from collections.abc import Callable, Iterator, Mapping
from dataclasses import dataclass, field, replace
from typing import Protocol

import structlog

from bridge.signalling.flow import Flow, Transport
from bridge.signalling.offer import Agreed, Negotiator, Unacceptable
from bridge.signalling.transport_line import AgreedTransport, Kind
from bridge.signalling.transport_parameters import Candidate, TransportParameters
from bridge.worker.protocol import Address, Command, Datagram, Datagrams, DropStream, SendState, SetStream, SrtpKey

from .placement import Full
from .transport_event import Broken, Keyed, Reached, TransportEvent, Unreachable

log = structlog.get_logger("transports")

BY_WEB = (Transport.WS, Transport.WSS)
HOST_PREFERENCE = 126
"""Type preference of a host candidate (RFC 8445 §5.1.2.2)."""
TCP_PREFERENCE = 90
"""Of one by TCP, to be lower than UDP's (RFC 6544 §4.2)."""
PASSIVE = 4 << 13
"""Direction preference of a passive host candidate in the local one (RFC 6544 §4.2)."""


def first_numbers(rng: random.Random) -> SendState:
    """Drawn at random (RFC 3550 §5.1), by us where a description tells the SSRC; the sequence number in the lower half:
    SRTP's first wrap is far away (RFC 3711 §3.3.1). The SSRC after it is of retransmissions."""
    return SendState(1 + rng.randrange(0xFFFFFFFE), rng.getrandbits(15), rng.getrandbits(32))


class Gateway(Protocol):
    """ICE and DTLS of all calls, without a clock or a socket. ``id`` names a transport; flows are of UDP, their local
    end ``("", port)``."""

    def open(
        self,
        id: str,
        remote: TransportParameters | None,
        *,
        local: tuple[str, int],
        candidates: tuple[Candidate, ...] = (),
        now: float,
    ) -> TransportParameters:
        """Our side of the answer to ``remote``, or of an offer. Raises RuntimeError: too many are open."""

    def update(self, id: str, remote: TransportParameters, now: float) -> TransportParameters:
        """The peer's answer, or another offer: our side of the answer to that."""

    def offer(self, id: str, now: float, *, restart: bool = False) -> TransportParameters:
        """Our side of an offer in mid-call."""

    def close(self, id: str, now: float) -> None: ...

    def receive(self, data: bytes, flow: Flow, now: float) -> None: ...

    def expire(self, now: float) -> None: ...

    def deadline(self) -> float | None: ...

    def datagrams(self) -> Iterator[tuple[bytes, Flow]]: ...

    def told(self) -> Iterator[TransportEvent]: ...


@dataclass(frozen=True, slots=True)
class TransportSettings:
    gateway: Gateway
    ports: Mapping[int, int]
    """Media worker -> its bundle port."""
    addresses: tuple[str, ...] = ()
    """Of our candidates, best first; the media address in our descriptions follows."""
    tcp_ports: Mapping[int, int] = field(default_factory=dict)
    """Bundle port -> the TCP port by which it is reached too."""


@dataclass(slots=True)
class Secured:
    """One transport of a call."""

    id: str
    port: int
    """Ours."""
    ours: TransportParameters
    """As our next description says it."""
    carrier: int = 0
    """The audio process's stream of what comes by it; 0: the call's own."""
    keys: tuple[SrtpKey, SrtpKey] | None = field(default=None, repr=False)
    """To send with, to receive with; None: the handshake is not done."""
    remote: Address | None = None
    """Where the path leads; None: none is known now."""
    told: SetStream | None = None
    """Of the carrier."""
    there: Secured | None = field(default=None, repr=False)
    """The same, as it is to be at another worker, where the call moves to."""


class Leg(Protocol):
    """A call's media, as far as it concerns transports; see :class:`.leg.Leg`."""

    worker: int
    host: str
    negotiator: Negotiator
    transports: dict[Kind, Secured]

    @property
    def agreed(self) -> Agreed | None: ...


class User(Protocol):
    """Whoever describes calls to workers."""

    def transport_changed(self, leg: Leg, now: float) -> None:
        """A path or keys of the call's are others now."""

    def transport_broken(self, leg: Leg, reason: str, now: float) -> None: ...


class Transports:
    def __init__(
        self,
        settings: TransportSettings,
        send: Callable[[int, Command], None],
        number: Callable[[], int],
        user: User,
    ) -> None:
        """``number`` gives a stream number never given before."""
        self._gateway, self._ports, self._addresses = settings.gateway, settings.ports, settings.addresses
        self._tcp_ports = settings.tcp_ports
        self._send, self._number, self._user = send, number, user
        self._legs: dict[str, tuple[Leg, Kind]] = {}
        self._workers = {port: worker for worker, port in settings.ports.items()}
        self._last = 0

    # Descriptions

    def offered(self, leg: Leg, offer: bytes, now: float) -> None:
        """Make our side of what ``offer`` has, before it is answered.

        Raises:
            Unacceptable: it is no offer that can be answered.
            Full: as many transports are open as may be.
        """
        if leg.agreed is not None and not leg.transports:
            return  # a call that began without one stays so
        for kind, remote in leg.negotiator.transports(offer).items():
            known = leg.transports.get(kind)
            if known is None:
                self._open(leg, kind, remote, now)
            else:
                known.ours = self._described(leg, known.port, self._gateway.update(known.id, remote, now))
        self._pump(now)

    def offering(self, leg: Leg, now: float, *, web: bool = False) -> None:
        """We offer next. ``web``: a new call, to or from a browser. Raises :class:`.placement.Full`."""
        if web and not leg.transports:
            self._open(leg, "audio", None, now)
        for known in leg.transports.values():
            known.ours = self._described(leg, known.port, self._gateway.offer(known.id, now))

    def moving(self, leg: Leg, worker: int, now: float) -> dict[Kind, Secured]:
        """What an offer says that has the call come to another worker: the associations stay, ICE finds the way."""
        port = self._ports.get(worker, 0)
        found: dict[Kind, Secured] = {}
        for kind, known in leg.transports.items():
            ours = self._described(leg, port, self._gateway.offer(known.id, now, restart=True))
            carrier = self._number() if known.carrier else 0
            known.there = replace(known, port=port, ours=ours, carrier=carrier, remote=None, told=None, there=None)
            found[kind] = known.there
        return found

    def agreed(self, leg: Leg, now: float, *, answer: bool) -> None:
        """What is agreed of the call has changed. ``answer``: by an answer of theirs."""
        agreed = leg.agreed
        if agreed is None or not leg.transports:
            return
        wanted = in_force(agreed)
        for kind in [kind for kind in leg.transports if kind not in wanted]:
            self._close(leg, kind, now)
        for kind, known in leg.transports.items():
            remote = wanted[kind].remote
            if answer:
                self._gateway.update(known.id, remote, now)
            if not wanted[kind].ice and remote.address is not None:
                known.remote = Address(*remote.address)
        self._pump(now)

    def _open(self, leg: Leg, kind: Kind, remote: TransportParameters | None, now: float) -> None:
        self._last += 1
        name, port = f"{self._last}-{kind}", self._ports[leg.worker]
        try:
            ours = self._gateway.open(name, remote, local=("", port), now=now)
        except RuntimeError as error:
            raise Full(str(error)) from None
        carrier = 0 if kind == "audio" else self._number()
        leg.transports[kind] = Secured(name, port, self._described(leg, port, ours), carrier)
        self._legs[name] = (leg, kind)

    def _described(self, leg: Leg, port: int, ours: TransportParameters) -> TransportParameters:
        addresses = tuple(dict.fromkeys((*self._addresses, leg.host)))
        candidates = tuple(
            Candidate(str(number), HOST_PREFERENCE << 24 | (65_536 - number) << 8 | 255, address, port)
            for number, address in enumerate(addresses, 1)
        )
        if tcp := self._tcp_ports.get(port):
            candidates += tuple(
                Candidate(f"t{number}", _passive(number), address, tcp, "tcp", tcp_type="passive")
                for number, address in enumerate(addresses, 1)
            )
        return replace(ours, candidates=candidates, address=(addresses[0], port))

    # Workers

    def tell(self, leg: Leg) -> None:
        """Describe to the worker what carries pictures that have transports of their own."""
        wanted = in_force(leg.agreed) if leg.agreed else {}
        for kind, known in leg.transports.items():
            if not known.carrier or kind not in wanted:
                continue
            spec = SetStream(
                stream=known.carrier,
                room=0,
                port=known.port,
                remote=known.remote,
                remote_rtcp=None,
                rtcp_mux=True,
                send=None,
                receive=(),
                keyed=True,
                fixed=True,
                elsewhere=tuple(number for line in wanted[kind].lines for number in line.payload_types),
            )
            if spec != known.told:
                known.told = spec
                self._send(leg.worker, spec)

    def drop(self, leg: Leg, now: float) -> None:
        """The call is over."""
        for kind in list(leg.transports):
            self._close(leg, kind, now)
        self._pump(now)

    def left(self, worker: int, transports: Mapping[Kind, Secured]) -> None:
        """The call is at another worker now, or never came to this one."""
        for known in transports.values():
            if known.told is not None:
                self._send(worker, DropStream(stream=known.carrier))

    def _close(self, leg: Leg, kind: Kind, now: float) -> None:
        known = leg.transports.pop(kind)
        self._legs.pop(known.id, None)
        self._gateway.close(known.id, now)
        self.left(leg.worker, {kind: known})

    # What comes and goes

    def arrived(self, event: Datagrams, now: float) -> None:
        """STUN and DTLS from a worker's bundle port."""
        for packet in event.packets:
            flow = Flow(Transport.UDP, ("", event.port), (packet.remote.host, packet.remote.port))
            self._gateway.receive(packet.data, flow, now)
        self._pump(now)

    def expire(self, now: float) -> None:
        self._gateway.expire(now)
        self._pump(now)

    def deadline(self) -> float | None:
        return self._gateway.deadline()

    def _pump(self, now: float) -> None:
        packets: dict[int, list[Datagram]] = {}
        for data, flow in self._gateway.datagrams():
            if flow.transport is Transport.UDP and flow.local[1] in self._workers:
                packets.setdefault(flow.local[1], []).append(Datagram(Address(*flow.remote), data))
        for port, those in packets.items():
            self._send(self._workers[port], Datagrams(port=port, packets=tuple(those)))
        for event in self._gateway.told():
            leg, kind = self._legs.get(event.id, (None, None))
            if leg is not None and kind is not None:
                self._take(leg, leg.transports[kind], event, now)

    def _take(self, leg: Leg, known: Secured, event: TransportEvent, now: float) -> None:
        # A browser that moves may be at the new port before its answer is here, and has its keys anew then, perhaps.
        for each in (known, known.there) if known.there is not None else (known,):
            match event:
                case Reached(_, remote):
                    each.remote = remote
                case Keyed(_, send, receive):
                    each.keys = (send, receive)
                case Unreachable():
                    each.remote = None
                case Broken(_, reason):
                    log.info("transport is broken", transport=known.id, reason=reason)
                    self._user.transport_broken(leg, reason, now)
                    return
        self._user.transport_changed(leg, now)


def _passive(number: int) -> int:
    """Priority of the ``number``-th TCP candidate."""
    return TCP_PREFERENCE << 24 | (PASSIVE | 8_192 - number) << 8 | 255


def in_force(agreed: Agreed) -> dict[Kind, AgreedTransport]:
    """The transports of a call."""
    found: dict[Kind, AgreedTransport] = {}
    if agreed.transport is not None:
        found["audio"] = agreed.transport
    if agreed.video is not None and agreed.video.transport is not None and not agreed.video.bundled:
        found["video"] = agreed.video.transport
    if agreed.content is not None and agreed.content.transport is not None and not agreed.content.bundled:
        found["content"] = agreed.content.transport
    return found


__all__ = ["BY_WEB", "Gateway", "Secured", "TransportSettings", "Transports", "Unacceptable", "in_force"]
