"""Makes the prompts' sound from their words: ``python -m bridge.conference.prompts.make`` (or ``make prompts``).

espeak-ng speaks, then everything is integer arithmetic up to the G.722 coder, so that the same words and the same
espeak-ng give the same bytes on every machine. Only what changed is made again.
"""

from __future__ import annotations

import argparse
import hashlib
import io
import json
import math
import shutil
import subprocess
import sys
import wave
from collections.abc import Iterator
from fractions import Fraction
from pathlib import Path

import av
import numpy as np
from numpy.typing import NDArray

from . import HERE, LANGUAGES, Voice, texts

Pcm = NDArray[np.int16]

MADE = HERE / "made.json"
"""What the files were made with and from."""
TABLE = HERE.parents[2] / "docs" / "prompts.md"
MARKS = ("<!-- texts -->", "<!-- end of texts -->")

RATE = 16000
SOURCE_RATE = 22050
"""espeak-ng's."""
LEVEL = 10 ** (-20 / 20) * 32768
"""RMS of active speech, -20 dBov as the tones have."""
PEAK = 29000
"""Nothing is louder, so that the codec has room."""
FRAME = RATE // 50
ACTIVE = 1000
"""A 20 ms frame is speech if its power is at least the loudest one's by this (30 dB)."""
QUIET = 160
"""-46 dBov: softer than this at either end is silence, and cut off."""
EDGE = RATE // 50
"""Samples of silence left in front and behind; a number's pieces have none, for they are said without a pause."""
_UP, _DOWN = 320, 441
"""16000 / 22050."""
_TAPS = 24
"""Input samples that an output sample is made of, on either side."""
_SCALE = 15
"""Bits of the filter's coefficients."""


class EspeakMissing(Exception):
    """espeak-ng is not installed, or failed; the message says what to do."""


def espeak_version() -> str:
    """``1.51``.

    Raises:
        EspeakMissing: there is none.
    """
    words = _espeak(["--version"]).decode(errors="replace").split()
    return next((word for word in words if word[:1].isdigit()), "unknown")


def _espeak(arguments: list[str]) -> bytes:
    program = shutil.which("espeak-ng")
    if program is None:
        raise EspeakMissing("espeak-ng is not installed; as root: apt-get install espeak-ng")
    done = subprocess.run([program, *arguments], capture_output=True, timeout=60, check=False)
    if done.returncode:
        raise EspeakMissing(f"espeak-ng {' '.join(arguments)}: {done.stderr.decode(errors='replace').strip()}")
    return done.stdout


def speak(text: str, voice: Voice) -> Pcm:
    """(samples,) at :data:`SOURCE_RATE`, as espeak-ng says it.

    Raises:
        EspeakMissing: there is no espeak-ng, or it hasn't that voice.
    """
    options = ["-v", voice.name, "-s", str(voice.speed), "-p", str(voice.pitch), "-g", str(voice.gap)]
    data = _espeak([*options, "--stdout", "--", text])
    with wave.open(io.BytesIO(data)) as file:
        if file.getframerate() != SOURCE_RATE or file.getsampwidth() != 2 or file.getnchannels() != 1:
            raise EspeakMissing(f"the voice {voice.name} is not mono at {SOURCE_RATE} Hz with 16 bits")
        start = data.index(b"data") + 8  # written to a pipe, the header's length says nothing
    return np.frombuffer(data[start : start + (len(data) - start & ~1)], np.dtype("<i2")).astype(np.int16)


def prompt(language: str, name: str) -> bytes:
    """A prompt as G.722: spoken, resampled, trimmed, levelled, coded."""
    file = texts(language)
    edge = 0 if name.startswith("number-") else EDGE
    return encode(level(trim(to_16k(speak(file.texts[name], file.voice)), edge)))


def to_16k(pcm: Pcm) -> Pcm:
    """(samples,) at 22.05 kHz -> at 16 kHz: a windowed sinc in whole numbers, so exact wherever it runs."""
    count = len(pcm) * _UP // _DOWN
    position = np.arange(count, dtype=np.int64) * _DOWN
    whole, phase = position // _UP, position % _UP
    padded = np.pad(pcm.astype(np.int64), _TAPS)
    index = whole[:, None] + np.arange(1, 2 * _TAPS + 1)
    mixed = (padded[index] * _filter()[phase]).sum(axis=1)
    return np.asarray(np.clip((mixed + (1 << _SCALE - 1)) >> _SCALE, -32768, 32767), np.int16)


def _filter() -> NDArray[np.int64]:
    """(320, 48) coefficients of each phase, each summing to one."""
    cutoff = 0.96 * _UP / _DOWN
    at = np.arange(-_TAPS + 1, _TAPS + 1)[None, :] - np.arange(_UP)[:, None] / _UP
    window = np.square(np.cos(np.pi * at / (2 * _TAPS + 2)))
    wide = cutoff * np.sinc(cutoff * at) * window
    scaled = np.rint(wide / wide.sum(axis=1, keepdims=True) * (1 << _SCALE))
    return np.asarray(scaled, np.int64)


