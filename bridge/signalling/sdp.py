"""Session descriptions (RFC 8866): a model that keeps every line, known or not, in its order.

>>> parse(b"v=0\\r\\no=- 1 1 IN IP4 192.0.2.1\\r\\ns=-\\r\\nt=0 0\\r\\nx=kept\\r\\n").line("x")
'kept'

What is well formed prints as it was read. :func:`parse` checks the structure; the typed accessors never raise: an
attribute that makes no sense reads as absent, as if the peer had not sent it.
"""

from __future__ import annotations

import enum
import ipaddress
import re
from collections.abc import Iterator
from dataclasses import dataclass

MAX_BYTES = 65_536
"""A UDP datagram holds no more, and the largest browser offer that we know is 6 kB."""
MAX_LINES = 2_000
MAX_MEDIA = 32
MAX_FORMATS = 256
"""RTP has 128 payload types."""

_LINE = re.compile(r"([a-z])=([^\0\r]*)", re.ASCII)
_TOKEN = re.compile(r"[!#-'*+\-./0-9A-Z^-~]+", re.ASCII)
"""RFC 8866 §9 token, and "/", which stands in proto."""
_DIGITS = re.compile(r"[0-9]{1,40}", re.ASCII)


class SdpError(ValueError):
    """This is no session description that can be worked with."""


class Direction(enum.StrEnum):
    """RFC 8866 §6.7, from the point of view of whoever wrote the description."""

    SENDRECV = "sendrecv"
    SENDONLY = "sendonly"
    RECVONLY = "recvonly"
    INACTIVE = "inactive"

    @classmethod
    def of(cls, sends: bool, receives: bool) -> Direction:
        if sends:
            return cls.SENDRECV if receives else cls.SENDONLY
        return cls.RECVONLY if receives else cls.INACTIVE

    @property
    def sends(self) -> bool:
        return self in (Direction.SENDRECV, Direction.SENDONLY)

    @property
    def receives(self) -> bool:
        return self in (Direction.SENDRECV, Direction.RECVONLY)

    @property
    def reversed(self) -> Direction:
        """The same, seen from the other side."""
        return Direction.of(self.receives, self.sends)

    def within(self, other: Direction) -> Direction:
        """What both allow."""
        return Direction.of(self.sends and other.sends, self.receives and other.receives)


_DIRECTIONS = {direction.value: direction for direction in Direction}


@dataclass(frozen=True, slots=True)
class Line:
    type: str
    """One lower-case letter."""
    value: str

    def __str__(self) -> str:
        return f"{self.type}={self.value}"


def attribute(name: str, value: str | int | None = None) -> Line:
    """``a=name`` or ``a=name:value``."""
    return Line("a", name if value is None else f"{name}:{value}")


@dataclass(frozen=True, slots=True)
class Origin:
    """``o=`` (§5.2). The numbers stay text, so that leading zeros survive."""

    username: str
    session_id: str
    version: str
    network: str
    address_type: str
    host: str

    def __str__(self) -> str:
        parts = (self.username, self.session_id, self.version, self.network, self.address_type, self.host)
        return " ".join(parts)


@dataclass(frozen=True, slots=True)
class Connection:
    """``c=`` (§5.7)."""

    network: str
    address_type: str
    address: str
    """With the ``/ttl`` and ``/number`` of multicast."""

    def __str__(self) -> str:
        return f"{self.network} {self.address_type} {self.address}"

    @property
    def host(self) -> str:
        """Address or name alone."""
        return self.address.partition("/")[0]

    @property
    def ip(self) -> ipaddress.IPv4Address | ipaddress.IPv6Address | None:
        """None for a host name, or an address of another family than it says."""
        return ip_of(self.address_type, self.host) if self.network == "IN" else None


@dataclass(frozen=True, slots=True)
class RtpMap:
    """``a=rtpmap`` (§6.6)."""

    payload_type: int
    name: str
    clock_rate: int
    channels: int = 1


