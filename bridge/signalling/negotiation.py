"""Offers inside a call: re-INVITE (RFC 3261 §14) and UPDATE (RFC 3311), theirs and ours, and those that cross.

One offer is open at a time (RFC 3264 §4, RFC 6337): theirs while ours is open gets 491; a second of theirs gets 500
with Retry-After; ours while one is open waits its turn. One of ours that waits is void once theirs is accepted.
"""

from __future__ import annotations

from typing import TYPE_CHECKING

from .awaited_ack import AwaitedAck
from .dialog import Headers
from .event import AnswerReceived, OfferAnswered, OfferReceived, OfferRefused
from .exchange import Exchange, Outcome
from .message import Request
from .session_table import OVER, State, WrongState
from .session_timer import agreed
from .stack import Incoming, Refused

if TYPE_CHECKING:
    from .session import Session

DECISION = 20.0
"""Seconds that the conference may take: the client's transaction ends after 64*T1 = 32 s (RFC 3261 §17.1.2.2)."""
MAX_GLARES = 8
"""491s in a row before the offer counts as refused: the two delay windows of §14.1 don't overlap."""


class Negotiation:
    def __init__(self, session: Session) -> None:
        self._session, self._stack = session, session.stack
        self._theirs: Incoming | None = None
        """Waits for accept() or refuse()."""
        self._awaited: AwaitedAck | None = None
        """Our 2xx to their re-INVITE."""
        self._ours: Exchange | None = None
        self._our_offer: bytes | None = None
        self._our_method = "INVITE"
        self._is_refresh = False
        self._late: Outcome | None = None
        """A 2xx with an offer to our empty re-INVITE: the ACK waits for acknowledge()."""
        self._ack: Request | None = None
        """The last ACK, for the 2xx's retransmissions."""
        self._queued: tuple[bytes | None, bool] | None = None
        self._glares = 0
        self._pausing = False

    # Theirs

    def arrived(self, incoming: Incoming, now: float) -> None:
        request = incoming.request
        invite = request.method == "INVITE"
        self._check_turn(request, invite)
        self._session.grant_timer(request)
        self._session.renew_peer(incoming)
        if not invite and not request.body:
            self._session.succeed(incoming, b"", now)
            return
        self._theirs = incoming
        if invite:
            self._stack.invites[incoming.transaction] = self
        self._stack.alarms.set(self, "decide", now + DECISION)
        self._session.tell(OfferReceived(self._session.call, request.body or None))

    def _check_turn(self, request: Request, invite: bool) -> None:
        """Raises :class:`~.stack.Refused` while another offer is open."""
        session = self._session
        if session.state in OVER:
            raise Refused(481)
        if invite and not session.established:
            # §14.2: the first INVITE has no final response yet.
            raise Refused(491) if session.departure else self._wait()
        if (self._ours is not None or self._late is not None) and (invite or request.body):
            raise Refused(491)
        if session.offer_open(by_us=True) and request.body:
            raise Refused(491)
        if self._theirs is not None or (request.body and session.offer_open(by_us=False)):
            raise self._wait()

    def _wait(self) -> Refused:
        """§14.2: one offer after the other, with a random wait of 0 to 10 s."""
        return Refused(500, headers=[("Retry-After", str(self._stack.rng.randint(0, 10)))])

    def accept(self, sdp: bytes, now: float) -> None:
        """200 to their re-INVITE or UPDATE: ``sdp`` answers, or offers if they had none."""
        incoming = self._take()
        if incoming is None:
            return
        self._withdraw()
        self._session.local_sdp = sdp
        if incoming.request.method == "INVITE":
            self._drop_awaited()
            response = self._session.success(incoming, sdp, now)
            offers = not incoming.request.body
            self._awaited = AwaitedAck(self._stack, incoming, response, self._no_ack, is_offer=offers, now=now)
        else:
            self._session.succeed(incoming, sdp, now)
            self._pump(now)

    def _withdraw(self) -> None:
        """What is agreed now is newer than an offer of ours that waits, or was refused with 491: made after all, it
        would say the old again, under an older version in its o= line (RFC 3264 §8)."""
        waits = self._queued is not None or (self._pausing and not self._is_refresh)
        self._queued, self._pausing, self._glares = None, False, 0
        self._stack.alarms.clear(self, "glare")
        if waits:
            self._session.tell(OfferRefused(self._session.call, 491, void=True))

    def refuse(self, code: int, now: float, headers: Headers = ()) -> None:
        incoming = self._take()
        if incoming is None:
            return
        self._stack.reply(incoming, code, now, headers=headers)
        self._pump(now)

    def _take(self) -> Incoming | None:
        """Their request that waits, to be answered now."""
        incoming, self._theirs = self._theirs, None
        if incoming is not None:
            self._stack.alarms.clear(self, "decide")
            self._stack.invites.pop(incoming.transaction, None)
        return incoming

    def cancelled(self, now: float) -> None:
        self.refuse(487, now)

    def acknowledged(self, request: Request, now: float) -> bool:
        """An ACK: True if it was for a re-INVITE."""
        awaited = self._awaited
        if awaited is None or awaited.cseq != request.cseq.number:
            return False
        self._drop_awaited()
        if awaited.is_offer and request.body:
            self._session.remote_sdp = request.body
            self._session.tell(AnswerReceived(self._session.call, request.body))
        self._pump(now)
        return True

    def _no_ack(self, now: float) -> None:
        self._awaited = None
        self._session.hangup(now, "no ACK", code=408)

    def _drop_awaited(self) -> None:
        if self._awaited is not None:
            self._awaited.close()
            self._awaited = None

    # Ours

    def offer(self, sdp: bytes | None, now: float, update: bool) -> None:
        """Send an offer, or queue it behind what is under way; a queued one is replaced."""
        if not self._session.established and not (
            update and self._session.dialog and self._session.peer.allows("UPDATE")
        ):
            raise WrongState(f"no offer in state {self._session.state.value}")
        self._queued = (sdp, update)
        self._pump(now)

    def refresh(self, now: float) -> None:
        """The session timer's: the same session description again, or an UPDATE without one."""
        if self._busy or self._queued is not None:
            # What is under way, or waits, refreshes too; look again soon.
            self._stack.alarms.set(self._session.refresh, "refresh", now + 4.0)
            return
        update = self._session.peer.allows("UPDATE")
        self._send(None if update else self._session.local_sdp, update, True, now)

    @property
    def _busy(self) -> bool:
        return bool(
            self._ours or self._theirs or self._awaited or self._late or self._pausing or self._session.unacknowledged
        )

    def pump(self, now: float) -> None:
        """The first INVITE's ACK came: what was queued may go."""
        self._pump(now)

    def _pump(self, now: float) -> None:
        if self._queued is not None and not self._busy and self._session.state not in OVER:
            (sdp, update), self._queued = self._queued, None
            self._send(sdp, update, False, now)

    def _send(self, sdp: bytes | None, update: bool, is_refresh: bool, now: float) -> None:
        self._our_offer, self._is_refresh = sdp, is_refresh
        update = update and self._session.peer.allows("UPDATE") and (sdp is not None or is_refresh)
        self._our_method = "UPDATE" if update else "INVITE"
        self._ours = self._session.exchange(
            lambda: self._session.offering(self._our_method, self._our_offer), self._concluded, now
        )

    def _concluded(self, outcome: Outcome, now: float) -> None:
        invite = outcome.request.method == "INVITE"
        if invite and outcome.success and self._again(outcome, now):
            return
        self._ours = None
        if self._session.state in OVER:
            if invite and outcome.success:
                self._send_ack(outcome, b"", now)
            return
        if outcome.success:
            self._succeeded(outcome, invite, now)
        elif outcome.code == 422 and self._session.refresh.raise_minimum(outcome.header("Min-SE")):
            self._send(self._our_offer, self._our_method == "UPDATE", self._is_refresh, now)
        elif outcome.code == 491 and self._glares < MAX_GLARES:
            self._pause(now)
        elif outcome.code in (408, 481):
            # §12.2.1.2: the dialog is gone at the other end.
            self._session.hangup(now, outcome.reason, code=outcome.code)
        else:
            self._glares = 0
            if not self._is_refresh:
                self._session.tell(OfferRefused(self._session.call, outcome.code))
            self._pump(now)

    def _succeeded(self, outcome: Outcome, invite: bool, now: float) -> None:
        response = outcome.response
        assert response is not None
        self._glares = 0
        session = self._session
        session.refresh_target(response)
        session.refresh.start(agreed(outcome.header("Session-Expires"), self._stack.settings.session_expires), now)
        if invite and self._our_offer is None:
            self._late = outcome
            session.remote_sdp = response.body
            session.tell(OfferAnswered(session.call, response.body or None))
            return
        if invite:
            self._send_ack(outcome, b"", now)
        if self._our_offer is not None:
            session.local_sdp = self._our_offer
        if not self._is_refresh or (response.body and response.body != session.remote_sdp):
            session.tell(OfferAnswered(session.call, response.body or None))
        session.remote_sdp = response.body or session.remote_sdp
        self._pump(now)

    def acknowledge(self, sdp: bytes, now: float) -> None:
        """The answer to their offer in the 2xx goes into the ACK."""
        outcome, self._late = self._late, None
        if outcome is not None:
            self._session.local_sdp = sdp
            self._send_ack(outcome, sdp, now)
            self._pump(now)

    def _send_ack(self, outcome: Outcome, sdp: bytes, now: float) -> None:
        self._ack = self._session.send_ack(outcome.request.cseq.number, sdp, now)

    def _again(self, outcome: Outcome, now: float) -> bool:
        """Is this 2xx one that we know already? Then its ACK got lost (§13.2.2.4)."""
        number = outcome.request.cseq.number
        if self._late is not None and self._late.request.cseq.number == number:
            return True
        if self._ack is None or self._ack.cseq.number < number:
            return False
        if self._ack.cseq.number == number:
            self._session.repeat_ack(self._ack, now)
        return True

    def _pause(self, now: float) -> None:
        """491: wait as §14.1 says, 2.1 to 4 s if the Call-ID is ours, else up to 2 s, in steps of 10 ms."""
        self._glares += 1
        self._pausing = True
        steps = self._stack.rng.randint(210, 400) if self._session.departure else self._stack.rng.randint(0, 200)
        self._stack.alarms.set(self, "glare", now + steps / 100)

    def wake(self, name: str, now: float) -> None:
        if name == "decide":
            self.refuse(500, now)
            return
        self._pausing = False
        if self._session.state is not State.CONFIRMED:
            return
        if self._busy:
            self._queued = self._queued or (self._our_offer, self._our_method == "UPDATE")
        elif self._queued is not None:
            self._pump(now)
        else:
            self._send(self._our_offer, self._our_method == "UPDATE", self._is_refresh, now)

    def close(self, now: float) -> None:
        """The session is over: their request that waits is answered 487 (§15.1.2)."""
        self._queued = None
        if self._late is not None:
            outcome, self._late = self._late, None
            self._send_ack(outcome, b"", now)
        self._drop_awaited()
        self._stack.alarms.clear(self, "glare")
        self.cancelled(now)
