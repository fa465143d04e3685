"""Passive ICE-TCP (RFC 6544): each STUN, DTLS, RTP and RTCP packet behind two octets of length (RFC 4571).

Here is what needs no socket: who may stay connected, what of a connection's packets goes on to the worker, and what
goes back when the network is slower than the call. :mod:`.tcp_relay` has the sockets.

A stranger's connection must begin with a STUN request, soon, and is closed unless a worker's gateway answers one with
success, which only an authentic check gets. Until then nothing but STUN passes.
"""

from __future__ import annotations

import enum
import ipaddress
from collections import deque
from collections.abc import Iterator, Mapping
from dataclasses import dataclass, field
from typing import Final

from . import stun

LARGEST: Final = 2_048
"""Octets of a packet: what goes over TCP was made for UDP, whose paths carry no more than 1,500."""
MAX_CONNECTIONS: Final = 2_304
"""The gateway's transports, each by TCP, and some strangers."""
MAX_STRANGERS: Final = 128
"""Connections of one host that proved nothing yet. Whole offices are one host, but each of theirs proves itself in a
round trip."""
MAX_TRIES: Final = 32
"""Checks of a stranger's that go on to the worker: in its time a browser makes some ten."""
VOICE: Final = 500
"""Octets of an RTP packet that may be voice: of any codec that browsers have, 20 ms are less. Pictures come in larger
ones, but for the last of each. Payload types could be told apart, but what they mean is said in each call's SDP."""
PICTURES_WAIT: Final = 128 << 10
"""Octets unsent in a connection's buffer beyond which pictures fall: a key frame of 720p fits in twice."""
PICTURES_LATE: Final = 0.5
"""Seconds that the oldest of them has waited, after which pictures fall: voice waits behind them. A burst that came at
once passes, however long it takes; loss and delay make the sender's estimate shrink."""
ALL_WAITS: Final = 192 << 10
"""Octets beyond which everything falls, checks too."""
VOICE_LATE: Final = 1.0
"""Seconds after which voice and RTCP fall: jitter buffers wait no longer, so that it would be heard by nobody, and what
comes after it later still."""
GRAIN: Final = 0.02
"""Seconds; how exactly it is known how long something has waited: the beat, in which most leaves."""


class Stage(enum.Enum):
    SILENT = enum.auto()
    """Connected; no packet yet."""
    BEGUN = enum.auto()
    """Its first packet was a STUN request."""
    PROVEN = enum.auto()
    """One was answered with success."""


PATIENCE: Final[Mapping[Stage, float]] = {Stage.SILENT: 5.0, Stage.BEGUN: 10.0, Stage.PROVEN: 60.0}
"""Seconds after which a connection is closed: silent, unproven; proven and without a packet. A browser that connects
has our description already and checks at once, and TCP repeats a lost segment twice in the first time, three times in
the second. What it keeps in reserve it checks every 25 s, what it uses every 5 s (RFC 7675 §5.1)."""


def frame(packet: bytes) -> bytes:
    """Raises ValueError for more than 65,535 octets, which no frame holds."""
    if len(packet) > 0xFFFF:
        raise ValueError(f"{len(packet)} octets in a frame")
    return len(packet).to_bytes(2, "big") + packet


class BrokenFraming(ValueError):
    """What follows can't be told apart any more, or is none of ours."""


class Framer:
    """The packets of one stream."""

    def __init__(self, largest: int = LARGEST) -> None:
        self._largest = largest
        self._rest = b""

    def feed(self, data: bytes | memoryview) -> Iterator[bytes | memoryview]:
        """Whole packets, to be used up before ``data`` is written over; empty frames, which keep connections alive, are
        left out. At most one unfinished packet is kept. Raises :class:`BrokenFraming` for one longer than the largest,
        after those before it."""
        if self._rest:
            data = self._rest + data
        at, end = 0, len(data)
        try:
            while end - at >= 2:
                size = data[at] << 8 | data[at + 1]
                if size > self._largest:
                    raise BrokenFraming(f"a frame of {size} octets")
                if end - at - 2 < size:
                    return
                at += 2 + size
                if size:
                    yield data[at - size : at]
        finally:
            self._rest = bytes(data[at : at + self._largest + 2])


@dataclass(slots=True)
class Connection:
    host: str
    """Its source: an IPv4 address, or 64 bits of an IPv6 one."""
    since: float
    """When its stage began; proven: when it was last heard."""
    stage: Stage = Stage.SILENT
    tries: int = 0
    framer: Framer = field(default_factory=Framer)

    def packets(self, data: bytes | memoryview, now: float) -> Iterator[bytes | memoryview]:
        """What goes on to the worker of a piece of its stream, to be used up at once.

        Raises:
            BrokenFraming: close it.
        """
        if self.stage is Stage.PROVEN:
            self.since = now
            yield from self.framer.feed(data)
            return
        for packet in self.framer.feed(data):
            asks = _asks(packet)
            if self.stage is Stage.SILENT:
                if not asks:
                    raise BrokenFraming("the first packet is no STUN request")
                self.stage, self.since = Stage.BEGUN, now
            self.tries += 1
            if self.tries > MAX_TRIES:
                raise BrokenFraming("too many tries")
            if asks:
                yield packet


