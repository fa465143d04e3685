"""Simulated participants: pictures painted cheaply, so that the first caller sees a conference."""

from __future__ import annotations

import numpy as np
from numpy.typing import NDArray

from bridge.media.video.text import mask
from bridge.mixer.canvas import Canvas, Colour, colour, disc
from bridge.mixer.compose import Picture
from bridge.mixer.layout import Rect

WIDTH, HEIGHT = 640, 360
RATE = 15
"""Pictures a second: a face that moves slowly needs no more, and these are nobody's."""
_WALLS = (colour(52, 73, 94), colour(88, 70, 60), colour(46, 84, 72), colour(72, 60, 92), colour(96, 84, 52))
_SHIRTS = (colour(180, 60, 60), colour(60, 110, 190), colour(70, 150, 90), colour(200, 150, 60), colour(120, 80, 170))
_SKIN = (colour(222, 178, 150), colour(141, 98, 72), colour(240, 205, 180), colour(176, 128, 96), colour(96, 66, 50))
_DARK, _LIP, _WHITE = colour(40, 30, 28), colour(150, 60, 62), colour(235, 235, 235)


class Painted:
    """A face before a wall, with a clock of beads that runs; the mouth moves while he speaks."""

    def __init__(self, name: str, seed: int) -> None:
        self.name = name
        self._seed = seed
        self._wall = _WALLS[seed % len(_WALLS)]
        self._number = 0
        self._back = self._background()
        self.picture: Picture | None = None
        self.speaking = False

    def _background(self) -> Canvas:
        canvas = Canvas(WIDTH, HEIGHT)
        # A wall that is lit from one side: a flat field would hide faults that a gradient shows.
        light = (
            np.linspace(-14, 14, WIDTH)[None, :] * (1 if self._seed % 2 else -1) + np.linspace(10, -10, HEIGHT)[:, None]
        )
        canvas.y[...] = np.clip(self._wall.y + light, 16, 235).astype(np.uint8)
        canvas.u[...], canvas.v[...] = self._wall.u, self._wall.v
        letters = mask(self.name, 28, WIDTH // 2)
        if letters.size:
            canvas.stain(24, 20, letters, _WHITE)
        return canvas

    def paint(self, now: float) -> Picture:
        """The picture of an instant; a new one each 1/:data:`RATE` s, the same in between."""
        number = int(now * RATE)
        if self.picture is not None and number == self._number:
            return self.picture
        self._number = number
        time = number / RATE + 1.7 * self._seed
        canvas = Canvas(WIDTH, HEIGHT)
        canvas.whole[...] = self._back.whole
        x = 320 + _even(26 * np.sin(0.7 * time) + 8 * np.sin(1.9 * time))
        y = 176 + _even(8 * np.sin(0.9 * time))
        shirt, skin = _SHIRTS[self._seed % len(_SHIRTS)], _SKIN[self._seed % len(_SKIN)]
        _dot(canvas, x, 392, 260, shirt)
        _dot(canvas, x, y, 176, skin)
        canvas.fill(Rect(x - 24, y + 60, 48, 60), skin)
        shut = time % 3.1 < 0.15
        for side in (-36, 36):
            if shut:
                canvas.fill(Rect(x + side - 12, y - 16, 24, 4), _DARK)
            else:
                _dot(canvas, x + side, y - 16, 24, _WHITE)
                _dot(canvas, x + side + _even(4 * np.sin(0.5 * time)), y - 16, 12, _DARK)
        # Syllables come four or five a second, with pauses.
        wide = abs(np.sin(14.0 * time)) * (np.sin(1.3 * time) > -0.6) if self.speaking else 0.0
        high = max(4, _even(6 + 26 * wide))
        canvas.fill(Rect(x - 28, y + 38 - high // 4 * 2, 56, high), _LIP if high < 10 else _DARK)
        self._beads(canvas, number)
        self.picture = Picture((canvas.y, canvas.u, canvas.v), number)
        return self.picture

    def _beads(self, canvas: Canvas, number: int) -> None:
        """A light that runs along the lower edge: one place a picture, once around in two seconds."""
        at = number % (2 * RATE)
        canvas.fill(Rect(20 + 20 * at, HEIGHT - 20, 12, 12), _WHITE)


def _even(value: float) -> int:
    return 2 * round(float(value) / 2)


def _dot(canvas: Canvas, x: int, y: int, size: int, paint: Colour) -> None:
    """A disc about a point, cut at the canvas's edges."""
    alpha: NDArray[np.uint8] = disc(size)
    left, top = x - size // 2 // 2 * 2, y - size // 2 // 2 * 2
    right, bottom = min(left + size, canvas.width), min(top + size, canvas.height)
    cut_x, cut_y = max(-left, 0), max(-top, 0)
    part = alpha[cut_y : bottom - top, cut_x : right - left]
    if part.size:
        canvas.stain(left + cut_x, top + cut_y, part, paint)
