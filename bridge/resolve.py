"""From a SIP URI to the addresses to try: RFC 3263, over dnspython's asynchronous resolver.

Coroutines wait for DNS here; :func:`flows` then chooses our listeners, plainly. The endpoint is given flows, and tries
one after the other.
"""

from __future__ import annotations

import asyncio
import ipaddress
import random
import socket
import time
from collections import OrderedDict
from collections.abc import Callable, Collection, Iterable, Sequence
from dataclasses import dataclass
from typing import Protocol

import dns.asyncresolver
import dns.exception
import dns.rdatatype
import dns.resolver

from bridge.signalling.flow import Flow, Transport
from bridge.signalling.message import ParseError, Uri

LOOKUP_LIMIT = 2.5
"""Seconds for one look-up: dnspython asks each name server again within it."""
TIME_LIMIT = 8.0
"""Seconds for all look-ups of one URI, NAPTR to address, even if the first two are never answered. A person waits."""
CACHE_NAMES = 2_000
"""Answers kept; the least recently used is forgotten."""
LONGEST_TTL = 3_600.0
"""Seconds: who moves a trunk in a hurry has forgotten a TTL of a day."""
NEGATIVE_TTL = 30.0
"""Seconds that "there is none" is believed: RFC 2308 §5 allows the zone's minimum, hours at times; a new entry shall be
seen sooner."""
MAX_TARGETS = 16
"""Tried for one URI: each may take 32 s to fail (RFC 3261 §17.1.1.2), so the last ones are academic."""
MAX_SERVICES = 8
"""NAPTR records that are followed, and SRV hosts that are looked up: a zone of strangers costs no more than that."""
PORTS = {Transport.UDP: 5060, Transport.TCP: 5060, Transport.TLS: 5061}
SERVICES = {"SIPS+D2T": Transport.TLS, "SIP+D2T": Transport.TCP, "SIP+D2U": Transport.UDP}
"""NAPTR services (RFC 3263 §4.1)."""
PREFIXES = {Transport.UDP: "_sip._udp", Transport.TCP: "_sip._tcp", Transport.TLS: "_sips._tcp"}
FAMILIES = ("AAAA", "A")


class Unresolved(Exception):
    """There is nowhere to send it; the message says what to do."""


@dataclass(frozen=True, slots=True)
class Target:
    transport: Transport
    host: str
    """An IP address."""
    port: int


@dataclass(frozen=True, slots=True)
class Naptr:
    order: int
    preference: int
    flags: str
    service: str
    replacement: str


@dataclass(frozen=True, slots=True)
class Srv:
    priority: int
    weight: int
    port: int
    target: str


Record = str | Srv | Naptr
"""An address, or what stands in a record of that kind."""


@dataclass(frozen=True, slots=True)
class Answer:
    records: tuple[Record, ...]
    """Empty: there is no such name, or none of that kind."""
    ttl: float


class Dns(Protocol):
    async def query(self, name: str, kind: str) -> Answer:
        """``kind`` is A, AAAA, SRV or NAPTR. Raises :class:`Unresolved` if no server answers."""


class SystemDns:
    """The name servers of this machine (or of ``resolver``), then its hosts file."""

    def __init__(self, resolver: dns.asyncresolver.Resolver | None = None, *, hosts_file: bool = True) -> None:
        self._resolver = resolver
        self._hosts_file = hosts_file

    async def query(self, name: str, kind: str) -> Answer:
        try:
            if self._resolver is None:
                self._resolver = dns.asyncresolver.Resolver()
            found = await self._resolver.resolve(
                name.rstrip(".") + ".", kind, raise_on_no_answer=False, search=False, lifetime=LOOKUP_LIMIT
            )
        except dns.resolver.NXDOMAIN:
            return await self._hosts(name, kind)
        except (dns.exception.DNSException, OSError, UnicodeError) as error:
            local = await self._hosts(name, kind)
            if local.records:
                return local
            raise Unresolved(
                f"DNS says nothing about {name} ({type(error).__name__}): check this machine's name servers, "
                "or call an IP address"
            ) from error
        if found.rrset is None:
            return await self._hosts(name, kind)
        records = [_record(data, kind) for data in found.rrset]
        return Answer(tuple(record for record in records if record is not None), float(found.rrset.ttl))

    async def _hosts(self, name: str, kind: str) -> Answer:
        """The hosts file by way of the C library, for names that DNS doesn't have."""
        family = {"A": socket.AF_INET, "AAAA": socket.AF_INET6}.get(kind)
        if family is None or not self._hosts_file:
            return Answer((), NEGATIVE_TTL)
        try:
            found = await asyncio.get_running_loop().getaddrinfo(name, None, family=family, type=socket.SOCK_DGRAM)
        except (OSError, UnicodeError):
            return Answer((), NEGATIVE_TTL)
        return Answer(tuple(dict.fromkeys(str(entry[4][0]) for entry in found)), NEGATIVE_TTL)


