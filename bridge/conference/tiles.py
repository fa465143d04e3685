"""Tiles: other participants' pictures as these made them, each in an m-line of a browser's call.

What a call has of them is negotiated; what they show its page chooses, at any time and apart from that. Here both
become what the video worker is told, which looks for the pictures in the tile's own room and nowhere else.
"""

from __future__ import annotations

from collections.abc import Callable, Mapping
from dataclasses import dataclass, field
from typing import Protocol

import structlog

from bridge.signalling.offer import Agreed, Negotiator
from bridge.signalling.tile_line import AgreedTile
from bridge.signalling.transport_line import Kind
from bridge.worker.protocol import Address, SendState, SrtpKey
from bridge.worker.protocol_video import (
    DropVideoStream,
    SetTile,
    TileShows,
    VideoCommand,
    VideoExtensions,
    VideoFormat,
)

log = structlog.get_logger("tiles")


@dataclass(frozen=True, slots=True)
class TileWish:
    """What a page wants to see in one of its tiles."""

    participant: int = 0
    """0: whoever speaks."""
    height: int = 0
    """Of the tile on the screen, in pixels; 0: whatever the path bears."""
    paused: bool = False
    """It is out of sight."""
    content: bool = False
    """What the participant shows; with 0 what is shown in the room."""


UNWANTED = TileWish(paused=True)
"""Nothing has been said of a tile yet."""


@dataclass(frozen=True, slots=True)
class Gallery:
    """All that a page wants to see."""

    wishes: Mapping[str, TileWish] = field(default_factory=dict)
    """By mid."""
    composed: bool = True
    """The composed picture too."""


COMPOSED = Gallery()
"""As calls begin."""


@dataclass(frozen=True, slots=True)
class Shown:
    """What a tile shows."""

    participant: int = 0
    """0: nobody."""
    reason: str = ""
    """Why nobody: a word of :class:`bridge.worker.protocol_video.TileShows`."""


@dataclass(slots=True)
class Tile:
    """One of a call's."""

    stream: int
    numbers: SendState
    """What we begin to send with: a description tells the SSRC."""
    told: SetTile | None = None
    shown: Shown = Shown()


class Sight(Protocol):
    """As :class:`.video.Sight` has them."""

    @property
    def room(self) -> int: ...
    @property
    def participant(self) -> int: ...


class Way(Protocol):
    """As :class:`.transports.Secured` has it."""

    @property
    def port(self) -> int: ...
    @property
    def carrier(self) -> int: ...
    @property
    def keys(self) -> tuple[SrtpKey, SrtpKey] | None: ...
    @property
    def remote(self) -> Address | None: ...


class Leg(Protocol):
    """A call's media, as far as it concerns tiles; see :class:`.leg.Leg`."""

    forwarding: bool
    tiles: dict[str, Tile]
    gallery: Gallery
    negotiator: Negotiator
    call: int
    stream: int
    cname: str
    proved: bool

    @property
    def sight(self) -> Sight: ...
    @property
    def transports(self) -> Mapping[Kind, Way]: ...
    @property
    def agreed(self) -> Agreed | None: ...


