"""RFC 3263 with a DNS of our own, and once over a real socket."""

from __future__ import annotations

import asyncio
import random
from collections import Counter
from collections.abc import Callable, Coroutine
from typing import Any

import dns.asyncresolver
import dns.message
import dns.rcode
import dns.rrset
import pytest
from hypothesis import given
from hypothesis import strategies as st

from bridge.io import Listener
from bridge.resolve import (
    MAX_TARGETS,
    NEGATIVE_TTL,
    Answer,
    Cache,
    Naptr,
    Record,
    Resolver,
    Srv,
    SystemDns,
    Target,
    Unresolved,
    flows,
    weighted,
)
from bridge.signalling.flow import Flow, Transport

UDP, TCP, TLS = Transport.UDP, Transport.TCP, Transport.TLS
ALL = (UDP, TCP, TLS)


class Zone:
    """A DNS by hand; remembers what it was asked."""

    def __init__(self, **records: tuple[Record, ...]) -> None:
        self.records = {tuple(key.rsplit(" ", 1)): value for key, value in records.items()}
        self.asked: list[tuple[str, str]] = []
        self.silent = False
        self.failing: set[str] = set()

    async def query(self, name: str, kind: str) -> Answer:
        self.asked.append((name, kind))
        if self.silent:
            await asyncio.sleep(3600)
        if kind in self.failing:
            raise Unresolved("no server answers")
        return Answer(self.records.get((name, kind), ()), 60.0)


EXAMPLE = {
    "example.org A": ("192.0.2.1",),
    "a.example.org A": ("192.0.2.2",),
    "a.example.org AAAA": ("2001:db8::2",),
    "b.example.org A": ("192.0.2.3",),
}
SRVS = {
    "_sip._udp.example.org SRV": (Srv(20, 0, 5070, "b.example.org"), Srv(10, 0, 5060, "a.example.org")),
    "_sip._tcp.example.org SRV": (Srv(0, 0, 5080, "b.example.org"),),
    "_sips._tcp.example.org SRV": (Srv(0, 0, 5081, "b.example.org"),),
}
NAPTRS = {
    "example.org NAPTR": (
        Naptr(50, 50, "s", "SIP+D2T", "_sip._tcp.example.org"),
        Naptr(40, 60, "s", "SIP+D2U", "_sip._udp.example.org"),
        Naptr(40, 50, "s", "SIPS+D2T", "_sips._tcp.example.org"),
        Naptr(10, 50, "u", "E2U+SIP", ""),
    )
}
UDP_SRV = [
    Target(UDP, "2001:db8::2", 5060),
    Target(UDP, "192.0.2.2", 5060),
    Target(UDP, "192.0.2.3", 5070),
]
TCP_SRV, TLS_SRV = [Target(TCP, "192.0.2.3", 5080)], [Target(TLS, "192.0.2.3", 5081)]


def run(work: Coroutine[Any, Any, Any]) -> Any:
    return asyncio.run(work)


def find(uri: str, zone: Zone, transports: tuple[Transport, ...] = ALL) -> list[Target]:
    return run(Resolver(zone, rng=random.Random(1)).targets(uri, transports))  # type: ignore[no-any-return]


@pytest.mark.parametrize(
    ("uri", "expected"),
    [
        ("sip:a@192.0.2.9", [Target(UDP, "192.0.2.9", 5060)]),
        ("sip:a@192.0.2.9:5070", [Target(UDP, "192.0.2.9", 5070)]),
        ("sip:a@[2001:db8::9]", [Target(UDP, "2001:db8::9", 5060)]),
        ("sip:a@192.0.2.9;transport=tcp", [Target(TCP, "192.0.2.9", 5060)]),
        ("sip:a@192.0.2.9;transport=TLS", [Target(TLS, "192.0.2.9", 5061)]),
        ("sips:a@192.0.2.9", [Target(TLS, "192.0.2.9", 5061)]),
        ("sips:a@192.0.2.9;transport=tcp", [Target(TLS, "192.0.2.9", 5061)]),
        ("sip:a@example.org;maddr=192.0.2.9", [Target(UDP, "192.0.2.9", 5060)]),
    ],
)
def test_numbers_need_no_dns(uri: str, expected: list[Target]) -> None:
    zone = Zone()
    assert find(uri, zone) == expected
    assert zone.asked == []