def _asks(packet: bytes | memoryview) -> bool:
    """A well-formed Binding request that names a transport."""
    if packet[0] > 3:
        return False
    try:
        message = stun.parse(bytes(packet))
    except stun.StunError:
        return False
    return message.kind == stun.REQUEST and message.method == stun.BINDING and message.username is not None


def proves(packet: bytes) -> bool:
    """A worker's packet that says that the peer's check was authentic: a Binding success response."""
    return packet[:2] == b"\x01\x01"


class Backlog:
    """What waits in a stream's buffer, as of when the kernel was last asked, and since when."""

    def __init__(self) -> None:
        self.unsent = 0
        """Octets, at most."""
        self._total = 0
        self._marks: deque[tuple[float, int]] = deque()
        """When, and the total after it, of what is not known to be sent."""

    def put(self, octets: int, now: float) -> None:
        """The buffer took so many."""
        self.unsent += octets
        self._total += octets
        if self._marks and now - self._marks[-1][0] < GRAIN:
            now, _ = self._marks.pop()
        self._marks.append((now, self._total))

    def learn(self, unsent: int) -> None:
        """The kernel was asked."""
        self.unsent = unsent
        while self._marks and self._marks[0][1] <= self._total - unsent:
            self._marks.popleft()

    def age(self, now: float) -> float:
        """Seconds that the oldest has waited, at most."""
        return now - self._marks[0][0] if self._marks else 0.0


def passes(packet: bytes, unsent: int, age: float) -> bool:
    """A packet to the peer goes into its connection's buffer, where ``unsent`` octets wait, for ``age`` seconds."""
    if not 128 <= packet[0] < 192:  # no RTP or RTCP (RFC 7983 §7)
        return unsent < ALL_WAITS
    # RTCP has 192 to 223 in its second octet (RFC 5761 §4).
    if len(packet) > VOICE and not 192 <= packet[1] < 224:
        return unsent < PICTURES_WAIT and age < PICTURES_LATE
    return unsent < ALL_WAITS and age < VOICE_LATE


def host_of(address: str) -> str:
    """What counts as one host, of a numeric address; Raises ValueError for another."""
    ip = ipaddress.ip_address(address.partition("%")[0])
    if isinstance(ip, ipaddress.IPv6Address):
        ip = ip.ipv4_mapped or ipaddress.IPv6Address(int(ip) >> 64 << 64)
    return str(ip)


class Connections:
    """Who is connected, by numbers of the owner's, and who has to go."""

    def __init__(self, most: int = MAX_CONNECTIONS, strangers: int = MAX_STRANGERS) -> None:
        """``strangers``: of one host, unproven."""
        self._most, self._most_strangers = most, strangers
        self._all: dict[int, Connection] = {}
        self._strangers: dict[str, dict[int, None]] = {}
        """Unproven ones of each host that has any, the oldest first."""
        self._unproven: dict[int, None] = {}
        """Of all hosts, likewise."""

    def __len__(self) -> int:
        return len(self._all)

    def __getitem__(self, key: int) -> Connection:
        return self._all[key]

    @property
    def held(self) -> dict[str, int]:
        """Sizes of all that could grow."""
        return {"connections": len(self._all), "unproven": len(self._unproven), "hosts": len(self._strangers)}

    def opened(self, key: int, address: str, now: float) -> int | None:
        """One was accepted; who has to be closed for it: the oldest stranger of its host or of all, or, where all are
        proven, itself. The caller calls :meth:`closed` for that one."""
        host = host_of(address)
        known = self._strangers.get(host, {})
        victim = None
        if len(known) >= self._most_strangers:
            victim = next(iter(known))
        elif len(self._all) >= self._most:
            victim = next(iter(self._unproven), key)
        self._all[key] = Connection(host, now)
        self._unproven[key] = None
        self._strangers.setdefault(host, {})[key] = None
        return victim

    def proved(self, key: int, now: float) -> None:
        connection = self._all[key]
        if connection.stage is not Stage.PROVEN:
            connection.stage, connection.since = Stage.PROVEN, now
            self._acquaint(key, connection.host)

    def closed(self, key: int) -> None:
        connection = self._all.pop(key)
        if connection.stage is not Stage.PROVEN:
            self._acquaint(key, connection.host)

    def overdue(self, now: float) -> list[int]:
        """Who is to be closed for want of a packet or of a proof."""
        return [key for key, each in self._all.items() if now - each.since >= PATIENCE[each.stage]]

    def _acquaint(self, key: int, host: str) -> None:
        """It is no stranger any more."""
        del self._unproven[key]
        strangers = self._strangers[host]
        del strangers[key]
        if not strangers:
            del self._strangers[host]
