"""Subscriptions to a room's state: the notifier's side of RFC 6665 for the package ``conference`` (RFC 4575)."""

from __future__ import annotations

from collections import deque

from .dialog import Dialog, NoTarget
from .event import SubscribeReceived, SubscriptionEnded, SubscriptionRefreshed
from .exchange import Exchange, Outcome
from .flow import Flow
from .message import Request
from .stack import Incoming, Refused, Stack
from .transaction_table import T1

PACKAGE = "conference"
MEDIA_TYPE = "application/conference-info+xml"
DECISION = 20.0
"""Seconds that the conference may take: the client's transaction ends after 64*T1 = 32 s (RFC 3261 §17.1.2.2)."""
QUEUE = 8
"""Partial states waiting for the NOTIFY before them to be answered; beyond that a full state is due instead."""
PROOF = 30 * T1
"""Seconds for a subscriber's address to prove that it wants to be notified: what asks it is sent six times by then (RFC
3261 §17.1.2.2), of which one gets through where every third datagram is lost."""
PROVING = 512
"""Subscribers that have to prove it still: 200 small NOTIFYs a second at most go where nobody asked for them."""


class Subscription:
    """One subscriber: one dialog, one NOTIFY in flight."""

    def __init__(self, subscriptions: Subscriptions, incoming: Incoming, dialog: Dialog, expires: int) -> None:
        self.number = subscriptions.stack.number()
        self.dialog, self.expires = dialog, expires
        self.incoming: Incoming | None = incoming
        """Until it is answered."""
        self.ends = 0.0
        self.event = incoming.request.headers.get("Event") or PACKAGE
        self.queue: deque[bytes] = deque()
        self.exchange: Exchange | None = None
        self.proved: Flow | None = None
        """The way there whose other end is known to be the subscriber's. UDP senders can be forged and Record-Route can
        name anybody, so a state goes only where a NOTIFY without one (``pending``, RFC 6665 §4.1.3) was answered."""
        self._subscriptions, self._stack = subscriptions, subscriptions.stack

    def arrived(self, incoming: Incoming, now: float) -> None:
        """A request inside the dialog: SUBSCRIBE refreshes, or ends with ``Expires: 0`` (§4.2.1.4)."""
        request = incoming.request
        if request.method == "OPTIONS":
            self._stack.reply(incoming, 200, now, headers=self._stack.capabilities())
            return
        if request.method != "SUBSCRIBE":
            raise Refused(403, "Only SUBSCRIBE here")
        if not self.dialog.in_order(request):
            raise Refused(500)
        expires = self._subscriptions.interval(request)
        self.dialog.flow = incoming.flow
        self.dialog.refresh(request)
        self._subscriptions.extend(self, incoming, expires, now)

    def acknowledged(self, request: Request, flow: Flow, now: float) -> None:
        return

    def wake(self, name: str, now: float) -> None:
        if name == "decide":
            self._subscriptions.reject(self.number, 500, now)
        elif name == "prove":
            self._subscriptions.unproved(self, now)
        else:
            self._subscriptions.end(self.number, now, "timeout")


