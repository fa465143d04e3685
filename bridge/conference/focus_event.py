"""What the focus tells besides the rooms' own events: frozen facts, in the order they happened."""

from __future__ import annotations

from dataclasses import dataclass, field

from bridge.signalling import event as sip

from . import event as room_event


@dataclass(frozen=True, slots=True)
class ResolveWanted:
    """Find out how to reach ``uri``, and say so with :meth:`Focus.resolved`."""

    participant: int
    uri: str


@dataclass(frozen=True, slots=True)
class RoomOpened:
    room: str


@dataclass(frozen=True, slots=True)
class CallCame:
    """An incoming call was answered."""

    participant: int
    call: int
    uri: str
    dialled: str
    call_id: str = field(default="", repr=False)
    """Of a call by WebSocket."""


@dataclass(frozen=True, slots=True)
class CallOver:
    """A participant's call has ended, or never came to be."""

    participant: int
    uri: str
    room: str
    code: int
    reason: str
    local: bool


@dataclass(frozen=True, slots=True)
class PinsRefused:
    """A call was refused: too many wrong PINs came from there lately."""

    uri: str
    address: str
    room: str


@dataclass(frozen=True, slots=True)
class TextReceived:
    """MESSAGE from somebody in a room."""

    participant: int
    room: str
    text: str


@dataclass(frozen=True, slots=True)
class TilesChanged:
    """What somebody's tiles show is something else now."""

    participant: int


@dataclass(frozen=True, slots=True)
class MediaTrouble:
    worker: int
    reason: str


@dataclass(frozen=True, slots=True)
class SnapshotTaken:
    """A room's picture is in its file, or why not."""

    snapshot: int
    error: str


Event = (
    ResolveWanted
    | RoomOpened
    | CallCame
    | CallOver
    | PinsRefused
    | TextReceived
    | TilesChanged
    | MediaTrouble
    | SnapshotTaken
    | room_event.Event
    | sip.Event
)
