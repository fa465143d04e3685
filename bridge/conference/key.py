"""The keys of a telephone in a call: one table, who may use which, and how presses become actions."""

from __future__ import annotations

import enum
from collections.abc import Iterable
from dataclasses import dataclass

from .participant import Language, Role


class Action(enum.StrEnum):
    """What a key sequence does; the values are those in settings and in :attr:`.phrase.Spoken.keys`."""

    READ_KEYS = "read-keys"
    MUTE_SELF = "mute-self"
    RAISE_HAND = "raise-hand"
    VOLUME_UP = "volume-up"
    VOLUME_DOWN = "volume-down"
    VOICE_UP = "voice-up"
    VOICE_DOWN = "voice-down"
    ROLL_CALL = "roll-call"
    HELP = "help"
    MUTE_ALL = "mute-all"
    LOCK = "lock"
    ADMIT = "admit"
    GIVE_FLOOR = "give-floor"
    END = "end"


@dataclass(frozen=True, slots=True)
class Key:
    """One row of the table."""

    digits: str
    action: Action


class KeyTable:
    """The keys in force in a room."""

    @classmethod
    def standard(cls) -> KeyTable:
        """The table in ``docs/keys.md``."""
        raise NotImplementedError

    def changed(self, overrides: Iterable[tuple[str, str]]) -> KeyTable:
        """With (digits, action) pairs in their place; an empty action takes the key away.

        Raises:
            ValueError: digits that are none, an unknown action, or a sequence that begins another one.
        """
        raise NotImplementedError

    def for_role(self, role: Role) -> tuple[Key, ...]:
        """Those that the role may use, in the order to be read out."""
        raise NotImplementedError


class Verdict(enum.StrEnum):
    """What became of a sequence that is no action."""

    UNKNOWN = "unknown"
    NOT_ALLOWED = "not-allowed"


class KeyPad:
    """Collects one participant's presses into actions."""

    def __init__(self, table: KeyTable) -> None:
        raise NotImplementedError

    def press(self, digit: str, role: Role, now: float) -> Action | Verdict | None:
        """None: nothing yet, or nothing at all."""
        raise NotImplementedError

    def deadline(self) -> float | None:
        raise NotImplementedError

    def expire(self, now: float) -> Verdict | None:
        """Half a sequence was left: :attr:`Verdict.UNKNOWN`, so that the caller is told."""
        raise NotImplementedError


class DigitFilter:
    """Makes one press of what arrives of it as RFC 4733 event, as SIP INFO and as tone in the audio. One a call, before
    :class:`.admission.Admission` and :meth:`.room.Room.press` alike."""

    def accept(self, digit: str, source: str, now: float) -> bool:
        """Is this a press of its own? ``source`` is ``event``, ``info`` or ``tone``."""
        raise NotImplementedError


def markdown() -> str:
    """``docs/keys.md``, in French and English."""
    raise NotImplementedError


__all__ = ["Action", "DigitFilter", "Key", "KeyPad", "KeyTable", "Language", "Verdict", "markdown"]
