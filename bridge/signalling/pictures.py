"""A call's m-lines beside its audio: the main picture, what is shown, the floor that governs it, and tiles."""

from __future__ import annotations

from collections.abc import Collection, Mapping
from dataclasses import dataclass, field, replace
from typing import Protocol

from . import bfcp_line, tile_line, transport_line
from .bfcp_line import AgreedFloor, FloorAccess
from .media_line import Unacceptable
from .sdes import RandomBytes
from .sdp import MediaDescription, SessionDescription
from .tile_line import AgreedTile, Tile, TileLines
from .transport_line import Bundle, Carried, Kind
from .transport_parameters import TransportParameters
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
    @property
    def transport(self) -> TransportParameters | None: ...
    @property
    def pictures(self) -> Mapping[Kind, TransportParameters]: ...
    @property
    def sources(self) -> Mapping[Kind, int]: ...
    @property
    def tiles(self) -> Mapping[str, int] | None: ...
    @property
    def cname(self) -> str: ...


@dataclass(frozen=True, slots=True)
class Planned:
    """What an answer comes to, before it is in force."""

    media: Mapping[int, MediaDescription] = field(default_factory=dict)
    """Our m-lines by number."""
    video: Answered | None = None
    content: Answered | None = None
    floor: AgreedFloor | None = None
    floor_place: int | None = None
    tiles: tuple[Tile, ...] = ()

    @property
    def answers(self) -> bool:
        """It is to an offer of theirs."""
        return bool(self.media)


