"""Offers as WHIP and WHEP clients make them: real browsers' and aiortc's, in one direction."""

from __future__ import annotations

import re
from pathlib import Path

PLACE = Path(__file__).resolve().parents[2] / "signalling" / "offers"
NAMES = ("aiortc", "chromium", "safari")
DIRECTION = re.compile(rb"a=(sendrecv|sendonly|recvonly|inactive)")


def offer(name: str = "chromium", direction: str = "sendonly") -> bytes:
    return DIRECTION.sub(b"a=" + direction.encode(), (PLACE / f"{name}.sdp").read_bytes())
