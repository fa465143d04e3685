"""Who is where, as the pages beside calls ask: by the Call-ID of a call by WebSocket, then by number."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import replace

from bridge.signalling import event as sip
from bridge.signalling.auth import bearer
from bridge.signalling.endpoint import Endpoint
from bridge.worker.protocol import StreamReport

from .calls import Calls
from .error import Refused
from .house import House
from .link import BadLink, Link, Links
from .participant import Language
from .parties import Parties
from .party import Party
from .room import Room
from .settings import RoomSettings
from .tiles import UNWANTED, Gallery, Shown

TEXT = "text/plain;charset=utf-8"


class Attendance:
    def __init__(self, house: House, parties: Parties, calls: Calls, endpoint: Endpoint) -> None:
        self._house, self._parties, self._calls, self._endpoint = house, parties, calls, endpoint

    def settings(self, room: str) -> RoomSettings:
        """What a room is like, on or not. Raises :class:`.house.NoSuchRoom`."""
        return self._house.dialled(room)

    def called(self, call_id: str) -> int | None:
        """Whose call by WebSocket has that Call-ID."""
        party = self._parties.of_call(call_id)
        return party.number if party is not None else None

    def calls(self, participant: int) -> bool:
        """It has a call with us, in a room or not."""
        return self._parties.get(participant) is not None

    def room(self, participant: int) -> Room | None:
        """The room that somebody is in, or whose lobby."""
        party = self._parties.get(participant)
        running = self._house.running.get(party.room) if party is not None and party.room else None
        return running.room if running is not None and participant in running.room else None

    def voice(self, participant: int) -> StreamReport | None:
        """The last figures of somebody's sound."""
        party = self._parties.get(participant)
        if party is None:
            return None
        if party.talker is not None:
            return party.talker.report
        return self._calls.reports.get(party.leg.stream) if party.leg is not None else None

    def shows(self, participant: int) -> bool:
        """Somebody sends a picture."""
        party = self._parties.get(participant)
        if party is None or party.leg is None:
            return bool(party and party.talker and party.talker.picture)
        return party.leg.seen is not None and bool(party.leg.seen.receive)

    def tiles(self, participant: int) -> Mapping[str, Shown]:
        """What somebody's tiles show, by mid."""
        party = self._parties.get(participant)
        return {mid: tile.shown for mid, tile in party.leg.tiles.items()} if party and party.leg else {}

    def watch(self, participant: int, gallery: Gallery) -> None:
        """What somebody wants to see, in all.

        Raises:
            Refused: there are not so many tiles, and nothing changes; or somebody is not in the same room, whose tile
                shows nothing, but the others what is wished.
        """
        party, most = self._parties.get(participant), self._calls.tiles
        if party is None or party.leg is None:
            return
        if not most and (gallery.wishes or not gallery.composed):
            raise Refused("no-tiles", "here is one picture for all, and none of each")
        if len(gallery.wishes) > most:
            raise Refused("too-many-tiles", f"{most} pictures fit on a page and no more")
        wishes = dict(gallery.wishes)
        absent = [mid for mid, wish in wishes.items() if wish.participant and not self._beside(party, wish.participant)]
        for mid in absent:
            wishes[mid] = UNWANTED
        self._calls.watch(party.leg, replace(gallery, wishes=wishes))
        if absent:
            raise Refused("no-participant", "whoever you want to see is not in your room")

    def _beside(self, party: Party, participant: int) -> bool:
        """Both are in the same room, none of them in its lobby."""
        room = self.room(party.number)
        return room is not None and all(
            number in room and room.participant(number).state == "in" for number in (party.number, participant)
        )

    def write(self, participant: int, text: str, now: float) -> bool:
        """MESSAGE to somebody whose terminal takes them (RFC 3428); False: it does not."""
        party = self._parties.get(participant)
        if party is None or party.leg is None or not self._endpoint.allows(party.leg.call, "MESSAGE"):
            return False
        self._endpoint.message(party.leg.call, TEXT, text.encode(), now)
        return True


def link_of(event: sip.IncomingCall, settings: RoomSettings | None, links: Links) -> Link | None:
    """The signed link that a caller brings for the room that it called; None: none.

    Raises:
        BadLink: it opens nothing here.
    """
    token = bearer(event.headers)
    if not token:
        return None
    link = links(token)
    if settings is None or link.room != settings.name:
        raise BadLink("other-room")
    return link


def language_of(event: sip.IncomingCall) -> Language | None:
    """What a browser's person reads (RFC 3261 §20.3). Telephones say ``en`` because nobody has told them otherwise."""
    if not event.flow.transport.websocket:
        return None
    said = next((value for name, value in event.headers if name.lower() == "accept-language"), "").strip().lower()
    known: dict[str, Language] = {"fr": "fr-CA", "en": "en-CA"}
    return known.get(said[:2])


def call_id_of(event: sip.IncomingCall) -> str:
    """Of a call by WebSocket: its page's other socket names it. Telephones' are no secrets, and bind nothing."""
    if not event.flow.transport.websocket:
        return ""
    return next((value for name, value in event.headers if name.lower() == "call-id"), "")