def test_localhost_is_never_asked_for() -> None:
    zone = Zone()
    assert find("sip:a@localhost:5070", zone) == [Target(UDP, "::1", 5070), Target(UDP, "127.0.0.1", 5070)]
    assert zone.asked == []


def test_a_port_means_addresses_only() -> None:
    zone = Zone(**EXAMPLE, **SRVS, **NAPTRS)
    assert find("sip:x@example.org:5099", zone) == [Target(UDP, "192.0.2.1", 5099)]
    assert {kind for _, kind in zone.asked} == {"A", "AAAA"}


def test_a_transport_means_its_srv() -> None:
    assert find("sip:x@example.org;transport=tcp", Zone(**EXAMPLE, **SRVS, **NAPTRS)) == TCP_SRV
    assert find("sip:x@example.org;transport=tls", Zone(**EXAMPLE, **SRVS, **NAPTRS)) == TLS_SRV
    assert find("sip:x@example.org;transport=tcp", Zone(**EXAMPLE)) == [Target(TCP, "192.0.2.1", 5060)]


def test_naptr_chooses_the_transport() -> None:
    assert find("sip:x@example.org", Zone(**EXAMPLE, **SRVS, **NAPTRS)) == TLS_SRV + UDP_SRV + TCP_SRV


def test_only_transports_that_we_have() -> None:
    assert find("sip:x@example.org", Zone(**EXAMPLE, **SRVS, **NAPTRS), (TCP,)) == TCP_SRV


def test_sips_is_tls_only() -> None:
    assert find("sips:x@example.org", Zone(**EXAMPLE, **SRVS, **NAPTRS)) == TLS_SRV
    assert find("sips:x@example.org", Zone(**EXAMPLE, **SRVS)) == TLS_SRV
    assert find("sips:x@example.org", Zone(**EXAMPLE)) == [Target(TLS, "192.0.2.1", 5061)]


def test_srv_without_naptr_in_our_order() -> None:
    assert find("sip:x@example.org", Zone(**EXAMPLE, **SRVS), (TCP, UDP)) == TCP_SRV + UDP_SRV


def test_plain_addresses_where_there_is_nothing_else() -> None:
    assert find("sip:x@example.org", Zone(**EXAMPLE)) == [Target(UDP, "192.0.2.1", 5060)]
    assert find("sip:x@example.org", Zone(**EXAMPLE), (TCP,)) == [Target(TCP, "192.0.2.1", 5060)]


def test_a_service_that_is_decidedly_not_there() -> None:
    srv = {"_sip._tcp.example.org SRV": (Srv(0, 0, 0, ""),)}
    assert find("sip:x@example.org;transport=tcp", Zone(**EXAMPLE, **srv)) == [Target(TCP, "192.0.2.1", 5060)]


def test_a_server_that_fails_on_naptr_and_srv() -> None:
    zone = Zone(**EXAMPLE)
    zone.failing = {"NAPTR", "SRV", "AAAA"}
    assert find("sip:x@example.org", zone) == [Target(UDP, "192.0.2.1", 5060)]


def test_many_addresses_are_cut() -> None:
    zone = Zone(**{"example.org A": tuple(f"192.0.2.{n}" for n in range(200))})
    assert len(find("sip:x@example.org", zone)) == MAX_TARGETS


