"""Who sent it: digest authentication of requests outside dialogs (RFC 3261 §22.1, RFC 8760)."""

from __future__ import annotations

from collections.abc import Callable
from urllib.parse import unquote

from .auth import BadCredentials, Challenger, Passwords, Verdict
from .stack import Incoming, Stack

__all__ = ["Identity", "Passwords"]


class Identity:
    def __init__(
        self, stack: Stack, passwords: Passwords | None, trusted: Callable[[Incoming], bool] = lambda incoming: False
    ) -> None:
        """Without ``passwords`` terminals register without proof, and where calls need one nobody calls. ``trusted``
        requests need none: a provider brings calls in its callers' names."""
        settings = stack.settings
        self._stack, self._passwords, self._trusted = stack, passwords, trusted
        self._challenger = Challenger(settings.realm, stack.rng.randbytes(32), algorithms=settings.digest_algorithms)

    def prove(self, incoming: Incoming, now: float) -> str | None:
        """The user's name; ``""`` if no proof was asked for; None if the request was answered: with a challenge, or
        403 because somebody's credentials came with another's name in From."""
        if incoming.request.method == "REGISTER":
            wanted = self._passwords is not None
        else:
            wanted = self._stack.settings.authenticate_calls and not self._trusted(incoming)
        return self._proved(incoming, now) if wanted else ""

    def _proved(self, incoming: Incoming, now: float) -> str | None:
        stack, request = self._stack, incoming.request
        try:
            proof = self._challenger.verify(request, self._passwords or _nobody, now)
        except BadCredentials as error:
            stack.reject(incoming, 400, now, f"Authorization: {error}")
            return None
        if proof.verdict is not Verdict.PROVED:
            headers = self._challenger.challenges(now, stale=proof.verdict is Verdict.STALE)
            if proof.verdict is Verdict.WRONG:
                stack.reject(incoming, 401, now, headers=headers)
            else:
                # The first challenge is how every honest request begins: no rejection to be slowed down for.
                stack.reply(incoming, 401, now, headers=headers)
            return None
        if unquote(request.from_.uri.user or "") != proof.user:
            stack.reject(incoming, 403, now, "From names somebody else")
            return None
        return proof.user


def _nobody(user: str) -> str | None:
    return None
