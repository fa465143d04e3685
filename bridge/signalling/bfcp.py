"""Messages of the Binary Floor Control Protocol (RFC 8855 §5), to and from bytes.

>>> hello = Message(Primitive.HELLO, conference=4711, transaction=1, user=3)
>>> parse(build(hello), "udp") == hello
True
"""

from __future__ import annotations

import enum
import struct
from collections.abc import Iterable, Iterator
from dataclasses import dataclass, replace
from typing import Literal

Transport = Literal["udp", "tcp"]

HEADER = 12
"""Octets; §5.1."""
FRAGMENT = 4
"""Octets more in a fragment."""
MAX_MESSAGE = 8192
"""Octets of a message that we read, fragments put together. The longest that a client has reason to send has some
hundred."""
MAX_ATTRIBUTES = 64
DEPTH = 3
"""Grouped attributes within each other: FLOOR-REQUEST-INFORMATION holds OVERALL-REQUEST-STATUS holds REQUEST-STATUS."""


class Primitive(enum.IntEnum):
    """§5.1 table 1."""

    FLOOR_REQUEST = 1
    FLOOR_RELEASE = 2
    FLOOR_REQUEST_QUERY = 3
    FLOOR_REQUEST_STATUS = 4
    USER_QUERY = 5
    USER_STATUS = 6
    FLOOR_QUERY = 7
    FLOOR_STATUS = 8
    CHAIR_ACTION = 9
    CHAIR_ACTION_ACK = 10
    HELLO = 11
    HELLO_ACK = 12
    ERROR = 13
    FLOOR_REQUEST_STATUS_ACK = 14
    FLOOR_STATUS_ACK = 15
    GOODBYE = 16
    GOODBYE_ACK = 17


class Kind(enum.IntEnum):
    """§5.2 table 2: attributes."""

    BENEFICIARY_ID = 1
    FLOOR_ID = 2
    FLOOR_REQUEST_ID = 3
    PRIORITY = 4
    REQUEST_STATUS = 5
    ERROR_CODE = 6
    ERROR_INFO = 7
    PARTICIPANT_PROVIDED_INFO = 8
    STATUS_INFO = 9
    SUPPORTED_ATTRIBUTES = 10
    SUPPORTED_PRIMITIVES = 11
    USER_DISPLAY_NAME = 12
    USER_URI = 13
    BENEFICIARY_INFORMATION = 14
    FLOOR_REQUEST_INFORMATION = 15
    REQUESTED_BY_INFORMATION = 16
    FLOOR_REQUEST_STATUS = 17
    OVERALL_REQUEST_STATUS = 18


NUMBERS = frozenset((Kind.BENEFICIARY_ID, Kind.FLOOR_ID, Kind.FLOOR_REQUEST_ID, Kind.PRIORITY, Kind.REQUEST_STATUS))
"""Attributes of two octets."""
GROUPS = frozenset(
    (
        Kind.BENEFICIARY_INFORMATION,
        Kind.FLOOR_REQUEST_INFORMATION,
        Kind.REQUESTED_BY_INFORMATION,
        Kind.FLOOR_REQUEST_STATUS,
        Kind.OVERALL_REQUEST_STATUS,
    )
)
"""Two octets, then attributes."""


class Status(enum.IntEnum):
    """§5.2.5 table 3."""

    PENDING = 1
    ACCEPTED = 2
    GRANTED = 3
    DENIED = 4
    CANCELLED = 5
    RELEASED = 6
    REVOKED = 7


class Error(enum.IntEnum):
    """§5.2.6 table 5."""

    NO_SUCH_CONFERENCE = 1
    NO_SUCH_USER = 2
    UNKNOWN_PRIMITIVE = 3
    UNKNOWN_ATTRIBUTE = 4
    UNAUTHORIZED = 5
    INVALID_FLOOR = 6
    NO_SUCH_REQUEST = 7
    TOO_MANY_REQUESTS = 8
    UNABLE_TO_PARSE = 10
    UNSUPPORTED_VERSION = 12
    INCORRECT_LENGTH = 13
    GENERIC = 14


class BfcpError(ValueError):
    """This is no message that can be worked with."""

    def __init__(self, code: Error, reason: str, header: Message | None = None, details: bytes = b"") -> None:
        super().__init__(reason)
        self.code = code
        """What to answer."""
        self.header = header
        """The message as far as it could be read: its header; None: not even that."""
        self.details = details
        """Of ERROR-CODE: the unknown attributes' types (§5.2.6)."""


