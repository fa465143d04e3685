"""STUN messages as ICE uses them (RFC 8489, RFC 8445 §7): read strictly, written once.

:func:`parse` raises :class:`StunError` and nothing else. What is behind MESSAGE-INTEGRITY is not authenticated and not
read (RFC 8489 §14.5); of an attribute that comes twice the first counts (§14); an attribute that must be understood and
is not stands in :attr:`Message.unknown`, for 420.
"""

from __future__ import annotations

import binascii
import hmac
import ipaddress
import struct
from collections.abc import Iterable
from dataclasses import dataclass
from typing import Final

COOKIE: Final = 0x2112A442
REQUEST: Final = 0x000
INDICATION: Final = 0x010
SUCCESS: Final = 0x100
ERROR: Final = 0x110
BINDING: Final = 0x001

USERNAME: Final = 0x0006
MESSAGE_INTEGRITY: Final = 0x0008
ERROR_CODE: Final = 0x0009
UNKNOWN_ATTRIBUTES: Final = 0x000A
XOR_MAPPED_ADDRESS: Final = 0x0020
PRIORITY: Final = 0x0024
USE_CANDIDATE: Final = 0x0025
FINGERPRINT: Final = 0x8028
ICE_CONTROLLED: Final = 0x8029
ICE_CONTROLLING: Final = 0x802A

UNDERSTOOD: Final = frozenset({USERNAME, MESSAGE_INTEGRITY, ERROR_CODE, UNKNOWN_ATTRIBUTES, XOR_MAPPED_ADDRESS}) | {
    PRIORITY,
    USE_CANDIDATE,
}
"""Of those below 0x8000, which must be understood (RFC 8489 §14)."""
SIZES: Final = {
    MESSAGE_INTEGRITY: 20,
    PRIORITY: 4,
    USE_CANDIDATE: 0,
    FINGERPRINT: 4,
    ICE_CONTROLLED: 8,
    ICE_CONTROLLING: 8,
}
LARGEST: Final = 1_500
"""Checks stay below the path's MTU (RFC 8489 §6.1)."""
MAX_ATTRIBUTES: Final = 32
MAX_USERNAME: Final = 513
"""RFC 8489 §14.3."""

_HEADER = struct.Struct("!HHI12s")
_ATTRIBUTE = struct.Struct("!HH")
_CRC_XOR: Final = 0x5354554E


class StunError(ValueError):
    """These bytes are no STUN message."""


@dataclass(frozen=True, slots=True)
class Message:
    kind: int
    """REQUEST, INDICATION, SUCCESS or ERROR."""
    method: int
    transaction: bytes
    """96 bits."""
    attributes: dict[int, bytes]
    """Values by type, without padding."""
    unknown: tuple[int, ...]
    """Types that must be understood and are not."""
    signed: bytes
    """What MESSAGE-INTEGRITY covers, the length in the header set to end with it; empty where there is none."""

    def verified(self, password: bytes) -> bool:
        """Its MESSAGE-INTEGRITY is there and was made with that short-term password (RFC 8489 §9.1)."""
        if not self.signed:
            return False
        return hmac.compare_digest(self.attributes[MESSAGE_INTEGRITY], hmac.digest(password, self.signed, "sha1"))

    def number(self, attribute: int) -> int:
        """Value of a numeric attribute, 0 where it is absent."""
        return int.from_bytes(self.attributes.get(attribute, b""), "big")

    @property
    def username(self) -> tuple[str, str] | None:
        """The two fragments of an ICE check's USERNAME: its receiver's, then its sender's (RFC 8445 §7.2.2)."""
        value = self.attributes.get(USERNAME, b"")
        receiver, colon, sender = value.partition(b":")
        if not colon or len(value) > MAX_USERNAME or not value.isascii():
            return None
        return receiver.decode(), sender.decode()

    @property
    def error(self) -> int:
        """Code of ERROR-CODE, 0 where it is absent."""
        value = self.attributes.get(ERROR_CODE, b"")
        return (value[2] & 7) * 100 + value[3] if len(value) >= 4 else 0

    def mapped(self) -> tuple[str, int]:
        """XOR-MAPPED-ADDRESS. Raises :class:`StunError` where it is absent or malformed."""
        value = self.attributes.get(XOR_MAPPED_ADDRESS, b"")
        if len(value) not in (8, 20) or value[1] != (1 if len(value) == 8 else 2):
            raise StunError("no XOR-MAPPED-ADDRESS")
        plain = _xor(value[2:], self.transaction)
        return str(ipaddress.ip_address(plain[2:])), int.from_bytes(plain[:2], "big")