class Subscriptions:
    def __init__(self, stack: Stack) -> None:
        self.stack = stack
        self._held: dict[int, Subscription] = {}
        self._proving: set[int] = set()

    def __len__(self) -> int:
        return len(self._held)

    def arrived(self, incoming: Incoming, now: float, user: str = "") -> None:
        """SUBSCRIBE outside a dialog."""
        request, stack = incoming.request, self.stack
        package = (request.headers.get("Event") or "").partition(";")[0].strip().lower()
        if package != PACKAGE:
            raise Refused(489, headers=[("Allow-Events", PACKAGE)])
        accept = ", ".join(request.headers.getlist("Accept")).lower()
        if accept and not any(kind in accept for kind in (MEDIA_TYPE, "application/*", "*/*")):
            raise Refused(406, headers=[("Accept", MEDIA_TYPE)])
        if len(self._held) >= stack.settings.max_subscriptions or len(self._proving) >= PROVING:
            raise Refused(503, headers=[("Retry-After", str(stack.settings.retry_after))])
        expires = self.interval(request)
        try:
            dialog = Dialog.uas(request, stack.token(), incoming.flow, stack.first_cseq())
        except NoTarget as error:
            raise Refused(400, f"Contact: {error}") from None
        subscription = Subscription(self, incoming, dialog, expires)
        if user:
            subscription.proved = incoming.flow
        self._held[subscription.number] = subscription
        stack.enrol(dialog, subscription)
        stack.alarms.set(subscription, "decide", now + DECISION)
        stack.emit(SubscribeReceived(subscription.number, str(request.uri), package, str(request.from_.uri), user))

    def interval(self, request: Request) -> int:
        """Seconds granted. Raises :class:`~.stack.Refused`."""
        settings = self.stack.settings
        text = request.headers.get("Expires")
        if text is None:
            return settings.subscription_expires
        if not (text.isascii() and text.isdigit()) or len(text) > 10:
            raise Refused(400, "Expires is no number")
        expires = int(text)
        if 0 < expires < settings.min_subscription_expires:
            raise Refused(423, headers=[("Min-Expires", str(settings.min_subscription_expires))])
        return min(expires, settings.subscription_expires)

    def accept(self, number: int, now: float) -> None:
        """200; the conference's ``notify`` with the full state follows at once (§4.2.1.2)."""
        subscription = self._held.get(number)
        if subscription is None or subscription.incoming is None:
            return
        incoming, subscription.incoming = subscription.incoming, None
        self.stack.alarms.clear(subscription, "decide")
        self._grant(subscription, incoming, subscription.expires, now)

    def extend(self, subscription: Subscription, incoming: Incoming, expires: int, now: float) -> None:
        """A refresh: a full NOTIFY is due. With 0 the end: a last NOTIFY without a body."""
        if subscription.incoming is not None:
            raise Refused(500, headers=[("Retry-After", "1")])
        self._grant(subscription, incoming, expires, now)
        if expires:
            self.stack.emit(SubscriptionRefreshed(subscription.number))
        else:
            self.end(subscription.number, now, "timeout")

    def _grant(self, subscription: Subscription, incoming: Incoming, expires: int, now: float) -> None:
        contact = self.stack.contact(incoming.flow, incoming.request.uri.user or "")
        headers = [("Expires", str(expires)), ("Contact", contact)]
        self.stack.reply(incoming, 200, now, headers=headers, tag=subscription.dialog.id.local_tag)
        subscription.expires, subscription.ends = expires, now + expires
        if expires:
            self.stack.alarms.set(subscription, "end", subscription.ends)

    def reject(self, number: int, code: int, now: float, reason: str = "") -> None:
        subscription = self._held.get(number)
        if subscription is None or subscription.incoming is None:
            return
        incoming = subscription.incoming
        self.stack.reply(incoming, code, now, reason)
        self._forget(subscription)
        self.stack.turned_down(incoming, code, now, reason)

    def notify(self, number: int, body: bytes, now: float) -> None:
        """Send a state, after those that are under way."""
        subscription = self._held.get(number)
        if subscription is None or subscription.incoming is not None:
            return
        if subscription.exchange is None:
            self._send(subscription, body, now)
        elif len(subscription.queue) < QUEUE:
            subscription.queue.append(body)
        else:
            subscription.queue.clear()
            self.stack.emit(SubscriptionRefreshed(number))

    def end(self, number: int, now: float, reason: str = "noresource") -> None:
        """A last NOTIFY, ``terminated``."""
        subscription = self._held.get(number)
        if subscription is None:
            return
        if subscription.incoming is not None:
            self.reject(number, 404, now)
            return
        if self._knows_way(subscription):
            self._notify(subscription, f"terminated;reason={reason}", b"", now)
        self._forget(subscription)
        self.stack.emit(SubscriptionEnded(number))

    def unproved(self, subscription: Subscription, now: float) -> None:
        """Nobody answers where the NOTIFYs are to go."""
        if subscription.exchange is not None:
            subscription.exchange.abandon()
        self._forget(subscription)
        self.stack.hold_against(subscription.dialog.flow, now)
        self.stack.emit(SubscriptionEnded(subscription.number))

    def _knows_way(self, subscription: Subscription) -> bool:
        path = self.stack.path(subscription.dialog)
        return path.transport.reliable or path == subscription.proved

    def _send(self, subscription: Subscription, body: bytes, now: float) -> None:
        left = max(0, int(subscription.ends - now))
        if not self._knows_way(subscription):
            subscription.queue.appendleft(body)
            self._proving.add(subscription.number)
            self.stack.alarms.set(subscription, "prove", now + PROOF)
            subscription.exchange = self._notify(subscription, f"pending;expires={left}", b"", now)
            return
        if subscription.expires:
            subscription.exchange = self._notify(subscription, f"active;expires={left}", body, now)
            return
        # A fetch (§4.4.3): one NOTIFY, and that was it.
        self._notify(subscription, "terminated;reason=timeout", body, now)
        self._forget(subscription)
        self.stack.emit(SubscriptionEnded(subscription.number))

    def _notify(self, subscription: Subscription, state: str, body: bytes, now: float) -> Exchange:
        contact = self.stack.contact(subscription.dialog.flow)
        headers = [("Event", subscription.event), ("Subscription-State", state), ("Contact", contact)]
        if body:
            headers.append(("Content-Type", MEDIA_TYPE))

        path = self.stack.path(subscription.dialog)

        def concluded(outcome: Outcome, now: float) -> None:
            subscription.exchange = None
            self._proving.discard(subscription.number)
            self.stack.alarms.clear(subscription, "prove")
            if subscription.number not in self._held:
                return
            if not outcome.success:
                # §4.2.2: 481 says gone; silence and other errors are no better.
                self._forget(subscription)
                self.stack.emit(SubscriptionEnded(subscription.number))
                return
            subscription.proved = path
            if subscription.queue:
                self._send(subscription, subscription.queue.popleft(), now)

        return Exchange(
            self.stack, lambda: subscription.dialog.request("NOTIFY", headers, body), path, concluded
        ).start(now)

    def _forget(self, subscription: Subscription) -> None:
        self._held.pop(subscription.number, None)
        self._proving.discard(subscription.number)
        self.stack.alarms.clear(subscription, "decide", "end", "prove")
        self.stack.strike(subscription.dialog, subscription)
