"""Geometry of the composed picture: how many tiles, where, how large. No pixel, no clock, no participant.

A tile's rectangle holds its frame: the picture lies inside it, and where there is no frame to be seen the same strip is
the gap between pictures. So a frame comes and goes without touching a picture, and tiles need no gaps between them.

All numbers are even: an I420 chroma sample covers two by two pixels.
"""

from __future__ import annotations

import functools
import math
from collections.abc import Sequence
from dataclasses import dataclass
from enum import StrEnum

MOST_TILES = 25
"""Pictures in a grid: smaller than a fifth of the canvas a face tells nothing."""
STRIP_TILES = 5
"""Pictures in a strip beside 16:9: five of its own shape are as high as it with the strip's width."""
MOST_CROPPED = 0.3
"""Share of a picture that filling a tile may cost: 4:3 fills 16:9 (a quarter), a portrait telephone does not."""
HEADROOM = 0.3
"""Of what is cut off a picture's height, so much is cut above."""
WIDE, NARROW = 16 / 9, 4 / 3
"""A grid's tiles are between these, whichever leaves the least canvas empty."""
SMALLEST = 64
"""Pixels of canvas, in either direction, below which nothing is laid out."""
LARGEST = 4096
LONGEST = 3
"""Times as long one way as the other, beyond which nothing is laid out."""


class Kind(StrEnum):
    """A layout."""

    SINGLE = "single"
    """Whoever speaks, alone."""
    STRIP = "strip"
    """Whoever speaks, large, and others in a strip beside him."""
    GRID = "grid"
    """Everybody alike."""
    SIDE_BY_SIDE = "side-by-side"
    """The two who spoke last."""
    PRESENTATION = "presentation"
    """What is shown, large, and people in a strip beside it."""
    FIXED = "fixed"
    """Places that the host has drawn."""
    WAITING = "waiting"
    """Nobody else is there: a few words, and the caller's own picture so that he sees that he is seen."""


class Role(StrEnum):
    """What a tile is for."""

    LARGE = "large"
    SMALL = "small"
    SLIDES = "slides"
    """Content, never cropped."""
    RESERVED = "reserved"
    """Somebody who stays in view whoever speaks: the sign-language interpreter."""


class Fit(StrEnum):
    """What is done about a picture whose shape is not its tile's."""

    CROP = "crop"
    """Fill the tile, at the cost of at most :data:`MOST_CROPPED` of the picture; bars for what is then left."""
    LETTERBOX = "letterbox"
    """Show all of it, with bars."""


@dataclass(frozen=True, slots=True)
class Rect:
    """Pixels from the canvas's upper left corner."""

    x: int
    y: int
    w: int
    h: int

    @property
    def right(self) -> int:
        return self.x + self.w

    @property
    def bottom(self) -> int:
        return self.y + self.h

    def inset(self, by: int) -> Rect:
        """The same without a strip of that many pixels all around."""
        return Rect(self.x + by, self.y + by, max(self.w - 2 * by, 0), max(self.h - 2 * by, 0))

    def overlaps(self, other: Rect) -> bool:
        return self.x < other.right and other.x < self.right and self.y < other.bottom and other.y < self.bottom

    def holds(self, other: Rect) -> bool:
        return self.x <= other.x and self.y <= other.y and self.right >= other.right and self.bottom >= other.bottom


@dataclass(frozen=True, slots=True)
class Place:
    """A tile that the host has drawn, in parts of the canvas: 0 to 1 from the upper left corner.

    Raises:
        ValueError: it is not on the canvas, or has no size.
    """

    x: float
    y: float
    w: float
    h: float
    fit: Fit = Fit.CROP

    def __post_init__(self) -> None:
        inside = 0 <= self.x < 1 and 0 <= self.y < 1 and self.x + self.w <= 1.000001 and self.y + self.h <= 1.000001
        if not (inside and self.w >= 0.05 and self.h >= 0.05):  # nan fails too
            raise ValueError(f"no place on the canvas: {self.x} {self.y} {self.w} {self.h}")


@dataclass(frozen=True, slots=True)
class Tile:
    """A place on the canvas."""

    rect: Rect
    """With the frame."""
    inner: Rect
    """Where the picture is."""
    role: Role
    z: int
    """Higher ones lie over lower ones."""
    fit: Fit
    frame: int
    """Thickness in pixels; 0 where no frame is drawn."""
    label: Rect | None
    """Where the name may be, at its longest; nothing over content and in tiles too small to read."""


