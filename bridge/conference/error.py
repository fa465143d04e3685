"""Why a room would not do something. Every message is a sentence that says what to do."""

from __future__ import annotations

from .phrase import Phrase


class RoomError(Exception):
    """A command was not carried out; the room is as it was before."""


class Forbidden(RoomError):
    """Whoever asked may not do that."""


class NoSuchParticipant(RoomError):
    """Nobody of that number is in the room (any more)."""


class Refused(RoomError):
    """The room's state or settings do not allow it now."""

    def __init__(self, reason: str, sentence: str, phrase: Phrase | None = None) -> None:
        super().__init__(sentence)
        self.reason = reason
        """A word for programs: ``locked``, ``full``, ``ended``, ``present``, ``lobby``, ``range``, ``nobody``."""
        self.phrase = phrase
        """What a caller is told by voice, where there is a phrase for it."""
