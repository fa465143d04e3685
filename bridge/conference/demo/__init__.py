"""The demo's simulated talkers: recorded voices who seem to wait for somebody (sources and licence: LICENCE.txt)."""

from __future__ import annotations

from dataclasses import dataclass
from pathlib import Path

_HERE = Path(__file__).parent


@dataclass(frozen=True, slots=True)
class Talker:
    """One of those who take turns."""

    name: str
    """Shown in lists of participants."""
    clips: tuple[str, ...]
    """Absolute names of G.722 files: what is said in the first round, in the second..."""


def talkers() -> tuple[Talker, ...]:
    """Three, with as many clips each, so that every round has its own sentences."""
    names = ("June", "Allison", "Luc")
    return tuple(Talker(name, tuple(sorted(map(str, _HERE.glob(f"{name.lower()}-*.g722"))))) for name in names)