@dataclass(frozen=True, slots=True)
class Layout:
    """A canvas laid out."""

    size: tuple[int, int]
    tiles: tuple[Tile, ...]
    """People first (the large one before the strip), then slides, then the reserved tile."""
    title: Rect | None
    """The bar at the top for the room's title and the logo."""
    message: Rect | None
    """Where words to whoever waits go."""


def even(value: float) -> int:
    """The nearest even number."""
    return 2 * round(value / 2)


def text_height(height: int) -> int:
    """Pixels of letters in a tile of that height; 0 if it is too small for any.

    A fourteenth of a small tile is read from as far as its picture is looked at, of a large one it would only cover the
    picture; below 11 pixels accents run together.
    """
    if height < 56:
        return 0
    return max(round(min(height / 14, 10 + height / 36)), 11)


def capacity(kind: Kind, places: int = 0) -> int:
    """How many people a layout shows at most, the reserved tile not counted."""
    return {
        Kind.SINGLE: 1,
        Kind.STRIP: 1 + STRIP_TILES,
        Kind.GRID: MOST_TILES,
        Kind.SIDE_BY_SIDE: 2,
        Kind.PRESENTATION: STRIP_TILES,
        Kind.FIXED: min(places, MOST_TILES),
        Kind.WAITING: 1,
    }[kind]


@functools.lru_cache(maxsize=512)
def lay_out(
    width: int,
    height: int,
    kind: Kind,
    people: int,
    *,
    slides: bool = False,
    reserved: bool = False,
    titled: bool = False,
    places: tuple[Place, ...] = (),
) -> Layout:
    """The tiles of a layout.

    Args:
        people: pictures of people, the reserved one not counted; more than :func:`capacity` are not shown.
        slides: there is content: it has the large tile whatever the layout.
        titled: with a bar at the top.
        places: for :attr:`Kind.FIXED`, one for each of ``people``; later ones lie over earlier ones.

    Raises:
        ValueError: a canvas of no sensible or of odd size.
    """
    small, large = min(width, height), max(width, height)
    if not (small >= SMALLEST and large <= min(LARGEST, small * LONGEST)) or width % 2 or height % 2:
        raise ValueError(f"no canvas of {width}x{height}")
    if slides:
        kind = Kind.PRESENTATION
    elif kind is Kind.PRESENTATION:
        kind = Kind.STRIP
    people = min(max(people, 0), capacity(kind, len(places)))
    bar = Rect(0, 0, width, even(max(small / 16, 18))) if titled else None
    area = Rect(0, bar.h, width, height - bar.h) if bar else Rect(0, 0, width, height)
    frame = max(even(small / 180), 2)
    draw = _Drawing(area, frame, reserved)
    tiles = _DRAWN[kind](draw, people, places)
    return Layout((width, height), tuple(tiles), bar, draw.message)


