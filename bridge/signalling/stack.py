"""What the endpoint's sub-machines share: the way down to the transactions, the way up to the conference, the dialog
table, alarms and randomness. It decides nothing."""

from __future__ import annotations

import random
from collections import OrderedDict, deque
from collections.abc import Callable, Hashable, Iterable, Sequence
from dataclasses import dataclass, field
from typing import TYPE_CHECKING, Protocol

from .acquaintance import Acquaintances
from .alarms import Alarms, Sleeper
from .dialog import Dialog, DialogId
from .endpoint_settings import EndpointSettings
from .event import Event, Rejected
from .flow import Connection, Flow, Transport
from .message import Request, Response, reason_phrase
from .throttle import Throttle, site
from .transaction import ClientTransaction, ServerTransaction, TransactionLayer

if TYPE_CHECKING:
    from .session import Session

ALLOW = "INVITE, ACK, CANCEL, BYE, OPTIONS, INFO, MESSAGE, NOTIFY, PRACK, REFER, SUBSCRIBE, UPDATE"
"""REGISTER is the registrar's, who may not be there."""
SUPPORTED = "100rel, norefersub, replaces, timer"
UNDERSTOOD = frozenset(SUPPORTED.split(", "))
ACCEPT = "application/sdp"
NO_FAULT = frozenset({422, 423, 491, 500, 503})
"""Errors that an honest peer causes in the ordinary course; the rest are held against their source."""
SCANNED = frozenset({403, 404})
"""Refusals by the conference that are held against their source: whoever tries names finds these. The others (480, 486,
488, 603) an honest caller has no hand in."""
CLOSED_FLOWS = 4096
"""Dead connections remembered, so that dialogs on them look for another way."""


@dataclass(frozen=True, slots=True)
class Incoming:
    """A request that waits for our response."""

    transaction: ServerTransaction
    request: Request
    flow: Flow


class Refused(Exception):
    """Why a request can't be done, as its response. Raised by whoever looks at the request before anything is answered;
    :class:`~.reception.Reception` answers."""

    def __init__(self, code: int, reason: str = "", headers: Sequence[tuple[str, str]] = ()) -> None:
        super().__init__(f"{code} {reason}")
        self.code, self.reason, self.headers = code, reason, headers


class DialogUser(Protocol):
    """Whoever owns a dialog: a session, a subscription."""

    def arrived(self, incoming: Incoming, now: float) -> None:
        """A request in the dialog. Raises :class:`Refused`."""

    def acknowledged(self, request: Request, flow: Flow, now: float) -> None:
        """An ACK for a 2xx."""


class ClientUser(Protocol):
    """Whoever owns a client transaction."""

    def responded(self, response: Response, now: float) -> None: ...

    def failed(self, code: int, reason: str, now: float) -> None:
        """No response: 408 for silence, 503 for a broken transport (§8.1.3.1)."""


class InviteUser(Protocol):
    """Whoever owes an INVITE its final response."""

    def cancelled(self, now: float) -> None: ...


