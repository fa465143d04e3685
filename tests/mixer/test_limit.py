"""The one saturation of a mix."""

import numpy as np
from hypothesis import given, settings
from hypothesis import strategies as st
from hypothesis.extra import numpy as arrays

from bridge.mixer.limit import Limiter

ROW = np.array([0])


def tone(amplitude: float, beat: int, hertz: float = 300.0) -> np.ndarray:
    t = np.arange(beat * 160, (beat + 1) * 160) / 8000
    return np.rint(amplitude * np.sin(2 * np.pi * hertz * t)).astype(np.int32)[None]


@given(arrays.arrays(np.int32, (3, 160), elements=st.integers(-32768, 32767)))
def test_what_fits_passes_bit_for_bit(block):
    assert np.array_equal(Limiter(3).apply(np.arange(3), block), block)


def test_what_is_too_loud_is_turned_down_and_not_cut():
    limiter = Limiter(1)
    out = [limiter.apply(ROW, tone(80000, beat))[0] for beat in range(20)]
    steady = np.concatenate(out[5:]).astype(float)
    spectrum = np.abs(np.fft.rfft(steady * np.hanning(len(steady)))) ** 2
    peak = int(spectrum.argmax())
    inside = spectrum[peak - 4 : peak + 5].sum()
    assert abs(peak * 8000 / len(steady) - 300) < 5
    assert spectrum.sum() - inside < inside / 1000  # less than 3 % distortion; hard clipping here makes 25 %


def test_it_looks_ahead_inside_the_block():
    """A jump in the middle of a block is met by a gain that fell before it."""
    block = np.full((1, 160), 20000, np.int32)
    block[0, 100:] = 60000
    out = Limiter(1).apply(ROW, block)[0].astype(int)
    assert out[99] < 12000
    assert out[80] > 19000
    assert out[:60].tolist() == [20000] * 60


def test_the_gain_comes_back_and_then_nothing_is_touched():
    limiter = Limiter(1)
    limiter.apply(ROW, tone(90000, 0))
    quiet = [limiter.apply(ROW, tone(9000, beat))[0] for beat in range(1, 31)]
    assert np.abs(quiet[0]).max() < 6000
    assert np.array_equal(quiet[-1], tone(9000, 30)[0])
    assert limiter.gain[0] == 1.0


def test_the_gain_has_no_steps_between_blocks():
    limiter = Limiter(1)
    level = np.full((1, 160), 25000, np.int32)
    limiter.apply(ROW, level * 3)
    out = np.concatenate([limiter.apply(ROW, level)[0] for _ in range(30)]).astype(int)
    assert np.abs(np.diff(out)).max() < 200


@given(arrays.arrays(np.int32, (3, 160), elements=st.integers(-40_000, 40_000)))
def test_nothing_wraps_round(block):
    """The saturation keeps each sample's sign, whatever the gain that the first sub-block comes with."""
    out = Limiter(3).apply(np.arange(3), block).astype(np.int32)
    assert (np.abs(out - block) <= np.abs(block)).all()
    assert (out * block >= 0).all()


def test_a_room_that_is_used_again_starts_at_full_gain():
    limiter = Limiter(2)
    limiter.apply(np.array([1]), tone(90000, 0))
    limiter.clear(1)
    assert np.array_equal(limiter.apply(np.array([1]), tone(30000, 1)), tone(30000, 1))


LOUD = arrays.arrays(np.int32, (4, 160), elements=st.integers(-200_000, 200_000))


@settings(deadline=None)
@given(LOUD, LOUD)
def test_many_rows_at_once_equal_each_alone(first, second):
    together = Limiter(4)
    rows = np.arange(4)
    outs = [together.apply(rows, block) for block in (first, second)]
    for row in range(4):
        alone = Limiter(4)
        for block, out in zip((first, second), outs, strict=True):
            assert np.array_equal(alone.apply(rows[row : row + 1], block[row : row + 1])[0], out[row])