@dataclass(frozen=True, slots=True)
class Rtcp:
    """``a=rtcp`` (RFC 3605)."""

    port: int
    connection: Connection | None


@dataclass(frozen=True, slots=True)
class ExtMap:
    """``a=extmap`` (RFC 8285 §5)."""

    id: int
    direction: Direction
    uri: str
    attributes: str = ""


@dataclass(frozen=True, slots=True)
class Group:
    """``a=group`` (RFC 5888 §5)."""

    semantics: str
    mids: tuple[str, ...]


class _Section:
    """What the session part and a media part have in common: lines."""

    __slots__ = ()
    lines: tuple[Line, ...]

    def line(self, kind: str) -> str | None:
        """The value of the first line of this type."""
        return next((line.value for line in self.lines if line.type == kind), None)

    @property
    def connection(self) -> Connection | None:
        value = self.line("c")
        return None if value is None else _connection(value)

    @property
    def bandwidth(self) -> dict[str, int]:
        """``b=`` (§5.8): type to kbit/s (bit/s for TIAS, RFC 3890)."""
        pairs = (line.value.partition(":") for line in self.lines if line.type == "b")
        return {name: int(number) for name, _, number in pairs if _DIGITS.fullmatch(number)}

    @property
    def attributes(self) -> tuple[tuple[str, str], ...]:
        """All ``a=`` lines as (name, value); a property attribute has the value ``""``."""
        pairs = (line.value.partition(":") for line in self.lines if line.type == "a")
        return tuple((name, value) for name, _, value in pairs)

    def all(self, name: str) -> Iterator[str]:
        """The values of every ``a=name``, in order."""
        return (value for key, value in self.attributes if key == name)

    def first(self, name: str) -> str | None:
        return next(self.all(name), None)

    def has(self, name: str) -> bool:
        return self.first(name) is not None

    @property
    def direction(self) -> Direction | None:
        """None: this part doesn't say (§6.7's default is then the session's, then sendrecv)."""
        return next((_DIRECTIONS[name] for name, _ in self.attributes if name in _DIRECTIONS), None)

    @property
    def extmaps(self) -> tuple[ExtMap, ...]:
        return tuple(found for value in self.all("extmap") if (found := _extmap(value)))

    @property
    def rtcp_xr(self) -> frozenset[str] | None:
        """Report block names of ``a=rtcp-xr`` (RFC 3611 §5.1), parameters cut off."""
        value = self.first("rtcp-xr")
        return None if value is None else frozenset(part.partition("=")[0] for part in value.split())