@pytest.mark.parametrize(
    ("uri", "transports", "says"),
    [
        ("sip:x@nowhere.example", ALL, "check the name's spelling"),
        ("nonsense", ALL, "write it as in sip:name@host"),
        ("tel:+15145550100", ALL, "write it as in sip:name@host"),
        ("sips:x@example.org", (UDP, TCP), "TLS, which has no listener here"),
        ("sip:x@example.org;transport=tcp", (UDP,), "TCP, which has no listener here"),
        ("sip:x@example.org;transport=sctp", ALL, "leave it out"),
        ("sips:x@example.org;transport=udp", ALL, "leave it out"),
        ("sip:x@example.org", (), "any SIP transport, which has no listener here"),
    ],
)
def test_failures_say_what_to_do(uri: str, transports: tuple[Transport, ...], says: str) -> None:
    with pytest.raises(Unresolved, match=says):
        find(uri, Zone(**EXAMPLE), transports)


def test_a_dead_server_is_waited_for_so_long_and_no_longer() -> None:
    zone = Zone()
    zone.silent = True
    with pytest.raises(Unresolved, match=r"longer than 0\.01 s"):
        run(Resolver(zone, time_limit=0.01).targets("sip:x@example.org", ALL))
    zone.silent, zone.failing = False, {"A", "AAAA"}
    with pytest.raises(Unresolved, match="no server answers"):
        find("sip:x@example.org", zone)


# RFC 2782


def test_weights_are_chances() -> None:
    rng, first = random.Random(7), Counter[str]()
    records = [Srv(1, 75, 1, "a"), Srv(1, 25, 1, "b"), Srv(1, 0, 1, "c"), Srv(0, 1, 1, "z")]
    for _ in range(2000):
        ordered = weighted(records, rng)
        assert ordered[0].target == "z"
        first[ordered[1].target] += 1
    assert 1400 < first["a"] < 1600
    assert 400 < first["b"] < 600
    assert 1 <= first["c"] < 60


@given(st.lists(st.builds(Srv, st.integers(0, 3), st.integers(0, 9), st.just(1), st.sampled_from("abc")), max_size=9))
def test_weighting_loses_nothing_and_keeps_priorities(records: list[Srv]) -> None:
    ordered = weighted(records, random.Random(1))
    assert Counter(ordered) == Counter(records)
    assert [record.priority for record in ordered] == sorted(record.priority for record in records)


# The cache


def test_answers_are_kept_for_their_time() -> None:
    zone, now = Zone(**EXAMPLE), [0.0]
    cache = Cache(zone, clock=lambda: now[0])
    for _ in range(3):
        assert run(cache.query("example.org", "A")).records == ("192.0.2.1",)
        run(cache.query("example.org", "SRV"))
    assert len(zone.asked) == 2
    now[0] = NEGATIVE_TTL
    run(cache.query("EXAMPLE.org.", "A"))
    run(cache.query("example.org", "SRV"))
    assert len(zone.asked) == 3
    now[0] = 61.0
    run(cache.query("example.org", "A"))
    assert len(zone.asked) == 4


def test_the_cache_is_bounded_and_failures_are_not_kept() -> None:
    zone = Zone()
    cache = Cache(zone, clock=lambda: 0.0, names=3)
    for n in range(10):
        run(cache.query(f"h{n}", "A"))
    assert len(cache) == 3
    zone.failing = {"A"}
    for _ in range(2):
        with pytest.raises(Unresolved):
            run(cache.query("h0", "A"))
    assert len(zone.asked) == 12


# Listeners


@pytest.mark.parametrize(
    ("listeners", "target", "local"),
    [
        (["udp:0.0.0.0:5060"], Target(UDP, "192.0.2.9", 5070), ("0.0.0.0", 5060)),
        (["udp:0.0.0.0:5060", "udp:192.0.2.1:5062"], Target(UDP, "192.0.2.9", 5070), ("192.0.2.1", 5062)),
        (["udp:192.0.2.1:5062", "udp:127.0.0.1:5060"], Target(UDP, "127.0.0.1", 5070), ("127.0.0.1", 5060)),
        (["udp:192.0.2.1:5062"], Target(UDP, "127.0.0.1", 5070), ("192.0.2.1", 5062)),
        (["udp:[::]:5060", "tcp:[::]:5064"], Target(TCP, "2001:db8::1", 5060), ("::", 5064)),
    ],
)
def test_the_listener_that_fits(listeners: list[str], target: Target, local: tuple[str, int]) -> None:
    found = flows([target], [Listener.parse(text) for text in listeners])
    assert found == (Flow(target.transport, local, (target.host, target.port)),)


