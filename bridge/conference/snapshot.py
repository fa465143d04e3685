"""A room at one moment, for whoever shows it: the API, ``visiopont top``, conference-info documents."""

from __future__ import annotations

from dataclasses import dataclass

from .participant import Participant


@dataclass(frozen=True, slots=True)
class RoomSnapshot:
    """Everything that is shown of a room; PINs are not."""

    name: str
    number: str
    title: str
    language: str
    capacity: int
    lobby: str
    locked: bool
    everybody_muted: bool
    ended: bool
    started: float | None
    """When the first came in (monotonic seconds)."""
    ends: float | None
    """When the conference will be ended (monotonic seconds)."""
    speaker: int | None
    hands: tuple[int, ...]
    """The speaking queue, the next to speak first."""
    layout: str
    pinned: int | None
    """Shown as the speaker, whoever speaks."""
    reserved: int | None
    """Stays in view, whoever speaks."""
    presenter: int | None
    """Whose content is shown."""
    participants: tuple[Participant, ...]
    """In the order they came; the lobby's too."""
