"""Scaling of 8-bit planes with numpy alone: the area under each new sample when shrinking, bilinear when enlarging.

The worker gives the composer libswscale instead (``bridge/media/video/swscale.py``), which is some six times as
fast; this one needs nothing, is exact, and takes what that one must not be given: pictures of a few samples.

A pass is over rows, because rows lie together in memory and are gathered by memcpy; the other direction is the same
pass over the transposed plane. Weights are eighths of bits: a sum of 256, so that 16 bits never overflow.
"""

from __future__ import annotations

import functools
import math
from collections.abc import Callable

import numpy as np
from numpy.typing import NDArray

from .canvas import U8, U16, Planes

Scaler = Callable[[Planes, Planes, bool], None]
"""``scale(source, target, full_range)``: all of the source's planes into all of the target's, views of any strides.
``full_range``: the source's samples are 0 to 255 ("yuvj420p"); the target's never are."""

BAND = 48
"""Rows written in one go: their sums of 16 bits for 640 across stay in the second-level cache."""
WHOLE = 256
"""The weights of a sample add up to this."""
TABLES = 256
"""Tables kept: a sender chooses his picture's size, the tiles' are few."""


class NumpyScaler:
    """For one thread: has buffers of its own."""

    def __init__(self) -> None:
        self._blocks: dict[str, NDArray[np.uint8]] = {}

    def __call__(self, source: Planes, target: Planes, full_range: bool = False) -> None:
        for index, (plane, into) in enumerate(zip(source, target, strict=True)):
            self.plane(plane, into)
            if full_range:
                into[...] = _narrowed(index > 0)[into]

    def plane(self, source: U8, into: U8) -> None:
        """(h, w) into (height, width), whatever they are."""
        high, wide = into.shape
        if source.shape == into.shape:
            into[...] = source
            return
        # Whichever pass leaves less for the other goes first.
        if high / source.shape[0] <= wide / source.shape[1]:
            self._across(self._rows(source, high, "down"), into)
        else:
            middle = self._buffer("middle", (source.shape[0], wide))
            self._across(source, middle)
            into[...] = self._rows(middle, high, "down")

    def _across(self, source: U8, into: U8) -> None:
        if source.shape[1] == into.shape[1]:
            into[...] = source
            return
        turned = self._buffer("turned", source.shape[::-1])
        turned[...] = source.T
        into[...] = self._rows(turned, into.shape[1], "across").T

    def _rows(self, source: U8, high: int, name: str) -> U8:
        """(h, w) to (high, w), in a buffer that the next call of that name writes over."""
        h, w = source.shape
        if h == high:
            return source
        index, weight = table(h, high)
        out = self._buffer(name, (high, w))
        gathered = self._buffer("gathered", (BAND, w))
        total = self._wide("total", (BAND, w))
        part = self._wide("part", (BAND, w))
        for top in range(0, high, BAND):
            rows = slice(top, min(top + BAND, high))
            n = rows.stop - rows.start
            for tap in range(len(index)):  # over the rows under one new row: the ratio, at most some dozens
                np.take(source, index[tap, rows], axis=0, out=gathered[:n], mode="clip")
                scaled = part[:n] if tap else total[:n]
                np.multiply(gathered[:n], weight[tap, rows, None], out=scaled, dtype=np.uint16)
                if tap:
                    total[:n] += scaled
            total[:n] += np.uint16(WHOLE // 2)
            np.right_shift(total[:n], np.uint16(8), out=total[:n])
            np.copyto(out[rows], total[:n], casting="unsafe")
        return out

    def _buffer(self, name: str, shape: tuple[int, ...]) -> U8:
        """A view of a block that only grows to the largest that was ever needed."""
        size = math.prod(shape)
        block = self._blocks.get(name)
        if block is None or block.size < size:
            block = self._blocks[name] = np.empty(size, np.uint8)
        return block[:size].reshape(shape)

    def _wide(self, name: str, shape: tuple[int, int]) -> U16:
        return self._buffer(name, (2 * shape[0] * shape[1],)).view(np.uint16).reshape(shape)


@functools.lru_cache(maxsize=TABLES)
def table(old: int, new: int) -> tuple[NDArray[np.intp], U16]:
    """Which old samples make each new one: (taps, new) indices, and weights that add up to :data:`WHOLE`."""
    ratio = old / new
    if ratio <= 1:
        centre = (np.arange(new) + 0.5) * ratio - 0.5
        first = np.floor(centre).astype(np.intp)
        index = first + np.arange(2)[:, None]
        part = 1 - np.abs(index - centre)
    else:
        left = np.arange(new) * ratio
        first = np.floor(left + 1e-9).astype(np.intp)
        index = first + np.arange(math.ceil(ratio - 1e-9) + 1)[:, None]
        part = np.minimum(index + 1, left + ratio) - np.maximum(index, left)
    part = np.clip(part, 0, None)
    while len(part) > 1 and part[-1].max() < 1 / (4 * WHOLE):
        part, index = part[:-1], index[:-1]
    exact = part / part.sum(axis=0) * WHOLE
    weight = np.floor(exact)
    missing = WHOLE - weight.sum(axis=0)
    order = np.argsort(np.argsort(weight - exact, axis=0, kind="stable"), axis=0)  # the largest remainders round up
    weight += order < missing
    return np.clip(index, 0, old - 1), weight.astype(np.uint16)


@functools.lru_cache(maxsize=2)
def _narrowed(chroma: bool) -> U8:
    """Full range to limited, by sample."""
    value = np.arange(256)
    out = 128 + (value - 128) * 224 / 255 if chroma else 16 + value * 219 / 255
    return np.rint(out).astype(np.uint8)
