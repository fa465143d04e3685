"""One request of ours until its outcome, through challenges and retries."""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import dataclass

from .auth import Credentials
from .flow import Flow
from .message import Request, Response
from .stack import Stack

MAX_CHALLENGES = 3
"""A proxy and a registrar may both challenge, and one may say ``stale``; then the password is wrong."""


@dataclass(frozen=True, slots=True)
class Outcome:
    code: int
    reason: str
    response: Response | None
    """None: nobody answered (408), or the transport broke (503)."""
    request: Request
    """As it was sent last."""

    @property
    def success(self) -> bool:
        return 200 <= self.code < 300

    def header(self, name: str) -> str | None:
        return self.response.headers.get(name) if self.response is not None else None


class Exchange:
    """Sends what ``make`` builds (a fresh CSeq each time) and tells ``conclude`` the outcome. 401 and 407 are answered
    with credentials (RFC 3261 §22.2) in between. A 2xx to INVITE may conclude more than once: repeated, or forked."""

    def __init__(
        self,
        stack: Stack,
        make: Callable[[], Request],
        flow: Flow,
        conclude: Callable[[Outcome, float], None],
        *,
        credentials: Credentials | None = None,
        provisional: Callable[[Request, Response, float], None] | None = None,
    ) -> None:
        self._stack, self._make, self._conclude, self._provisional = stack, make, conclude, provisional
        self._credentials, self._challenges = credentials, 0
        self.flow = flow

    def start(self, now: float) -> Exchange:
        request = self._make()
        if self._credentials is not None:
            self._credentials.prepare(request)
        self._send(request, now)
        return self

    def abandon(self) -> None:
        """Say it no more, and wait for nothing; :attr:`conclude` is not called."""
        self._stack.layer.abandon(self._transaction)

    def cancel(self, now: float) -> None:
        """CANCEL it: only once a provisional response came (§9.1)."""
        self._stack.layer.cancel(self._transaction, now)

    def responded(self, response: Response, now: float) -> None:
        if response.status < 200:
            if self._provisional is not None:
                self._provisional(self._request, response, now)
            return
        if response.status in (401, 407) and self._again(response, now):
            return
        self._conclude(Outcome(response.status, response.reason, response, self._request), now)

    def failed(self, code: int, reason: str, now: float) -> None:
        self._conclude(Outcome(code, reason, None, self._request), now)

    def _again(self, response: Response, now: float) -> bool:
        self._challenges += 1
        if self._credentials is None or self._challenges > MAX_CHALLENGES:
            return False
        request = self._make()
        if not self._credentials.answer(response, request):
            return False
        self._send(request, now)
        return True

    def _send(self, request: Request, now: float) -> None:
        self._request = request
        self._transaction = self._stack.send(request, self.flow, self, now)
