"""One call: an INVITE dialog usage from the first message to the last (RFC 3261 §13-15).

The session keeps what its parts share (state, dialog, what the peer can do) and composes them: how it came about is
:mod:`.arrival`'s (UAS) or :mod:`.departure`'s (UAC) work, offers inside it :mod:`.negotiation`'s, its timer
:mod:`.refresh`'s.
"""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import dataclass
from functools import lru_cache
from typing import TYPE_CHECKING

from .auth import Credentials
from .dialog import Dialog
from .event import CallEnded, Event, InfoReceived, MessageReceived
from .exchange import Exchange, Outcome
from .flow import Flow
from .message import Message, Request, Response
from .negotiation import Negotiation
from .refresh import Refresh
from .session_table import OVER, UAC, UAS, Cause, State, next_state
from .session_timer import NO_TIMER, BadSessionTimer, Granted, TooBrief, grant, supports_timer
from .stack import ACCEPT, ALLOW, SUPPORTED, Incoming, Refused, Stack
from .transaction import RequestReceived

if TYPE_CHECKING:
    from .arrival import Arrival
    from .departure import Departure
    from .refer import Referrals

SDP = "application/sdp"
AWAY = 60.0
"""Seconds that a WebSocket's peer has to come back by another connection: as long as media is waited for. A browser
tries every second or two, and a person who walks out of a lift is back in half a minute."""


@dataclass(frozen=True, slots=True)
class Peer:
    """What the other end said that it can do."""

    allow: frozenset[str] = frozenset()
    supported: frozenset[str] = frozenset()
    user_agent: str = ""

    @classmethod
    def of(cls, message: Message) -> Peer:
        return _peer(
            ", ".join(message.headers.getlist("Allow")),
            ", ".join(message.headers.getlist("Supported")),
            message.headers.get("User-Agent") or message.headers.get("Server") or "",
        )

    def allows(self, method: str) -> bool:
        return method in self.allow


@lru_cache(maxsize=256)
def _peer(allow: str, supported: str, user_agent: str) -> Peer:
    """Phones of one make say the same: one object for all of them."""
    split = [frozenset(part.strip() for part in text.split(",") if part.strip()) for text in (allow, supported)]
    return Peer(split[0], frozenset(option.lower() for option in split[1]), user_agent[:200])