@dataclass(frozen=True, slots=True)
class Attribute:
    kind: int
    content: bytes = b""
    """Of a group: its two octets."""
    inside: tuple[Attribute, ...] = ()
    mandatory: bool = False

    @property
    def number(self) -> int:
        """The first two octets; 0 where there are none."""
        return int.from_bytes(self.content[:2], "big") if len(self.content) >= 2 else 0

    @property
    def text(self) -> str:
        return self.content.decode("utf-8", "replace")


@dataclass(frozen=True, slots=True)
class Message:
    primitive: int
    conference: int
    transaction: int
    user: int
    attributes: tuple[Attribute, ...] = ()
    version: int = 2
    """1 over TCP, 2 over UDP; phones that follow drafts of RFC 8855 say 1 over UDP too."""
    response: bool = False
    """The R flag: it answers a request (UDP, version 2)."""

    def all(self, kind: Kind) -> Iterator[Attribute]:
        return (each for each in self.attributes if each.kind == kind)

    def first(self, kind: Kind) -> Attribute | None:
        return next(self.all(kind), None)


# -------------------------------------------------------------------------------------------------- writing


def number(kind: Kind, value: int) -> Attribute:
    return Attribute(kind, struct.pack(">H", value))


def status(value: Status, place: int = 0) -> Attribute:
    """REQUEST-STATUS."""
    return Attribute(Kind.REQUEST_STATUS, bytes((value, place)))


def text(kind: Kind, value: str, most: int = 64) -> Attribute:
    """At most so many octets, none of them half a character."""
    return Attribute(kind, value.encode("utf-8", "replace")[:most].decode("utf-8", "ignore").encode())


def group(kind: Kind, value: int, *inside: Attribute) -> Attribute:
    return Attribute(kind, struct.pack(">H", value), tuple(inside))


def build(message: Message) -> bytes:
    """Raises ValueError for an attribute that is too long: ours never are."""
    body = b"".join(map(_built, message.attributes))
    first = message.version << 5 | message.response << 4
    head = struct.pack(">BBHIHH", first, message.primitive, len(body) // 4, message.conference, message.transaction,
                       message.user)  # fmt: skip
    return head + body


def _built(attribute: Attribute) -> bytes:
    content = attribute.content + b"".join(map(_built, attribute.inside))
    size = 2 + len(content)
    if size > 255:
        raise ValueError(f"an attribute of {size} octets")
    return bytes((attribute.kind << 1 | attribute.mandatory, size)) + content + bytes(-size % 4)


# -------------------------------------------------------------------------------------------------- reading


@dataclass(frozen=True, slots=True)
class Fragment:
    """A part of a message (§6.2.3)."""

    header: bytes
    """Of the whole message, without the fragment's own fields and its flag."""
    offset: int
    """Octets of body before it."""
    body: bytes
    total: int
    """Octets of the whole body."""

    @property
    def key(self) -> bytes:
        return self.header


def parse(data: bytes, transport: Transport) -> Message:
    """A whole message. Raises :class:`BfcpError`, and nothing else."""
    found = read(data, transport)
    if isinstance(found, Fragment):
        raise BfcpError(Error.UNABLE_TO_PARSE, "a part of a message")
    return found


def read(data: bytes, transport: Transport) -> Message | Fragment:
    """A datagram, or a message out of a stream. Raises :class:`BfcpError`, and nothing else."""
    if len(data) < HEADER:
        raise BfcpError(Error.UNABLE_TO_PARSE, "shorter than a header")
    first, primitive, length, conference, transaction, user = struct.unpack_from(">BBHIHH", data)
    version, response, part = first >> 5, bool(first & 0x10), bool(first & 0x08)
    header = Message(primitive, conference, transaction, user, (), version, response)
    if version not in ((1,) if transport == "tcp" else (1, 2)):
        raise BfcpError(Error.UNSUPPORTED_VERSION, f"version {version}", header)
    if 4 * length > MAX_MESSAGE:
        raise BfcpError(Error.INCORRECT_LENGTH, "too long", header)
    if part and transport == "udp":
        return _fragment(data, 4 * length, header)
    if len(data) != HEADER + 4 * length:
        raise BfcpError(Error.INCORRECT_LENGTH, f"{len(data)} octets, not {HEADER + 4 * length}", header)
    return whole(data[:HEADER], data[HEADER:])


