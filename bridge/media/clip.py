"""Sound files and signals that are played into calls: prompts, tones, recordings. All become int16 mono at 16 kHz."""

from __future__ import annotations

import io
import wave
from pathlib import Path

import av
import numpy as np
from numpy.typing import NDArray

from .codecs.g711 import PCMA, PCMU

Pcm = NDArray[np.int16]

RATE = 16000
LARGEST = 32 << 20
"""Bytes of a file: over half an hour of G.722; prompts are seconds."""
_RAW_RATE = {".ulaw": 8000, ".alaw": 8000, ".sln": 8000, ".sln16": 16000, ".g722": 16000}
_TONES = {
    # (Hz, seconds) after one another: two rising short notes, two falling, one alone
    "join": ((659.3, 0.09), (880.0, 0.14)),
    "leave": ((880.0, 0.09), (659.3, 0.14)),
    "beep": ((1000.0, 0.25),),
}


class ClipError(Exception):
    """A clip can't be played; the message says why and what to do."""


def load_clip(name: str | Path) -> Pcm:
    """A file's samples at 16 kHz: ``.wav`` (PCM, 8 or 16 bit), ``.g722``, ``.ulaw``, ``.alaw``, ``.sln``, ``.sln16``.

    Raises:
        ClipError: the file is missing, too large, or none of these.
    """
    path = Path(name)
    suffix = path.suffix.lower()
    try:
        if path.stat().st_size > LARGEST:
            raise ClipError(f"{path}: larger than {LARGEST >> 20} MB; cut it into shorter clips")
        data = path.read_bytes()
    except OSError as error:
        raise ClipError(f"{path}: {error.strerror}; check the prompts directory in the settings") from None
    if suffix == ".wav":
        pcm, rate = _read_wave(path, data)
    elif suffix in _RAW_RATE:
        pcm, rate = _read_raw(path, suffix, data), _RAW_RATE[suffix]
    else:
        raise ClipError(f"{path}: not a kind of file we play; use .wav, .g722, .ulaw, .alaw, .sln or .sln16")
    return resample(pcm, rate, RATE)


def _read_raw(path: Path, suffix: str, data: bytes) -> Pcm:
    octets = np.frombuffer(data, np.uint8)
    if suffix == ".ulaw":
        return np.asarray(PCMU.decode_rows(octets[None])[0], np.int16)
    if suffix == ".alaw":
        return np.asarray(PCMA.decode_rows(octets[None])[0], np.int16)
    if suffix in (".sln", ".sln16"):
        return np.frombuffer(data[: len(data) & ~1], "<i2").astype(np.int16)
    context = av.CodecContext.create("g722", "r")
    context.layout = "mono"
    context.sample_rate = RATE
    try:
        frames = [frame.to_ndarray()[0] for frame in context.decode(av.Packet(data))] if data else []
    except av.FFmpegError as error:
        raise ClipError(f"{path}: no G.722 ({error})") from None
    return np.concatenate(frames) if frames else np.zeros(0, np.int16)


def _read_wave(path: Path, data: bytes) -> tuple[Pcm, int]:
    try:
        with wave.open(io.BytesIO(data)) as file:
            width, channels, rate = file.getsampwidth(), file.getnchannels(), file.getframerate()
            raw = file.readframes(file.getnframes())
    except (wave.Error, EOFError) as error:
        raise ClipError(
            f"{path}: no PCM WAV file ({error}); convert it with: sox IN -b 16 -r 16000 -c 1 OUT.wav"
        ) from None
    if width not in (1, 2) or not 4000 <= rate <= 192000:
        raise ClipError(f"{path}: {8 * width} bit at {rate} Hz; convert it with: sox IN -b 16 -r 16000 -c 1 OUT.wav")
    if width == 1:
        pcm = (np.frombuffer(raw, np.uint8).astype(np.int16) - 128) << 8
    else:
        pcm = np.frombuffer(raw[: len(raw) & ~1], "<i2")
    whole = pcm[: len(pcm) // channels * channels].reshape(-1, channels)
    return whole.astype(np.int32).mean(axis=1).astype(np.int16), rate


def resample(pcm: Pcm, rate: int, to: int) -> Pcm:
    """(samples,) at ``rate`` -> the same sound at ``to`` Hz (libswresample)."""
    if rate == to or not len(pcm):
        return pcm.astype(np.int16)
    resampler = av.AudioResampler(format="s16", layout="mono", rate=to)
    frame = av.AudioFrame.from_ndarray(np.ascontiguousarray(pcm)[None], format="s16", layout="mono")
    frame.sample_rate = rate
    parts = [out.to_ndarray()[0] for out in (*resampler.resample(frame), *resampler.resample(None))]
    return np.concatenate([np.zeros(0, np.int16), *parts]).astype(np.int16)  # a few samples may make none


def tone(name: str, rate: int) -> Pcm:
    """A signal: ``join``, ``leave``, ``beep``; at -20 dBov, edges softened over 8 ms.

    Raises:
        ClipError: no signal has that name.
    """
    notes = _TONES.get(name)
    if notes is None:
        raise ClipError(f"no tone {name!r}; there are {', '.join(_TONES)}")
    parts = []
    for hertz, seconds in notes:
        t = np.arange(int(seconds * rate))
        edge = np.minimum(1.0, np.minimum(t, t[::-1]) / (0.008 * rate))
        parts.append(4600 * edge * np.sin(2 * np.pi * hertz * t / rate))
    return np.concatenate(parts).astype(np.int16)
