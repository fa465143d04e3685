"""What a caller goes through before the room: language, room number, PIN, recorded name. Sans-IO: digits in, events
out.

Steps that have nothing to ask are skipped: a room without PINs and recorded names admits at once. A key cuts what is
being said, so who knows the way need not listen.
"""

from __future__ import annotations

import enum
from bisect import bisect_right
from collections import deque
from collections.abc import Callable, Iterable, Iterator
from dataclasses import dataclass
from typing import Literal, Protocol, TypeAlias

from .key import INTER_DIGIT
from .participant import Language, Role
from .phrase import Phrase, Spoken
from .settings import RoomSettings

HangUpReason: TypeAlias = Literal["too-many-tries", "no-answer"]

TRIES = 3
"""Wrong numbers or PINs, and prompts that nobody answered, before the call is ended."""
FIRST_DIGIT = 10.0
"""Seconds from the end of a prompt to the first key: time to find the invitation and the number on
it; a shorter one nags."""
SPEECH = 30.0
"""Seconds after which a prompt counts as said though nobody reported its end: no prompt is half as long."""
NAME_SECONDS = 4.0
"""The longest name that is recorded: first name, family name and house."""
CAPTURE_GRACE = 5.0
"""Seconds beyond :data:`NAME_SECONDS` to wait for the recording (a worker may be restarted meanwhile, which takes
one), before the caller is let in without."""
LONGEST = 64
"""Digits of a number, as in :mod:`.settings`; more is no try to key one."""


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
    """Sound a beep, keep what the caller says then, and report it with :meth:`Admission.captured`. Any key ends it."""

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


class Guard(Protocol):
    """What this caller's tries at PINs, in other calls too, are held against."""

    def closed(self, now: float) -> bool:
        """He tries one now: is that too soon?"""

    def failed(self, now: float) -> None:
        """It was wrong."""


class Unguarded:
    """Nothing is held against anybody."""

    def closed(self, now: float) -> bool:
        return False

    def failed(self, now: float) -> None:
        return


class Numbers:
    """A :class:`Directory` of rooms that are known beforehand."""

    def __init__(self, rooms: Iterable[RoomSettings]) -> None:
        """Raises ValueError when two rooms have one number."""
        self._rooms: dict[str, RoomSettings] = {}
        for room in rooms:
            if not room.number:
                continue
            other = self._rooms.setdefault(room.number, room)
            if other.name != room.name:
                raise ValueError(f"rooms {other.name} and {room.name} both have number {room.number}: change one")
        self._sorted = sorted(self._rooms)

    def find(self, number: str) -> RoomSettings | None:
        """The room of exactly that number."""
        return self._rooms.get(number)

    def longer(self, digits: str) -> bool:
        """Does a room number begin with ``digits`` and go on?"""
        after = bisect_right(self._sorted, digits)
        return after < len(self._sorted) and self._sorted[after].startswith(digits)


class Step(enum.Enum):
    """Where a caller is; each asks one thing."""

    LANGUAGE = enum.auto()
    NUMBER = enum.auto()
    PIN = enum.auto()
    NAME = enum.auto()
    CAPTURE = enum.auto()
    GOODBYE = enum.auto()
    DONE = enum.auto()


PROMPTS: dict[Step, Phrase] = {
    Step.LANGUAGE: Phrase.CHOOSE_LANGUAGE,
    Step.NUMBER: Phrase.ENTER_NUMBER,
    Step.PIN: Phrase.ENTER_PIN,
    Step.NAME: Phrase.SAY_NAME,
}
"""What each step that asks says."""

WRONG: dict[Step, Phrase] = {Step.NUMBER: Phrase.NO_SUCH_ROOM, Step.PIN: Phrase.WRONG_PIN}

ORDER = (Step.LANGUAGE, Step.NUMBER, Step.PIN, Step.NAME)

BY_KEY: dict[str, Language] = {"1": "fr-CA", "2": "en-CA"}
"""As :attr:`.phrase.Phrase.CHOOSE_LANGUAGE` says."""


