"""The payload kinds a worker knows, as small integers with their clocks: what the per-row arrays hold."""

from __future__ import annotations

import enum

import numpy as np
from numpy.typing import NDArray

from .protocol import CodecSpec


class Kind(enum.IntEnum):
    NONE = 0
    PCMU = 1
    PCMA = 2
    G722 = 3
    OPUS = 4
    L16_16 = 5
    L16_48 = 6
    CN = 7
    EVENT = 8


SAMPLE_RATE: NDArray[np.int32] = np.array([0, 8000, 8000, 16000, 48000, 16000, 48000, 8000, 8000], np.int32)
"""(kinds,) samples a second."""
CLOCK_RATE: NDArray[np.int32] = np.array([0, 8000, 8000, 8000, 48000, 16000, 48000, 8000, 8000], np.int32)
"""(kinds,) RTP timestamp units a second; G.722's is 8000 (RFC 3551 §4.5.2)."""
BYTES_PER_TICK: NDArray[np.int32] = np.array([1, 1, 1, 1, 1, 2, 2, 1, 1], np.int32)
"""(kinds,) payload bytes a timestamp unit, for the codecs of fixed rate."""
SPEECH = (Kind.PCMU, Kind.PCMA, Kind.G722, Kind.OPUS, Kind.L16_16, Kind.L16_48)

_NAMES = {
    ("PCMU", 8000): Kind.PCMU,
    ("PCMA", 8000): Kind.PCMA,
    ("G722", 8000): Kind.G722,
    ("OPUS", 48000): Kind.OPUS,
    ("L16", 16000): Kind.L16_16,
    ("L16", 48000): Kind.L16_48,
}


def kind_of(codec: CodecSpec) -> Kind:
    """The kind of a negotiated codec.

    Raises:
        ValueError: no worker knows it, or its payload type is none.
    """
    if not 0 <= codec.payload_type <= 127:
        raise ValueError(f"{codec.payload_type} is no payload type")
    name = codec.name.upper()
    if name == "CN":
        return Kind.CN
    if name == "TELEPHONE-EVENT":
        return Kind.EVENT
    kind = _NAMES.get((name, codec.clock_rate))
    if kind is None or (codec.channels != 1 and kind is not Kind.OPUS):
        raise ValueError(f"no codec {codec.name}/{codec.clock_rate}/{codec.channels} here")
    return kind