def trim(pcm: Pcm, edge: int) -> Pcm:
    """With ``edge`` samples of silence at both ends, whatever it had, and faded over 5 ms."""
    loud = np.flatnonzero(np.abs(pcm.astype(np.int32)) > QUIET)
    if not len(loud):
        return np.zeros(0, np.int16)
    ramp = RATE // 200
    kept = pcm[max(loud[0] - ramp, 0) : loud[-1] + ramp].astype(np.int64)
    slope = np.minimum(np.minimum(np.arange(len(kept)), np.arange(len(kept))[::-1]), ramp)
    return np.pad((kept * slope // ramp).astype(np.int16), edge)


def active_power(pcm: Pcm) -> int:
    """Mean square over the 20 ms frames in which somebody speaks."""
    frames = np.pad(pcm.astype(np.int64), (0, -len(pcm) % FRAME)).reshape(-1, FRAME)
    power = np.square(frames).sum(axis=1) // FRAME
    speech = power[power * ACTIVE >= power.max(initial=1)]
    return int(speech.sum()) // max(len(speech), 1)


def level(pcm: Pcm) -> Pcm:
    """At :data:`LEVEL`, or a little lower where a peak would pass :data:`PEAK`."""
    rms = math.isqrt(active_power(pcm))
    peak = int(np.abs(pcm.astype(np.int32)).max(initial=0))
    if not rms:
        return pcm
    gain = min(int(LEVEL) * 4096 // rms, PEAK * 4096 // peak)
    return ((pcm.astype(np.int64) * gain + 2048) >> 12).astype(np.int16)


def encode(pcm: Pcm) -> bytes:
    """(samples,) at 16 kHz -> G.722 at 64 kbit/s, in whole frames of 20 ms."""
    coder = av.CodecContext.create("g722", "w")
    coder.layout, coder.sample_rate, coder.format = "mono", RATE, "s16"
    coder.time_base = Fraction(1, RATE)
    packets: list[bytes] = []
    for start in range(0, len(pcm), FRAME):
        part = pcm[None, start : start + FRAME]
        frame = av.AudioFrame.from_ndarray(
            np.pad(part, ((0, 0), (0, FRAME - part.shape[1]))), format="s16", layout="mono"
        )
        frame.sample_rate, frame.pts, frame.time_base = RATE, start, Fraction(1, RATE)
        packets += map(bytes, coder.encode(frame))
    return b"".join(packets)


def decode(data: bytes) -> Pcm:
    """G.722 -> (samples,) at 16 kHz."""
    coder = av.CodecContext.create("g722", "r")
    coder.layout, coder.sample_rate = "mono", RATE
    return np.concatenate([frame.to_ndarray()[0] for frame in coder.decode(av.Packet(data))])


def origin(language: str, name: str) -> str:
    """What a file is made from, as a short hash: its words and its voice."""
    file = texts(language)
    return hashlib.sha256(f"{file.voice}\n{file.texts[name]}".encode()).hexdigest()[:12]


def origins() -> Iterator[tuple[str, str]]:
    """(``fr-CA/welcome``, its hash) of every prompt."""
    for language in LANGUAGES:
        for name in texts(language).texts:
            yield f"{language}/{name}", origin(language, name)


def make(*, everything: bool = False) -> list[str]:
    """Write what is missing or out of date, remove what is no longer named; returns the names of what changed.

    Raises:
        EspeakMissing: something is to be made and there is no espeak-ng.
    """
    made = json.loads(MADE.read_text()) if MADE.exists() else {}
    wanted = dict(origins())
    old: dict[str, str] = {} if everything else made.get("prompts", {})
    stale = [name for name, hash_ in wanted.items() if old.get(name) != hash_ or not _file(name).exists()]
    if stale and made.get("espeak-ng") != (version := espeak_version()):
        stale, made["espeak-ng"] = list(wanted), version  # one voice throughout
    for name in stale:
        language, _, what = name.partition("/")
        _file(name).parent.mkdir(exist_ok=True)
        _file(name).write_bytes(prompt(language, what))
    gone = [path for language in LANGUAGES for path in (HERE / language).glob("*.g722") if _name(path) not in wanted]
    for path in gone:
        path.unlink()
    made["prompts"] = wanted
    MADE.write_text(json.dumps(made, indent=1, sort_keys=True) + "\n")
    return stale + [_name(path) for path in gone]


def _file(name: str) -> Path:
    return HERE / f"{name}.g722"


def _name(path: Path) -> str:
    return f"{path.parent.name}/{path.stem}"


def table() -> str:
    """The texts as a table in Markdown: sentences and keys, not the numbers."""
    french, english = texts("fr-CA").texts, texts("en-CA").texts
    rows = [f"| `{name}` | {french[name]} | {english[name]} |" for name in french if not name.startswith("number-")]
    return "\n".join(["| file | français | English |", "|---|---|---|", *rows])


def with_table(page: str) -> str:
    """The page with the table of now between its marks."""
    before, _, rest = page.partition(MARKS[0])
    after = rest.partition(MARKS[1])[2]
    return f"{before}{MARKS[0]}\n{table()}\n{MARKS[1]}{after}"


def main() -> int:
    parser = argparse.ArgumentParser(prog="python -m bridge.conference.prompts.make", description=__doc__)
    parser.add_argument("--all", action="store_true", help="make every prompt again")
    arguments = parser.parse_args()
    try:
        changed = make(everything=arguments.all)
    except EspeakMissing as error:
        print(error, file=sys.stderr)
        return 1
    size = sum(path.stat().st_size for path in HERE.glob("*/*.g722"))
    print(f"{len(changed)} prompts made or removed; {size / 1e6:.2f} MB in all")
    if TABLE.exists():
        TABLE.write_text(with_table(TABLE.read_text(encoding="utf-8")), encoding="utf-8")
    return 0


if __name__ == "__main__":
    sys.exit(main())
