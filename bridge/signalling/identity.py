"""Who sent it: digest authentication of requests outside dialogs (RFC 3261 §22.1, RFC 8760)."""

from __future__ import annotations

from collections import OrderedDict
from collections.abc import Callable
from urllib.parse import unquote

from .auth import BadCredentials, Challenger, Passwords, Verdict, bearer
from .event import Rejected
from .stack import Incoming, Stack

__all__ = ["Identity", "Passwords"]

PLAIN_PHONES = ("baresip v0.", "baresip v1.")
"""Beginnings of User-Agents, lower case, that give up when one of several challenges is not MD5, though RFC 8760 §2.4
bids them choose."""
UNANSWERED = 4.0
"""Seconds after which a challenge counts as not understood: a phone answers within a round trip or two, and T2, the
slowest that it repeats itself, is 4 s (RFC 3261 §17.1.2.1)."""
REMEMBERED = 4_096
"""Phones that had a challenge and have not answered it, or answered with MD5; the oldest is forgotten."""
Phone = tuple[str, str, str]


class Plain:
    """Who is to be challenged with MD5 alone: phones known for it, whoever names no User-Agent (sipp reads the first
    challenge only), and whoever comes again without an answer to a challenge of a while ago. It gives an attacker on
    the path nothing that he could not cut out of the challenge himself; where MD5 is not offered it does nothing."""

    def __init__(self) -> None:
        self._since: OrderedDict[Phone, float] = OrderedDict()

    def __len__(self) -> int:
        return len(self._since)

    def asked(self, incoming: Incoming, now: float) -> bool:
        """A request without credentials; True: challenge with MD5 alone."""
        agent = (incoming.request.headers.get("User-Agent") or "").strip().lower()
        if not agent or agent.startswith(PLAIN_PHONES):
            return True
        since = self._since.setdefault(_phone(incoming), now)
        if len(self._since) > REMEMBERED:
            self._since.popitem(last=False)
        return now - since > UNANSWERED

    def answered(self, incoming: Incoming, algorithm: str) -> bool:
        """A request with credentials; True: it would understand MD5 alone."""
        phone = _phone(incoming)
        if phone in self._since:
            if algorithm == "MD5":
                # At once the next time.
                self._since[phone] = float("-inf")
            else:
                del self._since[phone]
        return algorithm == "MD5"


def _phone(incoming: Incoming) -> Phone:
    request = incoming.request
    return (
        incoming.flow.remote[0],
        (request.headers.get("User-Agent") or "")[:100],
        (request.from_.uri.user or "")[:100],
    )


class Identity:
    def __init__(
        self, stack: Stack, passwords: Passwords | None, trusted: Callable[[Incoming], bool] = lambda incoming: False
    ) -> None:
        """Without ``passwords`` terminals register without proof, and where calls need one nobody calls. ``trusted``
        requests need none: a provider brings calls in its callers' names."""
        settings = stack.settings
        self._stack, self._passwords, self._trusted = stack, passwords, trusted
        self._plain = Plain()
        self._challenger = Challenger(settings.realm, stack.rng.randbytes(32), algorithms=settings.digest_algorithms)

    def prove(self, incoming: Incoming, now: float) -> str | None:
        """The user's name; ``""`` if no proof was asked for; None if the request was answered: with a challenge, or
        403 because somebody's credentials came with another's name in From."""
        if incoming.request.method == "REGISTER":
            wanted = self._passwords is not None
        else:
            wanted = self._stack.settings.authenticate_calls and not self._trusted(incoming)
            if wanted and incoming.request.method == "INVITE" and (token := bearer(incoming.request.headers.items())):
                wanted = not self._stack.vouches(token)
        return self._proved(incoming, now) if wanted else ""

    def _proved(self, incoming: Incoming, now: float) -> str | None:
        stack, request = self._stack, incoming.request
        try:
            proof = self._challenger.verify(request, self._passwords or _nobody, now)
        except BadCredentials as error:
            stack.reject(incoming, 400, now, f"Authorization: {error}")
            return None
        if proof.verdict is Verdict.MISSING:
            plain = self._plain.asked(incoming, now)
        else:
            plain = self._plain.answered(incoming, proof.algorithm)
        if proof.verdict is Verdict.MISSING and not stack.challenged(incoming.flow, now):
            stack.layer.abandon(incoming.transaction)
            return None
        if proof.verdict is not Verdict.PROVED:
            headers = self._challenger.challenges(now, stale=proof.verdict is Verdict.STALE, plain=plain)
            if proof.verdict is Verdict.WRONG:
                stack.reject(incoming, 401, now, headers=headers)
            else:
                # The first challenge is how every honest request begins: counted, and held against nobody who answers.
                response = stack.reply(incoming, 401, now, headers=headers)
                stack.emit(Rejected(incoming.flow, request.method, 401, response.reason))
            return None
        stack.proved(incoming.flow, now)
        if unquote(request.from_.uri.user or "") != proof.user:
            stack.reject(incoming, 403, now, "From names somebody else")
            return None
        return proof.user


def _nobody(user: str) -> str | None:
    return None
