"""What a caller goes through before the room: language, room number, PIN, recorded name. Sans-IO: digits in, events out.

Steps that have nothing to ask are skipped: a room without PINs and recorded names admits at once.
"""

from __future__ import annotations

from collections.abc import Iterable, Iterator
from dataclasses import dataclass
from typing import Literal, Protocol, TypeAlias

from .participant import Language, Role
from .phrase import Spoken
from .settings import RoomSettings

HangUpReason: TypeAlias = Literal["too-many-tries", "no-answer"]


@dataclass(frozen=True, slots=True)
class Say:
    """Say something to the caller, in ``language``; report its end with :meth:`Admission.said`."""

    number: int
    """Counts from 1 within this admission."""
    spoken: Spoken
    language: Language
    interrupt: bool
    """Cut what is being said (nothing more is reported of that); otherwise say it after."""


@dataclass(frozen=True, slots=True)
class Hush:
    """A key was pressed: stop talking (nothing more is reported of what was being said)."""


@dataclass(frozen=True, slots=True)
class CaptureName:
    """Keep what the caller says; report it with :meth:`Admission.captured`. Any key ends it."""

    seconds: float


@dataclass(frozen=True, slots=True)
class Admit:
    """Join the caller to the room; nothing more follows."""

    room: str
    role: Role
    language: Language
    recorded_name: str
    """Clip; empty: none."""


@dataclass(frozen=True, slots=True)
class HangUp:
    """End the call (all has been said); nothing more follows."""

    reason: HangUpReason


Event: TypeAlias = Say | Hush | CaptureName | Admit | HangUp


class Directory(Protocol):
    """Which room numbers there are."""

    def find(self, number: str) -> RoomSettings | None:
        """The room of exactly that number."""

    def longer(self, digits: str) -> bool:
        """Does a room number begin with ``digits`` and go on?"""


class Numbers:
    """A :class:`Directory` of rooms that are known beforehand."""

    def __init__(self, rooms: Iterable[RoomSettings]) -> None:
        raise NotImplementedError

    def find(self, number: str) -> RoomSettings | None:
        """The room of exactly that number."""
        raise NotImplementedError

    def longer(self, digits: str) -> bool:
        """Does a room number begin with ``digits`` and go on?"""
        raise NotImplementedError


class Admission:
    """One caller's way to a room."""

    def __init__(
        self,
        directory: Directory,
        now: float,
        *,
        room: RoomSettings | None = None,
        language: Language = "fr-CA",
        choose_language: bool = False,
        recorded_name: str = "",
    ) -> None:
        """Begins at once: drain :meth:`events`.

        Args:
            room: the room that was dialled; None: ask for its number.
            language: by the number dialled or by setting, when no room says another.
            choose_language: ask for the language by key first (so does a dialled room whose settings say it).
            recorded_name: a clip that is known already; the caller is not asked for the name then.
        """
        raise NotImplementedError

    @property
    def done(self) -> bool:
        """:class:`Admit` or :class:`HangUp` was emitted."""
        raise NotImplementedError

    @property
    def language(self) -> Language:
        """As chosen so far."""
        raise NotImplementedError

    def events(self) -> Iterator[Event]:
        """Drain what is to be done, in order."""
        raise NotImplementedError

    def deadline(self) -> float | None:
        """When :meth:`expire` is due."""
        raise NotImplementedError

    def expire(self, now: float) -> None:
        """Nothing was keyed in time."""
        raise NotImplementedError

    def press(self, digit: str, now: float) -> None:
        """A key, once a press (see :class:`.key.DigitFilter`)."""
        raise NotImplementedError

    def said(self, number: int, now: float) -> None:
        """:class:`Say` ``number`` was said to its end, or could not be."""
        raise NotImplementedError

    def captured(self, clip: str, seconds: float, now: float) -> None:
        """The name was kept as ``clip`` (``capture:N``); 0.0 seconds: nothing was heard."""
        raise NotImplementedError
