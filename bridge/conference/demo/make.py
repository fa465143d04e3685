"""Makes the demo's clips from Debian's packages: ``python -m bridge.conference.demo.make [SOUNDS]``.

SOUNDS holds ``fr_CA_f_June`` and ``en_US_f_Allison`` of asterisk-core-sounds-fr-g722 and -en-g722.
The two voices are women's; the third talker is June's recordings lower by a third, at their own pace.
"""

from __future__ import annotations

import sys
from pathlib import Path

import av
import av.filter
import numpy as np

from bridge.conference.prompts.make import FRAME, RATE, Pcm, decode, encode, level, trim

HERE = Path(__file__).parent
SOUNDS = Path("/usr/share/asterisk/sounds")
LOWER = 0.8
"""The third voice's pitch and formants, as a part of June's."""
BREATH = RATE * 3 // 10
"""Samples of pause between two recordings in one turn."""
_FRENCH, _ENGLISH = "fr_CA_f_June", "en_US_f_Allison"

SCRIPT: dict[str, tuple[str, tuple[tuple[str, ...], ...]]] = {
    # talker -> (voice, what is said in each round); + joins without a breath
    "june": (
        _FRENCH,
        (
            ("hello", "hello-world", "confbridge-conf-begin"),
            ("im-sorry", "followme/status"),
            ("followme/sorry", "tt-monkeysintro"),
            ("something-terribly-wrong", "demo-moreinfo"),
            ("confbridge-conf-end", "vm-goodbye"),
        ),
    ),
    "allison": (
        _ENGLISH,
        (
            ("hello", "conf-thereare+digits/2+conf-otherinparty"),
            ("followme/pls-hold-while-try", "queue-thankyou"),
            ("tt-weasels", "sorry-youre-having-problems"),
            ("queue-periodic-announce",),
            ("im-sorry", "vm-nobodyavail", "vm-goodbye"),
        ),
    ),
    "luc": (
        _FRENCH,
        (
            ("hello", "conf-waitforleader"),
            ("tt-somethingwrong", "queue-thankyou"),
            ("tt-allbusy",),
            ("confbridge-mute-extended",),
            ("conf-leaderhasleft", "vm-goodbye"),
        ),
    ),
}


def turn(sounds: Path, voice: str, recordings: tuple[str, ...]) -> Pcm:
    """What is said in one turn: (samples,) at 16 kHz."""
    parts: list[Pcm] = []
    for recording in recordings:
        said = [decode((sounds / voice / f"{name}.g722").read_bytes()) for name in recording.split("+")]
        parts += (trim(np.concatenate([trim(part, FRAME * 2) for part in said]), 0), np.zeros(BREATH, np.int16))
    return np.concatenate(parts[:-1])


def lower(pcm: Pcm, factor: float) -> Pcm:
    """(samples,) -> as long, with all frequencies times ``factor`` (libavfilter)."""
    graph = av.filter.Graph()
    source = graph.add_abuffer(sample_rate=RATE, format="s16", layout="mono")
    steps = [
        graph.add("asetrate", str(int(RATE * factor))),
        graph.add("aresample", str(RATE)),
        graph.add("atempo", str(1 / factor)),
        graph.add("aformat", "sample_fmts=s16:channel_layouts=mono"),
        graph.add("abuffersink"),
    ]
    for before, after in zip((source, *steps), steps, strict=False):
        before.link_to(after)
    graph.configure()
    frame = av.AudioFrame.from_ndarray(pcm[None], format="s16", layout="mono")
    frame.sample_rate = RATE
    graph.push(frame)
    graph.push(None)
    lowered: list[Pcm] = []
    while True:
        try:
            out = graph.pull()
        except (av.BlockingIOError, av.EOFError):
            return np.concatenate(lowered)
        assert isinstance(out, av.AudioFrame)
        lowered.append(out.to_ndarray()[0])


def main() -> int:
    sounds = Path(sys.argv[1]) if len(sys.argv) > 1 else SOUNDS
    for talker, (voice, rounds) in SCRIPT.items():
        for number, recordings in enumerate(rounds, start=1):
            pcm = turn(sounds, voice, recordings)
            if talker == "luc":
                pcm = trim(lower(pcm, LOWER), 0)
            data = encode(level(pcm))
            (HERE / f"{talker}-{number}.g722").write_bytes(data)
            print(f"{talker}-{number}: {len(data) / 8000:.1f} s")
    return 0


if __name__ == "__main__":
    sys.exit(main())
