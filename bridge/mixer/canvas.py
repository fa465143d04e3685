"""One I420 picture in one block of memory, and what is painted on it besides pictures: areas, patches, masks.

Planes are 8-bit Y'CbCr in limited range, (height, width) and twice (height/2, width/2), as in the frames of a decoder
and an encoder. Nothing here ever is RGB, except the names of colours, and a logo as it comes.
"""

from __future__ import annotations

import functools
from dataclasses import dataclass

import numpy as np
from numpy.typing import NDArray

from .layout import Rect

U8 = NDArray[np.uint8]
U16 = NDArray[np.uint16]
Planes = tuple[U8, U8, U8]
"""Y', Cb, Cr: views of any strides."""


@dataclass(frozen=True, slots=True)
class Colour:
    """Y', Cb, Cr in limited range."""

    y: int
    u: int
    v: int


def colour(red: int, green: int, blue: int) -> Colour:
    """From R'G'B' of 0 to 255, by ITU-R BT.601, which decoders assume where nothing is said."""
    y = 16 + (65.481 * red + 128.553 * green + 24.966 * blue) / 255
    u = 128 + (-37.797 * red - 74.203 * green + 112.0 * blue) / 255
    v = 128 + (112.0 * red - 93.786 * green - 18.214 * blue) / 255
    return Colour(round(y), round(u), round(v))


