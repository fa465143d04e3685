"""The desk before the room: language, room number, PIN and name, asked of each caller who must answer something."""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import dataclass
from typing import Protocol

from bridge.signalling.alarms import Alarms, Sleeper
from bridge.worker import protocol as media

from .admission import Admission, Admit, CaptureName, HangUp, Hush, Say
from .announcer import Announcer
from .house import House
from .participant import Kind
from .party import Party
from .settings import RoomSettings
from .tries import Tries


class DeskUser(Protocol):
    """Whoever decides what follows."""

    def join(self, party: Party, settings: RoomSettings, now: float) -> None: ...

    def let_go(self, party: Party, reason: str, now: float) -> None: ...


def must_ask(settings: RoomSettings, kind: Kind = "sip") -> bool:
    """A caller has something to answer before the room. A page asks for what it can (language, name), and whoever is a
    host has a link: what is left to ask a browser is the guests' PIN."""
    if kind == "web":
        return bool(settings.guest_pin)
    return bool(settings.host_pin or settings.guest_pin or settings.choose_language or settings.entry == "name")


@dataclass(frozen=True, slots=True)
class _Guard:
    """One caller's, of all tries."""

    tries: Tries
    address: str
    caller: str

    def closed(self, now: float) -> bool:
        return self.tries.refuse(self.address, self.caller, now) > 0

    def failed(self, now: float) -> None:
        self.tries.failed(self.address, self.caller, now)


class Desk:
    def __init__(
        self,
        user: DeskUser,
        house: House,
        announcer: Announcer,
        alarms: Alarms[Sleeper],
        send: Callable[[int, media.Command], None],
        tries: Tries,
    ) -> None:
        self._tries = tries
        self._user, self._house, self._announcer = user, house, announcer
        self._alarms, self._send = alarms, send
        self._last_capture = 0
        self._captures: dict[int, Party] = {}

    def ask(self, party: Party, now: float) -> None:
        """Begin."""
        room = party.bound_for
        party.admission = Admission(
            self._house,
            now,
            room=room,
            language=party.language,
            choose_language=room is None and party.language is None,
            guard=_Guard(self._tries, party.leg.peer if party.leg is not None else "", party.uri),
        )
        party.wake = lambda name, now: self._woke(party, now)
        self._pump(party, now)

    def pressed(self, party: Party, digit: str, now: float) -> None:
        if party.admission is not None:
            party.admission.press(digit, now)
            self._pump(party, now)

    def captured(self, capture: int, seconds: float, now: float) -> None:
        """A name was recorded."""
        party = self._captures.pop(capture, None)
        if party is not None and party.admission is not None:
            party.admission.captured(f"capture:{capture}", seconds, now)
            self._pump(party, now)

    def forget(self, party: Party) -> None:
        self._alarms.clear(party, "admission")
        for capture in [number for number, who in self._captures.items() if who is party]:
            del self._captures[capture]

    def _woke(self, party: Party, now: float) -> None:
        if party.admission is not None:
            party.admission.expire(now)
            self._pump(party, now)

    def _pump(self, party: Party, now: float) -> None:
        """Carry out what the admission wants."""
        admission, leg = party.admission, party.leg
        if admission is None or leg is None:
            return
        for event in admission.events():
            match event:
                case Say(number, spoken, language, interrupt):
                    then = self._when_said(party, number)
                    self._announcer.to_one(leg, spoken, language, now, interrupt=interrupt, then=then)
                case Hush():
                    self._announcer.hush(leg)
                case CaptureName(seconds):
                    self._last_capture += 1
                    self._captures[self._last_capture] = party
                    self._announcer.play_to_one(leg, ("tone:beep",))
                    command = media.Capture(capture=self._last_capture, stream=leg.stream, seconds=seconds)
                    self._send(leg.worker, command)
                case Admit(room, role, language, recorded_name):
                    party.admission = None
                    party.role, party.language, party.recorded_name = role, language, recorded_name
                    self._announcer.hush(leg)
                    self._user.join(party, self._house.dialled(room), now)
                case HangUp(reason):
                    self._user.let_go(party, reason, now)
        when = party.admission.deadline() if party.admission is not None else None
        if when is None:
            self._alarms.clear(party, "admission")
        else:
            self._alarms.set(party, "admission", when)

    def _when_said(self, party: Party, number: int) -> Callable[[float], None]:
        def said(now: float) -> None:
            if party.admission is not None:
                party.admission.said(number, now)
                self._pump(party, now)

        return said
