"""Speech and tones: sentences become clips, clips become ``Say`` commands, and their ends come back."""

from __future__ import annotations

from collections.abc import Callable, Sequence
from typing import Protocol

from bridge.signalling.alarms import Alarms, Sleeper
from bridge.worker.protocol import Command, Hush, Say

from .phrase import Spoken

Clips = Callable[[Spoken, str], tuple[str, ...]]
"""(sentence, language) -> clip names, as :mod:`bridge.conference.speech` has them."""
Then = Callable[[float], None]
"""What is done when it was said (or could not be); the argument is ``now``."""

UNHEARD = 120.0
"""Seconds after which a sentence counts as said: the longest (all keys of a host) takes half of it."""


QUEUE = 4
"""Sentences and tones that wait to be played into one room: those of a crowd that comes at once are left out, for they
would be heard minutes late."""


class Ear(Protocol):
    """Where somebody is: a leg, or a simulated talker."""

    @property
    def worker(self) -> int: ...
    @property
    def stream(self) -> int: ...


class _Talk:
    """One sentence on its way to one participant."""

    def __init__(self, announcer: Announcer, say: int, stream: int, then: Then | None) -> None:
        self.say, self.stream, self.then = say, stream, then
        self._announcer = announcer

    def wake(self, name: str, now: float) -> None:
        self._announcer.said(self.say, now)


class Announcer:
    def __init__(self, send: Callable[[int, Command], None], clips: Clips, alarms: Alarms[Sleeper]) -> None:
        """``send``: (worker, command)."""
        self._send, self._clips, self._alarms = send, clips, alarms
        self._last = 0
        self._talks: dict[int, _Talk] = {}
        """say -> talk"""
        self._heard_by: dict[int, list[int]] = {}
        """stream -> what is being said to it, in order"""
        self._rooms: dict[int, set[int]] = {}
        """room -> what is being said into it"""
        self._room_of: dict[int, int] = {}

    def to_one(
        self,
        ear: Ear,
        spoken: Spoken,
        language: str,
        now: float,
        *,
        interrupt: bool = False,
        then: Then | None = None,
    ) -> None:
        """Say it to one participant, over the room's sound; with ``interrupt`` at once, and nothing is reported of what
        is cut by that."""
        if interrupt:
            self._forget(ear.stream)
        self._last += 1
        talk = self._talks[self._last] = _Talk(self, self._last, ear.stream, then)
        self._heard_by.setdefault(ear.stream, []).append(self._last)
        self._alarms.set(talk, "unheard", now + UNHEARD)
        clips = self._clips(spoken, language)
        self._send(ear.worker, Say(say=self._last, clips=clips, stream=ear.stream, interrupt=interrupt))

    def play_to_one(self, ear: Ear, clips: Sequence[str]) -> None:
        """Clips to one participant, after what is being said to it; nobody waits for their end."""
        self._last += 1
        self._send(ear.worker, Say(say=self._last, clips=tuple(clips), stream=ear.stream, interrupt=False))

    def to_room(self, worker: int, room: int, spoken: Spoken, language: str) -> None:
        """Say it to everybody, into the mix, after what is being said there."""
        self.play(worker, room, self._clips(spoken, language))

    def play(self, worker: int, room: int, clips: Sequence[str]) -> None:
        """Clips into a room's mix, after what is being said there."""
        under_way = self._rooms.setdefault(room, set())
        if len(under_way) >= QUEUE:
            return
        self._last += 1
        under_way.add(self._last)
        self._room_of[self._last] = room
        self._send(worker, Say(say=self._last, clips=tuple(clips), room=room, interrupt=False))

    def hush(self, ear: Ear) -> None:
        """Stop what is being said to one participant; nothing is reported of it."""
        if self._forget(ear.stream):
            self._send(ear.worker, Hush(stream=ear.stream))

    def closed(self, room: int) -> None:
        """The room is no more."""
        for say in self._rooms.pop(room, ()):
            self._room_of.pop(say, None)

    def gone(self, stream: int) -> None:
        """Nobody listens there any more."""
        self._forget(stream)

    def _forget(self, stream: int) -> bool:
        numbers = self._heard_by.pop(stream, [])
        for number in numbers:
            self._alarms.clear(self._talks.pop(number), "unheard")
        return bool(numbers)

    def said(self, say: int, now: float) -> None:
        """The worker played it to its end, or couldn't."""
        room = self._room_of.pop(say, None)
        if room is not None:
            self._rooms[room].discard(say)
        talk = self._talks.pop(say, None)
        if talk is None:
            return
        self._alarms.clear(talk, "unheard")
        numbers = self._heard_by[talk.stream]
        numbers.remove(say)
        if not numbers:
            del self._heard_by[talk.stream]
        if talk.then is not None:
            talk.then(now)
