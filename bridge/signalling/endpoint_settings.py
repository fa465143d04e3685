"""What the endpoint is told once."""

from __future__ import annotations

from collections.abc import Callable, Mapping
from dataclasses import dataclass, field

from .flow import Flow, Transport


@dataclass(frozen=True, slots=True)
class EndpointSettings:
    """Every field has a default that works for a bridge without provider and without passwords."""

    contacts: Mapping[tuple[Transport, tuple[str, int]], tuple[str, int]] = field(default_factory=dict)
    """(transport, listener) to the (host, port) that peers are told, where it isn't the listener's own: behind NAT, or
    bound to every address."""
    route: Callable[[str], str] | None = None
    """Our address as a peer at that address reaches it, for listeners on every address (``0.0.0.0``, ``::``)."""
    domains: frozenset[str] = frozenset()
    """Host names and addresses that are ours, lower case. Empty: every Request-URI that reaches us is for us."""
    user_agent: str = "Visiopont"
    realm: str = "visiopont"
    digest_algorithms: tuple[str, ...] = ("SHA-256", "MD5")
    """What we challenge with, best first (RFC 8760 §2.4)."""
    authenticate_calls: bool = False
    """INVITE, REFER, SUBSCRIBE and MESSAGE from outside a dialog need digest credentials."""
    max_calls: int = 5_000
    """INVITE sessions held; beyond, 503 with Retry-After."""
    max_calls_per_second: float = 200.0
    """New INVITEs accepted, in the long run; beyond, 503 with Retry-After."""
    call_burst: int = 400
    """New INVITEs accepted at once: a room's worth of phones that all dial on the hour."""
    max_subscriptions: int = 5_000
    max_forks: int = 16
    """Early dialogs kept per INVITE of ours; a proxy that forks wider than that is no proxy we know."""
    max_redirects: int = 5
    """3xx responses followed for one call (a loop costs no more than that)."""
    session_expires: int = 1_800
    """Session timer in seconds (RFC 4028 §7.1 recommends 1800); 0: none."""
    min_session_expires: int = 90
    """RFC 4028 §4: no smaller than 90 s."""
    ring_limit: float = 180.0
    """Seconds that a call may ring, theirs or ours (RFC 3261 §13.3.1.1: proxies cancel after three minutes)."""
    subscription_expires: int = 3_600
    """The longest subscription to a room's state (RFC 4575 §3.4's default)."""
    min_subscription_expires: int = 30
    """Shorter ones are answered 423: a refresh each half minute already is much."""
    rejections_per_minute: int = 60
    """Error answers a source may cause in a minute before it is ignored; 0: no limit."""
    retry_after: int = 10
    """Seconds in our 503s."""

    def contact(self, flow: Flow) -> tuple[str, int]:
        """Host and port that reach us on the listener of ``flow``."""
        found = self.contacts.get((flow.transport, flow.local))
        if found is None and flow.transport is Transport.TCP:
            # Large requests go by TCP (RFC 3261 §18.1.1), which is expected where UDP listens.
            found = self.contacts.get((Transport.UDP, flow.local))
        host, port = found or flow.local
        # Between a browser and us may be a proxy on this machine: what media has to reach is no loopback address then.
        anywhere = host in ("0.0.0.0", "::") or flow.transport.websocket
        if anywhere and self.route is not None:
            host = self.route(flow.remote[0])
        return host, port
