"""A floor control server (RFC 8855): the part that speaks with clients. Who gets the floor is the room's to say.

Each call has a conference identifier of its own, drawn at random: whoever writes it is believed to be in that call, and
strangers get no answer over UDP. In each conference is one user, and one floor: the right to show something. What the
room decides is told to all its clients with :meth:`FloorServer.show`.

A client's request goes PENDING -> GRANTED -> RELEASED (by it) or REVOKED (by the room, when another took the floor), or
PENDING -> DENIED.
"""

from __future__ import annotations

from collections import OrderedDict, deque
from collections.abc import Callable, Iterator
from dataclasses import dataclass, field, replace

from . import bfcp
from .bfcp import Assembly, BfcpError, Error, Fragment, Kind, Message, Primitive, Status, Transport
from .bfcp_line import FLOOR

T1 = 0.5
"""Seconds to the first repetition of what was not acknowledged, doubled each time (RFC 8855 §8.3.1)."""
REPETITIONS = 3
"""§8.3.1: then the client is given up."""
T2 = 10.0
"""Seconds that an answer is kept for a request that comes again (§8.3.2)."""
ANSWERS = 16
"""Answers kept for one client."""
QUEUE = 8
"""Notices that wait for one client's acknowledgements; an older one says less than the newest."""
RATE = 20.0
"""Messages a second from one client that are answered: a person presses a button, a program polls once a second."""
BURST = 40.0


@dataclass(frozen=True, slots=True)
class Peer:
    """Where a client is."""

    transport: Transport
    address: tuple[str, int]
    """UDP: its address; TCP: the connection's far end."""
    connection: int = 0
    """TCP: its number."""


@dataclass(frozen=True, slots=True)
class FloorWanted:
    """A client asks for the floor: :meth:`FloorServer.show` or :meth:`FloorServer.deny` answers."""

    conference: int


@dataclass(frozen=True, slots=True)
class FloorLeft:
    """A client gave the floor back, withdrew its request, or is gone."""

    conference: int


Event = FloorWanted | FloorLeft


@dataclass(frozen=True, slots=True)
class Holder:
    """Who has the floor."""

    conference: int
    """Of its call; 0: it has no BFCP (a browser, H.239)."""
    name: str


@dataclass(slots=True)
class _Sent:
    """A notice of ours over UDP that waits for its acknowledgement."""

    message: Message
    repeated: int
    due: float


@dataclass(slots=True)
class _Client:
    conference: int
    user: int
    hosts: frozenset[str] = frozenset()
    peer: Peer | None = None
    version: int = 2
    request: int = 0
    """Its floor request; 0: it has none."""
    granted: bool = False
    asked_for: bool = False
    """It wants to be told of the floor (FloorQuery)."""
    holder: Holder | None = None
    """Who has the floor, as it was told last."""
    transaction: int = 0
    """Our last one."""
    answers: OrderedDict[int, tuple[float, Message]] = field(default_factory=OrderedDict)
    waiting: deque[Message] = field(default_factory=deque)
    sent: _Sent | None = None
    assembly: Assembly = field(default_factory=Assembly)
    tokens: float = BURST
    counted: float = 0.0


