"""Where SIP bytes come from and go to."""

from __future__ import annotations

import enum
from collections.abc import Iterator
from dataclasses import dataclass
from typing import Protocol, TypeVar


class Transport(enum.StrEnum):
    """SIP transports (RFC 3261 §18; WS and WSS are RFC 7118)."""

    UDP = "UDP"
    TCP = "TCP"
    TLS = "TLS"
    WS = "WS"
    WSS = "WSS"

    @property
    def reliable(self) -> bool:
        """No retransmissions by us; messages are framed by Content-Length, over WebSockets by the transport."""
        return self is not Transport.UDP

    @property
    def websocket(self) -> bool:
        """The peer opened the connection, a message is one frame (RFC 7118 §5), and there is no other way to it."""
        return self in (Transport.WS, Transport.WSS)


Connection = tuple[Transport, tuple[str, int]]
"""What names a stream connection: transport and the peer's address."""


@dataclass(frozen=True, slots=True)
class Flow:
    """A path to one peer: RFC 5626 §3's flow.

    For the stream transports the pair (transport, remote) names the connection; sending on a flow that has no
    connection makes the driver open one.
    """

    transport: Transport
    local: tuple[str, int]
    """Our listener's address."""
    remote: tuple[str, int]
    """The peer's address as the kernel says it."""

    @property
    def connection(self) -> Connection:
        return self.transport, self.remote


Event_co = TypeVar("Event_co", covariant=True)


class Core(Protocol[Event_co]):
    """The contract of every sans-IO signalling core: one mutation, then drain both and read the deadline."""

    def receive(self, data: bytes, flow: Flow, now: float) -> None:
        """One datagram, or any piece of a byte stream."""

    def closed(self, flow: Flow, now: float) -> None:
        """A stream connection ended or could not be opened."""

    def expire(self, now: float) -> None:
        """The deadline has come."""

    def deadline(self) -> float | None: ...

    def datagrams(self) -> Iterator[tuple[bytes, Flow]]:
        """What to send where; no bytes (``b""``) close a stream's connection."""

    def events(self) -> Iterator[Event_co]: ...
