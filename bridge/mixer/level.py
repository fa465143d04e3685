"""Levels: mean square of blocks, and dBov (RFC 6464, RFC 6465)."""

from __future__ import annotations

import numpy as np
from numpy.typing import NDArray

FULL_SCALE = 32768.0**2
SILENCE = -127.0


def mean_square(pcm: NDArray[np.int16]) -> NDArray[np.float32]:
    """(n, samples) -> (n,) mean square, full scale 32768 squared."""
    wide = pcm.astype(np.float32)
    power: NDArray[np.float32] = np.einsum("ij,ij->i", wide, wide) / np.float32(max(pcm.shape[1], 1))
    return power


def dbov(power: NDArray[np.float32]) -> NDArray[np.float32]:
    """Mean square -> dBov, 0 (a full-scale square wave) down to -127."""
    level: NDArray[np.float32] = 10 * np.log10(np.maximum(power / np.float32(FULL_SCALE), 1e-13))
    return np.maximum(level, np.float32(SILENCE))


def power_of(level_dbov: NDArray[np.float32]) -> NDArray[np.float32]:
    """dBov -> mean square."""
    power: NDArray[np.float32] = (FULL_SCALE * 10 ** (level_dbov / 10)).astype(np.float32)
    return power
