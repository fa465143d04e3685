"""What a room tells: the focus carries it out (media, speech, hanging up) and passes it on (API, RFC 4575).

Frozen facts, in the order they happened; every one names the room, and participants by their numbers.
"""

from __future__ import annotations

from dataclasses import dataclass
from typing import Literal, TypeAlias

from .participant import Participant, Role
from .phrase import Spoken
from .settings import RoomSettings

LeaveReason: TypeAlias = Literal["hung-up", "lost", "removed", "turned-away", "moved", "ended"]
"""``lost``: the call died; ``moved``: taken out to be joined to another room, its call goes on."""
EndReason: TypeAlias = Literal["by-host", "by-operator", "duration", "host-left", "empty"]

# ------------------------------------------------------------------------------------- coming and going


@dataclass(frozen=True, slots=True)
class Joined:
    """It came straight into the room: put its stream there."""

    room: str
    participant: int


@dataclass(frozen=True, slots=True)
class Waiting:
    """It came to the lobby: its stream is in no room and hears prompts only."""

    room: str
    participant: int


@dataclass(frozen=True, slots=True)
class Admitted:
    """It came from the lobby into the room: put its stream there."""

    room: str
    participant: int


@dataclass(frozen=True, slots=True)
class Left:
    """It is in the room or lobby no more: take its stream out. A :class:`Hangup` follows where its call must end."""

    room: str
    participant: int
    reason: LeaveReason
    was: Participant
    """As it was last."""


@dataclass(frozen=True, slots=True)
class Hangup:
    """End its call, when ``spoken`` has been said to it."""

    room: str
    participant: int
    reason: LeaveReason
    spoken: Spoken | None


@dataclass(frozen=True, slots=True)
class Ended:
    """The conference is over; everybody was told and has left. The room takes nobody any more: drop it."""

    room: str
    reason: EndReason


# ----------------------------------------------------------------------------------------- participants


@dataclass(frozen=True, slots=True)
class Muted:
    """Its mute flags are now these: nobody hears it while either is set."""

    room: str
    participant: int
    by_host: bool
    by_self: bool


@dataclass(frozen=True, slots=True)
class Deafened:
    """It hears the mix no more, or again."""

    room: str
    participant: int
    deaf: bool


@dataclass(frozen=True, slots=True)
class GainsChanged:
    """Its gains are now these."""

    room: str
    participant: int
    voice: int
    """dB on its voice (the stream's ``gain_in``)."""
    volume: int
    """dB on what it hears (the stream's ``gain_out``)."""


@dataclass(frozen=True, slots=True)
class Renamed:
    room: str
    participant: int
    name: str


@dataclass(frozen=True, slots=True)
class RoleChanged:
    room: str
    participant: int
    role: Role


# --------------------------------------------------------------------------------------------- the room


@dataclass(frozen=True, slots=True)
class HandsChanged:
    """The speaking queue is now this."""

    room: str
    order: tuple[int, ...]
    """Participants, the next to speak first."""


@dataclass(frozen=True, slots=True)
class FloorGiven:
    """A host called it up to speak (out of the queue, its host's mute taken off)."""

    room: str
    participant: int


@dataclass(frozen=True, slots=True)
class SpeakerChanged:
    """The active speaker is now this one; None: nobody speaks."""

    room: str
    participant: int | None


@dataclass(frozen=True, slots=True)
class LayoutChanged:
    """The room's picture, or the one of a participant, is laid out otherwise now."""

    room: str
    participant: int | None
    """None: the room's, for all who have none of their own."""
    layout: str | None
    """None: it has none of its own any more."""


@dataclass(frozen=True, slots=True)
class Pinned:
    """This one is shown as the speaker whoever speaks; None: who speaks is."""

    room: str
    participant: int | None


@dataclass(frozen=True, slots=True)
class Reserved:
    """This one has the tile that stays in view; None: nobody has."""

    room: str
    participant: int | None


@dataclass(frozen=True, slots=True)
class PresentationChanged:
    """This one shows something to all now, and who did before doesn't any more; None: nobody does."""

    room: str
    participant: int | None


@dataclass(frozen=True, slots=True)
class LockChanged:
    room: str
    locked: bool


@dataclass(frozen=True, slots=True)
class EverybodyMuted:
    """A host muted everybody but the hosts, and guests who come now, or took that back. :class:`Muted` tells of
    each."""

    room: str
    muted: bool


@dataclass(frozen=True, slots=True)
class SettingsChanged:
    """The settings are now these (mixing: ``loudest``, ``agc``)."""

    room: str
    settings: RoomSettings


@dataclass(frozen=True, slots=True)
class HelpWanted:
    """Somebody asks for an operator."""

    room: str
    participant: int


@dataclass(frozen=True, slots=True)
class HelpAnswered:
    """Its wish for help is seen to."""

    room: str
    participant: int
    by: int | None
    """The host who answered; None: an operator."""


# ---------------------------------------------------------------------------------------- to be carried out


@dataclass(frozen=True, slots=True)
class Tone:
    """Play a tone to the whole room."""

    room: str
    kind: Literal["join", "leave"]


@dataclass(frozen=True, slots=True)
class Announce:
    """Say something, after what is being said already. Only to who hears prompts by voice
    (:attr:`.participant.Participant.voice_prompts`), each in its own language."""

    room: str
    spoken: Spoken
    to: int | None
    """None: everybody who is in the room."""


Event: TypeAlias = (
    Joined
    | Waiting
    | Admitted
    | Left
    | Hangup
    | Ended
    | Muted
    | Deafened
    | GainsChanged
    | Renamed
    | RoleChanged
    | HandsChanged
    | FloorGiven
    | SpeakerChanged
    | LayoutChanged
    | Pinned
    | Reserved
    | PresentationChanged
    | LockChanged
    | EverybodyMuted
    | SettingsChanged
    | HelpWanted
    | HelpAnswered
    | Tone
    | Announce
)
