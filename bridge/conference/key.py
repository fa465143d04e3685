"""The keys of a telephone in a call: one table, who may use which, and how presses become actions."""

from __future__ import annotations

import enum
import functools
import itertools
import re
from collections import deque
from collections.abc import Iterable
from dataclasses import dataclass, field

from .participant import Language, Role

DIGITS = "0123456789*#ABCD"
"""The events 0 to 15 of RFC 4733 §3.2. Keys use no letter: telephones have none."""

INTER_DIGIT = 4.0
"""Seconds between the keys of one sequence: KPML's default (RFC 4730), enough to look from a card to the phone."""

SAME_PRESS = 1.0
"""Seconds within which one press may arrive in its several forms: the event or tone waits in the jitter buffer (up to
0.25 s), SIP INFO is sent when the key is let go (0.25 s is a long press) and once more after T1 = 0.5 s when the
first is lost (RFC 3261 §17.1.2.1)."""

PRESSES = 32
"""Presses of one digit that are remembered: far more than a finger makes in :data:`SAME_PRESS`; more is a flood."""


class Action(enum.StrEnum):
    """What a key sequence does, in the order in which ``**`` reads them out; the values are those in settings and in
    :attr:`.phrase.Spoken.keys`."""

    MUTE_SELF = "mute-self"
    RAISE_HAND = "raise-hand"
    HELP = "help"
    VOLUME_UP = "volume-up"
    VOLUME_DOWN = "volume-down"
    VOICE_UP = "voice-up"
    VOICE_DOWN = "voice-down"
    ROLL_CALL = "roll-call"
    MUTE_ALL = "mute-all"
    LOCK = "lock"
    ADMIT = "admit"
    ANSWER_HELP = "answer-help"
    GIVE_FLOOR = "give-floor"
    LAYOUT = "layout"
    ROOM_LAYOUT = "room-layout"
    END = "end"
    READ_KEYS = "read-keys"


HOSTS_ONLY = frozenset(
    {Action.MUTE_ALL, Action.LOCK, Action.ADMIT, Action.ANSWER_HELP, Action.GIVE_FLOOR, Action.ROOM_LAYOUT, Action.END}
)

STANDARD: tuple[tuple[str, Action], ...] = (
    ("**", Action.READ_KEYS),
    ("*0", Action.HELP),
    ("*1", Action.VOLUME_UP),
    ("*2", Action.GIVE_FLOOR),
    ("*3", Action.ROLL_CALL),
    ("*4", Action.VOLUME_DOWN),
    ("*5", Action.MUTE_ALL),
    ("*6", Action.MUTE_SELF),
    ("*7", Action.LOCK),
    ("*8", Action.ADMIT),
    ("*9", Action.RAISE_HAND),
    ("*##", Action.END),
    ("#0", Action.ANSWER_HELP),
    ("#1", Action.VOICE_UP),
    ("#2", Action.LAYOUT),
    ("#3", Action.ROOM_LAYOUT),
    ("#4", Action.VOICE_DOWN),
)
"""Louder is above softer on the keypad, ``*`` for what one hears, ``#`` for what one says; ``*0`` asks for
help, and ``#0`` answers those who did. The end for all takes three
keys, and not ``##``: that is what an impatient finger presses after a PIN."""


@dataclass(frozen=True, slots=True)
class Key:
    """One row of the table."""

    digits: str
    action: Action