def _record(data: object, kind: str) -> Record | None:
    """Out of dnspython's types."""
    match kind:
        case "A" | "AAAA":
            return str(data)
        case "SRV":
            return Srv(data.priority, data.weight, data.port, str(data.target).rstrip("."))  # type: ignore[attr-defined]
        case "NAPTR":
            return Naptr(
                data.order,  # type: ignore[attr-defined]
                data.preference,  # type: ignore[attr-defined]
                data.flags.decode("ascii", "replace").lower(),  # type: ignore[attr-defined]
                data.service.decode("ascii", "replace").upper(),  # type: ignore[attr-defined]
                str(data.replacement).rstrip("."),  # type: ignore[attr-defined]
            )
    return None


class Cache:
    """Another :class:`Dns` remembered, by TTL, at most ``names`` answers."""

    def __init__(self, dns: Dns, *, clock: Callable[[], float] = time.monotonic, names: int = CACHE_NAMES) -> None:
        self._dns, self._clock, self._names = dns, clock, names
        self._kept: OrderedDict[tuple[str, str], tuple[float, Answer]] = OrderedDict()

    def __len__(self) -> int:
        return len(self._kept)

    async def query(self, name: str, kind: str) -> Answer:
        key = (name.lower().rstrip("."), kind)
        kept = self._kept.get(key)
        if kept is not None and kept[0] > self._clock():
            self._kept.move_to_end(key)
            return kept[1]
        answer = await self._dns.query(name, kind)
        ttl = min(answer.ttl, LONGEST_TTL if answer.records else NEGATIVE_TTL)
        self._kept[key] = (self._clock() + ttl, answer)
        self._kept.move_to_end(key)
        if len(self._kept) > self._names:
            self._kept.popitem(last=False)
        return answer


class Resolver:
    """RFC 3263 §4 for one process."""

    def __init__(
        self,
        dns: Dns | None = None,
        *,
        rng: random.Random | None = None,
        families: Sequence[str] = FAMILIES,
        time_limit: float = TIME_LIMIT,
    ) -> None:
        """``families``: which addresses to ask for, those to try first first."""
        self._dns = dns if dns is not None else Cache(SystemDns())
        self._rng = rng or random.Random()
        self._families, self._time_limit = tuple(families), time_limit

    async def targets(self, uri: str, transports: Collection[Transport]) -> list[Target]:
        """Where to send a request for ``uri``, best first; ``transports`` are those that we have, best first.

        Raises:
            Unresolved
        """
        try:
            async with asyncio.timeout(self._time_limit):
                found = await self._find(uri, [transport for transport in transports if transport in PORTS])
        except TimeoutError:
            raise Unresolved(
                f"DNS took longer than {self._time_limit:g} s for {uri}: check this machine's name servers"
            ) from None
        found = list(dict.fromkeys(found))[:MAX_TARGETS]
        if not found:
            raise Unresolved(f"DNS has no address for {uri}: check the name's spelling")
        return found

    async def _find(self, text: str, transports: Sequence[Transport]) -> list[Target]:
        try:
            uri = Uri.parse(text)
        except ParseError as error:
            raise Unresolved(f"{text!r} is no SIP URI ({error}): write it as in sip:name@host") from None
        if uri.scheme not in ("sip", "sips"):
            raise Unresolved(f"{text!r} has no host to ask: write it as in sip:name@host")
        host = (uri.parameter("maddr") or uri.host).strip("[]")
        named = _named_transport(uri)
        secure = uri.scheme == "sips"
        usable = [one for one in transports if not secure or one is Transport.TLS]
        if named is not None:
            usable = [one for one in usable if one is named]
        if not usable:
            wanted = named or (Transport.TLS if secure else "any SIP transport")
            raise Unresolved(f"{text} needs {wanted}, which has no listener here: add one to the settings (sip.listen)")
        address = _address(host)
        if address or uri.port is not None or named is not None:
            chosen = named or (Transport.TLS if secure else _plain(usable))
            if address:
                return [Target(chosen, address, uri.port or PORTS[chosen])]
            if uri.port is not None:
                return await self._hosts(chosen, host, uri.port)
            return await self._service(chosen, f"{PREFIXES[chosen]}.{host}") or await self._hosts(
                chosen, host, PORTS[chosen]
            )
        return await self._discover(host, usable, secure)

    async def _discover(self, host: str, usable: Sequence[Transport], secure: bool) -> list[Target]:
        """The transport is DNS's to choose (§4.1): NAPTR, else SRV of each, else plain addresses."""
        services = await self._naptr(host, usable)
        names = services or [(one, f"{PREFIXES[one]}.{host}") for one in usable]
        batches = await asyncio.gather(*(self._service(transport, name) for transport, name in names))
        found = [target for batch in batches for target in batch]
        if found or services:
            return found
        chosen = Transport.TLS if secure else _plain(usable)
        return await self._hosts(chosen, host, PORTS[chosen])

    async def _naptr(self, host: str, usable: Sequence[Transport]) -> list[tuple[Transport, str]]:
        records = [record for record in await self._extra(host, "NAPTR") if isinstance(record, Naptr)]
        records.sort(key=lambda record: (record.order, record.preference))
        return [
            (SERVICES[record.service], record.replacement)
            for record in records
            if record.flags == "s" and SERVICES.get(record.service) in usable and record.replacement
        ][:MAX_SERVICES]

    async def _service(self, transport: Transport, name: str) -> list[Target]:
        """SRV, in RFC 2782's order; a target of "." means that the service isn't there."""
        records = [record for record in await self._extra(name, "SRV") if isinstance(record, Srv) and record.target]
        found: list[Target] = []
        for record in weighted(records, self._rng)[:MAX_SERVICES]:
            found += await self._hosts(transport, record.target, record.port)
        return found

    async def _extra(self, name: str, kind: str) -> tuple[Record, ...]:
        """Records that a host may lack: a name server that fails on their kind may know the address all the same."""
        try:
            return (await self._dns.query(name, kind)).records
        except Unresolved:
            return ()

    async def _hosts(self, transport: Transport, host: str, port: int) -> list[Target]:
        if address := _address(host):
            return [Target(transport, address, port)]
        if host.lower().rstrip(".").rpartition(".")[2] == "localhost":
            # RFC 6761 §6.3: never asked of DNS.
            return [Target(transport, {"A": "127.0.0.1", "AAAA": "::1"}[family], port) for family in self._families]
        answers = await asyncio.gather(
            *(self._dns.query(host, family) for family in self._families), return_exceptions=True
        )
        found: list[Target] = []
        for answer in answers:
            if isinstance(answer, Answer):
                found += [Target(transport, record, port) for record in answer.records if isinstance(record, str)]
            elif not isinstance(answer, Unresolved):
                raise answer
        # One family may fail where the other answers.
        failures = [answer for answer in answers if isinstance(answer, Unresolved)]
        if not found and failures:
            raise failures[0]
        return found