class Pictures:
    def __init__(self, capabilities: VideoCapabilities, random_bytes: RandomBytes) -> None:
        self._video = VideoStream(capabilities, random_bytes, content="main", label=MAIN)
        self._slides = VideoStream(capabilities, random_bytes, content="slides", label=SLIDES)
        self._tiles = TileLines(capabilities)
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

    @property
    def tiles(self) -> tuple[AgreedTile, ...]:
        return self._tiles.agreed

    @property
    def numbers(self) -> frozenset[int]:
        """Payload types that mean something on any picture's line."""
        return self._video.numbers | self._slides.numbers | self._tiles.numbers

    @property
    def shared(self) -> tuple[Carried, ...]:
        """Those in force on the voice's transport."""
        agreed = (self._video.agreed, self._slides.agreed)
        lines = tuple(line for each in agreed if each is not None and each.bundled for line in each.carried)
        return (*lines, *self._tiles.carried)

    def wanted(self, description: SessionDescription, shared: Collection[int]) -> tuple[str, ...]:
        """See :meth:`.tile_line.TileLines.wanted`."""
        return self._tiles.wanted(description, shared)

    def transports(self, description: SessionDescription, shared: Collection[int]) -> dict[Kind, TransportParameters]:
        """Theirs, of pictures that would be answered, without those of the m-lines ``shared``."""
        found: dict[Kind, TransportParameters] = {}
        main, slides = _places(description, shared)
        kinds: tuple[tuple[Kind, VideoStream, list[int]], ...] = (
            ("video", self._video, main),
            ("content", self._slides, slides if self._shows else []),
        )
        for kind, stream, places in kinds:
            for place in sorted(places, key=lambda place: place != stream.place):
                try:
                    theirs = transport_line.read(description, description.media[place])
                except Unacceptable:
                    continue
                if theirs is not None and place not in shared:
                    # No ICE on a line that is not bundled: we have one transport with candidates a call.
                    found[kind] = replace(theirs, ufrag="", password="")
                break
        return found

    def answer(self, description: SessionDescription, local: _Local, bundle: Bundle | None = None) -> Planned:
        """Our lines for theirs; those left out are refused.

        Args:
            bundle: the voice's transport, where it may be shared.
        """
        governed = local.floor is not None and any(map(bfcp_line.is_floor, description.media))
        main, slides = _places(description, bundle.places if bundle is not None else ())
        video = self._answered(self._video, description, main, local, local.video, bundle, labelled=governed)
        content = None
        if self._shows:
            content = self._answered(self._slides, description, slides, local, local.content, bundle, labelled=governed)
        media = {each.place: each.media for each in (video, content) if each is not None and each.media is not None}
        tiles: tuple[Tile, ...] = ()
        if bundle is not None and local.video and local.tiles is not None:
            found = self._tiles.answer(description, bundle, local.tiles, local.cname)
            tiles = tuple(tile for tile, _ in found.values())
            media |= {place: line for place, (_, line) in found.items()}
        planned = Planned(media, video, content, tiles=tiles)
        return self._with_floor(description, local.floor, planned) if governed and content is not None else planned

    def _answered(
        self,
        stream: VideoStream,
        description: SessionDescription,
        places: list[int],
        local: _Local,
        port: int,
        bundle: Bundle | None,
        *,
        labelled: bool,
    ) -> Answered | None:
        """The stream's own place before others."""
        if not port:
            return None
        for place in sorted(places, key=lambda place: place != stream.place):
            bundled = bundle is not None and place in bundle.places
            ours = bundle.ours if bundle is not None and bundled else local.pictures.get(stream.kind, local.transport)
            at = ours.address if ours is not None and ours.address is not None and bundled else (local.host, port)
            try:
                return stream.answer(
                    description,
                    place,
                    *at,
                    labelled=labelled,
                    transport=ours,
                    bundled=bundled,
                    source=(local.sources.get(stream.kind, 0), local.cname),
                )
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
            return replace(planned, media={**planned.media, place: line}, floor=agreed, floor_place=place)
        return planned

    def offer(
        self,
        media: list[MediaDescription],
        local: _Local,
        *,
        hold: bool,
        secure: bool | None,
        again: bool,
        transport: TransportParameters | None = None,
        bundled: bool = False,
        avoid: Collection[int] = (),
    ) -> None:
        """Put our lines among those of an offer.

        Args:
            transport: see :meth:`.video_line.VideoStream.offer`, as for the next two.
            media: the m-lines with all but the audio refused; ours take their places, or come behind.
            secure: as for :meth:`.offer.Negotiator.offer`.
            again: a description is in force: what it hasn't stays away.
        """
        self.refused()
        # Browsers show something without BFCP, and say so in an offer of theirs.
        shows = self._shows and local.content and local.video and (local.floor is not None or (bundled and again))
        for stream, port in ((self._video, local.video), (self._slides, local.content if shows else 0)):
            place = self._place(stream.place, stream.agreed is not None, media, again)
            if port and place is not None:
                shared = bundled and (not again or (stream.agreed is not None and stream.agreed.bundled))
                at = transport.address if transport is not None and transport.address and shared else (local.host, port)
                line = stream.offer(
                    place,
                    *at,
                    hold=hold,
                    secure=secure,
                    labelled=bool(shows) and not shared,
                    transport=transport if shared or transport is None else local.pictures.get(stream.kind, transport),
                    bundled=shared,
                    avoid=avoid if shared else (),
                    source=(local.sources.get(stream.kind, 0), local.cname),
                )
                media[place : place + 1] = [line]
        if bundled and again and transport is not None and local.video and local.tiles is not None:
            self._tiles.offer(media, transport, local.tiles, local.cname)
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

    def accept(self, description: SessionDescription, bundle: Bundle | None = None) -> Planned:
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
            video=_accepted(self._video, description, bundle),
            content=_accepted(self._slides, description, bundle),
            floor=floor,
            floor_place=place,
            tiles=self._tiles.accept(description, bundle),
        )

    def refused(self) -> None:
        """Our offer was: what was in force stays."""
        self._video.refused()
        self._slides.refused()
        self._tiles.refused()
        self._floor_offered = None

    def commit(self, planned: Planned) -> None:
        """It is in force."""
        self._video.commit(planned.video)
        self._slides.commit(planned.content)
        self._tiles.commit(planned.tiles, offered=planned.answers)
        self.floor = planned.floor if planned.content is not None else None
        if planned.floor_place is not None:
            self._floor_place = planned.floor_place


def _places(description: SessionDescription, shared: Collection[int]) -> tuple[list[int], list[int]]:
    """Of the m-lines of pictures, and of those of what is shown; without tiles.

    Args:
        shared: those on the voice's transport.
    """
    main: list[int] = []
    slides: list[int] = []
    tiles = tile_line.places(description, shared)
    for place, each in enumerate(description.media):
        if is_video(each) and place not in tiles:
            (slides if is_content(description, each) else main).append(place)
    return main, slides


def _accepted(stream: VideoStream, description: SessionDescription, bundle: Bundle | None) -> Answered | None:
    """None too for an answer that can't be used: the call goes on without a picture."""
    try:
        return stream.accept(description, bundle)
    except Unacceptable:
        return None
