"""H.264 levels and profiles as SDP speaks of them (ITU-T H.264 annex A, RFC 6184 §8.1)."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass
from typing import Final

from .payload import PayloadError

BASELINE: Final = "baseline"
CONSTRAINED_BASELINE: Final = "constrained-baseline"
MAIN: Final = "main"
EXTENDED: Final = "extended"
HIGH: Final = "high"
CONSTRAINED_HIGH: Final = "constrained-high"

LEVEL_1B: Final = 9
"""Level 1b as we number it, and as High profile's level_idc does (H.264 A.3.2)."""


@dataclass(frozen=True, slots=True)
class Level:
    """A row of H.264 table A-1."""

    max_mbps: int
    """Macroblocks a second."""
    max_fs: int
    """Macroblocks a frame."""
    max_br: int
    """Kilobits a second, of the profiles below High, VCL (cpbBrVclFactor 1000)."""
    max_dpb: int
    """Macroblocks the decoder keeps."""


LEVELS: Final[Mapping[int, Level]] = {
    10: Level(1485, 99, 64, 396),
    LEVEL_1B: Level(1485, 99, 128, 396),
    11: Level(3000, 396, 192, 900),
    12: Level(6000, 396, 384, 2376),
    13: Level(11880, 396, 768, 2376),
    20: Level(11880, 396, 2000, 2376),
    21: Level(19800, 792, 4000, 4752),
    22: Level(20250, 1620, 4000, 8100),
    30: Level(40500, 1620, 10000, 8100),
    31: Level(108000, 3600, 14000, 18000),
    32: Level(216000, 5120, 20000, 20480),
    40: Level(245760, 8192, 20000, 32768),
    41: Level(245760, 8192, 50000, 32768),
    42: Level(522240, 8704, 50000, 34816),
    50: Level(589824, 22080, 135000, 110400),
    51: Level(983040, 36864, 240000, 184320),
    52: Level(2073600, 36864, 240000, 184320),
    60: Level(4177920, 139264, 240000, 696320),
    61: Level(8355840, 139264, 480000, 696320),
    62: Level(16711680, 139264, 800000, 696320),
}
"""By level_idc, in ascending order."""

# RFC 6184 table 5: profile_idc, the bits of profile-iop that count, their values.
_PROFILES: Final = (
    (66, 0x4F, 0x40, CONSTRAINED_BASELINE),
    (77, 0x8F, 0x80, CONSTRAINED_BASELINE),
    (88, 0xCF, 0xC0, CONSTRAINED_BASELINE),
    (66, 0x4F, 0x00, BASELINE),
    (88, 0xCF, 0x80, BASELINE),
    (77, 0x8F, 0x00, MAIN),
    (88, 0xCF, 0x00, EXTENDED),
    (100, 0xFF, 0x00, HIGH),
    (100, 0xFF, 0x0C, CONSTRAINED_HIGH),
)


@dataclass(frozen=True, slots=True)
class ProfileLevel:
    """A ``profile-level-id``."""

    profile: str
    """One of this module's names; "" for a profile that isn't spoken of here."""
    level: int
    """level_idc; :data:`LEVEL_1B` for 1b however it is written."""
    profile_idc: int = 66
    constraints: int = 0xE0
    """profile-iop."""

    def __str__(self) -> str:
        level, constraints = self.level, self.constraints
        if level == LEVEL_1B and self.profile_idc in (66, 77, 88):
            level, constraints = 11, constraints | 0x10
        return f"{self.profile_idc:02x}{constraints:02x}{level:02x}"


DEFAULT: Final = ProfileLevel(BASELINE, 10, 66, 0)
"""What is meant where nothing is said (RFC 6184 §8.1)."""


def profile_level(text: str) -> ProfileLevel:
    """Read a ``profile-level-id``.

    Raises:
        PayloadError: it is not six hexadecimal digits, or names no level.
    """
    try:
        idc, constraints, level = bytes.fromhex(text) if len(text) == 6 else b""
    except ValueError:
        raise PayloadError("a profile-level-id has six hexadecimal digits") from None
    return _profile_level(idc, constraints, level)


def _profile_level(idc: int, constraints: int, level: int) -> ProfileLevel:
    if idc in (66, 77, 88) and level == 11 and constraints & 0x10:
        level, constraints = LEVEL_1B, constraints & ~0x10
    if level not in LEVELS:
        raise PayloadError(f"there is no level_idc {level}")
    name = next((name for i, mask, value, name in _PROFILES if i == idc and constraints & mask == value), "")
    return ProfileLevel(name, level, idc, constraints)


@dataclass(frozen=True, slots=True)
class Capability:
    """How much a decoder takes: its level, raised by what its ``fmtp`` adds (RFC 6184 §8.1)."""

    max_mbps: int
    max_fs: int
    max_br: int
    """Kilobits a second."""

    def fits(self, width: int, height: int, rate: float) -> bool:
        """Whether such pictures may be sent, ``rate`` a second (H.264 A.3.1)."""
        across, down = -(-width // 16), -(-height // 16)
        frame = across * down
        # A side is at most sqrt(8 MaxFS) macroblocks, so that no picture is a line.
        slim = across * across > 8 * self.max_fs or down * down > 8 * self.max_fs
        return frame <= self.max_fs and frame * rate <= self.max_mbps + 1e-6 and not slim


def capability(parameters: Mapping[str, str]) -> Capability:
    """What the ``fmtp`` parameters of an H.264 payload type say that its side can receive.

    Values below the level's own count as the level's (RFC 6184 §8.1: they signal more, never less), unreadable ones are
    passed over.

    Raises:
        PayloadError: its ``profile-level-id`` is none.
    """
    text = parameters.get("profile-level-id")
    told = profile_level(text) if text else DEFAULT
    row = LEVELS[told.level]
    factor = 5 if told.profile_idc == 100 else 4  # cpbBrVclFactor is 1250 in High (H.264 table A-2)
    return Capability(
        max(row.max_mbps, _number(parameters.get("max-mbps"))),
        max(row.max_fs, _number(parameters.get("max-fs"))),
        max(row.max_br * factor // 4, _number(parameters.get("max-br")) * factor // 4),
    )


def _number(text: str | None) -> int:
    return int(text) if text and text.isascii() and text.isdigit() and len(text) < 10 else 0


def fits(width: int, height: int, rate: float, level: int, *, max_fs: int = 0, max_mbps: int = 0) -> bool:
    """Whether such pictures keep to a level that two ``fmtp`` parameters may have raised; False for no level."""
    row = LEVELS.get(level)
    if row is None:
        return False
    return Capability(max(row.max_mbps, max_mbps), max(row.max_fs, max_fs), row.max_br).fits(width, height, rate)


def level_for(width: int, height: int, rate: float, kilobits: float = 0) -> int:
    """The lowest level that such a stream keeps to, to be told to the encoder and in SDP.

    Raises:
        PayloadError: none does.
    """
    for level, row in LEVELS.items():
        if kilobits <= row.max_br and fits(width, height, rate, level):
            return level
    raise PayloadError(f"no level takes {width}x{height} at {rate}")
