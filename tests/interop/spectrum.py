"""Which tones are in a recording, and how loud; and recordings to play."""

from __future__ import annotations

import wave
from dataclasses import dataclass
from pathlib import Path

import numpy as np
from numpy.typing import NDArray

LEVEL = -18.0
"""dBFS of the tones that are played: four of them together stay below what a limiter would touch."""
SILENCE = -120.0
"""dBFS, for nothing at all."""
HEARD, ABSENT = -35.0, -52.0
"""dBFS: a tone above the one is heard, one below the other is not there. Between them lies nothing: what codecs make of
a tone beside it is 35 dB and more below that."""


@dataclass(frozen=True, slots=True)
class Sound:
    samples: NDArray[np.float64]
    """One channel, full scale is 1.0."""
    rate: int

    @property
    def seconds(self) -> float:
        return len(self.samples) / self.rate

    def last(self, seconds: float) -> Sound:
        return Sound(self.samples[-round(seconds * self.rate) :], self.rate)

    def after(self, seconds: float) -> Sound:
        return Sound(self.samples[round(seconds * self.rate) :], self.rate)

    def level(self, frequency: float) -> float:
        """dBFS of a tone within 12 Hz of ``frequency``; a full-scale sine has 0."""
        count = len(self.samples)
        if count < self.rate // 5:
            return SILENCE
        window = np.hanning(count)
        power = np.abs(np.fft.rfft(self.samples * window)) ** 2 * 2 / (count * np.sum(window**2))
        near = np.abs(np.fft.rfftfreq(count, 1 / self.rate) - frequency) <= 12
        # A sine of full scale has half the power of 1.0.
        return max(SILENCE, float(10 * np.log10(2 * power[near].sum() + 1e-12)))

    def tones(self, frequencies: tuple[int, ...]) -> dict[int, float]:
        return {frequency: round(self.level(frequency), 1) for frequency in frequencies}

    def heard(self, frequencies: tuple[int, ...]) -> set[int]:
        """Those that are there. Fails if one is neither clearly there nor clearly not."""
        levels = self.tones(frequencies)
        vague = {frequency: level for frequency, level in levels.items() if ABSENT < level < HEARD}
        assert not vague, f"neither heard nor absent, in {self.seconds:.1f} s: {vague} of {levels}"
        return {frequency for frequency, level in levels.items() if level >= HEARD}


def read(path: Path, *, start: int = 0) -> Sound:
    """A WAV of 16 or 8 bits, even one that is still being written. ``start``: byte to begin at, from :func:`size`."""
    data = path.read_bytes()
    at, channels, rate, width = 12, 1, 8000, 2
    while at + 8 <= len(data) and data[at : at + 4] != b"data":
        if data[at : at + 4] == b"fmt ":
            channels = int.from_bytes(data[at + 10 : at + 12], "little")
            rate = int.from_bytes(data[at + 12 : at + 16], "little")
            width = int.from_bytes(data[at + 22 : at + 24], "little") // 8
        at += 8 + int.from_bytes(data[at + 4 : at + 8], "little")
    at += 8
    frame = channels * width
    if start > at:
        at += (start - at) // frame * frame
    body = data[at : at + (len(data) - at) // frame * frame] if len(data) > at else b""
    if width == 1:
        samples = (np.frombuffer(body, np.uint8).astype(np.float64) - 128) / 128
    else:
        samples = np.frombuffer(body, "<i2").astype(np.float64) / 32768
    return Sound(samples.reshape(-1, channels).mean(1), rate)


def size(path: Path) -> int:
    return path.stat().st_size


def _sine(frequency: int, seconds: float, rate: int) -> NDArray[np.float64]:
    """16-bit scale."""
    return np.sin(2 * np.pi * frequency * np.arange(round(seconds * rate)) / rate) * 32767 * 10 ** (LEVEL / 20)


def write_tone(path: Path, frequency: int, seconds: float, *, rate: int = 16_000, channels: int = 1) -> Path:
    """A sine at :data:`LEVEL`."""
    with wave.open(str(path), "wb") as out:
        out.setnchannels(channels)
        out.setsampwidth(2)
        out.setframerate(rate)
        out.writeframes(np.repeat(_sine(frequency, seconds, rate).astype("<i2"), channels).tobytes())
    return path


def write_ulaw(path: Path, frequency: int, seconds: float) -> Path:
    """A sine at :data:`LEVEL`, raw G.711 u-law at 8 kHz, for sipp's rtp_stream."""
    pcm = _sine(frequency, seconds, 8000)
    # G.711: sign, three bits of exponent, four of mantissa, all inverted.
    magnitude = np.minimum(np.abs(pcm).astype(np.int64), 32635) + 132
    exponent = np.floor(np.log2(magnitude)).astype(np.int64) - 7
    mantissa = (magnitude >> (exponent + 3)) & 15
    sign = np.where(pcm < 0, 0x80, 0)
    path.write_bytes((~(sign | (exponent << 4) | mantissa) & 0xFF).astype(np.uint8).tobytes())
    return path
