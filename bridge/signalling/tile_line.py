"""Tiles of a call: m-lines by which a browser is sent other participants' pictures as these made them, one a line.

Every video m-line behind the call's first that shares the voice's transport (RFC 9143), is not for what is shown, and
in which the browser sends nothing, is one. Their formats are the browser's, under its numbers and in its order; which
of them is sent is whose picture it is.
"""

from __future__ import annotations

import itertools
from collections.abc import Collection, Iterator, Mapping, Sequence
from dataclasses import dataclass, replace

from . import header_extension, transport_line, video_codec
from .header_extension import Extensions
from .media_line import Unacceptable
from .sdp import Direction, Line, MediaDescription, SessionDescription, attribute
from .transport_line import Bundle, Carried
from .transport_parameters import Setup, TransportParameters
from .video_codec import VideoCapabilities, VideoEntry, VideoPayload
from .video_line import VideoLine, feedback_lines, format_lines, formats, is_content, is_video, read

FORWARDED = frozenset(("VP8", "VP9", "H264", "H265"))
"""What can be passed on as it came."""
FEEDBACK = ("nack", "nack pli", "ccm fir", "goog-remb", "transport-cc")
"""That a tile's receiver may give us."""
UNSENT = Direction.RECVONLY, Direction.INACTIVE
MOST = 32
"""Of a description, those in which nothing is wanted now included."""


@dataclass(frozen=True, slots=True)
class AgreedTile:
    """A tile in force in which we send."""

    mid: str
    formats: tuple[VideoPayload, ...]
    """Theirs, in their order; one at least."""
    extensions: Extensions
    max_bitrate: int
    """bit/s that they take at most; 0: they don't say."""


@dataclass(frozen=True, slots=True)
class Tile:
    """One m-line."""

    place: int
    """Its number."""
    mid: str
    proto: str
    rsize: bool
    """They take RTCP of reduced size (RFC 5506)."""
    entries: tuple[VideoEntry, ...]
    extensions: Extensions
    max_bitrate: int
    direction: Direction
    """Ours: sendonly or inactive."""

    @property
    def numbers(self) -> tuple[int, ...]:
        """Payload types."""
        return tuple(number for entry in self.entries for number in (entry.number, entry.rtx) if number)

    @property
    def carried(self) -> Carried:
        return Carried("video", self.mid, self.numbers)

    def agreed(self, capabilities: VideoCapabilities, *, offered: bool) -> AgreedTile:
        """``offered``: the line is an offer of theirs."""
        payloads = (
            VideoPayload(
                entry.codec.name,
                entry.number,
                video_codec.sending(entry.codec, entry.fmtp, capabilities, offered=offered),
                entry.rtx,
                entry.feedback,
            )
            for entry in self.entries
        )
        return AgreedTile(self.mid, tuple(payloads), self.extensions, self.max_bitrate)


def places(description: SessionDescription, shared: Collection[int]) -> tuple[int, ...]:
    """Numbers of the m-lines that are tiles.

    Args:
        shared: those on the voice's transport.
    """
    pictures = [
        place
        for place, media in enumerate(description.media)
        if media.kind == "video" and not is_content(description, media)
    ]
    found = (
        place
        for place in pictures[1:]
        if place in shared
        and is_video(description.media[place])
        and description.direction_of(description.media[place]) in UNSENT
    )
    return tuple(itertools.islice(found, MOST))


