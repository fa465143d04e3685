"""Which of our addresses a peer reaches, and which are ours at all: the kernel's routing table is asked."""

from __future__ import annotations

import contextlib
import ipaddress
import itertools
import socket
import time
from collections.abc import Callable
from pathlib import Path

REMEMBERED = 4096
"""Peers whose route is remembered: more are asked for anew, at some 10 us each."""
FRESH = 60.0
"""Seconds for which a route is believed: an interface may come, go or get another address (DHCP)."""
DISCARD = 9
"""The port that is asked about (RFC 863); nothing is sent to it."""


class Routes:
    """``routes(remote)`` is our address as the peer at ``remote`` reaches it."""

    def __init__(self, override: str = "", *, clock: Callable[[], float] = time.monotonic) -> None:
        """``override``: the answer for every peer of its family (any, if it is a name): what a NAT in front makes of
        us."""
        self._override = override
        self._clock = clock
        self._known: dict[str, str] = {}
        self._since = clock()

    def __call__(self, remote: str) -> str:
        if self._override and same_family(self._override, remote):
            return self._override
        now = self._clock()
        if now - self._since > FRESH or len(self._known) >= REMEMBERED:
            self._known.clear()
            self._since = now
        found = self._known.get(remote)
        if found is None:
            found = self._known[remote] = source_address(remote)
        return found


def source_address(remote: str) -> str:
    """The address that the kernel would send from. No packet is sent. Loopback if there is no way to ``remote``."""
    family = socket.AF_INET6 if ":" in remote else socket.AF_INET
    with socket.socket(family, socket.SOCK_DGRAM) as probe:
        try:
            probe.connect((remote, DISCARD))
            return str(probe.getsockname()[0])
        except OSError:
            return "::1" if family == socket.AF_INET6 else "127.0.0.1"


def same_family(one: str, other: str) -> bool:
    """Both IPv4 or both IPv6; a name suits either."""
    try:
        return ipaddress.ip_address(one).version == ipaddress.ip_address(other.partition("%")[0]).version
    except ValueError:
        return True


def own_addresses() -> frozenset[str]:
    """Every address of this machine, as the kernel lists them."""
    found = {"127.0.0.1", "::1", "localhost", socket.gethostname().lower()}
    with contextlib.suppress(OSError):
        lines = Path("/proc/net/fib_trie").read_text().splitlines()
        # "   |-- 192.0.2.2" is followed by "/32 host LOCAL" where the address is ours.
        for line, following in itertools.pairwise(lines):
            if following.strip() == "/32 host LOCAL":
                found.add(line.split()[-1])
    with contextlib.suppress(OSError):
        for line in Path("/proc/net/if_inet6").read_text().splitlines():
            found.add(str(ipaddress.IPv6Address(int(line.split()[0], 16))))
    return frozenset(found)


def main_address(ipv6: bool = False) -> str:
    """The address that most peers reach: that of the interface with the default route; loopback without one."""
    return source_address("2001:db8::1" if ipv6 else "192.0.2.1")  # documentation (RFC 3849, 5737): the default route
