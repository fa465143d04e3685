"""What the phones of a benchmark say: real speech where Debian's recordings are installed, noise, and silence."""

from __future__ import annotations

from pathlib import Path

import numpy as np
from numpy.typing import NDArray

from bridge.media.clip import load_clip, resample
from bridge.media.codecs.codec import EncoderSettings
from bridge.media.codecs.g711 import PCMA, PCMU
from bridge.media.codecs.g722 import G722Encoder
from bridge.media.codecs.opus import OpusEncoder

from .crowd import Script

Pcm = NDArray[np.int16]

RECORDINGS = (Path("/usr/share/asterisk/sounds/fr_CA_f_June"), Path("/usr/share/asterisk/sounds/en_US_f_Allison"))
RATES = {"PCMU": 8000, "PCMA": 8000, "G722": 16000, "OPUS": 48000, "L16": 16000}
CLOCKS = {"PCMU": 8000, "PCMA": 8000, "G722": 8000, "OPUS": 48000, "L16": 16000}
TYPES = {"PCMU": 0, "PCMA": 8, "G722": 9, "OPUS": 96, "L16": 97}
PACKETS = 100
"""Packets (2 s) before a phone says the same again."""
NOISE = 30.0
"""Standard deviation of a quiet line's noise: -61 dBov."""


def speech(seed: int, rate: int, packets: int = PACKETS) -> Pcm:
    """(packets * rate / 50,) of somebody talking."""
    samples = packets * rate // 50
    files = sorted(path for folder in RECORDINGS for path in folder.glob("*.g722") if path.stat().st_size > 16000)
    if not files:  # syllables of a tone, so that levels and selection have something to do
        t = np.arange(samples) / rate
        envelope = np.maximum(0, np.sin(2 * np.pi * 3 * t + seed))
        return (9000 * envelope * np.sin(2 * np.pi * (150 + 20 * seed) * t)).astype(np.int16)
    parts: list[Pcm] = []
    while sum(map(len, parts)) < samples:
        parts.append(resample(load_clip(files[(37 * seed + len(parts)) % len(files)]), 16000, rate))
    return np.concatenate(parts)[:samples]


def noise(seed: int, rate: int, packets: int = PACKETS) -> Pcm:
    return np.random.default_rng(seed).normal(0, NOISE, packets * rate // 50).astype(np.int16)


def encode(pcm: Pcm, codec: str) -> list[bytes]:
    """Payloads of 20 ms."""
    blocks = pcm.reshape(-1, RATES[codec] // 50)
    if codec in ("PCMU", "PCMA"):
        return [row.tobytes() for row in (PCMU if codec == "PCMU" else PCMA).encode_rows(blocks)]
    if codec == "L16":
        return [block.astype(">i2").tobytes() for block in blocks]
    encoder = G722Encoder() if codec == "G722" else OpusEncoder(EncoderSettings(bitrate=32000))
    payloads = [encoder.encode(block) for block in blocks]
    encoder.close()
    return payloads


def script(codecs: list[str], talking: list[bool], *, marks: bool = False) -> Script:
    """Phones with these codecs, of whom some talk and the others' lines hiss.

    Args:
        marks: some packets are marks; by the talkers, who are quieter than these, or by all if nobody talks.
    """
    payloads: list[bytes] = []
    lists: dict[tuple[str, str, int], NDArray[np.intp]] = {}

    def said(codec: str, what: str, seed: int) -> NDArray[np.intp]:
        key = (codec, what, seed)
        if key not in lists:
            make = speech if what == "speech" else noise
            lists[key] = len(payloads) + np.arange(PACKETS)
            pcm = make(seed, RATES[codec])
            payloads.extend(encode(pcm // 8 if marks and what == "speech" else pcm, codec))
        return lists[key]

    which = []
    talkers = 0
    for n, (codec, talks) in enumerate(zip(codecs, talking, strict=True)):
        which.append(np.roll(said(codec, "speech", talkers % 8) if talks else said(codec, "noise", n % 4), -7 * n))
        talkers += talks
    mark = -1
    if marks:
        t = np.arange(160) / 8000
        loud = (30000 * np.sign(np.sin(2 * np.pi * 500 * t))).astype(np.int16)
        mark = len(payloads)
        payloads.append(encode(loud, "PCMU")[0])
    width = max(map(len, payloads))
    matrix = np.frombuffer(b"".join(payload.ljust(width, b"\0") for payload in payloads), np.uint8)
    return Script(
        payloads=matrix.reshape(-1, width).copy(),
        lengths=np.array([len(payload) for payload in payloads], np.int32),
        which=np.stack(which).astype(np.intp),
        payload_type=np.array([TYPES[codec] for codec in codecs], np.uint8),
        ticks=np.array([CLOCKS[codec] // 50 for codec in codecs], np.uint32),
        markers=talkers,
        mark=mark,
    )