def parse(data: bytes) -> Message:
    """One datagram. Raises :class:`StunError`."""
    size = len(data)
    if not 20 <= size <= LARGEST:
        raise StunError("of a wrong size")
    kind, length, cookie, transaction = _HEADER.unpack_from(data)
    if kind & 0xC000 or cookie != COOKIE or length != size - 20 or size % 4:
        raise StunError("no STUN header")
    attributes: dict[int, bytes] = {}
    unknown: list[int] = []
    signed = b""
    at, count = 20, 0
    while at < size:
        name, length = _ATTRIBUTE.unpack_from(data, at)
        end = at + 4 + length
        count += 1
        if end > size or count > MAX_ATTRIBUTES or length != SIZES.get(name, length):
            raise StunError("an attribute of a wrong length")
        if name == FINGERPRINT:
            _check_fingerprint(data, at, end)
            attributes.setdefault(name, data[at + 4 : end])
        elif not signed:
            if name == MESSAGE_INTEGRITY:
                signed = data[:2] + (at + 4).to_bytes(2, "big") + data[4:at]
            elif name < 0x8000 and name not in UNDERSTOOD:
                unknown.append(name)
            attributes.setdefault(name, data[at + 4 : end])
        at = end + (-length & 3)
    return Message(kind & 0x0110, kind & 0x3EEF, transaction, attributes, tuple(unknown), signed)


def _check_fingerprint(data: bytes, at: int, end: int) -> None:
    """It is the last attribute (RFC 8489 §14.7), so that the header's length is the one it was made with."""
    if end != len(data) or binascii.crc32(data[:at]) ^ _CRC_XOR != int.from_bytes(data[at + 4 : end], "big"):
        raise StunError("a wrong FINGERPRINT")


def build(
    kind: int, transaction: bytes, attributes: Iterable[tuple[int, bytes]] = (), *, password: bytes | None = None
) -> bytes:
    """A Binding message with FINGERPRINT, and MESSAGE-INTEGRITY where there is a password."""
    body = b"".join(_ATTRIBUTE.pack(name, len(value)) + value + bytes(-len(value) & 3) for name, value in attributes)
    if password is not None:
        covered = _HEADER.pack(kind | BINDING, len(body) + 24, COOKIE, transaction) + body
        body += b"\x00\x08\x00\x14" + hmac.digest(password, covered, "sha1")
    message = _HEADER.pack(kind | BINDING, len(body) + 8, COOKIE, transaction) + body
    return message + b"\x80\x28\x00\x04" + (binascii.crc32(message) ^ _CRC_XOR).to_bytes(4, "big")


def xor_address(address: tuple[str, int], transaction: bytes) -> bytes:
    """Value of XOR-MAPPED-ADDRESS (RFC 8489 §14.2). Raises ValueError for a host that is not numeric."""
    host = ipaddress.ip_address(address[0])
    if isinstance(host, ipaddress.IPv6Address):
        host = host.ipv4_mapped or host  # what a socket for both families says of an IPv4 peer
    family = b"\0\1" if host.version == 4 else b"\0\2"
    return family + _xor(address[1].to_bytes(2, "big") + host.packed, transaction)


def error_code(code: int) -> bytes:
    """Value of ERROR-CODE, without a reason: an answer to a stranger is hardly longer than what he sent."""
    return bytes((0, 0, code // 100, code % 100))


def _xor(port_and_host: bytes, transaction: bytes) -> bytes:
    size = len(port_and_host)
    pad = (b"\x21\x12" + COOKIE.to_bytes(4, "big") + transaction)[:size]
    return (int.from_bytes(port_and_host, "big") ^ int.from_bytes(pad, "big")).to_bytes(size, "big")
