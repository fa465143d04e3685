"""Dialogs (RFC 3261 §12): identity, sequence numbers, route set, remote target, and the way to the peer."""

from __future__ import annotations

import re
from collections.abc import Sequence
from dataclasses import dataclass
from typing import NamedTuple

from .flow import Flow
from .message import Message, ParseError, Request, Response, Uri

Headers = Sequence[tuple[str, str]]

MAX_ROUTES = 32
"""Record-Route values kept: no working path has more proxies, and a dialog must stay small."""
DEFAULT_PORT = 5060
SECURE_PORT = 5061
"""§19.1.2."""

_IPV4 = re.compile(r"\d{1,3}(?:\.\d{1,3}){3}\Z")


class DialogId(NamedTuple):
    """§12: the same dialog has the tags the other way round at the other end."""

    call_id: str
    local_tag: str
    remote_tag: str


class NoTarget(ValueError):
    """The peer's message names no usable Contact: no dialog can come of it."""


@dataclass(slots=True, eq=False)
class Dialog:
    """One dialog, early or confirmed. Compared by identity."""

    id: DialogId
    local: str
    """Our From value, tag included."""
    remote: str
    """Their From value, tag included (none for a peer of RFC 2543)."""
    target: str
    """The remote target: their Contact's URI."""
    route: tuple[str, ...]
    """Route set: header values in the order in which we send them."""
    local_cseq: int
    remote_cseq: int
    """-1: nothing came yet."""
    flow: Flow
    """Where their last message came from."""

    @classmethod
    def uas(cls, request: Request, local_tag: str, flow: Flow, first_cseq: int) -> Dialog:
        """What ``request`` makes at the server (§12.1.1). Raises :class:`NoTarget`."""
        remote_tag = request.from_.tag or ""
        # RFC 2543 knew no tag in From, and asked for no Contact: From is where such a peer is.
        old = not remote_tag and "Contact" not in request.headers
        return cls(
            DialogId(request.call_id, local_tag, remote_tag),
            f"{request.headers['To']};tag={local_tag}",
            request.headers["From"],
            str(request.from_.uri) if old else _target(request),
            tuple(request.record_route[:MAX_ROUTES]),
            first_cseq,
            request.cseq.number,
            flow,
        )

    @classmethod
    def uac(cls, request: Request, response: Response, flow: Flow) -> Dialog:
        """What ``response`` to our ``request`` makes at the client (§12.1.2). Without a Contact, which many a 180
        lacks, the Request-URI stays the target."""
        try:
            target = _target(response)
        except NoTarget:
            target = str(request.uri)
        return cls(
            DialogId(request.call_id, request.from_.tag or "", response.to.tag or ""),
            request.headers["From"],
            response.headers["To"],
            target,
            tuple(reversed(response.record_route[:MAX_ROUTES])),
            request.cseq.number,
            -1,
            flow,
        )

    def confirm(self, response: Response) -> None:
        """The 2xx of an early dialog: route set and target are taken anew (§13.2.2.4)."""
        self.route = tuple(reversed(response.record_route[:MAX_ROUTES]))
        self.refresh(response)

    def refresh(self, message: Message) -> None:
        """Target refresh by INVITE, UPDATE or SUBSCRIBE and their 2xx (§12.2): a missing Contact changes nothing."""
        try:
            self.target = _target(message)
        except NoTarget:
            return

    def in_order(self, request: Request) -> bool:
        """Take a request's CSeq; False if it is lower than one seen, to be answered 500 (§12.2.2)."""
        number = request.cseq.number
        if number < self.remote_cseq:
            return False
        self.remote_cseq = number
        return True

    def request(self, method: str, headers: Headers = (), body: bytes = b"") -> Request:
        """The next request in the dialog (§12.2.1.1), without Via."""
        self.local_cseq += 1
        return self._request(method, self.local_cseq, headers, body)

    def ack(self, cseq: int, headers: Headers = (), body: bytes = b"") -> Request:
        """ACK for a 2xx to the INVITE number ``cseq`` (§13.2.2.4)."""
        return self._request("ACK", cseq, headers, body)

    def _request(self, method: str, cseq: int, headers: Headers, body: bytes) -> Request:
        uri, route = self.target, self.route
        if route and not _loose(route[0]):
            # A strict router takes the Request-URI for itself; the target goes to the end of the route.
            uri, route = _bare(route[0]), (*route[1:], f"<{self.target}>")
        return Request.build(
            method,
            uri,
            [
                ("Max-Forwards", "70"),
                ("From", self.local),
                ("To", self.remote),
                ("Call-ID", self.id.call_id),
                ("CSeq", f"{cseq} {method}"),
                *(("Route", hop) for hop in route),
                *headers,
            ],
            body,
        )

    def path(self, flow_is_closed: bool) -> Flow:
        """Where the next request goes.

        A stream stays on its connection while that is open (RFC 5626 §5.3; a browser's Contact can't be reached
        otherwise). UDP goes to the next hop's address where that can be trusted: a Contact whose host isn't the one
        that we heard from lies behind NAT, and is reached the way its own messages came.
        """
        flow = self.flow
        if flow.transport.websocket or (flow.transport.reliable and not flow_is_closed):
            return flow
        hop = _bare(self.route[0]) if self.route else self.target
        address = address_of(hop)
        if address is None:
            return flow
        if not flow.transport.reliable and not self.route and address[0] != flow.remote[0]:
            return flow
        return Flow(flow.transport, flow.local, address)


def address_of(uri: str) -> tuple[str, int] | None:
    """IP address and port that a URI names without DNS."""
    try:
        parsed = Uri.parse(uri)
    except ParseError:
        return None
    host = parsed.host.strip("[]")
    if not (_IPV4.match(host) or ":" in host):
        return None
    secure = parsed.scheme == "sips" or (parsed.parameter("transport") or "").lower() == "tls"
    return host, parsed.port or (SECURE_PORT if secure else DEFAULT_PORT)


def _target(message: Message) -> str:
    contacts = message.contacts
    if len(contacts) != 1:
        raise NoTarget(f"{len(contacts)} Contact header fields")
    return str(contacts[0].uri)


def _bare(value: str) -> str:
    start, end = value.find("<"), value.rfind(">")
    return value[start + 1 : end] if 0 <= start < end else value


def _loose(value: str) -> bool:
    return re.search(r";lr(?:[;=]|$)", _bare(value), re.IGNORECASE) is not None
