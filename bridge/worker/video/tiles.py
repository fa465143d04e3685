"""What each tile shows: whose pictures, and in which of the layers that he sends, by what the receiver's path bears.

The tiles of one receiver share a transport, and so what that bears. Each is given its smallest layer first, then they
are raised one after the other, whoever speaks before the others.
"""

from __future__ import annotations

from collections.abc import Iterable
from dataclasses import dataclass, field
from typing import TYPE_CHECKING, Final

import numpy as np
from numpy.typing import NDArray

from bridge.media.video.forward import NONE

from ..protocol_video import SetTile, SetVideoStream, TileShows
from ..table import NO_ADDRESS
from .forwarding import LAYERS, NOT_TAKEN, Forwarding, source_of
from .room import VideoRoom, key_of
from .simulcast import ENOUGH, GONE

if TYPE_CHECKING:
    from .beat import VideoBeat

PLANNED: Final = 0.5
"""Seconds after which all is looked at anew: time alone changes what is there (a stalled sender, a wider path)."""
SOON: Final = 0.05
"""Seconds between two looks, whatever happens: a crowd that comes must not make one for each."""
STALLED: Final = 2.0
"""Seconds without a packet after which a tile shows nothing, as in the composed picture."""
RECENT: Final = 8
"""Speakers of a room that are remembered."""
WINDOW: Final = 1.0
"""Seconds over which the rates of what comes in are measured."""
SURE: Final = 0.85
"""Of what the path bears, that may be filled by raising a layer: estimates are rough, keyframes are large."""
SETTLE: Final = 5.0
"""Seconds after a step down until the next one up."""
LOOSEN: Final = 1.3
"""How much larger a tile must become than what its layer is good for, until the next layer is taken: a window that is
dragged to and fro must not cost keyframes."""
TRUSTED: Final = 5.0
"""Seconds for which a REMB holds: it comes each second or so (draft-alvestrand-rmcat-remb-03)."""
TELL_AGAIN: Final = 0.5
"""Seconds between two words about one tile, after the first few: a sender who begins anew all the time must not occupy
control."""
FEW: Final = 4.0
"""Words about one tile at once."""
FULL, CALM = 0.8, 0.5
"""Shares of the beat's thread above which layers are lowered, and below which they may rise again."""
RELIEVED: Final = 10.0
"""Seconds that it must be calm before they do."""
MOST_EASED: Final = 4
UNKNOWN_BITS: Final = 500_000.0
"""Bits a second of a layer whose rate is not measured yet."""
LEAST_HEIGHT: Final = 90


@dataclass(slots=True)
class Layer:
    source: int
    bits: float
    height: float


@dataclass(slots=True)
class Offer:
    """What one sender sends."""

    row: int
    participant: int
    layers: list[Layer]
    """Those that come, the smallest first; empty: it stalled."""
    kinds: set[int]


@dataclass(slots=True)
class Tile:
    row: int
    spec: SetTile
    offer: Offer | None = None
    reason: str = "absent"
    told: tuple[int, str] = (0, "")
    told_at: float = float("-inf")
    words: float = FEW
    """That may be said at once."""
    layer: Layer | None = None
    level: int = -1


@dataclass(slots=True)
class Path:
    """The way to one receiver."""

    remb: tuple[float, float] = (float("inf"), float("-inf"))
    """Bits a second, and when he said so."""
    lowered: float = float("-inf")
    spent: float = 0.0
    """Bits a second of what his tiles were given."""
    rows: list[int] = field(default_factory=list)


