"""Where requests of others go: to the dialog they belong to, or through the gate to something new (RFC 3261 §8.2)."""

from __future__ import annotations

from collections import OrderedDict

from .arrival import Arrival
from .dialog import DialogId, NoTarget
from .event import IncomingCall, MessageReceived
from .flow import Flow
from .gate import check
from .identity import Identity
from .message import Request
from .refer import Referrals
from .registrar import Registrar
from .replaces import replacement
from .session import Session
from .stack import ALLOW, Incoming, Refused, Stack
from .subscription import Subscriptions
from .throttle import Bucket

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
        self._admission = Bucket(settings.max_calls_per_second, settings.call_burst, now)
        self._recent: OrderedDict[MergeKey, None] = OrderedDict()

    def arrived(self, incoming: Incoming, now: float) -> None:
        try:
            self._arrived(incoming, now)
        except Refused as refused:
            self._stack.reject(incoming, refused.code, now, refused.reason, refused.headers)

    def _arrived(self, incoming: Incoming, now: float) -> None:
        request, stack = incoming.request, self._stack
        tag = request.to.tag
        if tag:
            dialog = DialogId(request.call_id, tag, request.from_.tag or "")
            user = stack.dialogs.get(dialog)
            if user is not None:
                stack.acquaintances.met(dialog, incoming.flow.connection)
                check(stack, request)
                user.arrived(incoming, now)
                return
        if stack.silent(incoming.flow, now, request):
            stack.layer.abandon(incoming.transaction)
            return
        check(stack, request)
        if tag or request.method in ("BYE", "INFO", "PRACK", "UPDATE", "NOTIFY"):
            # §12.2.2: no such dialog.
            raise Refused(481)
        self._outside(incoming, now)

    def acknowledged(self, request: Request, flow: Flow, now: float) -> None:
        """An ACK for a 2xx."""
        user = self._stack.dialogs.get(DialogId(request.call_id, request.to.tag or "", request.from_.tag or ""))
        if user is not None:
            user.acknowledged(request, flow, now)

    def _outside(self, incoming: Incoming, now: float) -> None:
        """A request that belongs to no dialog, and has passed the gate."""
        request, stack = incoming.request, self._stack
        if request.method == "OPTIONS":
            self._options(incoming, now)
            return
        if request.method == "INVITE":
            self._admit(request, now)
        user = self._identity.prove(incoming, now)
        if user is None:
            return
        if request.method == "INVITE" and not self._admission.take(now):
            # After the proof: whoever can't prove anything uses up nobody's turn.
            raise Refused(503, headers=self._later())
        match request.method:
            case "INVITE":
                self._invite(incoming, user, now)
            case "REGISTER":
                self._register(incoming, user, now)
            case "SUBSCRIBE":
                self._subscriptions.arrived(incoming, now, user)
            case "REFER":
                self._referrals.arrived(incoming, now, user=user)
            case "MESSAGE":
                stack.reply(incoming, 200, now)
                stack.emit(
                    MessageReceived(None, str(request.uri), str(request.from_.uri), request.content_type, request.body)
                )

    def _options(self, incoming: Incoming, now: float) -> None:
        """§11.2: what an INVITE would get; proxies that spread calls look here. Nothing is kept of it: the same answer
        again does no harm, and strangers ask this most."""
        stack = self._stack
        if self.draining:
            stack.reply(incoming, 503, now, headers=self._later())
        elif self._nobody_at(incoming):
            stack.reject(incoming, 404, now)
        else:  # RFC 4579 §5.1: who asks learns from the Contact that the URI is a conference's
            contact = stack.contact(incoming.flow, incoming.request.uri.user or "")
            stack.reply(incoming, 200, now, headers=[("Contact", contact), *stack.capabilities()])
        stack.layer.abandon(incoming.transaction)

    def _nobody_at(self, incoming: Incoming) -> bool:
        """Without a user part it is the server that is asked. Where calls need proof, an INVITE would be challenged
        whatever the name: names are nobody's business then."""
        stack, uri = self._stack, incoming.request.uri
        return bool(uri.user) and not stack.settings.authenticate_calls and not stack.knows(str(uri))

    def _later(self) -> list[tuple[str, str]]:
        """§21.5.4: a time that spreads the next attempts."""
        wait = self._stack.settings.retry_after
        return [("Retry-After", str(wait + self._stack.rng.randint(0, wait)))]

    def _admit(self, request: Request, now: float) -> None:
        """Full, or seen already: say so before any work."""
        settings = self._stack.settings
        if _merge_key(request) in self._recent:
            raise Refused(482)
        if self.draining or len(self._stack.calls) >= settings.max_calls:
            raise Refused(503, headers=self._later())

    def _register(self, incoming: Incoming, user: str, now: float) -> None:
        if self._registrar is None:
            raise Refused(405, headers=[("Allow", ALLOW)])
        done = self._registrar.register(incoming.request, incoming.flow, user, now)
        if done.code >= 300:
            raise Refused(done.code, done.reason, done.headers)
        self._stack.reply(incoming, done.code, now, done.reason, done.headers)
        if done.changed is not None:
            self._stack.emit(done.changed)

    def _invite(self, incoming: Incoming, user: str, now: float) -> None:
        """A new call. :class:`~.dialog.NoTarget` and a session timer that can't be make none."""
        request, stack = incoming.request, self._stack
        replaced = replacement(stack, request)
        session = Session(stack, self._referrals, incoming=True)
        try:
            session.grant_timer(request)
            Arrival(session, incoming, now)
        except NoTarget as error:
            session.forget()
            raise Refused(400, f"Contact: {error}") from None
        except Refused:
            session.forget()
            raise
        self._recent[_merge_key(request)] = None
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
                replaced.call,
                replaced.early_only,
                session.peer.user_agent,
                user,
                request.headers.get("Referred-By") or "",
                tuple(request.headers.items()),
            )
        )


def _merge_key(request: Request) -> MergeKey:
    """§8.2.2.2: what two copies of a request have in common."""
    return request.call_id, request.from_.tag or "", request.cseq.number
