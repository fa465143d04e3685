"""Moving pictures with numbers in them, and what is seen of them: who is in a tile, which frame, and how alike.

A clip's frame shows four large digits of seven segments: whose it is, and its own number. They are read wherever a
tile is, so a tile can be compared with the very frame that it should show.
"""

from __future__ import annotations

import functools
from collections.abc import Iterable, Sequence
from dataclasses import dataclass
from fractions import Fraction
from pathlib import Path
from typing import Any

import av
import numpy as np
from numpy.typing import NDArray

from bridge.mixer.layout import Rect, Tile, fitted
from bridge.mixer.scale import NumpyScaler

U8 = NDArray[np.uint8]
RATE = 30
"""Frames a second of a clip."""
LENGTH = 900
"""Frames: it is played again from the beginning."""
SEGMENTS = ("abcdef", "bc", "abged", "abgcd", "fgbc", "afgcd", "afgecd", "abc", "abcdefg", "abcdfg")
"""Of the digits, as every clock has them."""
PLACES = {"a": (0.5, 0.0), "b": (1.0, 0.25), "c": (1.0, 0.75), "d": (0.5, 1.0), "e": (0.0, 0.75), "f": (0.0, 0.25),
          "g": (0.5, 0.5)}  # fmt: skip
"""Middles of the segments, across and down a digit."""
DIGITS = 4
PANEL = (0.14, 0.16, 0.72, 0.5)
"""Where they stand in the frame (x, y, w, h): what a crop cuts off and where names are is elsewhere."""
DARK, LIGHT = 40, 220


def _boxes(width: int, height: int, digit: int) -> dict[str, tuple[int, int, int, int]]:
    """The segments' (x, y, w, h) in a frame."""
    x, y, w, h = (part * size for part, size in zip(PANEL, (width, height, width, height), strict=True))
    cell, thick = w / DIGITS, h / 8
    left, top, wide, high = x + digit * cell + cell * 0.22, y + thick, cell * 0.56, h - 2 * thick
    boxes = {}
    for name, (across, down) in PLACES.items():
        lying = name in "adg"
        long, short = (wide + thick, thick) if lying else (thick, high / 2 - thick)
        middle = (left + across * wide, top + down * high)
        boxes[name] = (round(middle[0] - long / 2), round(middle[1] - short / 2), round(long), round(short))
    return boxes