def test_targets_that_no_listener_reaches_are_left_out() -> None:
    listeners = [Listener.parse("udp:127.0.0.1:5060"), Listener.parse("tcp:0.0.0.0:5060")]
    targets = [Target(UDP, "::1", 1), Target(UDP, "192.0.2.9", 2), Target(TCP, "192.0.2.9", 3)]
    assert [flow.remote[1] for flow in flows(targets, listeners)] == [3]
    with pytest.raises(Unresolved, match="udp over IPv6, udp over IPv4: add one to the settings"):
        flows(targets[:2], listeners)


# A real name server


class NameServer(asyncio.DatagramProtocol):
    def __init__(self, zone: dict[tuple[str, str], list[str]]) -> None:
        self.zone = zone

    def connection_made(self, transport: Any) -> None:
        self.transport = transport

    def datagram_received(self, data: bytes, address: Any) -> None:
        query = dns.message.from_wire(data)
        (question,) = query.question
        name, kind = str(question.name).rstrip("."), question.rdtype.name
        response = dns.message.make_response(query)
        if not any(known == name for known, _ in self.zone):
            response.set_rcode(dns.rcode.NXDOMAIN)
        elif (name, kind) in self.zone:
            response.answer.append(dns.rrset.from_text(name + ".", 77, "IN", kind, *self.zone[name, kind]))
        self.transport.sendto(response.to_wire(), address)


async def served(zone: dict[tuple[str, str], list[str]], work: Callable[[SystemDns], Coroutine[Any, Any, Any]]) -> Any:
    loop = asyncio.get_running_loop()
    transport, _ = await loop.create_datagram_endpoint(lambda: NameServer(zone), local_addr=("127.0.0.1", 0))
    try:
        resolver = dns.asyncresolver.Resolver(configure=False)
        resolver.nameservers, resolver.port = ["127.0.0.1"], transport.get_extra_info("sockname")[1]
        return await work(SystemDns(resolver, hosts_file=False))
    finally:
        transport.close()
        await asyncio.sleep(0)


REAL = {
    ("example.test", "NAPTR"): ['50 50 "s" "SIP+D2T" "" _sip._tcp.example.test.'],
    ("_sip._tcp.example.test", "SRV"): ["0 0 5080 a.example.test."],
    ("a.example.test", "A"): ["192.0.2.7"],
    ("a.example.test", "AAAA"): ["2001:db8::7"],
}


def test_over_a_real_socket() -> None:
    async def work(system: SystemDns) -> None:
        assert await system.query("a.example.test", "A") == Answer(("192.0.2.7",), 77.0)
        found = await Resolver(system).targets("sip:x@example.test", ALL)
        assert found == [Target(TCP, "2001:db8::7", 5080), Target(TCP, "192.0.2.7", 5080)]
        with pytest.raises(Unresolved, match="spelling"):
            await Resolver(system).targets("sip:x@missing.test", ALL)

    run(served(REAL, work))


def test_no_server_at_all() -> None:
    async def work() -> None:
        resolver = dns.asyncresolver.Resolver(configure=False)
        resolver.nameservers, resolver.port = ["127.0.0.1"], 21999
        await Resolver(SystemDns(resolver, hosts_file=False), time_limit=0.3).targets("sip:x@example.test", ALL)

    with pytest.raises(Unresolved, match="check this machine's name servers"):
        run(work())
