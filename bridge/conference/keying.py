"""The keys of all who are in a room: presses become actions (:mod:`.key`), and actions what the room does."""

from __future__ import annotations

from typing import TYPE_CHECKING

from .error import Forbidden, Refused, RoomError
from .floor import Floor
from .key import OF_PICTURES, Action, KeyPad, KeyTable, Verdict
from .participant import Participant
from .people import People
from .phrase import Phrase
from .screen import following, own_following
from .sound import Sound

if TYPE_CHECKING:
    from .room import Room


class Keying:
    """Raises nothing: what is wrong is said to who pressed."""

    def __init__(self, people: People, sound: Sound, floor: Floor, table: KeyTable) -> None:
        self._people, self._sound, self._floor, self._table = people, sound, floor, table
        self._pads: dict[int, KeyPad] = {}
        """Of those who are in the midst of a sequence."""

    def change(self, table: KeyTable) -> None:
        """Other keys are in force; what was begun is forgotten."""
        self._table = table
        self._pads.clear()

    def clear(self) -> None:
        self._pads.clear()

    def forget(self, number: int) -> None:
        self._pads.pop(number, None)

    def deadline(self) -> float | None:
        """When :meth:`expire` is due."""
        return min((when for pad in self._pads.values() if (when := pad.deadline()) is not None), default=None)

    def expire(self, now: float) -> None:
        """Give half a sequence up."""
        for number, pad in list(self._pads.items()):
            self._tell(number, pad.expire(now))
            if pad.deadline() is None:
                self._pads.pop(number, None)

    def press(self, room: Room, number: int, digit: str, now: float) -> None:
        pad = self._pads.setdefault(number, KeyPad(self._table))
        found = pad.press(digit, self._people.get(number).role, now)
        if pad.deadline() is None:
            del self._pads[number]
        if isinstance(found, Action) and not _means_something(room, found):
            found = Verdict.UNKNOWN
        if isinstance(found, Action):
            room.act(number, found, now)
        else:
            self._tell(number, found)

    def _tell(self, number: int, verdict: Verdict | None) -> None:
        if verdict is not None:
            self._people.say(Phrase.NO_SUCH_KEY if verdict is Verdict.UNKNOWN else Phrase.NOT_ALLOWED, number)

    def act(self, room: Room, person: Participant, action: Action, now: float) -> None:
        try:
            self._carry_out(room, person, action, now)
        except Forbidden:
            self._people.say(Phrase.NOT_ALLOWED, person.number)
        except RoomError:  # no hand is up, nobody is in the lobby, nobody asked for help
            self._people.say(Phrase.NOBODY_WAITS, person.number)

    def _carry_out(self, room: Room, person: Participant, action: Action, now: float) -> None:
        number = person.number
        match action:
            case Action.READ_KEYS:
                keys = self._table.for_role(person.role)
                told = tuple((key.digits, str(key.action)) for key in keys if _means_something(room, key.action))
                self._people.say(Phrase.KEYS, number, keys=told)
            case Action.MUTE_SELF:
                self._sound.toggle(number)
            case Action.RAISE_HAND:
                self._floor.toggle(number)
            case Action.HELP:
                room.help(number, now=now)
            case Action.VOLUME_UP | Action.VOLUME_DOWN:
                room.step_volume(number, 1 if action is Action.VOLUME_UP else -1, by=number, now=now)
            case Action.VOICE_UP | Action.VOICE_DOWN:
                room.step_voice(number, 1 if action is Action.VOICE_UP else -1, by=number, now=now)
            case Action.ROLL_CALL:
                room.roll_call(by=number, now=now)
            case Action.MUTE_ALL:
                (room.unmute_all if room.everybody_muted else room.mute_all)(by=number, now=now)
            case Action.LOCK:
                (room.unlock if room.locked else room.lock)(by=number, now=now)
            case Action.ADMIT:
                if not room.admit_all(by=number, now=now):
                    raise Refused("nobody", "nobody waits in the lobby")
            case Action.ANSWER_HELP:
                if not room.answer_help(by=number, now=now):
                    raise Refused("nobody", "nobody asked for help")
            case Action.GIVE_FLOOR:
                room.give_floor(by=number, now=now)
            case Action.LAYOUT:
                own = own_following(room.look_of(number), room.look)
                room.set_own_layout(number, own, by=number, now=now)
            case Action.ROOM_LAYOUT:
                room.set_layout(following(room.look.layout), by=number, now=now)
            case Action.END:
                room.end(by=number, now=now)


def _means_something(room: Room, action: Action) -> bool:
    return room.settings.video or action not in OF_PICTURES