@dataclass(frozen=True)
class Clip:
    """A source's moving picture."""

    source: int
    """1 to 9: its first digit."""
    width: int = 640
    height: int = 360

    @functools.cached_property
    def _backdrop(self) -> U8:
        y, x = np.mgrid[0 : self.height, 0 : 2 * self.width] / self.height
        turn = 2 * np.pi * self.height / self.width  # once around after a width: it may drift for ever
        rings = np.sin(5 * np.sin(x * turn) + (7 + self.source) * y)
        bars = np.sign(np.sin(x * turn * (3 + self.source) + self.source))
        return np.asarray(np.clip(126 + 28 * bars + 40 * rings, 16, 235), np.uint8)

    @property
    def hue(self) -> tuple[int, int]:
        """Cb and Cr, the same all over."""
        return 70 + 14 * self.source, 186 - 14 * self.source

    def luma(self, number: int) -> U8:
        """(height, width) of one frame."""
        number %= LENGTH
        shift = 2 * number % self.width
        frame = self._backdrop[:, shift : shift + self.width].copy()
        x, y, w, h = (round(p * s) for p, s in zip(PANEL, (self.width, self.height) * 2, strict=True))
        frame[y : y + h, x : x + w] = DARK
        for place, digit in enumerate(f"{self.source}{number:03}"):
            for name, (left, top, wide, high) in _boxes(self.width, self.height, place).items():
                if name in SEGMENTS[int(digit)]:
                    frame[top : top + high, left : left + wide] = LIGHT
        return frame

    def picture(self, number: int) -> U8:
        """(height * 3/2, width) I420."""
        picture = np.empty((self.height * 3 // 2, self.width), np.uint8)
        picture[: self.height] = self.luma(number)
        chroma = picture[self.height :].reshape(-1)
        half = len(chroma) // 2
        chroma[:half], chroma[half:] = self.hue
        return picture

    def write(self, path: Path) -> Path:
        """As a file of H.264."""
        with av.open(str(path), "w") as container:
            stream: Any = container.add_stream("libx264", rate=RATE)
            stream.width, stream.height, stream.pix_fmt = self.width, self.height, "yuv420p"
            stream.time_base = Fraction(1, RATE)
            stream.options = {"preset": "ultrafast", "crf": "14", "g": "30", "bf": "0"}
            for number in range(LENGTH):
                frame = av.VideoFrame.from_ndarray(self.picture(number), format="yuv420p")
                frame.pts = number
                container.mux(stream.encode(frame))
            container.mux(stream.encode(None))
        return path


@dataclass(frozen=True)
class Seen:
    """A picture that somebody was sent."""

    picture: U8
    """I420."""

    @classmethod
    def read(cls, path: Path) -> Seen:
        """A PNG file. Raises what PyAV raises for a file that is not whole yet."""
        with av.open(str(path)) as container:
            frame = next(container.decode(video=0))
        # In yuv420p an odd line or column has no place.
        frame = frame.reformat(frame.width // 2 * 2, frame.height // 2 * 2, format="yuv420p")
        return cls(np.asarray(frame.to_ndarray(), np.uint8))

    @property
    def size(self) -> tuple[int, int]:
        return self.picture.shape[1], self.picture.shape[0] * 2 // 3

    @property
    def luma(self) -> U8:
        return self.picture[: self.size[1]]

    def part(self, rect: Rect) -> U8:
        return self.luma[rect.y : rect.bottom, rect.x : rect.right]

    def number(self, tile: Tile, clip: Clip) -> int | None:
        """(source and frame) as the digits in a tile say: 1042 is frame 42 of source 1; None: there are none."""
        fit = fitted(clip.width, clip.height, tile.inner, tile.fit)
        crop, target = fit.crop, fit.target
        # As large as all of it would be, with what was cut off left dark.
        across, down = target.w / crop.w, target.h / crop.h
        whole = np.zeros((round(clip.height * down), round(clip.width * across)), np.uint8)
        left, top = round(crop.x * across), round(crop.y * down)
        seen = self.part(target)[: whole.shape[0] - top, : whole.shape[1] - left]
        whole[top : top + seen.shape[0], left : left + seen.shape[1]] = seen
        return number(whole)

    def likeness(self, tile: Tile, clip: Clip) -> float:
        """SSIM of a tile, above its label, and the frame of ``clip`` whose number it shows; 0.0: it shows none."""
        told = self.number(tile, clip)
        if told is None or told // 1000 != clip.source:
            return 0.0
        fit = fitted(clip.width, clip.height, tile.inner, tile.fit)
        target, crop = fit.target, fit.crop
        high = target.h - (tile.label.h if tile.label else 0)
        source = clip.luma(told % 1000)[crop.y : crop.bottom, crop.x : crop.right]
        into = np.zeros((target.h, target.w), np.uint8)
        NumpyScaler().plane(np.ascontiguousarray(source), into)
        return ssim(into[:high], self.part(target)[:high])


def number(luma: U8) -> int | None:
    """What the digits in a whole clip's picture, of any size, say."""
    height, width = luma.shape
    text = ""
    for place in range(DIGITS):
        lit = ""
        for name, (x, y, w, h) in _boxes(width, height, place).items():
            # The middle of the segment: its edges are blurred.
            core = luma[y + h // 4 : y + h - h // 4, x + w // 4 : x + w - w // 4]
            level = float(core.mean()) if core.size else 128.0
            if 100 < level < 160:
                return None
            lit += name if level >= 160 else ""
        digit = next((n for n, names in enumerate(SEGMENTS) if set(names) == set(lit)), None)
        if digit is None:
            return None
        text += str(digit)
    return int(text)


def sources(seen: Seen, tiles: Sequence[Tile], clips: Iterable[Clip]) -> list[int]:
    """Who is in each of the tiles, by its first digit; 0: nobody whose digits can be read."""
    clip = next(iter(clips))
    return [(seen.number(tile, clip) or 0) // 1000 for tile in tiles]


def ssim(one: U8, other: U8) -> float:
    """Mean structural similarity of two luma planes: windows of 8 by 8, at every fourth sample."""
    a, b = one.astype(np.float64), other.astype(np.float64)

    def means(plane: NDArray[np.float64]) -> NDArray[np.float64]:
        total = np.zeros((plane.shape[0] + 1, plane.shape[1] + 1))
        total[1:, 1:] = plane.cumsum(0).cumsum(1)
        boxes = total[8:, 8:] - total[:-8, 8:] - total[8:, :-8] + total[:-8, :-8]
        return np.asarray(boxes[::4, ::4] / 64)

    ma, mb = means(a), means(b)
    va, vb, cov = means(a * a) - ma * ma, means(b * b) - mb * mb, means(a * b) - ma * mb
    c1, c2 = (0.01 * 255) ** 2, (0.03 * 255) ** 2
    return float((((2 * ma * mb + c1) * (2 * cov + c2)) / ((ma**2 + mb**2 + c1) * (va + vb + c2))).mean())


def psnr(one: U8, other: U8) -> float:
    """dB; 99 for the same."""
    error = float(((one.astype(np.float64) - other) ** 2).mean())
    return min(99.0, float(10 * np.log10(255**2 / max(error, 1e-9))))
