"""The prompts' files: all there, sound, and made again the same. Tones and the demo's talkers too."""

from __future__ import annotations

import hashlib
import json
import os

import numpy as np
import pytest

from bridge.conference.demo import talkers
from bridge.conference.key import Action
from bridge.conference.phrase import Phrase
from bridge.conference.prompts import HERE, LANGUAGES, make, texts
from bridge.media.clip import RATE, load_clip, tone

FILES = sorted(HERE.glob("*/*.g722"))


def dbov(power: float) -> float:
    return 10 * np.log10(power / 32768**2 + 1e-12)


@pytest.mark.parametrize("language", LANGUAGES)
def test_every_sentence_and_every_key_has_words(language: str) -> None:
    words = texts(language).texts
    assert set(Phrase) <= set(words)
    assert {f"key-{action}" for action in Action} <= set(words)


def test_both_languages_have_the_same_sentences() -> None:
    french, english = (set(texts(language).texts) for language in LANGUAGES)
    numbers = {"number-70", "number-90", "number-et", "number-1-feminine"}
    assert french ^ english == numbers


def test_sentences_end_and_leads_do_not() -> None:
    """espeak-ng's melody follows the punctuation: a lead goes on, a sentence falls."""
    leads = {"people-in-room", "minutes-left", "hand-raised", "press"}
    for language in LANGUAGES:
        for name, text in texts(language).texts.items():
            if not name.startswith("number-"):
                assert text.endswith(",") is (name in leads or name.startswith("key-")), name


def test_files_are_those_that_have_words_and_are_made_from_them() -> None:
    made = json.loads(make.MADE.read_text())["prompts"]
    assert made == dict(make.origins()), "texts have changed: make prompts"
    assert {f"{file.parent.name}/{file.stem}" for file in FILES} == set(made)


def test_files_are_small() -> None:
    assert sum(file.stat().st_size for file in FILES) < 3e6


def test_every_file_decodes_at_the_level_of_speech_and_without_clipping() -> None:
    for file in FILES:
        pcm = load_clip(file)
        assert -22 < dbov(make.active_power(pcm)) < -19, file
        assert np.abs(pcm.astype(np.int32)).max() < 32000, file
        assert np.abs(pcm[:16].astype(np.int32)).max() < 1000, f"{file} begins with a click"


def test_durations_fit_the_words() -> None:
    for file in FILES:
        text = texts(file.parent.name).texts[file.stem]
        seconds = file.stat().st_size / 8000
        assert 0.15 < seconds < 9, file
        assert 0.02 < seconds / len(text) < (0.2 if file.stem.startswith("number-") else 0.12), (
            f"{file}: {seconds} s for {text!r}"
        )


def test_no_file_begins_or_ends_with_a_long_silence() -> None:
    for file in FILES:
        loud = np.flatnonzero(np.abs(load_clip(file).astype(np.int32)) > 400)
        assert loud[0] < 0.12 * RATE, file
        assert file.stat().st_size / 8000 * RATE - loud[-1] < 0.15 * RATE, file


def test_making_again_gives_the_same_bytes() -> None:
    try:
        version = make.espeak_version()
    except make.EspeakMissing as error:
        if os.environ.get("CI") == "true":
            pytest.fail(str(error))
        pytest.skip(str(error))
    same = version == json.loads(make.MADE.read_text())["espeak-ng"]
    for language, name in (("fr-CA", "welcome"), ("en-CA", "hand-raised"), ("fr-CA", "number-19")):
        once = make.prompt(language, name)
        assert once == make.prompt(language, name)
        if same:
            assert once == (HERE / language / f"{name}.g722").read_bytes()


def test_resampling_keeps_a_tone_and_what_is_above_the_new_band_is_gone() -> None:
    t = np.arange(make.SOURCE_RATE) / make.SOURCE_RATE
    for hertz, there in ((300, True), (1000, True), (3400, True), (6500, True), (9000, False), (10500, False)):
        out = make.to_16k((10000 * np.sin(2 * np.pi * hertz * t)).astype(np.int16))[500:-500].astype(float)
        assert len(out) == RATE - 1000
        gain = dbov(float(np.square(out).mean())) - dbov(10000**2 / 2)
        assert abs(gain) < 0.2 if there else gain < -50, (hertz, gain)


def test_trimming_and_levelling_survive_silence() -> None:
    assert len(make.trim(np.zeros(1000, np.int16), 0)) == 0
    assert make.level(np.zeros(1000, np.int16)).max() == 0
    assert make.encode(np.zeros(0, np.int16)) == b""


def test_the_page_has_the_texts_of_now() -> None:
    page = make.TABLE.read_text(encoding="utf-8")
    assert make.with_table(page) == page, "docs/prompts.md: make prompts"
    assert make.table() in page


@pytest.mark.parametrize("rate", [8000, 16000, 48000])
@pytest.mark.parametrize(
    ("name", "hertz"), [("join", (659.3, 880.0)), ("leave", (880.0, 659.3)), ("beep", (1000.0, 1000.0))]
)
def test_tones_are_short_soft_edged_and_pure(name: str, hertz: tuple[float, float], rate: int) -> None:
    pcm = tone(name, rate).astype(float)
    assert 0.15 < len(pcm) / rate < 0.4
    assert -21.5 < dbov(float(np.square(pcm).mean())) < -19.5
    assert np.abs(np.diff(pcm, prepend=0, append=0))[[0, -1]].max() < 300, "a click at the edge"
    for half, pitch in zip((pcm[: int(0.08 * rate)], pcm[-int(0.08 * rate) :]), hertz, strict=True):
        spectrum = np.square(np.abs(np.fft.rfft(half * np.hanning(len(half)), 8 * len(half))))
        at = np.arange(len(spectrum)) * rate / (8 * len(half))
        assert abs(at[spectrum.argmax()] - pitch) < 5
        assert spectrum[np.abs(at - pitch) < 60].sum() > 0.99 * spectrum.sum()


def test_three_talkers_have_as_many_turns_each_and_differ() -> None:
    cast = talkers()
    assert [talker.name for talker in cast] == ["June", "Allison", "Luc"]
    assert len({len(talker.clips) for talker in cast}) == 1
    sounds = {hashlib.sha256(load_clip(clip).tobytes()).digest() for talker in cast for clip in talker.clips}
    assert len(sounds) == sum(len(talker.clips) for talker in cast)
    for talker in cast:
        assert 20 < sum(len(load_clip(clip)) for clip in talker.clips) / RATE < 35
        for clip in talker.clips:
            assert -21 < dbov(make.active_power(load_clip(clip))) < -19


def test_the_recordings_have_their_licence_beside_them() -> None:
    text = (HERE.parent / "demo" / "LICENCE.txt").read_text(encoding="utf-8")
    for needed in ("June Wallack", "Allison Smith", "https://creativecommons.org/licenses/by-sa/3.0/", "modified"):
        assert needed in text
