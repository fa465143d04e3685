"""What a gateway tells of calls' transports (ICE, DTLS). An ``id`` is one that it was opened under."""

from __future__ import annotations

from dataclasses import dataclass
from typing import TypeAlias

from bridge.worker.protocol import Address, SrtpKey


@dataclass(frozen=True, slots=True)
class Reached:
    """The peer chose the path to it, the first or another one: media goes there."""

    id: str
    remote: Address


@dataclass(frozen=True, slots=True)
class Keyed:
    """The peer's certificate is the one that its description names, and these are the keys; later ones replace them."""

    id: str
    send: SrtpKey
    receive: SrtpKey


@dataclass(frozen=True, slots=True)
class Unreachable:
    """The peer no longer says that it wants media (RFC 7675): send none until it is reached again."""

    id: str


@dataclass(frozen=True, slots=True)
class Broken:
    """There will be no media."""

    id: str
    reason: str


TransportEvent: TypeAlias = Reached | Keyed | Unreachable | Broken
