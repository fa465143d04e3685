"""What can be said to people in a room, as facts: which words and which files those are is :mod:`.speech`'s work."""

from __future__ import annotations

import enum
from dataclasses import dataclass


class Phrase(enum.StrEnum):
    """One sentence, in whatever language; the values are the prompts' file names."""

    # Before the room
    WELCOME = "welcome"
    CHOOSE_LANGUAGE = "choose-language"
    """Said in both languages: "Pour le français, appuyez sur le 1. For English, press 2." """
    ENTER_NUMBER = "enter-number"
    """Key the room's number, then #."""
    NO_SUCH_ROOM = "no-such-room"
    ENTER_PIN = "enter-pin"
    ENTER_HOST_PIN = "enter-host-pin"
    """Hosts key their PIN; others, who need none, press #."""
    WRONG_PIN = "wrong-pin"
    TOO_MANY_TRIES = "too-many-tries"
    SAY_NAME = "say-name"
    """Say your name after the tone, then press #."""
    ROOM_LOCKED = "room-locked"
    """You can't come in: the room is locked."""
    ROOM_FULL = "room-full"
    WAIT_FOR_HOST = "wait-for-host"
    WAIT_TO_BE_ADMITTED = "wait-to-be-admitted"
    GOODBYE = "goodbye"

    # Coming and going
    YOU_ARE_ALONE = "you-are-alone"
    YOU_ARE_HOST = "you-are-host"
    PEOPLE_IN_ROOM = "people-in-room"
    """``number`` people are in the room, whoever hears it included."""
    HAS_JOINED = "has-joined"
    """``name`` (a recorded name), then "has joined"."""
    HAS_LEFT = "has-left"
    HOST_HAS_LEFT = "host-has-left"
    MINUTES_LEFT = "minutes-left"
    """The conference ends in ``number`` minutes."""
    CONFERENCE_ENDED = "conference-ended"
    YOU_WERE_REMOVED = "you-were-removed"
    YOU_WERE_MOVED = "you-were-moved"
    SERVICE_CLOSES = "service-closes"

    # Voice and hearing
    MUTED_BY_SELF = "muted-by-self"
    UNMUTED_BY_SELF = "unmuted-by-self"
    MUTED_BY_HOST = "muted-by-host"
    UNMUTED_BY_HOST = "unmuted-by-host"
    STILL_MUTED_BY_HOST = "still-muted-by-host"
    """You took your own mute off, but the host keeps you muted."""
    STILL_MUTED_BY_SELF = "still-muted-by-self"
    """The host took his mute off, but your own is still on: press *6."""
    EVERYBODY_MUTED = "everybody-muted"
    EVERYBODY_UNMUTED = "everybody-unmuted"
    VOLUME_UP = "volume-up"
    VOLUME_DOWN = "volume-down"
    VOICE_UP = "voice-up"
    VOICE_DOWN = "voice-down"

    # The room
    ROOM_NOW_LOCKED = "room-now-locked"
    ROOM_NOW_OPEN = "room-now-open"
    SOMEBODY_WAITS = "somebody-waits"
    """Somebody waits in the lobby."""
    NOBODY_WAITS = "nobody-waits"
    """Nobody waits in the lobby, or in the speaking queue."""
    HELP_COMES = "help-comes"
    """An operator was called."""
    HELP_WANTED = "help-wanted"
    """To hosts: somebody asks for help."""
    HELP_ANSWERED = "help-answered"
    """Somebody sees to your wish for help."""

    # The speaking queue
    HAND_RAISED = "hand-raised"
    """Your hand is up; you are number ``number``."""
    HAND_LOWERED = "hand-lowered"
    YOUR_TURN = "your-turn"

    # Keys
    KEYS = "keys"
    """The keys that the listener may use, read out; see :attr:`Spoken.keys`."""
    NOT_ALLOWED = "not-allowed"
    """Only hosts may do that."""
    NO_SUCH_KEY = "no-such-key"
    """That key does nothing; ** reads out the keys."""

    # Roll call
    ROLL_CALL = "roll-call"
    """"In the room are:", then the recorded names."""


@dataclass(frozen=True, slots=True)
class Spoken:
    """A sentence with what is put into it."""

    phrase: Phrase
    number: int | None = None
    """A count or a place, read out as a number."""
    names: tuple[str, ...] = ()
    """Clips of recorded names (``capture:N`` or a file)."""
    keys: tuple[tuple[str, str], ...] = ()
    """(digits, action) pairs for :attr:`Phrase.KEYS`, in the order to be read: ``("*6", "mute-self")``."""
