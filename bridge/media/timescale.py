"""Taking a little time out of a voice without a step: overlap-add where the waveform repeats itself (WSOLA)."""

from __future__ import annotations

import numpy as np
from numpy.typing import NDArray

Pcm = NDArray[np.int16]

OVERLAP = 0.005
"""Seconds of cross-fade: more than half a period of the deepest voice, less than a syllable's onset."""


def shrink(pcm: Pcm, rate: int, remove: int) -> Pcm:
    """(samples,) -> (samples - remove,): leave ``remove`` samples out where both sides of the cut are most alike.

    The cut may be anywhere, so in speech with pauses it falls into one; the beginning and the end are untouched.

    Raises:
        ValueError: there is not enough sound to cut from.
    """
    width = int(OVERLAP * rate)
    last = len(pcm) - remove - width
    if remove < 0 or last < 0:
        raise ValueError(f"{remove} of {len(pcm)} samples can't be left out")
    wide = pcm.astype(np.float32)
    starts = np.arange(0, last + 1, max(1, rate // 8000))
    index = starts[:, None] + np.arange(width)[None, :]
    before, after = wide[index], wide[index + remove]
    # The summed squared difference rather than the correlation: silence is the best place of all.
    cost = np.square(before - after).sum(axis=1)
    cut = int(starts[int(np.argmin(cost))])
    ramp = np.linspace(0, 1, width, dtype=np.float32)
    joined = wide[cut : cut + width] * (1 - ramp) + wide[cut + remove : cut + remove + width] * ramp
    return np.concatenate((pcm[:cut], np.rint(joined).astype(np.int16), pcm[cut + remove + width :]))