@dataclass(frozen=True, slots=True)
class MediaDescription(_Section):
    """One ``m=`` line and what belongs to it (§5.14)."""

    kind: str
    """audio, video, application..."""
    port: int
    """0: the stream is refused or ended (RFC 3264 §5.1, §6)."""
    proto: str
    """RTP/AVP, RTP/SAVP, RTP/AVPF, RTP/SAVPF, UDP/TLS/RTP/SAVPF..."""
    formats: tuple[str, ...]
    lines: tuple[Line, ...] = ()
    """All that follow the m= line."""
    port_count: int | None = None
    """Of ``m=video 49170/2``."""

    def __str__(self) -> str:
        count = "" if self.port_count is None else f"/{self.port_count}"
        head = f"m={self.kind} {self.port}{count} {self.proto} {' '.join(self.formats)}\r\n"
        return head + "".join(f"{line}\r\n" for line in self.lines)

    @property
    def payload_types(self) -> tuple[int, ...]:
        """The formats that are RTP payload types, in order of preference, each once."""
        numbers = (int(text) for text in self.formats if _DIGITS.fullmatch(text))
        return tuple(dict.fromkeys(number for number in numbers if number < 128))

    @property
    def rtpmaps(self) -> dict[int, RtpMap]:
        found = (_rtpmap(value) for value in self.all("rtpmap"))
        return {rtpmap.payload_type: rtpmap for rtpmap in found if rtpmap}

    def fmtp(self, payload_type: int) -> dict[str, str]:
        """Format parameters: keys in lower case; one without ``=`` has the value ``""``. Those that are not ASCII mean
        nothing in any format of ours, and could not be passed on."""
        for value in self.all("fmtp"):
            number, _, parameters = value.partition(" ")
            if number == str(payload_type):
                parts = (part.strip() for part in parameters.split(";"))
                pairs = (part.partition("=") for part in parts if part and part.isascii())
                return {key.strip().lower(): text.strip() for key, _, text in pairs}
        return {}

    @property
    def ptime(self) -> int | None:
        """Milliseconds (§6.4)."""
        return _milliseconds(self.first("ptime"))

    @property
    def maxptime(self) -> int | None:
        return _milliseconds(self.first("maxptime"))

    @property
    def rtcp(self) -> Rtcp | None:
        return _rtcp(self.first("rtcp") or "")

    @property
    def rtcp_mux(self) -> bool:
        """RFC 5761 §5.1.1."""
        return self.has("rtcp-mux")

    @property
    def crypto(self) -> tuple[str, ...]:
        """Values of ``a=crypto``, for :mod:`.sdes`."""
        return tuple(self.all("crypto"))

    @property
    def rtcp_fb(self) -> tuple[tuple[str, str], ...]:
        """(payload type or ``*``, feedback) of RFC 4585 §4.2."""
        pairs = (value.partition(" ") for value in self.all("rtcp-fb"))
        return tuple((number, what) for number, _, what in pairs if what)

    @property
    def mid(self) -> str | None:
        return self.first("mid")


@dataclass(frozen=True, slots=True)
class SessionDescription(_Section):
    origin: Origin
    lines: tuple[Line, ...]
    """The session part without its v= and o= lines."""
    media: tuple[MediaDescription, ...] = ()

    def __str__(self) -> str:
        head = f"v=0\r\no={self.origin}\r\n" + "".join(f"{line}\r\n" for line in self.lines)
        return head + "".join(map(str, self.media))

    def __bytes__(self) -> bytes:
        return str(self).encode("utf-8", "surrogateescape")

    @property
    def groups(self) -> tuple[Group, ...]:
        parts = [value.split() for value in self.all("group")]
        return tuple(Group(words[0], tuple(words[1:])) for words in parts if words)

    def connection_of(self, media: MediaDescription) -> Connection | None:
        """Its own, else the session's (§5.7)."""
        return media.connection or self.connection

    def direction_of(self, media: MediaDescription) -> Direction:
        return media.direction or self.direction or Direction.SENDRECV


def ip_of(address_type: str, host: str) -> ipaddress.IPv4Address | ipaddress.IPv6Address | None:
    """An address literal of the family that ``IP4`` or ``IP6`` says; scoped addresses (``%eth0``) are none."""
    try:
        if address_type == "IP4":
            return ipaddress.IPv4Address(host)
        return ipaddress.IPv6Address(host) if address_type == "IP6" and "%" not in host else None
    except ValueError:
        return None


# ------------------------------------------------------------------------------------------------ parsing


def parse(data: bytes) -> SessionDescription:
    """Raises :class:`SdpError`, and nothing else. Takes CRLF and bare LF, and blank lines at the end."""
    if len(data) > MAX_BYTES:
        raise SdpError(f"longer than {MAX_BYTES} bytes")
    # Text of another character set (a=charset) survives as surrogates.
    lines = [_line(text) for text in _texts(data.decode("utf-8", "surrogateescape"))]
    if len(lines) < 2 or lines[0] != Line("v", "0"):
        raise SdpError("doesn't begin with v=0")
    if lines[1].type != "o":
        raise SdpError("o= doesn't follow v=")
    starts = [number for number, line in enumerate(lines) if line.type == "m"]
    if len(starts) > MAX_MEDIA:
        raise SdpError(f"more than {MAX_MEDIA} media")
    ends = [*starts, len(lines)][1:]
    media = tuple(_media(lines[start:end]) for start, end in zip(starts, ends, strict=True))
    session = lines[2 : starts[0] if starts else len(lines)]
    if not any(line.type == "s" for line in session):
        raise SdpError("no s= line")
    return SessionDescription(_origin(lines[1].value), _checked(session), media)


