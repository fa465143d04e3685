"""Who shows something: calls' ways of asking (BFCP, or a second picture that just comes) and the room's one right.

The room decides (:class:`.screen.Screen`); here its decision is told to every terminal that asks by BFCP.
"""

from __future__ import annotations

import random
from collections.abc import Callable, Iterator
from dataclasses import dataclass

import structlog

from bridge.signalling.alarms import Alarms, Sleeper
from bridge.signalling.bfcp_line import FloorAccess
from bridge.signalling.bfcp_server import FloorLeft, FloorServer, FloorWanted, Holder, Peer
from bridge.signalling.sdp import Direction

from .error import RoomError
from .house import House, Running
from .leg import Leg
from .parties import Parties
from .party import Party
from .room import Room

log = structlog.get_logger("presenting")

Act = Callable[[str, Callable[[Room], None], float], None]
"""Runs a command of a room, and carries out what follows."""


@dataclass(frozen=True, slots=True)
class FloorPorts:
    """Where our floor control server listens; 0: not over that transport."""

    udp: int
    tcp: int


class Presenting:
    def __init__(
        self,
        ports: FloorPorts | None,
        house: House,
        parties: Parties,
        alarms: Alarms[Sleeper],
        act: Act,
        rng: random.Random,
    ) -> None:
        """``ports``: None: nobody asks by BFCP."""
        self._ports, self._house, self._parties, self._alarms = ports, house, parties, alarms
        self._act, self._rng = act, rng
        self.server = FloorServer()
        self._by_conference: dict[int, Leg] = {}
        self._by_itself: set[int] = set()
        """Participants who present because a second picture came, without BFCP."""

    # Calls

    def access(self) -> FloorAccess | None:
        """For a new call; None: we have no floor control server."""
        if self._ports is None:
            return None
        # Drawn at random: who knows the number is believed to be in the call.
        conference = self._rng.randint(1, 0x7FFFFFFF)
        while conference in self.server:
            conference = self._rng.randint(1, 0x7FFFFFFF)
        return FloorAccess(self._ports.udp, self._ports.tcp, conference, self._rng.randint(1, 0x7FFF))

    def forget(self, access: FloorAccess) -> None:
        """The call is over."""
        self._by_conference.pop(access.conference, None)
        self.server.dismiss(access.conference)

    def changed_call(self, party: Party, now: float) -> None:
        """What is agreed of a party's call has changed, or it came into a room."""
        leg = party.leg
        if leg is None:
            return
        self._admit(leg, party, now)
        self._without_floor(leg, party, now)
        running = self._house.running.get(party.room)
        if running is not None:
            self._show(running, leg, now)

    def _admit(self, leg: Leg, party: Party, now: float) -> None:
        agreed = leg.agreed.floor if leg.agreed else None
        access = leg.floor
        if access is None:
            return
        if agreed is not None:
            hosts = {leg.peer} | ({agreed.remote[0]} if agreed.remote else set())
            self._by_conference[access.conference] = leg
            self.server.admit(access.conference, access.user, agreed.version, frozenset(hosts))
        elif access.conference in self.server:
            self.forget(access)
            self._release(party, now)

    def _without_floor(self, leg: Leg, party: Party, now: float) -> None:
        """A second picture that only comes, from who has no BFCP, is something shown: so do browsers."""
        shown, floor = leg.shown, leg.agreed.floor if leg.agreed else None
        comes = shown is not None and floor is None and shown.direction is Direction.RECVONLY
        if comes and party.room and party.number not in self._by_itself:
            self._by_itself.add(party.number)
            self._take(party, now)
        elif not comes and party.number in self._by_itself:
            self._by_itself.discard(party.number)
            self._release(party, now)

    def replaced(self, party: Party, now: float) -> None:
        """Another device has taken the call over: it shows nothing yet."""
        self._by_itself.discard(party.number)
        self._release(party, now)

    def left(self, number: int, leg: Leg | None, now: float) -> None:
        """Somebody is in its room no more."""
        self._by_itself.discard(number)
        if leg is not None and leg.floor is not None:
            self.server.show(leg.floor.conference, None, now)
            self.server.deny(leg.floor.conference, now)
            self._wind()

    # Rooms

    def changed_room(self, running: Running, now: float) -> None:
        """Another one shows something in the room, or nobody does."""
        for person in running.room.participants():
            party = self._parties.get(person.number)
            if party is not None and party.leg is not None:
                self._show(running, party.leg, now)

    def _show(self, running: Running, leg: Leg, now: float) -> None:
        if leg.floor is not None and leg.floor.conference in self.server:
            self.server.show(leg.floor.conference, self._holder(running), now)
            self._wind()

    def _holder(self, running: Running) -> Holder | None:
        presenter = running.room.presenter
        if presenter is None:
            return None
        party = self._parties.get(presenter)
        floor = party.leg.floor if party is not None and party.leg is not None else None
        conference = floor.conference if floor is not None and floor.conference in self.server else 0
        return Holder(conference, running.room.participant(presenter).name)

    # BFCP

    def receive(self, data: bytes, peer: Peer, now: float) -> None:
        self.server.receive(data, peer, now)
        self._carry_out(now)

    def disconnected(self, peer: Peer, now: float) -> None:
        self.server.disconnected(peer)
        self._carry_out(now)

    def datagrams(self) -> Iterator[tuple[bytes, Peer]]:
        return self.server.datagrams()

    def wake(self, name: str, now: float) -> None:
        """Our alarm rings."""
        self.server.expire(now)
        self._carry_out(now)

    def _carry_out(self, now: float) -> None:
        for event in self.server.events():
            leg = self._by_conference.get(event.conference)
            party = self._parties.of(leg)
            if leg is None or party is None:
                continue
            match event:
                case FloorWanted(conference):
                    if not self._take(party, now):
                        self.server.deny(conference, now)
                case FloorLeft():
                    self._release(party, now)
        self._wind()

    def _take(self, party: Party, now: float) -> bool:
        running = self._house.running.get(party.room)
        if running is None or party.leg is None:
            return False
        try:
            self._act(party.room, lambda room: room.take_presentation(party.number, by=party.number, now=now), now)
        except RoomError as error:
            log.info("may not present", room=party.room, participant=party.number, reason=str(error))
            return False
        self._show(running, party.leg, now)  # it had the right already, by another way
        return True

    def _release(self, party: Party, now: float) -> None:
        running = self._house.running.get(party.room)
        if running is not None and party.number in running.room:
            self._act(party.room, lambda room: room.release_presentation(party.number, by=party.number, now=now), now)

    def _wind(self) -> None:
        due = self.server.deadline()
        if due is None:
            self._alarms.clear(self, "floor")
        else:
            self._alarms.set(self, "floor", due)
