"""Transactions (RFC 3261 §17) and the transport below them (§18), sans-IO: messages in, bytes and events out.

What :mod:`.transaction_table` says is done here: the machines' actions, their timers, matching, and where bytes go.
Answered in here without a word to anybody above: what can't be parsed (400, 505, 513), requests beyond the table's
limit (503), CANCEL (200 or 481), requests that come again.
"""

from __future__ import annotations

import random
import zlib
from collections import OrderedDict, deque
from collections.abc import Callable, Iterator
from dataclasses import dataclass

from . import stun
from . import via as vias
from .alarms import Alarms
from .flow import Connection, Flow, Transport
from .framing import PING, PONG, BrokenFraming, Framer
from .message import MalformedMessage, Request, Response, Via, parse
from .throttle import Throttle, site
from .transaction_table import (
    CLIENT,
    DOUBLING,
    DURATION,
    INVITE_CLIENT,
    INVITE_SERVER,
    LINGERING,
    SERVER,
    T1,
    T2,
    T4,
    Action,
    Cause,
    State,
    Table,
    of_status,
)

__all__ = ["T1", "T2", "T4"]

MTU_LIMIT = 1300
"""Bytes of a request over UDP; larger ones go by TCP where they can (§18.1.1)."""
NARROW = 600.0
"""Seconds that a peer which took no TCP connection gets its large requests by UDP at once: a try may cost seconds."""
NARROW_PEERS = 4096
"""Such peers remembered."""
PATIENCE = 64 * T1
"""Seconds for the rest of a message that has begun over a stream: by then whoever sent a request has given it up
(§17.1.2.2), and who sends a byte now and then only wants to hold the connection."""
MAX_SERVER_TRANSACTIONS = 50_000
"""Held at once; beyond, 503. A call leaves about five behind, for 32 s each over UDP: 300 calls a second."""
KEEP_ALIVES = 6_000
"""STUN requests of one site answered in a minute: 2,000 phones behind a NAT each ask every 24 s or so (RFC 5626 §4.4.2)
and repeat some. A forged sender's victim gets 4 kB a second of it."""
RETRY_AFTER = 5
"""Seconds in our own 503s, at least; at most twice that."""


@dataclass(slots=True, eq=False)
class ClientTransaction:
    """A request of ours. Compared by identity."""

    request: Request
    flow: Flow
    """Where it went."""
    branch: str
    table: Table
    state: State
    data: bytes
    narrow: Flow | None = None
    """The UDP flow to fall back to, if only its size made the request go by TCP."""
    interval: float = 0.0
    cancelled: bool = False
    """CANCEL is to be sent as soon as a provisional response comes."""


@dataclass(slots=True, eq=False)
class ServerTransaction:
    """A request of theirs. Compared by identity."""

    key: vias.ServerKey
    flow: Flow
    """Where responses go."""
    second: Flow | None
    """Where they go when that connection is gone."""
    method: str
    table: Table
    state: State
    request: Request | None
    """Until the final response."""
    data: bytes = b""
    """The last response."""
    interval: float = 0.0
    tag: str = ""
    """The To tag that its user answers with, for the response to a CANCEL (§9.2)."""


@dataclass(frozen=True, slots=True)
class RequestReceived:
    """A new request, neither ACK nor CANCEL, to be answered with ``respond``."""

    transaction: ServerTransaction
    request: Request
    flow: Flow


@dataclass(frozen=True, slots=True)
class Acknowledged:
    """An ACK that ends no transaction of ours: for a 2xx."""

    request: Request
    flow: Flow


@dataclass(frozen=True, slots=True)
class Cancelled:
    """CANCEL (answered) for an INVITE that has no final response yet: 487 is due."""

    transaction: ServerTransaction


@dataclass(frozen=True, slots=True)
class ResponseReceived:
    """A response; retransmissions of a 2xx to INVITE, and those of forks, come all."""

    client: ClientTransaction
    response: Response


@dataclass(frozen=True, slots=True)
class TransactionFailed:
    """No response: 408 for silence, 503 for a broken transport (§8.1.3.1)."""

    client: ClientTransaction
    code: int
    reason: str


@dataclass(frozen=True, slots=True)
class ClientEnded:
    """Nothing more comes of it."""

    client: ClientTransaction


@dataclass(frozen=True, slots=True)
class Unreadable:
    """Bytes that are no SIP message; answered already if they could be."""

    flow: Flow
    reason: str


