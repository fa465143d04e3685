"""What is played into calls and kept of them, through the whole beat."""

from __future__ import annotations

import time
import wave
from pathlib import Path

import numpy as np

from bridge.media.dtmf import InbandDetector
from bridge.worker import protocol as say
from bridge.worker.protocol import Captured, Said
from tests.worker.phones import Bridge, heard, press, sine, strength, talk

# ------------------------------------------------------------------------------------ prompts


def wav(path: Path, pcm: np.ndarray, rate: int = 16000) -> str:
    with wave.open(str(path), "wb") as file:
        file.setnchannels(1)
        file.setsampwidth(2)
        file.setframerate(rate)
        file.writeframes(pcm.astype("<i2").tobytes())
    return str(path)


def until(bridge: Bridge, done, beats: int = 200) -> None:
    """Beats until something is so; clips are loaded by a thread in real time."""
    for _ in range(beats):
        bridge.step()
        if done():
            return
        time.sleep(0.002)
    raise AssertionError("it did not happen")


def test_a_prompt_is_heard_by_one_over_the_ducked_room(bridge: Bridge, tmp_path: Path) -> None:
    clip = wav(tmp_path / "a.wav", sine(1000, 16000, 40, 4000).reshape(-1))
    bridge.phone("L16")
    b, c = bridge.phone("L16"), bridge.phone("L16")
    bridge.obey(say.Say(5, (clip,), stream=2))
    room = sine(500, 16000, 400)
    for n in range(400):
        bridge.phones[0].send(room[n])
        bridge.step()
        if bridge.of(Said):
            break
        time.sleep(0.001)
    assert bridge.of(Said) == [Said(5)]
    pcm = heard(b)
    assert strength(pcm[-9600:], 1000, 16000) > 3500
    assert 1700 < strength(pcm[-9600:], 500, 16000) < 2300  # 12 dB down
    assert strength(heard(c)[-9600:], 1000, 16000) < 20
    assert strength(heard(c)[-9600:], 500, 16000) > 7500


def test_a_rooms_announcement_is_heard_by_all_of_it(bridge: Bridge, tmp_path: Path) -> None:
    clip = wav(tmp_path / "a.wav", sine(1000, 16000, 30, 4000).reshape(-1))
    a, b, c = bridge.phone("L16"), bridge.phone("PCMU"), bridge.phone("L16", room=2)
    bridge.obey(say.Say(6, (clip,), room=1))
    until(bridge, lambda: bridge.of(Said))
    assert strength(heard(a)[-8000:], 1000, 16000) > 3500
    assert strength(heard(b)[-4000:], 1000, 8000) > 3500
    assert not heard(c).any()


def test_clips_follow_one_another_and_queue_or_interrupt(bridge: Bridge, tmp_path: Path) -> None:
    a = bridge.phone("L16", room=0)
    high = wav(tmp_path / "high.wav", sine(2000, 16000, 10).reshape(-1))
    low = wav(tmp_path / "low.wav", sine(300, 16000, 10).reshape(-1))
    bridge.obey(say.Say(1, (high, "silence:100", low), stream=1), say.Say(2, ("tone:beep",), stream=1, interrupt=False))
    until(bridge, lambda: len(bridge.of(Said)) == 2)
    assert bridge.of(Said) == [Said(1), Said(2)]
    pcm = heard(a)
    start = int(np.flatnonzero(pcm)[0]) // 320 * 320
    parts = pcm[start:].reshape(-1, 320)
    assert strength(parts[:10].reshape(-1), 2000, 16000) > 6000
    assert not parts[10:15].any()
    assert strength(parts[15:25].reshape(-1), 300, 16000) > 6000
    assert strength(parts[25:35].reshape(-1), 1000, 16000) > 3000
    bridge.obey(say.Say(3, (high,) * 50, stream=1))
    until(bridge, lambda: heard(a)[-320:].any())
    bridge.obey(say.Say(4, ("silence:20",), stream=1))
    until(bridge, lambda: Said(4) in bridge.of(Said))
    assert Said(3) not in bridge.of(Said)


def test_a_loop_goes_on_until_it_is_hushed(bridge: Bridge, tmp_path: Path) -> None:
    a = bridge.phone("L16", room=0)
    clip = wav(tmp_path / "a.wav", sine(1000, 16000, 5).reshape(-1))
    bridge.obey(say.Say(1, (clip,), stream=1, loop=True))
    until(bridge, lambda: heard(a)[-320:].any())
    bridge.step(50)
    assert strength(heard(a)[-16000:], 1000, 16000) > 7500
    bridge.obey(say.Hush(stream=1))
    bridge.step(5)
    assert not heard(a)[-1600:].any()
    assert bridge.of(Said) == []


