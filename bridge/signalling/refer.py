"""REFER (RFC 3515) both ways: the request, and the subscription that it makes without being asked (unless ``Refer-Sub:
false``, RFC 4488)."""

from __future__ import annotations

from typing import TYPE_CHECKING

from .dialog import Dialog, NoTarget
from .event import ReferProgress, ReferReceived
from .exchange import Exchange, Outcome
from .message import Request
from .stack import Incoming, Refused, Stack

if TYPE_CHECKING:
    from .session import Session

DECISION = 20.0
"""Seconds that the conference may take: the client's transaction ends after 64*T1 = 32 s (RFC 3261 §17.1.2.2)."""
LIFETIME = 240
"""Seconds that we keep reporting: a call that rings three minutes has ended by then."""
MAX_REFERRALS = 1_000
"""Held at once."""
FRAGMENT = "message/sipfrag;version=2.0"


class Referral:
    """One REFER that we received. Known to nobody when ended."""

    def __init__(
        self, referrals: Referrals, incoming: Incoming, session: Session | None, dialog: Dialog, silent: bool
    ) -> None:
        self.number = referrals.stack.number()
        self.session, self.dialog, self.silent = session, dialog, silent
        self.incoming: Incoming | None = incoming
        """Until it is answered."""
        self.event = f"refer;id={incoming.request.cseq.number}"
        self.ends = 0.0
        self._referrals = referrals

    def arrived(self, incoming: Incoming, now: float) -> None:
        """A request in the dialog that REFER made: SUBSCRIBE refreshes or ends it (RFC 3515 §2.4.4)."""
        stack = self._referrals.stack
        if incoming.request.method != "SUBSCRIBE" or not self.dialog.in_order(incoming.request):
            raise Refused(481)
        stack.reply(incoming, 200, now, headers=[("Expires", str(max(0, int(self.ends - now))))])
        if incoming.request.headers.get("Expires") == "0":
            self._referrals.close(self)

    def acknowledged(self, request: Request, flow: object, now: float) -> None:
        return

    def wake(self, name: str, now: float) -> None:
        if name == "decide":
            self._referrals.reject(self.number, 500, now)
        else:
            self._referrals.progress(self.number, 408, "", now)