@dataclass(slots=True)
class _Drawing:
    area: Rect
    frame: int
    reserved: bool
    message: Rect | None = None

    def tile(self, rect: Rect, role: Role, *, fit: Fit = Fit.CROP, z: int = 0, framed: bool = True) -> Tile:
        frame = self.frame if framed else 0
        inner = rect.inset(frame)
        letters = text_height(inner.h)
        label = None
        if letters and inner.w >= 4 * letters and role is not Role.SLIDES:
            high = even(letters * 1.5)
            label = Rect(inner.x, inner.bottom - high, inner.w // 2 * 2, high)
        return Tile(rect, inner, role, z, fit, frame, label)

    def column(self, share: float) -> tuple[Rect, Rect]:
        """The area without a column at the right (at the bottom of an upright canvas: a row), and that."""
        x, y, w, h = self.area.x, self.area.y, self.area.w, self.area.h
        if w < h:
            high = even(h * share)
            return Rect(x, y, w, h - high), Rect(x, y + h - high, w, high)
        wide = even(w * share)
        return Rect(x, y, w - wide, h), Rect(x + w - wide, y, wide, h)


def shaped(area: Rect, aspect: float) -> Rect:
    """The largest rectangle of a shape in an area, in its middle."""
    w, h = area.w, area.w / aspect
    if h > area.h:
        w, h = area.h * aspect, area.h  # type: ignore[assignment]
    return centred(area, min(even(w), area.w), min(even(h), area.h))


def centred(area: Rect, w: int, h: int) -> Rect:
    return Rect(area.x + (area.w - w) // 4 * 2, area.y + (area.h - h) // 4 * 2, w, h)


def grid(area: Rect, count: int, *, columns: int = 0) -> list[Rect]:
    """Alike tiles as large as they can be, in rows; the last row is in the middle.

    Args:
        columns: so many, instead of as many as leave the most to see.
    """
    if count <= 0:
        return []
    best: tuple[float, int, int, int] = (-1.0, 0, 0, 0)
    for across in [columns] if columns else range(1, count + 1):
        down = math.ceil(count / across)
        wide, high = area.w // across // 2 * 2, area.h // down // 2 * 2
        if wide > high * WIDE:
            wide = min(even(high * WIDE), wide)
        elif wide < high * NARROW:
            high = min(even(wide / NARROW), high)
        best = max(best, (wide * high, -down, wide, high))
    _, rows, wide, high = best
    rows = -rows
    across = columns or math.ceil(count / rows)
    top = area.y + (area.h - rows * high) // 4 * 2
    rects = []
    for row in range(rows):
        here = min(across, count - row * across)
        left = area.x + (area.w - here * wide) // 4 * 2
        rects += [Rect(left + i * wide, top + row * high, wide, high) for i in range(here)]
    return rects


def _strip(draw: _Drawing, column: Rect, people: int) -> list[Tile]:
    """Small tiles down a column, one below the other or, if that leaves them too low, in pairs."""
    wide = column.w
    if column.h > wide and even(wide / WIDE) * people <= column.h:
        high = even(wide / WIDE)
        top = column.y + (column.h - high * people) // 4 * 2
        return [draw.tile(Rect(column.x, top + i * high, wide, high), Role.SMALL) for i in range(people)]
    return [draw.tile(rect, Role.SMALL) for rect in grid(column, people)]


def _beside(draw: _Drawing, people: int, share: float) -> tuple[Rect, list[Tile]]:
    """The area left of a strip; the strip's tiles and, above them, the reserved one (last in the list)."""
    if not people and not draw.reserved:
        return draw.area, []
    left, column = draw.column(max(share, 0.27) if draw.reserved else share)
    if not draw.reserved:
        return left, _strip(draw, column, people)
    if not people:
        return left, [draw.tile(shaped(column, NARROW), Role.RESERVED)]
    x, y, w, h = column.x, column.y, column.w, column.h
    if w > h:
        wide = min(even(h * NARROW), even(w * 0.6))
        first, rest = Rect(x, y, wide, h), Rect(x + wide, y, w - wide, h)
    else:
        high = min(even(w / NARROW), even(h * 0.6))
        first, rest = Rect(x, y, w, high), Rect(x, y + high, w, h - high)
    return left, [*_strip(draw, rest, people), draw.tile(first, Role.RESERVED)]


def _single(draw: _Drawing, people: int, places: tuple[Place, ...]) -> list[Tile]:
    left, rest = _beside(draw, 0, 0.2)
    if not people:
        return rest
    framed = bool(rest)
    rect = shaped(left, WIDE) if framed else left
    return [draw.tile(rect, Role.LARGE, fit=Fit.LETTERBOX, framed=framed), *rest]


def _with_strip(draw: _Drawing, people: int, places: tuple[Place, ...]) -> list[Tile]:
    if people <= 1:
        return _single(draw, people, places)
    left, rest = _beside(draw, people - 1, 0.2)
    return [draw.tile(shaped(left, WIDE), Role.LARGE, fit=Fit.LETTERBOX), *rest]


def _grid(draw: _Drawing, people: int, places: tuple[Place, ...]) -> list[Tile]:
    left, rest = _beside(draw, 0, 0.2)
    if people == 1 and not rest:
        return _single(draw, people, places)
    return [*(draw.tile(rect, Role.SMALL) for rect in grid(left, people)), *rest]


def _side_by_side(draw: _Drawing, people: int, places: tuple[Place, ...]) -> list[Tile]:
    left, rest = _beside(draw, 0, 0.2)
    if people == 1:
        return _single(draw, people, places)
    return [*(draw.tile(rect, Role.LARGE) for rect in grid(left, people, columns=people)), *rest]


def _presentation(draw: _Drawing, people: int, places: tuple[Place, ...]) -> list[Tile]:
    left, rest = _beside(draw, people, 0.2)
    framed = bool(rest)
    large = draw.tile(left, Role.SLIDES, fit=Fit.LETTERBOX, framed=framed)
    reserved = len(rest) - draw.reserved
    return [*rest[:reserved], large, *rest[reserved:]]


def _fixed(draw: _Drawing, people: int, places: tuple[Place, ...]) -> list[Tile]:
    """As drawn; the reserved tile lies over the lower right corner."""
    area, tiles, least = draw.area, [], 2 * draw.frame + 8
    for z, place in enumerate(places[:people]):
        x = min(even(place.x * area.w), area.w - least)
        y = min(even(place.y * area.h), area.h - least)
        right = max(min(even((place.x + place.w) * area.w), area.w), x + least)
        bottom = max(min(even((place.y + place.h) * area.h), area.h), y + least)
        rect = Rect(area.x + x, area.y + y, right - x, bottom - y)
        tiles.append(draw.tile(rect, Role.SMALL, fit=place.fit, z=z))
    if draw.reserved:
        wide = even(max(area.w, area.h) * 0.27)
        high = even(wide / NARROW)
        corner = Rect(area.right - wide, area.bottom - high, wide, high)
        tiles.append(draw.tile(corner, Role.RESERVED, z=len(tiles)))
    return tiles


def _waiting(draw: _Drawing, people: int, places: tuple[Place, ...]) -> list[Tile]:
    area = draw.area
    words = even(area.h / 5)
    if not people and not draw.reserved:
        draw.message = Rect(area.x, area.y + (area.h - words) // 4 * 2, area.w, words)
        return []
    draw.message = Rect(area.x, area.bottom - words, area.w, words)
    above = Rect(area.x, area.y, area.w, area.h - words)
    room = Rect(area.x, area.y, area.w, even(above.h * 0.8))
    room = Rect(area.x, area.y + (above.h - room.h) // 2 // 2 * 2, area.w, room.h)
    rects = grid(room, people + draw.reserved)
    roles = [Role.SMALL] * people + [Role.RESERVED] * draw.reserved
    return [draw.tile(rect, role) for rect, role in zip(rects, roles, strict=True)]


_DRAWN = {
    Kind.SINGLE: _single,
    Kind.STRIP: _with_strip,
    Kind.GRID: _grid,
    Kind.SIDE_BY_SIDE: _side_by_side,
    Kind.PRESENTATION: _presentation,
    Kind.FIXED: _fixed,
    Kind.WAITING: _waiting,
}


@dataclass(frozen=True, slots=True)
class Fitted:
    """How a picture lies in its tile."""

    crop: Rect
    """Of the picture as it was sent, before it is turned; even offsets."""
    target: Rect
    """Of the canvas."""


@functools.lru_cache(maxsize=1024)
def fitted(width: int, height: int, inner: Rect, fit: Fit, *, turn: int = 0, pixel: float = 1.0) -> Fitted:
    """Where a picture of a size goes.

    Args:
        turn: degrees clockwise by which it must be turned to be upright: 0, 90, 180 or 270.
        pixel: width of its pixels by their height: 12/11 for CIF.
    """
    across, down = (height, width * pixel) if turn % 180 else (width * pixel, height)
    aspect, wanted = across / down, inner.w / inner.h
    keep_w = keep_h = 1.0  # of the upright picture
    if fit is Fit.CROP:
        if aspect > wanted:
            keep_w = max(wanted / aspect, 1 - MOST_CROPPED)
        else:
            keep_h = max(aspect / wanted, 1 - MOST_CROPPED)
    target = shaped(inner, aspect * keep_w / keep_h)
    if turn % 180:
        keep_w, keep_h = keep_h, keep_w
    w, h = max(round(width * keep_w), 1), max(round(height * keep_h), 1)
    # Heads are in the upper half, whichever edge of what was sent is up.
    left = {90: HEADROOM, 270: 1 - HEADROOM}.get(turn, 0.5)
    top = {0: HEADROOM, 180: 1 - HEADROOM}.get(turn, 0.5)
    crop = Rect(int((width - w) * left) // 2 * 2, int((height - h) * top) // 2 * 2, w, h)
    return Fitted(crop, _snapped(target, inner))


def _snapped(target: Rect, inner: Rect) -> Rect:
    """All of the tile if the bars would be a hair: they look like a mistake, the stretch is not seen."""
    x, w = (inner.x, inner.w) if inner.w - target.w <= max(inner.w * 0.02, 2) else (target.x, target.w)
    y, h = (inner.y, inner.h) if inner.h - target.h <= max(inner.h * 0.02, 2) else (target.y, target.h)
    return Rect(x, y, max(w, 2), max(h, 2))


def covered(tiles: Sequence[Tile]) -> tuple[tuple[int, ...], ...]:
    """For each tile which others lie over part of it, and must be painted again after it."""
    return tuple(
        tuple(j for j, over in enumerate(tiles) if over.z > tile.z and over.rect.overlaps(tile.rect)) for tile in tiles
    )
