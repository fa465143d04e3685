"""What is logged of what happens: calls and rooms one line an event, strangers by samples."""

from __future__ import annotations

from dataclasses import fields, is_dataclass
from typing import Any

import structlog

from bridge.conference import event as room
from bridge.signalling.event import Malformed, Rejected
from bridge.signalling.gate import METHODS

from .log import Sampler

log = structlog.get_logger("visiopont")

REJECTIONS = 5
"""Lines of one kind (a method and a code) in each :data:`PERIOD`; a scanner causes thousands."""
PERIOD = 10.0
CHALLENGES = (401, 407)
"""How every registration begins: counted, not logged."""
QUIET: tuple[type, ...] = (
    room.SpeakerChanged,
    room.GainsChanged,
    room.Tone,
    room.Announce,
    room.Hangup,
    room.HandsChanged,
    room.FloorGiven,
)
"""Logged at level debug: an hour of talk has thousands, or another line says the same."""


class Journal:
    def __init__(self) -> None:
        self._rejections = Sampler(REJECTIONS, PERIOD)
        self._bugs = Sampler(REJECTIONS, PERIOD)

    def tell(self, event: object) -> None:
        """Something that the focus or a room tells."""
        say = log.debug if isinstance(event, QUIET) else log.info
        say(_words(type(event).__name__), **_values(event))

    def refused(self, event: Rejected | Malformed) -> None:
        """A request was answered with an error, or was none."""
        if isinstance(event, Rejected) and event.code in CHALLENGES:
            return
        # Method names are a stranger's to choose, and a counter is kept for each kind.
        kind = type(event).__name__
        if isinstance(event, Rejected) and event.method in METHODS:
            kind = f"{event.method} {event.code}"
        left_out = self._rejections.let(kind)
        if left_out is None:
            return
        more = {"not_logged_before": left_out} if left_out else {}
        peer = f"{event.flow.transport} {event.flow.remote[0]}:{event.flow.remote[1]}"
        if isinstance(event, Rejected):
            log.info("request refused", peer=peer, method=event.method, code=event.code, reason=event.reason, **more)
        else:
            log.info("no SIP message", peer=peer, reason=event.reason, **more)

    def bug(self, where: str, what: str) -> None:
        """An exception that should not be; call it in the ``except`` clause."""
        left_out = self._bugs.let(f"{where} {what}")
        if left_out is not None:
            log.exception("a bug; the bridge goes on", where=where, what=what, not_logged_before=left_out)


def _words(name: str) -> str:
    """``CallEnded`` as ``call ended``."""
    return "".join(f" {c.lower()}" if c.isupper() else c for c in name).strip()


def _values(event: object) -> dict[str, Any]:
    if not is_dataclass(event):
        return {"value": event}
    found = {}
    for field in fields(event):
        value = getattr(event, field.name)
        if isinstance(value, bytes) or is_dataclass(value) or not field.repr:
            continue
        found["what" if field.name == "event" else field.name] = value
    return found