class Referrals:
    """All of them, ours and theirs."""

    def __init__(self, stack: Stack) -> None:
        self.stack = stack
        self._held: dict[int, Referral] = {}

    def __len__(self) -> int:
        return len(self._held)

    # Theirs

    def arrived(self, incoming: Incoming, now: float, session: Session | None = None, user: str = "") -> None:
        request, stack = incoming.request, self.stack
        targets = request.headers.getlist("Refer-To")
        if len(targets) != 1:
            # RFC 3515 §2.4.1.
            raise Refused(400, "One Refer-To header field is needed")
        target = targets[0]
        start, end = target.find("<"), target.find(">")
        uri = (target[start + 1 : end] if 0 <= start < end else target.split(";")[0]).strip()
        method = _method_of(uri)
        if not uri.lower().startswith(("sip:", "sips:", "tel:")) or method not in ("INVITE", "BYE"):
            raise Refused(400, "Refer-To can't be done")
        if len(self._held) >= MAX_REFERRALS:
            raise Refused(503, headers=[("Retry-After", str(stack.settings.retry_after))])
        if session is not None and session.dialog is not None:
            dialog = session.dialog
        else:
            try:
                dialog = Dialog.uas(request, stack.token(), incoming.flow, stack.first_cseq())
            except NoTarget as error:
                raise Refused(400, f"Contact: {error}") from None
        silent = (request.headers.get("Refer-Sub") or "").strip().lower() == "false"
        referral = Referral(self, incoming, session, dialog, silent)
        self._held[referral.number] = referral
        if session is None:
            stack.enrol(dialog, referral)
        stack.alarms.set(referral, "decide", now + DECISION)
        stack.emit(
            ReferReceived(
                referral.number,
                session.call if session else None,
                str(request.uri),
                uri,
                method,
                str(request.from_.uri),
                request.headers.get("Referred-By") or "",
                user,
            )
        )

    def accept(self, number: int, now: float) -> None:
        referral = self._held.get(number)
        if referral is None or referral.incoming is None:
            return
        incoming, referral.incoming = referral.incoming, None
        self.stack.alarms.clear(referral, "decide")
        headers = [("Contact", self.stack.contact(incoming.flow, incoming.request.uri.user or ""))]
        if referral.silent:
            headers.append(("Refer-Sub", "false"))
        self.stack.reply(incoming, 202, now, "Accepted", headers, tag=referral.dialog.id.local_tag)
        if referral.silent:
            self.close(referral)
            return
        referral.ends = now + LIFETIME
        self.stack.alarms.set(referral, "end", referral.ends)
        self._notify(referral, 100, "Trying", now)

    def reject(self, number: int, code: int, now: float, reason: str = "") -> None:
        referral = self._held.get(number)
        if referral is None or referral.incoming is None:
            return
        incoming = referral.incoming
        self.stack.reply(incoming, code, now, reason, tag=referral.dialog.id.local_tag)
        self.close(referral)
        if referral.session is None:
            self.stack.turned_down(incoming, code, now, reason)

    def progress(self, number: int, code: int, reason: str, now: float) -> None:
        """Tell whoever referred us how it goes; a final code ends the subscription."""
        referral = self._held.get(number)
        if referral is None or referral.incoming is not None:
            return
        self._notify(referral, code, reason, now)
        if code >= 200:
            self.close(referral)

    def _notify(self, referral: Referral, code: int, reason: str, now: float) -> None:
        left = max(0, int(referral.ends - now))
        state = "terminated;reason=noresource" if code >= 200 else f"active;expires={left}"
        headers = (
            ("Event", referral.event),
            ("Subscription-State", state),
            ("Contact", self.stack.contact(referral.dialog.flow)),
            ("Content-Type", FRAGMENT),
        )
        body = f"SIP/2.0 {code} {reason or 'Progress'}\r\n".encode()

        def concluded(outcome: Outcome, now: float) -> None:
            if not outcome.success:
                self.close(referral)

        Exchange(
            self.stack,
            lambda: referral.dialog.request("NOTIFY", headers, body),
            self.stack.path(referral.dialog),
            concluded,
            credentials=referral.session.credentials if referral.session else None,
        ).start(now)

    def close(self, referral: Referral) -> None:
        self._held.pop(referral.number, None)
        self.stack.alarms.clear(referral, "decide", "end")
        if referral.session is None:
            self.stack.strike(referral.dialog, referral)

    # Ours

    def refer(self, session: Session, target: str, now: float) -> None:
        """Ask the peer to call ``target``. What comes of it is told by ReferProgress."""
        bracketed = target if target.startswith("<") else f"<{target}>"

        def make() -> Request:
            assert session.dialog is not None
            contact = self.stack.contact(session.dialog.flow, session.contact_user)
            local = session.dialog.local.partition(";tag=")[0]
            return session.request("REFER", (("Contact", contact), ("Refer-To", bracketed), ("Referred-By", local)))

        def concluded(outcome: Outcome, now: float) -> None:
            silent = (outcome.header("Refer-Sub") or "").strip().lower() == "false"
            if not outcome.success or silent:
                session.tell(ReferProgress(session.call, outcome.code, True))
            session.concluded(outcome, now)

        session.exchange(make, concluded, now)

    def notified(self, session: Session, incoming: Incoming, now: float) -> None:
        """NOTIFY inside a call (§2.4.5)."""
        request = incoming.request
        event = (request.headers.get("Event") or "").partition(";")[0].strip().lower()
        if event != "refer":
            raise Refused(489, headers=[("Allow-Events", "conference, refer")])
        state = (request.headers.get("Subscription-State") or "").partition(";")[0].strip().lower()
        words = request.body[:200].split(b"\r\n", 1)[0].split(None, 2)
        if len(words) < 2 or words[0] != b"SIP/2.0" or not words[1].isdigit() or len(words[1]) != 3:
            raise Refused(400, "No status line in the fragment")
        self.stack.reply(incoming, 200, now)
        code = int(words[1])
        session.tell(ReferProgress(session.call, code, state == "terminated" or code >= 200))


def _method_of(uri: str) -> str:
    for parameter in uri.partition("?")[0].split(";")[1:]:
        name, _, value = parameter.partition("=")
        if name.strip().lower() == "method":
            return value.strip().upper()
    return "INVITE"
