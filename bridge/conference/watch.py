"""Who watches rooms by SIP: the conference event package (RFC 4575) over the endpoint's subscriptions (RFC 6665)."""

from __future__ import annotations

from collections.abc import Callable

from bridge.signalling import event as sip
from bridge.signalling.alarms import Alarms, Sleeper
from bridge.signalling.endpoint import Endpoint
from bridge.signalling.message import ParseError, Uri

from .house import House, NoSuchRoom
from .info import Pictures, Watcher

PAUSE = 1.0
"""Seconds between two documents about one room (RFC 4575 §3.8 asks for a limit): changes in between go together."""
PAUSE_A_WATCHER = 0.005
"""Seconds added for each further watcher: a room of 1,000 terminals that all watch costs 200 NOTIFYs a second."""


class Watch:
    def __init__(
        self,
        endpoint: Endpoint,
        house: House,
        alarms: Alarms[Sleeper],
        pictures: Callable[[str], Pictures | None] = lambda room: None,
    ) -> None:
        """``pictures`` of a room that is on; None: it has none."""
        self._pictures = pictures
        self._endpoint, self._house, self._alarms = endpoint, house, alarms
        self._watchers: dict[int, tuple[str, Watcher]] = {}
        self._by_room: dict[str, dict[int, Watcher]] = {}

    def __len__(self) -> int:
        return len(self._watchers)

    def subscribed(self, event: sip.SubscribeReceived, now: float) -> None:
        """Open rooms may be watched by anybody, those with a PIN by whoever proved who he is."""
        try:
            user = Uri.parse(event.request_uri).user or ""
            settings = self._house.dialled(user)
        except (ParseError, NoSuchRoom) as error:
            self._endpoint.reject_subscription(event.subscription, 404, now, f"No such room: {error}"[:120])
            return
        if (settings.host_pin or settings.guest_pin) and not event.user:
            self._endpoint.reject_subscription(event.subscription, 403, now, "This room has a PIN")
            return
        watcher = Watcher(event.request_uri)
        self._watchers[event.subscription] = (settings.name, watcher)
        self._by_room.setdefault(settings.name, {})[event.subscription] = watcher
        self._endpoint.accept_subscription(event.subscription, now)
        self._full(event.subscription, now)

    def refreshed(self, event: sip.SubscriptionRefreshed, now: float) -> None:
        self._full(event.subscription, now)

    def ended(self, event: sip.SubscriptionEnded) -> None:
        room, _ = self._watchers.pop(event.subscription, ("", None))
        watchers = self._by_room.get(room)
        if watchers is not None:
            watchers.pop(event.subscription, None)
            if not watchers:
                del self._by_room[room]

    def _full(self, subscription: int, now: float) -> None:
        room, watcher = self._watchers.get(subscription, ("", None))
        if watcher is not None:
            document = watcher.full(self._house.room(room, now).snapshot(), self._pictures(room))
            self._endpoint.notify(subscription, document, now)

    def changed(self, room: str, now: float) -> None:
        """Something about the room is news."""
        watchers = self._by_room.get(room)
        if watchers and not self._alarms.is_set(self, room):
            self._alarms.set(self, room, now + PAUSE + PAUSE_A_WATCHER * len(watchers))

    def wake(self, name: str, now: float) -> None:
        snapshot, pictures = self._house.room(name, now).snapshot(), self._pictures(name)
        for subscription, watcher in list(self._by_room.get(name, {}).items()):
            document = watcher.partial(snapshot, pictures)
            if document is not None:
                self._endpoint.notify(subscription, document, now)

    def over(self, room: str, now: float) -> None:
        """The conference has ended: its watchers are told, and let go."""
        self._alarms.clear(self, room)
        for subscription, watcher in list(self._by_room.get(room, {}).items()):
            self._endpoint.notify(subscription, watcher.deleted(), now)
            self._endpoint.end_subscription(subscription, now)