class Session:
    def __init__(self, stack: Stack, referrals: Referrals, *, incoming: bool) -> None:
        self.stack = stack
        self.call = stack.number()
        self.state = State.INCOMING if incoming else State.CALLING
        self._table = UAS if incoming else UAC
        self._referrals = referrals
        self.dialog: Dialog | None = None
        self.peer = Peer()
        self.contact_user = ""
        self.credentials: Credentials | None = None
        self.local_sdp = b""
        self.remote_sdp = b""
        self.arrival: Arrival | None = None
        self.departure: Departure | None = None
        self._ended = False
        """CallEnded was told."""
        self._granted = Granted(NO_TIMER, None, False)
        """The session timer that our next 2xx agrees to."""
        self.refresh = Refresh(self)
        self.negotiation = Negotiation(self)
        stack.calls[self.call] = self

    # State

    def move(self, cause: Cause) -> None:
        """Raises WrongState if the table knows no such way."""
        self.state = next_state(self._table, self.state, cause)

    @property
    def established(self) -> bool:
        return self.state in (State.CONFIRMED, State.ANSWERED)

    @property
    def unacknowledged(self) -> bool:
        """The first INVITE isn't through."""
        return self.state is not State.CONFIRMED

    def offer_open(self, *, by_us: bool) -> bool:
        """The first INVITE's offer has no answer yet."""
        if by_us:
            return (self.departure is not None and self.departure.offer_open) or (
                self.arrival is not None and self.arrival.offered and self.state is not State.CONFIRMED
            )
        return self.arrival is not None and self.state is State.INCOMING and not self.arrival.settled

    # Requests of theirs

    def arrived(self, incoming: Incoming, now: float) -> None:
        request = incoming.request
        dialog = self._dialog_of(request)
        if dialog is None:
            raise Refused(481)
        if not dialog.in_order(request):
            # §12.2.2: a lower CSeq is out of order.
            raise Refused(500)
        before, dialog.flow = dialog.flow, incoming.flow
        if before.transport.websocket and before.connection != incoming.flow.connection:
            # What we still ask there gets no answer any more, and would be in the way of what is asked here.
            self.stack.alarms.clear(self, "away")
            self.stack.layer.desert(before, RequestReceived(incoming.transaction, request, incoming.flow), now)
            return
        match request.method:
            case "BYE":
                self._bye(incoming, now)
            case "INVITE" | "UPDATE":
                self.negotiation.arrived(incoming, now)
            case "PRACK":
                self._prack(incoming, now)
            case "REFER" if self.state not in OVER:
                self._referrals.arrived(incoming, now, session=self)
            case "NOTIFY":
                self._referrals.notified(self, incoming, now)
            case "INFO" | "MESSAGE" if self.state not in OVER:
                self._told(incoming, now)
            case "OPTIONS" if self.state not in OVER:
                self.stack.reply(incoming, 200, now, headers=self.stack.capabilities())
            case "INFO" | "MESSAGE" | "REFER" | "OPTIONS":
                raise Refused(481)
            case _:
                raise Refused(403, "Not inside a call")

    def away(self, now: float) -> None:
        """The connection by which its peer came is gone: the call goes on, and waits for another."""
        if self.state not in OVER:
            self.stack.alarms.set(self, "away", now + AWAY)

    def wake(self, name: str, now: float) -> None:
        self.hangup(now, "connection lost", code=408)

    def acknowledged(self, request: Request, flow: Flow, now: float) -> None:
        if self.negotiation.acknowledged(request, now):
            return
        if self.arrival is not None:
            self.arrival.acknowledged(request, now)

    def _bye(self, incoming: Incoming, now: float) -> None:
        self.stack.reply(incoming, 200, now)
        before = self.state
        self.move(Cause.BYE)
        if self.departure is not None and not self.departure.decided:
            # One of several branches hung up before answering; the INVITE's final response decides.
            if self.state is State.ENDED:
                self.state = before
            return
        if self.arrival is not None and before is State.INCOMING:
            self.arrival.abandon(now)
        self.end(0, "", False, now)
        if self.state is State.ENDED:
            self.forget()

    def _prack(self, incoming: Incoming, now: float) -> None:
        if self.arrival is None or not self.arrival.prack(incoming, now):
            raise Refused(481)

    def _told(self, incoming: Incoming, now: float) -> None:
        request = incoming.request
        if request.method == "INFO" and request.headers.get("Info-Package"):
            # RFC 6086 §4.2.2: we announced no package.
            raise Refused(469, "Bad Info Package")
        self.stack.reply(incoming, 200, now)
        kind = request.content_type
        if request.method == "INFO":
            self.tell(InfoReceived(self.call, kind, request.body))
        else:
            self.tell(MessageReceived(self.call, str(request.uri), str(request.from_.uri), kind, request.body))

    def _dialog_of(self, request: Request) -> Dialog | None:
        if self.departure is not None and not self.departure.decided:
            return self.departure.fork(request.from_.tag or "")
        return self.dialog

    # Requests of ours

    def exchange(self, make: Callable[[], Request], conclude: Callable[[Outcome, float], None], now: float) -> Exchange:
        """Send a request inside the dialog; challenges are answered with the call's credentials."""
        assert self.dialog is not None
        exchange = Exchange(self.stack, make, self.stack.path(self.dialog), conclude, credentials=self.credentials)
        return exchange.start(now)

    def request(self, method: str, headers: tuple[tuple[str, str], ...] = (), body: bytes = b"") -> Request:
        assert self.dialog is not None
        return self.dialog.request(method, [("User-Agent", self.stack.settings.user_agent), *headers], body)

    def offering(self, method: str, sdp: bytes | None) -> Request:
        """INVITE or UPDATE inside the dialog."""
        assert self.dialog is not None
        headers = [*self.invite_headers(self.dialog.flow), *self.refresh.headers()]
        if sdp is not None:
            headers.append(("Content-Type", SDP))
        return self.request(method, tuple(headers), sdp or b"")

    def invite_headers(self, flow: Flow) -> list[tuple[str, str]]:
        return [
            ("Contact", self.stack.contact(flow, self.contact_user)),
            ("Allow", ALLOW),
            ("Supported", SUPPORTED),
            ("Accept", ACCEPT),
        ]

    def send_ack(self, cseq: int, sdp: bytes, now: float, dialog: Dialog | None = None) -> Request:
        dialog = dialog or self.dialog
        assert dialog is not None
        ack = dialog.ack(cseq, [("Content-Type", SDP)] if sdp else [], sdp)
        self.stack.send_ack(ack, self.stack.path(dialog), now)
        return ack

    def repeat_ack(self, ack: Request, now: float) -> None:
        assert self.dialog is not None
        self.stack.send_ack(ack, self.stack.path(self.dialog), now)

    def info(self, content_type: str, body: bytes, now: float) -> None:
        """An answer of 481 or 408 ends the call (§12.2.1.2); other errors mean only that the peer minds INFO."""
        self.exchange(lambda: self.request("INFO", (("Content-Type", content_type),), body), self.concluded, now)

    def message(self, content_type: str, body: bytes, now: float) -> None:
        self.exchange(lambda: self.request("MESSAGE", (("Content-Type", content_type),), body), self.concluded, now)

    def concluded(self, outcome: Outcome, now: float) -> None:
        """A request inside the dialog that matters only if the dialog turns out to be gone."""
        if outcome.code in (408, 481) and self.state not in OVER:
            self.hangup(now, outcome.reason, code=outcome.code)

    # 2xx of ours to INVITE and UPDATE

    def grant_timer(self, request: Request) -> None:
        """Agree on a session timer. Raises :class:`~.stack.Refused`."""
        settings = self.stack.settings
        try:
            granted = grant(
                request.headers.get("Session-Expires"),
                request.headers.get("Min-SE"),
                supports_timer(request.supported),
                default=settings.session_expires,
                minimum=settings.min_session_expires,
            )
        except BadSessionTimer as error:
            raise Refused(400, f"Session-Expires: {error}") from None
        if isinstance(granted, TooBrief):
            raise Refused(422, headers=[("Min-SE", str(granted.min_se))])
        self._granted = granted

    def renew_peer(self, incoming: Incoming) -> None:
        """Their re-INVITE or UPDATE was in order: target and capabilities may have changed (§12.2.2)."""
        assert self.dialog is not None
        self.dialog.refresh(incoming.request)
        if incoming.request.headers.get("Allow"):
            self.peer = Peer.of(incoming.request)
        self.remote_sdp = incoming.request.body or self.remote_sdp

    def refresh_target(self, response: Response) -> None:
        assert self.dialog is not None
        self.dialog.refresh(response)

    def success(
        self, incoming: Incoming, sdp: bytes, now: float, headers: tuple[tuple[str, str], ...] = (), tag: str = ""
    ) -> Response:
        """A 2xx to INVITE or UPDATE, not sent yet; the session timer starts."""
        granted = self._granted
        values = [*self.invite_headers(incoming.flow), *headers]
        if granted.header is not None:
            values.append(("Session-Expires", str(granted.header)))
        if granted.require:
            values.append(("Require", "timer"))
        if sdp:
            values.append(("Content-Type", SDP))
        self.refresh.start(granted.timer, now)
        return self.stack.response(incoming, 200, "", values, sdp, tag)

    def succeed(self, incoming: Incoming, sdp: bytes, now: float) -> None:
        self.stack.respond(incoming, self.success(incoming, sdp, now), now)

    # The end

    def hangup(self, now: float, reason: str = "", *, code: int | None = None) -> None:
        """End the call as its state demands: 480, CANCEL, or BYE as soon as the RFC lets us.

        ``code``: what CallEnded says when it isn't our wish but a failure.
        """
        before = self.state
        if before in OVER:
            return
        self.move(Cause.HANGUP)
        cancelled = before in (State.CALLING, State.EARLY)
        told = code if code is not None else 487 if cancelled else 0
        if before is State.INCOMING and self.arrival is not None:
            self.arrival.refuse(480, now)
            self.end(code or 480, reason, True, now)
            self.forget()
            return
        if before is State.EARLY and self.departure is not None:
            self.departure.cancel(now)
        self.end(told, reason, True, now)
        if before is State.UNACKNOWLEDGED and self.departure is not None:
            self.departure.acknowledge(b"", now)
        if before in (State.CONFIRMED, State.UNACKNOWLEDGED):
            self.say_bye(now)

    def say_bye(self, now: float) -> None:
        self.exchange(lambda: self.request("BYE"), self._bye_concluded, now)

    def _bye_concluded(self, outcome: Outcome, now: float) -> None:
        if self.state is State.ENDING:
            self.move(Cause.DONE)
            self.forget()

    def tell(self, event: Event) -> None:
        """What the conference hears of the call; after CallEnded nothing."""
        if not self._ended:
            self.stack.emit(event)

    def end(self, code: int, reason: str, local: bool, now: float, headers: tuple[tuple[str, str], ...] = ()) -> None:
        """Tell the conference, once."""
        if self._ended:
            return
        self.refresh.close()
        self.negotiation.close(now)
        self.stack.alarms.clear(self, "away")
        self.tell(CallEnded(self.call, code, reason, local, headers))
        self._ended = True

    def forget(self) -> None:
        """Nothing more can come of it, but for its peer's referrals: whoever transfers somebody hangs up at once, and
        still gets their NOTIFYs, which it may ignore (481 ends them)."""
        if self.arrival is not None:
            self.arrival.close()
        if self.departure is not None:
            self.departure.close()
        if self.dialog is not None:
            self.stack.strike(self.dialog, self)
        self.stack.calls.pop(self.call, None)
