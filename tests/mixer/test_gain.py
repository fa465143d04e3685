"""Automatic gain, and levels."""

import numpy as np
import pytest

from bridge.mixer.gain import Agc
from bridge.mixer.level import dbov, mean_square, power_of

ROW = np.array([0])
YES, NO = np.array([True]), np.array([False])


def steady(level_dbov: float, seconds: float, active: np.ndarray = YES) -> float:
    """The gain in dB after talking at one level."""
    agc = Agc(1)
    power = power_of(np.array([level_dbov], np.float32))
    for _ in range(int(50 * seconds)):
        gain = agc.update(ROW, power, active)
    return 20 * float(np.log10(gain[0]))


@pytest.mark.parametrize(("level", "gain"), [(-33, 10), (-23, 0), (-15, -8)])
def test_voices_come_near_one_level(level, gain):
    assert steady(level, 8) == pytest.approx(gain, abs=1.0)


def test_the_gain_has_its_limits():
    assert steady(-55, 20) == pytest.approx(12, abs=0.2)
    assert steady(0, 20) == pytest.approx(-12, abs=0.2)


def test_noise_is_not_pumped_up():
    assert steady(-50, 20, NO) == 0.0


def test_the_gain_moves_slowly():
    agc = Agc(1)
    power = power_of(np.array([-40], np.float32))
    gains = np.array([float(agc.update(ROW, power, YES)[0]) for _ in range(300)])
    assert np.abs(np.diff(20 * np.log10(gains))).max() < 0.5


def test_many_rows_at_once_equal_each_alone():
    rng = np.random.default_rng(2)
    together, alone = Agc(6), Agc(6)
    for _ in range(30):
        rows = np.flatnonzero(rng.random(6) < 0.6)
        power = (10 ** rng.uniform(2, 8, len(rows))).astype(np.float32)
        active = rng.random(len(rows)) < 0.7
        gains = together.update(rows, power, active)
        for n in range(len(rows)):
            one = alone.update(rows[n : n + 1], power[n : n + 1], active[n : n + 1])
            np.testing.assert_allclose(one[0], gains[n], rtol=1e-5)


def test_levels_in_dbov():
    square = np.full((1, 160), 32767, np.int16)
    assert dbov(mean_square(square))[0] == pytest.approx(0, abs=0.01)
    assert dbov(mean_square(np.zeros((1, 160), np.int16)))[0] == -127
    assert dbov(power_of(np.array([-26], np.float32)))[0] == pytest.approx(-26, abs=0.01)