class Canvas:
    """A picture to paint on. Even sizes only."""

    def __init__(self, width: int, height: int) -> None:
        if width < 2 or height < 2 or width % 2 or height % 2:
            raise ValueError(f"no canvas of {width}x{height}")
        self.width, self.height = width, height
        self.whole: U8 = np.empty((height * 3 // 2, width), np.uint8)
        """(height * 3/2, width) Y', then Cb, then Cr: what an encoder takes without a copy."""
        flat = self.whole.reshape(-1)
        luma, chroma = width * height, width * height // 4
        self.y: U8 = flat[:luma].reshape(height, width)
        self.u: U8 = flat[luma : luma + chroma].reshape(height // 2, width // 2)
        self.v: U8 = flat[luma + chroma :].reshape(height // 2, width // 2)

    def part(self, rect: Rect) -> Planes:
        """Views of a part; even numbers."""
        x, y = rect.x // 2, rect.y // 2
        right, bottom = x + rect.w // 2, y + rect.h // 2
        return (
            self.y[rect.y : rect.bottom, rect.x : rect.right],
            self.u[y:bottom, x:right],
            self.v[y:bottom, x:right],
        )

    def fill(self, rect: Rect, paint: Colour) -> None:
        if rect.w <= 0 or rect.h <= 0:
            return
        for plane, value in zip(self.part(rect), (paint.y, paint.u, paint.v), strict=True):
            plane[...] = value

    def ring(self, rect: Rect, thickness: int, paint: Colour) -> None:
        """The rectangle's edge, inwards."""
        if thickness <= 0:
            return
        t = min(thickness, rect.h // 2, rect.w // 2)
        self.fill(Rect(rect.x, rect.y, rect.w, t), paint)
        self.fill(Rect(rect.x, rect.bottom - t, rect.w, t), paint)
        self.fill(Rect(rect.x, rect.y + t, t, rect.h - 2 * t), paint)
        self.fill(Rect(rect.right - t, rect.y + t, t, rect.h - 2 * t), paint)

    def around(self, outer: Rect, inner: Rect, paint: Colour) -> None:
        """What of a rectangle another one inside it leaves: the bars beside a picture."""
        self.fill(Rect(outer.x, outer.y, outer.w, inner.y - outer.y), paint)
        self.fill(Rect(outer.x, inner.bottom, outer.w, outer.bottom - inner.bottom), paint)
        self.fill(Rect(outer.x, inner.y, inner.x - outer.x, inner.h), paint)
        self.fill(Rect(inner.right, inner.y, outer.right - inner.right, inner.h), paint)

    def put(self, x: int, y: int, planes: Planes) -> None:
        """A patch (even size) at an even place, as far as it is on the canvas."""
        high, wide = planes[0].shape
        area = Rect(x, y, min(wide, self.width - x), min(high, self.height - y))
        for plane, patch in zip(self.part(area), planes, strict=True):
            plane[...] = patch[: plane.shape[0], : plane.shape[1]]

    def stain(self, x: int, y: int, mask: U8, paint: Colour) -> None:
        """A colour through an alpha mask (even size), at an even place on the canvas."""
        high, wide = mask.shape
        stain(self.part(Rect(x, y, wide, high)), mask, (paint.y, paint.u, paint.v))

    def overlay(self, x: int, y: int, planes: Planes, mask: U8) -> None:
        """A patch through its alpha mask."""
        high, wide = mask.shape
        stain(self.part(Rect(x, y, wide, high)), mask, planes)


def stain(planes: Planes, mask: U8, paint: tuple[int | U8, int | U8, int | U8]) -> None:
    """Blend colours or planes into planes through a mask of the luma plane's size."""
    quarter = halved(mask)
    for plane, alpha, value in zip(planes, (mask, quarter, quarter), paint, strict=True):
        plane[...] = blended(plane, alpha, value)


def blended(under: U8, alpha: U8, over: int | U8) -> U8:
    """Exact at both ends: alpha 0 leaves what is there, 255 replaces it."""
    a = alpha.astype(np.uint16)
    total = under * (np.uint16(255) - a) + np.asarray(over, np.uint16) * a + np.uint16(127)
    out: U8 = (total // np.uint16(255)).astype(np.uint8)
    return out


def halved(plane: U8) -> U8:
    """Mean of two by two; even size."""
    wide = plane[0::2].astype(np.uint16) + plane[1::2]
    out: U8 = ((wide[:, 0::2] + wide[:, 1::2] + np.uint16(2)) >> np.uint16(2)).astype(np.uint8)
    return out


def flat(width: int, height: int, paint: Colour) -> Planes:
    """A patch of one colour; even size."""
    return (
        np.full((height, width), paint.y, np.uint8),
        np.full((height // 2, width // 2), paint.u, np.uint8),
        np.full((height // 2, width // 2), paint.v, np.uint8),
    )


def from_rgba(picture: U8) -> tuple[Planes, U8]:
    """(h, w, 4) R'G'B'A, as a logo comes from its file, to planes and alpha mask of even size. Done once, so RGB is."""
    h, w = picture.shape[0] // 2 * 2, picture.shape[1] // 2 * 2
    rgb = picture[:h, :w, :3].astype(np.float32)
    alpha: U8 = np.ascontiguousarray(picture[:h, :w, 3])
    y = 16 + rgb @ (np.array([65.481, 128.553, 24.966], np.float32) / 255)
    u = 128 + rgb @ (np.array([-37.797, -74.203, 112.0], np.float32) / 255)
    v = 128 + rgb @ (np.array([112.0, -93.786, -18.214], np.float32) / 255)
    chroma = [halved(np.rint(plane).astype(np.uint8)) for plane in (u, v)]
    return (np.rint(y).astype(np.uint8), chroma[0], chroma[1]), alpha


@functools.lru_cache(maxsize=64)
def disc(size: int) -> U8:
    """(size, size) alpha mask of a disc with a soft edge."""
    at = np.arange(size) + 0.5 - size / 2
    distance = np.hypot(at[:, None], at[None, :])
    mask: U8 = np.rint(np.clip(size / 2 - distance, 0, 1) * 255).astype(np.uint8)
    return mask


@functools.lru_cache(maxsize=32)
def crossed_microphone(size: int) -> U8:
    """(size, size) alpha mask of a microphone struck through."""
    fine = 4 * size
    at = (np.arange(fine) + 0.5) / fine
    x, y = at[None, :], at[:, None]
    body = np.hypot(x - 0.5, y - np.clip(y, 0.24, 0.44)) < 0.13
    ring = np.hypot(x - 0.5, y - np.clip(y, 0.0, 0.44))
    cup = (ring > 0.2) & (ring < 0.265) & (y > 0.4)
    stem = (abs(x - 0.5) < 0.033) & (y > 0.68) & (y < 0.84)
    foot = (abs(x - 0.5) < 0.15) & (y > 0.8) & (y < 0.865)
    along = (x + y - 1) / np.sqrt(2)
    across = (x - y) / np.sqrt(2)
    stroke = (abs(across) < 0.04) & (abs(along) < 0.52)
    halo = (abs(across) < 0.095) & (abs(along) < 0.56)
    shape = ((body | cup | stem | foot) & ~halo) | stroke
    mask: U8 = np.rint(shape.reshape(size, 4, size, 4).mean(axis=(1, 3)) * 255).astype(np.uint8)
    return mask
