"""H.264 and H.265 sequence parameter sets: as much as tells the picture's size before a decoder takes memory for it."""

from __future__ import annotations

from dataclasses import dataclass
from typing import Final

from .payload import Bits, Limits, PayloadError

MAX_SIZE: Final = 1024
"""Octets of a parameter set that are taken. With every scaling list written out in full an SPS has some 700."""

# Profiles whose SPS tell their chroma format (H.264 §7.3.2.1.1).
_CHROMA_PROFILES: Final = frozenset((100, 110, 122, 244, 44, 83, 86, 118, 128, 138, 139, 134, 135))


@dataclass(frozen=True, slots=True)
class Sps:
    identifier: int
    profile_idc: int
    constraints: int
    """The octet of constraint_set flags; 0 in H.265."""
    level_idc: int
    width: int
    """Luma samples, cropped: as shown."""
    height: int
    coded_width: int
    """Luma samples, as decoded."""
    coded_height: int
    chroma: int = 1
    """chroma_format_idc: 0 grey, 1 4:2:0, 2 4:2:2, 3 4:4:4."""
    depth: int = 8
    """Bits a luma sample."""
    references: int = 0
    """Frames kept for reference."""


def unescaped(nal: bytes) -> bytes:
    """A NAL unit without its emulation prevention (H.264 §7.3.1)."""
    return nal.replace(b"\0\0\3", b"\0\0")


def parse_sps(nal: bytes, limits: Limits | None = None) -> Sps:
    """An H.264 SPS NAL unit, its header octet included.

    Raises:
        PayloadError: it is none, or its picture is larger than what is taken.
    """
    if len(nal) > MAX_SIZE or len(nal) < 5 or nal[0] & 31 != 7:
        raise PayloadError("no sequence parameter set")
    bits = Bits(unescaped(nal[1:]))
    profile, constraints, level = bits.take(8), bits.take(8), bits.take(8)
    identifier = _at_most(bits.unsigned(), 31)
    chroma, depth, planes = 1, 8, False
    if profile in _CHROMA_PROFILES:
        chroma, depth, planes = _chroma(bits)
    _at_most(bits.unsigned(), 12)  # log2_max_frame_num_minus4
    _skip_order(bits)
    references = _at_most(bits.unsigned(), 16)
    bits.skip(1)  # gaps_in_frame_num_value_allowed_flag
    across, down = bits.unsigned() + 1, bits.unsigned() + 1
    frames_only = bits.take(1)
    if not frames_only:
        bits.skip(1)  # mb_adaptive_frame_field_flag
    bits.skip(1)  # direct_8x8_inference_flag
    width, height = 16 * across, 16 * down * (2 - frames_only)
    (limits or Limits()).check(width, height)
    left, right, top, bottom = (bits.unsigned() for _ in range(4)) if bits.take(1) else (0, 0, 0, 0)
    colour = 0 if planes else chroma
    unit_x = 2 if colour in (1, 2) else 1
    unit_y = (2 if colour == 1 else 1) * (2 - frames_only)
    shown = width - unit_x * (left + right), height - unit_y * (top + bottom)
    if min(shown) <= 0:
        raise PayloadError("cropped to nothing")
    return Sps(identifier, profile, constraints, level, *shown, width, height, chroma, depth, references)


def _at_most(value: int, limit: int) -> int:
    if value > limit:
        raise PayloadError("a parameter out of range")
    return value


def _chroma(bits: Bits) -> tuple[int, int, bool]:
    chroma = _at_most(bits.unsigned(), 3)
    planes = bool(chroma == 3 and bits.take(1))
    depth = 8 + _at_most(bits.unsigned(), 6)
    _at_most(bits.unsigned(), 6)
    bits.skip(1)  # qpprime_y_zero_transform_bypass_flag
    if bits.take(1):
        for index in range(12 if chroma == 3 else 8):
            if bits.take(1):
                _skip_scaling(bits, 16 if index < 6 else 64)
    return chroma, depth, planes


def _skip_scaling(bits: Bits, size: int) -> None:
    scale = 8
    for _ in range(size):  # §7.3.2.1.1.1
        scale = (scale + bits.signed()) % 256
        if scale == 0:
            return


def _skip_order(bits: Bits) -> None:
    kind = _at_most(bits.unsigned(), 2)
    if kind == 0:
        _at_most(bits.unsigned(), 12)
    elif kind == 1:
        bits.skip(1)
        bits.signed()
        bits.signed()
        for _ in range(_at_most(bits.unsigned(), 255)):
            bits.signed()


def parse_h265_sps(nal: bytes, limits: Limits | None = None) -> Sps:
    """An H.265 SPS NAL unit (ITU-T H.265 §7.3.2.2), its two header octets included.

    Raises:
        PayloadError: it is none, or its picture is larger than what is taken.
    """
    if len(nal) > MAX_SIZE or len(nal) < 4 or nal[0] >> 1 & 63 != 33:
        raise PayloadError("no sequence parameter set")
    bits = Bits(unescaped(nal[2:]))
    bits.skip(4)
    layers = bits.take(3)
    bits.skip(1)
    bits.skip(3)  # general_profile_space, general_tier_flag
    profile = bits.take(5)
    bits.skip(32 + 48)
    level = bits.take(8)
    present = [(bits.take(1), bits.take(1)) for _ in range(layers)]
    if layers:
        bits.skip(2 * (8 - layers))
    for has_profile, has_level in present:
        bits.skip(88 * has_profile + 8 * has_level)
    identifier = _at_most(bits.unsigned(), 15)
    chroma = _at_most(bits.unsigned(), 3)
    planes = bool(chroma == 3 and bits.take(1))
    width, height = bits.unsigned(), bits.unsigned()
    (limits or Limits()).check(width, height)
    left, right, top, bottom = (bits.unsigned() for _ in range(4)) if bits.take(1) else (0, 0, 0, 0)
    depth = 8 + _at_most(bits.unsigned(), 8)
    colour = 0 if planes else chroma
    unit_x, unit_y = 2 if colour in (1, 2) else 1, 2 if colour == 1 else 1
    shown = width - unit_x * (left + right), height - unit_y * (top + bottom)
    if min(shown) <= 0:
        raise PayloadError("cropped to nothing")
    return Sps(identifier, profile, 0, level, *shown, width, height, chroma, depth)
