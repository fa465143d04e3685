"""Comfort noise (RFC 3389): what a silent talker's payload asks for, and what we tell a silent listener."""

from __future__ import annotations

import numpy as np
from numpy.typing import NDArray

Pcm = NDArray[np.int16]

FULL_SCALE = 32768.0**2


def cn_power(payload: bytes) -> float:
    """Mean square of the noise asked for: the first byte is the level in -dBov (RFC 3389 §3.1).

    The spectral coefficients behind it may be ignored by a receiver (§4); white noise is what we make.
    """
    return FULL_SCALE * 10 ** (-(payload[0] & 0x7F) / 10) if payload else 0.0


def cn_payload(power: float) -> bytes:
    """The level byte for noise of that mean square."""
    level = -10 * np.log10(max(power / FULL_SCALE, 1e-13))
    return bytes([int(np.clip(round(level), 0, 127))])


def comfort_noise(power: float, samples: int, rng: np.random.Generator) -> Pcm:
    """(samples,) white noise of that mean square; capped at -30 dBov, where comfort ends."""
    if power < 0.5:
        return np.zeros(samples, np.int16)
    sigma = min(power, FULL_SCALE * 1e-3) ** 0.5
    noise: Pcm = np.rint(rng.standard_normal(samples) * sigma).astype(np.int16)
    return noise
