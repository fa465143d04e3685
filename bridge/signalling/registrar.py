"""Where the terminals are: the registrar of RFC 3261 §10.3 and its location service. Sans-IO.

One domain under many names: a user is the same under each of our hosts, so an address-of-record is a user. Each
binding keeps the flow that its REGISTER came by (after RFC 5626): behind NAT, or on a connection, the terminal is
reached by that and not by its Contact.
"""

from __future__ import annotations

from collections.abc import Iterable, Sequence
from dataclasses import dataclass, replace
from email.utils import formatdate
from urllib.parse import quote, unquote

from .alarms import Alarms
from .dialog import address_of
from .event import BindingsChanged
from .flow import Connection, Flow, Transport
from .message import NameAddr, ParseError, Request, Uri

MAX_TEXT = 1_024
"""Characters of a Contact or a Call-ID that is kept."""
MAX_AOR, MAX_URI = 255, 512
"""Characters of an address-of-record and of a Contact's URI: what a database may hold as its key."""


@dataclass(frozen=True, slots=True)
class RegistrarSettings:
    domain: str = "localhost"
    """Host part of the addresses-of-record in events and storage."""
    domains: frozenset[str] = frozenset()
    """Hosts that are ours in To, lower case; empty: all."""
    default_expires: int = 3_600
    """Seconds, where the terminal doesn't say (§10.2.1.1 recommends an hour)."""
    min_expires: int = 60
    """Less is answered 423: a REGISTER a minute is what NAT bindings need, more is a flood (§10.2.8)."""
    max_expires: int = 7_200
    """More is cut to this: a terminal that vanished is called for no longer."""
    max_contacts: int = 10
    """Of one address-of-record: nobody has more phones, and a call rings them all."""
    max_users: int = 10_000
    """Addresses-of-record with bindings; further users get 503."""


@dataclass(frozen=True, slots=True)
class Binding:
    """A terminal of a user."""

    aor: str
    contact: str
    """The URI to call, as the terminal wrote it."""
    parameters: tuple[tuple[str, str | None], ...]
    """Of its Contact, ``expires`` left out."""
    q: float
    """Preference, 0 to 1."""
    expires: float
    """When it ends, on the clock of ``now``."""
    call_id: str
    cseq: int
    flow: Flow
    """The way to the terminal."""
    updated: float
    user_agent: str = ""

    @property
    def instance(self) -> tuple[str, str] | None:
        """What stays the same when the terminal comes from a new address (RFC 5626 §6)."""
        named = dict(self.parameters)
        instance, number = named.get("+sip.instance"), named.get("reg-id")
        return (instance, number) if instance and number else None


@dataclass(frozen=True, slots=True)
class StoredBinding:
    """A binding as it is persisted: text and numbers only."""

    aor: str
    contact: str
    parameters: str
    """As in the header field: ``;a=b;c``."""
    q: float
    expires: float
    """Seconds since 1970."""
    call_id: str
    cseq: int
    transport: str
    local: tuple[str, int]
    remote: tuple[str, int]
    user_agent: str = ""


@dataclass(frozen=True, slots=True)
class RegisterReply:
    code: int
    reason: str = ""
    headers: tuple[tuple[str, str], ...] = ()
    changed: BindingsChanged | None = None
    """None: the bindings are as they were."""


class _Refusal(Exception):
    """Why a REGISTER is not done, as its response."""

    def __init__(self, code: int, reason: str = "", headers: tuple[tuple[str, str], ...] = ()) -> None:
        super().__init__(reason)
        self.reply = RegisterReply(code, reason, headers)


