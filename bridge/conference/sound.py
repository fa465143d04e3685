"""Who is heard and hears, and how loud: mute flags, deafness, gains."""

from __future__ import annotations

from typing import Literal

from .error import Refused
from .event import Deafened, EverybodyMuted, GainsChanged, Muted
from .participant import GAIN_LIMIT, GAIN_STEP, Participant
from .people import People
from .phrase import Phrase

Gain = Literal["volume", "voice"]

_STEPPED = {
    ("volume", True): Phrase.VOLUME_UP,
    ("volume", False): Phrase.VOLUME_DOWN,
    ("voice", True): Phrase.VOICE_UP,
    ("voice", False): Phrase.VOICE_DOWN,
}


class Sound:
    """The mute that one puts on oneself and the mute that a host puts on are two flags; nobody is heard under either,
    and each is spoken."""

    def __init__(self, people: People) -> None:
        self._people = people
        self.everybody_muted = False

    def mute(self, number: int, *, by: int | None) -> None:
        person = self._people.require_self(number, by)
        if by == number:
            if self._flags(person, by_self=True):
                self._people.say(Phrase.MUTED_BY_SELF, number)
        elif self._flags(person, by_host=True):
            self._people.say(Phrase.MUTED_BY_HOST, number)

    def unmute(self, number: int, *, by: int | None) -> None:
        """Nothing to take off one's own while the host keeps one muted: that is said, for it is why one asks."""
        person = self._people.require_self(number, by)
        if by != number:
            self.release(number)
        elif person.role == "host":
            if self._flags(person, by_host=False, by_self=False):
                self._people.say(Phrase.UNMUTED_BY_SELF, number)
        else:
            changed = self._flags(person, by_self=False)
            if person.muted_by_host:
                self._people.say(Phrase.STILL_MUTED_BY_HOST, number)
            elif changed:
                self._people.say(Phrase.UNMUTED_BY_SELF, number)

    def release(self, number: int, *, silently: bool = False) -> None:
        """Take the host's mute off. ``silently``: it is said to everybody already."""
        person = self._people.get(number)
        if not self._flags(person, by_host=False):
            return
        if person.muted_by_self:
            self._people.say(Phrase.STILL_MUTED_BY_SELF, number)
        elif not silently:
            self._people.say(Phrase.UNMUTED_BY_HOST, number)

    def toggle(self, number: int) -> None:
        """What ``*6`` does: turn one's own flag; a host who was muted by another opens both."""
        person = self._people.get(number)
        muted = person.muted if person.role == "host" else person.muted_by_self
        if muted:
            self.unmute(number, by=number)
        else:
            self.mute(number, by=number)

    def mute_all(self, *, by: int | None) -> None:
        self._people.require_host(by)
        changed = [self._flags(person, by_host=True) for person in self._people if person.role != "host"]
        if self._everybody(True) or any(changed):
            self._people.say(Phrase.EVERYBODY_MUTED)

    def unmute_all(self, *, by: int | None) -> None:
        self._people.require_host(by)
        changed = self._everybody(False)
        muted = [person.number for person in self._people if person.muted_by_host]
        if changed or muted:
            self._people.say(Phrase.EVERYBODY_UNMUTED)
        for number in muted:
            self.release(number, silently=True)

    def _everybody(self, muted: bool) -> bool:
        if self.everybody_muted == muted:
            return False
        self.everybody_muted = muted
        self._people.tell(EverybodyMuted(self._people.room, muted))
        return True

    def _flags(self, person: Participant, *, by_host: bool | None = None, by_self: bool | None = None) -> bool:
        """Set flags (None: as it is); whether one changed."""
        host = person.muted_by_host if by_host is None else by_host
        own = person.muted_by_self if by_self is None else by_self
        if (host, own) == (person.muted_by_host, person.muted_by_self):
            return False
        self._people.change(person.number, muted_by_host=host, muted_by_self=own)
        self._people.tell(Muted(self._people.room, person.number, by_host=host, by_self=own))
        return True

    def deafen(self, number: int, deaf: bool, *, by: int | None) -> None:
        if self._people.require_self(number, by).deaf != deaf:
            self._people.change(number, deaf=deaf)
            self._people.tell(Deafened(self._people.room, number, deaf))

    def set_gain(self, number: int, gain: Gain, db: int, *, by: int | None) -> None:
        person = self._people.require_self(number, by)
        if not -GAIN_LIMIT <= db <= GAIN_LIMIT:
            raise Refused("range", f"{gain}: write whole dB from -{GAIN_LIMIT} to {GAIN_LIMIT}")
        if getattr(person, gain) != db:
            person = self._people.change(number, **{gain: db})
            self._people.tell(GainsChanged(self._people.room, number, voice=person.voice, volume=person.volume))

    def step_gain(self, number: int, gain: Gain, steps: int, *, by: int | None) -> None:
        person = self._people.require_self(number, by)
        if not steps:
            return
        db = min(max(getattr(person, gain) + steps * GAIN_STEP, -GAIN_LIMIT), GAIN_LIMIT)
        self.set_gain(number, gain, db, by=by)
        self._people.say(_STEPPED[gain, steps > 0], number)
