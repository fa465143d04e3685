"""A session's timer at work (RFC 4028 §10): refreshes, or ends the call that nobody refreshed."""

from __future__ import annotations

from typing import TYPE_CHECKING

from .session_timer import MIN_SE, NO_TIMER, BadSessionTimer, SessionExpires, SessionTimer, read_min_se

if TYPE_CHECKING:
    from .session import Session


class Refresh:
    def __init__(self, session: Session) -> None:
        self._session = session
        self._timer = NO_TIMER
        self._min_se = max(MIN_SE, session.stack.settings.min_session_expires)

    def start(self, timer: SessionTimer, now: float) -> None:
        """A 2xx to INVITE or UPDATE, ours or theirs, agreed on ``timer``: count anew."""
        self.close()
        self._timer = timer
        if not timer.interval:
            return
        alarms = self._session.stack.alarms
        if timer.ours:
            alarms.set(self, "refresh", now + timer.refresh_after)
        alarms.set(self, "expire", now + timer.expire_after)

    def headers(self) -> list[tuple[str, str]]:
        """What our INVITE or UPDATE says. The first leaves the refresher to the peer; later ones keep the roles."""
        interval = self._timer.interval or self._session.stack.settings.session_expires
        if not interval:
            return []
        refresher = "" if not self._timer.interval else "uac" if self._timer.ours else "uas"
        header = SessionExpires(max(interval, self._min_se), refresher)
        return [("Session-Expires", str(header)), ("Min-SE", str(self._min_se))]

    def raise_minimum(self, min_se: str | None) -> bool:
        """422 came (§7.3). True: ask again with this Min-SE."""
        try:
            wanted = read_min_se(min_se)
        except BadSessionTimer:
            return False
        if wanted <= self._min_se:
            return False
        self._min_se = wanted
        return True

    def wake(self, name: str, now: float) -> None:
        if name == "refresh":
            self._session.negotiation.refresh(now)
        else:
            self._session.hangup(now, "session timer expired", code=408)

    def close(self) -> None:
        self._session.stack.alarms.clear(self, "refresh", "expire")
