"""Where requests of others go: to the dialog they belong to, or through the gate to something new (RFC 3261 §8.2)."""

from __future__ import annotations

from collections import OrderedDict

from .arrival import Arrival
from .dialog import DialogId, NoTarget
from .event import IncomingCall, MessageReceived
from .gate import refused
from .identity import Identity
from .message import Request
from .refer import Referrals
from .registrar import Registrar
from .replaces import replacement
from .session import Session
from .stack import Incoming, Stack
from .subscription import Subscriptions
from .throttle import Bucket, Throttle

RECENT_INVITES = 4096
"""INVITEs remembered, to know one that comes by a second path (§8.2.2.2)."""
MergeKey = tuple[str, str, int]


class Reception:
    def __init__(
        self,
        stack: Stack,
        referrals: Referrals,
        subscriptions: Subscriptions,
        identity: Identity,
        registrar: Registrar | None,
        now: float,
    ) -> None:
        settings = stack.settings
        self.draining = False
        self._stack, self._referrals, self._subscriptions = stack, referrals, subscriptions
        self._identity, self._registrar = identity, registrar
        self._throttle = Throttle(settings.rejections_per_minute)
        self._admission = Bucket(settings.max_calls_per_second, settings.call_burst, now)
        self._recent: OrderedDict[MergeKey, None] = OrderedDict()

    def count_rejection(self, source: str, now: float) -> None:
        self._throttle.rejected(source, now)

    def arrived(self, incoming: Incoming, now: float) -> None:
        request, stack = incoming.request, self._stack
        tag = request.to.tag
        if tag:
            user = stack.dialogs.get(DialogId(request.call_id, tag, request.from_.tag or ""))
            if user is not None:
                if not refused(stack, incoming, now):
                    user.arrived(incoming, now)
                return
        if self._throttle.silent(incoming.flow.remote[0], now):
            stack.layer.abandon(incoming.transaction)
        elif refused(stack, incoming, now):
            return
        elif tag or request.method in ("BYE", "PRACK", "UPDATE", "NOTIFY"):
            # §12.2.2: no such dialog.
            stack.reject(incoming, 481, now)
        else:
            self._outside(incoming, now)

    def acknowledged(self, request: Request, flow: Flow, now: float) -> None:
        """An ACK for a 2xx."""
        user = self._stack.dialogs.get(DialogId(request.call_id, request.to.tag or "", request.from_.tag or ""))
        if user is not None:
            user.acknowledged(request, flow, now)

    def _outside(self, incoming: Incoming, now: float) -> None:
        """A request that belongs to no dialog, and has passed the gate."""
        request, stack = incoming.request, self._stack
        match request.method:
            case "OPTIONS":
                stack.reply(incoming, 200, now, headers=stack.capabilities())
            case "REGISTER":
                self._register(incoming, now)
            case "INFO":
                stack.reject(incoming, 481, now)
            case _ if (user := self._identity.prove(incoming, now)) is None:
                return
            case "INVITE":
                self._invite(incoming, user, now)
            case "SUBSCRIBE":
                self._subscriptions.arrived(incoming, now, user)
            case "REFER":
                self._referrals.arrived(incoming, now, user=user)
            case "MESSAGE":
                stack.reply(incoming, 200, now)
                stack.emit(
                    MessageReceived(None, str(request.uri), str(request.from_.uri), request.content_type, request.body)
                )
            case _:
                stack.reject(incoming, 405, now)

    def _invite(self, incoming: Incoming, user: str, now: float) -> None:
        request, stack = incoming.request, self._stack
        key = (request.call_id, request.from_.tag or "", request.cseq.number)
        if key in self._recent:
            return stack.reject(incoming, 482, now)
        if self.draining or len(stack.calls) >= stack.settings.max_calls or not self._admission.take(now):
            return self._overloaded(incoming, now)
        replaced = replacement(stack, request)
        if replaced.code:
            return stack.reject(incoming, replaced.code, now)
        self._open(incoming, user, replaced.call, replaced.early_only, key, now)
        return None

    def _overloaded(self, incoming: Incoming, now: float) -> None:
        """Full, or too quick: say so, with a time that spreads the next attempts (§21.5.4)."""
        wait = self._stack.settings.retry_after
        wait += self._stack.rng.randint(0, wait)
        self._stack.reply(incoming, 503, now, headers=[("Retry-After", str(wait))])

    def _open(
        self, incoming: Incoming, user: str, replaces: int | None, early_only: bool, key: MergeKey, now: float
    ) -> None:
        request, stack = incoming.request, self._stack
        session = Session(stack, self._referrals, incoming=True)
        if not session.grant_timer(incoming, now):
            return session.forget()
        try:
            Arrival(session, incoming)
        except NoTarget as error:
            stack.reject(incoming, 400, now, f"Contact: {error}")
            return session.forget()
        self._recent[key] = None
        if len(self._recent) > RECENT_INVITES:
            self._recent.popitem(last=False)
        stack.emit(
            IncomingCall(
                session.call,
                incoming.flow,
                str(request.uri),
                str(request.from_.uri),
                request.from_.display,
                str(request.to.uri),
                request.body or None,
                replaces,
                early_only,
                session.peer.user_agent,
                user,
                request.headers.get("Referred-By") or "",
                tuple(request.headers.items()),
            )
        )
        return None
