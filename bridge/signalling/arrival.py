"""A call that comes to us, until it is up or refused: the UAS side of the first INVITE (RFC 3261 §13.3)."""

from __future__ import annotations

from .awaited_ack import AwaitedAck
from .dialog import Dialog, Headers
from .event import AnswerReceived, CallConfirmed
from .message import Request, Response
from .reliable import Provisional, ReliableProvisionals
from .session import SDP, Peer, Session
from .session_table import OVER, Cause, State, WrongState
from .stack import Incoming

AGAIN = 60.0
"""Seconds between provisional responses, so that no proxy on the way gives up (§13.3.1.1)."""
REASONS = {180: "Ringing", 183: "Session Progress"}


class Arrival:
    def __init__(self, session: Session, incoming: Incoming, now: float) -> None:
        """The session timer was granted before. Raises :class:`~.dialog.NoTarget`."""
        stack, request = session.stack, incoming.request
        self._session, self._stack, self.incoming = session, stack, incoming
        self.tag = incoming.transaction.tag = stack.token()
        session.dialog = Dialog.uas(request, self.tag, incoming.flow, stack.first_cseq())
        session.peer = Peer.of(request)
        session.contact_user = request.uri.user or ""
        session.remote_sdp = request.body
        self._offered_by_them = bool(request.body)
        self._reliable = ReliableProvisionals(stack, incoming, self.tag, self._no_prack)
        self._must = "100rel" in request.require
        self._can = self._must or "100rel" in session.peer.supported
        self._described = False
        """A session description of ours went out reliably."""
        self._answered_by_them = False
        """PRACK brought the answer to our offer."""
        self._held: tuple[bytes, tuple[tuple[str, str], ...]] | None = None
        """The 2xx that waits for a PRACK."""
        self._awaited: AwaitedAck | None = None
        self._ringing: Response | None = None
        """Our last provisional response, to be said again."""
        limit, expires = stack.settings.ring_limit, float(request.headers.get("Expires") or "inf")
        self._unanswered = 487 if expires <= limit else 480
        """What to say when nobody answers in time (§13.3.1): 487 if the time was the caller's."""
        stack.alarms.set(self, "limit", now + min(limit, expires))
        stack.enrol(session.dialog, session)
        stack.invites[incoming.transaction] = self
        session.arrival = self

    @property
    def settled(self) -> bool:
        """Their offer was answered, reliably."""
        return not self._offered_by_them or (self._described and not self._reliable.holds_answer)

    @property
    def offered(self) -> bool:
        """An offer of ours went out."""
        return (
            not self._offered_by_them and not self._answered_by_them and (self._described or self._awaited is not None)
        )

    def ring(self, now: float, sdp: bytes | None, reliable: bool | None, code: int) -> None:
        """180 or 183; reliably if they require it, if asked for, or if there is a session description to lose."""
        if self._session.state in OVER:
            return
        self._session.move(Cause.PROVISIONAL)
        headers: tuple[tuple[str, str], ...] = tuple(self._session.invite_headers(self.incoming.flow))
        if sdp:
            headers = (*headers, ("Content-Type", SDP))
        if self._must or (self._can and (reliable or (reliable is None and sdp is not None))):
            self._described = self._described or bool(sdp)
            self._reliable.send(Provisional(code, REASONS.get(code, ""), sdp or b"", headers), now)
        else:
            self._ringing = self._stack.reply(
                self.incoming, code, now, REASONS.get(code, ""), headers, sdp or b"", self.tag
            )
            self._stack.alarms.set(self, "again", now + AGAIN)

    def wake(self, name: str, now: float) -> None:
        if name == "again" and self._ringing is not None:
            self._stack.respond(self.incoming, self._ringing, now)
            self._stack.alarms.set(self, "again", now + AGAIN)
            return
        self._session.move(Cause.FAILURE)
        self.refuse(self._unanswered, now)
        self._session.end(self._unanswered, "not answered", True, now)
        self._session.forget()

    def answer(self, sdp: bytes, now: float, headers: tuple[tuple[str, str], ...]) -> None:
        if self._session.state in OVER:
            return
        if self._session.state is not State.INCOMING or self._held is not None:
            raise WrongState("answered already")
        if self._reliable.holds_answer:
            self._held = (sdp, headers)
            return
        self._session.move(Cause.SUCCESS)
        self._close_invite()
        self._session.local_sdp = sdp
        response = self._session.success(self.incoming, sdp, now, headers, self.tag)
        is_offer = not self._offered_by_them and not self._answered_by_them
        self._awaited = AwaitedAck(self._stack, self.incoming, response, self._no_ack, is_offer=is_offer, now=now)

    def refuse(self, code: int, now: float, reason: str = "", headers: Headers = ()) -> None:
        """3xx to 6xx; the session's state is the caller's affair."""
        self._close_invite()
        self._stack.reply(self.incoming, code, now, reason, headers, tag=self.tag)

    def abandon(self, now: float) -> None:
        """BYE came before the answer: 487 (§15.1.2)."""
        self.refuse(487, now)

    def cancelled(self, now: float) -> None:
        """CANCEL (§9.2): 487 unless a final answer went out."""
        if self._session.state is not State.INCOMING:
            return
        self._session.move(Cause.CANCEL)
        self.refuse(487, now)
        self._session.end(487, "cancelled", False, now)
        self._session.forget()

    def acknowledged(self, request: Request, now: float) -> None:
        awaited = self._awaited
        if awaited is None or awaited.cseq != request.cseq.number:
            return
        self._drop_awaited()
        session = self._session
        session.move(Cause.ACK)
        if session.state is State.ENDING:
            session.say_bye(now)
            return
        if awaited.is_offer:  # RFC 3261 §13.2.1: the answer is due here; without one there is no media, and no call
            session.remote_sdp = request.body or session.remote_sdp
            session.tell(AnswerReceived(session.call, request.body))
        session.tell(CallConfirmed(session.call))
        session.negotiation.pump(now)

    def prack(self, incoming: Incoming, now: float) -> bool:
        """PRACK: False if it acknowledges nothing."""
        if not self._reliable.acknowledged(incoming.request):
            return False
        body = incoming.request.body
        if body and self._offered_by_them:
            # An offer in PRACK (RFC 3262 §5): allowed, used by nobody, and refusable.
            self._stack.reply(incoming, 488, now)
        else:
            self._stack.reply(incoming, 200, now)
        if body and not self._offered_by_them and not self._answered_by_them:
            self._answered_by_them = True
            self._session.remote_sdp = body
            self._session.tell(AnswerReceived(self._session.call, body))
        self._reliable.proceed(now)
        if self._held is not None and not self._reliable.holds_answer:
            (sdp, headers), self._held = self._held, None
            self.answer(sdp, now, headers)
        return True

    def _no_prack(self, now: float) -> None:
        # RFC 3262 §3: no PRACK in 64*T1, the INVITE is answered with a 5xx.
        self._session.move(Cause.FAILURE)
        self.refuse(504, now, "No PRACK")
        self._session.end(504, "no PRACK", True, now)
        self._session.forget()

    def _no_ack(self, now: float) -> None:
        """64*T1 without ACK (§13.3.1.4): the call ends with BYE, which is allowed now."""
        self._awaited = None
        session = self._session
        session.move(Cause.NO_ACK)
        session.end(408, "no ACK", True, now)
        session.say_bye(now)

    def _drop_awaited(self) -> None:
        if self._awaited is not None:
            self._awaited.close()
            self._awaited = None

    def _close_invite(self) -> None:
        self._reliable.close()
        self._stack.alarms.clear(self, "limit", "again")
        self._stack.invites.pop(self.incoming.transaction, None)

    def close(self) -> None:
        self._close_invite()
        self._drop_awaited()
