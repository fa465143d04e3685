"""Names and titles as alpha masks, from letters that were drawn beforehand (``font/make.py``).

libavfilter's drawtext would do, but the one in PyAV's wheel is built without FreeType and has none. Here a line is
put together from DejaVu Sans at 64 pixels an em and shrunk to its size, the area under each pixel counted exactly;
kerning is ignored. Left to right only; what has no letter there (emoji, Han, Arabic) is a box, a whole emoji one.

The text is a stranger's: it is cut, cleaned of controls and of signs that turn the direction, and what is kept of it is
bounded.
"""

from __future__ import annotations

import functools
import unicodedata
from dataclasses import dataclass
from pathlib import Path

import numpy as np
from numpy.typing import NDArray

U8 = NDArray[np.uint8]

LETTERS = Path(__file__).parent / "font" / "letters.npz"
LONGEST = 96
"""Characters that are looked at; more are wider than any canvas at a size that can be read."""
MASKS = 256
"""Masks kept: the names of ten rooms in three sizes, 10 kB each."""
BOX = 0x25A1
ELLIPSIS = "…"
JOINER = "\u200d"


@dataclass(frozen=True, slots=True)
class _Letters:
    em: int
    ascent: int
    high: int
    at: dict[int, int]
    """code -> row of the others"""
    box: NDArray[np.int16]
    """(n, 5) advance, left, top, width, height in pixels; top from the line's top"""
    first: NDArray[np.int64]
    """(n + 1,) where each one's pixels begin"""
    pixels: U8


@functools.lru_cache(maxsize=1)
def _letters() -> _Letters:
    with np.load(LETTERS, allow_pickle=False) as kept:
        metrics, code, box, pixels = kept["metrics"], kept["code"], kept["box"], kept["pixels"]
    sizes = box[:, 3].astype(np.int64) * box[:, 4]
    em, ascent, descent = (int(n) for n in metrics)
    at = {int(c): i for i, c in enumerate(code)}
    return _Letters(em, ascent, ascent + descent, at, box, np.append(0, np.cumsum(sizes)), pixels)


def clean(text: str) -> str:
    """One line of what can be shown, composed (NFC); without controls, surrogates and direction marks."""
    kept: list[str] = []
    pictured = False  # the last character is an emoji's box, which modifiers belong to
    for char in unicodedata.normalize("NFC", text[: 2 * LONGEST]):
        kind = unicodedata.category(char)
        if char == JOINER and pictured:
            kept.append(char)
        elif kind in ("Zs", "Zl", "Zp") or char in "\t\n\r":
            kept.append(" ")
        elif kind[0] != "C" and not 0xFE00 <= ord(char) <= 0xFE0F and not 0x1F3FB <= ord(char) <= 0x1F3FF:
            if kept and kept[-1] == JOINER:  # a family is one picture
                kept.pop()
                continue
            pictured = ord(char) >= 0x1F000 or 0x2300 <= ord(char) <= 0x2BFF
            kept.append(char)
    return " ".join("".join(kept).replace(JOINER, "").split())[:LONGEST]


def _rows(text: str, letters: _Letters) -> list[int]:
    """The letters of a text: its own, else that of the base character, else a box; marks without a letter go."""
    rows = []
    for char in text:
        found = letters.at.get(ord(char))
        if found is None and unicodedata.category(char)[0] == "M":
            continue
        if found is None:
            base = unicodedata.normalize("NFKD", char)[:1]
            found = letters.at.get(ord(base), letters.at[BOX])
        rows.append(found)
    return rows


def width(text: str, size: int) -> int:
    """Pixels that a cleaned text takes at a size (of the em)."""
    letters = _letters()
    return int(np.ceil(letters.box[_rows(text, letters), 0].sum(dtype=np.int64) * size / letters.em))


def shortened(text: str, size: int, most: int) -> str:
    """The text if it is no wider than ``most`` pixels, else as much of it as is with an ellipsis; perhaps nothing."""
    if width(text, size) <= most:
        return text
    low, high = 0, len(text)
    while low < high:
        middle = (low + high + 1) // 2
        low, high = (middle, high) if width(text[:middle].rstrip() + ELLIPSIS, size) <= most else (low, middle - 1)
    kept = text[:low].rstrip()
    return kept + ELLIPSIS if kept else ""


@functools.lru_cache(maxsize=MASKS)
def mask(text: str, size: int, most: int) -> U8:
    """(h, w) alpha mask of one line, not to be written to; w even and at most ``most``, 0 if nothing is to be seen.

    Args:
        size: of the em, in pixels: capital letters are 0.73 of it; h is 1.25 times it, even.
        most: width in pixels; longer texts end in an ellipsis.

    Raises:
        ValueError: no size between 6 and 200, or width over 8192.
    """
    if not 6 <= size <= 200 or not 0 <= most <= 8192:
        raise ValueError(f"no text of {size} pixels in {most}")
    high = (round(size * 1.25) + 1) // 2 * 2
    letters = _letters()
    text = shortened(clean(text), size, most // 2 * 2)
    rows = _rows(text, letters)
    wide = (width(text, size) + 1) // 2 * 2 if rows else 0
    if not wide:
        return _fixed(np.zeros((high, 0), np.uint8))
    line = _line(rows, letters)
    scale = letters.em / size
    # The line's middle between ascender and descender is the mask's.
    top = letters.high / 2 - high * scale / 2
    down = _summed(_summed(line.astype(np.float32), top, scale, high).T, 0.0, scale, wide).T / (scale * scale)
    # Thin strokes lose most of their weight when shrunk; the curve gives some of it back.
    weight = 255 * np.clip(down / 255, 0, 1) ** (0.8 if size < 24 else 0.9)
    return _fixed(np.rint(weight).astype(np.uint8))


def _line(rows: list[int], letters: _Letters) -> U8:
    """(h, w) of the letters in a row at the size they were drawn."""
    box = letters.box[rows]
    pen = np.append(0, np.cumsum(box[:, 0], dtype=np.int64))
    margin = letters.em
    line = np.zeros((letters.high, int(pen[-1]) + margin), np.uint8)
    for row, left, (_, bearing, top, wide, high) in zip(rows, pen.tolist(), box.tolist(), strict=False):
        glyph = letters.pixels[letters.first[row] : letters.first[row + 1]].reshape(high, wide)
        x, y = max(left + bearing, 0), max(top, 0)
        part = line[y : y + high, x : x + wide]
        np.maximum(part, glyph[: part.shape[0], : part.shape[1]], out=part)
    return line


def _summed(plane: NDArray[np.float32], start: float, step: float, count: int) -> NDArray[np.float32]:
    """(h, w) -> (count, w): the integral over ``step`` rows from ``start`` on, between rows too; nothing outside."""
    total = np.concatenate([np.zeros((1, plane.shape[1])), np.cumsum(plane, axis=0, dtype=np.float64)])
    edge = np.clip(start + np.arange(count + 1) * step, 0, len(plane))
    below = np.minimum(edge.astype(np.intp), len(plane) - 1)
    part = (edge - below)[:, None]
    at = total[below] * (1 - part) + total[below + 1] * part
    out: NDArray[np.float32] = np.diff(at, axis=0).astype(np.float32)
    return out


def _fixed(array: U8) -> U8:
    array.setflags(write=False)
    return array
