"""Calls that we make to bring somebody into a room: the name is looked up, then the terminal is called."""

from __future__ import annotations

from collections import deque
from collections.abc import Callable, Sequence

from bridge.signalling.flow import Flow
from bridge.signalling.message import ParseError, Uri

from .calls import Calls
from .focus_event import CallOver, Event, ResolveWanted
from .house import House
from .leg import Hearing
from .parties import Parties
from .party import Party, readable
from .placement import Full, Placement
from .referral import Referring
from .stage import Stage


class Inviting:
    def __init__(
        self,
        house: House,
        calls: Calls,
        parties: Parties,
        placement: Placement,
        stage: Stage,
        referring: Referring,
        outbox: deque[Event],
        forget: Callable[[Party], None],
    ) -> None:
        """``forget``: of a party that never came to be called."""
        self._house, self._calls, self._parties, self._placement = house, calls, parties, placement
        self._stage, self._referring, self._outbox, self._forget = stage, referring, outbox, forget

    def dial(
        self,
        room: str,
        uri: str,
        *,
        name: str = "",
        headers: Sequence[tuple[str, str]] = (),
        referral: int | None = None,
    ) -> int:
        """Call somebody into a room: its participant's number. :class:`ResolveWanted` follows.

        Raises:
            NoSuchRoom: there is no such room, and none opens by being dialled.
            ValueError: ``uri`` is none that can be called.
        """
        settings = self._house.dialled(room)
        parsed = callable_uri(uri)
        party = Party(0, "sip", readable(name) or readable(parsed.user or parsed.host), uri, bound_for=settings)
        self._parties.add(party)
        party.invited, party.referral, party.headers = True, referral, tuple(headers)
        self._outbox.append(ResolveWanted(party.number, uri))
        return party.number

    def resolved(self, participant: int, targets: Sequence[Flow], error: str, now: float, *, uri: str = "") -> None:
        """How somebody who is to be called is reached: ``targets`` in the order to be tried, or why not. ``uri``: the
        Request-URI, where it is not what was asked for (a registered terminal's Contact)."""
        party = self._parties.get(participant)
        if party is None or party.leg is not None or party.bound_for is None:
            return
        settings = party.bound_for
        on = self._house.running.get(settings.name)
        worker = on.worker if on else self._placement.least_busy()
        try:
            if error or not targets:
                raise ValueError(error or f"nothing is known of {party.uri}")
            leg = self._calls.dial(
                uri or party.uri,
                targets,
                worker,
                Hearing(),
                now,
                from_user=settings.name,
                from_display=settings.title or settings.name,
                headers=party.headers,
                pictures=settings.video,
            )
        except (ValueError, Full) as fault:
            self._referring.failed(party, 404, str(fault), now)
            self._forget(party)
            self._outbox.append(CallOver(party.number, party.uri, settings.name, 404, str(fault), True))
            return
        self._parties.connect(party, leg)

    def cancel(self, participant: int, now: float) -> None:
        """Stop calling somebody."""
        party = self._parties.get(participant)
        if party is not None and not party.room:
            self._stage.let_go(party, "cancelled", now)


def callable_uri(uri: str) -> Uri:
    """Raises ValueError for what is no address that we, or terminals, can call."""
    try:
        parsed = Uri.parse(uri)
    except ParseError:
        raise ValueError(f"{uri[:100]!r} is no address: write it as in sip:alice@192.0.2.7") from None
    if parsed.scheme not in ("sip", "sips"):
        raise ValueError(f"{parsed.scheme}: can't be called; write it as in sip:alice@192.0.2.7")
    return parsed