class Tiles:
    def __init__(
        self,
        limit: int,
        capacity: int,
        number: Callable[[], int],
        draw: Callable[[], SendState],
        send: Callable[[int, VideoCommand], None],
        max_bitrate: int,
    ) -> None:
        """
        Args:
            limit: tiles of one call; 0: there are none.
            capacity: those that one video worker holds.
            number: gives a stream number never given before.
            draw: numbers to begin to send with.
            send: to a video worker.
            max_bitrate: bit/s of one tile at most; 0: unlimited.
        """
        self.limit, self._capacity = limit, capacity
        self._number, self._draw, self._send, self._max_bitrate = number, draw, send, max_bitrate
        self._held: dict[int, int] = {}
        """Video worker -> tiles there."""
        self._by_stream: dict[int, tuple[Leg, str]] = {}

    # Calls

    def prepare(self, leg: Leg, worker: int, offer: bytes | None) -> None:
        """Have tiles for those of ``offer``, before it is answered; None: we offer what is agreed."""
        leg.forwarding = self.limit > 0 and "audio" in leg.transports
        if not leg.forwarding:
            return
        if offer is not None:
            mids = leg.negotiator.tiles(offer) if offer.count(b"m=video") > 1 else ()
        else:
            mids = tuple(tile.mid for tile in leg.agreed.tiles) if leg.agreed else ()
        for mid in mids[: self.limit]:
            if mid in leg.tiles or len(leg.tiles) >= 2 * self.limit:  # those that end with the answer are there still
                continue
            if self._held.get(worker, 0) >= self._capacity:
                log.warning("a call gets no tile", worker=worker, tiles=self._capacity)
                return
            tile = leg.tiles[mid] = Tile(self._number(), self._draw())
            self._held[worker] = self._held.get(worker, 0) + 1
            self._by_stream[tile.stream] = (leg, mid)

    def tell(self, leg: Leg, worker: int) -> None:
        """Describe the call's tiles to their video worker, if there is news; drop what is not agreed."""
        agreed = {each.mid: each for each in leg.agreed.tiles} if leg.agreed else {}
        for mid in [mid for mid in leg.tiles if mid not in agreed]:
            self._give_back(worker, leg.tiles.pop(mid))
        way = leg.transports.get("audio")
        if way is None:
            return
        for mid, tile in leg.tiles.items():
            spec = self._description(leg, way, tile, agreed[mid])
            if spec != tile.told:
                tile.told = spec
                self._send(worker, spec)

    def drop(self, leg: Leg, worker: int) -> None:
        """The call is over, or its pictures are elsewhere now."""
        for tile in leg.tiles.values():
            self._give_back(worker, tile)
        leg.tiles = {}

    def take_over(self, leg: Leg, there: Leg) -> None:
        """The call's tiles are those that ``there`` was given."""
        leg.tiles, there.tiles = there.tiles, {}
        for mid, tile in leg.tiles.items():
            self._by_stream[tile.stream] = (leg, mid)

    def _give_back(self, worker: int, tile: Tile) -> None:
        if tile.told is not None:
            self._send(worker, DropVideoStream(stream=tile.stream))
        self._held[worker] -= 1
        self._by_stream.pop(tile.stream, None)

    def _description(self, leg: Leg, way: Way, tile: Tile, agreed: AgreedTile) -> SetTile:
        wish = leg.gallery.wishes.get(agreed.mid, UNWANTED)
        send, receive = way.keys or (None, None)
        limits = [limit for limit in (agreed.max_bitrate, self._max_bitrate) if limit]
        feedback, ids = agreed.formats[0].feedback, agreed.extensions
        return SetTile(
            stream=tile.stream,
            room=leg.sight.room if leg.proved else 0,
            port=way.port,
            remote=way.remote,
            formats=tuple(VideoFormat(each.name, each.payload_type, each.fmtp, each.rtx) for each in agreed.formats),
            owner=leg.sight.participant,
            participant=wish.participant,
            content=wish.content,
            max_height=wish.height,
            paused=wish.paused,
            remote_rtcp=way.remote,
            bundle=way.carrier or leg.stream,
            keyed=True,
            srtp_send=send,
            srtp_receive=receive,
            mid=agreed.mid,
            extensions=VideoExtensions(
                transport_sequence=ids.transport_sequence, absolute_time=ids.absolute_time, mid=ids.mid
            ),
            transport_cc="transport-cc" in feedback,
            remb="goog-remb" in feedback,
            max_bitrate=min(limits, default=0),
            send_state=tile.numbers,
            cname=leg.cname,
        )

    # What they show

    def shows(self, event: TileShows) -> int:
        """A worker's word; the call whose tile it is, if that is news, else 0."""
        leg, mid = self._by_stream.get(event.stream, (None, ""))
        tile = leg.tiles.get(mid) if leg is not None else None
        shown = Shown(event.participant, event.reason)
        if leg is None or tile is None or tile.stream != event.stream or tile.shown == shown:
            return 0
        tile.shown = shown
        return leg.call
