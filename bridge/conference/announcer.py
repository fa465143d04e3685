"""Speech and tones: sentences become clips, clips become ``Say`` commands, and their ends come back."""

from __future__ import annotations

from collections.abc import Callable, Sequence
from dataclasses import dataclass
from typing import Protocol

from bridge.worker.protocol import Command, Hush, Say

from .phrase import Spoken

Clips = Callable[[Spoken, str], tuple[str, ...]]
"""(sentence, language) -> clip names, as :func:`bridge.conference.speech.clips` has them."""
Then = Callable[[float], None]
"""What is done when it was said (or could not be); the argument is ``now``."""

UNHEARD = 60.0
"""Seconds after which a sentence counts as said: the longest (all keys of a host) takes half of it."""


class Ear(Protocol):
    """Where somebody is: a leg, or a simulated talker."""

    @property
    def worker(self) -> int: ...
    @property
    def stream(self) -> int: ...


@dataclass(slots=True)
class _Waiting:
    then: Then
    until: float


class Announcer:
    def __init__(self, send: Callable[[int, Command], None], clips: Clips) -> None:
        """``send``: (worker, command)."""
        self._send, self._clips = send, clips
        self._last = 0
        self._waiting: dict[int, _Waiting] = {}

    def to_one(
        self,
        ear: Ear,
        sentences: Sequence[Spoken],
        language: str,
        now: float,
        *,
        interrupt: bool = True,
        then: Then | None = None,
    ) -> None:
        """Say it to one participant, over the room's sound."""
        clips = tuple(clip for spoken in sentences for clip in self._clips(spoken, language))
        self._last += 1
        if then is not None:
            self._waiting[self._last] = _Waiting(then, now + UNHEARD)
        self._send(ear.worker, Say(say=self._last, clips=clips, stream=ear.stream, interrupt=interrupt))

    def to_room(self, worker: int, room: int, spoken: Spoken, language: str) -> None:
        """Say it to everybody, into the mix, after what is being said there."""
        self.play(worker, room, self._clips(spoken, language))

    def play(self, worker: int, room: int, clips: tuple[str, ...]) -> None:
        """Clips into a room's mix."""
        self._last += 1
        self._send(worker, Say(say=self._last, clips=clips, room=room, interrupt=False))

    def play_to_one(self, ear: Ear, clips: tuple[str, ...], *, interrupt: bool = False) -> None:
        self._last += 1
        self._send(ear.worker, Say(say=self._last, clips=clips, stream=ear.stream, interrupt=interrupt))

    def hush(self, ear: Ear) -> None:
        """Stop what is being said to one participant: a key was pressed."""
        self._send(ear.worker, Hush(stream=ear.stream))

    def said(self, say: int, now: float) -> None:
        """The worker played it to its end, or couldn't."""
        waiting = self._waiting.pop(say, None)
        if waiting is not None:
            waiting.then(now)

    def deadline(self) -> float | None:
        return min((waiting.until for waiting in self._waiting.values()), default=None)

    def expire(self, now: float) -> None:
        for say in [say for say, waiting in self._waiting.items() if waiting.until <= now]:
            self.said(say, now)
