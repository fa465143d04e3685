"""The SIP user agent: what the conference commands and the network drives. Sans-IO (:class:`~.flow.Core`).

It composes and routes, and keeps nothing of its own: transactions below (:mod:`.transaction`), dialogs' owners above
(:mod:`.session`, :mod:`.subscription`, :mod:`.refer`). A command for a call that is over does nothing, for its
``CallEnded`` may lie in the queue still; one that the call's state forbids raises
:class:`~.session_table.WrongState` and sends nothing.
"""

from __future__ import annotations

import random
from collections.abc import Callable, Iterator, Sequence

from .arrival import Arrival
from .auth import Credentials
from .departure import Departure, Destination
from .dialog import Headers
from .endpoint_settings import EndpointSettings
from .event import Event, Malformed, Rejected
from .flow import Flow
from .identity import Identity, Passwords
from .message import Uri
from .multipart import unwrap
from .reception import Reception
from .refer import Referrals
from .registrar import Registrar
from .registration import Registrations
from .session import Session
from .session_table import OVER, Cause, State, WrongState
from .stack import Incoming, Stack
from .subscription import Subscriptions
from .throttle import Throttle
from .transaction import (
    Acknowledged,
    Cancelled,
    ClientEnded,
    Overloaded,
    RequestReceived,
    ResponseReceived,
    TransactionFailed,
    TransactionLayer,
    Unreadable,
)

CHALLENGES = 10
"""Times as many first challenges as error answers a source may have in a minute: an office of 600 phones behind one NAT
registers at once after a power cut, and each one's answer makes room for the next. A scanner answers none."""


