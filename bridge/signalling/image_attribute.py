"""``a=imageattr`` (RFC 6236): the sizes of pictures that each side wishes for, told both ways.

>>> from .sdp import attribute
>>> media = MediaDescription("video", 9, "RTP/AVP", ("97",), (attribute("imageattr", "97 recv [x=1280,y=720,q=0.6]"),))
>>> wished_size(media, 97), answered(media, 97, 97, 3600)
((1280, 720), '97 send [x=1280,y=720]')
"""

from __future__ import annotations

import re
from collections.abc import Iterator, Sequence
from dataclasses import dataclass

from .sdp import MediaDescription

SIZES = ((1920, 1080), (1280, 720), (640, 360), (320, 180))
"""What pictures are composed in, widest first."""
MOST_SETS = 8
"""Of one side's, that are read: phones name one to three."""
LONGEST = 160
"""Characters of a set that is repeated in an answer."""
LEAST = 16
"""Pixels of the smallest side that we take: one macroblock."""

_SIDE = re.compile(
    r"\b(send|recv)[ \t]+((?:\[[^ \t]{1,%d}\][ \t]*){1,%d}|\*)" % (LONGEST, MOST_SETS),  # noqa: UP031
    re.ASCII,
)
_SIZE = re.compile(r"\[x=(\[[0-9:,]+\]|[0-9]+),y=(\[[0-9:,]+\]|[0-9]+)((?:,[^\]]*)?)\]", re.ASCII)
_QUALITY = re.compile(r",q=(0\.[0-9]{1,2}|1(?:\.0{1,2})?)(?:,|$)", re.ASCII)


@dataclass(frozen=True, slots=True)
class _Set:
    text: str
    x: Sequence[int]
    y: Sequence[int]
    preference: float
    """``q``, 0.5 where there is none (§3.1.1)."""

    def holds(self, size: tuple[int, int]) -> bool:
        return size[0] in self.x and size[1] in self.y

    @property
    def largest(self) -> tuple[int, int]:
        return _last(self.x), _last(self.y)


def wished_size(media: MediaDescription, number: int) -> tuple[int, int]:
    """The largest picture that they wish to be sent as ``number``; (0, 0): they don't say.

    Of the sets that they like best (``q``) one of :data:`SIZES` if any holds one, else the largest that they name.
    """
    sets = _sets(media, number, "recv")
    for size in SIZES:
        if any(each.holds(size) for each in _preferred(sets)):
            return size
    return max((each.largest for each in _preferred(sets)), key=lambda size: size[0] * size[1], default=(0, 0))


def offered(max_fs: int) -> str:
    """The value for an offer, for all formats: what we send, and all that we take.

    Args:
        max_fs: macroblocks of the largest picture that we take.
    """
    width, height = next((size for size in SIZES if macroblocks(*size) <= max_fs), SIZES[-1])
    sent = " ".join(f"[x={x},y={y}]" for x, y in SIZES)
    return f"* send {sent} recv [x=[{LEAST}:{width}],y=[{LEAST}:{height}]]"


def answered(media: MediaDescription, number: int, ours: int, max_fs: int) -> str | None:
    """The value for our answer about their format ``number``, ours ``ours``; None: they didn't ask, or nothing that
    they name is within what we do (§3.2).

    We send those of :data:`SIZES` that they take, and take those of their sets that we can hold.
    """
    wished = _preferred(_sets(media, number, "recv"))
    sent = [f"[x={x},y={y}]" for x, y in SIZES if any(each.holds((x, y)) for each in wished)]
    taken = [each.text for each in _sets(media, number, "send") if macroblocks(*each.largest) <= max_fs]
    sides = [f"{side} {' '.join(sets)}" for side, sets in (("send", sent), ("recv", taken)) if sets]
    return f"{ours} {' '.join(sides)}" if sides else None


def macroblocks(width: int, height: int) -> int:
    return -(-width // 16) * -(-height // 16)


def _preferred(sets: Sequence[_Set]) -> list[_Set]:
    most = max((each.preference for each in sets), default=0.0)
    return [each for each in sets if each.preference == most]


def _sets(media: MediaDescription, number: int, side: str) -> list[_Set]:
    """What they name for ``number``, else for all; a line of its own goes before (§3.1.1)."""
    for name in (str(number), "*"):
        for value in media.all("imageattr"):
            named, _, rest = value.strip().partition(" ")
            found = [match[2] for match in _SIDE.finditer(rest) if match[1] == side] if named == name else []
            if sets := list(_parsed(found[0])) if found else []:
                return sets
    return []


def _parsed(text: str) -> Iterator[_Set]:
    for match in _SIZE.finditer(text):
        x, y = _values(match[1]), _values(match[2])
        quality = _QUALITY.search(match[3])
        if x and y:
            yield _Set(match[0], x, y, float(quality[1]) if quality else 0.5)


def _last(values: Sequence[int]) -> int:
    return values[-1] if isinstance(values, range) else max(values)


def _values(text: str) -> Sequence[int]:
    """Of a value, a list ``[a,b]`` or a range ``[from:to]``, ``[from:step:to]``; empty: it makes no sense."""
    words = re.split("[:,]", text.strip("[]"))
    if not all(0 < len(word) < 6 for word in words):
        return ()
    numbers = [int(word) for word in words]
    if ":" not in text:
        return tuple(numbers) if all(numbers) else ()
    if "," in text or len(numbers) not in (2, 3):
        return ()
    step = numbers[1] if len(numbers) == 3 else 1
    return range(numbers[0], numbers[-1] + 1, step) if step and numbers[0] else ()
