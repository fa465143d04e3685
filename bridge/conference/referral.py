"""REFER to the focus (RFC 4579 §5.5, RFC 3515): somebody asks us to call another into a room, or to send one away."""

from __future__ import annotations

from typing import TYPE_CHECKING, Literal
from urllib.parse import unquote

from bridge.signalling import event as sip
from bridge.signalling.endpoint import Endpoint

from .error import RoomError
from .house import NoSuchRoom
from .party import Party

if TYPE_CHECKING:
    from .focus import Focus


class Referring:
    def __init__(self, endpoint: Endpoint, focus: Focus, allowed: Literal["nobody", "hosts", "participants"]) -> None:
        self._endpoint, self._focus, self._allowed = endpoint, focus, allowed

    def received(self, event: sip.ReferReceived, party: Party | None, now: float) -> None:
        """``party``: who asks from inside its call; None: from outside, where only whoever proved who he is may."""
        room = party.room if party is not None else self._focus.dialled_room(event.request_uri)
        if not room:
            self._endpoint.reject_refer(event.refer, 404, now, "No such room")
        elif not self._may(event, party):
            self._endpoint.reject_refer(event.refer, 403, now, "Only hosts may do that")
        elif event.method == "BYE":
            self._send_away(event, room, party, now)
        else:
            self._invite(event, room, now)

    def _may(self, event: sip.ReferReceived, party: Party | None) -> bool:
        if self._allowed == "nobody":
            return False
        if party is None:
            return bool(event.user)
        return self._allowed == "participants" or bool(event.user or party.user) or self._focus.is_host(party)

    def _invite(self, event: sip.ReferReceived, room: str, now: float) -> None:
        uri, headers = _target(event.refer_to)
        if event.referred_by:
            headers.append(("Referred-By", event.referred_by))
        try:
            self._endpoint.accept_refer(event.refer, now)
            self._focus.dial(room, uri, now, headers=headers, referral=event.refer)
        except (NoSuchRoom, ValueError):
            self._endpoint.refer_progress(event.refer, 404, "Not Found", now)

    def _send_away(self, event: sip.ReferReceived, room: str, party: Party | None, now: float) -> None:
        """``Refer-To: <sip:bob@host;method=BYE>``."""
        uri, _ = _target(event.refer_to)
        number = self._focus.participant_of(room, uri)
        self._endpoint.accept_refer(event.refer, now)
        if number is None:
            self._endpoint.refer_progress(event.refer, 404, "Not Found", now)
            return
        # Whoever is in the room may do there what it may by key: only hosts send others away.
        by = party.number if party is not None else None
        try:
            self._focus.tell(room, lambda r: r.remove(number, by=by, now=now), now)
        except (RoomError, NoSuchRoom):
            self._endpoint.refer_progress(event.refer, 403, "Forbidden", now)
            return
        self._endpoint.refer_progress(event.refer, 200, "OK", now)

    # How the call that a REFER asked for goes

    def progress(self, party: Party | None, code: int, now: float) -> None:
        if party is not None and party.referral is not None and code > 100:
            self._endpoint.refer_progress(party.referral, code, "", now)

    def answered(self, party: Party, now: float) -> None:
        if party.referral is not None:
            self._endpoint.refer_progress(party.referral, 200, "OK", now)
            party.referral = None

    def failed(self, party: Party, code: int, reason: str, now: float) -> None:
        if party.referral is not None:
            self._endpoint.refer_progress(party.referral, code, reason[:60], now)
            party.referral = None


def _target(refer_to: str) -> tuple[str, list[tuple[str, str]]]:
    """Request-URI and header fields of a Refer-To URI (RFC 3261 §19.1.5): only Replaces is taken over (RFC 3891)."""
    uri, _, headers = refer_to.partition("?")
    taken = []
    for part in headers.split("&"):
        name, _, value = part.partition("=")
        if name.lower() == "replaces" and "\r" not in unquote(value) and "\n" not in unquote(value):
            taken.append(("Replaces", unquote(value)))
    kept = [part for part in uri.split(";") if not part.lower().startswith("method=")]
    return ";".join(kept), taken
