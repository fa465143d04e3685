"""What fills gaps, shortens time, makes noise and reads sound files."""

from __future__ import annotations

import contextlib
import wave
from pathlib import Path

import av
import numpy as np
import pytest
from hypothesis import given
from hypothesis import strategies as st

from bridge.media.clip import RATE, ClipError, load_clip, resample, tone
from bridge.media.codecs.g711 import PCMA, PCMU
from bridge.media.codecs.g722 import G722Encoder
from bridge.media.conceal import Concealer
from bridge.media.noise import cn_payload, cn_power, comfort_noise
from bridge.media.timescale import shrink

RATES = [8000, 16000, 48000]


def sine(hertz: float, rate: int, seconds: float, level: float = 8000) -> np.ndarray:
    return np.rint(level * np.sin(2 * np.pi * hertz * np.arange(int(seconds * rate)) / rate)).astype(np.int16)


def steps(pcm: np.ndarray) -> np.ndarray:
    return np.abs(np.diff(pcm.astype(int)))


def blocks(pcm: np.ndarray, rate: int) -> np.ndarray:
    size = rate // 50
    return pcm[: len(pcm) // size * size].reshape(-1, size)


def concealed(sound: np.ndarray, lost: np.ndarray, rate: int) -> np.ndarray:
    filler = Concealer(rate)
    parts = [filler.conceal(len(b)) if gone else filler.good(b) for b, gone in zip(sound, lost, strict=True)]
    return np.stack(parts)


# --------------------------------------------------------------------------------- concealment


@pytest.mark.parametrize("rate", RATES)
def test_what_arrives_passes_unchanged_while_nothing_is_lost(rate: int) -> None:
    sound = blocks(sine(300, rate, 0.5), rate)
    assert np.array_equal(concealed(sound, np.zeros(len(sound), bool), rate), sound)


@pytest.mark.parametrize("rate", RATES)
@pytest.mark.parametrize("hertz", [100, 150, 250, 400])
def test_a_steady_tone_goes_on_through_a_gap(rate: int, hertz: int) -> None:
    sound = blocks(sine(hertz, rate, 0.4), rate)
    lost = np.arange(len(sound)) == 10
    out = concealed(sound, lost, rate)
    error = (out - sound.astype(float))[10][: rate // 100]
    assert np.sqrt(np.mean(error**2)) < 0.15 * 8000 / np.sqrt(2)
    assert steps(out.reshape(-1)).max() <= 1.5 * steps(sound.reshape(-1)).max()


@pytest.mark.parametrize("rate", RATES)
def test_a_long_gap_fades_to_silence_and_ends_without_a_step(rate: int) -> None:
    sound = blocks(sine(200, rate, 0.6), rate)
    lost = (np.arange(len(sound)) >= 10) & (np.arange(len(sound)) < 20)
    out = concealed(sound, lost, rate)
    level = np.sqrt((out.astype(float) ** 2).mean(axis=1))
    assert (np.diff(level[10:14]) < 0).all()
    assert not out[14:20].any()
    assert steps(out.reshape(-1)).max() <= 2 * steps(sound.reshape(-1)).max()


def test_a_gap_before_anything_was_heard_is_silence() -> None:
    assert not Concealer(8000).conceal(160).any()


def test_concealed_speech_is_nearer_to_speech_than_silence_is_and_has_no_clicks(speech: np.ndarray) -> None:
    sound = blocks(speech[: 16000 * 30], 16000)
    lost = np.random.default_rng(1).random(len(sound)) < 0.05
    lost[0] = False
    filled = concealed(sound, lost, 16000)
    zeroed = np.where(lost[:, None], 0, sound)
    assert spectral_distance(sound, filled, lost) < 0.5 * spectral_distance(sound, zeroed, lost)
    out, firsts = filled.reshape(-1), np.flatnonzero(lost[1:] & ~lost[:-1]) + 1
    lasts = np.flatnonzero(lost[:-1] & ~lost[1:]) + 1
    for edge in (*firsts * 320, *lasts * 320):
        around = steps(out[max(edge - 320, 0) : edge - 1]).max(initial=0)
        assert abs(int(out[edge]) - int(out[edge - 1])) <= 2.0 * around + 200


def spectral_distance(sound: np.ndarray, other: np.ndarray, lost: np.ndarray) -> float:
    """Mean difference of log spectra (dB) in the lost blocks that held a voice."""
    loud = lost & ((sound.astype(float) ** 2).mean(axis=1) > 1e4)
    window = np.hanning(320)
    one, two = (10 * np.log10(np.abs(np.fft.rfft(x[loud] * window, axis=1)) ** 2 + 1e5) for x in (sound, other))
    return float(np.abs(one - two).mean())


# ------------------------------------------------------------------------------------ timescale


@pytest.mark.parametrize("rate", RATES)
@given(st.integers(0, 2**32 - 1))
def test_time_is_taken_out_exactly_and_both_ends_are_untouched(rate: int, seed: int) -> None:
    pcm = np.random.default_rng(seed).integers(-9000, 9000, rate // 25).astype(np.int16)
    out = shrink(pcm, rate, rate // 50)
    assert len(out) == rate // 50
    assert out[0] == pcm[0]
    assert out[-1] == pcm[-1]


@pytest.mark.parametrize("rate", RATES)
def test_speech_is_shortened_without_steps(rate: int, speech: np.ndarray) -> None:
    pcm = resample(speech[: 16000 * 20], 16000, rate)
    pairs = pcm[: len(pcm) // (rate // 25) * (rate // 25)].reshape(-1, rate // 25)
    for pair in pairs[::3]:
        out = shrink(pair, rate, rate // 50)
        assert steps(out).max() <= 1.35 * steps(pair).max() + 30
        assert np.sqrt(np.mean(out.astype(float) ** 2)) <= 1.6 * np.sqrt(np.mean(pair.astype(float) ** 2)) + 1


def test_a_tone_keeps_its_pitch() -> None:
    pcm = sine(250, 16000, 0.04)
    out = shrink(pcm, 16000, 320)
    expected = sine(250, 16000, 0.02)
    assert np.abs(out.astype(int) - expected).max() < 250


def test_there_must_be_sound_to_cut_from() -> None:
    with pytest.raises(ValueError, match="left out"):
        shrink(np.zeros(320, np.int16), 16000, 300)
    with pytest.raises(ValueError, match="left out"):
        shrink(np.zeros(320, np.int16), 16000, -1)


# ---------------------------------------------------------------------------------------- noise


@given(st.integers(0, 127))
def test_a_comfort_noise_level_comes_out_as_it_went_in(level: int) -> None:
    assert cn_payload(cn_power(bytes([level]))) == bytes([level])


def test_comfort_noise_has_the_power_asked_for_and_no_more_than_is_comfortable() -> None:
    rng = np.random.default_rng(1)
    for level in (40, 50, 60):
        power = cn_power(bytes([level, 1, 2]))
        noise = comfort_noise(power, 16000, rng).astype(float)
        assert np.mean(noise**2) == pytest.approx(power, rel=0.1, abs=0.2)
    assert np.sqrt(np.mean(comfort_noise(cn_power(b"\0"), 16000, rng).astype(float) ** 2)) < 1100
    assert not comfort_noise(cn_power(bytes([127])), 1000, rng).any()
    assert cn_power(b"") == 0


# ---------------------------------------------------------------------------------------- clips


def write_wave(path: Path, pcm: np.ndarray, *, rate: int, width: int = 2, channels: int = 1) -> Path:
    with wave.open(str(path), "wb") as file:
        file.setnchannels(channels)
        file.setsampwidth(width)
        file.setframerate(rate)
        file.writeframes(pcm.tobytes())
    return path


def dominant(pcm: np.ndarray) -> float:
    """Strongest frequency of sound at 16 kHz."""
    return float(np.abs(np.fft.rfft(pcm * np.hanning(len(pcm)))).argmax() * RATE / len(pcm))


@pytest.mark.parametrize("rate", [8000, 16000, 22050, 44100, 48000])
def test_wave_files_of_any_rate_are_read(tmp_path: Path, rate: int) -> None:
    clip = load_clip(write_wave(tmp_path / "a.wav", sine(700, rate, 1.0), rate=rate))
    assert abs(len(clip) - 16000) <= 32
    assert dominant(clip) == pytest.approx(700, abs=2)


def test_stereo_is_averaged_and_8_bits_are_widened(tmp_path: Path) -> None:
    left, right = sine(500, 16000, 0.5), sine(1500, 16000, 0.5)
    stereo = np.stack([left, right], axis=1)
    clip = load_clip(write_wave(tmp_path / "s.wav", stereo, rate=16000, channels=2))
    assert np.abs(clip - (left.astype(int) + right) // 2).max() <= 1
    eight = ((left >> 8) + 128).astype(np.uint8)
    clip = load_clip(write_wave(tmp_path / "e.wav", eight, rate=16000, width=1))
    assert np.abs(clip.astype(int) - left).max() <= 256


def test_raw_files_are_read_by_their_suffix(tmp_path: Path) -> None:
    pcm8, pcm16 = sine(600, 8000, 0.5), sine(600, 16000, 0.5)
    files = {
        "a.ulaw": PCMU.encode_rows(pcm8[None])[0].tobytes(),
        "a.alaw": PCMA.encode_rows(pcm8[None])[0].tobytes(),
        "a.sln": pcm8.tobytes(),
        "a.sln16": pcm16.tobytes(),
        "a.g722": G722Encoder().encode(pcm16),
    }
    for name, data in files.items():
        (tmp_path / name).write_bytes(data)
        clip = load_clip(tmp_path / name)
        assert abs(len(clip) - 8000) <= 32, name
        assert dominant(clip) == pytest.approx(600, abs=4), name


def test_files_that_are_empty_or_cut_short_are_short_clips(tmp_path: Path) -> None:
    for suffix in ("ulaw", "alaw", "sln", "sln16", "g722"):
        path = tmp_path / f"a.{suffix}"
        path.write_bytes(b"")
        assert len(load_clip(path)) == 0
        path.write_bytes(b"\x01\x02\x03")
        assert len(load_clip(path)) <= 8


@pytest.mark.parametrize(
    ("name", "data", "reason"),
    [
        ("a.mp3", b"x", "not a kind of file"),
        ("a.wav", b"RIFFxxxx", "no PCM WAV"),
        ("a.wav", b"", "no PCM WAV"),
        ("none.wav", None, "prompts directory"),
    ],
)
def test_what_cannot_be_played_says_why(tmp_path: Path, name: str, data: bytes | None, reason: str) -> None:
    path = tmp_path / name
    if data is not None:
        path.write_bytes(data)
    with pytest.raises(ClipError, match=reason) as raised:
        load_clip(path)
    assert str(path) in str(raised.value)


@given(st.binary(max_size=300), st.sampled_from(["wav", "g722", "ulaw", "sln16"]))
def test_any_bytes_are_a_clip_or_a_clip_error(tmp_path_factory, data: bytes, suffix: str) -> None:
    path = tmp_path_factory.getbasetemp() / f"fuzz.{suffix}"
    path.write_bytes(data)
    with contextlib.suppress(ClipError):
        assert load_clip(path).dtype == np.int16


@given(st.binary(max_size=60))
def test_a_wave_header_that_lies_is_a_clip_error_or_sound(tmp_path_factory, junk: bytes) -> None:
    path = tmp_path_factory.getbasetemp() / "lies.wav"
    whole = write_wave(path, sine(500, 16000, 0.01), rate=16000).read_bytes()
    path.write_bytes(whole[:20] + junk + whole[20 + len(junk) :])
    with contextlib.suppress(ClipError):
        load_clip(path)


@pytest.mark.parametrize("rate", RATES)
def test_signals_are_made_at_any_rate_and_begin_and_end_softly(rate: int) -> None:
    for name in ("join", "leave", "beep"):
        pcm = tone(name, rate)
        assert pcm[0] == pcm[-1] == 0
        assert 3000 < np.abs(pcm).max() < 5000
    assert not np.array_equal(tone("join", rate)[:100], tone("leave", rate)[:100])
    with pytest.raises(ClipError, match="join, leave, beep"):
        tone("gong", rate)


@pytest.mark.parametrize(("rate", "to"), [(16000, 8000), (16000, 48000), (48000, 16000), (8000, 16000)])
def test_resampling_keeps_length_and_level(rate: int, to: int) -> None:
    pcm = sine(900, rate, 1.0)
    out = resample(pcm, rate, to)
    assert abs(len(out) - to) <= to // 500
    middle = out[to // 4 : -to // 4].astype(float)
    assert np.sqrt(np.mean(middle**2)) == pytest.approx(8000 / np.sqrt(2), rel=0.02)


def test_the_library_that_reads_g722_is_there() -> None:
    assert av.Codec("g722", "r").name == "g722"