def _texts(text: str) -> list[str]:
    texts = [line.removesuffix("\r") for line in text.split("\n")]
    while texts and not texts[-1]:
        texts.pop()
    if len(texts) > MAX_LINES:
        raise SdpError(f"more than {MAX_LINES} lines")
    return texts


def _line(text: str) -> Line:
    match = _LINE.fullmatch(text)
    if match is None:
        raise SdpError(f"no such line: {text[:40]!r}")
    return Line(match[1], match[2])


def _checked(lines: list[Line]) -> tuple[Line, ...]:
    for line in lines:
        if line.type == "c":
            _connection(line.value)
        elif line.type in ("v", "o"):
            raise SdpError(f"{line.type}= twice")
    return tuple(lines)


def _origin(value: str) -> Origin:
    words = value.split(" ")
    if len(words) != 6 or not all(words) or not all(map(_DIGITS.fullmatch, words[1:3])):
        raise SdpError(f"bad o= line: {value[:60]!r}")
    return Origin(*words)


def _connection(value: str) -> Connection:
    words = value.split(" ")
    if len(words) != 3 or not all(words):
        raise SdpError(f"bad c= line: {value[:60]!r}")
    return Connection(*words)


def _media(lines: list[Line]) -> MediaDescription:
    value = lines[0].value
    # Some put a blank at the end.
    words = value.rstrip(" ").split(" ")
    if len(words) < 4 or not all(_TOKEN.fullmatch(word) for word in words):
        raise SdpError(f"bad m= line: {value[:60]!r}")
    if len(words) > 3 + MAX_FORMATS:
        raise SdpError(f"more than {MAX_FORMATS} formats")
    port, slash, count = words[1].partition("/")
    if not _DIGITS.fullmatch(port) or int(port) > 65535 or (slash and not _DIGITS.fullmatch(count)):
        raise SdpError(f"bad port in m= line: {value[:60]!r}")
    return MediaDescription(
        words[0], int(port), words[2], tuple(words[3:]), _checked(lines[1:]), int(count) if slash else None
    )


def _rtpmap(value: str) -> RtpMap | None:
    match = re.fullmatch(r"([0-9]{1,3}) +([^ /]+)/([0-9]{1,7})(?:/([0-9]{1,2}))? *", value, re.ASCII)
    if match is None or int(match[1]) > 127 or int(match[3]) == 0:
        return None
    return RtpMap(int(match[1]), match[2], int(match[3]), int(match[4] or 1) or 1)


def _extmap(value: str) -> ExtMap | None:
    match = re.fullmatch(r"([0-9]{1,5})(?:/([a-z]+))? +([^ ]+)(?: +(.*))?", value, re.ASCII)
    if match is None or (match[2] and match[2] not in _DIRECTIONS):
        return None
    return ExtMap(int(match[1]), Direction(match[2] or "sendrecv"), match[3], match[4] or "")


def _rtcp(value: str) -> Rtcp | None:
    port, _, rest = value.partition(" ")
    if not _DIGITS.fullmatch(port) or not 0 < int(port) < 65536:
        return None
    try:
        return Rtcp(int(port), _connection(rest) if rest else None)
    except SdpError:
        return None


def _milliseconds(value: str | None) -> int | None:
    # A few send fractions ("20.0"), which RFC 8866 §9 doesn't forbid a reader to take.
    match = re.fullmatch(r"([0-9]{1,5})(?:\.[0-9]*)? *", value or "", re.ASCII)
    return int(match[1]) if match and int(match[1]) else None