class Registrar:
    def __init__(self, settings: RegistrarSettings | None = None) -> None:
        self.settings = settings or RegistrarSettings()
        self._users: dict[str, list[Binding]] = {}
        self._flows: dict[Connection, set[str]] = {}
        """Flows to the users whose terminals are reached by them."""
        self._alarms: Alarms[str] = Alarms()
        self._epoch: float | None = None
        """Seconds since 1970 at ``now`` 0; None: nobody said."""

    def __len__(self) -> int:
        """Addresses-of-record with bindings."""
        return len(self._users)

    def aor(self, uri: Uri) -> str | None:
        """The address-of-record that a URI means, in its one form (§10.3, step 5); None: none of ours."""
        if uri.scheme not in ("sip", "sips") or not uri.user:
            return None
        ours = self.settings.domains
        if ours and uri.host.lower() not in ours | {self.settings.domain}:
            return None
        user = quote(unquote(uri.user, errors="surrogateescape"), safe="-_.!~*'()&=+$,;?/", errors="surrogateescape")
        return f"sip:{user}@{self.settings.domain}"

    def bindings(self, aor: str, now: float) -> list[Binding]:
        """Where the user of the URI ``aor`` is, best first; of equals the newest first. Empty for whatever is no
        address of ours."""
        try:
            name = self.aor(Uri.parse(aor))
        except ParseError:
            return []
        return sorted(self._living(name or "", now), key=lambda binding: (-binding.q, -binding.updated))

    def reaches(self, flow: Flow) -> bool:
        """Did a terminal register by ``flow``, and holds that still?"""
        return flow.connection in self._flows

    def _living(self, aor: str, now: float) -> list[Binding]:
        return [binding for binding in self._users.get(aor, ()) if binding.expires > now]

    # REGISTER

    def register(self, request: Request, flow: Flow, user: str, now: float) -> RegisterReply:
        """The steps of §10.3 from 4 on: who sent it (``user``, "" where no proof was asked for) is known."""
        try:
            return self._register(request, flow, user, now)
        except _Refusal as refusal:
            return refusal.reply

    def _register(self, request: Request, flow: Flow, user: str, now: float) -> RegisterReply:
        aor = self.aor(request.to.uri)
        if aor is None or len(aor) > MAX_AOR:
            raise _Refusal(404)
        if user and user != unquote(request.to.uri.user or ""):
            raise _Refusal(403, "Register yourself only")
        if len(request.call_id) > MAX_TEXT:
            raise _Refusal(400, "Call-ID is too long")
        before = self._living(aor, now)
        values = request.headers.getlist("Contact")
        if values == ["*"]:
            after = self._none_left(request, before)
        else:
            after = before
            for contact in self._contacts(values):
                _check_order(before, contact, request)
                after = self._bind(aor, contact, request, flow, after, now)
        # One too many: the terminal that was silent longest, most likely an earlier life of this one.
        after = sorted(after, key=lambda binding: binding.updated)[-self.settings.max_contacts :]
        if not values:
            return RegisterReply(200, "OK", self._granted(before, now))
        self._keep(aor, after)
        return RegisterReply(200, "OK", self._granted(after, now), self._changed(aor))

    def _contacts(self, values: Sequence[str]) -> list[NameAddr]:
        if len(values) > self.settings.max_contacts:
            raise _Refusal(403, "Too Many Contacts")
        contacts = []
        for value in values:
            if len(value) > MAX_TEXT:
                raise _Refusal(400, "Contact is too long")
            try:
                contact = NameAddr.parse(value)
            except ParseError as error:
                raise _Refusal(400, f"Contact: {error}") from None
            if len(str(contact.uri)) > MAX_URI:
                raise _Refusal(400, "Contact is too long")
            if not str(contact.uri).isprintable():  # no database takes halves of characters
                raise _Refusal(400, "Contact must be escaped")
            if contact.uri.scheme not in ("sip", "sips"):
                raise _Refusal(400, "Contact must be a SIP URI")
            contacts.append(contact)
        return contacts

    def _none_left(self, request: Request, before: Sequence[Binding]) -> list[Binding]:
        """``Contact: *`` (step 6)."""
        if request.headers.get("Expires") != "0":
            raise _Refusal(400, "Contact: * needs Expires: 0")
        for binding in before:
            _check_newer(binding, request)
        return []

    def _bind(
        self, aor: str, contact: NameAddr, request: Request, flow: Flow, before: list[Binding], now: float
    ) -> list[Binding]:
        """Step 7 for one Contact."""
        expires = self._expires(contact, request)
        parameters = tuple((name, value) for name, value in contact.parameters if name != "expires")
        new = Binding(
            aor,
            str(contact.uri),
            parameters,
            max(0.0, contact.quality),
            now + expires,
            request.call_id,
            request.cseq.number,
            flow,
            now,
            (request.headers.get("User-Agent") or "")[:200],
        )
        after = [
            old
            for old in before
            if not same_uri(Uri.parse(old.contact), contact.uri)
            and (new.instance is None or new.instance != old.instance)
        ]
        return [*after, new] if expires else after

    def _expires(self, contact: NameAddr, request: Request) -> int:
        """Seconds: its own parameter, else the header field, else ours; what can't be read counts as not said."""
        settings = self.settings
        for text in (contact.parameter("expires"), request.headers.get("Expires")):
            if text and text.isascii() and text.isdigit() and len(text) < 11:
                expires = int(text)
                if 0 < expires < settings.min_expires:
                    raise _Refusal(423, "", (("Min-Expires", str(settings.min_expires)),))
                return min(expires, settings.max_expires)
        return settings.default_expires

    def _granted(self, bindings: Iterable[Binding], now: float) -> tuple[tuple[str, str], ...]:
        """Step 8: all that is bound now, and the time for terminals without a clock."""
        headers = [
            ("Contact", f"<{b.contact}>{_written(b.parameters)};expires={max(0, round(b.expires - now))}")
            for b in bindings
        ]
        if self._epoch is not None:
            headers.append(("Date", formatdate(self._epoch + now, usegmt=True)))
        return tuple(headers)

    # The table

    def _keep(self, aor: str, bindings: list[Binding]) -> None:
        if bindings and aor not in self._users and len(self._users) >= self.settings.max_users:
            raise _Refusal(503, "Registrar Full", (("Retry-After", "300"),))
        for binding in self._users.pop(aor, ()):
            self._flows.get(binding.flow.connection, set()).discard(aor)
            if not self._flows.get(binding.flow.connection, True):
                del self._flows[binding.flow.connection]
        if not bindings:
            self._alarms.clear(aor, "expire")
            return
        self._users[aor] = bindings
        for binding in bindings:
            self._flows.setdefault(binding.flow.connection, set()).add(aor)
        self._alarms.set(aor, "expire", min(binding.expires for binding in bindings))

    def _changed(self, aor: str) -> BindingsChanged:
        return BindingsChanged(aor, tuple(binding.contact for binding in self._users.get(aor, ())))

    # Time

    def deadline(self) -> float | None:
        return self._alarms.deadline()

    def expire(self, now: float) -> list[BindingsChanged]:
        """End what is over."""
        changed = []
        for aor, _ in self._alarms.due(now):
            self._keep(aor, self._living(aor, now))
            changed.append(self._changed(aor))
        return changed

    def closed(self, flow: Flow) -> list[BindingsChanged]:
        """A connection ended: what was reached by it is reached by its Contact's address, or not at all any more."""
        changed = []
        for aor in sorted(self._flows.get(flow.connection, ())):
            moved = [_without(binding, flow) for binding in self._users[aor]]
            self._keep(aor, [binding for binding in moved if binding is not None])
            changed.append(self._changed(aor))
        return changed

    # Storage

    def keep_time(self, now: float, wall: float) -> None:
        """What the time of day is: ``wall`` seconds since 1970. Call it now and then, for clocks are set."""
        self._epoch = wall - now

    def dump(self, now: float, wall: float, aor: str | None = None) -> list[StoredBinding]:
        """All bindings, or those of one address-of-record, to be persisted."""
        self.keep_time(now, wall)
        return [
            StoredBinding(
                b.aor,
                b.contact,
                _written(b.parameters),
                b.q,
                wall + b.expires - now,
                b.call_id,
                b.cseq,
                b.flow.transport.value,
                b.flow.local,
                b.flow.remote,
                b.user_agent,
            )
            for bindings in (self._users.values() if aor is None else [self._users.get(aor, [])])
            for b in bindings
            if b.expires > now
        ]

    def load(self, stored: Iterable[StoredBinding], now: float, wall: float) -> int:
        """Take up what another life of ours dumped; the number of bindings that still hold. Connections are gone, so
        terminals on them are reached by their Contact's address. What can't be read, or is over, is left out."""
        self.keep_time(now, wall)
        found: dict[str, list[Binding]] = {}
        for one in stored:
            binding = self._restored(one, now, wall)
            if binding is not None and len(found.setdefault(binding.aor, [])) < self.settings.max_contacts:
                found[binding.aor].append(binding)
        for aor, bindings in found.items():
            if aor not in self._users and len(self._users) < self.settings.max_users:
                self._keep(aor, bindings)
        return sum(map(len, self._users.values()))

    def _restored(self, one: StoredBinding, now: float, wall: float) -> Binding | None:
        # A clock that was wrong while we were away must not make a binding that never ends.
        expires = min(now + one.expires - wall, now + self.settings.max_expires)
        try:
            aor = _rehomed(one.aor, self.settings.domain)
            contact = NameAddr.parse(f"<{one.contact}>{one.parameters}")
            local, remote = (one.local[0], int(one.local[1])), (one.remote[0], int(one.remote[1]))
            flow = Flow(Transport(one.transport), local, remote)
        except (ParseError, ValueError, LookupError, TypeError):
            return None
        if aor is None or expires <= now:
            return None
        binding = Binding(
            aor,
            one.contact,
            contact.parameters,
            one.q,
            expires,
            one.call_id,
            one.cseq,
            flow,
            now,
            one.user_agent,
        )
        return _without(binding, flow) if flow.transport.reliable else binding


