"""Resampling: what passes, what is kept out, and that blocks leave no seams."""

import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from bridge.mixer.resample import Resampler

PAIRS = [(8000, 16000), (8000, 48000), (16000, 8000), (16000, 48000), (48000, 8000), (48000, 16000)]
BEATS = 40


def through(source: int, target: int, signal: np.ndarray) -> np.ndarray:
    """A signal at ``source`` Hz in blocks of 20 ms -> at ``target`` Hz."""
    resampler = Resampler(1, source, target, samples=source // 50)
    n = source // 50
    blocks = [signal[None, i * n : (i + 1) * n] for i in range(len(signal) // n)]
    return np.concatenate([resampler.process(np.array([0]), block, beat)[0] for beat, block in enumerate(blocks)])


def sine(rate: int, hertz: float) -> np.ndarray:
    return (10000 * np.sin(2 * np.pi * hertz * np.arange(BEATS * rate // 50) / rate)).astype(np.float32)


def level(signal: np.ndarray, rate: int, low: float, high: float) -> float:
    """dB of what lies between two frequencies, 0 dB being a sine of 10000."""
    part = signal[len(signal) // 4 :].astype(float)
    window = np.blackman(len(part))
    power = np.abs(np.fft.rfft(part * window)) ** 2
    hertz = np.fft.rfftfreq(len(part), 1 / rate)
    reference = (10000 / 2) ** 2 * (window**2).sum() * len(part)
    total = power[(hertz >= low) & (hertz <= high)].sum() * 2 / 2
    return float(10 * np.log10(total / reference + 1e-20))


@pytest.mark.parametrize(("source", "target"), PAIRS)
def test_the_pass_band_is_flat(source, target):
    low = min(source, target)
    for share in (0.0375, 0.125, 0.25, 0.375):  # 300, 1000, 2000, 3000 Hz of a telephone's 8000
        gain = level(through(source, target, sine(source, share * low)), target, 0, target / 2)
        assert abs(gain) < 0.3, (share, gain)


@pytest.mark.parametrize(("source", "target"), PAIRS)
def test_the_telephone_band_passes(source, target):
    """3,400 Hz, or its like at a higher rate: less than 3 dB down (ITU-T G.712 allows it 3 dB)."""
    gain = level(through(source, target, sine(source, 0.425 * min(source, target))), target, 0, target / 2)
    assert -3.0 < gain < 0.3


@pytest.mark.parametrize(("source", "target"), [pair for pair in PAIRS if pair[0] > pair[1]])
def test_aliases_are_kept_out(source, target):
    for hertz in np.linspace(0.54 * target, 0.49 * source, 7):
        assert level(through(source, target, sine(source, hertz)), target, 0, target / 2) < -55, hertz


@pytest.mark.parametrize(("source", "target"), [pair for pair in PAIRS if pair[0] < pair[1]])
def test_images_are_kept_out(source, target):
    for hertz in np.linspace(0.02 * source, 0.46 * source, 7):
        out = through(source, target, sine(source, hertz))
        assert level(out, target, source - hertz - 60, target / 2) < -55, hertz


@pytest.mark.parametrize(("source", "target"), PAIRS)
def test_it_delays_by_no_more_than_two_milliseconds(source, target):
    assert Resampler(1, source, target, samples=source // 50).delay <= 0.002


@settings(deadline=None, max_examples=20)
@given(st.sampled_from(PAIRS), st.integers(0, 1000))
def test_many_rows_at_once_equal_each_alone(pair, seed):
    source, target = pair
    rng = np.random.default_rng(seed)
    together = Resampler(5, source, target, samples=source // 50)
    alone = Resampler(5, source, target, samples=source // 50)
    for beat in range(3):
        rows = np.flatnonzero(rng.random(5) < 0.7)
        block = rng.integers(-30000, 30000, (len(rows), source // 50)).astype(np.int32)
        out = together.process(rows, block, beat)
        for n, row in enumerate(rows):
            np.testing.assert_allclose(alone.process(np.array([row]), block[n : n + 1], beat)[0], out[n], atol=0.1)


def test_a_pause_wipes_out_the_past():
    resampler = Resampler(1, 8000, 16000, samples=160)
    row = np.array([0])
    resampler.process(row, np.full((1, 160), 9000), 0)
    assert not resampler.process(row, np.zeros((1, 160)), 5).any()
    resampler.process(row, np.full((1, 160), 9000), 6)
    assert resampler.finish(row, 7).any()
    assert not resampler.ringing(row, 8).any()
    assert not resampler.process(row, np.zeros((1, 160)), 8).any()
