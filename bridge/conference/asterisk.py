"""Our sentences in the file names of Asterisk's core sounds, of which Debian packages Canadian French and English.

A sentence is here only where the recording says the same thing in both languages; the rest fall back to our own.
Each has alternatives, best first: older sets lack the ``confbridge-`` files.
"""

from __future__ import annotations

from .phrase import Phrase, Spoken
from .recipe import Recipe, Slot

_SENTENCES: dict[Phrase, tuple[Recipe, ...]] = {
    Phrase.ENTER_NUMBER: (("conf-getconfno",),),
    Phrase.NO_SUCH_ROOM: (("conf-invalid",),),
    # "conf-getpin" does not say that # ends it.
    Phrase.ENTER_PIN: (("confbridge-pin",), ("conf-getpin",)),
    Phrase.WRONG_PIN: (("conf-invalidpin",),),
    Phrase.TOO_MANY_TRIES: (("confbridge-pin-bad",),),
    Phrase.SAY_NAME: (("vm-rec-name",),),
    Phrase.ROOM_LOCKED: (("confbridge-lock-no-join",), ("conf-locked",)),
    Phrase.ROOM_FULL: (("conf-full",),),
    Phrase.WAIT_FOR_HOST: (("conf-waitforleader",),),
    Phrase.GOODBYE: (("vm-goodbye",),),
    Phrase.YOU_ARE_ALONE: (("conf-onlyperson",), ("confbridge-only-participant",)),
    Phrase.PEOPLE_IN_ROOM: (("conf-thereare", Slot.NUMBER, "confbridge-participants"),),
    # The French "conf-hasjoin" ("s'est joint") has a gender.
    Phrase.HAS_JOINED: ((Slot.NAMES, "confbridge-has-joined"), (Slot.NAMES, "conf-hasjoin")),
    Phrase.HAS_LEFT: ((Slot.NAMES, "conf-hasleft"), (Slot.NAMES, "confbridge-has-left")),
    Phrase.HOST_HAS_LEFT: (("conf-leaderhasleft",),),
    Phrase.CONFERENCE_ENDED: (("confbridge-conf-end",),),
    Phrase.YOU_WERE_REMOVED: (("confbridge-removed",), ("conf-kicked",)),
    Phrase.MUTED_BY_SELF: (("conf-muted",), ("confbridge-muted",)),
    Phrase.UNMUTED_BY_SELF: (("conf-unmuted",), ("confbridge-unmuted",)),
    Phrase.EVERYBODY_MUTED: (("conf-now-muted",),),
    Phrase.EVERYBODY_UNMUTED: (("conf-now-unmuted",),),
    Phrase.ROOM_NOW_LOCKED: (("conf-lockednow",), ("confbridge-locked",)),
    Phrase.ROOM_NOW_OPEN: (("conf-unlockednow",), ("confbridge-unlocked",)),
    Phrase.ROLL_CALL: ((Slot.NAMES, "conf-roll-callcomplete"),),
}
_KEYS: dict[str, str] = {
    "mute-self": "confbridge-mute-in",
    "volume-up": "confbridge-inc-list-vol-in",
    "volume-down": "confbridge-dec-list-vol-in",
    "voice-up": "confbridge-inc-talk-vol-in",
    "voice-down": "confbridge-dec-talk-vol-in",
    "lock": "confbridge-lock-in",
}


def asterisk_recipes(spoken: Spoken) -> tuple[Recipe, ...]:
    """The alternatives; empty: the sets lack it."""
    phrase = spoken.phrase
    if phrase is Phrase.PEOPLE_IN_ROOM and (spoken.number is None or spoken.number < 2):
        phrase = Phrase.YOU_ARE_ALONE
    recipes = _SENTENCES.get(phrase, ())
    if not spoken.names:
        recipes = tuple(recipe for recipe in recipes if Slot.NAMES not in recipe)
    return recipes


def asterisk_key(action: str) -> tuple[Recipe, ...]:
    """ "To do this, press *6": the alternatives."""
    lead = _KEYS.get(action)
    return ((lead, "vm-press", Slot.DIGITS),) if lead else ()
