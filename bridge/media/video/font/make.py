"""Draws the letters of DejaVu Sans once, large, into ``letters.npz``: ``python -m bridge.media.video.font.make``.

Needs Pillow, and the font of Debian's fonts-dejavu-core; neither is needed to run the bridge, because the libavfilter
of PyAV's wheel has no drawtext (it is built without FreeType).
"""

from __future__ import annotations

import sys
from pathlib import Path
from typing import Any

import numpy as np

FONT = Path("/usr/share/fonts/truetype/dejavu/DejaVuSans.ttf")
SIZE = 64
"""Pixels of an em: names are shown at 34 at most, titles at 60."""
RANGES = (
    (0x20, 0x7E),
    (0xA0, 0x24F),  # Latin
    (0x259, 0x259),
    (0x2B0, 0x2C7),
    (0x370, 0x3FF),  # Greek
    (0x400, 0x52F),  # Cyrillic
    (0x531, 0x58F),  # Armenian
    (0x10D0, 0x10FF),  # Georgian
    (0x1400, 0x167F),  # Canadian Aboriginal syllabics: Inuktitut, Cree
    (0x1E00, 0x1EFF),  # Latin, Vietnamese among it
    (0x2010, 0x203A),
    (0x20A0, 0x20BD),
    (0x2116, 0x2122),
    (0x2190, 0x2193),
    (0x25A1, 0x25A1),  # the box for whatever is not here
    (0x2600, 0x2606),
    (0x2713, 0x2714),
)
PLACE = Path(__file__).with_name("letters.npz")


def letters() -> dict[str, Any]:
    """Arrays of one entry a letter, and all pixels in a row."""
    from PIL import ImageFont  # type: ignore[import-not-found]

    font = ImageFont.truetype(str(FONT), SIZE, layout_engine=ImageFont.Layout.BASIC)
    missing = font.getmask("\U000e0fff", mode="L")
    rows: list[tuple[int, int, int, int, int, int]] = []
    pixels: list[Any] = []
    for first, last in RANGES:
        for code in range(first, last + 1):
            mask, (left, top) = font.getmask2(chr(code), mode="L")
            if mask.size == missing.size and bytes(mask) == bytes(missing) and code != 0x25A1:
                continue
            wide, high = mask.size
            rows.append((code, round(font.getlength(chr(code))), left, top, wide, high))
            pixels.append((np.array(mask, np.uint8).reshape(-1) >> 4) * 17)  # 16 greys do, in half the space
    table = np.array(rows, np.int32)
    ascent, descent = font.getmetrics()
    return {
        "metrics": np.array([SIZE, ascent, descent], np.int16),
        "code": table[:, 0].astype(np.uint32),
        "box": table[:, 1:].astype(np.int16),
        "pixels": np.concatenate(pixels),
    }


if __name__ == "__main__":
    np.savez_compressed(PLACE, **letters())
    sys.stdout.write(f"{PLACE.name}: {PLACE.stat().st_size // 1024} kB\n")
