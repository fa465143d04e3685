"""One person or terminal of a room, as everybody may see it."""

from __future__ import annotations

from dataclasses import dataclass
from typing import Literal, TypeAlias

Kind: TypeAlias = Literal["sip", "pstn", "web", "h323", "simulated"]
Role: TypeAlias = Literal["host", "guest"]
State: TypeAlias = Literal["lobby", "in"]
Language: TypeAlias = Literal["fr-CA", "en-CA"]

KINDS: tuple[Kind, ...] = ("sip", "pstn", "web", "h323", "simulated")
ROLES: tuple[Role, ...] = ("host", "guest")
LANGUAGES: tuple[Language, ...] = ("fr-CA", "en-CA")

GAIN_STEP = 3
"""dB a key press: the smallest change of loudness that everybody notices at once."""
GAIN_LIMIT = 12
"""dB either way: four presses; more would bring nothing but noise up, or silence."""


@dataclass(frozen=True, slots=True)
class Participant:
    """A view that does not change: the room makes a new one for each change."""

    number: int
    """Given by the focus, never used twice in the life of the server."""
    kind: Kind
    name: str
    """What people read."""
    uri: str
    """``sip:alice@192.0.2.7``, ``tel:+14185550100``..."""
    role: Role
    state: State
    """``lobby``: hears prompts only; ``in``: hears and is heard."""
    joined: float
    """When it came to the room or its lobby (monotonic seconds)."""
    language: Language
    """Of what it is told."""
    voice_prompts: bool = True
    """It is told things by voice; a browser reads events instead."""
    muted_by_host: bool = False
    muted_by_self: bool = False
    deaf: bool = False
    """It hears prompts only."""
    volume: int = 0
    """dB on what it hears (the stream's ``gain_out``), -12 to 12."""
    voice: int = 0
    """dB on its voice (the stream's ``gain_in``), -12 to 12."""
    recorded_name: str = ""
    """Clip of its name (``capture:N`` or a file); empty: none."""
    help_wanted: bool = False
    """It asked for an operator (``*0``), and nobody has answered that yet."""
    hand: int = 0
    """Its place in the speaking queue, from 1; 0: its hand is down."""
    speaking: bool = False
    """It is the room's active speaker."""

    @property
    def muted(self) -> bool:
        """Nobody hears it, whoever muted it."""
        return self.muted_by_host or self.muted_by_self
