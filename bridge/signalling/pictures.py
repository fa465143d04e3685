"""A call's m-lines beside its audio: the main picture, what is shown, and the floor that governs it."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass, field
from typing import Protocol

from . import bfcp_line
from .audio_line import Unacceptable
from .bfcp_line import AgreedFloor, FloorAccess
from .sdes import RandomBytes
from .sdp import MediaDescription, SessionDescription
from .video_codec import VideoCapabilities
from .video_line import AgreedVideo, Answered, VideoStream, is_content, is_video

MAIN, SLIDES = "1", "2"
"""Our ``a=label`` of the two pictures."""


class _Local(Protocol):
    """Our ports, as :class:`.offer.Local` has them."""

    @property
    def host(self) -> str: ...
    @property
    def video(self) -> int: ...
    @property
    def content(self) -> int: ...
    @property
    def floor(self) -> FloorAccess | None: ...


@dataclass(frozen=True, slots=True)
class Planned:
    """What an answer comes to, before it is in force."""

    media: Mapping[int, MediaDescription] = field(default_factory=dict)
    """Our m-lines by number."""
    video: Answered | None = None
    content: Answered | None = None
    floor: AgreedFloor | None = None
    floor_place: int | None = None


class Pictures:
    def __init__(self, capabilities: VideoCapabilities, random_bytes: RandomBytes) -> None:
        self._video = VideoStream(capabilities, random_bytes, content="main", label=MAIN)
        self._slides = VideoStream(capabilities, random_bytes, content="slides", label=SLIDES)
        self._shows = capabilities.content
        self.floor: AgreedFloor | None = None
        self._floor_place: int | None = None
        self._floor_offered: tuple[int, FloorAccess] | None = None

    @property
    def video(self) -> AgreedVideo | None:
        return self._video.agreed

    @property
    def content(self) -> AgreedVideo | None:
        return self._slides.agreed

    def answer(self, description: SessionDescription, local: _Local) -> Planned:
        """Our lines for theirs; those left out are refused."""
        governed = local.floor is not None and any(map(bfcp_line.is_floor, description.media))
        main: list[int] = []
        slides: list[int] = []
        for place, each in enumerate(description.media):
            if is_video(each):
                (slides if is_content(description, each) else main).append(place)
        video = self._answered(self._video, description, main, local.host, local.video, labelled=governed)
        content = None
        if self._shows:
            content = self._answered(self._slides, description, slides, local.host, local.content, labelled=governed)
        media = {each.place: each.media for each in (video, content) if each is not None and each.media is not None}
        planned = Planned(media, video, content)
        return self._with_floor(description, local.floor, planned) if governed and content is not None else planned

    def _answered(
        self,
        stream: VideoStream,
        description: SessionDescription,
        places: list[int],
        host: str,
        port: int,
        *,
        labelled: bool,
    ) -> Answered | None:
        """The stream's own place before others."""
        if not port:
            return None
        for place in sorted(places, key=lambda place: place != stream.place):
            try:
                return stream.answer(description, place, host, port, labelled=labelled)
            except Unacceptable:
                continue
        return None

    def _with_floor(self, description: SessionDescription, access: FloorAccess | None, planned: Planned) -> Planned:
        places = [place for place, each in enumerate(description.media) if bfcp_line.is_floor(each)]
        for place in sorted(places, key=lambda place: place != self._floor_place):
            try:
                assert access is not None
                line, agreed = bfcp_line.answer(description, description.media[place], access, SLIDES)
            except Unacceptable:
                continue
            return Planned({**planned.media, place: line}, planned.video, planned.content, agreed, place)
        return planned

    def offer(
        self, media: list[MediaDescription], local: _Local, *, hold: bool, secure: bool | None, again: bool
    ) -> None:
        """Put our lines among those of an offer.

        Args:
            media: the m-lines with all but the audio refused; ours take their places, or come behind.
            secure: as for :meth:`.offer.Negotiator.offer`.
            again: a description is in force: what it hasn't stays away.
        """
        self.refused()
        shows = self._shows and local.content and local.floor is not None and local.video
        for stream, port in ((self._video, local.video), (self._slides, local.content if shows else 0)):
            place = self._place(stream.place, stream.agreed is not None, media, again)
            if port and place is not None:
                line = stream.offer(place, port, hold=hold, secure=secure, labelled=bool(shows))
                media[place : place + 1] = [line]
        place = self._place(self._floor_place, self.floor is not None, media, again)
        if local.floor is not None and shows and place is not None:
            self._floor_offered = (place, local.floor)
            media[place : place + 1] = [bfcp_line.offer(local.floor, SLIDES)]

    @staticmethod
    def _place(known: int | None, in_force: bool, media: list[MediaDescription], again: bool) -> int | None:
        """Where a line goes: its own place, the end in a first offer; None: nowhere."""
        if again:
            return known if in_force else None
        return len(media)

    def accept(self, description: SessionDescription) -> Planned:
        """Their answer to our last offer."""
        floor = place = None
        if self._floor_offered is not None:
            place, access = self._floor_offered
            if place < len(description.media):
                try:
                    floor = bfcp_line.accepted(description, description.media[place], access)
                except Unacceptable:
                    floor = None
        return Planned(
            video=_accepted(self._video, description),
            content=_accepted(self._slides, description),
            floor=floor,
            floor_place=place,
        )

    def refused(self) -> None:
        """Our offer was: what was in force stays."""
        self._video.refused()
        self._slides.refused()
        self._floor_offered = None

    def commit(self, planned: Planned) -> None:
        """It is in force."""
        self._video.commit(planned.video)
        self._slides.commit(planned.content)
        self.floor = planned.floor if planned.content is not None else None
        if planned.floor_place is not None:
            self._floor_place = planned.floor_place


def _accepted(stream: VideoStream, description: SessionDescription) -> Answered | None:
    """None too for an answer that can't be used: the call goes on without a picture."""
    try:
        return stream.accept(description)
    except Unacceptable:
        return None