def weighted(records: Iterable[Srv], rng: random.Random) -> list[Srv]:
    """RFC 2782: by priority; among equals each next one is drawn with a chance in proportion to its weight, those of
    weight 0 with a small one."""
    ordered: list[Srv] = []
    pool = sorted(records, key=lambda record: (record.priority, record.weight))
    while pool:
        level = [record for record in pool if record.priority == pool[0].priority]
        mark = rng.randint(0, sum(record.weight for record in level))
        total = 0
        for record in level:
            total += record.weight
            if total >= mark:
                break
        ordered.append(record)
        pool.remove(record)
    return ordered


def _named_transport(uri: Uri) -> Transport | None:
    """What the URI's ``transport`` asks for; of sips only TLS can be meant (RFC 3261 §26.2.2)."""
    name = (uri.parameter("transport") or "").upper()
    if not name:
        return None
    if uri.scheme == "sips" and name in ("TCP", "TLS"):
        return Transport.TLS
    if uri.scheme == "sips" or name not in PORTS:
        raise Unresolved(f"{uri} asks for transport {name.lower()}, by which nothing can be called: leave it out")
    return Transport(name)


def _plain(usable: Sequence[Transport]) -> Transport:
    """What sip: means where nobody says: UDP (§4.1), or the best that we have."""
    return Transport.UDP if Transport.UDP in usable else usable[0]


def _address(host: str) -> str:
    """``host`` if it is an IP address, else ""."""
    try:
        return str(ipaddress.ip_address(host))
    except ValueError:
        return ""


# ------------------------------------------------------------------------------------------------ listeners


class Listening(Protocol):
    """A listener of ours, as :class:`bridge.io.Listener`."""

    @property
    def transport(self) -> Transport: ...
    @property
    def host(self) -> str: ...
    @property
    def port(self) -> int: ...


def flows(targets: Sequence[Target], listeners: Sequence[Listening]) -> tuple[Flow, ...]:
    """Each target with the listener (as bound: an IP address) that reaches it, in the same order; those that none
    reaches are left out.

    Raises:
        Unresolved: none is left.
    """
    found: list[Flow] = []
    for target in targets:
        fits = [listener for listener in listeners if _reaches(listener, target)]
        if fits:
            best = min(fits, key=lambda listener: _distance(listener, target))
            found.append(Flow(target.transport, (best.host, best.port), (target.host, target.port)))
    if not found:
        wanted = ", ".join(dict.fromkeys(f"{t.transport.lower()} over {_family(t.host)}" for t in targets)) or "nothing"
        raise Unresolved(f"no listener here reaches that address by {wanted}: add one to the settings (sip.listen)")
    return tuple(found)


def _reaches(listener: Listening, target: Target) -> bool:
    if listener.transport is not target.transport or _family(listener.host) != _family(target.host):
        return False
    # A socket bound to a loopback address can send to nowhere else.
    return not _loopback(listener.host) or _loopback(target.host)


def _distance(listener: Listening, target: Target) -> tuple[bool, bool]:
    """Loopback to loopback; one address of ours before every address."""
    return _loopback(listener.host) != _loopback(target.host), listener.host in ("0.0.0.0", "::")


def _loopback(host: str) -> bool:
    return ipaddress.ip_address(host).is_loopback


def _family(host: str) -> str:
    return "IPv6" if ":" in host else "IPv4"
