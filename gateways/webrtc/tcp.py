"""Passive ICE-TCP (RFC 6544): each STUN, DTLS, RTP and RTCP packet behind two octets of length (RFC 4571).

:class:`Connections` is what stands between a TCP listener and :class:`.gateway.Gateway`: bytes in, packets out. A
connection must begin with a STUN request, and soon be vouched for: the owner says so of those whose check was
authentic, and the rest are closed.
"""

from __future__ import annotations

from collections import deque
from collections.abc import Iterator
from dataclasses import dataclass, field
from typing import Final

from bridge.signalling.flow import Flow

LARGEST: Final = 2_048
"""Octets of a packet: what goes over TCP was made for UDP, whose paths carry no more than 1,500."""
PATIENCE: Final = 10.0
"""Seconds from the connection to its first authentic check: the peer has its answer already when it connects, and
sends its check at once; TCP repeats a lost one twice in that time."""
MAX_CONNECTIONS: Final = 1_024


def frame(packet: bytes) -> bytes:
    """Raises ValueError for more than 65,535 octets, which no frame holds."""
    if len(packet) > 0xFFFF:
        raise ValueError(f"{len(packet)} octets in a frame")
    return len(packet).to_bytes(2, "big") + packet


class BrokenFraming(ValueError):
    """What follows can't be told apart any more."""


class Framer:
    """The packets of one stream."""

    def __init__(self, largest: int = LARGEST) -> None:
        self._largest = largest
        self._rest = bytearray()

    def feed(self, data: bytes) -> Iterator[bytes]:
        """Whole packets; empty frames, which keep connections alive, are left out. At most one unfinished packet is
        kept. Raises :class:`BrokenFraming` for one longer than the largest, after those before it."""
        self._rest += data
        at = 0
        try:
            while len(self._rest) - at >= 2:
                size = int.from_bytes(self._rest[at : at + 2], "big")
                if size > self._largest:
                    raise BrokenFraming(f"a frame of {size} octets")
                if len(self._rest) - at - 2 < size:
                    return
                at += 2 + size
                if size:
                    yield bytes(self._rest[at - size : at])
        finally:
            del self._rest[:at]


@dataclass(slots=True)
class _Connection:
    framer: Framer = field(default_factory=Framer)
    begun: bool = False
    """Its first packet was STUN."""


class Connections:
    """Packets of many streams, by flow. Datagrams with no bytes close a flow's connection, as in signalling."""

    def __init__(self, most: int = MAX_CONNECTIONS) -> None:
        self._most = most
        self._connections: dict[Flow, _Connection] = {}
        self._waiting: dict[Flow, float] = {}
        """Until when those not vouched for may stay; in the order of their ends, for all have the same patience."""
        self._out: deque[tuple[bytes, Flow]] = deque()
        self._packets: deque[tuple[bytes, Flow]] = deque()
        self.refused = 0
        """Connections that were closed before they were vouched for, or because their framing broke."""

    def __len__(self) -> int:
        return len(self._connections)

    def opened(self, flow: Flow, now: float) -> None:
        """A connection was accepted. When there are as many as may be, the one not vouched for that has waited longest
        makes way; where all are, this one goes."""
        if len(self._connections) >= self._most:
            victim = next(iter(self._waiting), None)
            if victim is None:
                self.refused += 1
                self._out.append((b"", flow))
                return
            self._refuse(victim)
        self._connections[flow] = _Connection()
        self._waiting[flow] = now + PATIENCE

    def vouch(self, flow: Flow) -> None:
        """An authentic check came over it."""
        self._waiting.pop(flow, None)

    def send(self, packet: bytes, flow: Flow) -> None:
        """To a connection that is gone: nothing."""
        if flow in self._connections:
            self._out.append((frame(packet), flow))

    def receive(self, data: bytes, flow: Flow, now: float) -> None:
        """Any piece of a connection's stream."""
        connection = self._connections.get(flow)
        if connection is None:
            return
        try:
            for packet in connection.framer.feed(data):
                if not connection.begun and packet[0] > 3:
                    raise BrokenFraming("the first packet is no STUN")
                connection.begun = True
                self._packets.append((packet, flow))
        except BrokenFraming:
            self._refuse(flow)

    def closed(self, flow: Flow, now: float) -> None:
        """The peer closed it."""
        self._connections.pop(flow, None)
        self._waiting.pop(flow, None)

    def expire(self, now: float) -> None:
        for flow in [flow for flow, until in self._waiting.items() if until <= now]:
            self._refuse(flow)

    def deadline(self) -> float | None:
        return next(iter(self._waiting.values()), None)

    def datagrams(self) -> Iterator[tuple[bytes, Flow]]:
        """Bytes for the streams."""
        while self._out:
            yield self._out.popleft()

    def events(self) -> Iterator[tuple[bytes, Flow]]:
        """Packets for the gateway, or where they are RTP for the media process."""
        while self._packets:
            yield self._packets.popleft()

    def _refuse(self, flow: Flow) -> None:
        self.closed(flow, 0.0)
        self.refused += 1
        self._out.append((b"", flow))
