"""Our own registrations with providers (RFC 3261 §10.2): kept alive, retried, taken back. Calls to the Contact that we
register come in as any other call."""

from __future__ import annotations

from collections import deque
from collections.abc import Sequence
from dataclasses import dataclass
from urllib.parse import quote, unquote

from .auth import Credentials
from .event import RegistrationChanged
from .exchange import Exchange, Outcome
from .flow import Flow
from .message import NameAddr, Request, Uri
from .registrar import same_uri
from .stack import Incoming, Stack

RETRY_BASE = 30.0
"""Seconds before the first retry, doubled each time (RFC 5626 §4.5: base-time when all flows failed)."""
RETRY_LIMIT = 1_800.0
"""RFC 5626 §4.5: max-time."""
RETRY_AFTER_LIMIT = 86_400.0
"""A provider that wants us away for longer than a day is asked all the same."""
MARGIN = 64.0
"""Seconds before its end that a registration is refreshed at the latest, where it is long enough: twice 64*T1, so that
one REGISTER may stay unanswered (RFC 3261 §17.1.2.2)."""
KEEP_ALIVE = {False: (24.0, 29.0), True: (95.0, 120.0)}
"""Seconds between pings on datagrams and on connections, drawn anew each time (RFC 5626 §4.4): calls must get through
our NAT long before the next refresh."""


@dataclass(frozen=True, slots=True)
class Account:
    """Who we are at a provider."""

    registrar: str
    """The registrar's URI, as in ``sip:provider.example``."""
    targets: tuple[Flow, ...]
    """Ways to it, best first (RFC 3263)."""
    user: str
    credentials: Credentials
    expires: int
    """Seconds asked for."""


class Registration:
    """One account. A REGISTER is under way, or the alarm for the next one is set."""

    def __init__(self, registrations: Registrations, account: Account) -> None:
        stack = registrations.stack
        self.number = stack.number()
        self.account, self.leaving = account, False
        self.aor = f"sip:{quote(account.user, safe=_USER)}@{_domain(account.registrar)}"
        self.flow = account.targets[0]
        self._registrations, self._stack = registrations, stack
        self._call_id, self._tag, self._cseq = stack.token() + stack.token(), stack.token(), stack.first_cseq()
        self._expires, self._failures, self._until = account.expires, 0, 0.0
        self._announced = False
        """What the last event said."""
        self._untried: deque[Flow] = deque()
        self._exchange: Exchange | None = None

    # REGISTER

    def start(self, now: float) -> None:
        """Register, or refresh: by the flow that worked last, then by the others."""
        self._untried = deque(flow for flow in self.account.targets if flow != self.flow)
        self._send(now)

    def leave(self, now: float) -> None:
        """Take the Contact back. A REGISTER under way is overtaken by CSeq."""
        self.leaving = True
        self._stack.alarms.clear(self, "refresh", "lapse", "ping")
        if self._exchange is None and self._until <= now:
            self._end(0, "", now)
            return
        self._send(now)

    def _send(self, now: float) -> None:
        self._stack.alarms.clear(self, "refresh")
        exchange = Exchange(
            self._stack,
            self._request,
            self.flow,
            lambda outcome, now: self._concluded(exchange, outcome, now),
            credentials=self.account.credentials,
        )
        self._exchange = exchange
        exchange.start(now)

    def _request(self) -> Request:
        self._cseq += 1
        return Request.build(
            "REGISTER",
            self.account.registrar,
            [
                ("Max-Forwards", "70"),
                ("From", f"<{self.aor}>;tag={self._tag}"),
                ("To", f"<{self.aor}>"),
                ("Call-ID", self._call_id),
                ("CSeq", f"{self._cseq} REGISTER"),
                ("Contact", self._contact()),
                ("Expires", "0" if self.leaving else str(self._expires)),
                ("User-Agent", self._stack.settings.user_agent),
            ],
        )

    def _contact(self) -> str:
        return self._stack.contact(self.flow, quote(self.account.user, safe=_USER), focus=False)

    # Its outcome

    def _concluded(self, exchange: Exchange, outcome: Outcome, now: float) -> None:
        if exchange is not self._exchange:
            return
        self._exchange = None
        if self.leaving:
            self._end(outcome.code, outcome.reason, now)
        elif outcome.success:
            self._succeeded(outcome, now)
        elif outcome.code == 423 and self._raise(outcome.header("Min-Expires")):
            self._send(now)
        elif self._untried and (outcome.code == 503 or outcome.response is None):
            # RFC 3263 §4.3.
            self.flow = self._untried.popleft()
            self._send(now)
        else:
            self._failed(outcome, now)

    def _succeeded(self, outcome: Outcome, now: float) -> None:
        granted = self._granted(outcome)
        if not granted:
            self._failed(outcome, now)
            return
        self._failures, self._until = 0, now + granted
        after = max(granted / 2, granted - MARGIN)
        # Jitter: many accounts that began at once shall not go on at once.
        self._stack.alarms.set(self, "refresh", now + after * self._stack.rng.uniform(0.9, 1.0))
        self._stack.alarms.set(self, "lapse", self._until)
        self._set_ping(now)
        if not self._announced:
            self._announce(True, outcome.code, outcome.reason, granted)

    def _failed(self, outcome: Outcome, now: float) -> None:
        """Try again later; what is registered stays so until its time is over."""
        self._back_off(_seconds(outcome.header("Retry-After")), now)
        left = max(0, int(self._until - now))
        self._announce(left > 0, outcome.code, outcome.reason, left)

    def _back_off(self, at_least: float, now: float) -> None:
        """RFC 5626 §4.5."""
        wait = min(RETRY_LIMIT, RETRY_BASE * 2.0 ** min(self._failures, 16))
        self._failures += 1
        wait = max(wait * self._stack.rng.uniform(0.5, 1.0), at_least)
        self._stack.alarms.set(self, "refresh", now + wait)

    def lost(self, now: float) -> None:
        """The connection to the provider ended: calls can't reach us by it (RFC 5626 §4.5)."""
        self._stack.alarms.clear(self, "ping")
        if self._exchange is None and not self.leaving:
            self._back_off(0.0, now)

    def _set_ping(self, now: float) -> None:
        between = self._stack.rng.uniform(*KEEP_ALIVE[self.flow.transport.reliable])
        self._stack.alarms.set(self, "ping", now + between)

    def wake(self, name: str, now: float) -> None:
        if name == "refresh":
            self.start(now)
        elif name == "ping":
            self._stack.layer.keep_alive(self.flow)
            self._set_ping(now)
        else:
            self._stack.alarms.clear(self, "ping")
            if self._announced:
                self._announce(False, 408, "Registration lapsed", 0)

    def _granted(self, outcome: Outcome) -> int:
        """Seconds: of our Contact among those that the registrar lists, else of the whole, else what we asked for."""
        assert outcome.response is not None
        ours = NameAddr.parse(self._contact()).uri
        listed = [contact for contact in outcome.response.contacts if same_uri(contact.uri, ours)]
        texts = [contact.parameter("expires") for contact in listed] + [outcome.header("Expires")]
        known = [_seconds(text) for text in texts if text]
        return int(known[0]) if known else self._expires

    def _raise(self, min_expires: str | None) -> bool:
        """423: True if asking for more is worth it."""
        wanted = int(_seconds(min_expires))
        if wanted <= self._expires:
            return False
        self._expires = wanted
        return True

    def _announce(self, registered: bool, code: int, reason: str, expires: int) -> None:
        self._announced = registered
        self._stack.emit(RegistrationChanged(self.number, registered, code, reason, expires))

    def _end(self, code: int, reason: str, now: float) -> None:
        self._stack.alarms.clear(self, "refresh", "lapse", "ping")
        self._registrations.forget(self)
        self._announce(False, code, reason, 0)