def whole(head: bytes, body: bytes) -> Message:
    """A message of a header and its whole body. Raises :class:`BfcpError`."""
    first, primitive, _, conference, transaction, user = struct.unpack(">BBHIHH", head)
    header = Message(primitive, conference, transaction, user, (), first >> 5, bool(first & 0x10))
    unknown: list[int] = []
    count = [0]
    attributes = tuple(_attributes(body, header, unknown, count, DEPTH))
    if unknown:
        # §5.2: what is marked as mandatory has to be understood.
        types = bytes(kind << 1 for kind in dict.fromkeys(unknown))
        raise BfcpError(Error.UNKNOWN_ATTRIBUTE, "unknown mandatory attributes", header, types)
    return replace(header, attributes=attributes)


def _fragment(data: bytes, total: int, header: Message) -> Fragment:
    if len(data) < HEADER + FRAGMENT:
        raise BfcpError(Error.UNABLE_TO_PARSE, "shorter than a fragment's header", header)
    offset, length = (4 * value for value in struct.unpack_from(">HH", data, HEADER))
    body = data[HEADER + FRAGMENT :]
    if len(body) != length or not length or offset + length > total:
        raise BfcpError(Error.INCORRECT_LENGTH, "a part that is not where it says", header)
    return Fragment(bytes((data[0] & ~0x08,)) + data[1:HEADER], offset, body, total)


def _attributes(body: bytes, header: Message, unknown: list[int], count: list[int], depth: int) -> Iterator[Attribute]:
    at = 0
    while at < len(body):
        if len(body) - at < 2:
            raise BfcpError(Error.UNABLE_TO_PARSE, "half an attribute", header)
        kind, mandatory, size = body[at] >> 1, bool(body[at] & 1), body[at + 1]
        if size < 2 or at + size > len(body):
            raise BfcpError(Error.UNABLE_TO_PARSE, f"an attribute of {size} octets", header)
        count[0] += 1
        if count[0] > MAX_ATTRIBUTES:
            raise BfcpError(Error.UNABLE_TO_PARSE, "too many attributes", header)
        content = body[at + 2 : at + size]
        at += size + -size % 4
        if kind in GROUPS:
            if len(content) < 2 or depth == 0:
                raise BfcpError(Error.UNABLE_TO_PARSE, "no such group", header)
            inside = tuple(_attributes(content[2:], header, unknown, count, depth - 1))
            yield Attribute(kind, content[:2], inside, mandatory)
        elif kind in NUMBERS and len(content) != 2:
            raise BfcpError(Error.UNABLE_TO_PARSE, f"attribute {kind} of {len(content)} octets", header)
        elif kind in _KNOWN:
            yield Attribute(kind, content, (), mandatory)
        elif mandatory:
            unknown.append(kind)


_KNOWN = frozenset(Kind)


class Assembly:
    """Fragments of one sender, put together. One message at a time: clients have one transaction open (§8.2)."""

    def __init__(self) -> None:
        self._key = b""
        self._parts: dict[int, bytes] = {}

    def take(self, fragment: Fragment) -> Message | None:
        """The message, when this was its last part.

        Raises:
            BfcpError: the parts don't fit together.
        """
        if fragment.key != self._key:
            self._key, self._parts = fragment.key, {}
        self._parts[fragment.offset] = fragment.body
        have = sum(map(len, self._parts.values()))
        if have < fragment.total:
            return None
        body = b""
        for offset, part in sorted(self._parts.items()):
            if offset != len(body):
                self._key, self._parts = b"", {}
                raise BfcpError(Error.UNABLE_TO_PARSE, "parts that overlap")
            body += part
        head, self._key, self._parts = self._key, b"", {}
        return whole(head, body)


class Stream:
    """Messages out of a TCP connection's bytes."""

    def __init__(self) -> None:
        self._buffer = bytearray()

    def feed(self, data: bytes) -> Iterable[bytes]:
        """Whole messages, not read yet.

        Raises:
            BfcpError: what comes can't be a message; nothing that follows can be told apart any more.
        """
        self._buffer += data
        found = []
        while len(self._buffer) >= HEADER:
            size = HEADER + 4 * int.from_bytes(self._buffer[2:4], "big")
            if self._buffer[0] >> 5 != 1 or size > HEADER + MAX_MESSAGE:
                raise BfcpError(Error.UNABLE_TO_PARSE, "no messages of BFCP")
            if len(self._buffer) < size:
                break
            found.append(bytes(self._buffer[:size]))
            del self._buffer[:size]
        return found
