"""Session timers (RFC 4028), both roles: pure decisions. :mod:`.session` sets the alarms and sends."""

from __future__ import annotations

from collections.abc import Iterable
from dataclasses import dataclass

MIN_SE = 90
"""The smallest interval allowed, seconds (RFC 4028 §4)."""
MAX_SE = 86_400
"""More than a day finds no dead peer; larger values are read as this."""


class BadSessionTimer(ValueError):
    """Session-Expires or Min-SE can't be read."""


@dataclass(frozen=True, slots=True)
class SessionExpires:
    """The header field Session-Expires."""

    interval: int
    refresher: str = ""
    """``uac``, ``uas`` or nothing."""

    @classmethod
    def parse(cls, value: str) -> SessionExpires:
        """Raises :class:`BadSessionTimer`."""
        interval, *parameters = (part.strip() for part in value.split(";"))
        refresher = ""
        for parameter in parameters:
            name, _, argument = parameter.partition("=")
            if name.strip().lower() == "refresher":
                refresher = argument.strip().lower()
        if refresher not in ("", "uac", "uas"):
            refresher = ""
        return cls(min(_seconds(interval), MAX_SE), refresher)

    def __str__(self) -> str:
        return f"{self.interval};refresher={self.refresher}" if self.refresher else str(self.interval)


@dataclass(frozen=True, slots=True)
class SessionTimer:
    """What was agreed for one session."""

    interval: int
    """Seconds; 0: the session has no timer."""
    ours: bool
    """We refresh."""

    @property
    def refresh_after(self) -> float:
        """Seconds from the last refresh to ours: half the interval (§7.2)."""
        return self.interval / 2

    @property
    def expire_after(self) -> float:
        """Seconds from the last refresh to our BYE: a third of the interval, at most 32 s, before the end (§10)."""
        return self.interval - min(32.0, self.interval / 3)


NO_TIMER = SessionTimer(0, False)


@dataclass(frozen=True, slots=True)
class TooBrief:
    """Answer 422 with this Min-SE (§9)."""

    min_se: int


@dataclass(frozen=True, slots=True)
class Granted:
    """The UAS's choice: what the 2xx says and what we keep."""

    timer: SessionTimer
    header: SessionExpires | None
    require: bool
    """Put ``Require: timer`` into the 2xx: the UAC does the refreshing (§9)."""


def grant(
    session_expires: str | None, min_se: str | None, supported: bool, *, default: int, minimum: int
) -> Granted | TooBrief:
    """The UAS's side of INVITE and UPDATE (§9). ``default`` 0 switches our wish for a timer off.

    Raises :class:`BadSessionTimer`.
    """
    floor = max(minimum, read_min_se(min_se))
    asked = SessionExpires.parse(session_expires) if session_expires is not None else None
    if asked and asked.interval < minimum and supported:
        return TooBrief(minimum)
    if not (asked and asked.interval) and not default:
        return Granted(NO_TIMER, None, False)
    interval = max(floor, min(seconds for seconds in (asked.interval if asked else 0, default) if seconds))
    if not supported:
        # Table 2 of §9: such a UAC can't refresh; we do.
        return Granted(SessionTimer(interval, True), SessionExpires(interval, "uas"), False)
    refresher = (asked.refresher if asked else "") or "uac"
    granted = SessionTimer(interval, refresher == "uas")
    return Granted(granted, SessionExpires(interval, refresher), refresher == "uac")


def agreed(session_expires: str | None, default: int) -> SessionTimer:
    """The UAC's side: what a 2xx to our INVITE or UPDATE says (§7.2). A peer without session timers is refreshed by us
    every ``default`` seconds all the same, which the section allows: it finds dead peers.

    An unreadable header counts as none."""
    try:
        header = SessionExpires.parse(session_expires) if session_expires is not None else None
    except BadSessionTimer:
        header = None
    if header is None or not header.interval:
        return SessionTimer(default, True) if default else NO_TIMER
    return SessionTimer(max(header.interval, MIN_SE), header.refresher != "uas")


def read_min_se(value: str | None) -> int:
    """Raises :class:`BadSessionTimer`."""
    return MIN_SE if value is None else min(_seconds(value.partition(";")[0].strip()), MAX_SE)


def supports_timer(options: Iterable[str]) -> bool:
    return any(option.lower() == "timer" for option in options)


def _seconds(text: str) -> int:
    if not (text.isascii() and text.isdigit() and len(text) <= 10):
        raise BadSessionTimer(f"not seconds: {text[:20]!r}")
    return int(text)
