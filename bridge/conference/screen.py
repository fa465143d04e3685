"""What a room's picture shows: the layout, who is held in view, and whose content is shown.

One presentation right for every kind of participant, however it is asked for (BFCP, H.239, a browser): whoever takes it
has it, and who had it is told that it is gone. That is what room systems expect: to press "share" is to share.
"""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass
from typing import Literal, TypeAlias, get_args

from .error import Forbidden, Refused
from .event import LayoutChanged, Pinned, PresentationChanged, Reserved
from .people import People
from .settings import LAYOUTS, RoomSettings

Layout: TypeAlias = Literal["single", "strip", "grid", "side-by-side", "fixed"]
MOST_PLACES = 25


@dataclass(frozen=True, slots=True)
class Place:
    """A tile that somebody has drawn, in parts of the picture from its upper left corner.

    Raises:
        ValueError: it is not on the picture, or has no size.
    """

    x: float
    y: float
    w: float
    h: float
    participant: int = 0
    """Who is in it; 0: whoever speaks."""
    letterbox: bool = False

    def __post_init__(self) -> None:
        inside = 0 <= self.x < 1 and 0 <= self.y < 1 and self.x + self.w <= 1.000001 and self.y + self.h <= 1.000001
        if not (inside and self.w >= 0.05 and self.h >= 0.05):  # nan fails too
            raise ValueError(f"no place on the picture: {self.x} {self.y} {self.w} {self.h}; write parts from 0 to 1")


@dataclass(frozen=True, slots=True)
class Look:
    """One picture of the room."""

    layout: Layout
    places: tuple[Place, ...] = ()
    """For ``fixed``."""
    voices: bool = False
    """Who sends no picture has a tile with his name."""


def checked(layout: str, places: Sequence[Place]) -> Layout:
    """Raises :class:`.error.Refused` (``layout``)."""
    for known in get_args(Layout):
        if layout == known and (known == "fixed") == bool(places) and len(places) <= MOST_PLACES:
            return known  # type: ignore[no-any-return]
    raise Refused("layout", f"write one of {', '.join(LAYOUTS)}; or fixed, with 1 to {MOST_PLACES} places")


def following(layout: Layout) -> Layout:
    """The next one for who goes through them by key."""
    place = LAYOUTS.index(layout) + 1 if layout in LAYOUTS else 0
    return LAYOUTS[place % len(LAYOUTS)]


def own_following(own: Look | None, room: Look) -> Layout | None:
    """The next for one who sees ``own``, or what the room does; None: that again."""
    layout = following((own or room).layout)
    return None if layout == room.layout else layout


class Screen:
    """The part of a room that knows its picture."""

    def __init__(self, people: People, settings: RoomSettings) -> None:
        self._people = people
        self._settings = settings
        self.look = Look(settings.layout, voices=settings.show_voices)
        self._own: dict[int, Look] = {}
        self.pinned: int | None = None
        self.reserved: int | None = None
        self.presenter: int | None = None

    def own(self, number: int) -> Look | None:
        """What somebody wants to see; None: what the room does."""
        return self._own.get(number)

    def set_layout(self, layout: str, places: Sequence[Place], *, by: int | None) -> None:
        self._people.require_host(by)
        look = Look(checked(layout, places), tuple(places), self.look.voices)
        if look != self.look:
            self.look = look
            self._people.tell(LayoutChanged(self._people.room, None, look.layout))

    def set_own_layout(self, number: int, layout: str | None, *, by: int | None) -> None:
        self._people.require_self(number, by)
        look = None if layout is None else Look(checked(layout, ()), (), self.look.voices)
        if look == self._own.get(number):
            return
        if look is None:
            del self._own[number]
        else:
            self._own[number] = look
        self._people.tell(LayoutChanged(self._people.room, number, look.layout if look else None))

    def pin(self, number: int | None, *, by: int | None) -> None:
        self._people.require_host(by)
        if number is not None:
            self._people.get_inside(number)
        if number != self.pinned:
            self.pinned = number
            self._people.tell(Pinned(self._people.room, number))

    def reserve(self, number: int | None, *, by: int | None) -> None:
        self._people.require_host(by)
        if number is not None:
            self._people.get_inside(number)
        if number != self.reserved:
            self.reserved = number
            self._people.tell(Reserved(self._people.room, number))

    def came_in(self, number: int) -> None:
        """The one that the settings name has the reserved tile."""
        uri = self._settings.reserved
        if uri and self.reserved is None and self._people.get(number).uri.lower() == uri.lower():
            self.reserve(number, by=None)

    def take_presentation(self, number: int, *, by: int | None) -> None:
        person = self._people.require_self(number, by)
        self._people.get_inside(number)
        if self._settings.presenters == "hosts" and by is not None and self._people.get(by).role != "host":
            raise Forbidden(f"only hosts may present in this room, and {person.name} is none")
        if number != self.presenter:
            self.presenter = number
            self._people.tell(PresentationChanged(self._people.room, number))

    def release_presentation(self, number: int, *, by: int | None) -> None:
        """Nothing changes where somebody else has it."""
        self._people.require_self(number, by)
        self._stop(number)

    def forget(self, number: int) -> None:
        """It has left."""
        self._stop(number)
        self._own.pop(number, None)
        room = self._people.room
        if self.pinned == number:
            self.pinned = None
            self._people.tell(Pinned(room, None))
        if self.reserved == number:
            self.reserved = None
            self._people.tell(Reserved(room, None))

    def _stop(self, number: int) -> None:
        if self.presenter == number:
            self.presenter = None
            self._people.tell(PresentationChanged(self._people.room, None))

    def changed(self, settings: RoomSettings) -> None:
        """The room's settings were changed."""
        before, self._settings = self._settings, settings
        look = Look(settings.layout, voices=settings.show_voices)
        if (before.layout, before.show_voices) != (settings.layout, settings.show_voices) and look != self.look:
            self.look = look
            self._people.tell(LayoutChanged(self._people.room, None, look.layout))