@dataclass(frozen=True, slots=True)
class Overloaded:
    """A request was answered 503, for the table is full."""

    flow: Flow
    method: str


LayerEvent = (
    RequestReceived
    | Acknowledged
    | Cancelled
    | ResponseReceived
    | TransactionFailed
    | ClientEnded
    | Unreadable
    | Overloaded
)
Transaction = ClientTransaction | ServerTransaction


class TransactionLayer:
    def __init__(
        self,
        rng: random.Random,
        *,
        contact: Callable[[Flow], tuple[str, int]] = lambda flow: flow.local,
        silent: Callable[[Flow, float], bool] = lambda flow, now: False,
        limit: int = MAX_SERVER_TRANSACTIONS,
    ) -> None:
        """``contact``: host and port that reach us on a flow's listener, for our Via. ``silent``: are
        unreadable requests on a flow to be left unanswered? ``limit``: server transactions held at once."""
        self._rng, self._contact, self._silent, self._limit = rng, contact, silent, limit
        self._secret = rng.getrandbits(32)
        self._clients: dict[tuple[str, str], ClientTransaction] = {}
        self._servers: dict[vias.ServerKey, ServerTransaction] = {}
        self._connected: dict[Connection, dict[Transaction, None]] = {}
        """Transactions by the connection that they use."""
        self._framers: dict[Connection, Framer] = {}
        self._unfinished: Alarms[Flow] = Alarms()
        """When to lose patience with a stream."""
        self._narrow: OrderedDict[tuple[str, int], float] = OrderedDict()
        self._keep_alives = Throttle(KEEP_ALIVES)
        self._alarms: Alarms[Transaction] = Alarms()
        self._out: deque[tuple[bytes, Flow]] = deque()
        self._events: deque[LayerEvent] = deque()

    def __len__(self) -> int:
        """Transactions held."""
        return len(self._clients) + len(self._servers)

    # Down: what the users want

    def request(self, request: Request, flow: Flow, now: float) -> ClientTransaction:
        """Send a request in a new client transaction."""
        return self._begin(request, flow, f"{vias.COOKIE}{self._rng.getrandbits(96):024x}", now)

    def send(self, request: Request, flow: Flow, now: float) -> None:
        """Send an ACK for a 2xx: a transaction that waits for nothing (§13.2.2.4)."""
        branch = f"{vias.COOKIE}{self._rng.getrandbits(96):024x}"
        data, flow, _ = self._route(request, flow, branch, now)
        self._out.append((data, flow))

    def keep_alive(self, flow: Flow) -> None:
        """A ping (RFC 5626 §4.4.1): the connection, or the NAT's hole for datagrams, is in use."""
        self._out.append((PING, flow))

    def respond(self, transaction: ServerTransaction, response: Response, now: float) -> None:
        """Send a response. Nothing happens if a final one went out before (2xx to INVITE may be repeated)."""
        cause = of_status(response.status)
        if cause not in transaction.table[transaction.state]:
            return
        transaction.data = bytes(response)
        if cause is not Cause.PROVISIONAL:
            transaction.request = None
        self._step(transaction, cause, now)

    def abandon(self, transaction: Transaction) -> None:
        """Leave a request of theirs unanswered; it is new if it comes again. Or wait no more for a response to ours."""
        self._end(transaction)

    def cancel(self, client: ClientTransaction, now: float) -> None:
        """CANCEL an INVITE: now if a provisional response came, else as soon as one comes (§9.1)."""
        if client.state is State.CALLING:
            client.cancelled = True
        elif client.state is State.PROCEEDING:
            client.cancelled = False
            self._begin(_derived(client.request, "CANCEL"), client.flow, client.branch, now)
            self._start(client, Cause.C, now)

    # The network

    def receive(self, data: bytes, flow: Flow, now: float) -> None:
        """One datagram or WebSocket message, or any piece of a byte stream."""
        if not flow.transport.reliable:
            if data[:1] in (b"\0", b"\1", b"\2", b"\3"):
                self._keep_alive(data, flow, now)
            elif len(data) > 4 and not data.isspace():  # keep-alives of other makes: empty lines, a word
                self._message(data, flow, now)
            return
        if flow.transport.websocket:
            if data == PING:  # RFC 7118 §6
                self._out.append((PONG, flow))
            elif not data.isspace():
                self._message(data, flow, now)
            return
        framer = self._framers.get(flow.connection)
        if framer is None:
            framer = self._framers[flow.connection] = Framer()
        waited = framer.unfinished
        try:
            for message in framer.feed(data):
                waited = False
                self._message(message, flow, now)
        except BrokenFraming as error:
            self._broken_framing(error, flow, now)
            return
        if framer.pings:
            self._out.append((PONG * framer.pings, flow))
        if not framer.unfinished:
            self._unfinished.clear(flow, "rest")
        elif not waited:
            self._unfinished.set(flow, "rest", now + PATIENCE)

    def _keep_alive(self, data: bytes, flow: Flow, now: float) -> None:
        """STUN (RFC 5626 §8), or zeros, which want no answer."""
        source = site(flow.remote[0])
        if self._keep_alives.spent(source, now):
            return
        try:
            answer = stun.response(data, flow.remote)
        except stun.NotStun:
            return
        self._keep_alives.charge(source, now)
        self._out.append((answer, flow))

    def desert(self, flow: Flow, again: RequestReceived, now: float) -> None:
        """The peer of ``flow``, a WebSocket, has come by another: nothing more will pass there. Its transactions
        end, and ``again`` comes once more after that."""
        self._out.append((b"", flow))
        self.closed(flow, now)
        self._events.append(again)

    def closed(self, flow: Flow, now: float) -> None:
        """A stream connection ended or could not be opened."""
        self._framers.pop(flow.connection, None)
        self._unfinished.clear(flow, "rest")
        for transaction in list(self._connected.pop(flow.connection, ())):
            if isinstance(transaction, ServerTransaction):
                if transaction.second is not None:
                    transaction.flow, transaction.second = transaction.second, None
                    self._connect(transaction)
            elif transaction.narrow is not None and transaction.state in (State.CALLING, State.TRYING):
                self._narrowed(transaction, now)
            else:
                self._step(transaction, Cause.BROKEN, now)

    def expire(self, now: float) -> None:
        for transaction, name in self._alarms.due(now):
            self._step(transaction, Cause(name), now)
        for flow, _ in self._unfinished.due(now):
            self._events.append(Unreadable(flow, "a message without end"))
            self._give_up(flow)

    def deadline(self) -> float | None:
        deadlines = self._alarms.deadline(), self._unfinished.deadline()
        return min((when for when in deadlines if when is not None), default=None)

    def outgoing(self) -> Iterator[tuple[bytes, Flow]]:
        """Bytes to send; none (``b""``) close the flow's connection."""
        while self._out:
            yield self._out.popleft()

    def events(self) -> Iterator[LayerEvent]:
        while self._events:
            yield self._events.popleft()

    # Messages

    def _message(self, data: bytes, flow: Flow, now: float) -> None:
        try:
            message = parse(data)
        except MalformedMessage as error:
            self._unreadable(error, flow, now)
            if flow.transport.reliable and b"SIP/" not in data.partition(b"\n")[0].upper():
                self._out.append((b"", flow))  # another protocol: nothing will come of this connection
            return
        if isinstance(message, Request):
            self._request(message, flow, now)
        else:
            self._response(message, now)

    def _request(self, request: Request, flow: Flow, now: float) -> None:
        via = vias.receive(request, flow)
        method = request.method
        if method == "CANCEL":
            self._cancel(request, via, flow, now)
            return
        key = vias.server_key(request, via, "INVITE" if method == "ACK" else method)
        known = self._servers.get(key)
        if method == "ACK":
            if known is None or known.state is State.ACCEPTED:
                self._events.append(Acknowledged(request, flow))
            else:
                self._step(known, Cause.ACK, now)
        elif known is not None:
            self._step(known, Cause.REQUEST, now)
        elif transaction := self._serve(request, key, via, flow):
            if method == "INVITE":
                self._start(transaction, Cause.TRYING, now)
            self._events.append(RequestReceived(transaction, request, flow))

    def _serve(self, request: Request, key: vias.ServerKey, via: Via, flow: Flow) -> ServerTransaction | None:
        """A new server transaction; None: there are too many, and 503 went out."""
        if len(self._servers) >= self._limit:
            wait = ("Retry-After", str(RETRY_AFTER + self._rng.randint(0, RETRY_AFTER)))
            response = Response.answering(request, 503, headers=[wait], tag=self._stateless_tag(request))
            self._out.append((bytes(response), vias.response_flow(via, flow)))
            self._events.append(Overloaded(flow, request.method))
            return None
        invite = request.method == "INVITE"
        transaction = ServerTransaction(
            key,
            vias.response_flow(via, flow),
            vias.second_flow(via, flow),
            request.method,
            INVITE_SERVER if invite else SERVER,
            State.PROCEEDING if invite else State.TRYING,
            request,
        )
        self._servers[key] = transaction
        self._connect(transaction)
        return transaction

    def _cancel(self, request: Request, via: Via, flow: Flow, now: float) -> None:
        """§9.2: CANCEL is answered here; what comes of it is the INVITE's affair."""
        key = vias.server_key(request, via, "CANCEL")
        known = self._servers.get(key)
        if known is not None:
            self._step(known, Cause.REQUEST, now)
            return
        transaction = self._serve(request, key, via, flow)
        if transaction is None:
            return
        invite = self._servers.get(vias.server_key(request, via, "INVITE"))
        tag = (invite.tag if invite else "") or self._stateless_tag(request)
        self.respond(transaction, Response.answering(request, 200 if invite else 481, tag=tag), now)
        if invite is not None and invite.state is State.PROCEEDING:
            self._events.append(Cancelled(invite))

    def _response(self, response: Response, now: float) -> None:
        client = self._clients.get((response.via.branch, response.cseq.method))
        if client is None:
            return  # its transaction is over, or it is none of ours (§18.1.2)
        self._step(client, of_status(response.status), now, response)
        if client.cancelled and client.state is State.PROCEEDING:
            self.cancel(client, now)

    def _unreadable(self, error: MalformedMessage, flow: Flow, now: float) -> None:
        self._events.append(Unreadable(flow, error.reason))
        request = error.request
        if request is None or request.method == "ACK" or self._silent(flow, now):
            return
        via = vias.receive(request, flow)
        response = Response.answering(request, error.status, _printable(error.reason), tag=self._stateless_tag(request))
        self._out.append((bytes(response), vias.response_flow(via, flow)))

    def _broken_framing(self, error: BrokenFraming, flow: Flow, now: float) -> None:
        try:
            parse(error.head)
        except MalformedMessage as fault:
            fault.status = error.status
            self._unreadable(MalformedMessage(error.reason, error.status, fault.request), flow, now)
        else:
            self._events.append(Unreadable(flow, error.reason))
        self._give_up(flow)

    def _give_up(self, flow: Flow) -> None:
        """Close a connection on which nobody can tell, or will wait for, where the next message begins."""
        self._unfinished.clear(flow, "rest")
        self._framers[flow.connection] = Framer()
        self._out.append((b"", flow))

    def _stateless_tag(self, request: Request) -> str:
        """§8.2.7: the same request gets the same tag again."""
        seed = f"{request.headers.get('Call-ID')} {request.headers.get('From')} {request.headers.get('CSeq')}"
        return f"{zlib.crc32(seed.encode('utf-8', 'surrogateescape'), self._secret):08x}"

    # Sending requests

    def _begin(self, request: Request, flow: Flow, branch: str, now: float) -> ClientTransaction:
        invite = request.method == "INVITE"
        data, way, narrow = self._route(request, flow, branch, now)
        table, state = (INVITE_CLIENT, State.CALLING) if invite else (CLIENT, State.TRYING)
        client = ClientTransaction(request, way, branch, table, state, data, narrow)
        self._clients[branch, request.method] = client
        self._connect(client)
        self._out.append((data, way))
        for timer in (Cause.A, Cause.B) if invite else (Cause.E, Cause.F):
            self._start(client, timer, now)
        return client

    def _route(self, request: Request, flow: Flow, branch: str, now: float) -> tuple[bytes, Flow, Flow | None]:
        """The bytes, where they go, and the flow to fall back to (§18.1.1)."""
        data = self._encoded(request, flow, branch)
        if len(data) <= MTU_LIMIT or flow.transport is not Transport.UDP or self._narrow.get(flow.remote, 0.0) > now:
            return data, flow, None
        wide = Flow(Transport.TCP, flow.local, flow.remote)
        return self._encoded(request, wide, branch), wide, flow

    def _encoded(self, request: Request, flow: Flow, branch: str) -> bytes:
        return request.sent_via(vias.sent_by(flow.transport, *self._contact(flow), branch))

    def _narrowed(self, client: ClientTransaction, now: float) -> None:
        """No TCP there: the same transaction goes on over UDP."""
        assert client.narrow is not None
        client.flow, client.narrow = client.narrow, None
        self._narrow[client.flow.remote] = now + NARROW
        if len(self._narrow) > NARROW_PEERS:
            self._narrow.popitem(last=False)
        client.data = self._encoded(client.request, client.flow, client.branch)
        self._out.append((client.data, client.flow))
        self._start(client, Cause.A if client.state is State.CALLING else Cause.E, now)

    # The machines

    def _step(self, transaction: Transaction, cause: Cause, now: float, response: Response | None = None) -> None:
        step = transaction.table[transaction.state].get(cause)
        if step is None:
            return
        if step.stop:
            self._alarms.clear(transaction, *step.stop)
        transaction.state = step.state
        for action in step.actions:
            self._act(transaction, action, response, now)
        for timer in step.start:
            self._start(transaction, timer, now)
        if transaction.state is State.TERMINATED:
            self._end(transaction)

    def _act(self, transaction: Transaction, action: Action, response: Response | None, now: float) -> None:
        match transaction, action:
            case _, Action.SEND:
                if transaction.data:
                    self._out.append((transaction.data, transaction.flow))
            case ClientTransaction(), Action.PASS:
                assert response is not None
                self._events.append(ResponseReceived(transaction, response))
            case ClientTransaction(), Action.ACK:
                assert response is not None
                ack = _derived(transaction.request, "ACK", response.headers["To"])
                self._out.append((self._encoded(ack, transaction.flow, transaction.branch), transaction.flow))
            case ServerTransaction(request=Request() as request), Action.TRY:
                if not transaction.data:
                    transaction.data = bytes(Response.answering(request, 100))
                    self._out.append((transaction.data, transaction.flow))
            case ClientTransaction(), Action.GIVE_UP:
                self._events.append(TransactionFailed(transaction, 408, "Request Timeout"))
            case ClientTransaction(), Action.BREAK:
                self._events.append(TransactionFailed(transaction, 503, "Service Unavailable"))
            case _, Action.SLOW:
                transaction.interval = T2

    def _start(self, transaction: Transaction, timer: Cause, now: float) -> None:
        reliable = transaction.flow.transport.reliable
        if timer in DOUBLING:
            if not reliable:
                interval = min(2 * transaction.interval or T1, DOUBLING[timer])
                transaction.interval = interval
                self._alarms.set(transaction, timer, now + interval)
        elif reliable and timer in LINGERING:
            self._step(transaction, timer, now)
        else:
            self._alarms.set(transaction, timer, now + DURATION[timer])

    def _connect(self, transaction: Transaction) -> None:
        if transaction.flow.transport.reliable:
            self._connected.setdefault(transaction.flow.connection, {})[transaction] = None

    def _end(self, transaction: Transaction) -> None:
        """Strike it off every table."""
        self._alarms.clear(transaction, *DURATION, *DOUBLING)
        transaction.state = State.TERMINATED
        users = self._connected.get(transaction.flow.connection) if transaction.flow.transport.reliable else None
        if users is not None:
            users.pop(transaction, None)
            if not users:
                del self._connected[transaction.flow.connection]
        if isinstance(transaction, ServerTransaction):
            if self._servers.get(transaction.key) is transaction:
                del self._servers[transaction.key]
            return
        key = transaction.branch, transaction.request.method
        if self._clients.get(key) is transaction:
            del self._clients[key]
            self._events.append(ClientEnded(transaction))


def _derived(request: Request, method: str, to: str = "") -> Request:
    """ACK for a failure (§17.1.1.3) or CANCEL (§9.1) to our INVITE ``request``."""
    headers = [
        ("Max-Forwards", "70"),
        ("From", request.headers["From"]),
        ("To", to or request.headers["To"]),
        ("Call-ID", request.call_id),
        ("CSeq", f"{request.cseq.number} {method}"),
        *(("Route", value) for value in request.headers.raw("Route")),
    ]
    return Request.build(method, str(request.uri), headers)


def _printable(reason: str) -> str:
    """A reason phrase of ours that may quote what came: one line, plain."""
    return "".join(char if " " <= char < "\x7f" else "?" for char in reason)[:100]
