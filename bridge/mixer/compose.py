"""Scenes and pictures in, one composed picture out: every tile painted in its place, and only those that changed.

A tile is painted again when its picture has another number, when its label says something else, or after one that it
lies over. So a still picture costs next to nothing, and a moving one its scaling.
"""

from __future__ import annotations

from collections import OrderedDict
from collections.abc import Callable, Mapping
from dataclasses import dataclass
from typing import NamedTuple

import numpy as np

from .canvas import U8, Canvas, Colour, Planes, colour, crossed_microphone, disc, flat, stain
from .choose import Scene, Showing, Shown
from .layout import Layout, Rect, Tile, covered, even, fitted
from .scale import NumpyScaler, Scaler

Lettering = Callable[[str, int, int], U8]
"""``lettering(text, size of the em, greatest width)``: (h, w) alpha mask of one line, even, not to be written."""
PATCHES = 128
"""Labels kept ready: those of 25 tiles and of a hundred that come back, some 30 kB each."""

NOWHERE = Rect(0, 0, 0, 0)


class Palette(NamedTuple):
    """The colours of everything that is not a picture."""

    background: Colour = colour(30, 33, 40)
    bars: Colour = colour(12, 13, 16)
    card: Colour = colour(46, 50, 60)
    """Of a tile without a picture."""
    stalled: Colour = colour(94, 98, 108)
    """The disc of somebody whose pictures have stopped."""
    discs: tuple[Colour, ...] = (
        colour(42, 111, 151),
        colour(95, 82, 160),
        colour(33, 125, 107),
        colour(152, 76, 108),
        colour(156, 92, 45),
        colour(78, 112, 62),
    )
    """Of those who send none; by the name."""
    label: Colour = colour(20, 22, 27)
    letters: Colour = colour(240, 242, 245)
    faint: Colour = colour(176, 182, 194)
    """Titles and what is said to those who wait."""
    muted: Colour = colour(255, 112, 102)
    speaking: Colour = colour(255, 190, 60)
    """The frame: amber stands out of skin, walls and shirts, for the colour-blind too, who see its brightness."""


