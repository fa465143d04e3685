"""What the SIP endpoint tells the conference: frozen facts, in the order they happened.

``call`` numbers a signalling session of ours (one dialog with INVITE usage); it is never used twice.
Bodies are SDP as bytes; negotiating them is :mod:`bridge.signalling.offer`'s work, deciding is the conference's.
"""

from __future__ import annotations

from dataclasses import dataclass, field

from .flow import Flow


@dataclass(frozen=True, slots=True)
class IncomingCall:
    """An INVITE asks for a new call. Answer with ``ring``, ``answer``, ``reject`` or ``redirect``."""

    call: int
    flow: Flow
    request_uri: str
    from_uri: str
    from_display: str
    to_uri: str
    offer: bytes | None
    """None: a late offer; what we answer with is our offer, theirs comes in :class:`AnswerReceived`."""
    replaces: int | None = None
    """The call that this one takes the place of (RFC 3891), already matched."""
    early_only: bool = False
    user_agent: str = ""
    user: str = ""
    """Who it is, when digest authentication proved it."""
    referred_by: str = ""
    headers: tuple[tuple[str, str], ...] = field(default=(), repr=False)
    """All header fields, in order."""


@dataclass(frozen=True, slots=True)
class CallProgress:
    """A provisional response to our INVITE."""

    call: int
    code: int
    body: bytes | None


@dataclass(frozen=True, slots=True)
class CallAnswered:
    """Our INVITE was answered with 2xx. ``body`` answers our offer, or offers if we sent none (then the ACK waits
    for ``acknowledge(call, sdp)``). A second 2xx of a fork is acknowledged and hung up without a word here."""

    call: int
    body: bytes | None
    user_agent: str = ""


@dataclass(frozen=True, slots=True)
class CallConfirmed:
    """The ACK to our 2xx came."""

    call: int


@dataclass(frozen=True, slots=True)
class AnswerReceived:
    """The answer to an offer that we made in a response (it came in ACK or PRACK)."""

    call: int
    body: bytes


@dataclass(frozen=True, slots=True)
class OfferReceived:
    """A re-INVITE or UPDATE inside the call. Answer with ``accept(call, sdp)`` or ``refuse(call, code)``."""

    call: int
    body: bytes | None
    """None: they ask us to offer."""


@dataclass(frozen=True, slots=True)
class OfferAnswered:
    """Our re-INVITE or UPDATE was answered."""

    call: int
    body: bytes | None


@dataclass(frozen=True, slots=True)
class OfferRefused:
    """Our re-INVITE or UPDATE was refused; the session goes on as it was (491 is retried by the endpoint)."""

    call: int
    code: int
    void: bool = False
    """It was not made (again): one of theirs was accepted meanwhile, and says what is in force now. ``code`` is 491."""


@dataclass(frozen=True, slots=True)
class CallEnded:
    """The call is over, whatever the cause; nothing more of it follows."""

    call: int
    code: int
    """0: BYE; else the failing response's code, 408 for silence, 487 for a cancelled call."""
    reason: str
    local: bool
    """We ended it."""
    headers: tuple[tuple[str, str], ...] = field(default=(), repr=False, compare=False)
    """Of the response that refused a call of ours."""


@dataclass(frozen=True, slots=True)
class InfoReceived:
    """INFO inside a call (answered 200 already)."""

    call: int
    content_type: str
    body: bytes


@dataclass(frozen=True, slots=True)
class ReferReceived:
    """REFER, in a call (blind transfer) or out of one (dial-out by the focus). Answer with
    ``accept_refer(refer)`` or ``reject_refer(refer, code)``, then ``refer_progress(refer, code, reason)``."""

    refer: int
    call: int | None
    request_uri: str
    refer_to: str
    """Target URI, header parameters kept (``?Replaces=…``, ``;method=BYE``)."""
    method: str
    """INVITE or BYE."""
    from_uri: str
    referred_by: str = ""
    user: str = ""


@dataclass(frozen=True, slots=True)
class ReferProgress:
    """NOTIFY about a REFER that we sent: the sipfrag's status."""

    call: int
    code: int
    final: bool


@dataclass(frozen=True, slots=True)
class MessageReceived:
    """MESSAGE (RFC 3428), answered 200 already."""

    call: int | None
    request_uri: str
    from_uri: str
    content_type: str
    body: bytes


@dataclass(frozen=True, slots=True)
class SubscribeReceived:
    """SUBSCRIBE to a room's state. Answer with ``accept_subscription(subscription)`` or ``reject_subscription``,
    then ``notify(subscription, body)`` whenever the state changes. Refreshes are the endpoint's work, and come as
    :class:`SubscriptionRefreshed` (a full NOTIFY is due)."""

    subscription: int
    request_uri: str
    package: str
    """``conference``"""
    from_uri: str
    user: str = ""


@dataclass(frozen=True, slots=True)
class SubscriptionRefreshed:
    subscription: int


@dataclass(frozen=True, slots=True)
class SubscriptionEnded:
    subscription: int


@dataclass(frozen=True, slots=True)
class BindingsChanged:
    """A terminal registered, refreshed, moved or left."""

    aor: str
    contacts: tuple[str, ...]


@dataclass(frozen=True, slots=True)
class RegistrationChanged:
    """Our own registration with a provider."""

    registration: int
    registered: bool
    code: int
    reason: str
    expires: int


@dataclass(frozen=True, slots=True)
class Rejected:
    """A request was answered with an error by the endpoint itself: for counters, logs and slowing scanners down."""

    flow: Flow
    method: str
    code: int
    reason: str


@dataclass(frozen=True, slots=True)
class Malformed:
    """Bytes that are no SIP message."""

    flow: Flow
    reason: str


Event = (
    IncomingCall
    | CallProgress
    | CallAnswered
    | CallConfirmed
    | AnswerReceived
    | OfferReceived
    | OfferAnswered
    | OfferRefused
    | CallEnded
    | InfoReceived
    | ReferReceived
    | ReferProgress
    | MessageReceived
    | SubscribeReceived
    | SubscriptionRefreshed
    | SubscriptionEnded
    | BindingsChanged
    | RegistrationChanged
    | Rejected
    | Malformed
)
