"""What any m-line of media says: its proto, its address, its direction; and what is said where it won't do."""

from __future__ import annotations

import ipaddress

from . import sdp
from .sdp import Connection, Direction, MediaDescription, SessionDescription

PLAIN = frozenset(("RTP/AVP", "RTP/AVPF"))
SECURE = frozenset(("RTP/SAVP", "RTP/SAVPF"))
"""Keyed by SDES."""
DTLS = frozenset(("UDP/TLS/RTP/SAVP", "UDP/TLS/RTP/SAVPF", "TCP/DTLS/RTP/SAVP", "TCP/DTLS/RTP/SAVPF"))
"""Keyed by DTLS (RFC 5764 §8; RFC 7850: that of the default candidate, whichever ICE takes in the end)."""


_CLASS_E = ipaddress.IPv4Address("240.0.0.0")
"""From here on: reserved, and the broadcast address (RFC 1112 §4)."""


class Unacceptable(Exception):
    """There is no call to be had on this description."""

    def __init__(self, code: int, warn_code: int, warning: str) -> None:
        super().__init__(warning)
        self.code = code
        """SIP status: 400 for what is no session description, else 488."""
        self.warn_code = warn_code
        """Of RFC 3261 §20.43."""
        self.warning = warning
        """Warn-text."""

    def header(self, host: str) -> tuple[str, str]:
        """The header field that tells the caller why (RFC 3261 §20.43); ``host``: ours."""
        agent = f"[{host}]" if ":" in host else host
        text = self.warning.replace("\\", "\\\\").replace('"', '\\"')
        return "Warning", f'{self.warn_code} {agent} "{text}"'


def parsed(data: bytes) -> SessionDescription:
    """Raises :class:`Unacceptable` with 400."""
    try:
        return sdp.parse(data)
    except sdp.SdpError as error:
        raise Unacceptable(400, 399, f"bad session description: {error}") from None


def unicast(description: SessionDescription, media: MediaDescription) -> Connection:
    """The m-line's connection. A stranger may not make us send to many, or to a network's broadcast address.

    Raises:
        Unacceptable: it has none, or such a one.
    """
    connection = description.connection_of(media)
    if connection is None:
        raise Unacceptable(400, 399, "no c= line")
    ip = connection.ip
    if isinstance(ip, ipaddress.IPv6Address) and ip.ipv4_mapped is not None:
        ip = ip.ipv4_mapped
    broadcast = isinstance(ip, ipaddress.IPv4Address) and ip >= _CLASS_E
    if ip is not None and (ip.is_multicast or broadcast):
        raise Unacceptable(488, 330, "only unicast addresses are served")
    return connection


def line_direction(description: SessionDescription, media: MediaDescription, connection: Connection) -> Direction:
    """With 0.0.0.0 counted as not receiving (the hold of RFC 2543, RFC 3264 §8.4)."""
    direction = description.direction_of(media)
    if connection.ip is not None and connection.ip.is_unspecified:
        return Direction.of(direction.sends, False)
    return direction


def line_address(connection: Connection, port: int) -> tuple[str, int] | None:
    """Where they receive; None: nowhere (0.0.0.0), or at a name that we don't look up."""
    ip = connection.ip
    return None if ip is None or ip.is_unspecified or not 0 < port < 65_536 else (str(ip), port)


def line_rtcp(connection: Connection, media: MediaDescription) -> tuple[str, int] | None:
    """RFC 3605, else the next port. Another host than the media's isn't believed: nothing proves that it asked."""
    rtcp = media.rtcp
    return line_address(connection, rtcp.port if rtcp else media.port + 1)