@dataclass(frozen=True)
class KeyTable:
    """The keys in force in a room."""

    keys: tuple[Key, ...]
    _actions: dict[str, Action] = field(init=False, repr=False, compare=False)

    def __post_init__(self) -> None:
        for key in self.keys:
            if not isinstance(key.digits, str) or not re.fullmatch(r"[0-9*#]{1,4}", key.digits):
                raise ValueError(f"{key.digits!r} is no key: write 1 to 4 of 0-9 * #")
        if "#" in (key.digits for key in self.keys):
            raise ValueError("'#' alone can't be a key: people press it after a number that was complete already")
        ordered = sorted(key.digits for key in self.keys)
        for one, other in itertools.pairwise(ordered):  # a prefix sorts right before what it begins
            if other.startswith(one):
                raise ValueError(f"{one} begins {other}: nobody could key {other}" if one != other else f"{one} twice")
        object.__setattr__(self, "_actions", {key.digits: key.action for key in self.keys})

    @classmethod
    @functools.cache
    def standard(cls) -> KeyTable:
        """The table in ``docs/keys.md``."""
        return cls(tuple(Key(digits, action) for digits, action in STANDARD))

    def changed(self, overrides: Iterable[tuple[str, str]]) -> KeyTable:
        """With (digits, action) pairs in their place; an empty action takes the key away. An action that is given a
        key is no more on the one it had.

        Raises:
            ValueError: digits that are none, an unknown action, or a sequence that begins another one.
        """
        given: dict[str, Action | None] = {}
        for pair in overrides:
            if not isinstance(pair, tuple) or len(pair) != 2:
                raise ValueError(f"{pair!r}: write pairs of key and action, as in *8 = lock")
            digits, name = pair
            if digits in given:
                raise ValueError(f"{digits} twice")
            if name and name not in tuple(Action):
                raise ValueError(f"{name!r} is no action: there are {', '.join(Action)}")
            given[digits] = Action(name) if name else None
        if not given:
            return self
        moved = {action for action in given.values() if action is not None}
        kept = [key for key in self.keys if key.digits not in given and key.action not in moved]
        table = KeyTable((*kept, *(Key(digits, action) for digits, action in given.items() if action is not None)))
        for digits in given:
            if not isinstance(digits, str) or not re.fullmatch(r"[0-9*#]{1,4}", digits):
                raise ValueError(f"{digits!r} is no key: write 1 to 4 of 0-9 * #")
        return table

    def action(self, digits: str) -> Action | None:
        """What exactly these digits do."""
        return self._actions.get(digits)

    def begins(self, digits: str) -> bool:
        """Does a sequence begin with these digits and go on?"""
        return any(key.digits.startswith(digits) and key.digits != digits for key in self.keys)

    def for_role(self, role: Role) -> tuple[Key, ...]:
        """Those that the role may use, in the order to be read out."""
        order = list(Action)
        allowed = [key for key in self.keys if role == "host" or key.action not in HOSTS_ONLY]
        return tuple(sorted(allowed, key=lambda key: (order.index(key.action), key.digits)))


class Verdict(enum.StrEnum):
    """What became of a sequence that is no action."""

    UNKNOWN = "unknown"
    NOT_ALLOWED = "not-allowed"


class KeyPad:
    """Collects one participant's presses into actions.

    A digit that begins no sequence is nothing: a cheek on the keypad, a number that is keyed on. So is ``#`` that is
    not gone on with: people press it after a PIN that was complete without.
    """

    def __init__(self, table: KeyTable) -> None:
        self.table = table
        self._keyed = ""
        self._until: float | None = None

    def press(self, digit: str, role: Role, now: float) -> Action | Verdict | None:
        """None: nothing yet, or nothing at all."""
        if self._until is not None and now >= self._until:
            self._clear()
        keyed = self._keyed + digit
        self._clear()
        action = self.table.action(keyed)
        if action is not None:
            return Verdict.NOT_ALLOWED if role != "host" and action in HOSTS_ONLY else action
        if self.table.begins(keyed):
            self._keyed, self._until = keyed, now + INTER_DIGIT
            return None
        if keyed[:-1] == "#":
            return self.press(digit, role, now)
        return Verdict.UNKNOWN if len(keyed) > 1 else None

    def deadline(self) -> float | None:
        """When :meth:`expire` is due; None: no sequence is begun."""
        return self._until

    def expire(self, now: float) -> Verdict | None:
        """Half a sequence was left: :attr:`Verdict.UNKNOWN`, so that the caller is told."""
        if self._until is None or now < self._until:
            return None
        keyed = self._keyed
        self._clear()
        return None if keyed == "#" else Verdict.UNKNOWN

    def _clear(self) -> None:
        self._keyed, self._until = "", None


@dataclass(slots=True)
class _Press:
    first: float
    sources: set[str]


class DigitFilter:
    """Makes one press of what arrives of it as RFC 4733 event, as SIP INFO and as tone in the audio. One a call, before
    :class:`.admission.Admission` and :meth:`.room.Room.press` alike.

    Each source tells its presses in order and once each. So its next report of a digit belongs to the oldest press of
    that digit that others told within :data:`SAME_PRESS` and it has not told itself; when there is none, it is new.
    """

    def __init__(self) -> None:
        self._presses: dict[str, deque[_Press]] = {}

    def accept(self, digit: str, source: str, now: float) -> bool:
        """Is this a press of its own? ``source`` is ``event``, ``info`` or ``tone``. What is no digit is none."""
        if len(digit) != 1 or digit not in DIGITS:
            return False
        presses = self._presses.setdefault(digit, deque())
        while presses and now - presses[0].first > SAME_PRESS:
            presses.popleft()
        told = max((i for i, press in enumerate(presses) if source in press.sources), default=-1)
        if told + 1 < len(presses):
            presses[told + 1].sources.add(source)
            return False
        if len(presses) >= PRESSES:
            return False
        presses.append(_Press(now, {source}))
        return True