@dataclass(slots=True, eq=False)
class Stack:
    settings: EndpointSettings
    rng: random.Random
    layer: TransactionLayer
    throttle: Throttle
    """Sources by what they asked for that can't be had. One whose bucket is empty is not answered until it filled
    again: scanners learn nothing and cost nothing."""
    challenges: Throttle
    """Sources by first challenges that nobody has answered yet."""
    bound: Callable[[Flow], bool] = lambda flow: False
    """Did a terminal register by that flow?"""
    knows: Callable[[str], bool] = lambda uri: True
    """Is there something to call at that Request-URI, or could there be?"""
    vouches: Callable[[str], bool] = lambda token: False
    """Does that bearer token (RFC 8898) let its holder call?"""
    acquaintances: Acquaintances = field(default_factory=Acquaintances)
    alarms: Alarms[Sleeper] = field(default_factory=Alarms)
    outbox: deque[Event] = field(default_factory=deque)
    """Events; drained after every mutation, so its length is bounded by what one message can cause."""
    dialogs: dict[DialogId, DialogUser] = field(default_factory=dict)
    clients: dict[ClientTransaction, ClientUser] = field(default_factory=dict)
    invites: dict[ServerTransaction, InviteUser] = field(default_factory=dict)
    calls: dict[int, Session] = field(default_factory=dict)
    closed_flows: OrderedDict[Connection, None] = field(default_factory=OrderedDict)
    hosts: set[str] = field(default_factory=set)
    """Those of our Contacts: what is sent to them is for us."""
    _last_number: int = 0

    def number(self) -> int:
        """A number never given before: calls, refers and subscriptions share the row."""
        self._last_number += 1
        return self._last_number

    def token(self) -> str:
        """64 random bits: tags need 32 (§19.3)."""
        return f"{self.rng.getrandbits(64):016x}"

    def first_cseq(self) -> int:
        """§8.1.1.5: below 2**31, and room to count."""
        return self.rng.randrange(1, 1 << 16)

    def emit(self, event: Event) -> None:
        self.outbox.append(event)

    # Flows

    def flow_closed(self, flow: Flow) -> None:
        self.closed_flows[flow.connection] = None
        if len(self.closed_flows) > CLOSED_FLOWS:
            self.closed_flows.popitem(last=False)

    def flow_alive(self, flow: Flow) -> None:
        if self.closed_flows:
            self.closed_flows.pop(flow.connection, None)

    def path(self, dialog: Dialog) -> Flow:
        return dialog.path(dialog.flow.connection in self.closed_flows)

    def contact(self, flow: Flow, user: str = "", focus: bool = True) -> str:
        """Our Contact on ``flow``; ``isfocus`` says that we are a conference (RFC 4579 §5.1)."""
        host, port = self.settings.contact(flow)
        self.hosts.add(host.lower())
        if ":" in host:
            host = f"[{host}]"
        # RFC 7118 §5.2: ``ws`` for both kinds.
        name = "ws" if flow.transport.websocket else flow.transport.lower()
        transport = "" if flow.transport is Transport.UDP else f";transport={name}"
        at = f"{user}@" if user else ""
        return f"<sip:{at}{host}:{port}{transport}>{';isfocus' if focus else ''}"

    # Down: requests and responses

    def send(self, request: Request, flow: Flow, user: ClientUser, now: float) -> ClientTransaction:
        transaction = self.layer.request(request, flow, now)
        self.clients[transaction] = user
        return transaction

    def send_ack(self, request: Request, flow: Flow, now: float) -> None:
        self.layer.send(request, flow, now)

    def respond(self, incoming: Incoming, response: Response, now: float) -> None:
        self.layer.respond(incoming.transaction, response, now)

    def reply(
        self,
        incoming: Incoming,
        code: int,
        now: float,
        reason: str = "",
        headers: Iterable[tuple[str, str]] = (),
        body: bytes = b"",
        tag: str = "",
    ) -> Response:
        """Build a response and send it. A request without a To tag gets ``tag``, or a fresh one."""
        response = self.response(incoming, code, reason, headers, body, tag)
        self.respond(incoming, response, now)
        return response

    def response(
        self,
        incoming: Incoming,
        code: int,
        reason: str = "",
        headers: Iterable[tuple[str, str]] = (),
        body: bytes = b"",
        tag: str = "",
    ) -> Response:
        return Response.answering(
            incoming.request,
            code,
            reason,
            headers=[*headers, ("Server", self.settings.user_agent)],
            body=body,
            tag=tag or self.token(),
        )

    def capabilities(self) -> list[tuple[str, str]]:
        """What OPTIONS is told (§11.2)."""
        return [
            ("Allow", ALLOW),
            ("Accept", ACCEPT),
            ("Accept-Encoding", "identity"),
            ("Supported", SUPPORTED),
            ("Allow-Events", "conference, refer"),
        ]

    def reject(
        self, incoming: Incoming, code: int, now: float, reason: str = "", headers: Iterable[tuple[str, str]] = ()
    ) -> None:
        """An error that the endpoint itself decides on."""
        response = self.reply(incoming, code, now, reason, headers)
        if code not in NO_FAULT:
            self.hold_against(incoming.flow, now, incoming.request)
        self.emit(Rejected(incoming.flow, incoming.request.method, code, response.reason))

    def turned_down(self, incoming: Incoming, code: int, now: float, reason: str) -> None:
        """The conference refused a request. Say so once what the request had made is forgotten: it made its sender no
        acquaintance."""
        if code in SCANNED:
            self.hold_against(incoming.flow, now, incoming.request)
            self.emit(Rejected(incoming.flow, incoming.request.method, code, reason or reason_phrase(code)))

    # Whom to answer

    def hold_against(self, flow: Flow, now: float, request: Request | None = None) -> None:
        """``request``, or what can't be read, was the fault of whoever sent it by ``flow``."""
        self.throttle.charge(self._source(flow, request), now)

    def silent(self, flow: Flow, now: float, request: Request | None = None) -> bool:
        """Did too much of that come, so that ``request`` isn't answered?"""
        return self.throttle.spent(self._source(flow, request), now)

    def challenged(self, flow: Flow, now: float) -> bool:
        """May ``flow`` have one more first challenge? It is held against its source until :meth:`proved`."""
        source = self._site(flow)
        if self.challenges.spent(source, now):
            return False
        self.challenges.charge(source, now)
        return True

    def proved(self, flow: Flow, now: float) -> None:
        """Somebody there has answered a challenge, and well."""
        self.challenges.forgive(self._site(flow), now)

    def _site(self, flow: Flow) -> Hashable:
        return flow.connection if self.bound(flow) else site(flow.remote[0])

    def _source(self, flow: Flow, request: Request | None) -> Hashable:
        """A host answers for all that comes from it; but whoever has registered, or is in a call, answers for himself:
        one bad phone must not silence the office behind the same NAT. Being in a call gives no more tries at a
        password."""
        known = self.bound(flow) or (
            flow.connection in self.acquaintances and not (request and "Authorization" in request.headers)
        )
        return flow.connection if known else site(flow.remote[0])

    # The tables

    def enrol(self, dialog: Dialog, user: DialogUser) -> None:
        self.dialogs[dialog.id] = user
        self.acquaintances.met(dialog.id, dialog.flow.connection)

    def strike(self, dialog: Dialog, user: DialogUser) -> None:
        if self.dialogs.get(dialog.id) is user:
            del self.dialogs[dialog.id]
            self.acquaintances.parted(dialog.id)
