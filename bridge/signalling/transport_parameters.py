"""What one side's session description says of an ICE and DTLS transport (RFC 8839, RFC 8122, RFC 8842).

One transport is one 5-tuple: an m-line by itself, or all those of a BUNDLE group. The same words serve both ways: what
the peer wrote, and what we are to write.
"""

from __future__ import annotations

import enum
import re
from dataclasses import dataclass, field

from .sdp import SdpError

DIGESTS = {"sha-256": 32, "sha-384": 48, "sha-512": 64}
"""Hash functions whose fingerprints we compare, with bytes of digest; the last is preferred. SHA-1 and older ones no
longer bind a certificate."""

_FINGERPRINT = re.compile(r"([A-Za-z0-9-]{1,32}) +([0-9A-Fa-f]{2}(?::[0-9A-Fa-f]{2}){0,127})", re.ASCII)


class Setup(enum.StrEnum):
    """``a=setup`` (RFC 4145): who sends the ClientHello."""

    ACTIVE = "active"
    PASSIVE = "passive"
    ACTPASS = "actpass"


@dataclass(frozen=True, slots=True)
class Fingerprint:
    """One ``a=fingerprint`` line (RFC 8122 §5)."""

    algorithm: str
    """As in the registry, in lower case: ``sha-256``."""
    digest: bytes

    def __str__(self) -> str:
        return f"{self.algorithm} {self.digest.hex(':').upper()}"

    @classmethod
    def parse(cls, value: str) -> Fingerprint:
        """Of any hash function, also one that we don't know. Raises :class:`SdpError`."""
        match = _FINGERPRINT.fullmatch(value.strip())
        if match is None:
            raise SdpError("bad a=fingerprint")
        algorithm, digest = match[1].lower(), bytes.fromhex(match[2].replace(":", ""))
        if len(digest) != DIGESTS.get(algorithm, len(digest)):
            raise SdpError("a=fingerprint of a wrong length")
        return cls(algorithm, digest)


@dataclass(frozen=True, slots=True)
class Candidate:
    """One ``a=candidate`` line (RFC 8839 §5.1; TCP: RFC 6544 §4.5)."""

    foundation: str
    priority: int
    address: str
    port: int
    transport: str = "udp"
    type: str = "host"
    tcp_type: str = ""
    """``passive`` for our TCP candidates, else empty."""
    component: int = 1
    """1: with rtcp-mux there is no other (RFC 8445 §13)."""

    def __str__(self) -> str:
        tcp = f" tcptype {self.tcp_type}" if self.tcp_type else ""
        where = f"{self.priority} {self.address} {self.port} typ {self.type}"
        return f"{self.foundation} {self.component} {self.transport} {where}{tcp}"


@dataclass(frozen=True, slots=True)
class TransportParameters:
    """All of it. Attributes of the session level hold for each m-line that has none of its own."""

    fingerprints: tuple[Fingerprint, ...]
    setup: Setup
    ufrag: str = ""
    """Empty: no ICE."""
    password: str = field(default="", repr=False)
    lite: bool = False
    """``a=ice-lite``: sends no checks, so that two such ones use the addresses in their descriptions."""
    candidates: tuple[Candidate, ...] = ()
    """Ours. The peer's are not asked for: a lite agent learns its peer's addresses from the peer's checks."""
    address: tuple[str, int] | None = None
    """``c=`` and ``m=``, numeric: where a peer without ICE sends DTLS and media from and awaits them."""
