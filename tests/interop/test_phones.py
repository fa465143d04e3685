"""The phones among themselves: what the tests stand on."""

import math
from pathlib import Path

import numpy as np
import pytest

from . import spectrum
from .phones import Baresip
from .spectrum import Sound

pytestmark = pytest.mark.interop


def sine(frequency: float, amplitude: float, rate: int = 8000) -> Sound:
    at = np.arange(rate * 2) / rate
    return Sound(amplitude * np.sin(2 * math.pi * frequency * at), rate)


def test_a_tone_is_as_loud_as_it_is() -> None:
    for frequency, amplitude in ((440, 1.0), (1013.7, 0.1), (3300, 0.01)):
        assert sine(frequency, amplitude).level(frequency) == pytest.approx(20 * math.log10(amplitude), abs=0.1)
    two = Sound(sine(500, 0.5).samples + sine(900, 0.25).samples, 8000)
    assert two.tones((500, 900, 1300)) == {500: pytest.approx(-6.0, abs=0.1), 900: pytest.approx(-12.0, abs=0.1),
                                           1300: pytest.approx(-120, abs=30)}  # fmt: skip
    assert two.heard((500, 900, 1300)) == {500, 900}


def test_recordings_come_back_as_they_were_written(tmp_path: Path) -> None:
    sound = spectrum.read(spectrum.write_tone(tmp_path / "a.wav", 800, 1.0))
    assert (sound.rate, sound.seconds) == (16_000, 1.0)
    assert sound.level(800) == pytest.approx(spectrum.LEVEL, abs=0.1)
    assert len(spectrum.write_ulaw(tmp_path / "a.ul", 800, 1.0).read_bytes()) == 8000


def test_one_calls_the_other_and_each_hears_the_others_tone(tmp_path: Path) -> None:
    with (
        Baresip(tmp_path, tone=500, codec="G722") as alice,
        Baresip(tmp_path, tone=900, codec="G722", auto_answer=True) as bob,
    ):
        alice.call(bob.uri)
        assert alice.heard(1.0).heard((500, 900)) == {900}
        assert bob.heard(1.0).heard((500, 900)) == {500}
        alice.press("5")
        bob.await_event("CALL_DTMF_START")
        alice.hangup()
        bob.await_event("CALL_CLOSED")