class Registrations:
    """All of them."""

    def __init__(self, stack: Stack) -> None:
        self.stack = stack
        self._held: dict[int, Registration] = {}

    def __len__(self) -> int:
        return len(self._held)

    def register(
        self, registrar_uri: str, targets: Sequence[Flow], user: str, password: str, expires: int, now: float
    ) -> int:
        """Raises ValueError for a URI that is none, without a user, or without targets."""
        uri = Uri.parse(registrar_uri)
        if uri.scheme not in ("sip", "sips") or not uri.host or not user:
            raise ValueError(f"a registrar is written as in sip:provider.example, with a user; not {registrar_uri!r}")
        if not targets:
            raise ValueError("nowhere to send the REGISTER")
        credentials = Credentials(user, password, rng=self.stack.rng)
        registration = Registration(self, Account(registrar_uri, tuple(targets), user, credentials, expires))
        self._held[registration.number] = registration
        registration.start(now)
        return registration.number

    def unregister(self, number: int, now: float) -> None:
        registration = self._held.get(number)
        if registration is not None and not registration.leaving:
            registration.leave(now)

    def trusted(self, incoming: Incoming) -> bool:
        """Does a provider that we register with bring a call or a text to our Contact there? It has no password of
        ours, and From names its customer. (REFER, which spends money, is nobody's without proof.)"""
        if incoming.request.method not in ("INVITE", "MESSAGE"):
            return False
        host, user = incoming.flow.remote[0], unquote(incoming.request.uri.user or "")
        return any(
            user == registration.account.user and any(host == flow.remote[0] for flow in registration.account.targets)
            for registration in self._held.values()
        )

    def closed(self, flow: Flow, now: float) -> None:
        """A connection ended."""
        for registration in list(self._held.values()):
            if registration.flow.connection == flow.connection:
                registration.lost(now)

    def forget(self, registration: Registration) -> None:
        self._held.pop(registration.number, None)


_USER = "-_.!~*'()&=+$,;?/"
"""What a user part may hold unescaped (§25.1)."""


def _domain(registrar: str) -> str:
    """Of the address-of-record: the registrar's host, without port (§10.2)."""
    return Uri.parse(registrar).host


def _seconds(text: str | None) -> float:
    """Of Retry-After, Min-Expires, Expires: 0 for what can't be read."""
    digits = (text or "").partition(";")[0].partition("(")[0].strip()
    return min(float(digits), RETRY_AFTER_LIMIT) if digits.isascii() and digits.isdigit() else 0.0
