"""Real speech for the media tests: what the package's demo has, else Debian's recorded prompts."""

from __future__ import annotations

import os
from pathlib import Path

import numpy as np
import pytest

from bridge.media.clip import load_clip

PLACES = (Path(__file__).parents[2] / "bridge/conference/demo", Path("/usr/share/asterisk/sounds"))
ENOUGH = 16000 * 20


@pytest.fixture(scope="session")
def speech() -> np.ndarray:
    """20 s or more of voices, (samples,) int16 at 16 kHz; a run in CI must have them."""
    parts: list[np.ndarray] = []
    for place in PLACES:
        for path in sorted(place.rglob("*.g722"))[:200]:
            clip = load_clip(path)
            if len(clip) > 16000 and "silence" not in path.parts:
                parts.append(clip)
            if sum(map(len, parts)) > ENOUGH * 3:
                break
        if sum(map(len, parts)) > ENOUGH:
            return np.concatenate(parts)
    message = "no recorded speech: apt-get install --no-install-recommends asterisk-core-sounds-en-g722"
    if os.environ.get("CI") == "true":
        pytest.fail(message)
    pytest.skip(message)
