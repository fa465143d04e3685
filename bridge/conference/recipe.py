"""Which clips make a sentence: file names with slots between them, for our own recordings."""

from __future__ import annotations

import enum

from .phrase import Phrase, Spoken


class Slot(enum.Enum):
    """What is filled in."""

    NUMBER = enum.auto()
    FEMININE = enum.auto()
    """The number before a feminine noun."""
    NAMES = enum.auto()
    """Recorded names."""
    DIGITS = enum.auto()
    """Keys of a telephone, one by one."""


Recipe = tuple[str | Slot, ...]
"""Clips and slots in the order in which they are played."""

_WITH_NUMBER: dict[Phrase, Recipe] = {
    Phrase.PEOPLE_IN_ROOM: (Phrase.PEOPLE_IN_ROOM, Slot.NUMBER, "people-in-room-end"),
    Phrase.MINUTES_LEFT: (Phrase.MINUTES_LEFT, Slot.FEMININE, "minutes-left-end"),
    Phrase.HAND_RAISED: (Phrase.HAND_RAISED, Slot.NUMBER),
}
_SINGULAR: dict[Phrase, str] = {
    # What is said instead where there is no number, or fewer than two.
    Phrase.PEOPLE_IN_ROOM: Phrase.YOU_ARE_ALONE,
    Phrase.MINUTES_LEFT: "minutes-left-one",
}
_WITH_NAMES: dict[Phrase, Recipe] = {
    Phrase.HAS_JOINED: (Slot.NAMES, Phrase.HAS_JOINED),
    Phrase.HAS_LEFT: (Slot.NAMES, Phrase.HAS_LEFT),
    Phrase.ROLL_CALL: (Phrase.ROLL_CALL, Slot.NAMES),
}
_NAMELESS: dict[Phrase, str] = {
    Phrase.HAS_JOINED: "somebody-has-joined",
    Phrase.HAS_LEFT: "somebody-has-left",
    Phrase.ROLL_CALL: "roll-call-nobody",
}
KEY: Recipe = ("press", Slot.DIGITS)
"""What follows ``key-ACTION``."""


def own_recipe(spoken: Spoken) -> Recipe:
    """The recipe in our file names; of :attr:`.Phrase.KEYS` only the introduction."""
    phrase, number = spoken.phrase, spoken.number
    if phrase in _SINGULAR and (number is None or number < 2):
        return (_SINGULAR[phrase],)
    if phrase is Phrase.HAND_RAISED and number is None:
        return ("hand-raised-only",)
    if phrase in _NAMELESS and not spoken.names:
        return (_NAMELESS[phrase],)
    return _WITH_NUMBER.get(phrase) or _WITH_NAMES.get(phrase) or (str(phrase),)