class TileLines:
    """All of a call's, offer after offer."""

    def __init__(self, capabilities: VideoCapabilities) -> None:
        self._capabilities = capabilities
        self._tiles: tuple[Tile, ...] = ()
        self._offered: tuple[Tile, ...] = ()
        self.agreed: tuple[AgreedTile, ...] = ()

    @property
    def numbers(self) -> frozenset[int]:
        """Payload types that mean something on them."""
        return frozenset(number for tile in self._tiles for number in tile.numbers)

    @property
    def carried(self) -> tuple[Carried, ...]:
        return tuple(tile.carried for tile in self._tiles if tile.direction.sends)

    # Theirs

    def wanted(self, description: SessionDescription, shared: Collection[int]) -> tuple[str, ...]:
        """Mids of those in which an answer would send, those in force first, then those that come first."""
        read = (self._read(description, place) for place in places(description, shared))
        found = [tile.mid for tile in read if tile is not None and tile.direction.sends]
        sending = {tile.mid for tile in self._tiles if tile.direction.sends}
        return tuple(sorted(found, key=lambda mid: mid not in sending))

    def answer(
        self, description: SessionDescription, bundle: Bundle, sources: Mapping[str, int], cname: str
    ) -> dict[int, tuple[Tile, MediaDescription]]:
        """Our lines for theirs, by number; those left out are refused.

        Args:
            sources: SSRCs to send with, by mid. Lines that want pictures and have none are refused.
        """
        found: dict[int, tuple[Tile, MediaDescription]] = {}
        for place in places(description, bundle.places):
            tile = self._read(description, place)
            if tile is not None and (tile.mid in sources or not tile.direction.sends):
                found[place] = tile, self._line(tile, bundle.ours, (sources.get(tile.mid, 0), cname), answer=True)
        return found

    def _read(self, description: SessionDescription, place: int) -> Tile | None:
        """None: it can't be one."""
        media = description.media[place]
        direction = description.direction_of(media).reversed
        try:
            line = read(description, media, self._capabilities, dtls=True)
        except Unacceptable:
            return None
        entries = tuple(_forwarded(line))
        if not entries or line.transport is None or not line.mid:
            return None
        # Which way is up, and names of layers, are the sender's and not passed on.
        extensions = replace(line.extensions, orientation=0, rid=0, repaired_rid=0)
        return Tile(
            place, line.mid, line.proto, media.has("rtcp-rsize"), entries, extensions, line.max_bitrate, direction
        )

    # Ours

    def offer(
        self,
        media: list[MediaDescription],
        transport: TransportParameters,
        sources: Mapping[str, int],
        cname: str,
    ) -> None:
        """Put those in force among the m-lines of an offer; those without a source are inactive."""
        ours = replace(transport, setup=Setup.ACTPASS)
        self._offered = tuple(
            replace(tile, direction=Direction.SENDONLY if tile.mid in sources else Direction.INACTIVE)
            for tile in self._tiles
            if tile.place < len(media)
        )
        for tile in self._offered:
            media[tile.place] = self._line(tile, ours, (sources.get(tile.mid, 0), cname), answer=False)

    def accept(self, description: SessionDescription, bundle: Bundle | None) -> tuple[Tile, ...]:
        """What their answer to our last offer leaves of them."""
        found = []
        for tile in self._offered:
            if bundle is None or tile.place not in bundle.places or tile.place >= len(description.media):
                continue
            media = description.media[tile.place]
            if not is_video(media):
                continue
            theirs = self._read(description, tile.place)
            if theirs is not None and theirs.mid == tile.mid:
                found.append(replace(theirs, direction=theirs.direction.within(tile.direction)))
        return tuple(found)

    def refused(self) -> None:
        """Our offer was: what was in force stays."""
        self._offered = ()

    # Both

    def commit(self, tiles: Sequence[Tile], *, offered: bool) -> None:
        """They are in force. ``offered``: by an offer of theirs."""
        self._tiles = tuple(tiles)
        self.agreed = tuple(tile.agreed(self._capabilities, offered=offered) for tile in tiles if tile.direction.sends)

    def _line(
        self, tile: Tile, ours: TransportParameters, source: tuple[int, str], *, answer: bool
    ) -> MediaDescription:
        assert ours.address is not None
        lines = tuple(self._lines(tile, ours, source, answer=answer))
        return MediaDescription("video", ours.address[1], tile.proto, formats(tile.entries), lines)

    def _lines(self, tile: Tile, ours: TransportParameters, source: tuple[int, str], *, answer: bool) -> Iterator[Line]:
        for entry in tile.entries:
            # RFC 6184 §8.2.2: the profile of theirs, in their offer's or our own description of it.
            yield from format_lines(entry, video_codec.our_fmtp(entry.codec, self._capabilities, entry.fmtp))
        yield from feedback_lines(tile.entries, together=False)
        yield attribute("rtcp-mux")
        if tile.rsize:
            yield attribute("rtcp-rsize")
        yield from header_extension.lines(tile.extensions)
        yield attribute("mid", tile.mid)
        if tile.direction.sends:
            yield attribute("msid", f"tile-{tile.mid} tile-{tile.mid}-picture")
        yield from transport_line.lines(ours, candidates=False)
        if tile.direction.sends:
            yield from transport_line.sources(*source, again=any(entry.rtx for entry in tile.entries))
        yield attribute(tile.direction.value)


def _forwarded(line: VideoLine) -> Iterator[VideoEntry]:
    for entry in line.entries:
        if entry.codec.name in FORWARDED:
            yield replace(entry, feedback=tuple(what for what in entry.feedback if what in FEEDBACK))