WORDS: dict[Action, dict[Language, str]] = {
    Action.MUTE_SELF: {"fr-CA": "Couper ou rouvrir son micro", "en-CA": "Mute or unmute yourself"},
    Action.RAISE_HAND: {
        "fr-CA": "Lever ou baisser la main; le rang dans la file de parole est dit",
        "en-CA": "Raise or lower your hand; your place in the speaking queue is said",
    },
    Action.HELP: {"fr-CA": "Demander l'aide d'un préposé", "en-CA": "Ask for an operator"},
    Action.VOLUME_UP: {"fr-CA": "Entendre plus fort", "en-CA": "Hear louder"},
    Action.VOLUME_DOWN: {"fr-CA": "Entendre moins fort", "en-CA": "Hear softer"},
    Action.VOICE_UP: {"fr-CA": "Être entendu plus fort", "en-CA": "Be heard louder"},
    Action.VOICE_DOWN: {"fr-CA": "Être entendu moins fort", "en-CA": "Be heard softer"},
    Action.ROLL_CALL: {"fr-CA": "Entendre qui est présent", "en-CA": "Hear who is present"},
    Action.MUTE_ALL: {
        "fr-CA": "Couper ou rouvrir tous les micros, sauf ceux des hôtes",
        "en-CA": "Mute or unmute everybody but the hosts",
    },
    Action.LOCK: {"fr-CA": "Verrouiller ou déverrouiller la salle", "en-CA": "Lock or unlock the room"},
    Action.ADMIT: {"fr-CA": "Faire entrer tous ceux qui attendent", "en-CA": "Let in everybody who waits"},
    Action.ANSWER_HELP: {
        "fr-CA": "Répondre aux demandes d'aide: ceux qui en ont fait l'entendent",
        "en-CA": "Answer those who asked for help: they hear that they are seen to",
    },
    Action.GIVE_FLOOR: {
        "fr-CA": "Donner la parole au premier de la file",
        "en-CA": "Give the floor to the first in the queue",
    },
    Action.LAYOUT: {
        "fr-CA": "Changer la disposition de l'image que l'on voit",
        "en-CA": "Change the layout of the picture that you see",
    },
    Action.ROOM_LAYOUT: {
        "fr-CA": "Changer la disposition de l'image de la salle",
        "en-CA": "Change the layout of the room's picture",
    },
    Action.END: {"fr-CA": "Terminer la conférence pour tous", "en-CA": "End the conference for all"},
    Action.READ_KEYS: {"fr-CA": "Entendre la liste des touches", "en-CA": "Hear the list of keys"},
}

_PAGE = """\
# Touches / Keys

This page is generated from `bridge/conference/key.py`; a test holds it.

## Français

| touches | effet | qui | nom dans les réglages |
|---|---|---|---|
{fr}

`*6` change le silence que l'on s'impose soi-même; celui de l'hôte est à part, et seul un hôte l'enlève. Chacun des deux
est dit. Une séquence commencée s'efface après {seconds:.0f} secondes sans touche; un `#` seul est sans effet, comme un
chiffre seul. Dans la salle d'attente, seules {lobby} agissent.

Dans les réglages, `[room.NOM.keys]` déplace les touches: `"*8" = "lock"` met le verrou sur `*8` (et plus sur `*7`),
`"*5" = ""` enlève une touche. Une séquence ne peut en commencer une autre.

## English

| keys | what it does | who | name in the settings |
|---|---|---|---|
{en}

`*6` changes the mute that is your own; the host's is another, and only hosts take it off. Both are said. A sequence
that was begun is forgotten after {seconds:.0f} seconds without a key; `#` alone does nothing, nor does a digit alone.
In the lobby only {lobby} work.

In the settings `[room.NAME.keys]` moves keys: `"*8" = "lock"` puts the lock on `*8` (and no more on `*7`),
`"*5" = ""` takes a key away. No sequence may begin another one.
"""

OF_PICTURES = frozenset({Action.LAYOUT, Action.ROOM_LAYOUT})
"""Nothing where a room has none."""

IN_LOBBY = frozenset({Action.HELP, Action.VOLUME_UP, Action.VOLUME_DOWN, Action.MUTE_SELF, Action.READ_KEYS})
"""What those may key who wait: what concerns nobody but themselves."""


def markdown() -> str:
    """``docs/keys.md``, in French and English."""
    keys = KeyTable.standard().for_role("host")

    def rows(language: Language, host: str, everybody: str) -> str:
        return "\n".join(
            f"| `{key.digits}` | {WORDS[key.action][language]} "
            f"| {host if key.action in HOSTS_ONLY else everybody} | `{key.action}` |"
            for key in keys
        )

    return _PAGE.format(
        fr=rows("fr-CA", "hôtes", "tous"),
        en=rows("en-CA", "hosts", "everybody"),
        seconds=INTER_DIGIT,
        lobby=", ".join(f"`{key.digits}`" for key in keys if key.action in IN_LOBBY),
    )