def test_a_clip_that_cannot_be_played_is_said_so(bridge: Bridge, tmp_path: Path) -> None:
    bridge.phone("L16", room=0)
    bridge.obey(say.Say(1, (str(tmp_path / "none.wav"),), stream=1))
    until(bridge, lambda: bridge.of(Said))
    assert "none.wav" in bridge.of(Said)[0].error


def test_a_name_is_captured_and_played_back(bridge: Bridge) -> None:
    bridge.phone("PCMU", room=0)
    b = bridge.phone("L16", room=0)
    bridge.obey(say.Capture(7, 1))
    talk(bridge, {0: np.concatenate((np.zeros((10, 160)), sine(600, 8000, 40), np.zeros((60, 160))))})
    assert [(e.capture, e.stream) for e in bridge.of(Captured)] == [(7, 1)]
    assert 0.7 < bridge.of(Captured)[0].seconds < 0.95
    bridge.obey(say.Say(1, ("capture:7",), stream=2))
    until(bridge, lambda: bridge.of(Said))
    assert strength(heard(b)[-9000:-2000], 600, 16000) > 5000


def test_a_key_ends_a_capture_and_silence_captures_nothing(bridge: Bridge) -> None:
    a = bridge.phone("PCMU", room=0)
    bridge.obey(say.Capture(8, 1))
    talk(bridge, {0: np.zeros((20, 160))})
    press(bridge, a, 11)
    bridge.step()
    assert [(e.capture, e.seconds) for e in bridge.of(Captured)] == [(8, 0.0)]


def test_a_prompt_goes_on_when_the_codec_changes(bridge: Bridge, tmp_path: Path) -> None:
    a = bridge.phone("PCMU", room=0)
    clip = wav(tmp_path / "a.wav", sine(500, 16000, 60).reshape(-1))
    bridge.obey(say.Say(1, (clip,), stream=1))
    until(bridge, lambda: heard(a)[-160:].any())
    bridge.step(9)
    for codec in ("OPUS", "L16", "L16/48"):
        a.codec, a._decoder = codec, None
        bridge.obey(a.spec(0))
        a.packets.clear()
        bridge.step(10)
        assert strength(heard(a)[-a.rate // 10 :], 500, a.rate) > 6000, codec
    bridge.step(30)
    assert bridge.of(Said) == [Said(1)]
    assert not heard(a)[-960:].any()


def test_a_prompt_that_is_loaded_while_the_codec_changes_is_played_at_the_right_rate(
    bridge: Bridge, tmp_path: Path
) -> None:
    a = bridge.phone("PCMU", room=0)
    clip = wav(tmp_path / "a.wav", sine(500, 16000, 20).reshape(-1))
    bridge.obey(say.Say(1, (clip,), stream=1))
    a.codec = "L16/48"
    bridge.obey(a.spec(0))
    until(bridge, lambda: bridge.of(Said))
    pcm = heard(a)
    assert 18 * 960 < np.count_nonzero(np.abs(pcm) > 0) <= 20 * 960
    assert strength(pcm[np.flatnonzero(pcm)[0] :][: 15 * 960], 500, 48000) > 6000


def test_tones_that_are_sent_during_a_prompt_are_whole_and_so_is_the_prompt(bridge: Bridge, tmp_path: Path) -> None:
    a = bridge.phone("PCMU", room=0)
    prompt = sine(440, 16000, 30).reshape(-1)
    bridge.obey(say.Say(1, ("silence:20", wav(tmp_path / "a.wav", prompt)), stream=1))
    until(bridge, lambda: heard(a)[-160:].any())
    bridge.step(5)
    bridge.obey(say.SendKeys(1, "5"))
    until(bridge, lambda: bridge.of(Said))
    detector = InbandDetector(1)
    pcm = heard(a)
    assert [d for b in pcm.reshape(-1, 1, 160) for _, d in detector.receive(np.array([0]), b)] == ["5"]
    loud = np.abs(pcm.reshape(-1, 160)).max(axis=1) > 1000
    assert 34 <= loud.sum() <= 37  # 30 beats of prompt, 5 of the key
