"""The rooms there are: those that settings name, those that somebody opened by dialling, and which of them are on."""

from __future__ import annotations

import re
from collections.abc import Callable, Iterable
from dataclasses import dataclass, replace

from bridge.worker.protocol import Command, DropRoom, SetRoom

from .placement import Placement
from .room import Room
from .settings import RoomSettings
from .video import VideoPlane

_NAME = re.compile(r"[\w.~+'-]{1,64}", re.UNICODE)
"""What may open a room by being dialled: nothing that needs escaping in a URI, a path or a log."""


class NoSuchRoom(Exception):
    """The message says what to do."""


class TooManyRooms(Exception):
    """No further room can be opened now."""


@dataclass(slots=True, eq=False)
class Running:
    """A conference that is on."""

    room: Room
    media: int
    """Its number in the media plane."""
    worker: int
    wake: Callable[[str, float], None]
    """Its alarm rings."""
    pictured: bool = False
    """The video worker knows the room."""


class House:
    """A :class:`~.admission.Directory`, and more."""

    def __init__(
        self,
        template: RoomSettings,
        placement: Placement,
        send: Callable[[int, Command], None],
        *,
        ad_hoc: bool,
        limit: int,
        video: VideoPlane | None = None,
    ) -> None:
        """``template``: what a room is like that opens by being dialled."""
        self._video = video
        self._template, self._placement, self._send = template, placement, send
        self._ad_hoc, self._limit = ad_hoc, limit
        self._known: dict[str, RoomSettings] = {}
        self._by_number: dict[str, RoomSettings] = {}
        self.running: dict[str, Running] = {}
        self._media: dict[int, Running] = {}
        self._last = 0

    # What there is

    def register(self, settings: RoomSettings) -> None:
        """A room that is there from now on, on or not.

        Raises:
            ValueError: another room has its name or number.
        """
        other = self._by_number.get(settings.number) if settings.number else None
        if other is not None and other.name != settings.name:
            raise ValueError(f"room {other.name} has the number {settings.number} already; choose another")
        self.forget(settings.name)
        self._known[settings.name] = settings
        if settings.number:
            self._by_number[settings.number] = settings

    def changed(self, running: Running) -> None:
        """Settings were changed in mid-conference: the next one begins with them."""
        if running.room.name in self._known:
            self.register(running.room.settings)

    def forget(self, name: str) -> None:
        """It can't be dialled any more, unless rooms open by being dialled."""
        before = self._known.pop(name, None)
        if before is not None:
            self._by_number.pop(before.number, None)

    def known(self) -> Iterable[RoomSettings]:
        return self._known.values()

    def dialled(self, user: str) -> RoomSettings:
        """What the user part of a Request-URI means: a room's name or number, or a new room.

        Raises:
            NoSuchRoom: it means nothing here.
        """
        name = user.lower()
        running = self.running.get(name)
        if running is not None:
            return running.room.settings
        settings = self._known.get(name) or self._by_number.get(name)
        if settings is not None:
            on = self.running.get(settings.name)
            return on.room.settings if on is not None else settings
        if self._ad_hoc and _NAME.fullmatch(name):
            return replace(self._template, name=name, number=name if name.isascii() and name.isdigit() else "")
        raise NoSuchRoom(f"there is no room {user[:64]!r}: dial the name or number of one that there is")

    def find(self, number: str) -> RoomSettings | None:
        """The room of exactly that number."""
        try:
            return self.dialled(number)
        except NoSuchRoom:
            return None

    def longer(self, digits: str) -> bool:
        """Does a room number begin with ``digits`` and go on? With rooms that open by being dialled always."""
        if self._ad_hoc:
            return True
        return any(number.startswith(digits) and number != digits for number in self._by_number)

    # What is on

    def on(self, name: str) -> Running:
        """Raises :class:`NoSuchRoom`."""
        running = self.running.get(name.lower())
        if running is None:
            raise NoSuchRoom(f"the room {name[:64]!r} is not on: `visiopont rooms` lists those that are")
        return running

    def by_media(self, media: int) -> Running | None:
        return self._media.get(media)

    def room(self, name: str, now: float) -> Room:
        """The room of that name as it is, or as it would begin.

        Raises:
            NoSuchRoom: there is none.
        """
        running = self.running.get(name)
        return running.room if running is not None else Room(self.dialled(name), now)

    def open(
        self, settings: RoomSettings, now: float, prefer: int | None, wake: Callable[[Running, float], None]
    ) -> Running:
        """The conference of a room, begun if it isn't on.

        Args:
            prefer: the worker of its first caller.
            wake: is called when the room's deadline has come.

        Raises:
            TooManyRooms: the limit is reached.
        """
        running = self.running.get(settings.name)
        if running is not None:
            return running
        if len(self.running) >= self._limit:
            raise TooManyRooms(f"{self._limit} rooms are on, and no more may be: raise [rooms] limit")
        self._last += 1
        worker = self._placement.open_room(self._last, prefer)
        opened = Running(Room(settings, now), self._last, worker, lambda name, now: wake(opened, now))
        self.running[settings.name] = self._media[self._last] = opened
        self.describe(opened)
        return opened

    def describe(self, running: Running) -> None:
        """Tell the worker what the room is like."""
        settings = running.room.settings
        self._send(running.worker, SetRoom(room=running.media, loudest=settings.loudest, agc=settings.agc))
        self.picture(running)

    def picture(self, running: Running) -> None:
        """Tell the video worker what the room's picture is like."""
        room = running.room
        if self._video is None:
            return
        if not room.settings.video:
            self._no_picture(running)
            return
        running.pictured = True
        self._video.describe(
            running.worker, running.media, room.settings, room.look, room.reserved or 0, room.presenter or 0
        )

    def _no_picture(self, running: Running) -> None:
        if self._video is not None and running.pictured:
            running.pictured = False
            self._video.close(running.worker, running.media)

    def has_picture(self, running: Running) -> bool:
        return self._video is not None and running.room.settings.video

    def close(self, running: Running) -> None:
        """The conference is over."""
        if self.running.get(running.room.name) is running:
            del self.running[running.room.name]
        self._media.pop(running.media, None)
        self._send(running.worker, DropRoom(room=running.media))
        self._no_picture(running)
        self._placement.close_room(running.media)