@dataclass(frozen=True, slots=True, eq=False)
class Picture:
    """A decoded picture. Its planes must stay as they are as long as it is given to the composer.

    Raises:
        ValueError: planes that don't belong together.
    """

    planes: Planes
    """(h, w) and twice (h/2, w/2), halves rounded up."""
    number: int
    """Another one for every picture of a source: the same number is not painted again."""
    turn: int = 0
    """Degrees clockwise that make it upright (3GPP TS 26.114 §7.4.5, the rotation of a telephone)."""
    pixel: float = 1.0
    """Width of a pixel by its height (12/11 for the CIF of H.261 and H.263)."""
    full_range: bool = False
    """Samples of 0 to 255 (libavcodec's "yuvj420p")."""

    def __post_init__(self) -> None:
        h, w = self.planes[0].shape
        half = ((h + 1) // 2, (w + 1) // 2)
        if not h or not w or self.planes[1].shape != half or self.planes[2].shape != half:
            raise ValueError(f"planes of {[plane.shape for plane in self.planes]}")
        if self.turn not in (0, 90, 180, 270) or not 0.1 <= self.pixel <= 10:
            raise ValueError(f"turned by {self.turn}, pixels of {self.pixel}")


@dataclass(slots=True)
class _Painted:
    """What is in a tile now."""

    content: tuple[object, ...] = ()
    kind: tuple[object, ...] | None = None
    """Size and shape of the picture in it; nothing if there is none. While it stays, so do the views below."""
    crop: Rect = NOWHERE
    into: Planes | None = None
    """Where on the canvas the picture goes, turned as it is."""
    named: tuple[str, bool] | None = None
    label: tuple[tuple[U8, U8], ...] = ()
    """Name and muted mark: parts of the canvas, and what is copied there."""
    framed: bool = False


class Composer:
    """One canvas and what is painted on it. For one thread at a time."""

    def __init__(
        self,
        width: int,
        height: int,
        *,
        scaler: Scaler | None = None,
        lettering: Lettering | None = None,
        logo: tuple[Planes, U8] | None = None,
        palette: Palette | None = None,
    ) -> None:
        """
        Args:
            scaler: numpy's if none is given.
            lettering: no text is shown if none is given.
            logo: planes and alpha mask (:func:`bridge.mixer.canvas.from_rgba`).

        Raises:
            ValueError: an odd size.
        """
        self.canvas = Canvas(width, height)
        self.number = 0
        """Another one whenever the canvas has changed."""
        self.painted = 0
        """Tiles painted so far."""
        self._scale = scaler or NumpyScaler()
        self._lettering = lettering
        self._logo = logo
        self._palette = palette or Palette()
        self._scene: Scene | None = None
        self._layout: Layout | None = None
        self._tiles: tuple[tuple[Tile, Shown | None], ...] = ()
        self._over: tuple[tuple[int, ...], ...] = ()
        self._state: list[_Painted] = []
        self._patches: OrderedDict[tuple[object, ...], Planes] = OrderedDict()

    def compose(self, scene: Scene, pictures: Mapping[int, Picture]) -> bool:
        """Bring the canvas up to date; whether anything on it changed.

        Args:
            pictures: the last one of each source, by key. Who has none there has a grey tile.
        """
        changed = self._lay_out(scene)
        again: set[int] = set()
        for i, (tile, shown) in enumerate(self._tiles):  # at most 26 tiles, lowest first
            picture = pictures.get(shown.who) if shown and shown.showing is Showing.PICTURE else None
            if self._tile(i, tile, shown, picture, i in again):
                again.update(self._over[i])
                changed = True
        self.number += changed
        return changed

    def _lay_out(self, scene: Scene) -> bool:
        """Clear the canvas if the geometry, the title or the message is another."""
        before, self._scene = self._scene, scene
        if scene is before or scene == before:
            return False
        width, height = self.canvas.width, self.canvas.height
        layout = scene.layout(width, height)
        self._tiles = scene.tiles(width, height)
        words = (scene.title, scene.message, scene.logo)
        if before is not None and layout == self._layout and words == (before.title, before.message, before.logo):
            return False
        self._layout, self._over = layout, covered(layout.tiles)
        self._state = [_Painted() for _ in layout.tiles]
        self.canvas.fill(Rect(0, 0, width, height), self._palette.background)
        if layout.title:
            self._title(layout.title, scene)
        if layout.message:
            self._words(scene.message, layout.message, max(min(layout.message.h // 3, 48), 8), middle=True)
        return True

    # ------------------------------------------------------------------------------------------- tiles

    def _tile(self, index: int, tile: Tile, shown: Shown | None, picture: Picture | None, again: bool) -> bool:
        state = self._state[index]
        content = self._content(shown, picture)
        framed = bool(shown and shown.speaking and tile.frame)
        if not again and content == state.content and framed == state.framed:
            return False
        if again or content != state.content:
            self.painted += 1
            if again or not picture:
                state.kind = None
            state.content = content
            if not (picture and self._picture(tile, picture, state)):
                state.kind = None
                self._card(tile, shown)
            if shown and state.named != (shown.name, shown.muted):
                state.named, state.label = (shown.name, shown.muted), self._label(tile, shown)
            for part, patch in state.label:
                part[...] = patch
        if again or framed != state.framed:
            edge = self._palette.speaking if framed else self._palette.background
            self.canvas.ring(tile.rect, tile.frame, edge)
            state.framed = framed
        return True

    @staticmethod
    def _content(shown: Shown | None, picture: Picture | None) -> tuple[object, ...]:
        if shown is None:
            return ("empty",)
        if picture is None:
            return (shown.who, shown.name, shown.muted, shown.showing is Showing.NAME)
        return (shown.who, shown.name, shown.muted, picture.number, picture.turn)

    def _picture(self, tile: Tile, picture: Picture, state: _Painted) -> bool:
        """Whether it could be painted."""
        kind = (picture.planes[0].shape, picture.turn, picture.pixel)
        if kind != state.kind or state.into is None:
            high, wide = picture.planes[0].shape
            fit = fitted(wide, high, tile.inner, tile.fit, turn=picture.turn, pixel=picture.pixel)
            self.canvas.around(tile.inner, fit.target, self._palette.bars)
            part, turns = self.canvas.part(fit.target), picture.turn // 90
            into = (np.rot90(part[0], turns), np.rot90(part[1], turns), np.rot90(part[2], turns)) if turns else part
            state.kind, state.crop, state.into = kind, fit.crop, into
        try:
            self._scale(cropped(picture.planes, state.crop), state.into, picture.full_range)
        except ValueError:
            return False  # a size that the scaler does not take
        return True

    def _card(self, tile: Tile, shown: Shown | None) -> None:
        """A tile without a picture: initials on a disc."""
        palette, inner = self._palette, tile.inner
        self.canvas.fill(inner, palette.card if shown else palette.bars)
        size = even(min(inner.h * 0.44, inner.w * 0.44))
        if shown is None or size < 12:
            return
        paint = palette.stalled
        if shown.showing is Showing.NAME:
            paint = palette.discs[sum(map(ord, shown.name)) % len(palette.discs)]
        x, y = inner.x + (inner.w - size) // 4 * 2, inner.y + (inner.h - size) // 4 * 2
        self.canvas.stain(x, y, disc(size), paint)
        first = initials(shown.name)
        if first and size >= 20:
            self._words(first, Rect(x, y, size, size), max(round(size * 0.4), 6), middle=True, paint=palette.letters)

    def _label(self, tile: Tile, shown: Shown) -> tuple[tuple[U8, U8], ...]:
        """Name and muted mark, opaque, so that a moving picture costs a copy and no blending, and encoders a skip."""
        name, place = shown.name, tile.label
        if place is None:
            name, size = "", min(even(tile.inner.h / 3), tile.inner.w // 2 * 2, 16)
            place = Rect(tile.inner.x, tile.inner.bottom - size, size, size)
        if place.h < 8 or not (shown.muted or (name and self._lettering)):
            return ()
        patch = self._patch(name, shown.muted, place.h, min(place.w, even(max(tile.inner.w * 0.8, place.h))))
        high, wide = patch[0].shape
        return tuple(zip(self.canvas.part(Rect(place.x, place.y, wide, high)), patch, strict=True))

    def _patch(self, name: str, muted: bool, high: int, most: int) -> Planes:
        key = (name, muted, high, most)
        patch = self._patches.get(key)
        if patch is None:
            patch = self._patches[key] = self._made(name, muted, high, most)
            if len(self._patches) > PATCHES:
                self._patches.popitem(last=False)
        else:
            self._patches.move_to_end(key)
        return patch

    def _made(self, name: str, muted: bool, high: int, most: int) -> Planes:
        palette, pad, letters = self._palette, even(high * 0.3), max(round(high / 1.5), 6)
        mark = even(high * 0.8) if muted else 0
        spare = most - 2 * pad - (mark + pad // 4 * 2 if muted else 0)
        text = self._lettering(name, letters, spare) if self._lettering and name and spare > 0 else None
        if text is not None and not text.shape[1]:
            text = None
        between = pad // 4 * 2 if muted and text is not None else 0
        wide = high if muted and text is None else 2 * pad + mark + between + (0 if text is None else text.shape[1])
        planes = flat(wide, high, palette.label)
        x = pad
        if muted:
            x = pad if text is not None else (wide - mark) // 4 * 2
            _stamp(planes, x, (high - mark) // 4 * 2, crossed_microphone(mark), palette.muted)
            x += mark + between
        if text is not None:
            text = text[: high // 2 * 2]
            _stamp(planes, x, (high - text.shape[0]) // 4 * 2, text, palette.letters)
        return planes

    # ------------------------------------------------------------------------------------------- words

    def _title(self, bar: Rect, scene: Scene) -> None:
        pad, size = even(bar.h * 0.4), max(round(bar.h * 0.5), 8)
        right = bar.right - pad
        if scene.logo and self._logo:
            planes, mask = self._logo
            high = even(bar.h * 0.7)
            wide = max(even(high * mask.shape[1] / mask.shape[0]), 2)
            if wide <= bar.w // 2:
                right -= wide
                small = flat(wide, high, self._palette.background)
                alpha = np.empty((high, wide), np.uint8)
                scaler = NumpyScaler()
                scaler(planes, small, False)
                scaler.plane(mask, alpha)
                self.canvas.overlay(right, bar.y + (bar.h - high) // 4 * 2, small, alpha)
                right -= pad
        self._words(scene.title, Rect(bar.x + pad, bar.y, max(right - bar.x - pad, 0), bar.h), size, middle=False)

    def _words(self, text: str, area: Rect, size: int, *, middle: bool, paint: Colour | None = None) -> None:
        """A line of text in an area, in its middle or at its left."""
        if not text or self._lettering is None or area.w < 2:
            return
        mask = self._lettering(text, size, area.w)
        mask = mask[: area.h // 2 * 2]
        if not mask.size:
            return
        x = area.x + ((area.w - mask.shape[1]) // 4 * 2 if middle else 0)
        y = area.y + (area.h - mask.shape[0]) // 4 * 2
        self.canvas.stain(x, y, mask, paint or self._palette.faint)


def _stamp(planes: Planes, x: int, y: int, mask: U8, paint: Colour) -> None:
    """Blend a colour into a part of a patch; all even."""
    high, wide = mask.shape
    part = (
        planes[0][y : y + high, x : x + wide],
        planes[1][y // 2 : (y + high) // 2, x // 2 : (x + wide) // 2],
        planes[2][y // 2 : (y + high) // 2, x // 2 : (x + wide) // 2],
    )
    stain(part, mask, (paint.y, paint.u, paint.v))


def cropped(planes: Planes, crop: Rect) -> Planes:
    """Views of a part of a picture; even offsets, any size."""
    x, y, wide, high = crop.x // 2, crop.y // 2, (crop.w + 1) // 2, (crop.h + 1) // 2
    return (
        planes[0][crop.y : crop.bottom, crop.x : crop.right],
        planes[1][y : y + high, x : x + wide],
        planes[2][y : y + high, x : x + wide],
    )


def initials(name: str) -> str:
    """Of the first and the last word."""
    words = [word for word in name.split() if word[:1].isalnum()]
    return "".join(word[0] for word in (words[:1] + words[-1:] if len(words) > 1 else words)).upper()[:2]
