"""NAL units (ITU-T H.264 annex B, ISO 14496-15): taking streams of them apart, and the memory of parameter sets."""

from __future__ import annotations

from collections.abc import Iterable
from typing import Final

from .payload import PayloadError

START: Final = b"\0\0\0\1"
"""What stands before each NAL unit that we write."""
CODE: Final = b"\0\0\1"
"""What can stand nowhere inside of one (H.264 §7.4.1)."""
MAX_UNITS: Final = 2048
"""NAL units of an access unit; one of 1080p in slices of a packet each has 500."""
MAX_NEW: Final = 4
"""Sequence parameter sets of an access unit that are looked at for the first time; encoders have one or two."""
MAX_SETS: Final = 32
"""Parameter sets of one kind remembered; encoders have one or two."""
MAX_SETS_SIZE: Final = 1024
"""Octets of one."""


def split(stream: bytes) -> list[bytes]:
    """The NAL units of an Annex B byte stream; none is empty."""
    units = []
    at = stream.find(CODE)
    while at >= 0:
        end = stream.find(CODE, at + 3)
        unit = stream[at + 3 : end if end >= 0 else len(stream)].rstrip(b"\0")
        if unit:
            units.append(unit)
        at = end
    return units


def units(frame: bytes) -> list[bytes]:
    """The NAL units of an access unit, whether a start code or a length of four octets (AVCC) stands before each.

    Raises:
        PayloadError: it is neither.
    """
    found, at = [], 0
    while at + 4 < len(frame):  # a start code read as a length leads to no end that fits
        size = int.from_bytes(frame[at : at + 4], "big")
        found.append(frame[at + 4 : at + 4 + size])
        at += 4 + size
        if not size:
            break
    if at == len(frame) and found and found[-1]:
        return found
    found = split(frame)
    if not found:
        raise PayloadError("no NAL unit")
    return found


class ParameterSets:
    """The latest of each parameter set, to be put before a keyframe that comes without. Bounded."""

    def __init__(self) -> None:
        self._sets: dict[tuple[int, int], bytes] = {}

    def keep(self, kind: int, identifier: int, unit: bytes) -> None:
        """Remember one.

        Args:
            kind: sets are given back by ascending kind.

        Raises:
            PayloadError: too long, or there are too many.
        """
        if len(unit) > MAX_SETS_SIZE:
            raise PayloadError("a parameter set too long")
        key = kind, identifier
        if key not in self._sets and sum(k == kind for k, _ in self._sets) >= MAX_SETS:
            raise PayloadError("too many parameter sets")
        self._sets[key] = unit

    def known(self, kind: int, unit: bytes) -> bool:
        """Whether exactly this one is remembered: it was looked at before."""
        return any(k == kind and held == unit for (k, _), held in self._sets.items())

    def stream(self, needed: Iterable[int]) -> bytes:
        """All of them as an Annex B stream.

        Raises:
            PayloadError: one of the needed kinds is missing.
        """
        if set(needed) - {kind for kind, _ in self._sets}:
            raise PayloadError("a keyframe whose parameter sets never came")
        return b"".join(START + self._sets[key] for key in sorted(self._sets))