class FloorServer:
    """Sans-IO: bytes in, bytes out, events for the conference."""

    def __init__(self) -> None:
        self._clients: dict[int, _Client] = {}
        self._requests = 0
        self._outbox: deque[tuple[bytes, Peer]] = deque()
        self._events: deque[Event] = deque()
        self.malformed = 0
        self.strangers = 0
        """Messages of conferences that there are not."""

    # ------------------------------------------------------------------------------------- the core

    def receive(self, data: bytes, peer: Peer, now: float) -> None:
        """A datagram, or a message out of a connection."""
        try:
            found = bfcp.read(data, peer.transport)
            client = self._client(found, peer)
            if client is None:
                self._stranger(found, peer)
                return
            if not self._may(client, now):
                return
            message = client.assembly.take(found) if isinstance(found, Fragment) else found
        except BfcpError as error:
            self.malformed += 1
            self._complain(error, peer, now)
            return
        if message is not None:
            self._take(client, message, peer, now)

    def expire(self, now: float) -> None:
        """Repeat what was not acknowledged; forget who does not answer."""
        for client in list(self._clients.values()):
            while client.answers and next(iter(client.answers.values()))[0] <= now:
                client.answers.popitem(last=False)
            sent = client.sent
            if sent is None or sent.due > now:
                continue
            if sent.repeated >= REPETITIONS:
                self._lost(client)
                continue
            sent.repeated += 1
            sent.due = now + T1 * 2**sent.repeated
            self._send(client, sent.message)

    def deadline(self) -> float | None:
        """When :meth:`expire` is due."""
        dues = [client.sent.due for client in self._clients.values() if client.sent is not None]
        return min(dues, default=None)

    def datagrams(self) -> Iterator[tuple[bytes, Peer]]:
        """What is to be sent, over UDP or the connection that the peer names."""
        while self._outbox:
            yield self._outbox.popleft()

    def events(self) -> Iterator[Event]:
        while self._events:
            yield self._events.popleft()

    # ------------------------------------------------------------------------------------- the conference's

    def admit(self, conference: int, user: int, version: int = 0, hosts: frozenset[str] = frozenset()) -> None:
        """A call has floor control from now on.

        Args:
            version: as its SDP says; 0: it doesn't.
            hosts: where it may be: its signalling's address and that of its SDP; none: anywhere.
        """
        client = self._clients.setdefault(conference, _Client(conference, user))
        client.user, client.hosts = user, hosts
        client.version = version or client.version

    def dismiss(self, conference: int) -> None:
        """The call is over; no event follows."""
        self._clients.pop(conference, None)

    def __contains__(self, conference: object) -> bool:
        return conference in self._clients

    def __len__(self) -> int:
        return len(self._clients)

    def show(self, conference: int, holder: Holder | None, now: float) -> None:
        """Tell a client who has the floor in its room."""
        client = self._clients.get(conference)
        if client is None:
            return
        before, client.holder = client.holder, holder
        mine = holder is not None and holder.conference == conference
        if mine and client.request and not client.granted:
            client.granted = True
            self._notify(client, self._request_status(client, Status.GRANTED), now)
        elif not mine and client.granted:
            self._notify(client, self._request_status(client, Status.REVOKED), now)
            client.request, client.granted = 0, False
        if client.asked_for and before != holder:
            self._notify(client, self._floor_status(client), now)

    def deny(self, conference: int, now: float) -> None:
        """The room does not let it have the floor."""
        client = self._clients.get(conference)
        if client is not None and client.request and not client.granted:
            self._notify(client, self._request_status(client, Status.DENIED), now)
            client.request = 0

    def disconnected(self, peer: Peer) -> None:
        """A TCP connection has ended: so has what was asked for over it (RFC 8855 §9)."""
        for client in self._clients.values():
            if client.peer == peer:
                client.peer = None
                self._leave(client)

    # ------------------------------------------------------------------------------------- clients

    def _client(self, found: Message | Fragment, peer: Peer) -> _Client | None:
        if isinstance(found, Fragment):
            conference, user = int.from_bytes(found.header[4:8], "big"), int.from_bytes(found.header[10:12], "big")
        else:
            conference, user = found.conference, found.user
        client = self._clients.get(conference)
        if client is None or client.user != user or (client.hosts and peer.address[0] not in client.hosts):
            return None
        return client

    def _stranger(self, found: Message | Fragment, peer: Peer) -> None:
        """Over UDP nobody is answered who may only seem to ask."""
        self.strangers += 1
        if peer.transport == "tcp" and isinstance(found, Message) and found.primitive not in _ANSWERS:
            known = found.conference in self._clients
            code = Error.NO_SUCH_USER if known else Error.NO_SUCH_CONFERENCE
            self._outbox.append((bfcp.build(_error(found, code)), peer))

    def _may(self, client: _Client, now: float) -> bool:
        client.tokens = min(client.tokens + max(now - client.counted, 0.0) * RATE, BURST)
        client.counted = now
        if client.tokens < 1:
            return False
        client.tokens -= 1
        return True

    def _complain(self, error: BfcpError, peer: Peer, now: float) -> None:
        header = error.header
        if header is None or header.response or header.primitive in _ANSWERS:
            return
        client = self._client(header, peer)
        if client is None or not self._may(client, now):
            return
        known = header if header.version in (1, 2) else replace(header, version=client.version)
        answer = _error(known, error.code, error.details)
        self._outbox.append((bfcp.build(replace(answer, response=_flag(answer.version, peer))), peer))

    def _take(self, client: _Client, message: Message, peer: Peer, now: float) -> None:
        if message.primitive in _ANSWERS:
            self._acknowledged(client, message, peer, now)
            return
        client.peer, client.version = peer, message.version
        known = client.answers.get(message.transaction)
        if known is not None and known[0] > now and peer.transport == "udp":
            self._send(client, known[1])  # it didn't get our answer (§8.2)
            return
        act = _REQUESTS.get(message.primitive)
        answer = act(self, client, message) if act is not None else _error(message, Error.UNKNOWN_PRIMITIVE)
        answer = replace(answer, transaction=message.transaction, response=_flag(message.version, peer))
        if peer.transport == "udp":
            client.answers[message.transaction] = (now + T2, answer)
            client.answers.move_to_end(message.transaction)
            while len(client.answers) > ANSWERS:
                client.answers.popitem(last=False)
        self._send(client, answer)
        if message.primitive == Primitive.GOODBYE:
            client.peer, client.asked_for, client.sent = None, False, None
            client.waiting.clear()

    def _lost(self, client: _Client) -> None:
        client.sent, client.peer, client.asked_for = None, None, False
        client.waiting.clear()
        self._leave(client)

    def _leave(self, client: _Client) -> None:
        """Its request, if it has one, is over."""
        if client.request:
            client.request, client.granted = 0, False
            self._events.append(FloorLeft(client.conference))

    # ------------------------------------------------------------------------------------- what they ask

    def _hello(self, client: _Client, message: Message) -> Message:
        primitives = bytes(sorted({*_REQUESTS, *_ANSWERS, Primitive.FLOOR_REQUEST_STATUS, Primitive.FLOOR_STATUS}))
        attributes = bytes(kind << 1 for kind in Kind)
        supported = (
            bfcp.Attribute(Kind.SUPPORTED_PRIMITIVES, primitives),
            bfcp.Attribute(Kind.SUPPORTED_ATTRIBUTES, attributes),
        )
        return self._message(client, Primitive.HELLO_ACK, *supported)

    def _floor_request(self, client: _Client, message: Message) -> Message:
        floors = [each.number for each in message.all(Kind.FLOOR_ID)]
        if floors != [FLOOR]:
            return _error(message, Error.INVALID_FLOOR)
        beneficiary = message.first(Kind.BENEFICIARY_ID)
        if beneficiary is not None and beneficiary.number != client.user:
            return _error(message, Error.UNAUTHORIZED)
        if not client.request:
            # One that has a request already, and asks again, has lost our answer: it gets that request's state.
            self._requests = self._requests % 0xFFFF + 1
            client.request = self._requests
            self._events.append(FloorWanted(client.conference))
        return self._request_status(client, Status.GRANTED if client.granted else Status.PENDING)

    def _floor_release(self, client: _Client, message: Message) -> Message:
        named = message.first(Kind.FLOOR_REQUEST_ID)
        if named is None or not client.request or named.number != client.request:
            return _error(message, Error.NO_SUCH_REQUEST)
        answer = self._request_status(client, Status.RELEASED if client.granted else Status.CANCELLED)
        self._leave(client)
        return answer

    def _floor_request_query(self, client: _Client, message: Message) -> Message:
        named = message.first(Kind.FLOOR_REQUEST_ID)
        if named is None or not client.request or named.number != client.request:
            return _error(message, Error.NO_SUCH_REQUEST)
        return self._request_status(client, Status.GRANTED if client.granted else Status.PENDING)

    def _floor_query(self, client: _Client, message: Message) -> Message:
        """§10.3.1: names the floors that it wants to be told of; none: no more."""
        floors = [each.number for each in message.all(Kind.FLOOR_ID)]
        if any(floor != FLOOR for floor in floors):
            return _error(message, Error.INVALID_FLOOR)
        client.asked_for = bool(floors)
        return self._floor_status(client)

    def _user_query(self, client: _Client, message: Message) -> Message:
        named = message.first(Kind.BENEFICIARY_ID)
        if named is not None and named.number != client.user:
            return _error(message, Error.UNAUTHORIZED)
        status = Status.GRANTED if client.granted else Status.PENDING
        inside = self._request_status(client, status).attributes if client.request else ()
        return self._message(client, Primitive.USER_STATUS, *inside)

    def _chair_action(self, client: _Client, message: Message) -> Message:
        """Chairs are hosts, who have other ways."""
        return _error(message, Error.UNAUTHORIZED)

    def _goodbye(self, client: _Client, message: Message) -> Message:
        self._leave(client)
        return self._message(client, Primitive.GOODBYE_ACK)

    # ------------------------------------------------------------------------------------- what we say

    def _message(self, client: _Client, primitive: Primitive, *attributes: bfcp.Attribute) -> Message:
        return Message(primitive, client.conference, 0, client.user, attributes, client.version)

    def _request_status(self, client: _Client, status: Status) -> Message:
        overall = bfcp.group(Kind.OVERALL_REQUEST_STATUS, client.request, bfcp.status(status))
        floor = bfcp.group(Kind.FLOOR_REQUEST_STATUS, FLOOR, bfcp.status(status))
        beneficiary = bfcp.group(Kind.BENEFICIARY_INFORMATION, client.user)
        information = bfcp.group(Kind.FLOOR_REQUEST_INFORMATION, client.request, overall, floor, beneficiary)
        return self._message(client, Primitive.FLOOR_REQUEST_STATUS, information)

    def _floor_status(self, client: _Client) -> Message:
        floor = bfcp.number(Kind.FLOOR_ID, FLOOR)
        holder = client.holder
        if holder is None:
            return self._message(client, Primitive.FLOOR_STATUS, floor)
        mine = holder.conference == client.conference
        theirs = self._clients.get(holder.conference)
        # A request and a user of another conference, or of none: numbers that mean nobody here.
        request = client.request if mine else theirs.request if theirs is not None else 0
        user = client.user if mine else client.user ^ 0x8000
        overall = bfcp.group(Kind.OVERALL_REQUEST_STATUS, request, bfcp.status(Status.GRANTED))
        status = bfcp.group(Kind.FLOOR_REQUEST_STATUS, FLOOR, bfcp.status(Status.GRANTED))
        name = bfcp.text(Kind.USER_DISPLAY_NAME, holder.name)
        beneficiary = bfcp.group(Kind.BENEFICIARY_INFORMATION, user, name)
        information = bfcp.group(Kind.FLOOR_REQUEST_INFORMATION, request, overall, status, beneficiary)
        return self._message(client, Primitive.FLOOR_STATUS, floor, information)

    def _notify(self, client: _Client, message: Message, now: float) -> None:
        """Something that it did not ask for just now: over UDP it is acknowledged, and repeated until then."""
        if client.peer is None:
            return
        if client.peer.transport == "tcp":
            self._send(client, message)  # §8.2: transaction identifier 0
            return
        client.waiting.append(message)
        while len(client.waiting) > QUEUE:
            client.waiting.popleft()
        self._next(client, now)

    def _next(self, client: _Client, now: float) -> None:
        if client.sent is None and client.waiting:
            client.transaction = client.transaction % 0xFFFF + 1
            message = replace(client.waiting.popleft(), transaction=client.transaction)
            client.sent = _Sent(message, 0, now + T1)
            self._send(client, message)

    def _acknowledged(self, client: _Client, message: Message, peer: Peer, now: float) -> None:
        sent = client.sent
        if sent is None or peer != client.peer or message.transaction != sent.message.transaction:
            return
        if message.primitive in (_ACKNOWLEDGES[sent.message.primitive], Primitive.ERROR):
            client.sent = None
            self._next(client, now)

    def _send(self, client: _Client, message: Message) -> None:
        if client.peer is not None:
            self._outbox.append((bfcp.build(message), client.peer))