class Endpoint:
    def __init__(
        self,
        settings: EndpointSettings,
        rng: random.Random,
        *,
        passwords: Passwords | None = None,
        registrar: Registrar | None = None,
        now: float = 0.0,
    ) -> None:
        """``passwords`` looks up a user's password when ``settings`` or a registrar want proof. ``rng`` makes the tags
        and the secret of the nonces too: ``random.SystemRandom()``, but for tests."""
        throttle = Throttle(settings.rejections_per_minute)
        challenges = Throttle(CHALLENGES * settings.rejections_per_minute)
        layer = TransactionLayer(rng, contact=settings.contact, silent=lambda flow, now: self._stack.silent(flow, now))
        self._stack = Stack(settings, rng, layer, throttle, challenges)
        if registrar is not None:
            self._stack.bound = registrar.reaches
        self._referrals = Referrals(self._stack)
        self._subscriptions = Subscriptions(self._stack)
        self._registrations = Registrations(self._stack)
        identity = Identity(self._stack, passwords, self._registrations.trusted)
        self._registrar = registrar
        self._reception = Reception(self._stack, self._referrals, self._subscriptions, identity, registrar, now)

    def consult(self, knows: Callable[[str], bool]) -> None:
        """``knows(uri)``: is there something to call at that Request-URI, or could there be? OPTIONS asks."""
        self._stack.knows = knows

    def believe(self, vouches: Callable[[str], bool]) -> None:
        """``vouches(token)``: an INVITE with that bearer token (RFC 8898) needs no digest."""
        self._stack.vouches = vouches

    # The network

    def receive(self, data: bytes, flow: Flow, now: float) -> None:
        """One datagram, or any piece of a byte stream."""
        self._stack.flow_alive(flow)
        self._stack.layer.receive(data, flow, now)
        self._work(now)

    def closed(self, flow: Flow, now: float) -> None:
        """A stream connection ended or could not be opened: its calls go on, and look for another way; those by
        WebSocket wait a while for their peers to come back."""
        self._stack.flow_closed(flow)
        self._stack.layer.closed(flow, now)
        if flow.transport.websocket and flow.connection in self._stack.acquaintances:
            for session in self._stack.calls.values():
                if session.dialog is not None and session.dialog.flow.connection == flow.connection:
                    session.away(now)
        if self._registrar is not None:
            self._stack.outbox.extend(self._registrar.closed(flow))
        self._registrations.closed(flow, now)
        self._work(now)

    def expire(self, now: float) -> None:
        self._stack.layer.expire(now)
        self._work(now)
        if self._registrar is not None:
            self._stack.outbox.extend(self._registrar.expire(now))
        for sleeper, name in self._stack.alarms.due(now):
            sleeper.wake(name, now)
        self._work(now)

    def deadline(self) -> float | None:
        deadlines = [self._stack.layer.deadline(), self._stack.alarms.deadline()]
        if self._registrar is not None:
            deadlines.append(self._registrar.deadline())
        return min((when for when in deadlines if when is not None), default=None)

    def datagrams(self) -> Iterator[tuple[bytes, Flow]]:
        """What to send where; no bytes close the connection."""
        return self._stack.layer.outgoing()

    def events(self) -> Iterator[Event]:
        while self._stack.outbox:
            yield self._stack.outbox.popleft()

    # Calls that come

    def ring(
        self, call: int, now: float, sdp: bytes | None = None, reliable: bool | None = None, code: int = 180
    ) -> None:
        """A provisional response. ``reliable`` None: reliably if the peer must or if ``sdp`` would be lost."""
        if arrival := self._arriving(call):
            arrival.ring(now, sdp, reliable, code)
            self._work(now)

    def answer(self, call: int, sdp: bytes, now: float, headers: Headers = ()) -> None:
        """200 with our answer, or our offer if the INVITE had none."""
        if arrival := self._arriving(call):
            arrival.answer(sdp, now, tuple(headers))
            self._work(now)

    def reject(
        self,
        call: int,
        code: int,
        now: float,
        reason: str = "",
        retry_after: int | None = None,
        headers: Headers = (),
    ) -> None:
        """4xx to 6xx. CallEnded follows."""
        later = [("Retry-After", str(retry_after))] if retry_after is not None else []
        self._refuse_call(call, code, now, reason, [*later, *headers])

    def redirect(self, call: int, contacts: Sequence[str], now: float, code: int = 302) -> None:
        """3xx: the caller is to try ``contacts`` (URIs), the first one first. CallEnded follows."""
        values = [("Contact", f"<{uri}>;q={max(0, 10 - rank) / 10}") for rank, uri in enumerate(contacts)]
        self._refuse_call(call, code, now, "", values)

    def _refuse_call(self, call: int, code: int, now: float, reason: str, headers: Headers) -> None:
        arrival = self._arriving(call)
        if arrival is None:
            return
        session = self._stack.calls[call]
        session.move(Cause.FAILURE)
        arrival.refuse(code, now, reason, headers)
        session.end(code, reason, True, now)
        session.forget()
        self._stack.turned_down(arrival.incoming, code, now, reason)
        self._work(now)

    # Calls that we make

    def dial(
        self,
        to_uri: str,
        targets: Sequence[Flow],
        sdp: bytes | None,
        now: float,
        *,
        from_uri: str,
        from_display: str = "",
        credentials: Credentials | None = None,
        headers: Headers = (),
    ) -> int:
        """Call ``to_uri`` by the first of ``targets`` that answers (RFC 3263 §4.3). Without ``sdp`` the callee offers,
        and :meth:`acknowledge` carries our answer. Raises ValueError for URIs that are none, for a name or a header
        field that would break the line, or without targets."""
        user = Uri.parse(from_uri).user or ""
        Uri.parse(to_uri)
        if not targets:
            raise ValueError("nowhere to send the INVITE")
        session = Session(self._stack, self._referrals, incoming=False)
        destination = Destination(
            to_uri, tuple(targets), from_uri, from_display, credentials, tuple(headers), contact_user=user
        )
        try:
            Departure(session, destination, sdp).start(now)
        except ValueError:
            session.forget()
            raise
        self._work(now)
        return session.call

    # Calls that are up

    def acknowledge(self, call: int, sdp: bytes, now: float) -> None:
        """Our answer to the offer that came in a response to an INVITE of ours."""
        session = self._living(call)
        if session is None:
            return
        if session.departure is not None and session.unacknowledged:
            session.departure.acknowledge(sdp, now)
        else:
            session.negotiation.acknowledge(sdp, now)
        self._work(now)

    def accept(self, call: int, sdp: bytes, now: float) -> None:
        """200 to their re-INVITE or UPDATE, with our answer (or offer if they had none)."""
        if session := self._living(call):
            session.negotiation.accept(sdp, now)
            self._work(now)

    def refuse(self, call: int, code: int, now: float, headers: Headers = ()) -> None:
        """An error to their re-INVITE or UPDATE; the session goes on as it was."""
        if session := self._living(call):
            session.negotiation.refuse(code, now, headers)
            self._work(now)

    def offer(self, call: int, sdp: bytes | None, now: float, update: bool = False) -> None:
        """re-INVITE, or UPDATE if ``update`` and the peer knows it. It waits while another offer is open; a newer one
        takes the place of one that waits. OfferAnswered or OfferRefused follows."""
        if session := self._living(call):
            session.negotiation.offer(sdp, now, update)
            self._work(now)

    def hangup(self, call: int, now: float, reason: str = "") -> None:
        """CANCEL, BYE or 480 as the state demands. CallEnded follows at once."""
        if session := self._living(call):
            session.hangup(now, reason)
            self._work(now)

    def info(self, call: int, content_type: str, body: bytes, now: float) -> None:
        if session := self._up(call):
            session.info(content_type, body, now)
            self._work(now)

    def message(self, call: int, content_type: str, body: bytes, now: float) -> None:
        """MESSAGE inside the call (RFC 3428)."""
        if session := self._up(call):
            session.message(content_type, body, now)
            self._work(now)

    def allows(self, call: int, method: str) -> bool:
        """The call is up, and its peer said that it takes ``method`` (RFC 3261 §20.5)."""
        session = self._living(call)
        return session is not None and session.established and session.peer.allows(method)

    def refer(self, call: int, target_uri: str, now: float) -> None:
        """Ask the peer to call ``target_uri``: a transfer. ReferProgress follows."""
        if session := self._up(call):
            self._referrals.refer(session, target_uri, now)
            self._work(now)

    # REFER and SUBSCRIBE of others

    def accept_refer(self, refer: int, now: float) -> None:
        self._referrals.accept(refer, now)
        self._work(now)

    def reject_refer(self, refer: int, code: int, now: float, reason: str = "") -> None:
        self._referrals.reject(refer, code, now, reason)
        self._work(now)

    def refer_progress(self, refer: int, code: int, reason: str, now: float) -> None:
        """How the call that the REFER asked for goes; a final code is the last."""
        self._referrals.progress(refer, code, reason, now)
        self._work(now)

    def accept_subscription(self, subscription: int, now: float) -> None:
        """200; a full :meth:`notify` is due at once."""
        self._subscriptions.accept(subscription, now)
        self._work(now)

    def reject_subscription(self, subscription: int, code: int, now: float, reason: str = "") -> None:
        self._subscriptions.reject(subscription, code, now, reason)
        self._work(now)

    def notify(self, subscription: int, body: bytes, now: float) -> None:
        """A room's state (``application/conference-info+xml``), full or partial. NOTIFYs go one after the other; when
        too many wait they are dropped, and SubscriptionRefreshed asks for a full one."""
        self._subscriptions.notify(subscription, body, now)
        self._work(now)

    def end_subscription(self, subscription: int, now: float, reason: str = "noresource") -> None:
        self._subscriptions.end(subscription, now, reason)
        self._work(now)

    # Providers

    def register(
        self, registrar_uri: str, targets: Sequence[Flow], user: str, password: str, expires: int, now: float
    ) -> int:
        """Register ``user`` at ``registrar_uri`` (``sip:provider.example``) by the first of ``targets`` that answers,
        and stay registered. RegistrationChanged tells how it goes; calls to the Contact come as IncomingCall. Raises
        ValueError for a URI that is none, without a user, or without targets."""
        number = self._registrations.register(registrar_uri, targets, user, password, expires, now)
        self._work(now)
        return number

    def unregister(self, registration: int, now: float) -> None:
        """Take it back. A last RegistrationChanged follows, at once or when the provider answered."""
        self._registrations.unregister(registration, now)
        self._work(now)

    @property
    def registrations(self) -> int:
        """Ours with others, those that are being taken back too."""
        return len(self._registrations)

    # The whole

    def drain(self, now: float) -> None:
        """No new calls any more: 503 with Retry-After. Those that are up go on."""
        self._reception.draining = True

    @property
    def calls(self) -> int:
        """INVITE sessions held, those that are ending included."""
        return len(self._stack.calls)

    def held(self) -> dict[str, int]:
        """What is kept, by kind: for metrics, and for tests that nothing leaks."""
        stack = self._stack
        return {
            "calls": len(stack.calls),
            "dialogs": len(stack.dialogs),
            "transactions": len(stack.layer),
            "clients": len(stack.clients),
            "invites": len(stack.invites),
            "alarms": len(stack.alarms),
            "referrals": len(self._referrals),
            "registrations": len(self._registrations),
            "subscriptions": len(self._subscriptions),
        }

    def _arriving(self, call: int) -> Arrival | None:
        session = self._stack.calls.get(call)
        if session is None or session.state in OVER:
            return None
        if session.arrival is None or session.state is not State.INCOMING:
            raise WrongState(f"call {call} has no INVITE to answer")
        return session.arrival

    def _living(self, call: int) -> Session | None:
        session = self._stack.calls.get(call)
        return None if session is None or session.state in OVER else session

    def _up(self, call: int) -> Session | None:
        session = self._living(call)
        if session is not None and not session.established:
            raise WrongState(f"call {call} is {session.state.value}")
        return session

    # Routing

    def _work(self, now: float) -> None:
        """Hand what the transactions found to whom it concerns."""
        stack = self._stack
        for found in stack.layer.events():
            match found:
                case RequestReceived(transaction, request, flow):
                    unwrap(request)
                    self._reception.arrived(Incoming(transaction, request, flow), now)
                case Acknowledged(request, flow):
                    unwrap(request)
                    self._reception.acknowledged(request, flow, now)
                case Cancelled(transaction):
                    if user := stack.invites.get(transaction):
                        user.cancelled(now)
                case ResponseReceived(client, response):
                    unwrap(response)
                    if asker := stack.clients.get(client):
                        asker.responded(response, now)
                case TransactionFailed(client, code, reason):
                    if asker := stack.clients.get(client):
                        asker.failed(code, reason, now)
                case ClientEnded(client):
                    stack.clients.pop(client, None)
                case Unreadable(flow, reason):
                    stack.hold_against(flow, now)
                    stack.emit(Malformed(flow, reason))
                case Overloaded(flow, method):
                    stack.emit(Rejected(flow, method, 503, "Service Unavailable"))
