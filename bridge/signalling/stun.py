"""STUN binding requests at the SIP port: how phones keep a UDP flow through a NAT open, and learn that they moved (RFC
5626 §3.5.2 and §4.4.2, RFC 8489). They ask for nothing else here, and prove nothing."""

from __future__ import annotations

import ipaddress
import struct
from collections.abc import Iterator

HEADER = 20
COOKIE = 0x2112A442
"""RFC 8489 §5."""
REQUEST, SUCCESS, ERROR = 0x0001, 0x0101, 0x0111
"""Binding request and its responses (§5)."""
XOR_MAPPED_ADDRESS, ERROR_CODE, UNKNOWN_ATTRIBUTES = 0x0020, 0x0009, 0x000A
UNKNOWN = b"\0\0\4\x14"
"""420, without words: nobody reads them, and they would make the response larger (§14.8)."""
OPTIONAL = 0x8000
"""Attributes from here on may be passed over (§14)."""
IPV4, IPV6 = 1, 2
MOST_UNKNOWN = 8
"""Attributes that are named in an error: no response is much larger than its request."""


class NotStun(ValueError):
    """Nothing to answer."""


def response(datagram: bytes, remote: tuple[str, int]) -> bytes:
    """What to send to ``remote``, whose binding request this is: its address as we see it, or error 420 for attributes
    that it wants understood.

    Raises:
        NotStun: it is none.
    """
    if len(datagram) < HEADER:
        raise NotStun("too short")
    kind, length, cookie = struct.unpack_from("!HHI", datagram)
    if kind != REQUEST or cookie != COOKIE or length % 4 or length != len(datagram) - HEADER:
        raise NotStun("no binding request")
    unknown = [kind for kind in _attributes(datagram[HEADER:]) if kind < OPTIONAL]
    if unknown:
        named = struct.pack(f"!{len(unknown[:MOST_UNKNOWN])}H", *unknown[:MOST_UNKNOWN])
        body = _attribute(ERROR_CODE, UNKNOWN) + _attribute(UNKNOWN_ATTRIBUTES, named)
        return _message(ERROR, datagram, body)
    return _message(SUCCESS, datagram, _attribute(XOR_MAPPED_ADDRESS, _mapped(remote, datagram[4:HEADER])))


def _attributes(body: bytes) -> Iterator[int]:
    """Types, in their order."""
    at = 0
    while at < len(body):
        kind, length = struct.unpack_from("!HH", body, at)  # whole words are left, so there are four octets
        at += 4 + (length + 3 & ~3)
        if at > len(body):
            raise NotStun("an attribute without end")
        yield kind


def _attribute(kind: int, value: bytes) -> bytes:
    return struct.pack("!HH", kind, len(value)) + value + bytes(-len(value) % 4)


def _message(kind: int, request: bytes, body: bytes) -> bytes:
    return struct.pack("!HH", kind, len(body)) + request[4:HEADER] + body


def _mapped(remote: tuple[str, int], mask: bytes) -> bytes:
    """§14.2: hidden under cookie and transaction, from NATs that rewrite every address they see."""
    address = ipaddress.ip_address(remote[0].partition("%")[0])
    hidden = bytes(a ^ b for a, b in zip(address.packed, mask, strict=False))
    return struct.pack("!BBH", 0, IPV4 if address.version == 4 else IPV6, remote[1] ^ COOKIE >> 16) + hidden