class Tiles:
    """All tiles of a worker."""

    def __init__(self, beat: VideoBeat, forwarding: Forwarding) -> None:
        self._beat, self._forwarding = beat, forwarding
        self.tiles: dict[int, Tile] = {}
        """By row."""
        self._paths: dict[int, Path] = {}
        """By the row that stands for the transport."""
        self._spoke: dict[int, list[int]] = {}
        """By room, the latest first."""
        self._planned = self._measured = float("-inf")
        self.dirty = False
        self.eased = 0
        """Layers that every tile is below what it could have, for want of processor time."""
        self._eased_at = float("-inf")
        self._octets = beat.table.octets.copy()
        self._bits: NDArray[np.float64] = np.zeros(len(self._octets))
        """(rows,) bits a second that came in."""

    # ------------------------------------------------------------------------------------- what is told

    def set(self, row: int, spec: SetTile) -> None:
        tile = self.tiles.get(row)
        if tile is None:
            self.tiles[row] = Tile(row, spec)
        else:
            tile.spec = spec
        self.dirty = True

    def drop(self, row: int) -> None:
        self.tiles.pop(row, None)
        self._paths.pop(row, None)
        self.dirty = True

    def spoke(self, room: int, participant: int) -> None:
        """The audio's word of who speaks."""
        if participant:
            known = self._spoke.setdefault(room, [])
            if participant in known:
                known.remove(participant)
            known.insert(0, participant)
            del known[RECENT:]
        self.dirty = True

    def drop_room(self, room: int) -> None:
        self._spoke.pop(room, None)
        self.dirty = True

    def remb(self, row: int, bits: float, now: float) -> None:
        """A receiver told what it can receive in all."""
        path = self._paths.get(int(self._beat.table.transport[row]))
        if path is not None:
            self.dirty |= bits < path.spent
            path.remb = (bits, now)

    def limit(self, row: int, now: float) -> float:
        """Bits a second that the path of a row's transport bears; inf: nothing is known that limits it."""
        row = int(self._beat.table.transport[row])
        bits, when = self._paths[row].remb if row in self._paths else (float("inf"), now)
        return min(bits if now - when < TRUSTED else float("inf"), self._beat.congestion.limit(row))

    def spent(self, row: int) -> float:
        """Bits a second that the tiles of a row's transport were given."""
        path = self._paths.get(int(self._beat.table.transport[row]))
        return path.spent if path is not None else 0.0

    def rid(self, row: int) -> tuple[str, int]:
        """The layer that a tile is sent, and its height."""
        source = int(self._forwarding.forwarder.source[row])
        if source == NONE:
            return "", 0
        simulcast = self._beat.simulcasts.get(source // LAYERS)
        if simulcast is None or source % LAYERS >= len(simulcast.specs):
            return "", 0
        return simulcast.specs[source % LAYERS].rid, int(simulcast.height(source % LAYERS))

    # ------------------------------------------------------------------------------------- choice

    def step(self, now: float) -> None:
        """Look at all, if something may have changed."""
        since = now - self._planned
        if self._forwarding.turned and since >= SOON:
            self._forwarding.turned = False
            self.tell(now)
        if since < SOON or not (self.dirty or since >= PLANNED) or not (self.tiles or self.dirty):
            return
        self._planned, self.dirty = now, False
        self._measure(now)
        offers: dict[int, Offer] = {}
        paths: dict[int, list[Tile]] = {}
        transports = self._beat.table.transport
        for tile in self.tiles.values():  # some microseconds each, twice a second
            self._pick(tile, offers, now)
            paths.setdefault(int(transports[tile.row]), []).append(tile)
        for row in [row for row in self._paths if row not in paths]:
            del self._paths[row]
        for row, tiles in paths.items():
            self._share(row, tiles, now)
        forwarder = self._forwarding.forwarder
        for tile in self.tiles.values():
            wanted = tile.layer.source if tile.layer is not None else NONE
            if forwarder.wanted[tile.row] != wanted:
                forwarder.watch(tile.row, wanted)
        self._forwarding.settle()
        self.tell(now)

    def busy(self, share: float, now: float) -> None:
        """Once a second: what part of its time the beat's thread works."""
        if share > FULL and self.tiles and self.eased < MOST_EASED:
            self.eased, self._eased_at, self.dirty = self.eased + 1, now, True
        elif share > CALM:
            self._eased_at = now
        elif self.eased and now - self._eased_at >= RELIEVED:
            self.eased, self._eased_at, self.dirty = self.eased - 1, now, True

    def tell(self, now: float) -> None:
        """Say what tiles show, where that has changed."""
        table, sources = self._beat.table, self._forwarding.forwarder.source
        for tile in self.tiles.values():
            source = int(sources[tile.row])
            if source != NONE and tile.reason != "stalled":
                spec = table.specs.get(int(table.stream[source // LAYERS]))
                told = (participant_of(spec), "") if spec is not None else (0, "absent")
            else:
                told = (0, tile.reason or "waiting")
            if told == tile.told:
                continue
            tile.words = min(tile.words + (now - tile.told_at) / TELL_AGAIN, FEW)
            tile.told_at = now
            if tile.words >= 1:
                tile.told, tile.words = told, tile.words - 1
                self._beat.emit(TileShows(tile.spec.stream, *told))

    def _measure(self, now: float) -> None:
        """The rates of all that comes in."""
        passed, octets = now - self._measured, self._beat.table.octets
        if passed >= WINDOW:
            self._bits = 8.0 * (octets - self._octets) / max(min(passed, 60.0), 0.001)
            self._octets, self._measured = octets.copy(), now

    def _pick(self, tile: Tile, offers: dict[int, Offer], now: float) -> None:
        """Whose pictures it is to show; none, and why."""
        spec, table = tile.spec, self._beat.table
        room = self._beat.rooms.get(spec.room)
        offer, tile.reason = None, "absent"
        if spec.paused:
            tile.reason = "paused"
        elif room is not None and self._reachable(tile.row):
            if spec.content or spec.participant:
                row = self._row_of(room, spec)
                offer = self._offer(row, offers, now) if row >= 0 else None
            else:
                offer = self._speaker(room, tile, offers, now)
        if offer is not None and not self._takes(tile.row, offer):
            offer, tile.reason = None, "format"
        if offer is not None:
            tile.reason = "" if offer.layers else "stalled"
            if not offer.layers and not table.heard[offer.row]:
                tile.reason = "waiting"
        if offer is None or tile.offer is None or offer.row != tile.offer.row:
            tile.level = -1
        tile.offer = offer

    def _reachable(self, row: int) -> bool:
        table = self._beat.table
        return bool(table.latch[row] != NO_ADDRESS and table.names[row].any()) and not (
            table.keyed[row] and not table.secure_out[row]
        )

    @staticmethod
    def _row_of(room: VideoRoom, spec: SetTile) -> int:
        if not spec.content:
            found = room.streams.get(spec.participant)
            return found[0] if found else -1
        whose = spec.participant or room.spec.presenting
        return next((row for row, each in room.streams.values() if each.content and each.participant == whose), -1)

    def _speaker(self, room: VideoRoom, tile: Tile, offers: dict[int, Offer], now: float) -> Offer | None:
        """Whoever speaks, or spoke before, and is not the receiver; somebody as long as nobody has."""
        found: Offer | None = None
        spoke = self._spoke.get(room.spec.room, ())
        for who in self._candidates(room, tile, spoke):
            if who == tile.spec.owner or who not in room.streams:
                continue
            offer = self._offer(room.streams[who][0], offers, now)
            if offer is None or not self._takes(tile.row, offer):
                continue
            if offer.layers:
                return offer
            found = found or offer
        return found

    @staticmethod
    def _candidates(room: VideoRoom, tile: Tile, spoke: Iterable[int]) -> Iterable[int]:
        yield from spoke
        if tile.offer is not None:
            yield tile.offer.participant
        for key, (_, spec) in room.streams.items():
            if not spec.content:
                yield key

    def _takes(self, row: int, offer: Offer) -> bool:
        types = self._forwarding.types[row]
        return any(types[kind] != NOT_TAKEN for kind in offer.kinds)

    def _offer(self, row: int, offers: dict[int, Offer], now: float) -> Offer | None:
        """What a row sends; none: nothing that can be sent on."""
        known = offers.get(row)
        if known is not None:
            return known
        table, forwarding = self._beat.table, self._forwarding
        if not table.live[row] or table.simulated[row]:
            return None
        spec = table.specs[int(table.stream[row])]
        simulcast = self._beat.simulcasts.get(row)
        layers = []
        for n in range(min(len(simulcast.specs), LAYERS) if simulcast else 1):
            source = source_of(row, n)
            if simulcast is not None:
                alive, bits, height = now - simulcast.heard(n) < GONE, simulcast.bits(n), simulcast.height(n)
            else:
                alive = bool(table.heard[row]) and now - table.arrived[row] < STALLED
                bits, height = max(float(self._bits[row]), 0.0), 0.0
            if alive:
                layers.append(Layer(source, bits or UNKNOWN_BITS, height))
        layers.sort(key=lambda layer: layer.height)
        latest = {int(forwarding.kind[layer.source]) for layer in layers} - {0}
        offer = offers[row] = Offer(row, participant_of(spec), layers, latest or forwarding.kinds_of(row))
        return offer

    # ------------------------------------------------------------------------------------- how much

    def _share(self, row: int, tiles: list[Tile], now: float) -> None:
        """Give each of one receiver's tiles the layer that fits it, and all together what their path bears."""
        path = self._paths.setdefault(row, Path())
        shown = [tile for tile in tiles if tile.offer is not None and tile.offer.layers]
        for tile in tiles:
            if tile in shown:
                continue
            # One that stalled goes on where it stood: what comes again follows on what was sent.
            if tile.offer is None or tile.layer is None or tile.layer.source // LAYERS != tile.offer.row:
                tile.layer = None
        budget = self._budget(row, now)
        levels = {tile.row: self._top(tile) for tile in shown}
        if sum(_bits(tile, levels[tile.row]) for tile in shown) > (budget if np.isinf(budget) else SURE * budget):
            levels = self._fitted(path, shown, levels, budget, now)
        path.spent = 0.0
        for tile in shown:
            level = levels[tile.row]
            assert tile.offer is not None
            if level < 0:
                tile.layer, tile.level, tile.reason = None, -1, "path"
                continue
            if level < tile.level and not np.isinf(budget):
                path.lowered = now
            tile.layer, tile.level = tile.offer.layers[level], level
            path.spent += tile.layer.bits
            self._beat.fanout.history.limit(np.array([tile.row]), max(tile.layer.bits, UNKNOWN_BITS))

    def _budget(self, row: int, now: float) -> float:
        """Bits a second for a receiver's tiles: what is left by the composed picture, but half in any case."""
        limit = self.limit(row, now)
        composed = sum(viewer.climber.sending for viewer in self._beat.viewers_of(row))
        return max(limit - composed, limit / 2)

    def _top(self, tile: Tile) -> int:
        """The layer that a tile would have if its path bore anything."""
        assert tile.offer is not None
        layers, spec = tile.offer.layers, tile.spec
        top = len(layers) - 1
        if spec.max_height:
            needed = ENOUGH * max(spec.max_height, LEAST_HEIGHT)
            top = next((n for n, layer in enumerate(layers) if layer.height >= needed), top)
            if 0 <= tile.level < top and layers[tile.level].height * LOOSEN >= needed:
                top = tile.level
        first = spec.content or not spec.participant
        top = max(top - max(self.eased - first, 0), 0)
        while spec.max_bitrate and top > 0 and layers[top].bits > spec.max_bitrate:
            top -= 1
        return top

    def _fitted(self, path: Path, shown: list[Tile], tops: dict[int, int], budget: float, now: float) -> dict[int, int]:
        """Levels that the budget bears; -1: not even the smallest layer fits."""
        shown = sorted(shown, key=_rank)
        levels = {tile.row: -1 for tile in shown}
        spent = 0.0
        may_rise = now - path.lowered >= SETTLE
        for level in range(max(tops.values()) + 1):
            for n, tile in enumerate(shown):
                if levels[tile.row] != level - 1 or level > tops[tile.row]:
                    continue
                more = _bits(tile, level) - (_bits(tile, level - 1) if level else 0.0)
                rises = level > tile.level
                if rises and not may_rise and tile.level >= 0:
                    continue
                first = n == 0 and level == 0  # one picture there is, as long as there is a path
                if not first and spent + more > (SURE * budget if rises else budget):
                    continue
                levels[tile.row] = level
                spent += more
        return levels


def _rank(tile: Tile) -> tuple[bool, bool, int, int]:
    """Slides first, then whoever speaks, then the larger tiles."""
    spec = tile.spec
    return not spec.content, spec.participant != 0, -(spec.max_height or 10_000), spec.stream


def _bits(tile: Tile, level: int) -> float:
    assert tile.offer is not None
    return tile.offer.layers[level].bits


def participant_of(spec: SetVideoStream) -> int:
    """Whose pictures a stream's are."""
    return spec.participant or (spec.stream if spec.content else key_of(spec))
