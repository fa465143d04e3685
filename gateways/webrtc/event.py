"""What the gateway tells, and what it counts. An ``id`` is the one that :meth:`.gateway.Gateway.open` was given."""

from __future__ import annotations

from dataclasses import dataclass

from bridge.signalling.flow import Flow
from bridge.worker.protocol import SrtpKey


@dataclass(frozen=True, slots=True)
class Connected:
    """The peer nominated a pair, the first one or the first after :class:`ConsentLost`."""

    id: str
    remote: Flow


@dataclass(frozen=True, slots=True)
class Moved:
    """The peer nominated another pair. The keys stay."""

    id: str
    remote: Flow


@dataclass(frozen=True, slots=True)
class Keys:
    """A handshake is done, and the certificate is the one that the description names. Media may begin, both ways, at
    ``remote``. Chromium's come some 50 ms before :class:`Connected`. Later ones replace the first: the peer began a new
    association."""

    id: str
    send: SrtpKey
    receive: SrtpKey
    remote: Flow


@dataclass(frozen=True, slots=True)
class ConsentLost:
    """The peer no longer says that it wants media (RFC 7675): send none until it is connected again."""

    id: str


@dataclass(frozen=True, slots=True)
class Closed:
    """The peer closed its end of the association (close_notify): no more media comes."""

    id: str


@dataclass(frozen=True, slots=True)
class Failed:
    """There will be no media. The transport stays until it is closed, or gets other parameters."""

    id: str
    reason: str


GatewayEvent = Connected | Moved | Keys | ConsentLost | Closed | Failed


@dataclass(slots=True)
class Counters:
    """Since the start."""

    checks: int = 0
    """Authenticated STUN checks."""
    refused: int = 0
    """STUN requests without, or with wrong, credentials."""
    unanswered: int = 0
    """Of those, the ones beyond what is answered a second."""
    malformed: int = 0
    """Datagrams that look like STUN and are none."""
    contested: int = 0
    """Checks from an address that another transport is using."""
    strangers: int = 0
    """DTLS from addresses that proved nothing."""
    crowded: int = 0
    """Handshakes that had to wait."""
    other: int = 0
    """Datagrams that are neither STUN nor DTLS."""
    opened: int = 0
    established: int = 0
    failed: int = 0
    lost: int = 0
    """Times that a peer's consent ended."""