def _flag(version: int, peer: Peer) -> bool:
    """The R flag came with version 2, over UDP (§5.1)."""
    return version == 2 and peer.transport == "udp"


def _error(message: Message, code: Error, details: bytes = b"") -> Message:
    attribute = bfcp.Attribute(Kind.ERROR_CODE, bytes((code,)) + details[:64])
    return Message(
        Primitive.ERROR, message.conference, message.transaction, message.user, (attribute,), message.version
    )


_ACKNOWLEDGES: dict[int, Primitive] = {
    Primitive.FLOOR_REQUEST_STATUS: Primitive.FLOOR_REQUEST_STATUS_ACK,
    Primitive.FLOOR_STATUS: Primitive.FLOOR_STATUS_ACK,
}
_ANSWERS = frozenset((*_ACKNOWLEDGES.values(), Primitive.ERROR, Primitive.HELLO_ACK, Primitive.GOODBYE_ACK))
"""What answers, and is not answered."""
_REQUESTS: dict[int, Callable[[FloorServer, _Client, Message], Message]] = {
    Primitive.HELLO: FloorServer._hello,
    Primitive.FLOOR_REQUEST: FloorServer._floor_request,
    Primitive.FLOOR_RELEASE: FloorServer._floor_release,
    Primitive.FLOOR_REQUEST_QUERY: FloorServer._floor_request_query,
    Primitive.FLOOR_QUERY: FloorServer._floor_query,
    Primitive.USER_QUERY: FloorServer._user_query,
    Primitive.CHAIR_ACTION: FloorServer._chair_action,
    Primitive.GOODBYE: FloorServer._goodbye,
}