def _rehomed(aor: str, domain: str) -> str | None:
    """``aor`` under the name that we have now."""
    user = Uri.parse(aor).user
    return f"sip:{user}@{domain}" if user else None


def _check_order(bindings: Iterable[Binding], contact: NameAddr, request: Request) -> None:
    for binding in bindings:
        if same_uri(Uri.parse(binding.contact), contact.uri):
            _check_newer(binding, request)


def _check_newer(binding: Binding, request: Request) -> None:
    """A request of the same Call-ID that is not newer than the binding fails as a whole (steps 6 and 7)."""
    if binding.call_id == request.call_id and binding.cseq >= request.cseq.number:
        raise _Refusal(500, "CSeq out of order")


def _without(binding: Binding, flow: Flow) -> Binding | None:
    """``binding`` when the connection ``flow`` is gone; None: the terminal can't be reached."""
    if binding.flow.connection != flow.connection:
        return binding
    address = address_of(binding.contact)
    if address is None or address == flow.remote:
        return None
    return replace(binding, flow=Flow(flow.transport, flow.local, address))


def _written(parameters: Iterable[tuple[str, str | None]]) -> str:
    """Parameters as in a header field, quoted where they must be."""
    parts = []
    for name, value in parameters:
        if value is None:
            parts.append(f";{name}")
        elif value and all(char.isalnum() or char in "-.!%*_+`'~" for char in value):
            parts.append(f";{name}={value}")
        else:
            parts.append(';{}="{}"'.format(name, value.replace("\\", "\\\\").replace('"', '\\"')))
    return "".join(parts)


def same_uri(one: Uri, other: Uri) -> bool:
    """Do two URIs mean the same (§19.1.4)? The order of parameters and the case of all but the user are nothing; a
    default port that is written is not one that isn't."""
    if (one.scheme, one.host.lower(), one.port) != (other.scheme, other.host.lower(), other.port):
        return False
    if (one.user is None) != (other.user is None) or unquote(one.user or "") != unquote(other.user or ""):
        return False
    mine, theirs = dict(one.parameters), dict(other.parameters)
    for name in mine.keys() | theirs.keys():
        both = name in mine and name in theirs
        if both and (mine[name] or "").lower() != (theirs[name] or "").lower():
            return False
        if not both and name in ("transport", "user", "ttl", "method", "maddr"):
            return False
    return sorted(one.headers.lower().split("&")) == sorted(other.headers.lower().split("&"))
