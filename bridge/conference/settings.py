"""What a room is like: read from the ``[room.NAME]`` sections of the settings, or set through the API."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass
from typing import Any, Literal, TypeAlias

from .participant import Language

LobbyPolicy: TypeAlias = Literal["off", "until-host", "until-admitted"]
Entry: TypeAlias = Literal["silent", "tone", "name"]


@dataclass(frozen=True, slots=True)
class RoomSettings:
    """One room's settings.

    Raises:
        ValueError: one sentence that says which setting is wrong, and how to write it.
    """

    name: str
    """User part that is dialled, in lower case."""
    number: str = ""
    """Digits that are keyed to reach it; empty: none."""
    title: str = ""
    """What people read; empty: the name."""
    language: Language = "fr-CA"
    """Of the prompts, unless the caller chose another."""
    choose_language: bool = False
    """Ask each caller for the language first."""
    host_pin: str = ""
    """PIN of hosts; empty: nobody becomes host by PIN."""
    guest_pin: str = ""
    """PIN of guests; empty: they need none."""
    lobby: LobbyPolicy = "off"
    """``until-host``: guests wait until the first host comes; ``until-admitted``: until a host or operator admits them."""
    capacity: int = 3000
    """Participants at most, the lobby's included."""
    max_duration: float = 0.0
    """Seconds from the first who is in to the end of the conference; 0: no end."""
    entry: Entry = "tone"
    """How comings and goings are made known: not at all, by a tone, by the recorded name."""
    announce_alone: bool = True
    """Tell who is alone in the room that they are."""
    announce_people: bool = True
    """Tell newcomers how many are in the room."""
    mute_on_entry: bool = False
    """Guests come in muted, by their own flag: ``*6`` opens the microphone."""
    loudest: int = 8
    """Voices mixed at once in a large room."""
    agc: bool = False
    """Level everybody's voice."""
    ends_with_host: bool = False
    """The conference ends when the last host has left, after ``host_grace``."""
    host_grace: float = 0.0
    """Seconds in which a host may come back (a dropped call) before ``ends_with_host`` ends the conference."""
    keys: tuple[tuple[str, str], ...] = ()
    """(digits, action) pairs that change the table of keys (:mod:`.key`): ``("*8", "lock")`` puts the lock on ``*8``;
    an empty action takes the key away."""

    @classmethod
    def read(cls, name: str, section: Mapping[str, Any]) -> RoomSettings:
        """From a TOML section or a JSON object (``keys`` is a table there: ``{"*8": "lock"}``).

        Raises:
            ValueError: also for a key that nobody knows.
        """
        raise NotImplementedError