class Admission:
    """One caller's way to a room."""

    def __init__(
        self,
        directory: Directory,
        now: float,
        *,
        room: RoomSettings | None = None,
        language: Language | None = None,
        choose_language: bool = False,
        recorded_name: str = "",
        guard: Guard | None = None,
    ) -> None:
        """Begins at once: drain :meth:`events`.

        Args:
            room: the room that was dialled; None: ask for its number.
            language: known by the number dialled or by setting; None: the room's, and French until it is known.
            choose_language: ask for the language by key first (so does a dialled room whose settings say it).
            recorded_name: a clip that is known already; the caller is not asked for the name then.
            guard: None: there are :data:`TRIES`, and that is all.
        """
        self._guard: Guard = guard or Unguarded()
        self._directory = directory
        self._room = room
        self._language: Language = language or (room.language if room else "fr-CA")
        self._ask_language = choose_language or (room is not None and room.choose_language)
        self._language_known = language is not None or self._ask_language
        self._recorded_name = recorded_name
        self._role: Role = "guest"
        self._step = Step.LANGUAGE
        self._keyed = ""
        self._tries = 0
        self._silences = 0
        self._welcomed = False
        self._reason: HangUpReason = "no-answer"
        self._says = 0
        self._saying: set[int] = set()
        self._due: float | None = None
        self._taken_early: float | None = None
        """When a number or PIN was known before its ``#``, which may come still: prompts ask for it."""
        self._events: deque[Event] = deque()
        self._press_in: dict[Step, Callable[[str, float], None]] = {
            Step.LANGUAGE: self._press_language,
            Step.NUMBER: self._press_number,
            Step.PIN: self._press_pin,
            Step.NAME: self._press_name,
        }
        self._go_on(Step.LANGUAGE, now)

    @property
    def done(self) -> bool:
        """:class:`Admit` or :class:`HangUp` was emitted."""
        return self._step is Step.DONE

    @property
    def language(self) -> Language:
        """As chosen so far."""
        return self._language

    @property
    def room(self) -> RoomSettings | None:
        """As dialled or keyed so far."""
        return self._room

    def events(self) -> Iterator[Event]:
        """Drain what is to be done, in order."""
        while self._events:
            yield self._events.popleft()

    def deadline(self) -> float | None:
        """When :meth:`expire` is due."""
        return self._due

    def expire(self, now: float) -> None:
        """Nothing was keyed in time."""
        if self._due is None or now < self._due:
            return
        if self._step is Step.CAPTURE:
            self._admit()
        elif self._step is Step.GOODBYE:
            self._hang_up()
        elif self._step is Step.NAME:
            self._capture(now)
        elif self._keyed:
            self._finished(now)
        elif self._step is Step.LANGUAGE:
            self._go_on(Step.NUMBER, now)
        elif self._step is Step.PIN and self._guests_need_none:
            self._accept("guest", now)
        else:
            self._silences += 1
            if self._silences >= TRIES:
                self._part("no-answer", now)
            else:
                self._ask(now)

    def press(self, digit: str, now: float) -> None:
        """A key, once a press (see :class:`.key.DigitFilter`)."""
        early, self._taken_early = self._taken_early, None
        if digit == "#" and early is not None and now < early + INTER_DIGIT:
            return  # it ends what was taken already, and answers nothing that is asked since
        pressed = self._press_in.get(self._step)
        if pressed is None:  # capturing (the worker hears the key), or on the way out
            return
        if self._saying:
            self._saying.clear()
            self._events.append(Hush())
        self._due = now + INTER_DIGIT
        pressed(digit, now)

    def said(self, number: int, now: float) -> None:
        """:class:`Say` ``number`` was said to its end, or could not be."""
        if number not in self._saying:
            return
        self._saying.discard(number)
        if self._saying:
            return
        if self._step is Step.NAME:
            self._capture(now)
        elif self._step is Step.GOODBYE:
            self._hang_up()
        elif self._step in PROMPTS:
            self._due = now + FIRST_DIGIT

    def captured(self, clip: str, seconds: float, now: float) -> None:
        """The name was kept as ``clip`` (``capture:N``); 0.0 seconds: nothing was heard."""
        if self._step is Step.CAPTURE:
            self._recorded_name = clip if seconds > 0 else ""
            self._admit()

    # ------------------------------------------------------------------------------------- the steps

    @property
    def _guests_need_none(self) -> bool:
        return self._room is not None and not self._room.guest_pin

    def _needed(self, step: Step) -> bool:
        """Has that step something to ask?"""
        match step:
            case Step.LANGUAGE:
                return self._ask_language
            case Step.NUMBER:
                return self._room is None
            case Step.PIN:
                return self._room is not None and bool(self._room.host_pin or self._room.guest_pin)
            case _:
                return self._room is not None and self._room.entry == "name" and not self._recorded_name

    def _go_on(self, step: Step, now: float) -> None:
        """To ``step``, or the next one that has something to ask, or in."""
        for each in ORDER[ORDER.index(step) :]:
            if self._needed(each):
                self._step, self._tries, self._silences = each, 0, 0
                if each is Step.PIN and not self._guests_need_none and self._guard.closed(now):
                    self._part("too-many-tries", now)
                else:
                    self._ask(now)
                return
        self._admit()

    def _ask(self, now: float, first: Phrase | None = None) -> None:
        self._keyed = ""
        phrases = [PROMPTS[self._step]]
        if self._step is Step.PIN and self._room is not None and not self._room.guest_pin:
            phrases = [Phrase.ENTER_HOST_PIN]
        if first is not None:
            phrases.insert(0, first)
        elif not self._welcomed and self._step is not Step.LANGUAGE:  # in the language chosen
            self._welcomed = True
            phrases.insert(0, Phrase.WELCOME)
        self._say(phrases, now)

    def _say(self, phrases: list[Phrase], now: float) -> None:
        """These, and not what is being said."""
        self._saying.clear()
        for phrase in phrases:
            self._says += 1
            self._events.append(Say(self._says, Spoken(phrase), self._language, interrupt=not self._saying))
            self._saying.add(self._says)
        self._due = now + SPEECH + FIRST_DIGIT

    def _press_language(self, digit: str, now: float) -> None:
        self._language = BY_KEY.get(digit, self._language)
        self._tries += 1
        if digit in BY_KEY or self._tries >= TRIES:
            self._go_on(Step.NUMBER, now)
        else:
            self._ask(now)

    def _press_number(self, digit: str, now: float) -> None:
        if not self._key(digit, now):
            return
        if self._directory.find(self._keyed) is not None and not self._directory.longer(self._keyed):
            self._taken_early = now
            self._finished(now)

    def _press_pin(self, digit: str, now: float) -> None:
        if not self._key(digit, now):
            return
        assert self._room is not None
        pins = [pin for pin in (self._room.host_pin, self._room.guest_pin) if pin.startswith(self._keyed)]
        if pins == [self._keyed]:
            self._taken_early = now
            self._finished(now)

    def _press_name(self, digit: str, now: float) -> None:
        self._capture(now)

    def _key(self, digit: str, now: float) -> bool:
        """One more digit; False: it was none. ``#`` ends, ``*`` begins anew."""
        if digit == "#":
            self._finished(now)
        elif digit == "*":
            self._keyed, self._due = "", now + FIRST_DIGIT
        elif digit.isdigit():
            self._keyed += digit
            if len(self._keyed) <= LONGEST:
                return True
            self._finished(now)
        return False

    def _finished(self, now: float) -> None:
        """A number or PIN is complete."""
        if self._step is Step.NUMBER:
            self._room = self._directory.find(self._keyed) if self._keyed else None
            if self._room is not None:
                if not self._language_known:
                    self._language = self._room.language
                self._go_on(Step.PIN, now)
                return
        else:
            if self._keyed and self._guard.closed(now):  # right or not: nobody shall learn which
                self._part("too-many-tries", now)
                return
            role = self._role_of(self._keyed)
            if role is not None:
                self._accept(role, now)
                return
            if self._keyed:
                self._guard.failed(now)
        self._tries += 1
        if self._tries >= TRIES:
            self._part("too-many-tries", now)
        else:
            self._ask(now, WRONG[self._step])

    def _role_of(self, pin: str) -> Role | None:
        assert self._room is not None
        if pin and pin == self._room.host_pin:
            return "host"
        return "guest" if pin == self._room.guest_pin else None  # no PIN for guests: # alone

    def _accept(self, role: Role, now: float) -> None:
        self._role = role
        self._go_on(Step.NAME, now)

    def _capture(self, now: float) -> None:
        self._saying.clear()
        self._step, self._due = Step.CAPTURE, now + NAME_SECONDS + CAPTURE_GRACE
        self._events.append(CaptureName(NAME_SECONDS))

    def _admit(self) -> None:
        assert self._room is not None
        self._step, self._due = Step.DONE, None
        self._events.append(Admit(self._room.name, self._role, self._language, self._recorded_name))

    def _part(self, reason: HangUpReason, now: float) -> None:
        self._step, self._reason = Step.GOODBYE, reason
        self._say([Phrase.TOO_MANY_TRIES] * (reason == "too-many-tries") + [Phrase.GOODBYE], now)
        self._due = now + SPEECH

    def _hang_up(self) -> None:
        self._step, self._due = Step.DONE, None
        self._events.append(HangUp(self._reason))
