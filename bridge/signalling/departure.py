"""A call that we make, until it is up or failed: the UAC side of the first INVITE (RFC 3261 §13.2), through targets
that don't answer (RFC 3263 §4.3), redirections (§8.1.3.4), challenges and forks."""

from __future__ import annotations

from collections import deque
from dataclasses import dataclass, field

from .auth import Credentials
from .dialog import Dialog, address_of
from .event import CallAnswered, CallProgress
from .exchange import Exchange, Outcome
from .flow import Flow
from .message import Request, Response
from .reliable import ProvisionalOrder, is_reliable
from .session import SDP, Peer, Session
from .session_table import OVER, Cause, State
from .session_timer import agreed


@dataclass(frozen=True, slots=True)
class Destination:
    """Whom to call as whom."""

    to_uri: str
    targets: tuple[Flow, ...]
    from_uri: str
    from_display: str = ""
    credentials: Credentials | None = None
    headers: tuple[tuple[str, str], ...] = ()
    contact_user: str = ""


@dataclass(slots=True, eq=False)
class Fork:
    """One branch that answered: an early dialog."""

    dialog: Dialog
    order: ProvisionalOrder = field(default_factory=ProvisionalOrder)
    ack: Request | None = None
    """For the retransmissions of its 2xx."""
    prack: str | None = None
    """RAck of a reliable response whose offer waits for our answer."""


class Departure:
    def __init__(self, session: Session, destination: Destination, sdp: bytes | None) -> None:
        stack = session.stack
        self._session, self._stack, self._destination, self._sdp = session, stack, destination, sdp
        self._uri = destination.to_uri
        self._targets: deque[tuple[str, Flow]] = deque((destination.to_uri, flow) for flow in destination.targets)
        self._redirects = 0
        self._call_id, self._tag, self._cseq = stack.token() + stack.token(), stack.token(), stack.first_cseq()
        self._forks: dict[str, Fork] = {}
        self._winner: Fork | None = None
        self._winner_cseq = 0
        self._answered = False
        """A session description of theirs answered our offer."""
        self._exchange: Exchange | None = None
        session.credentials = destination.credentials
        session.contact_user = destination.contact_user
        session.local_sdp = sdp or b""
        session.departure = self

    @property
    def decided(self) -> bool:
        return self._winner is not None

    @property
    def offer_open(self) -> bool:
        return self._winner is None and self._sdp is not None and not self._answered

    def fork(self, remote_tag: str) -> Dialog | None:
        fork = self._forks.get(remote_tag)
        return fork.dialog if fork else None

    # The INVITE

    def start(self, now: float) -> None:
        """Try the next target."""
        self._uri, self._flow = self._targets.popleft()
        self._exchange = Exchange(
            self._stack,
            self._invite,
            self._flow,
            self._concluded,
            credentials=self._destination.credentials,
            provisional=self._provisional,
        )
        self._stack.alarms.set(self, "ring", now + self._stack.settings.ring_limit)
        self._exchange.start(now)

    def _invite(self) -> Request:
        self._cseq += 1
        destination = self._destination
        display = '"' + destination.from_display.replace("\\", "\\\\").replace('"', '\\"') + '" '
        headers = [
            ("Max-Forwards", "70"),
            ("From", f"{display if destination.from_display else ''}<{destination.from_uri}>;tag={self._tag}"),
            ("To", f"<{destination.to_uri}>"),
            ("Call-ID", self._call_id),
            ("CSeq", f"{self._cseq} INVITE"),
            *self._session.invite_headers(self._flow),
            *self._session.refresh.headers(),
            ("User-Agent", self._stack.settings.user_agent),
            *destination.headers,
        ]
        if self._sdp is not None:
            headers.append(("Content-Type", SDP))
        return Request.build("INVITE", self._uri, headers, self._sdp or b"")

    def cancel(self, now: float) -> None:
        assert self._exchange is not None
        self._exchange.cancel(now)

    def wake(self, name: str, now: float) -> None:
        """It rang long enough."""
        self._session.hangup(now, "no answer", code=408)

    # Responses

    def _provisional(self, request: Request, response: Response, now: float) -> None:
        session = self._session
        was = session.state
        if was not in (State.CALLING, State.EARLY, State.LEAVING):
            return
        session.move(Cause.PROVISIONAL)
        if was is State.LEAVING:
            self.cancel(now)
            return
        fork = self._fork_of(request, response)
        if fork is not None and is_reliable(response) and not self._acknowledge_reliable(fork, response, now):
            return
        if response.status > 100:
            self._answered = self._answered or bool(response.body and is_reliable(response))
            session.tell(CallProgress(session.call, response.status, response.body or None))

    def _fork_of(self, request: Request, response: Response) -> Fork | None:
        """The early dialog that ``response`` belongs to; None for 100 and for what can't make one."""
        tag = response.to.tag or ""
        if response.status == 100 or not tag:
            return None
        fork = self._forks.get(tag)
        if fork is None and len(self._forks) < self._stack.settings.max_forks:
            dialog = Dialog.uac(request, response, self._flow)
            fork = self._forks[tag] = Fork(dialog)
            self._stack.enrol(dialog, self._session)
            if self._winner is None:
                self._session.dialog = dialog
                self._session.peer = Peer.of(response)
        return fork

    def _acknowledge_reliable(self, fork: Fork, response: Response, now: float) -> bool:
        rack = fork.order.rack(response)
        if rack is None:
            return False
        if response.body and self._sdp is None:
            fork.prack = rack
            self._session.dialog = fork.dialog
        else:
            self._prack(fork, rack, b"", now)
        return True

    def _prack(self, fork: Fork, rack: str, sdp: bytes, now: float) -> None:
        headers = [("RAck", rack), *([("Content-Type", SDP)] if sdp else [])]
        Exchange(
            self._stack,
            lambda: fork.dialog.request("PRACK", headers, sdp),
            self._stack.path(fork.dialog),
            lambda outcome, now: None,
            credentials=self._destination.credentials,
        ).start(now)

    def _concluded(self, outcome: Outcome, now: float) -> None:
        if outcome.success and outcome.response is not None:
            self._succeeded(outcome.request, outcome.response, now)
            return
        if self._winner is not None:
            return
        if self._session.state in OVER:
            self._fail(outcome, now)
        elif outcome.code == 422 and self._session.refresh.raise_minimum(outcome.header("Min-SE")):
            self._targets.appendleft((self._uri, self._flow))
            self._retry(now)
        elif 300 <= outcome.code < 400 and self._redirect(outcome):
            self._retry(now)
        elif self._targets and (outcome.code == 503 or outcome.response is None):
            # RFC 3263 §4.3: 503, silence and a broken transport lead to the next target.
            self._retry(now)
        else:
            self._fail(outcome, now)

    def _retry(self, now: float) -> None:
        self._drop_forks()
        self._session.state = State.CALLING
        self.start(now)

    def _redirect(self, outcome: Outcome) -> bool:
        """Queue the contacts of a 3xx before the other targets; those that need DNS only if the host stays."""
        assert outcome.response is not None
        self._redirects += 1
        if self._redirects > self._stack.settings.max_redirects:
            return False
        found: list[tuple[str, Flow]] = []
        contacts = sorted(outcome.response.contacts, key=lambda contact: -contact.quality)
        for contact in contacts[: self._stack.settings.max_redirects]:
            uri = str(contact.uri)
            if contact.uri.scheme not in ("sip", "sips") or uri == self._uri:
                continue
            # From a WebSocket's peer there is no other way than its connection (RFC 7118 §5).
            address = None if self._flow.transport.websocket else address_of(uri)
            if address is not None:
                found.append((uri, Flow(self._flow.transport, self._flow.local, address)))
            elif contact.uri.host.lower() == outcome.request.uri.host.lower():
                found.append((uri, self._flow))
        self._targets.extendleft(reversed(found))
        return bool(found)

    def _fail(self, outcome: Outcome, now: float) -> None:
        session = self._session
        if session.state is not State.ENDING:
            session.move(Cause.FAILURE)
        headers = tuple(outcome.response.headers.items()) if outcome.response is not None else ()
        session.end(outcome.code, outcome.reason, False, now, headers)
        session.forget()

    def _succeeded(self, request: Request, response: Response, now: float) -> None:
        tag = response.to.tag or ""
        known = self._forks.get(tag)
        if known is not None and known.ack is not None:
            # The ACK got lost (§13.2.2.4).
            self._stack.send_ack(known.ack, self._stack.path(known.dialog), now)
            return
        if known is not None and known is self._winner:
            return
        fork = self._fork_of(request, response)
        if fork is None:
            return
        fork.dialog.confirm(response)
        session = self._session
        if self._winner is not None or session.state is State.ENDED:
            self._hang_up_fork(fork, request.cseq.number, now)
            return
        self._winner, self._winner_cseq = fork, request.cseq.number
        self._stack.alarms.clear(self, "ring")
        session.dialog, session.peer = fork.dialog, Peer.of(response)
        self._drop_forks(but=tag)
        self._won(response, now)

    def _won(self, response: Response, now: float) -> None:
        session, has_offer = self._session, self._sdp is None and not self._answered
        session.move(Cause.SUCCESS_WITH_OFFER if has_offer else Cause.SUCCESS)
        if session.state is State.ENDING:
            # Our CANCEL came too late.
            self.acknowledge(b"", now)
            session.say_bye(now)
            return
        session.refresh.start(
            agreed(response.headers.get("Session-Expires"), self._stack.settings.session_expires), now
        )
        session.remote_sdp = response.body
        if session.state is State.CONFIRMED:
            self._send_ack(b"", now)
        session.tell(CallAnswered(session.call, response.body or None, session.peer.user_agent))

    def acknowledge(self, sdp: bytes, now: float) -> None:
        """Our answer: into the PRACK that waits for it, or into the ACK."""
        for fork in self._forks.values():
            if fork.prack is not None and self._winner is None:
                rack, fork.prack = fork.prack, None
                self._answered = True
                self._session.local_sdp = sdp
                self._prack(fork, rack, sdp, now)
                return
        if self._winner is not None and self._winner.ack is None:
            if self._session.state is State.UNACKNOWLEDGED:
                self._session.move(Cause.ACK)
                self._session.local_sdp = sdp
            self._send_ack(sdp, now)
            self._session.negotiation.pump(now)

    def _send_ack(self, sdp: bytes, now: float) -> None:
        assert self._winner is not None
        self._winner.ack = self._session.send_ack(self._winner_cseq, sdp, now, self._winner.dialog)

    def _hang_up_fork(self, fork: Fork, cseq: int, now: float) -> None:
        """A second branch answered too: ACK and BYE, without a word to anybody (§13.2.2.4)."""
        fork.ack = self._session.send_ack(cseq, b"", now, fork.dialog)
        self._stack.strike(fork.dialog, self._session)
        Exchange(
            self._stack,
            lambda: fork.dialog.request("BYE"),
            self._stack.path(fork.dialog),
            lambda outcome, now: None,
            credentials=self._destination.credentials,
        ).start(now)

    # The end

    def _drop_forks(self, but: str | None = None) -> None:
        """Early dialogs that lost take no more requests; a 2xx of theirs is still known by its tag."""
        for tag, fork in list(self._forks.items()):
            if tag != but:
                self._stack.strike(fork.dialog, self._session)
                del self._forks[tag]

    def close(self) -> None:
        self._stack.alarms.clear(self, "ring")
        for fork in self._forks.values():
            self._stack.strike(fork.dialog, self._session)
